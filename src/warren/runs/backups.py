"""Copies of a store with its checkpoints, taken while a run goes on."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from warren.checkpoints import LocalCheckpoints
from warren.checkpoints.base import require_digest, require_name
from warren.checkpoints.packs import copy_pack, is_pack, place_of
from warren.errors import CheckpointMissing, InvalidValue, StoreError
from warren.runs.opening import refuse_away
from warren.stores.folder import folder_of
from warren.stores.place import real_path

if TYPE_CHECKING:
    from warren.stores.sqlite import SQLiteStore

_PIECE = 4 * 2**20
_BESIDE = ("-journal", "-wal", "-shm")
"""What SQLite keeps beside a file: of an earlier file of the same name it would be taken for this one's."""

Files = dict[str, dict[str, str]]
"""Files that hold checkpoints, with the name and digest of each that is wanted of them."""


@dataclass(frozen=True, kw_only=True)
class Backup:
    """A copy that was taken.

    Attributes:
        path: The copy's SQLite file.
        runs: How many runs it holds.
        checkpoints: How many checkpoints are in files beside it.
        size: Bytes of all of it.
    """

    path: Path
    runs: int
    checkpoints: int
    size: int


def backup(store: str | os.PathLike[str], target: str | os.PathLike[str]) -> Backup:
    """Copy a store with its checkpoints as they are at one moment, also while a run goes on; the copy can be resumed.

    Every checkpoint is compared with its digest on the way. The copy's file appears last, when all of it is on the
    disk. In the copy nobody is at work. Workers wait to write while the record is copied; on a file system without
    hard links, also while all checkpoints are.

    Args:
        store: The run's SQLite file.
        target: The copy's; neither it nor its folder may be there. It may be on a network file system, where a copy
            is kept, but not worked on.

    Raises:
        InvalidValue: The target is there.
        StoreError: There is no such store, it is damaged, or the copy cannot be written.
        CheckpointError: A checkpoint of it is missing or damaged.
    """
    location, path = real_path(store), Path(target).absolute()
    _refuse_present(location, path)
    try:
        with (
            contextlib.closing(_source(store)) as source,
            _undone(path) as made,
            _staging(source) as stage,
        ):
            files = _take(source, stage)
            names = _leave(stage / "record.db")
            folder = _make_folders(path, made)
            size = sum(_copy_held(stage / held, folder / held, wanted) for held, wanted in files.items())
            _sync(folder)
            partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
            made.append(partial)
            size += _copy(stage / "record.db", partial)
            _refuse_present(location, path, folder=False)
            os.rename(partial, path)
            _sync(path.parent)
    except OSError as error:
        if error.strerror is None:  # one of ours, which says all that there is to say
            raise
        raise StoreError(f"the backup {path} of {location} cannot be written: {error.strerror}") from None
    return Backup(path=path, runs=len(names), checkpoints=sum(map(len, files.values())), size=size)


def _source(store: str | os.PathLike[str]) -> SQLiteStore:
    from warren.stores.sqlite import SQLiteStore

    source = SQLiteStore(store, create=False)
    try:
        refuse_away(source.path, source.files, LocalCheckpoints(folder_of(source.path) / "checkpoints"))
    except BaseException:
        source.close()
        raise
    return source


def _refuse_present(location: Path, path: Path, *, folder: bool = True) -> None:
    if os.path.realpath(path) == str(location):
        raise InvalidValue(f"the backup {path} would be the store itself; give another path")
    if path.is_dir():
        raise InvalidValue(f"the backup {path} cannot be written: it is a folder; give the path of a file")
    there = [path, *(path.with_name(path.name + end) for end in _BESIDE), *([folder_of(path)] if folder else [])]
    for one in there:
        if os.path.lexists(one):
            raise InvalidValue(f"the backup {path} cannot be written: {one} is there already; give another path")


@contextmanager
def _undone(path: Path) -> Iterator[list[Path]]:
    """Files and folders that are taken away again where the block ends with an error."""
    made: list[Path] = []
    try:
        yield made
    except BaseException:  # also an interrupt must leave nothing behind
        if os.path.lexists(path) and not any(one.is_file() for one in made):
            raise  # it has its name already, and is whole
        for one in reversed(made):
            with contextlib.suppress(OSError):
                if one == folder_of(path):
                    shutil.rmtree(one)
                elif one.is_dir():
                    one.rmdir()  # one that was made on the way, if nobody else uses it by now
                else:
                    one.unlink(missing_ok=True)
        raise


def _make_folders(path: Path, made: list[Path]) -> Path:
    """The folder of the copy's checkpoints, with those above it."""
    missing = [one for one in path.parents if not one.exists()]
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        made.append(one)
    beside = folder_of(path)
    beside.mkdir(mode=0o700)
    made.append(beside)
    folder = beside / "checkpoints"
    folder.mkdir(mode=0o700)
    _sync(beside)
    return folder


@contextmanager
def _staging(source: SQLiteStore) -> Iterator[Path]:
    """A folder beside the store that is gone afterwards, with those that backups have left which were killed."""
    above = folder_of(source.path)
    above.mkdir(mode=0o700, exist_ok=True)
    for other in above.glob("backup-*"):
        with _locked(other) as free:
            if free:
                shutil.rmtree(other, ignore_errors=True)
    number = secrets.token_hex(4)
    unlocked, stage = above / f"new-{number}", above / f"backup-{number}"
    try:
        unlocked.mkdir(mode=0o700)
        with _locked(unlocked):
            os.rename(unlocked, stage)  # it gets the name by which others find it when they find it locked
            yield stage
    finally:
        for one in (unlocked, stage):
            shutil.rmtree(one, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Whether the folder could be locked for the time of the block."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(handle)


def _take(source: SQLiteStore, stage: Path) -> Files:
    """The record of one moment, and the files that it names, which workers may delete a moment later."""
    taken: Files = {}

    def link(files: Sequence[tuple[str, str]]) -> None:
        folder = folder_of(source.path) / "checkpoints"
        for name, digest in files:
            held = _hold(folder, stage, require_name(name), taken)
            if held is None:
                raise CheckpointMissing(
                    f"checkpoint {name} is not in {folder}, so that the backup would not be whole; put it back, "
                    f"or give it up with warren verify {source.path} --mend: who needs it falls back to an older state"
                )
            taken.setdefault(held, {})[name] = digest

    record = stage / "record.db"
    os.close(os.open(record, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    source.copy(record, link)
    return taken


def _hold(folder: Path, stage: Path, name: str, taken: Files) -> str | None:
    """Link the file that holds a checkpoint, where it is not yet; gives that file's name."""
    place = place_of(name)
    pack = name if place is None else place[0]
    if pack in taken:
        return pack
    for held in (name, pack, name):  # the last time because states are taken out of a pack before it goes
        with contextlib.suppress(FileNotFoundError):
            _link(folder / held, stage / held)
            return held
    return None


def _link(held: Path, link: Path) -> None:
    try:
        os.link(held, link)
    except FileNotFoundError:
        raise
    except OSError:  # file systems without links
        shutil.copyfile(held, link)


def _leave(record: Path) -> list[str]:
    """Let nobody be at work in a copy, and see that it is sound; returns the names of its runs."""
    from warren.stores.sqlite import SQLiteStore, runs_in

    names = runs_in(record)
    with contextlib.closing(SQLiteStore(record, create=False)) as copy:
        copy.verify()
    for name in names:
        with contextlib.closing(SQLiteStore(record, name, create=False)) as copy:
            known = {row.worker for row in copy.workers()}
            holders = {row.worker for row in copy.members() if row.worker is not None}
            copy.expire(sorted(known | holders), "nobody works on a backup", counts=False)
    return names


def _copy_held(source: Path, target: Path, wanted: dict[str, str]) -> int:
    """Copy a file with checkpoints to the disk, compare each with its digest, and return the size."""
    if is_pack(source.name):
        return copy_pack(source, target, wanted)
    return sum(_copy(source, target, name, digest) for name, digest in wanted.items())


def _copy(source: Path, target: Path, name: str = "", digest: str = "") -> int:
    """Copy a file to the disk, compare it with its digest where it has one, and return its size."""
    sha, size = hashlib.sha256(), 0
    with (
        open(source, "rb", buffering=0) as old,
        open(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb", buffering=0) as new,
    ):
        while piece := old.read(_PIECE):
            sha.update(piece)
            size += len(piece)
            view = memoryview(piece)
            while view:
                view = view[new.write(view) :]
        os.fsync(new.fileno())
    if name:
        require_digest(name, sha.hexdigest(), digest)
    return size


def _sync(folder: Path) -> None:
    """Make what was made or renamed in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
