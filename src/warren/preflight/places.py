"""Where a training function can keep something: its variables, their attributes, and what is outside of it."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import inspect
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any, Literal

from warren.preflight.kinds import Kind, is_own, kind_of
from warren.preflight.trials import is_user_file
from warren.training import Task

Scope = Literal["local", "global"]
_DEPTH = 3
_MOST = 2000
_WIDE = 32
"""Entries of a list or dictionary that are looked into one by one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Place:
    """Something that user code holds under some name.

    Attributes:
        key: Tells places of one call of the training function apart; the same in another call.
        scope: ``local``: made anew at each call; ``global``: outlives calls.
        name: As the user would write it, such as ``agent.optimizer``.
        root: The variable that it begins with.
        kind: What it is.
        type: Name of its class, with the module.
        owner: Name of the class that it is an attribute of, or "".
        tracked: Name of the tracked object that this is, or is an attribute of; else None.
        value: It.
        bind: Puts something else under the name.
    """

    key: str
    scope: Scope
    name: str
    root: str
    kind: Kind
    type: str
    owner: str
    tracked: str | None
    value: Any
    bind: Callable[[Any], None]


def places(train: Any, frames: Iterable[FrameType], tracked: Mapping[str, object]) -> dict[str, Place]:
    """Everything that the training function can remember something in.

    Args:
        train: The training function or task.
        frames: Those of its calls, where it is being called.
        tracked: Its tracked objects by name.
    """
    walk = _Walk(tracked)
    functions = list(roots(train))
    for module, names in _namespaces(functions).items():
        for name, value in list(names.items()):
            if not name.startswith("__"):
                walk.visit("global", f"{module}:{name}", name, name, value, _in(names, name))
    for function in functions:
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            if _filled(cell):
                key = f"{function.__qualname__}:{name}"
                walk.visit("global", key, name, name, cell.cell_contents, functools.partial(_fill, cell))
    for name, value in _held(train):
        walk.visit("global", f"held:{name}", name, name, value, nowhere)
    # A variable that a nested function shares is met once: in the call around it, or outside.
    shared = {name for function in functions for name in function.__code__.co_freevars}
    frames = list(frames)
    shared.update(name for frame in frames for name in frame.f_code.co_cellvars)
    for frame in frames:
        for name, value in dict(frame.f_locals).items():
            if not name.startswith(".") and (name not in frame.f_code.co_freevars or name not in shared):
                key = f"{frame.f_code.co_name}:{name}"
                walk.visit("local", key, name, name, value, functools.partial(write_local, frame, name))
    return walk.found


def roots(train: Any) -> Iterator[types.FunctionType]:
    """The functions that training begins with."""
    given: list[Any] = [train.init, train.train_interval, train.evaluate] if isinstance(train, Task) else [train]
    for one in given:
        while isinstance(one, functools.partial):
            one = one.func
        if not isinstance(one, (types.FunctionType, types.MethodType)):
            one = type(one).__call__  # an object that can be called, by its class's method
        inner: Any = inspect.unwrap(one)
        inner = getattr(inner, "__func__", inner)
        if isinstance(inner, types.FunctionType):
            yield inner


def write_local(frame: FrameType, name: str, value: Any) -> None:
    """Bind a variable of a call that is going on to another value, as debuggers do."""
    variables = frame.f_locals
    variables[name] = value
    if sys.version_info < (3, 13):  # later versions write through
        ctypes.pythonapi.PyFrame_LocalsToFast(ctypes.py_object(frame), ctypes.c_int(0))


class _Walk:
    """Goes from names into what they hold, a few levels deep, and meets each thing once."""

    def __init__(self, tracked: Mapping[str, object]) -> None:
        self.found: dict[str, Place] = {}
        self._tracked = {id(obj): name for name, obj in tracked.items()}
        self._met: dict[int, Any] = {}

    def visit(
        self, scope: Scope, key: str, name: str, root: str, value: Any, bind: Callable[[Any], None],
        *, owner: str = "", of: str | None = None, depth: int = 0,
    ) -> None:  # fmt: skip
        with contextlib.suppress(Exception):  # a thing that will not be looked at is none that can be told of
            self._visit(scope, key, name, root, value, bind, owner, of, depth)

    def _visit(
        self, scope: Scope, key: str, name: str, root: str, value: Any, bind: Callable[[Any], None],
        owner: str, of: str | None, depth: int,
    ) -> None:  # fmt: skip
        kind = kind_of(value)
        if kind is None or len(self.found) >= _MOST or depth > _DEPTH:
            return
        if kind not in ("number", "container"):
            if id(value) in self._met:
                return
            self._met[id(value)] = value
        mine = self._tracked.get(id(value))
        inner = functools.partial(self._inner, scope, key, name, root, value, depth)
        if mine is not None and kind not in ("array", "tensor"):
            # Its own state is in the checkpoint; what it does not give away is in its attributes.
            if kind == "module" or (is_own(value) and kind not in ("generator", "optimizer")):
                inner(of=mine)
        elif kind == "object" or (kind == "container" and not _simple(value)):
            inner(of=of)
        else:
            self._keep(scope, key, name, root, kind, value, bind, owner, mine or of)

    def _keep(
        self, scope: Scope, key: str, name: str, root: str, kind: Kind, value: Any, bind: Callable[[Any], None],
        owner: str, tracked: str | None,
    ) -> None:  # fmt: skip
        kinds = f"{type(value).__module__}.{type(value).__name__}"
        self.found[key] = Place(
            key=key, scope=scope, name=name, root=root, kind=kind, type=kinds, owner=owner, tracked=tracked,
            value=value, bind=bind,
        )  # fmt: skip

    def _inner(self, scope: Scope, key: str, name: str, root: str, value: Any, depth: int, *, of: str | None) -> None:
        owner = type(value).__name__
        deeper = 1 if kind_of(value) != "object" or is_own(value) else 2  # others' objects are not searched far
        if isinstance(value, dict):
            parts = [(f"[{part!r}]", one, _in(value, part)) for part, one in value.items()]
        elif isinstance(value, (list, tuple)):
            parts = [(f"[{i}]", one, _in(value, i)) for i, one in enumerate(value)]
        elif kind_of(value) == "module":
            inside = vars(value)
            kept = [(part, one) for part, one in inside.items() if not part.startswith("_") and part != "training"]
            kept += list(inside.get("_modules", {}).items())
            parts = [(f".{part}", one, _in(inside, part)) for part, one in kept]
        else:
            parts = [(f".{part}", one, _in(vars(value), part)) for part, one in vars(value).items()]
        for part, one, bind in parts:
            self.visit(scope, key + part, name + part, root, one, bind, owner=owner, of=of, depth=depth + deeper)


def _simple(value: Any) -> bool:
    """Whether a container is carried as a whole: it holds numbers and strings only, or too much to look into."""
    if not isinstance(value, (dict, list, tuple)) or len(value) > _WIDE:
        return True
    return all(kind_of(one) in ("number", None) for one in (value.values() if isinstance(value, dict) else value))


def _namespaces(functions: Iterable[types.FunctionType]) -> dict[str, dict[str, Any]]:
    """The names of the user's modules that the functions stand in and use, by module."""
    found: dict[str, dict[str, Any]] = {}
    for function in functions:
        if is_user_file(function.__code__.co_filename):
            found.setdefault(str(function.__module__), function.__globals__)
        for value in list(function.__globals__.values()):
            if isinstance(value, (types.ModuleType, types.FunctionType, type)):
                name = value.__name__ if isinstance(value, types.ModuleType) else value.__module__
                module = sys.modules.get(str(name))
                file = getattr(module, "__file__", None)
                if module is not None and file is not None and is_user_file(file):
                    found.setdefault(str(name), vars(module))
    return found


def _held(train: Any) -> Iterator[tuple[str, Any]]:
    """Objects that are bound to the training function: of methods, of partial calls, of callable objects."""
    given = [train.init, train.train_interval, train.evaluate] if isinstance(train, Task) else [train]
    for one in given:
        while isinstance(one, functools.partial):
            yield from ((f"argument {place}", value) for place, value in enumerate(one.args))
            yield from one.keywords.items()
            one = one.func
        if isinstance(one, types.MethodType):
            yield type(one.__self__).__name__, one.__self__
        elif not isinstance(one, types.FunctionType):
            yield type(one).__name__, one


def _in(mapping: Any, key: Any) -> Callable[[Any], None]:
    def bind(value: Any) -> None:
        mapping[key] = value

    return bind


def _fill(cell: types.CellType, value: Any) -> None:
    cell.cell_contents = value


def _filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:  # the function around it has not come to that line
        return False
    return True


def nowhere(value: Any) -> None:
    """Binds nothing."""
    raise TypeError("an argument cannot be bound anew")
