"""Adapters: what a user's loop tracks, seen as trees that are taken out and put back in place.

This is the one place where the kind of an object is found out.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from warren.errors import InvalidType, StateError
from warren.state.leaves import clone, is_jax_array, is_torch
from warren.state.tree import Tree

_TORCH_KINDS = ("nn.Module", "optim.Optimizer", "Tensor", "Generator")


class Adapter(Protocol):
    """An object whose state moves with a member."""

    def capture(self) -> Tree:
        """Take the state out.

        The tree may refer to the object's live arrays: encode it and take the bytes before training goes on.

        Returns:
            The state.

        Raises:
            StateError: if the object refuses.
        """
        ...

    def restore(self, tree: Tree) -> None:
        """Put a state back into the same object; the tree is not referred to afterwards.

        Args:
            tree: what `capture` gave, here or in another process. It is not changed.

        Raises:
            StateError: if it does not fit the object, which may then hold a part of it.
        """
        ...


def adapt(name: str, obj: object) -> Adapter:
    """Find the adapter of an object.

    Args:
        name: what it is tracked as, for messages.
        obj: a torch module, optimizer, tensor or generator; a NumPy array or generator; a `random.Random`; or
            anything with methods `state_dict()` and `load_state_dict(state)`.

    Returns:
        Its adapter.

    Raises:
        InvalidType: if it is none of these.
    """
    if is_torch(obj, *_TORCH_KINDS):
        from warren.state import torch as torch_room  # only now: importing warren must not import torch

        return torch_room.adapt(name, obj)
    if isinstance(obj, np.ndarray):
        return ArrayAdapter(name, obj)
    if isinstance(obj, np.random.Generator):
        return GeneratorAdapter(name, obj)
    if isinstance(obj, random.Random) and not isinstance(obj, random.SystemRandom):
        return RandomAdapter(name, obj)
    state_dict, load_state_dict = getattr(obj, "state_dict", None), getattr(obj, "load_state_dict", None)
    if callable(state_dict) and callable(load_state_dict) and not isinstance(obj, type):
        return StateDictAdapter(name, type(obj).__name__, state_dict, load_state_dict)
    if is_jax_array(obj):
        raise InvalidType(
            f"track({name}=...): a JAX array is a value and cannot be loaded in place; keep it in member.state"
        )
    if isinstance(obj, type):
        raise InvalidType(f"track({name}=...): {obj.__name__} is a class; give an object made from it")
    raise InvalidType(
        f"track({name}=...): {type(obj).__name__} has no state_dict()/load_state_dict(); give it both, or "
        "keep its content in member.state"
    )


class StateDictAdapter:
    """Any object with `state_dict` and `load_state_dict`: schedulers, scalers, averages, the user's own."""

    def __init__(
        self, name: str, kind: str, state_dict: Callable[[], Any], load_state_dict: Callable[[Any], Any]
    ) -> None:
        self._name = name
        self._kind = kind
        self._state_dict = state_dict
        self._load_state_dict = load_state_dict

    def capture(self) -> Tree:
        """See `Adapter`."""
        try:
            return self._state_dict()
        except Exception as error:
            raise StateError(f"{self._name}: state_dict() of {self._kind} failed: {error}") from error

    def restore(self, tree: Tree) -> None:
        """See `Adapter`."""
        # The object may keep what it is given, and the tree may lie over a cache or a mapped file.
        own = clone(tree)
        try:
            self._load_state_dict(own)
        except Exception as error:
            raise StateError(
                f"{self._name}: load_state_dict() of {self._kind} refused the stored state: {error}; build "
                "the object as it was built when the state was stored"
            ) from error


class ArrayAdapter:
    """A NumPy array that is written in place."""

    def __init__(self, name: str, array: npt.NDArray[Any]) -> None:
        if not array.flags.writeable:
            raise InvalidType(f"track({name}=...): the array is read-only; track a writable copy of it")
        self._name = name
        self._array = array

    def capture(self) -> Tree:
        """See `Adapter`."""
        return self._array

    def restore(self, tree: Tree) -> None:
        """See `Adapter`."""
        live = self._array
        if not isinstance(tree, np.ndarray) or tree.shape != live.shape or not np.can_cast(tree, live.dtype, "equiv"):
            found = f"{tree.dtype}{list(tree.shape)}" if isinstance(tree, np.ndarray) else type(tree).__name__
            raise StateError(
                f"{self._name}: the array is {live.dtype}{list(live.shape)}, and the stored value is "
                f"{found}; create it with the shape and type that it had"
            )
        np.copyto(live, tree)


class GeneratorAdapter:
    """A `numpy.random.Generator`."""

    def __init__(self, name: str, generator: np.random.Generator) -> None:
        self._name = name
        self._generator = generator

    def capture(self) -> Tree:
        """See `Adapter`."""
        return self._generator.bit_generator.state

    def restore(self, tree: Tree) -> None:
        """See `Adapter`."""
        try:
            self._generator.bit_generator.state = clone(tree)
        except Exception as error:
            kind = type(self._generator.bit_generator).__name__
            raise StateError(f"{self._name}: the stored state is not one of a {kind} generator: {error}") from error


class RandomAdapter:
    """A `random.Random`."""

    def __init__(self, name: str, generator: random.Random) -> None:
        self._name = name
        self._generator = generator

    def capture(self) -> Tree:
        """See `Adapter`."""
        version, words, spare = self._generator.getstate()
        # An array, because 625 numbers in the header would cost more than everything else in a small state.
        return {"version": version, "words": np.asarray(words, np.uint32), "spare": spare}

    def restore(self, tree: Tree) -> None:
        """See `Adapter`."""
        if not isinstance(tree, Mapping) or not {"version", "words", "spare"} <= set(tree):
            raise StateError(f"{self._name}: the stored state is not one of a random.Random")
        try:
            self._generator.setstate((tree["version"], tuple(tree["words"].tolist()), tree["spare"]))
        except Exception as error:
            raise StateError(f"{self._name}: the stored state is not one of a random.Random: {error}") from error
