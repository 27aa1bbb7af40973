"""PyTorch: tensors as leaves, and the adapters of modules, tensors and generators.

Imported only once an object of torch's has been seen; `warren.state.optimizers` belongs to it.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.parameter import is_lazy
from torch.utils import _python_dispatch

from warren.errors import CheckpointDamaged, StateError
from warren.state.leaves import Hosted, Leaf, Stored, clone
from warren.state.optimizers import OptimizerAdapter
from warren.state.tree import Tree

_NAMES: Mapping[str, str] = {
    "float64": "F64",
    "int64": "I64",
    "uint64": "U64",
    "complex64": "C64",
    "float32": "F32",
    "int32": "I32",
    "uint32": "U32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int16": "I16",
    "uint16": "U16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float8_e8m0fnu": "F8_E8M0",
    "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e5m2fnuz": "F8_E5M2FNUZ",
}
# Older torch lacks some of these types.
_CODE_OF_DTYPE: Mapping[torch.dtype, str] = {
    getattr(torch, name): code for name, code in _NAMES.items() if getattr(torch, name, None) is not None
}
_DTYPE_OF_CODE = {code: dtype for dtype, code in _CODE_OF_DTYPE.items()}
_COMPLEX: Mapping[torch.dtype, tuple[str, str]] = {
    torch.complex128: ("F64", "complex128"),
    torch.complex32: ("F16", "complex32"),
}
# Integers of the same size, for what NumPy has no type for.
_BITS = {
    code: torch.int16 if code == "BF16" else torch.uint8 for code in _NAMES.values() if "_" in code or code == "BF16"
}
_CODE_OF_VIEW = {view: code for code, view in _COMPLEX.values()}

_METADATA = "_metadata"
_EXTRA_STATE = "_extra_state"


def tensor_leaf(tensor: torch.Tensor) -> Leaf:
    """Describe a tensor of any layout in memory and on any device.

    Raises:
        StateError: if it is sparse, quantised, of a wrapped kind (DTensor), without data, or of another type.
    """
    # Two of the questions are slow, and this is asked for each tensor at each interval.
    special = type(tensor) is not torch.Tensor and type(tensor) is not torch.nn.Parameter
    if special and is_lazy(tensor):
        raise StateError("a lazy parameter has no shape yet; run one batch through the module before slot.track(...)")
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_nested:
        raise StateError(f"a tensor of layout {tensor.layout} or quantised cannot be stored; store .to_dense() of it")
    if tensor.is_meta:
        raise StateError("a tensor on the meta device has no data; move it with .to_empty(device=...) and fill it")
    wrapped: bool = special and _python_dispatch.is_traceable_wrapper_subclass(tensor)
    if wrapped:
        raise StateError(f"a {type(tensor).__name__} cannot be stored; store the plain tensor that it wraps")
    dtype = tensor.dtype
    shape, view = tuple(tensor.shape), None
    code = _CODE_OF_DTYPE.get(dtype)
    if code is None:
        if dtype not in _COMPLEX:
            raise StateError(f"a tensor of type {dtype} cannot be stored; convert it with .to(...)")
        code, view = _COMPLEX[dtype]
        shape = (*shape, 2)
    nbytes = tensor.numel() * tensor.element_size()
    identity = None
    if nbytes:
        # Conjugates and negatives of complex tensors are other numbers over the same memory.
        lazy = (tensor.is_conj(), tensor.is_neg())
        identity = ("torch", tensor.device, tensor.data_ptr(), dtype, shape, tensor.stride(), lazy)
    return Leaf(code, shape, nbytes, identity, view, partial(tensor_bytes, tensor))


def floating(tensor: torch.Tensor) -> bool:
    """See `warren.state.leaves.floating`."""
    return tensor.is_floating_point() or tensor.is_complex()


def widened(tensor: torch.Tensor) -> npt.NDArray[Any]:
    """See `warren.state.leaves.widened`."""
    wide = tensor.detach().to("cpu", torch.complex128 if tensor.is_complex() else torch.float64, copy=True)
    array: npt.NDArray[Any] = wide.resolve_conj().resolve_neg().numpy()
    return array


def narrowed(array: npt.NDArray[Any], like: torch.Tensor) -> torch.Tensor:
    """See `warren.state.leaves.narrowed`."""
    return torch.from_numpy(np.array(array)).to(like.device, like.dtype)


def hosted(tensor: torch.Tensor) -> Hosted:
    """See `warren.state.leaves.hosted`."""
    leaf = tensor_leaf(tensor)
    plain = tensor.detach().resolve_conj().resolve_neg().cpu()
    if plain.dtype is torch.complex32:
        return Hosted("t", torch.view_as_real(plain).numpy(), leaf.view)
    if leaf.dtype in _BITS:
        name = str(plain.dtype).removeprefix("torch.")
        return Hosted("t", plain.view(_BITS[leaf.dtype]).numpy(), name)
    return Hosted("t", plain.numpy())


def tensor_bytes(tensor: torch.Tensor) -> memoryview:
    """The bytes of a tensor in C order, in the host's memory; copied only where they do not lie there so."""
    plain = tensor.detach()
    if plain.is_complex():
        plain = torch.view_as_real(plain.resolve_conj())
    # To the host first: .contiguous() on a device would need a second copy there.
    flat = plain.resolve_neg().cpu().contiguous().view(-1)
    return flat.view(torch.uint8).numpy().data


def tensor(stored: Stored, view: str | None, data: memoryview) -> torch.Tensor:
    """A tensor over `data`, or over a copy where `data` is read-only."""
    dtype, shape = _DTYPE_OF_CODE.get(stored.dtype), stored.shape
    if view is not None and (_CODE_OF_VIEW.get(view) != stored.dtype or shape[-1:] != (2,)):
        raise CheckpointDamaged(f"an entry of shape {list(stored.shape)} cannot be read as a tensor of type {view}")
    if dtype is None:
        raise StateError(f"this version of torch has no type for {stored.dtype}; use the one that stored the state")
    if stored.begin == stored.end:
        flat = torch.empty(0, dtype=dtype)
    else:
        part: memoryview | bytearray = data[stored.begin : stored.end]
        if data.readonly:
            part = bytearray(part)
        flat = torch.frombuffer(part, dtype=dtype, count=math.prod(shape))
        if flat.data_ptr() % dtype.itemsize:
            # A slice of a larger buffer may start anywhere, and torch's kernels count on alignment.
            flat = flat.clone()
    shaped = flat.view(shape)
    return shaped if view is None else torch.view_as_complex(shaped)


def adapt(name: str, obj: object) -> ModuleAdapter | OptimizerAdapter | TensorAdapter | GeneratorAdapter:
    """The adapter of an object of torch's.

    Args:
        name: what it is tracked as.
        obj: a module, optimizer, tensor or generator.

    Returns:
        Its adapter.
    """
    if isinstance(obj, torch.nn.Module):
        return ModuleAdapter(name, obj)
    if isinstance(obj, torch.optim.Optimizer):
        return OptimizerAdapter(name, obj)
    if isinstance(obj, torch.Tensor):
        return TensorAdapter(name, obj)
    if isinstance(obj, torch.Generator):
        return GeneratorAdapter(name, obj)
    raise TypeError(f"not an object of torch's: {type(obj)}")


class ModuleAdapter:
    """A `torch.nn.Module`: parameters and buffers, which are loaded in place, and extra state."""

    def __init__(self, name: str, module: torch.nn.Module) -> None:
        self._name = name
        self._module = module

    def capture(self) -> Tree:
        """See `warren.state.adapters.Adapter`."""
        try:
            state = self._module.state_dict()
        except Exception as error:
            raise StateError(f"{self._name}: state_dict() failed: {error}") from error
        tree: dict[Any, Any] = dict(state)
        # Versions tell newer releases how to read the tensors; 1 is what a module has that names none.
        versions = {
            prefix: dict(local)
            for prefix, local in getattr(state, _METADATA, {}).items()
            if local and local != {"version": 1}
        }
        if versions:
            tree[_METADATA] = versions
        return tree

    def restore(self, tree: Tree) -> None:
        """See `warren.state.adapters.Adapter`."""
        if not isinstance(tree, Mapping):
            raise StateError(f"{self._name}: the stored state is a {type(tree).__name__}, and a module needs a dict")
        # A method of the user's own may keep what it is given.
        own = type(self._module).load_state_dict is not torch.nn.Module.load_state_dict
        state: OrderedDict[str, Any] = OrderedDict()
        for key, value in tree.items():
            if key != _METADATA:
                keeps = own or not isinstance(value, torch.Tensor) or key.endswith(_EXTRA_STATE)
                state[key] = clone(value) if keeps else value
        versions = tree.get(_METADATA, {})
        prefixes = getattr(self._module.state_dict(), _METADATA, {})
        metadata = OrderedDict((prefix, dict(versions.get(prefix, {"version": 1}))) for prefix in prefixes)
        setattr(state, _METADATA, metadata)
        try:
            self._module.load_state_dict(state)
        except Exception as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise StateError(
                f"{self._name}: the stored state does not fit this {type(self._module).__name__}: "
                f"{' '.join(lines[1:] or lines)} Build the module as it was built when the state was stored; "
                "a hyperparameter that shapes it needs rebuild=True."
            ) from error


class TensorAdapter:
    """A tensor or parameter that is written in place."""

    def __init__(self, name: str, tensor: torch.Tensor) -> None:
        self._name = name
        self._tensor = tensor

    def capture(self) -> Tree:
        """See `warren.state.adapters.Adapter`."""
        return self._tensor.detach()

    def restore(self, tree: Tree) -> None:
        """See `warren.state.adapters.Adapter`."""
        if not isinstance(tree, torch.Tensor) or tree.shape != self._tensor.shape:
            found = f"shape {list(tree.shape)}" if isinstance(tree, torch.Tensor) else f"type {type(tree).__name__}"
            raise StateError(
                f"{self._name}: the tensor has shape {list(self._tensor.shape)}, and the stored value has "
                f"{found}; create it with the shape that it had"
            )
        with torch.no_grad():
            self._tensor.copy_(tree)


class GeneratorAdapter:
    """A `torch.Generator`."""

    def __init__(self, name: str, generator: torch.Generator) -> None:
        self._name = name
        self._generator = generator

    def capture(self) -> Tree:
        """See `warren.state.adapters.Adapter`."""
        return self._generator.get_state()

    def restore(self, tree: Tree) -> None:
        """See `warren.state.adapters.Adapter`."""
        try:
            self._generator.set_state(clone(tree))
        except Exception as error:
            raise StateError(
                f"{self._name}: the stored state is not one of a torch.Generator on {self._generator.device}: {error}"
            ) from error
