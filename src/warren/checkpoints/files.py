"""Bytes on their way to the disk and back: written and hashed in one pass, read in pieces."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator

from warren.errors import CheckpointDamaged
from warren.state import Chunk, Encoded

# Hashed and then written while still in the processor's caches; and short enough to be interrupted soon.
PIECE = 4 * 2**20
# Shorter ones are copied and written together: a call of the system costs as much as copying a few KB.
_SHORT = 16 * 2**10
_GATHERED = 2**18


class Stream:
    """Writes states to a file one after another, and hashes each by itself.

    Long arrays are written from where they lie; short ones are gathered in one buffer.

    Args:
        descriptor: The file, open for writing.
        begin: Where in it the first state is written.
        most: About how many bytes there will be.
    """

    def __init__(self, descriptor: int, *, begin: int, most: int) -> None:
        os.lseek(descriptor, begin, os.SEEK_SET)
        self._end = begin
        self._descriptor = descriptor
        self._buffer = memoryview(bytearray(max(_SHORT, min(most, _GATHERED))))
        self._filled = 0
        self._hashed = 0
        self._sha = hashlib.sha256()

    def state(self, encoded: Encoded) -> tuple[str, int]:
        """Write a state; returns its digest and size."""
        self._hashed = self._filled
        self._sha = hashlib.sha256()
        begin = self._end
        for chunk in encoded.chunks():
            self._put(chunk)
        self._hash()
        return self._sha.hexdigest(), self._end - begin

    def align(self, unit: int) -> int:
        """Fill up with zeros to a multiple of `unit`; returns where that is."""
        self._put(bytes(-self._end % unit))
        return self._end

    def flush(self) -> None:
        """Write what is still gathered."""
        self._hash()
        write(self._descriptor, self._buffer[: self._filled])
        self._filled = self._hashed = 0

    def _put(self, chunk: Chunk) -> None:
        length = len(chunk)
        self._end += length
        if length < _SHORT:
            if self._filled + length > len(self._buffer):
                self.flush()
            end = self._filled + length
            self._buffer[self._filled : end] = chunk
            self._filled = end
            return
        self.flush()
        view = memoryview(chunk)
        for start in range(0, length, PIECE):
            piece = view[start : start + PIECE]
            self._sha.update(piece)
            write(self._descriptor, piece)

    def _hash(self) -> None:
        if self._hashed < self._filled:
            self._sha.update(self._buffer[self._hashed : self._filled])
            self._hashed = self._filled


def write(descriptor: int, data: memoryview) -> None:
    """Write all of some bytes."""
    while data:
        data = data[os.write(descriptor, data) :]


def pieces(descriptor: int, begin: int, size: int) -> Iterator[memoryview]:
    """A part of a file, read in pieces that are valid until the next one; shorter where the file is."""
    with open(descriptor, "rb", buffering=0, closefd=False) as file:
        file.seek(begin)
        piece = memoryview(bytearray(max(1, min(PIECE, size))))
        while size > 0 and (length := file.readinto(piece[: min(size, PIECE)])):
            yield piece[:length]
            size -= length


def digest_of(descriptor: int, begin: int, size: int, name: str) -> str:
    """The digest of a part of a file.

    Raises:
        CheckpointDamaged: if the disk cannot give it; the message says that it is of checkpoint `name`.
    """
    sha = hashlib.sha256()
    try:
        for piece in pieces(descriptor, begin, size):
            sha.update(piece)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        raise CheckpointDamaged(
            f"checkpoint {name}: its bytes cannot be read ({error.strerror}); the disk is damaged there, so fall "
            "back to an older checkpoint and look after the disk"
        ) from error
    return sha.hexdigest()
