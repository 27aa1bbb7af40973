"""The host's memory between training steps."""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_MMAP_THRESHOLD = 32 * 2**20
_KEPT = 2**30


def keep_freed_memory() -> bool:
    """Let C's allocator keep up to a gigabyte that is freed, for all of this process.

    Every step frees tensors of some megabytes and asks for as many again. glibc gives such blocks back to the system,
    and each of their pages is then faulted in and zeroed anew, which costs small nets a good part of each step.

    Returns:
        Whether there is something to set: only glibc has this.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)) and bool(mallopt(_TRIM_THRESHOLD, _KEPT))
