"""What a worker and its supervisor share: files without a name, and where the worker stands."""

from __future__ import annotations

import os
import struct
import tempfile
from pathlib import Path
from typing import IO

_LONGEST = struct.Struct("<d")
_AT = 8


def nameless(folder: Path | None = None) -> IO[bytes]:
    """An unbuffered file that ends with those who hold it: in memory where the system has such, else on a disk.

    Args:
        folder: Where it may be as well, where the folder for temporary files cannot be written.

    Raises:
        OSError: There is no place for it.
    """
    try:
        return os.fdopen(os.memfd_create("warren"), "w+b", buffering=0)
    except (AttributeError, OSError):  # another system, or an old one
        pass
    try:
        return tempfile.TemporaryFile(buffering=0)
    except OSError:
        if folder is None:
            raise
        return tempfile.TemporaryFile(buffering=0, dir=folder)


class Standing:
    """Whether a worker's present call of the training function has reported, and how long intervals take.

    What the worker writes the supervisor judges its hangs by, and the other way round once the supervisor is gone:
    without the store, which may be what hangs.

    Args:
        handle: A file that both have open.
    """

    def __init__(self, handle: int) -> None:
        self._handle = handle

    @property
    def settled(self) -> bool:
        """Whether the present call has reported: from then on its intervals are like one another."""
        return os.pread(self._handle, 1, 0) == b"1"

    def settle(self, settled: bool) -> None:
        """Say so; the worker's part."""
        os.pwrite(self._handle, b"1" if settled else b"0", 0)

    @property
    def longest(self) -> float:
        """The longest interval that the supervisor knew of, in seconds; 0 where it knew of none."""
        found = os.pread(self._handle, _LONGEST.size, _AT)
        return float(_LONGEST.unpack(found)[0]) if len(found) == _LONGEST.size else 0.0

    def tell(self, longest: float) -> None:
        """Say so; the supervisor's part."""
        os.pwrite(self._handle, _LONGEST.pack(longest), _AT)
