from __future__ import annotations

import contextlib
import json
import math
import mmap
import struct
import subprocess
import sys
import tempfile
from collections import Counter, OrderedDict, defaultdict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from warren.errors import CheckpointDamaged, MissingExtra, StateError
from warren.state import clone, decode, digest, encode


class Point(NamedTuple):
    x: Any
    y: Any


class Outer:
    class Inner(NamedTuple):
        z: Any


class Color(IntEnum):
    RED = 1


@dataclass
class Settings:
    lr: float


def round_trip(tree: Any) -> Any:
    encoded = encode(tree)
    content = encoded.tobytes()
    assert len(content) == encoded.size
    return decode(content)


def same(one: Any, two: Any) -> bool:
    """Equality of type, order and bits, also of NaN."""
    if type(one) is not type(two):
        return False
    if isinstance(one, np.ndarray | np.generic):
        return one.dtype == two.dtype and one.shape == two.shape and one.tobytes() == two.tobytes()
    if isinstance(one, dict):
        return len(one) == len(two) and all(
            same(a, b) and same(x, y) for (a, x), (b, y) in zip(one.items(), two.items(), strict=True)
        )
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(same(a, b) for a, b in zip(one, two, strict=True))
    if isinstance(one, float):
        return struct.pack("d", one) == struct.pack("d", two) or (one != one and two != two)
    return bool(one == two)


numbers = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
scalars = numbers | st.binary(max_size=5) | st.text(st.characters(), max_size=3)
dtypes = st.one_of(
    hnp.boolean_dtypes(),
    hnp.integer_dtypes(),
    hnp.unsigned_integer_dtypes(),
    hnp.floating_dtypes(sizes=(16, 32, 64)),
    hnp.complex_number_dtypes(sizes=(64, 128)),
    hnp.datetime64_dtypes(),
    hnp.timedelta64_dtypes(),
)
arrays = hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
items = st.sets(st.booleans() | st.integers() | st.text(max_size=3) | st.binary(max_size=3), max_size=4)
trees = st.recursive(
    scalars | arrays | arrays.filter(lambda a: a.ndim == 0).map(lambda a: a[()]) | items | items.map(frozenset),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(numbers, inner, max_size=3)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
        | st.dictionaries(numbers, inner, max_size=3).map(OrderedDict)
        | st.dictionaries(numbers, st.integers(), max_size=3).map(Counter)
        | st.builds(Point, inner, inner)
    ),
    max_leaves=8,
)


def little(tree: Any) -> Any:
    if isinstance(tree, np.ndarray | np.generic):
        return (
            tree.astype(tree.dtype.newbyteorder("<"))[()]
            if tree.ndim == 0 and isinstance(tree, np.generic)
            else tree.astype(tree.dtype.newbyteorder("<"))
        )
    return tree


@given(trees)
def test_round_trip(tree: Any) -> None:
    from warren.state.tree import map_leaves

    assert same(round_trip(tree), map_leaves(little, tree))


@given(trees)
def test_equal_trees_give_equal_bytes(tree: Any) -> None:
    content = encode(tree).tobytes()
    assert encode(clone(tree)).tobytes() == content
    assert encode(decode(content)).tobytes() == content


def library_knows_complex_numbers() -> bool:
    """Old versions of the library refuse a whole file with such an entry."""
    safetensors = pytest.importorskip("safetensors")
    try:
        safetensors.deserialize(encode(np.zeros(1, np.complex64)).tobytes())
    except safetensors.SafetensorError:
        return False
    return True


@given(trees)
def test_the_file_is_a_safetensors_file(tree: Any) -> None:
    safetensors = pytest.importorskip("safetensors")
    encoded = encode(tree)
    content = encoded.tobytes()
    if any(leaf.dtype == "C64" for leaf in encoded.leaves):
        assume(library_knows_complex_numbers())
    entries = dict(safetensors.deserialize(content))
    assert sum(len(entry["data"]) for entry in entries.values()) == encoded.size - len(encoded.header)
    assert len(entries) == len(encoded.leaves)


@given(st.data())
def test_any_cut_or_flip_is_refused_or_harmless(data: st.DataObject) -> None:
    content = bytearray(encode({"a": np.arange(3), "b": [1, {"c": (np.float32(2), b"x")}]}).tobytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(CheckpointDamaged, StateError, MissingExtra):
        decode(bytes(content))


def test_the_library_reads_our_files_and_names_are_readable(tmp_path: Any) -> None:
    library = pytest.importorskip("safetensors.numpy")
    tree = {
        "net": {"conv1.weight": np.ones((2, 3), np.float16)},
        "buffer": [np.arange(4), b"abc"],
        3: np.zeros(()),
    }
    loaded = library.load(encode(tree).tobytes())
    assert set(loaded) == {"net.conv1.weight", "buffer.0", "buffer.1", "3"}
    np.testing.assert_array_equal(loaded["net.conv1.weight"], np.ones((2, 3), np.float16))
    assert loaded["3"].shape == ()
    assert loaded["buffer.1"].tobytes() == b"abc"


def test_a_file_that_the_library_has_written_again_is_read() -> None:
    library = pytest.importorskip("safetensors.numpy")
    tree = {"z": np.arange(3, dtype=np.int8), "a": np.ones(2), "b": [np.float32(1.5), 7]}
    content = encode(tree).tobytes()
    metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    assert same(decode(library.save(library.load(content), metadata=metadata)), tree)


def test_the_file_has_one_metadata_key_alignment_and_no_holes() -> None:
    tree = [
        np.zeros(3, np.int8),
        np.zeros(1),
        np.zeros(3, np.float16),
        np.zeros(1, np.complex64),
        np.zeros(1, np.int32),
    ]
    content = encode(tree).tobytes()
    length = int.from_bytes(content[:8], "little")
    assert length % 8 == 0
    header = json.loads(content[8 : 8 + length])
    assert list(header.pop("__metadata__")) == ["warren"]
    assert [entry["dtype"] for entry in header.values()] == ["F64", "C64", "I32", "F16", "I8"]
    end = 0
    for entry in header.values():
        begin, following = entry["data_offsets"]
        assert begin == end
        end = following
    assert length + 8 + end == len(content)


def test_names_are_unique_and_never_that_of_the_metadata() -> None:
    tree = {
        "a": {"b": np.zeros(1)},
        "a.b": np.ones(1),
        "__metadata__": np.full(1, 2.0),
        "": np.full(1, 3.0),
        "\ud800": np.ones(2),
    }
    again = round_trip(tree)
    assert same(again, tree)
    pytest.importorskip("safetensors").deserialize(encode(tree).tobytes())


@pytest.mark.parametrize(
    "root",
    [np.arange(3), 5, None, "x", b"", [], {}, math.inf, -(2**63), 2**63, 1 << 20_000],
    ids=lambda root: type(root).__name__,
)
def test_roots_of_any_kind(root: Any) -> None:
    assert same(round_trip(root), root)


def test_key_types_and_order_are_kept() -> None:
    tree = {"b": 1, "a": 2, 0: 3, True: 4, None: 5, 1.5: 6, "0": 7, math.inf: 8, 2**80: 9, 2.0: 10}
    assert same(round_trip(tree), tree)
    assert list(round_trip(OrderedDict([("b", 1), ("a", 2)]))) == ["b", "a"]


def test_named_tuples_are_found_again_without_running_code() -> None:
    tree = [Point(np.arange(2), Point(1, 2)), Outer.Inner("q")]
    again = round_trip(tree)
    assert type(again[0]) is Point and type(again[1]) is Outer.Inner
    assert same(again, tree)


@pytest.mark.parametrize("name", ["Settings", "Absent", "sys.exit", "Outer"])
def test_a_skeleton_cannot_name_any_other_class(name: str) -> None:
    content = encode([Point(1, 2)]).tobytes()
    skeleton = content.replace(b"Point", name.encode())
    length = len(skeleton) - 8
    with pytest.raises(StateError, match="import that module"):
        decode(length.to_bytes(8, "little") + skeleton[8:])


def test_views_over_the_buffer() -> None:
    content = bytearray(encode({"w": np.arange(4.0)}).tobytes())
    tree = decode(content)
    tree["w"][0] = 9.0
    assert decode(content)["w"][0] == 9.0
    frozen = decode(bytes(content))["w"]
    assert not frozen.flags.writeable and frozen.base is not None
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        mapped = decode(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    mapped["w"][1] = 5.0
    np.testing.assert_array_equal(mapped["w"], [9.0, 5.0, 2.0, 3.0])


def test_a_buffer_of_other_items_or_at_any_offset() -> None:
    content = encode({"w": np.arange(4.0), "h": np.ones(3, np.int16)}).tobytes()
    odd = memoryview(b"?" + content)[1:]
    assert same(decode(odd), {"w": np.arange(4.0), "h": np.ones(3, np.int16)})
    padded = np.frombuffer(content.ljust(-(-len(content) // 8) * 8, b"\0"), np.int64)
    with pytest.raises(CheckpointDamaged, match="cover"):
        decode(memoryview(padded))


def test_encoding_reads_nothing_and_copies_nothing() -> None:
    array = np.arange(4.0)
    encoded = encode({"w": array})
    array[0] = 7.0
    chunks = list(encoded.chunks())
    assert np.shares_memory(np.frombuffer(chunks[1], np.float64), array)
    assert decode(encoded.tobytes())["w"][0] == 7.0


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4).T,
        np.arange(12.0)[::2],
        np.arange(12.0)[::-1],
        np.asfortranarray(np.arange(24).reshape(2, 3, 4)),
        np.broadcast_to(np.float32(3), (2, 3)),
        np.arange(3, dtype=">i4"),
        np.float64(2.5),
        np.bool_(True),
        np.datetime64("2024-01-02", "D"),
        np.zeros((0, 3), np.complex128),
        np.array(["2024-01-02", "NaT"], "M8[ns]"),
    ],
    ids=str,
)
def test_layouts(array: Any) -> None:
    again = round_trip([array])[0]
    assert isinstance(again, np.ndarray) == isinstance(array, np.ndarray)
    assert again.dtype == array.dtype.newbyteorder("<")
    np.testing.assert_array_equal(again, array)


def test_tied_arrays_are_stored_once() -> None:
    base = np.arange(1000.0)
    tree = {"a": base, "b": base, "view": base[:], "part": base[:500]}
    encoded = encode(tree)
    assert [leaf.nbytes for leaf in encoded.leaves] == [8000, 4000]
    again = decode(bytearray(encoded.tobytes()))
    assert again["a"] is not again["b"]
    again["a"][0] = -1.0
    assert again["b"][0] == again["view"][0] == -1.0
    assert again["part"][0] == 0.0
    assert encode(again).tobytes() == encode(decode(encode(again).tobytes())).tobytes()


def test_sets_are_deterministic_between_processes() -> None:
    code = (
        "from warren.state import encode, digest; "
        "print(digest(encode({'s': {'a', 'b', 'c', 1, 2.5, None, b'x'}, 'f': frozenset('xyz')}).chunks()))"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": str(seed), "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in range(3)
    }  # fmt: skip
    assert len(seen) == 1


def test_digest_is_sha256_of_the_pieces() -> None:
    assert digest([b"ab", memoryview(b"c")]) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_digests_of_the_format_do_not_change() -> None:
    """A change here makes existing runs unreadable, or breaks their digests: bump the schema instead."""
    tree = {
        "net": {"w": np.arange(3, dtype=np.float32)},
        "n": {1: (None, math.nan, 2**70)},
        "s": {"b", "a"},
        "x": b"q",
    }
    assert digest(encode(tree).chunks()) == FORMAT


FORMAT = "f5ecfe77883115d83b0a00645c5b3e6d23f45feb17c086fbab8c2cfc882517f2"

Local = namedtuple("Local", "a")
Local.__qualname__ = "nowhere.Local"
masked = np.ma.masked_array([1.0, 2.0], [True, False])
looped: list[Any] = []
looped.append(looped)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (lambda: 0, "a function cannot be stored; leave it out"),
        (print, "a function"),
        (partial(int, 3), "a function"),
        (math, "a class or module"),
        (int, "a class or module"),
        (defaultdict(list), r"a defaultdict cannot be stored; convert it with dict\(...\)"),
        (Color.RED, "a Color cannot be stored; convert it to the builtin"),
        (bytearray(b"x"), "bytearray"),
        (Settings(1.0), "the dataclass Settings cannot be stored; store a dict"),
        (1 + 2j, "complex"),
        (object(), "an object of type object"),
        (Local(1), "named tuple nowhere.Local .* cannot be found again"),
        ({(1, 2): 3}, r"the key \(1, 2\) is a tuple"),
        ({np.int64(1): 3}, "convert it .int.key. for a NumPy integer"),
        ({Point(1, 2)}, "this one holds a Point; use a list"),
        (np.array(["a"]), "a NumPy array of type <U1 cannot be stored"),
        (np.array([None]), "type object"),
        (np.zeros(2, [("a", "f4")]), "cannot be stored"),
        (np.zeros(2, np.longdouble), "float128|float96|float64|longdouble"),
        (masked, "its .data and its .mask"),
        (looped, "contains itself"),
    ],
)
def test_what_cannot_be_stored_is_named_with_its_path(value: Any, says: str) -> None:
    with pytest.raises(StateError, match=says) as caught:
        encode({"scheduler": {"fn": [0, value]}})
    if value is not looped:
        assert "state at 'scheduler.fn.1" in str(caught.value)


def forge(header: dict[str, Any], data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(**changes: Any) -> dict[str, Any]:
    made = {"dtype": "F64", "shape": [2], "data_offsets": [0, 16], **changes}
    return {"__metadata__": {"warren": '{"a":"w"}'}, "w": made}


def viewed(dtype: str) -> dict[str, Any]:
    return {"__metadata__": {"warren": json.dumps({"a": ["w", dtype]})}}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        b"\xff" * 64,
        (100).to_bytes(8, "little") + b"{}",
        forge([]),  # type: ignore[arg-type]
        forge(entry(), b"0" * 8),
        forge(entry(), b"0" * 24),
        forge(entry(shape=[3]), b"0" * 16),
        forge(entry(shape=[-2]), b"0" * 16),
        forge(entry(shape=[2.0]), b"0" * 16),
        forge(entry(shape=[True, 2]), b"0" * 16),
        forge(entry(shape=[2**70]), b"0" * 16),
        forge(entry(shape=5), b"0" * 16),
        forge(entry(data_offsets=[-16, 0]), b"0" * 16),
        forge(entry(data_offsets=[8, 24]), b"0" * 16),
        forge(entry(data_offsets=[0]), b"0" * 16),
        forge(entry(data_offsets=[0, 8]), b"0" * 16),
        forge(entry(dtype="F128"), b"0" * 16),
        forge({"__metadata__": {"warren": '{"a":"absent"}'}}),
        forge({"__metadata__": {"warren": '{"q":1}'}}),
        forge({"__metadata__": {"warren": '{"d":1}'}}),
        forge({"__metadata__": {"warren": '{"d":{},"p":[]}'}}),
        forge({"__metadata__": {"warren": "{}"}}),
        forge({"__metadata__": {"warren": '{"n":["a","b"]}'}}),
        forge({"__metadata__": {"warren": "not json"}}),
        forge({"__metadata__": {"warren": 7}}),
        forge({"__metadata__": {"warren": '{"s":[[1]]}'}}),
        forge({"__metadata__": {"warren": '{"p":{"a":1}}'}}),
        forge({"__metadata__": {"warren": "[" * 100_000 + "]" * 100_000}}),
        forge({**entry(), **viewed("O")}, b"0" * 16),
        forge({**entry(shape=[4], data_offsets=[0, 32]), **viewed("<c16")}, b"0" * 32),
        forge({**entry(dtype="F32", data_offsets=[0, 8]), **viewed("<m8")}, b"0" * 8),
    ],
)
def test_malformed_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(CheckpointDamaged):
        decode(content)


def test_a_file_of_others_is_refused() -> None:
    with pytest.raises(StateError, match=r"holds no state.*safetensors library"):
        decode(forge({}))


def test_importing_the_state_imports_no_framework() -> None:
    code = (
        "import sys, warren.checkpoints; from warren.state import decode, encode; "
        "decode(encode({'a': 1}).tobytes()); "
        "sys.exit(bool({'torch', 'jax', 'safetensors'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("function", [lambda tree: encode(tree).tobytes(), clone], ids=["encode", "clone"])
def test_a_copy_is_independent(function: Callable[[Any], Any]) -> None:
    tree = {"w": np.arange(3), "l": [Point(np.ones(1), {1})], "c": Counter("aab"), "t": (np.zeros(2),)}
    copy = function(tree)
    tree["w"][0] = 5
    tree["l"][0].x[0] = 5
    tree["l"][0].y.add(2)
    tree["t"][0][0] = 5
    again = decode(copy) if isinstance(copy, bytes) else copy
    expected = {"w": np.arange(3), "l": [Point(np.ones(1), {1})], "c": Counter("aab"), "t": (np.zeros(2),)}
    assert same(again, expected)
