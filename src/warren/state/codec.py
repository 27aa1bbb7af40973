"""A state as bytes: one safetensors file, written in one pass and read without copying.

The file is what the safetensors library reads and writes: the length of the header (8 bytes, little-endian),
a JSON header padded with spaces to a multiple of 8, and the arrays without holes. The tree around them is one
metadata key, ``warren``: several keys have no stable order in other writers, and equal states must give equal
bytes. Arrays are ordered by the size of their numbers, widest first, so that each is aligned.

The writer is warren's own because the library's makes a copy of the whole state before it writes: here one
pass hashes and writes each array where it lies.
"""

from __future__ import annotations

import hashlib
import json
import math
import mmap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, TypeAlias

import numpy as np

from warren.errors import CheckpointDamaged, StateError, WarrenError
from warren.state.leaves import ITEM_SIZES, Hosted, Leaf, Stored, alias, numpy_bytes, recognise, revive
from warren.state.tree import LeafWriter, Node, Path, Tree, dotted, from_skeleton, to_skeleton

Chunk: TypeAlias = "bytes | memoryview"
Buffer: TypeAlias = "bytes | bytearray | memoryview | mmap.mmap"

_METADATA = "__metadata__"
_KEY = "warren"
# What reading a header or skeleton of another form than ours may raise.
_MALFORMED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
_write_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


@dataclass(frozen=True, kw_only=True, eq=False)
class Encoded:
    """A state that is ready to be written. It refers to the arrays of the tree and has not copied them.

    The state must not change before the last byte is taken; `tobytes` makes it independent.

    Attributes:
        header: the first bytes of the file.
        leaves: the arrays, in the order in which they follow the header.
        size: length of the whole file, in bytes.
    """

    header: bytes
    leaves: tuple[Leaf, ...]
    size: int

    def chunks(self) -> Iterator[Chunk]:
        """The file in pieces: the header, then each array.

        Arrays in C order in the host's memory are given as they lie. All others are made so, or brought from
        their device, one at a time, and let go when the next one is asked for.
        """
        yield self.header
        for leaf in self.leaves:
            if leaf.nbytes:
                yield leaf.read()

    def tobytes(self) -> bytes:
        """The whole file."""
        return b"".join(self.chunks())


def digest(chunks: Iterable[Chunk]) -> str:
    """The SHA-256 of some pieces of a file, in hexadecimal: the address of a checkpoint."""
    sha = hashlib.sha256()
    for chunk in chunks:
        sha.update(chunk)
    return sha.hexdigest()


def encode(tree: Tree) -> Encoded:
    """Describe a state as a file, without reading its arrays yet.

    Equal trees give equal bytes. Arrays that are the same view of the same memory (tied weights) are stored
    once. A container that appears twice in the tree is stored twice.

    Args:
        tree: the state; see `warren.state.tree.Tree` for what it may hold.

    Returns:
        The header, and the arrays to follow it.

    Raises:
        StateError: if something in the tree cannot be stored; the message names its path.
    """
    writer = _Writer()
    skeleton = _skeleton(tree, (), writer.leaf)
    entries = writer.entries
    if len(entries) > 1:
        entries.sort(key=lambda entry: -ITEM_SIZES[entry[1].dtype])
    listed, end = _listed(entries)
    header = _header(skeleton, listed)
    return Encoded(header=header, leaves=tuple([leaf for _, leaf in entries]), size=len(header) + end)


def encode_stacked(stacked: Tree, beside: Sequence[Mapping[str, Tree]], places: Sequence[int]) -> list[Encoded]:
    """Describe the states of many members that are one tree of arrays with a leading member axis.

    What is the same for all is found once, so that a member costs a tenth of its own `encode`.

    Args:
        stacked: the tree; its arrays are NumPy's or `Hosted`, whose first axis is the members'. What else it holds
            belongs to every member.
        beside: for each member what is stored beside its state, without arrays.
        places: where each member stands on the axis.

    Returns:
        For each member what ``encode({"state": its own, **beside})`` gives.

    Raises:
        StateError: as `encode`.
    """
    writer = _Writer()
    wholes: dict[str, memoryview] = {}

    def leaf(value: object, path: Path) -> Node | None:
        first, array = value, value
        if isinstance(value, Hosted):
            first, array = value.at(0), value.array
        elif isinstance(value, np.ndarray):
            first = value[0, ...]
        node = writer.leaf(first, path)
        if isinstance(array, np.ndarray) and writer.entries and writer.entries[-1][0] not in wholes:
            wholes[writer.entries[-1][0]] = numpy_bytes(array)
        return node

    state = _skeleton(stacked, ("state",), leaf)
    entries = sorted(writer.entries, key=lambda entry: -ITEM_SIZES[entry[1].dtype])
    listed, end = _listed(entries)
    found = []
    for place, other in zip(places, beside, strict=True):
        rest = "".join(f",{_quoted(name)}:{_skeleton(part, (name,), writer.leaf)}" for name, part in other.items())
        header = _header(f'{{"d":{{"state":{state}{rest}}}}}', listed)
        leaves = []
        for name, one in entries:
            if name in wholes:
                one = one._replace(read=partial(_part, wholes[name], place * one.nbytes, one.nbytes))
            leaves.append(one)
        found.append(Encoded(header=header, leaves=tuple(leaves), size=len(header) + end))
    return found


def _part(whole: memoryview, begin: int, size: int) -> memoryview:
    return whole[begin : begin + size]


def _skeleton(tree: Tree, path: Path, leaf: LeafWriter) -> str:
    try:
        return _write_json(to_skeleton(tree, path, leaf))
    except RecursionError:
        raise StateError("the state is nested too deeply, or contains itself; flatten it") from None


def _listed(entries: Sequence[tuple[str, Leaf]]) -> tuple[str, int]:
    """What the header says of the arrays, and the bytes that they have together."""
    # What `json` would write, in a third of the time: states of a thousand members are described in each round.
    parts = []
    end = 0
    for name, leaf in entries:
        begin, end = end, end + leaf.nbytes
        shape = ",".join(map(str, leaf.shape))
        parts.append(f',{_quoted(name)}:{{"dtype":"{leaf.dtype}","shape":[{shape}],"data_offsets":[{begin},{end}]}}')
    return "".join(parts), end


def _header(skeleton: str, listed: str) -> bytes:
    text = f'{{"{_METADATA}":{{"{_KEY}":{_quoted(skeleton)}}}{listed}}}'.encode("ascii")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def decode(buffer: Buffer) -> Tree:
    """Read a state.

    Args:
        buffer: the whole file. Its arrays stay where they are: the tree holds views over it and keeps it
            alive. Over a read-only buffer NumPy arrays are read-only and torch tensors are copies.

    Returns:
        The tree, with tensors on the CPU, without gradients, and contiguous; JAX arrays are NumPy arrays
        where JAX is not imported.

    Raises:
        CheckpointDamaged: if the bytes are not a whole and well-formed file.
        StateError: if the file is sound but no state of warren's, or needs a class or type that is missing.
        MissingExtra: if it holds torch tensors and torch is not installed.
    """
    view = memoryview(buffer)
    if view.format != "B" or view.ndim != 1:
        view = view.cast("B")
    try:
        header, data = _split(view)
        metadata = header.pop(_METADATA, None)
        if not isinstance(metadata, dict) or _KEY not in metadata:
            raise StateError(
                f"the file holds no state: its metadata lack the key '{_KEY}'; give a file that warren "
                "wrote, or load the arrays of this one with the safetensors library"
            )
        reader = _Reader(header, data)
        return from_skeleton(json.loads(metadata[_KEY]), reader.leaf)
    except WarrenError:
        raise
    except _MALFORMED as error:
        raise CheckpointDamaged(f"the bytes are not a well-formed state ({type(error).__name__}: {error})") from error


def _split(view: memoryview) -> tuple[dict[str, Any], memoryview]:
    total = len(view)
    length = int.from_bytes(view[:8], "little") if total >= 8 else 0
    if length < 2 or 8 + length > total:
        raise CheckpointDamaged(
            f"the bytes are not a whole state: {total} bytes with a header of {length}; the file is cut "
            "short or was not written by warren"
        )
    header = json.loads(bytes(view[8 : 8 + length]))
    if not isinstance(header, dict):
        raise CheckpointDamaged("the header of the state is not a JSON object")
    return header, view[8 + length :]


class _Writer:
    """Collects the arrays of a tree under unique names, each view of memory once."""

    __slots__ = ("entries", "known", "taken")

    def __init__(self) -> None:
        self.entries: list[tuple[str, Leaf]] = []
        self.known: dict[tuple[object, ...], str] = {}
        self.taken = {_METADATA}

    def leaf(self, value: object, path: Path) -> Node | None:
        try:
            found = recognise(value)
        except StateError as error:
            raise StateError(f"state at '{dotted(path)}': {error}") from error.__cause__
        if found is None:
            return None
        tag, leaf = found
        identity, view = leaf.identity, leaf.view
        name = None if identity is None else self.known.get(identity)
        if name is None:
            name = self._name(path)
            self.entries.append((name, leaf))
            if identity is not None:
                self.known[identity] = name
        return {tag: name if view is None else [name, view]}

    def _name(self, path: Path) -> str:
        wanted = dotted(path)
        if not wanted.isascii():  # a lone surrogate is legal in a Python string and in no file
            wanted = wanted.encode("utf-8", "replace").decode("utf-8")
        name, number = wanted, 1
        while name in self.taken:
            number += 1
            name = f"{wanted}~{number}"
        self.taken.add(name)
        return name


class _Reader:
    """Makes the arrays of a tree from the entries of a header, each entry once."""

    __slots__ = ("data", "made", "stored")

    def __init__(self, header: dict[str, Any], data: memoryview) -> None:
        self.data = data
        self.made: dict[tuple[str, str], Any] = {}
        self.stored: dict[str, Stored] = {}
        covered = 0
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            shape = tuple(entry["shape"])
            if not all(type(number) is int and number >= 0 for number in (begin, end, *shape)):
                raise CheckpointDamaged(f"entry '{name}' of the state has an offset or length that is not a number")
            expected = math.prod(shape) * ITEM_SIZES[entry["dtype"]]
            if end > len(data) or end - begin != expected:
                raise CheckpointDamaged(
                    f"entry '{name}' of the state should have {expected} bytes within {len(data)}, but got "
                    f"the range {begin} to {end}"
                )
            covered += expected
            self.stored[name] = Stored(entry["dtype"], shape, begin, end)
        if covered != len(data):
            raise CheckpointDamaged(f"the state has {len(data)} bytes of arrays, and its entries cover {covered}")

    def leaf(self, tag: str, payload: Node) -> Any:
        name, view = (payload, None) if isinstance(payload, str) else payload
        made = self.made.get((tag, name))
        if made is not None:
            return alias(made)
        made = self.made[tag, name] = revive(tag, self.stored[name], view, self.data)
        return made
