"""Where a store's file is: links are followed once, and what cannot hold a store is refused in one line."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from warren.errors import StoreError


def real_path(path: str | os.PathLike[str]) -> Path:
    """The file itself, whatever links lead to it: its lock and its checkpoints lie beside that one.

    Args:
        path: Where the store is or shall be, as the user gave it.

    Raises:
        StoreError: No store can be there.
    """
    given = Path(path)
    real = Path(os.path.realpath(given))
    try:
        mode = os.stat(real).st_mode
    except FileNotFoundError:
        _refuse_dangling(given, real)
        return real
    except NotADirectoryError:
        file = next((one for one in given.parents if one.is_file()), real.parent)
        raise StoreError(
            f"the store {given} cannot be made or opened: {file} is a file and no folder; give another path"
        ) from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StoreError(
                f"the store {given} is behind a symbolic link that leads back to itself; give the path of a file"
            ) from None
        raise StoreError(f"the store {given} cannot be opened: {error.strerror}; give another path") from None
    if stat.S_ISDIR(mode):
        raise StoreError(f"the store {given} is a folder, and a store is a file; give one, such as {given / 'run.db'}")
    if not stat.S_ISREG(mode):
        raise StoreError(f"the store {given} is no regular file; give another path")
    return real


def _refuse_dangling(given: Path, real: Path) -> None:
    """Refuse a link out of which folders would be made where, perhaps, a disk is not mounted."""
    path = given.absolute()
    links = [path] if not real.parent.is_dir() else []
    for link in (*links, *path.parents):
        if link.is_symlink() and not link.exists():
            there = Path(os.path.realpath(link))
            folder = there.parent if link == path else there
            raise StoreError(
                f"the store {given} is behind the symbolic link {link}, and the folder {folder} that it leads to is "
                "not there; mount or make it, or give another path"
            )
