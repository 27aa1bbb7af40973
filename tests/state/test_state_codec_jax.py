from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from warren.errors import InvalidType, StateError  # noqa: E402
from warren.state import adapt, decode, encode  # noqa: E402


def round_trip(tree: Any) -> Any:
    return decode(bytearray(encode(tree).tobytes()))


@pytest.mark.parametrize(
    "name", ["float32", "bfloat16", "float16", "int32", "uint8", "bool_", "complex64", "float8_e4m3fn"]
)
@pytest.mark.parametrize("shape", [(), (2, 3), (0, 2)], ids=str)
def test_arrays(name: str, shape: tuple[int, ...]) -> None:
    array = jax.numpy.arange(np.prod(shape)).reshape(shape).astype(getattr(jax.numpy, name))
    again = round_trip({"w": [array]})["w"][0]
    assert isinstance(again, jax.Array)
    assert (again.dtype, again.shape) == (array.dtype, array.shape)
    assert np.asarray(again).tobytes() == np.asarray(array).tobytes()


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_random_keys(impl: str) -> None:
    keys = jax.random.split(jax.random.key(3, impl=impl), 4)
    again = round_trip([keys, keys[0], jax.random.PRNGKey(3)])
    assert again[0].dtype == keys.dtype and again[0].shape == (4,)
    for one, two in zip(again[0], keys, strict=True):
        assert jax.random.uniform(one) == jax.random.uniform(two)
    assert jax.random.uniform(again[1]) == jax.random.uniform(keys[0])
    np.testing.assert_array_equal(again[2], jax.random.PRNGKey(3))


def test_states_of_optax_come_back_as_they_are() -> None:
    optax = pytest.importorskip("optax")
    params = {"w": jax.numpy.ones((2, 3)), "b": jax.numpy.zeros(3)}
    optimizer = optax.chain(optax.clip(1.0), optax.inject_hyperparams(optax.adam)(learning_rate=0.1))
    try:
        state = optimizer.init(params)
        again = round_trip({"params": params, "opt": state})
    except StateError as error:
        pytest.fail(str(error))
    assert jax.tree.structure(again["opt"]) == jax.tree.structure(state)
    updates, _ = optimizer.update(params, again["opt"], params)
    expected, _ = optimizer.update(params, state, params)
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), updates, expected)))


def test_the_memory_of_the_buffer_is_not_shared() -> None:
    content = bytearray(encode(jax.numpy.arange(64.0)).tobytes())
    array = decode(content)
    content[-256:] = bytes(256)
    np.testing.assert_array_equal(array, np.arange(64.0))


def test_shared_arrays_are_stored_once() -> None:
    array = jax.numpy.arange(3.0)
    encoded = encode([array, array, array + 1])
    assert len(encoded.leaves) == 2


def test_what_cannot_be_stored() -> None:
    def inside(x: Any) -> Any:
        with pytest.raises(StateError, match=r"state at 'w': a JAX array inside jit, grad or vmap"):
            encode({"w": x})
        return x

    jax.jit(inside)(jax.numpy.ones(2))
    gone = jax.numpy.ones(2)
    gone.delete()
    with pytest.raises(StateError, match="deleted or donated"):
        encode({"w": gone})


def test_narrowing_is_refused() -> None:
    code = (
        "import jax; jax.config.update('jax_enable_x64', True); from warren.state import encode; import sys; "
        "sys.stdout.buffer.write(encode(jax.numpy.ones(2)).tobytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    with pytest.raises(StateError, match="jax_enable_x64"):
        decode(done.stdout)
    code = (
        "import sys; from warren.state import decode; print(decode(sys.stdin.buffer.read())); "
        "assert 'jax' not in sys.modules"
    )
    seen = subprocess.run([sys.executable, "-c", code], input=done.stdout, capture_output=True, check=True)
    assert seen.stdout.split() == b"[1. 1.]".split()  # NumPy, where JAX is not imported


def test_arrays_cannot_be_tracked() -> None:
    with pytest.raises(InvalidType, match=r"keep it in member\.state"):
        adapt("w", jax.numpy.ones(2))
