"""Checkpoints as files in a folder of this machine, or of a disk that several machines share."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import mmap
import os
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

from warren.checkpoints.base import (
    Published,
    checkpoint_name,
    is_checkpoint_name,
    require_digest,
    require_name,
    require_token,
)
from warren.errors import CheckpointDamaged, CheckpointError, CheckpointMissing
from warren.state import Encoded

_TEMPORARY = re.compile(r"tmp-[A-Za-z0-9_-]{1,64}-[0-9a-f]{8}")
# Hashed and then written while still in the processor's caches; and short enough to be interrupted soon.
_PIECE = 4 * 2**20
_FULL = (errno.ENOSPC, errno.EDQUOT)


class LocalCheckpoints:
    """One file per checkpoint, readable by its owner only.

    The folder is made at the first publication. A file appears under its name only when it is whole and on
    the disk: it is written under a temporary name, synced, renamed, and the folder synced.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """Args:
        folder: where the files lie; need not exist. What else lies there is never touched.
        """
        self._folder = Path(folder)
        self._seen = False

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        return self._folder

    def publish(self, encoded: Encoded, token: str) -> Published:
        """See `CheckpointStore.publish`."""
        require_token(token)
        # The token alone would not do: a worker that was taken for dead may still be writing under it.
        temporary = self._folder / f"tmp-{token}-{secrets.token_hex(4)}"
        remains = temporary
        try:
            self._make_folder()
            found, size = _write(temporary, encoded)
            name = checkpoint_name(found, token)
            remains = self._folder / name
            os.rename(temporary, remains)
            _sync(self._folder)
        except BaseException as error:  # also an interrupt must leave nothing behind
            for path in {temporary, remains}:
                with contextlib.suppress(OSError):
                    path.unlink()
            # What an array raised while it was read (StateError) is not the disk's fault.
            if isinstance(error, OSError) and not isinstance(error, CheckpointError):
                raise self._refusal("write a checkpoint", error) from error
            raise
        return Published(name=name, digest=found, size=size)

    def load(self, name: str, digest: str) -> memoryview:
        """See `CheckpointStore.load`; the file is mapped, not read into memory.

        Its digest is that of what `read` gives: a sector that cannot be read is an error there, and the end of the
        process in a mapping.
        """
        path = self._folder / require_name(name)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            # Not damage: nothing may be given up for a disk that is not mounted, or a store that was moved alone.
            if not self._folder.is_dir():
                raise CheckpointError(
                    f"checkpoint {name} cannot be loaded: the folder {self._folder} is not there; put it back beside "
                    "the store"
                ) from None
            raise CheckpointMissing(
                f"checkpoint {name} is not in {self._folder}; it was deleted, or the folder is not the run's"
            ) from None
        except OSError as error:
            raise self._refusal(f"open checkpoint {name}", error) from error
        self._seen = True
        try:
            require_digest(name, _digest(descriptor, name), digest)
            # Copy-on-write: torch has no read-only tensors, and what it writes must not reach the file.
            empty = os.fstat(descriptor).st_size == 0
            return memoryview(b"" if empty else mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY))
        except CheckpointError:
            raise
        except OSError as error:
            raise self._refusal(f"read checkpoint {name}", error) from error
        finally:
            os.close(descriptor)

    def delete(self, name: str) -> None:
        """See `CheckpointStore.delete`."""
        self._remove(self._folder / require_name(name))

    def names(self) -> Iterator[str]:
        """See `CheckpointStore.names`."""
        return (name for name, _ in self._files() if is_checkpoint_name(name))

    def sweep(self, *, keep: Callable[[str], bool], older_than: float, now: float) -> tuple[str, ...]:
        """See `CheckpointStore.sweep`."""
        removed = []
        for name, written in self._files():
            # The age first: a file that is old now, and not referred to after that was seen, never will be.
            if now - written > older_than and not (is_checkpoint_name(name) and keep(name)):
                self._remove(self._folder / name)
                removed.append(name)
        return tuple(removed)

    def _files(self) -> list[tuple[str, float]]:
        """Names and times of writing, of checkpoints and of temporary files."""
        found = []
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if is_checkpoint_name(entry.name) or _TEMPORARY.fullmatch(entry.name):
                        with contextlib.suppress(FileNotFoundError):  # another process was faster
                            found.append((entry.name, entry.stat(follow_symlinks=False).st_mtime))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._refusal("list the checkpoints", error) from error
        return sorted(found)

    def _make_folder(self) -> None:
        if not self._folder.is_dir():
            if self._seen:  # a new one in its place would make what is away look deleted
                raise FileNotFoundError(errno.ENOENT, "the folder is not there any more; put it back beside the store")
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync(self._folder.parent)
        self._seen = True

    def _remove(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise self._refusal(f"delete {path.name}", error) from error

    def _refusal(self, action: str, error: OSError) -> CheckpointError:
        if error.errno in _FULL:
            return CheckpointError(
                f"cannot {action}: the disk of {self._folder} is full ({error.strerror}); make space there "
                "or give the run another folder. What was stored before is not affected"
            )
        return CheckpointError(
            f"cannot {action} in {self._folder}: {error.strerror or error}; see that the folder can be written and read"
        )


def _write(path: Path, encoded: Encoded) -> tuple[str, int]:
    """Write and hash a state in one pass, and sync it; returns its digest and size."""
    sha = hashlib.sha256()
    size = 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        for chunk in encoded.chunks():
            view = memoryview(chunk)
            for start in range(0, len(view), _PIECE):
                piece = view[start : start + _PIECE]
                sha.update(piece)
                size += len(piece)
                while piece:
                    piece = piece[os.write(descriptor, piece) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return sha.hexdigest(), size


def _digest(descriptor: int, name: str) -> str:
    """The digest of a file that is open, read from its start in pieces."""
    sha = hashlib.sha256()
    try:
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            piece = memoryview(bytearray(max(1, min(_PIECE, os.fstat(descriptor).st_size))))
            while length := file.readinto(piece):
                sha.update(piece[:length])
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise CheckpointDamaged(
            f"checkpoint {name}: its bytes cannot be read ({error.strerror}); the disk is damaged there, so fall "
            "back to an older checkpoint and look after the disk"
        ) from error
    return sha.hexdigest()


def _sync(folder: Path) -> None:
    """Make what was renamed or made in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
