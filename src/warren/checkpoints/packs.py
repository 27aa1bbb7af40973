"""A pack: states that were published together, in one file.

The file begins with `_MAGIC` and the number of states; then come one entry for each state, and one mark for each: 0,
or 1 once it was deleted. The states follow, each a complete safetensors file. All but the marks is written once. An
entry has a check sum of its own, so that a damaged one costs no other state; a state's bytes have their digest.

The state in place 7 of ``pack-<token>`` has the name ``<digest>-<token>_7.safetensors``. Where there is a file of that
name, the file counts.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from warren.checkpoints.base import checkpoint_name, member_token, require_digest
from warren.checkpoints.files import Stream, pieces, write
from warren.errors import CheckpointDamaged, CheckpointMissing
from warren.state import Encoded

_MAGIC = b"warren\x00\x01"
_PREAMBLE = struct.Struct("<8sQ")
_BODY = struct.Struct("<32sQQ")  # digest, offset, size
_CHECK = struct.Struct("<I4x")  # of these
_ENTRY = _BODY.size + _CHECK.size
_ALIGNMENT = 64  # of a line of the processor's cache
_FILE = re.compile(r"pack-[A-Za-z0-9_-]{1,62}")
_PACKED = re.compile(r"[0-9a-f]{64}-(.+)_(0|[1-9][0-9]*)\.safetensors")


class Packed(NamedTuple):
    """Where a state lies.

    Attributes:
        name: Its name.
        place: Its number in the pack.
        begin: Where in the file it begins.
        size: Its length in bytes.
        deleted: Whether it was deleted.
    """

    name: str
    place: int
    begin: int
    size: int
    deleted: bool


def is_pack(file: str) -> bool:
    """Whether a file's name has the form of a pack's."""
    return _FILE.fullmatch(file) is not None


def pack_file(token: str) -> str:
    """The file's name of a pack."""
    return f"pack-{token}"


def place_of(name: str) -> tuple[str, int] | None:
    """The pack that a checkpoint of this name would lie in, and its place there; None: its name is none of a pack's."""
    found = _PACKED.fullmatch(name)
    return None if found is None else (pack_file(found[1]), int(found[2]))


def write_pack(descriptor: int, encoded: Sequence[Encoded]) -> list[tuple[str, int]]:
    """Write an empty file full; returns digest and size of each state."""
    count = len(encoded)
    stream = Stream(descriptor, begin=_marks(count) + count, most=sum(one.size + _ALIGNMENT for one in encoded))
    entries, written = [], []
    for one in encoded:
        begin = stream.align(_ALIGNMENT)
        digest, size = stream.state(one)
        entries.append(_entry(digest, begin, size))
        written.append((digest, size))
    stream.flush()
    # Last, since only now the digests are known; until it is there, and on the disk, the file has no name.
    os.lseek(descriptor, 0, os.SEEK_SET)
    write(descriptor, memoryview(_PREAMBLE.pack(_MAGIC, count) + b"".join(entries) + bytes(count)))
    return written


@contextmanager
def opened(path: Path, flags: int) -> Iterator[int]:
    """A file's descriptor, for the time of a block."""
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def find(descriptor: int, file: str, place: int, name: str) -> Packed | None:
    """Where a state lies; None if it is not in this pack, or deleted.

    Raises:
        CheckpointDamaged: if the pack does not say.
    """
    with _read_damaged(file, name):
        count = _count(descriptor)
        if count is not None and place >= count:
            return None
        # One entry, not all: a pack may have thousands, and all of them may be loaded.
        raw = _read(descriptor, _ENTRY, _PREAMBLE.size + place * _ENTRY)
        found = _packed(raw, file, place, b"" if count is None else _read(descriptor, 1, _marks(count) + place))
    if found is None:
        raise CheckpointDamaged(
            f"checkpoint {name}: the head of {file}, which it lies in, was changed or is cut short, so fall back to an "
            "older checkpoint"
        )
    return None if found.deleted or found.name != name else found


def listed(descriptor: int, file: str) -> list[Packed]:
    """All states of a pack, also deleted ones; not those whose entries are damaged, and none of what is no pack."""
    count = _count(descriptor)
    if count is None:
        return []
    head = _read(descriptor, count * _ENTRY, _PREAMBLE.size)
    marks = _read(descriptor, count, _marks(count))
    found = (
        _packed(head[place * _ENTRY : (place + 1) * _ENTRY], file, place, marks[place : place + 1])
        for place in range(count)
    )
    return [one for one in found if one is not None]


def mark(descriptor: int, deleted: Iterable[Packed]) -> None:
    """Mark states as deleted. Only who has locked the file may."""
    places = [one.place for one in deleted]
    if not places:
        return
    begin = (_count(descriptor) or 0) * _ENTRY + _PREAMBLE.size + min(places)
    marks = bytearray(_read(descriptor, max(places) - min(places) + 1, begin))
    for place in places:
        marks[place - min(places)] = 1
    os.pwrite(descriptor, marks, begin)


def copy_pack(source: Path, target: Path, wanted: Mapping[str, str]) -> int:
    """Copy some states of a pack into one of the same name, and compare them with their digests.

    The others are deleted in the copy, and leave holes. That one is deleted in the source does not matter: its bytes
    are still there.

    Args:
        source: The pack.
        target: The copy; not there yet. It is on the disk afterwards.
        wanted: The digest of each state by its name.

    Returns:
        The bytes that were written.

    Raises:
        CheckpointMissing: if a state never was in the pack.
        CheckpointDamaged: if one has another digest.
    """
    with opened(source, os.O_RDONLY) as old, opened(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as new:
        there = {one.name: one for one in listed(old, source.name)}
        for name in wanted:
            if name not in there:
                raise CheckpointMissing(f"checkpoint {name} is not in {source.name}, or the pack's head is damaged")
        count = _count(old) or 0
        head = _read(old, _marks(count), 0)
        marks = bytearray(b"\1" * count)
        for name, digest in wanted.items():
            one, sha = there[name], hashlib.sha256()
            marks[one.place] = 0
            os.lseek(new, one.begin, os.SEEK_SET)
            for piece in pieces(old, one.begin, one.size):
                sha.update(piece)
                write(new, piece)
            require_digest(name, sha.hexdigest(), digest)
        os.lseek(new, 0, os.SEEK_SET)
        write(new, memoryview(head + marks))
        os.fsync(new)
    return len(head) + len(marks) + sum(there[name].size for name in wanted)


@contextmanager
def _read_damaged(file: str, name: str) -> Iterator[None]:
    """What the disk cannot give is damage; other errors are not."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise CheckpointDamaged(
            f"checkpoint {name}: the head of {file}, which it lies in, cannot be read ({error.strerror}); the disk is "
            "damaged there, so fall back to an older checkpoint and look after the disk"
        ) from error


def _entry(digest: str, begin: int, size: int) -> bytes:
    body = _BODY.pack(bytes.fromhex(digest), begin, size)
    return body + _CHECK.pack(zlib.crc32(body))


def _packed(raw: bytes, file: str, place: int, mark: bytes) -> Packed | None:
    """What an entry says; None where it is cut short or damaged."""
    if len(raw) < _ENTRY or not mark:
        return None
    body = raw[: _BODY.size]
    if _CHECK.unpack_from(raw, _BODY.size) != (zlib.crc32(body),):
        return None
    digest, begin, size = _BODY.unpack(body)
    token = member_token(file.removeprefix("pack-"), place)
    return Packed(checkpoint_name(digest.hex(), token), place, begin, size, mark != b"\0")


def _count(descriptor: int) -> int | None:
    """How many states there are; None where it is no pack, or its first bytes are damaged."""
    raw = _read(descriptor, _PREAMBLE.size, 0)
    if len(raw) < _PREAMBLE.size:
        return None
    magic, count = _PREAMBLE.unpack(raw)
    if magic != _MAGIC or _marks(count) + count > os.fstat(descriptor).st_size:
        return None
    return int(count)


def _marks(count: int) -> int:
    """Where the marks begin."""
    return _PREAMBLE.size + count * _ENTRY


def _read(descriptor: int, size: int, begin: int) -> bytes:
    """A part of a file; shorter only where the file ends."""
    found = os.pread(descriptor, size, begin)
    while len(found) < size and (more := os.pread(descriptor, size - len(found), begin + len(found))):
        found += more
    return found
