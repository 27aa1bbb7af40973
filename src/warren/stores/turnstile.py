"""A file that writers queue at: opened when it is first needed, and this process's alone."""

from __future__ import annotations

import contextlib
import os
import weakref
from pathlib import Path

from warren.errors import StoreError


class Turnstile:
    """A file to be locked with flock.

    Such a lock belongs to the open file, which a forked child shares: a data loader that outlives its worker would
    keep it. So a child closes its copy at once, and the lock ends with the process that took it.

    Args:
        path: The file; it and its folder are made when it is first needed, so that looking needs neither.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        self._inherited = self._closed = False
        _OPEN.add(self)

    def descriptor(self) -> int:
        """The open file.

        Raises:
            StoreError: It cannot be made, it was closed, or the store came here by a fork.
        """
        if self._inherited:
            raise StoreError(
                f"the store of {self.path} was opened by the process that this one was forked from, and cannot be "
                "written to from here; open it in this process"
            )
        if self._closed:
            raise StoreError(f"the store of {self.path} was closed")
        if self._descriptor is None:
            folder = self.path.parent
            try:
                folder.mkdir(mode=0o700, exist_ok=True)
                self._descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            except OSError as error:
                raise StoreError(f"the folder {folder} beside the store cannot be written: {error.strerror}") from None
        return self._descriptor

    def close(self) -> None:
        """Close the file, where it is open, for good."""
        self._closed = True
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def leave(self) -> None:
        """Let the parent's file go, in a child."""
        self._inherited = True
        with contextlib.suppress(OSError):
            self.close()


_OPEN: weakref.WeakSet[Turnstile] = weakref.WeakSet()
"""Those of this process; only a fork asks for them."""


def _after_fork() -> None:
    for one in list(_OPEN):
        one.leave()


os.register_at_fork(after_in_child=_after_fork)
