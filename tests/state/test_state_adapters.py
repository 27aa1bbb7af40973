from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from warren.errors import InvalidType, StateError
from warren.state import adapt, decode, encode


def through_bytes(tree: Any) -> Any:
    return decode(encode(tree).tobytes())


class Buffer:
    def __init__(self) -> None:
        self.content: dict[str, Any] = {"w": np.zeros(3), "n": [1]}

    def state_dict(self) -> dict[str, Any]:
        return self.content

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "w" not in state:
            raise KeyError("w")
        self.content = state


def test_objects_with_a_state_dict_get_copies() -> None:
    buffer = Buffer()
    adapter = adapt("buffer", buffer)
    buffer.content = {"w": np.arange(3.0), "n": [1, 2]}
    content = bytearray(encode(adapter.capture()).tobytes())
    tree = decode(content)
    adapter.restore(tree)
    buffer.content["w"][0] = -1.0
    buffer.content["n"].append(3)
    assert tree["w"][0] == decode(content)["w"][0] == 0.0 and tree["n"] == [1, 2]
    adapter.restore(decode(bytes(content)))
    buffer.content["w"][0] = -1.0  # writable, also where the bytes were not


def test_errors_of_an_object_name_it() -> None:
    adapter = adapt("buffer", Buffer())
    with pytest.raises(StateError, match=r"^buffer: load_state_dict\(\) of Buffer refused .*'w'") as caught:
        adapter.restore({})
    assert isinstance(caught.value.__cause__, KeyError)

    class Broken(Buffer):
        def state_dict(self) -> dict[str, Any]:
            raise RuntimeError("not yet")

    with pytest.raises(StateError, match=r"^broken: state_dict\(\) of Broken failed: not yet"):
        adapt("broken", Broken()).capture()


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_numpy_generators(kind: Any) -> None:
    generator = np.random.Generator(kind(7))
    generator.integers(2**31, dtype=np.int32)  # leaves half a word
    adapter = adapt("rng", generator)
    tree = through_bytes(adapter.capture())
    expected = generator.normal(size=5)
    adapter.restore(tree)
    np.testing.assert_array_equal(generator.normal(size=5), expected)
    other = np.random.Generator(kind(8))
    adapt("rng", other).restore(tree)
    np.testing.assert_array_equal(other.normal(size=5), expected)


def test_a_numpy_generator_of_another_kind() -> None:
    tree = adapt("rng", np.random.Generator(np.random.Philox(1))).capture()
    with pytest.raises(StateError, match=r"^rng: the stored state is not one of a PCG64 generator"):
        adapt("rng", np.random.default_rng(1)).restore(tree)


def test_random_generators() -> None:
    generator = random.Random(3)
    generator.gauss(0.0, 1.0)  # keeps a spare number
    adapter = adapt("rng", generator)
    encoded = encode(adapter.capture())
    assert len(encoded.header) < 500
    expected = [generator.gauss(0.0, 1.0) for _ in range(3)]
    adapter.restore(decode(encoded.tobytes()))
    assert [generator.gauss(0.0, 1.0) for _ in range(3)] == expected


@pytest.mark.parametrize("tree", [None, {}, {"version": 3, "words": np.zeros(3, np.uint32), "spare": None}, []])
def test_a_random_generator_refuses_other_states(tree: Any) -> None:
    with pytest.raises(StateError, match=r"^rng: the stored state is not one of a random\.Random"):
        adapt("rng", random.Random(1)).restore(tree)


def test_arrays_are_written_in_place() -> None:
    array = np.arange(6.0).reshape(2, 3)[:, ::2]
    adapter = adapt("table", array)
    tree = through_bytes(adapter.capture())
    array[:] = -1.0
    adapter.restore(tree)
    np.testing.assert_array_equal(array, [[0.0, 2.0], [3.0, 5.0]])


@pytest.mark.parametrize(
    "value", [np.zeros((3, 2)), np.zeros(()), np.zeros((2, 3), np.float32), np.zeros((2, 3), int), 5.0]
)
def test_arrays_of_another_shape_or_type_are_refused(value: Any) -> None:
    array = np.ones((2, 3))
    with pytest.raises(StateError, match=r"^table: the array is float64\[2, 3\], and the stored value is"):
        adapt("table", array).restore(value)
    assert (array == 1.0).all()


@pytest.mark.parametrize(
    ("obj", "says"),
    [
        (
            [1],
            r"track\(buffer=...\): list has no state_dict\(\)/load_state_dict\(\); give it both, or keep its",
        ),
        (None, "NoneType"),
        (Buffer, "Buffer is a class; give an object made from it"),
        (random.SystemRandom(), "SystemRandom"),
        (np.broadcast_to(1.0, 3), "read-only; track a writable copy"),
    ],
)
def test_other_things_cannot_be_tracked(obj: object, says: str) -> None:
    with pytest.raises(InvalidType, match=says):
        adapt("buffer", obj)


def test_half_of_the_methods_is_not_enough() -> None:
    class Half:
        state_dict = 5

        def load_state_dict(self, state: object) -> None: ...

    with pytest.raises(InvalidType, match="Half has no"):
        adapt("half", Half())
