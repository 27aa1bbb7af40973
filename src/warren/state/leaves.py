"""The leaves of a state that hold bytes: how each kind is described, read and made again.

The only place that recognises kinds of arrays. Neither torch nor JAX is imported before an object of theirs
is seen.

====  ==============  ====  ==============  ====  ==============
tag   kind            tag   kind            tag   kind
====  ==============  ====  ==============  ====  ==============
a     NumPy array     g     NumPy scalar    b     bytes
t     torch tensor    j     JAX array       k     JAX random key
====  ==============  ====  ==============  ====  ==============
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from warren.errors import CheckpointDamaged, MissingExtra, StateError
from warren.state.tree import Tree, map_leaves

ITEM_SIZES: Mapping[str, int] = {
    "F64": 8, "I64": 8, "U64": 8, "C64": 8,
    "F32": 4, "I32": 4, "U32": 4,
    "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
    "I8": 1, "U8": 1, "BOOL": 1,
    "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1,
}  # fmt: skip
"""Bytes of one number, by its name in the safetensors format."""

_NUMPY_CODES: Mapping[str, str] = {
    "<f8": "F64", "<i8": "I64", "<u8": "U64", "<c8": "C64",
    "<f4": "F32", "<i4": "I32", "<u4": "U32",
    "<f2": "F16", "<i2": "I16", "<u2": "U16",
    "|i1": "I8", "|u1": "U8", "|b1": "BOOL",
}  # fmt: skip
_CODE_OF_DTYPE = {np.dtype(name): code for name, code in _NUMPY_CODES.items()}
_DTYPE_OF_CODE = {code: dtype for dtype, code in _CODE_OF_DTYPE.items()}

# Types that ml_dtypes adds to NumPy; JAX arrays in them come to the host as these.
_ML_CODES: Mapping[str, str] = {
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float8_e8m0fnu": "F8_E8M0",
    "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e5m2fnuz": "F8_E5M2FNUZ",
}
_ML_NAMES = {code: name for name, code in _ML_CODES.items()}


class Leaf(NamedTuple):
    """What an entry of the file says about an array, and how to get at its bytes.

    Attributes:
        dtype: name of the type in the safetensors format.
        shape: as stored: a complex128 array has one axis more than the array itself.
        nbytes: length of what `read` gives.
        identity: leaves of one identity are the same view of the same memory, and stored once; None: never.
        view: the type that the stored numbers stand for, where the format has none for it; None where it has.
        read: brings the bytes to the host, in C order; without a copy where they already lie there so.
    """

    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    identity: tuple[object, ...] | None
    view: str | None
    read: Callable[[], memoryview]


@dataclass(frozen=True, slots=True)
class Hosted:
    """An array in the host's memory that is stored as what it was brought from, byte for byte.

    For states of many members in one array of a framework: brought to the host once, and stored in parts.

    Attributes:
        kind: ``t`` for a torch tensor, ``j`` for a JAX array, ``k`` for JAX random keys.
        array: its numbers; of keys, their data.
        view: of keys, their kind (``threefry2x32``). Of a tensor whose type NumPy does not have, that type's name:
            for ``bfloat16`` and those of 8 bits, `array` holds integers of the same size with their bits; for
            ``complex32``, floats with one axis more. None for all others.
    """

    kind: Literal["t", "j", "k"]
    array: npt.NDArray[Any]
    view: str | None = None

    def at(self, place: int) -> Hosted:
        """The part of one member: what lies at a place of the first axis, without a copy."""
        return Hosted(self.kind, self.array[place, ...], self.view)  # `...`: an array, also of one number


class Stored(NamedTuple):
    """Where an entry lies: `data[begin:end]`, with its type and shape in the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def recognise(value: object) -> tuple[str, Leaf] | None:
    """Describe a leaf.

    Args:
        value: anything.

    Returns:
        Its tag and description; None if it is not of a kind that holds bytes.

    Raises:
        StateError: if it is an array that cannot be stored (without a path: the caller knows it).
    """
    if isinstance(value, np.ndarray):
        return "a", numpy_leaf(value)
    if isinstance(value, Hosted):
        return value.kind, _hosted_leaf(value)
    if isinstance(value, np.generic):
        return "g", numpy_leaf(np.asarray(value))._replace(identity=None)
    if isinstance(value, bytes):
        return "b", Leaf("U8", (len(value),), len(value), None, None, lambda: memoryview(value))
    if is_torch(value, "Tensor"):
        return "t", _torch_room().tensor_leaf(value)
    if is_jax_array(value):
        return _jax_room().array_leaf(value)  # type: ignore[no-any-return]
    return None


def hosted(value: Any) -> Any:
    """Bring a torch tensor, a JAX array or JAX keys to the host as a `Hosted`; anything else is returned as it is.

    Raises:
        StateError: if it is an array that cannot be stored.
    """
    if is_torch(value, "Tensor"):
        return _torch_room().hosted(value)
    return _jax_room().hosted(value) if is_jax_array(value) else value


def revive(tag: str, stored: Stored, view: str | None, data: memoryview) -> Any:
    """Make a leaf again.

    Args:
        tag: its kind.
        stored: where it lies in `data`; in bounds, and of a length that fits its shape.
        view: the type that the stored numbers stand for, or the kind of a JAX key.
        data: the bytes of all arrays.

    Returns:
        A view over `data`, except that bytes, scalars and JAX arrays are copies, and that a torch tensor is a
        copy where `data` is read-only: torch has no read-only tensors, and would write through.
    """
    if tag == "a":
        return numpy_array(stored, view, data)
    if tag == "g":
        return numpy_array(stored, view, data).copy()[()]
    if tag == "b":
        return bytes(data[stored.begin : stored.end])
    if tag == "t":
        return _torch_room().tensor(stored, view, data)
    if tag in ("j", "k"):
        array = numpy_array(stored, view if tag == "j" else None, data)
        return array if sys.modules.get("jax") is None else _jax_room().array(array, view if tag == "k" else None)
    raise ValueError(f"unknown tag {tag!r} in the skeleton")


def alias(leaf: Any) -> Any:
    """A second leaf over the memory of the first, for arrays that are tied."""
    if isinstance(leaf, np.ndarray):
        return leaf.view()
    return leaf.detach() if is_torch(leaf, "Tensor") else leaf


def copy_leaf(leaf: Any) -> Any:
    """A leaf with memory of its own; scalars, bytes and JAX arrays are immutable and stay."""
    if isinstance(leaf, np.ndarray):
        return leaf.copy()
    return leaf.detach().clone() if is_torch(leaf, "Tensor") else leaf


def clone(tree: Tree) -> Tree:
    """Copy a state, containers and arrays, so that nothing written into the copy reaches the original.

    Tensors stay on their device and lose their gradients. Leaves of unknown kinds are taken over as they are.
    """
    return map_leaves(copy_leaf, tree)


def floating(value: object) -> bool:
    """Whether a value is an array of floating or complex numbers, of any framework; NumPy's scalars are."""
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.kind in "fc" or value.dtype.name in _ML_CODES
    if is_torch(value, "Tensor"):
        return bool(_torch_room().floating(value))
    return is_jax_array(value) and bool(_jax_room().floating(value))


def widened(value: Any) -> npt.NDArray[Any]:
    """A floating array as float64 or complex128 in the host's memory, a copy."""
    if is_torch(value, "Tensor"):
        array: npt.NDArray[Any] = _torch_room().widened(value)
        return array
    array = np.asarray(value)
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def narrowed(array: npt.NDArray[Any], like: Any) -> Any:
    """What `widened` gave, as an array of another one's framework, type and device."""
    if is_torch(like, "Tensor"):
        return _torch_room().narrowed(array, like)
    made = array.astype(like.dtype)
    if is_jax_array(like):
        return _jax_room().array(made, None)
    return made[()] if isinstance(like, np.generic) else made


def numpy_leaf(array: npt.NDArray[Any]) -> Leaf:
    """Describe a NumPy array of any layout; big-endian numbers are stored, and come back, little-endian.

    Raises:
        StateError: if its type is not one of numbers, or it is a masked array.
    """
    if type(array) is not np.ndarray and isinstance(array, np.ma.MaskedArray):
        raise StateError("a masked array cannot be stored; store its .data and its .mask")
    dtype = array.dtype
    code = _CODE_OF_DTYPE.get(dtype)
    shape, view = array.shape, None
    if code is None:
        code, shape, view = _unusual(dtype, shape)
    identity = None
    if array.nbytes:
        identity = ("numpy", array.ctypes.data, dtype, shape, array.strides)
    return Leaf(code, shape, array.nbytes, identity, view, partial(numpy_bytes, array))


def _hosted_leaf(value: Hosted) -> Leaf:
    """As the leaf that `value` was brought from would have been described."""
    code, shape, nbytes, identity, view, read = numpy_leaf(value.array)
    if value.kind == "t" and value.view is not None:
        item = "F16" if value.view == "complex32" else _ML_CODES.get(value.view, "")
        if ITEM_SIZES.get(item) != value.array.itemsize or value.array.dtype.kind not in (
            "f" if item == "F16" else "iu"
        ):
            raise StateError(
                f"an array of type {value.array.dtype} does not hold the numbers of a tensor of {value.view}"
            )
        code, view = item, "complex32" if item == "F16" else None
    elif value.kind == "t" and view is not None:
        if value.array.dtype.kind != "c":
            raise StateError(f"an array of type {value.array.dtype} does not hold the numbers of a torch tensor")
        view = "complex128"
    elif value.kind == "k":
        view = value.view
    return Leaf(code, shape, nbytes, None if identity is None else (value.kind, *identity), view, read)


def _unusual(dtype: np.dtype[Any], shape: tuple[int, ...]) -> tuple[str, tuple[int, ...], str | None]:
    little = dtype.newbyteorder("<")
    if little in _CODE_OF_DTYPE:
        return _CODE_OF_DTYPE[little], shape, None
    if dtype.name in _ML_CODES:
        return _ML_CODES[dtype.name], shape, None
    if dtype.kind == "c" and dtype.itemsize == 16:
        return "F64", (*shape, 2), "<c16"
    if dtype.kind in "mM":
        return "I64", shape, little.str
    raise StateError(
        f"a NumPy array of type {dtype} cannot be stored; use an array of booleans, integers, floats (up to "
        "64 bits) or complex numbers, or a list of strings"
    )


def numpy_bytes(array: npt.NDArray[Any]) -> memoryview:
    """The bytes of an array in C order and little-endian; without a copy where they already are."""
    plain = np.asarray(array)
    if plain.dtype.byteorder == ">" or (plain.dtype.byteorder == "=" and sys.byteorder == "big"):
        plain = plain.astype(plain.dtype.newbyteorder("<"))
    # Through uint8, because memoryview.cast knows neither complex numbers nor arrays without elements.
    flat = np.ascontiguousarray(plain).reshape(-1)
    return flat.view(np.uint8).data


def numpy_array(stored: Stored, view: str | None, data: memoryview) -> npt.NDArray[Any]:
    """A NumPy array over `data`, read-only where `data` is."""
    dtype = _DTYPE_OF_CODE.get(stored.dtype)
    if dtype is None:
        dtype = _ml_dtype(stored.dtype)
    shape = stored.shape
    if view is not None:
        dtype = np.dtype(view)
        if dtype.kind not in "cmM" or dtype.itemsize * math.prod(shape[:-1] if dtype.kind == "c" else shape) != (
            stored.end - stored.begin
        ):
            raise CheckpointDamaged(f"an entry of type {stored.dtype} and shape {list(shape)} cannot be read as {view}")
        shape = shape[:-1] if dtype.kind == "c" else shape
    if stored.begin == stored.end:
        return np.empty(shape, dtype)
    return np.frombuffer(data, dtype, math.prod(shape), stored.begin).reshape(shape)


def _ml_dtype(code: str) -> np.dtype[Any]:
    try:
        types: Any = importlib.import_module("ml_dtypes")
    except ImportError:
        raise MissingExtra(
            f"the state holds numbers of type {code}, which NumPy knows only with ml_dtypes; pip install ml_dtypes"
        ) from None
    dtype: np.dtype[Any] = np.dtype(getattr(types, _ML_NAMES[code]))
    return dtype


def is_torch(value: object, *names: str) -> bool:
    """Whether a value is of one of torch's classes (dotted names below `torch`), without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, _classes(torch, names))


def is_jax_array(value: object) -> bool:
    """Whether a value is a JAX array, without importing JAX."""
    jax = sys.modules.get("jax")
    return jax is not None and isinstance(value, _classes(jax, ("Array",)))


def _classes(module: ModuleType, names: tuple[str, ...]) -> tuple[type, ...]:
    # A module that another thread is importing at this moment may not have its classes yet: then the value
    # cannot be one of theirs.
    found: list[type] = []
    for name in names:
        item: object = module
        for part in name.split("."):
            item = getattr(item, part, None)
        if isinstance(item, type):
            found.append(item)
    return tuple(found)


def _torch_room() -> ModuleType:
    try:
        return importlib.import_module("warren.state.torch")
    except ModuleNotFoundError as error:
        raise MissingExtra("the state holds torch tensors, and torch is not installed; pip install torch") from error


def _jax_room() -> ModuleType:
    return importlib.import_module("warren.state.jax")
