"""PyTorch's optimizers, loaded in place: no second copy of their state lies on the device at any time.

`Optimizer.load_state_dict` makes new tensors and new `param_groups`. Here the live tensors are written over,
and the dicts of `param_groups` stay the same objects, so that loops and closures that hold one keep working.
Imported by `warren.state.torch` only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import torch

from warren.errors import StateError
from warren.state.leaves import clone
from warren.state.tree import Tree

_KEPT = ("params", "param_names")


class OptimizerAdapter:
    """A `torch.optim.Optimizer`."""

    def __init__(self, name: str, optimizer: torch.optim.Optimizer) -> None:
        self._name = name
        self._optimizer = optimizer

    def capture(self) -> Tree:
        """See `warren.state.adapters.Adapter`."""
        try:
            return self._optimizer.state_dict()
        except Exception as error:
            raise StateError(f"{self._name}: state_dict() failed: {error}") from error

    def restore(self, tree: Tree) -> None:
        """See `warren.state.adapters.Adapter`."""
        if self._has_own_loading():
            self._load(clone(tree))
            return
        keys = self._check(tree)
        saved = {keys.get(key, key): value for key, value in tree["state"].items()}
        live = self._optimizer.state
        fits = all(key in live and _fits(live[key], value) for key, value in saved.items())
        if fits and _apart(live):
            with torch.no_grad():
                for key in [key for key in live if key not in saved]:
                    del live[key]
                for key, value in saved.items():
                    live[key] = _assign(live[key], value)
                for group, stored in zip(self._optimizer.param_groups, tree["param_groups"], strict=True):
                    _update_group(group, stored)
        else:
            self._rebuild(tree, keys)

    def _has_own_loading(self) -> bool:
        """Whether loading runs code that this adapter does not know: an overriding method, or a hook."""
        optimizer: Any = self._optimizer
        method = getattr(optimizer.load_state_dict, "__func__", None)
        return (
            method is not torch.optim.Optimizer.load_state_dict
            or bool(getattr(optimizer, "_optimizer_load_state_dict_pre_hooks", None))
            or bool(getattr(optimizer, "_optimizer_load_state_dict_post_hooks", None))
        )

    def _check(self, tree: Tree) -> dict[Any, torch.Tensor]:
        """The parameter for each index in the stored state."""
        if not isinstance(tree, Mapping) or not {"state", "param_groups"} <= set(tree):
            raise StateError(f"{self._name}: the stored state is not one of an optimizer (state, param_groups)")
        groups, stored = self._optimizer.param_groups, tree["param_groups"]
        if len(groups) != len(stored):
            raise StateError(
                f"{self._name}: the optimizer has {len(groups)} parameter groups, and the stored state "
                f"{len(stored)}; give it the groups that it had"
            )
        for index, (group, other) in enumerate(zip(groups, stored, strict=True)):
            if len(group["params"]) != len(other["params"]):
                raise StateError(
                    f"{self._name}: group {index} has {len(group['params'])} parameters, and the stored "
                    f"state {len(other['params'])}; give it the parameters that it had"
                )
        indices = chain.from_iterable(other["params"] for other in stored)
        return dict(zip(indices, chain.from_iterable(group["params"] for group in groups), strict=True))

    def _rebuild(self, tree: Tree, keys: Mapping[Any, torch.Tensor]) -> None:
        """Load through torch, for an optimizer without state or with another one.

        The old state goes first, so that old and new never lie on the device together. What torch is given
        are copies on the right device, because it keeps tensors that are already there as its live state. The
        dicts of the groups, and of the state, are put back after it has replaced them.
        """
        optimizer: Any = self._optimizer
        live, groups = optimizer.state, optimizer.param_groups
        dicts = list(groups)
        live.clear()
        placed = {key: _place(value, keys.get(key)) for key, value in tree["state"].items()}
        self._load({**tree, "state": placed, "param_groups": clone(tree["param_groups"])})
        live.update(optimizer.state)
        for key, value in tree["state"].items():
            if key in keys:
                _undo_casts(live[keys[key]], value, keys[key])
        with torch.no_grad():
            for group, loaded in zip(dicts, optimizer.param_groups, strict=True):
                _update_group(group, loaded)
        groups[:] = dicts
        optimizer.state, optimizer.param_groups = live, groups

    def _load(self, tree: Tree) -> None:
        try:
            self._optimizer.load_state_dict(tree)
        except Exception as error:
            raise StateError(
                f"{self._name}: load_state_dict() of {type(self._optimizer).__name__} refused the stored "
                f"state: {error}; build the optimizer as it was built when the state was stored"
            ) from error


def _fits(live: Any, saved: Any) -> bool:
    """Whether `saved` can be written over `live` without making a tensor."""
    if isinstance(saved, torch.Tensor):
        return isinstance(live, torch.Tensor) and live.shape == saved.shape and live.dtype == saved.dtype
    if isinstance(saved, Mapping):
        return (
            isinstance(live, Mapping)
            and live.keys() == saved.keys()
            and all(_fits(live[key], value) for key, value in saved.items())
        )
    if isinstance(saved, list | tuple):
        return (
            type(live) is type(saved)
            and len(live) == len(saved)
            and all(_fits(one, other) for one, other in zip(live, saved, strict=True))
        )
    return not isinstance(live, torch.Tensor)


def _apart(live: Any) -> bool:
    """Whether all tensors have memory of their own, so that writing the one leaves the others as they are."""
    places = [tensor.data_ptr() for tensor in _tensors(dict(live)) if tensor.numel()]
    return len(places) == len(set(places))


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for child in value.values():
            yield from _tensors(child)
    elif isinstance(value, list | tuple):
        for child in value:
            yield from _tensors(child)


def _assign(live: Any, saved: Any) -> Any:
    """Write `saved` over `live`, which it fits; what is returned takes the place of `live`."""
    if isinstance(saved, torch.Tensor):
        return live.copy_(saved)
    if isinstance(saved, Mapping):
        for key, value in saved.items():
            live[key] = _assign(live[key], value)
        return live
    if isinstance(saved, list):
        live[:] = [_assign(one, other) for one, other in zip(live, saved, strict=True)]
        return live
    if type(saved) is tuple:
        return tuple(_assign(one, other) for one, other in zip(live, saved, strict=True))
    return clone(saved)


def _update_group(group: dict[str, Any], saved: Mapping[str, Any]) -> None:
    """Make the settings of a group those of `saved`, as torch does; the parameters and their names stay."""
    for key in [key for key in group if key not in saved and key not in _KEPT]:
        del group[key]
    for key, value in saved.items():
        if key in _KEPT:
            continue
        current = group.get(key)
        # A learning rate that is a tensor may be part of a captured graph: it must stay the same tensor.
        group[key] = _assign(current, value) if key in group and _fits(current, value) else clone(value)


def _place(value: Any, parameter: torch.Tensor | None, key: object = None) -> Any:
    """A copy of a part of the stored state, on the device and in the memory format of its parameter."""
    if isinstance(value, Mapping):
        return {name: _place(child, parameter, name) for name, child in value.items()}
    if isinstance(value, list) or type(value) is tuple:
        return type(value)(_place(child, parameter) for child in value)
    # torch has a rule of its own for where the count of steps lies.
    if not isinstance(value, torch.Tensor) or parameter is None or key == "step":
        return clone(value)
    if value.shape == parameter.shape:
        return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
    return torch.empty(value.shape, dtype=value.dtype, device=parameter.device).copy_(value)


def _undo_casts(live: dict[Any, Any], saved: Any, parameter: torch.Tensor) -> None:
    """Take back what torch casts on loading.

    It turns all floating-point state into the type of the parameter, which loses bits where an optimizer
    keeps float32 moments for bfloat16 weights.
    """
    for key, value in saved.items():
        loaded = live.get(key)
        if key == "step" or not isinstance(value, torch.Tensor) or not isinstance(loaded, torch.Tensor):
            continue
        if loaded.dtype != value.dtype:
            live[key] = _place(value, parameter, key)
