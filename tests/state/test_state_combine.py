from __future__ import annotations

from collections import OrderedDict, namedtuple
from typing import Any

import numpy as np
import pytest

from warren.errors import StateError
from warren.state import combine_leaves, decode, encode

Pair = namedtuple("Pair", ["left", "right"])


def total(arrays: Any, path: Any) -> Any:
    return sum(arrays)


def test_floating_arrays_are_combined_and_all_else_is_the_firsts() -> None:
    """Containers keep their kinds; NumPy's scalars are arrays, Python's floats are not."""
    one = {
        "w": np.array([1.0, 2.0], np.float32), "n": np.array([3, 4]), "lr": 0.5, "word": "a", "flag": np.array([True]),
        "deep": [OrderedDict(z=np.array([[1j]])), (np.float64(2.0), None), Pair(np.float16(1.0), {1, 2})],
    }  # fmt: skip
    two = {
        "w": np.array([10.0, 20.0], np.float32), "n": np.array([7, 8]), "lr": 0.7, "word": "b",
        "flag": np.array([False]),
        "deep": [OrderedDict(z=np.array([[2.0 + 0j]])), (np.float64(4.0), 3), Pair(np.float16(0.5), {3})],
    }  # fmt: skip
    made = combine_leaves(total, [one, two])
    np.testing.assert_array_equal(made["w"], np.array([11.0, 22.0], np.float32))
    assert made["w"].dtype == np.float32
    assert (made["n"].tolist(), made["lr"], made["word"], made["flag"].tolist()) == ([3, 4], 0.5, "a", [True])
    table, plain, pair = made["deep"]
    assert type(table) is OrderedDict
    assert table["z"].tolist() == [[2.0 + 1j]]
    assert plain == (6.0, None)
    assert type(plain[0]) is np.float64
    assert type(pair) is Pair
    assert (pair.left, type(pair.left), pair.right) == (1.5, np.float16, {1, 2})


def test_it_is_computed_in_64_bits_and_rounded_once() -> None:
    """1 + 2**-24 is 1 in float32, but the sum of two of them is not 2 in float64, nor of 2**25 of them."""
    small = np.array([2.0**-24], np.float32)
    made = combine_leaves(total, [{"w": np.array([1.0], np.float32)}, {"w": small}, {"w": small}])
    assert made["w"][0] == np.float32(1.0 + 2.0**-23)


def test_the_path_is_told() -> None:
    seen = []

    def look(arrays: Any, path: Any) -> Any:
        seen.append(path)
        return arrays[0]

    combine_leaves(look, [{"a": [np.zeros(1), 3, {"b": np.zeros(())}]}])
    assert seen == [("a", 0), ("a", 2, "b")]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (
            {"net": {"w": np.zeros(3)}},
            r"at 'net.w' one has an array of shape \(2,\), and another an array of shape \(3,\)",
        ),
        ({"net": {"w": 1.0}}, r"at 'net.w' one has an array of shape \(2,\), and another a float"),
        ({"net": {}}, r"at 'net' one has \(w\), and another \(nothing\)"),
        ({"net": [np.zeros(2)]}, r"at 'net' one has \(w\), and another 1 parts"),
    ],
    ids=["shape", "no array", "keys", "container"],
)
def test_other_forms_are_refused_where_there_are_arrays(other: Any, words: str) -> None:
    with pytest.raises(StateError, match=words):
        combine_leaves(total, [{"net": {"w": np.zeros(2)}}, other])


def test_other_forms_do_not_matter_where_there_are_none() -> None:
    """A history that is longer in one; a table that the other does not have."""
    one, two = {"losses": [1.0, 2.0], "seen": {"a": 1}}, {"losses": [3.0], "seen": None}
    assert combine_leaves(total, [one, two]) == one


def test_a_function_that_changes_the_shape_is_refused() -> None:
    with pytest.raises(
        StateError, match=r"at 'w' they have arrays of shape \(2,\), and the hook gave one of shape \(\)"
    ):
        combine_leaves(lambda arrays, path: arrays[0].sum(), [{"w": np.zeros(2)}])


@pytest.mark.parametrize("name", ["float64", "float32", "float16", "bfloat16", "complex64", "float8_e4m3fn"])
def test_torch(name: str) -> None:
    """Of the first one's type, and as good as any other when it is stored."""
    torch = pytest.importorskip("torch")
    dtype = getattr(torch, name)
    states = [{"w": torch.tensor([[n, 2.0 * n]]).to(dtype), "i": torch.tensor([n])} for n in (1, 3)]
    made = combine_leaves(total, [decode(bytearray(encode(state).tobytes())) for state in states])
    assert (made["w"].dtype, made["i"].item()) == (dtype, 1)
    assert made["w"].to(torch.complex64).tolist() == [[4.0, 8.0]]
    assert decode(bytearray(encode(made).tobytes()))["w"].dtype == dtype
    number = combine_leaves(total, [{"w": torch.tensor(1.5)}, {"w": torch.tensor(2.0)}])["w"]
    assert (number.shape, number.item()) == ((), 3.5)


@pytest.mark.parametrize("name", ["float32", "bfloat16", "complex64"])
def test_jax(name: str) -> None:
    """Keys are not numbers."""
    jax = pytest.importorskip("jax")
    dtype = getattr(jax.numpy, name)
    states = [{"w": jax.numpy.array([n, 2.0 * n], dtype), "key": jax.random.key(n)} for n in (1, 3)]
    made = combine_leaves(total, [decode(bytearray(encode(state).tobytes())) for state in states])
    assert isinstance(made["w"], jax.Array)
    assert made["w"].dtype == dtype
    assert np.asarray(made["w"]).astype(np.complex64).tolist() == [4.0, 8.0]
    assert (made["key"] == states[0]["key"]).all()
