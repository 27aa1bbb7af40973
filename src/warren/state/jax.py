"""JAX: arrays and random keys as leaves. Imported only once an array of JAX's has been seen."""

from __future__ import annotations

import importlib
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from warren.errors import StateError
from warren.state.leaves import Hosted, Leaf, numpy_bytes, numpy_leaf

# By name, because type checkers find JAX on few machines.
jax: Any = importlib.import_module("jax")


def array_leaf(array: Any) -> tuple[str, Leaf]:
    """Describe a JAX array or random key.

    Returns:
        Its tag (``j``, or ``k`` for a key) and description.

    Raises:
        StateError: if it has no value here: inside a transformation, deleted, or spread over other hosts.
    """
    if isinstance(array, jax.core.Tracer):
        raise StateError("a JAX array inside jit, grad or vmap has no value yet; return it and store what comes out")
    if array.is_deleted():
        raise StateError("the JAX array was deleted or donated; store what the jitted function returned instead")
    if not array.is_fully_addressable:
        raise StateError("the JAX array is spread over several hosts; gather it before storing it")
    if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
        leaf = _describe(jax.random.key_data(array))
        return "k", leaf._replace(view=str(jax.random.key_impl(array)), identity=("jax", id(array)))
    return "j", _describe(array)._replace(identity=("jax", id(array)))


def floating(array: Any) -> bool:
    """See `warren.state.leaves.floating`; keys are none."""
    return bool(jax.dtypes.issubdtype(array.dtype, np.inexact))


def hosted(array: Any) -> Hosted:
    """See `warren.state.leaves.hosted`."""
    tag, leaf = array_leaf(array)
    if tag == "k":
        return Hosted("k", np.asarray(jax.random.key_data(array)), leaf.view)
    return Hosted("j", np.asarray(array))


def _describe(array: Any) -> Leaf:
    # Types and shapes without the data, which come to the host only when they are read.
    outline = numpy_leaf(np.empty((0,), array.dtype))
    shape = tuple(array.shape)
    return outline._replace(
        shape=(*shape, 2) if outline.view else shape, nbytes=array.nbytes, read=partial(_read, array)
    )


def _read(array: Any) -> memoryview:
    return numpy_bytes(np.asarray(array))


def array(values: npt.NDArray[Any], key: str | None) -> Any:
    """A JAX array, or a random key of the kind `key`, on the default device, with memory of its own.

    Raises:
        StateError: if JAX would narrow the numbers, because 64-bit types are not enabled.
    """
    wanted = values.dtype
    if jax.dtypes.canonicalize_dtype(wanted) != wanted:
        raise StateError(
            f"the state holds a JAX array of type {wanted}, and 64-bit types are off in this process; "
            'call jax.config.update("jax_enable_x64", True) first'
        )
    # A copy: a donated array may be written over by XLA, and the memory may be a store's.
    made = jax.numpy.array(values, copy=True)
    return made if key is None else jax.random.wrap_key_data(made, impl=key)
