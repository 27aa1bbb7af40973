"""What a thing that a loop holds is, how to tell that it has changed, and how to carry its state elsewhere."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import random
import sys
import types
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import numpy as np

from warren.preflight.trials import is_user_file
from warren.state import adapt, clone
from warren.state.leaves import is_torch, recognise

Kind = Literal[
    "generator", "optimizer", "scheduler", "module", "keeper", "environment", "iterator", "array", "tensor",
    "container", "object", "number",
]  # fmt: skip
RANK: tuple[Kind, ...] = (
    "generator", "optimizer", "scheduler", "module", "keeper", "environment", "array", "tensor", "iterator",
    "container", "number", "object",
)  # fmt: skip
"""Whom to suspect first."""

Put: TypeAlias = "Callable[[Any, Callable[[Any], None]], None]"
"""Puts a state into a thing of its kind, or binds the thing's name anew."""

_PLAIN = (type(None), bool, int, float, complex, str, bytes, np.generic)
_FIXED = (
    type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.FrameType,
    types.CodeType, property, classmethod, staticmethod,
)  # fmt: skip
_NODES = 20_000
"""Parts of one thing that are looked at before it is given up as too large."""


class Opaque(Exception):
    """What a thing holds cannot be seen."""


def kind_of(value: Any) -> Kind | None:
    """What something is, or None for what holds no state that could be told."""
    if isinstance(value, _FIXED) or _is_ours(value):
        return None
    if isinstance(value, _PLAIN):
        return "number"
    if _is_generator(value):
        return "generator"
    if isinstance(value, np.ndarray):
        return "array"
    if is_torch(value, "Tensor"):
        return "tensor"
    if is_torch(value, "nn.Module"):
        return "module"
    if _has(value, "state_dict", "load_state_dict"):
        if isinstance(_look(value, "param_groups"), list):
            return "optimizer"
        return "scheduler" if _has(value, "step") and _look(value, "last_epoch") is not None else "keeper"
    if _has(value, "reset", "step"):
        return "environment"
    if _has(value, "__next__"):
        return "iterator"
    if isinstance(value, (list, tuple, dict, set, frozenset, deque)):
        return "container"
    return "object" if isinstance(getattr(value, "__dict__", None), dict) else None


def is_own(value: Any) -> bool:
    """Whether something is of a class that the user wrote."""
    module = sys.modules.get(type(value).__module__)
    if module is None:
        return True
    file = getattr(module, "__file__", None)
    return type(value).__module__ == "__main__" if file is None else is_user_file(file)


def mark(value: Any) -> bytes | None:
    """A digest of what something holds, or None where that cannot be seen."""
    reader = _Reader()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # reading an iterator's place is deprecated, and there is no other way
            reader.feed(value)
    except Exception:  # user code that will not be read is no reason to end a check
        return None
    return reader.sha.digest()


def take(value: Any) -> Put | None:
    """Take the state out of something.

    Args:
        value: The thing.

    Returns:
        Puts it into another thing of the kind, given that and a function that binds its name anew; None where the
        state cannot be taken.
    """
    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _take(value)
    return None


def _take(value: Any) -> Put | None:
    kind = kind_of(value)
    if kind in ("array", "tensor"):
        return _put_array(clone(value))
    if isinstance(value, np.random.RandomState):
        state = value.get_state()
        return lambda target, bind: target.set_state(state)
    if kind in ("generator", "optimizer", "scheduler", "module", "keeper"):
        tree = clone(adapt("it", value).capture())
        return lambda target, bind: adapt("it", target).restore(tree)
    if kind in ("environment", "object"):
        inside = copy.deepcopy(vars(value))
        return lambda target, bind: _refill(target, copy.deepcopy(inside))
    if kind == "iterator":
        with contextlib.suppress(Exception):
            own = copy.copy(value)
            return lambda target, bind: bind(own)
        return lambda target, bind: bind(value)  # nothing goes on with it where it was
    if kind in ("number", "container"):
        copied = copy.deepcopy(value)
        return lambda target, bind: bind(copied)
    return None


def _put_array(array: Any) -> Put:
    def put(target: Any, bind: Callable[[Any], None]) -> None:
        if type(target) is type(array) and target.shape == array.shape and target.dtype == array.dtype:
            adapt("it", target).restore(array)
        else:
            bind(array)

    return put


def _refill(target: Any, inside: dict[str, Any]) -> None:
    vars(target).clear()
    vars(target).update(inside)


class _Reader:
    """Feeds whatever can be told of a thing into a digest."""

    def __init__(self) -> None:
        self.sha = hashlib.sha256()
        self._seen: dict[int, int] = {}
        self._kept: list[Any] = []
        self._nodes = 0

    def feed(self, value: Any) -> None:
        self._nodes += 1
        if self._nodes > _NODES:
            raise Opaque
        if isinstance(value, _PLAIN) and not isinstance(value, np.generic):
            self._say(f"{type(value).__name__} {value!r}")
        elif isinstance(value, _FIXED):
            self._say(getattr(value, "__qualname__", None) or repr(type(value)))
        elif id(value) in self._seen:
            self._say(f"again {self._seen[id(value)]}")
        else:
            self._seen[id(value)] = len(self._seen)
            self._kept.append(value)  # so that its identity is not given to another one meanwhile
            self._say(type(value).__qualname__)
            self._inside(value)

    def _inside(self, value: Any) -> None:
        leaf = recognise(value)
        if leaf is not None:
            self._say(f"{leaf[1].dtype} {leaf[1].shape}")
            self.sha.update(leaf[1].read())
        elif isinstance(value, Mapping):
            for key, one in value.items():
                self.feed(key)
                self.feed(one)
        elif isinstance(value, (list, tuple, deque)):
            self._say(str(len(value)))
            for one in value:
                self.feed(one)
        elif isinstance(value, (set, frozenset)):
            for text in sorted(map(repr, value)):
                self._say(text)
        elif isinstance(value, np.random.RandomState):
            self.feed(value.get_state())
        elif kind_of(value) in ("generator", "optimizer", "scheduler", "module", "keeper"):
            self.feed(adapt("it", value).capture())
        elif isinstance(value, types.GeneratorType):
            frame = value.gi_frame
            self.feed(None if frame is None else (frame.f_lasti, dict(frame.f_locals)))
        elif isinstance(getattr(value, "__dict__", None), dict):
            self.feed(vars(value))
        elif isinstance(value, Iterator):
            self._place(value)
        else:
            raise Opaque

    def _place(self, value: Any) -> None:
        """Where one of Python's own iterators stands."""
        reduced = value.__reduce__()
        if isinstance(reduced, str):
            raise Opaque
        self.feed(list(reduced[1:]))

    def _say(self, text: str) -> None:
        self.sha.update(text.encode("utf-8", "replace") + b"\0")


def _is_ours(value: Any) -> bool:
    """Whether something is warren's own, such as the slot and its member; the zoo's models are a user's."""
    module = type(value).__module__
    return module.startswith("warren.") and not module.startswith("warren.zoo.")


def _is_generator(value: Any) -> bool:
    kinds = (np.random.Generator, np.random.RandomState, random.Random)
    return (isinstance(value, kinds) and not isinstance(value, random.SystemRandom)) or is_torch(value, "Generator")


def _has(value: Any, *names: str) -> bool:
    return all(callable(_look(value, name)) for name in names)


def _look(value: Any, name: str) -> Any:
    """An attribute, without running code of the user's that makes one up."""
    if name in getattr(value, "__dict__", {}):
        return vars(value)[name]
    return getattr(type(value), name, None)
