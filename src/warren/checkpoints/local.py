"""Checkpoints as files in a folder of this machine, or of a disk that several machines share."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import re
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from warren.checkpoints import packs
from warren.checkpoints.base import (
    Published,
    checkpoint_name,
    is_checkpoint_name,
    member_token,
    require_digest,
    require_member_tokens,
    require_name,
    require_token,
    token_of,
)
from warren.checkpoints.files import Stream, digest_of, pieces, write
from warren.errors import CheckpointError, CheckpointMissing
from warren.state import Encoded

Written = TypeVar("Written")

_TEMPORARY = re.compile(r"tmp-[A-Za-z0-9_-]{1,64}-[0-9a-f]{8}")
_FULL = (errno.ENOSPC, errno.EDQUOT)


# What is left of a pack takes at most four times its own space on the disk.
_WORTH_KEEPING = 0.25


class LocalCheckpoints:
    """One file per checkpoint, or one for those that were published together, readable by its owner only.

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

        def write_file(descriptor: int) -> tuple[str, Published]:
            stream = Stream(descriptor, begin=0, most=encoded.size)
            digest, size = stream.state(encoded)
            stream.flush()
            name = checkpoint_name(digest, token)
            return name, Published(name=name, digest=digest, size=size)

        return self._appear(token, write_file)

    def publish_all(self, encoded: Sequence[Encoded], token: str) -> list[Published]:
        """See `CheckpointStore.publish_all`."""
        require_member_tokens(token, len(encoded))
        if not encoded:
            return []

        def write_file(descriptor: int) -> tuple[str, list[Published]]:
            return packs.pack_file(token), [
                Published(name=checkpoint_name(digest, member_token(token, place)), digest=digest, size=size)
                for place, (digest, size) in enumerate(packs.write_pack(descriptor, encoded))
            ]

        return self._appear(token, write_file)

    def load(self, name: str, digest: str) -> memoryview:
        """See `CheckpointStore.load`; the file is mapped, not read into memory.

        Its digest is that of what `read` gives: a sector that cannot be read is an error there, and the end of the
        process in a mapping.
        """
        require_name(name)
        try:
            descriptor, begin, size = self._find(name)
        except CheckpointError:
            raise
        except OSError as error:
            raise self._refusal(f"open checkpoint {name}", error) from error
        self._seen = True
        try:
            require_digest(name, digest_of(descriptor, begin, size, name), digest)
            if size == 0:
                return memoryview(b"")
            # Copy-on-write: torch has no read-only tensors, and what it writes must not reach the file.
            before = begin % mmap.ALLOCATIONGRANULARITY  # a mapping begins with a page
            mapped = mmap.mmap(descriptor, before + size, access=mmap.ACCESS_COPY, offset=begin - before)
            return memoryview(mapped)[before:]
        except CheckpointError:
            raise
        except OSError as error:
            raise self._refusal(f"read checkpoint {name}", error) from error
        finally:
            os.close(descriptor)

    def delete(self, name: str) -> None:
        """See `CheckpointStore.delete`."""
        self.delete_all((name,))

    def delete_all(self, names: Iterable[str]) -> None:
        """See `CheckpointStore.delete_all`."""
        by_pack: defaultdict[str, set[str]] = defaultdict(set)
        files = [require_name(name) for name in names]
        for name in files:
            place = packs.place_of(name)
            if place is not None:
                by_pack[place[0]].add(name)
        refused = None
        # Packs first: what another process has just taken out of one is then a file already.
        for file, gone in by_pack.items():
            try:
                self._strike(file, gone.__contains__)
            except CheckpointError as error:
                refused = refused or error
        for name in files:
            try:
                self._remove(name)
            except CheckpointError as error:
                refused = refused or error
        if refused is not None:
            raise refused

    def names(self) -> Iterator[str]:
        """See `CheckpointStore.names`."""
        found = set()
        for file, _ in self._files():
            if is_checkpoint_name(file):
                found.add(file)
            elif packs.is_pack(file):
                found.update(one.name for one in self._listed(file) if not one.deleted)
        return iter(sorted(found))

    def sweep(self, *, keep: Callable[[str], bool], older_than: float, now: float) -> tuple[str, ...]:
        """See `CheckpointStore.sweep`."""
        removed: set[str] = set()
        for file, written in self._files():
            # The age first: a file that is old now, and not referred to after that was seen, never will be.
            if now - written <= older_than:
                continue
            if packs.is_pack(file):
                removed.update(self._strike(file, lambda name: not keep(name)))
            elif not (is_checkpoint_name(file) and keep(file)):
                self._remove(file)
                removed.add(file)
        return tuple(sorted(removed))

    def _appear(self, token: str, write_file: Callable[[int], tuple[str, Written]]) -> Written:
        """Let a file appear when it is whole and on the disk; `write_file` writes it, and says its name."""
        # The token alone would not do: a worker that was taken for dead may still be writing under it.
        temporary = self._temporary(token)
        remains = temporary
        try:
            self._make_folder()
            name, written = _new(temporary, write_file)
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
        return written

    def _find(self, name: str) -> tuple[int, int, int]:
        """Open the file that a checkpoint is in; gives its descriptor, and where its bytes begin and how many."""
        place = packs.place_of(name)
        # Twice: what is left of a pack becomes files before the pack goes.
        for _ in range(1 if place is None else 2):
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(self._folder / name, os.O_RDONLY | os.O_CLOEXEC)
                return descriptor, 0, os.fstat(descriptor).st_size
            found = None if place is None else self._find_packed(name, *place)
            if found is not None:
                return found
        # Not damage: nothing may be given up for a disk that is not mounted, or a store that was moved alone.
        if not self._folder.is_dir():
            raise CheckpointError(
                f"checkpoint {name} cannot be loaded: the folder {self._folder} is not there; put it back beside "
                "the store"
            )
        raise CheckpointMissing(
            f"checkpoint {name} is not in {self._folder}; it was deleted, or the folder is not the run's"
        )

    def _find_packed(self, name: str, file: str, place: int) -> tuple[int, int, int] | None:
        try:
            descriptor = os.open(self._folder / file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            found = packs.find(descriptor, file, place, name)
        except BaseException:
            os.close(descriptor)
            raise
        if found is None:
            os.close(descriptor)
            return None
        return descriptor, found.begin, found.size

    def _strike(self, file: str, gone: Callable[[str], bool]) -> list[str]:
        """Delete states of a pack, and the pack where little is left of it; returns what it held of them."""
        try:
            with contextlib.suppress(FileNotFoundError), packs.opened(self._folder / file, os.O_RDWR) as descriptor:
                # Two that take states out at once would bring back what the other deletes.
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if not os.path.samestat(os.fstat(descriptor), os.stat(self._folder / file)):
                    return []
                there = packs.listed(descriptor, file)
                left = [one for one in there if not one.deleted and not gone(one.name)]
                struck = [one for one in there if not one.deleted and gone(one.name)]
                if left:
                    packs.mark(descriptor, struck)
                if there and sum(one.size for one in left) <= _WORTH_KEEPING * sum(one.size for one in there):
                    self._take_out(descriptor, left)
                    self._remove(file)
                return [one.name for one in struck]
        except CheckpointError:
            raise
        except OSError as error:
            raise self._refusal(f"delete checkpoints of {file}", error) from error
        return []

    def _take_out(self, descriptor: int, left: Sequence[packs.Packed]) -> None:
        """Make states of a pack files of their own, which are on the disk when this returns."""
        for one in left:
            temporary = self._temporary(token_of(one.name))

            def copy(target: int, one: packs.Packed = one) -> tuple[str, None]:
                for piece in pieces(descriptor, one.begin, one.size):
                    write(target, piece)
                return one.name, None

            try:
                _new(temporary, copy)
                os.rename(temporary, self._folder / one.name)
            except BaseException:
                with contextlib.suppress(OSError):
                    temporary.unlink()
                raise
        if left:
            _sync(self._folder)

    def _listed(self, file: str) -> list[packs.Packed]:
        """The states of a pack; none where the disk cannot give its head, so that others can be worked with."""
        try:
            with packs.opened(self._folder / file, os.O_RDONLY) as descriptor:
                return packs.listed(descriptor, file)
        except FileNotFoundError:  # another process was faster
            return []
        except OSError as error:
            if error.errno == errno.EIO:
                return []
            raise self._refusal("list the checkpoints", error) from error

    def _temporary(self, token: str) -> Path:
        return self._folder / f"tmp-{token}-{secrets.token_hex(4)}"

    def _files(self) -> list[tuple[str, float]]:
        """Names and times of writing, of checkpoints, packs and temporary files."""
        found = []
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if is_checkpoint_name(entry.name) or packs.is_pack(entry.name) or _TEMPORARY.fullmatch(entry.name):
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

    def _remove(self, file: str) -> None:
        try:
            os.unlink(
                f"{self._folder}{os.sep}{file}"
            )  # thousands may be asked for, and a Path costs more than the call
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self._refusal(f"delete {file}", error) from error

    def _refusal(self, action: str, error: OSError) -> CheckpointError:
        if error.errno in _FULL:
            return CheckpointError(
                f"cannot {action}: the disk of {self._folder} is full ({error.strerror}); make space there "
                "or give the run another folder. What was stored before is not affected"
            )
        return CheckpointError(
            f"cannot {action} in {self._folder}: {error.strerror or error}; see that the folder can be written and read"
        )


def _new(path: Path, write_file: Callable[[int], tuple[str, Written]]) -> tuple[str, Written]:
    """Write a new file, and sync it; returns what `write_file` does."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        written = write_file(descriptor)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return written


def _sync(folder: Path) -> None:
    """Make what was renamed or made in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
