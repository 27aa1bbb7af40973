"""The shape of a member's state: nested containers of scalars and arrays, written as a JSON skeleton.

A skeleton is what remains of a tree when its arrays are taken out. `None`, booleans, strings, finite floats,
lists and integers below 2**63 stand for themselves; everything else is an object with one key, its tag:

====  ======================================  ====  =====================================
tag   payload                                 tag   payload
====  ======================================  ====  =====================================
d     dict with string keys, an object        i     integer of any size, in hexadecimal
m     dict with other keys, a list of pairs   f     "nan", "inf" or "-inf"
o     OrderedDict, a list of pairs            x     bytes inside a set, in hexadecimal
c     Counter, a list of pairs                p     tuple
n     named tuple: module, name, fields, and  s, z  set, frozenset (sorted, so that equal sets give
      values                                        equal bytes)
====  ======================================  ====  =====================================

The tags of arrays belong to `warren.state.leaves`.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import types
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeAlias

from warren.errors import StateError

Tree: TypeAlias = Any
"""A state: dict, OrderedDict, Counter, list, tuple, named tuple, set or frozenset of scalars, over leaves
that are None, bool, int, float, str, bytes, NumPy arrays and scalars, torch tensors, JAX arrays."""

Node: TypeAlias = Any
"""A part of a skeleton: what `json` reads and writes."""

Path: TypeAlias = tuple[object, ...]
"""The keys, indices and field names that lead to a part of a tree."""

LeafWriter: TypeAlias = Callable[[object, Path], "Node | None"]
LeafReader: TypeAlias = Callable[[str, Node], Any]

# Beyond 64 bits an integer is written in hexadecimal: Python refuses decimal conversions above 4,300 digits.
_PLAIN_LIMIT = 2**63


def dotted(path: Path) -> str:
    """The readable form of a path, such as ``net.conv1.weight``; ``state`` for the root."""
    return ".".join(map(str, path)) or "state"


def to_skeleton(value: object, path: Path, leaf: LeafWriter) -> Node:
    """Take a tree apart.

    Args:
        value: the tree, or the part of it at `path`.
        path: where `value` is, for names and error messages.
        leaf: called for what is neither a container nor a scalar; keeps the array and returns its node, or
            returns None where it does not know the type.

    Returns:
        The skeleton, made of what `json` can write.

    Raises:
        StateError: if something in the tree cannot be stored; the message names its path.
    """
    kind = type(value)
    if kind is float:
        return _float_node(value)  # type: ignore[arg-type]
    if kind is str or kind is bool or value is None:
        return value
    write = _WRITERS.get(kind)
    if write is not None:
        return write(value, path, leaf)
    node = leaf(value, path)
    if node is not None:
        return node
    if isinstance(value, tuple) and isinstance(getattr(kind, "_fields", None), tuple):
        return _write_named_tuple(value, path, leaf)
    raise StateError(f"state at '{dotted(path)}': {_refusal(value)}")


def from_skeleton(node: Node, leaf: LeafReader) -> Tree:
    """Put a tree together again.

    Args:
        node: a skeleton made by `to_skeleton`.
        leaf: called with tag and payload for every tag that is not a container or scalar.

    Returns:
        The tree.

    Raises:
        StateError: if a named tuple's class is not imported here.
        ValueError, KeyError, TypeError: if the skeleton is malformed.
    """
    if isinstance(node, list):
        return [from_skeleton(child, leaf) for child in node]
    if not isinstance(node, dict):
        return node
    ((tag, payload),) = node.items()
    if tag == "d":
        return {key: from_skeleton(child, leaf) for key, child in payload.items()}
    read = _READERS.get(tag)
    return leaf(tag, payload) if read is None else read(payload, leaf)


def map_leaves(function: Callable[[Any], Any], tree: Tree) -> Tree:
    """Rebuild every container of a tree, with `function` applied to everything that is not a container.

    Sets are copied as they are, since they hold scalars only.
    """
    kind = type(tree)
    if kind is dict:
        return {key: map_leaves(function, value) for key, value in tree.items()}
    if kind is list:
        return [map_leaves(function, value) for value in tree]
    if kind is tuple:
        return tuple(map_leaves(function, value) for value in tree)
    if kind is OrderedDict or kind is Counter:
        return kind({key: map_leaves(function, value) for key, value in tree.items()})
    if kind is set:
        return set(tree)
    if isinstance(tree, tuple) and isinstance(getattr(kind, "_fields", None), tuple):
        return tuple.__new__(kind, (map_leaves(function, value) for value in tree))
    return function(tree)


def ordered(tree: Tree, like: Tree) -> Tree:
    """A tree of the same form as another one, with its keys in that one's order."""
    if isinstance(like, Mapping):
        return type(tree)({key: ordered(tree[key], value) for key, value in like.items()})
    if isinstance(like, list):
        return [ordered(one, other) for one, other in zip(tree, like, strict=True)]
    if isinstance(like, tuple):
        return tuple.__new__(type(tree), [ordered(one, other) for one, other in zip(tree, like, strict=True)])
    return tree


def _float_node(value: float) -> Node:
    return value if math.isfinite(value) else {"f": repr(value)}


def _write_int(value: int, path: Path, leaf: LeafWriter) -> Node:
    return value if -_PLAIN_LIMIT < value < _PLAIN_LIMIT else {"i": hex(value)}


def _write_dict(value: dict[object, object], path: Path, leaf: LeafWriter) -> Node:
    if {str}.issuperset(map(type, value)):
        return {"d": {key: to_skeleton(child, (*path, key), leaf) for key, child in value.items()}}
    return {"m": _pairs(value, path, leaf)}


def _write_pairs(tag: str, value: Mapping[object, object], path: Path, leaf: LeafWriter) -> Node:
    return {tag: _pairs(value, path, leaf)}


def _pairs(value: Mapping[object, object], path: Path, leaf: LeafWriter) -> Node:
    return [[_key_node(key, path), to_skeleton(child, (*path, key), leaf)] for key, child in value.items()]


def _key_node(key: object, path: Path) -> Node:
    if key is None or type(key) in (str, bool, int, float):
        return to_skeleton(key, path, _no_leaf)
    raise StateError(
        f"state at '{dotted(path)}': the key {key!r} is a {type(key).__name__}, and a key must be a str, "
        "int, float, bool or None; convert it (int(key) for a NumPy integer, a string for a tuple)"
    )


def _write_list(value: list[object], path: Path, leaf: LeafWriter) -> Node:
    return [to_skeleton(child, (*path, index), leaf) for index, child in enumerate(value)]


def _write_tuple(value: tuple[object, ...], path: Path, leaf: LeafWriter) -> Node:
    return {"p": [to_skeleton(child, (*path, index), leaf) for index, child in enumerate(value)]}


def _write_set(tag: str, value: set[object] | frozenset[object], path: Path, leaf: LeafWriter) -> Node:
    for item in value:
        if item is not None and type(item) not in (str, bool, int, float, bytes):
            raise StateError(
                f"state at '{dotted(path)}': a set may hold str, bytes, int, float, bool and None, and this "
                f"one holds a {type(item).__name__}; use a list"
            )
    # The order of a set of strings changes from process to process.
    ordered = sorted(value, key=lambda item: (type(item).__name__, repr(item)))
    return {tag: [{"x": i.hex()} if isinstance(i, bytes) else to_skeleton(i, path, _no_leaf) for i in ordered]}


def _write_named_tuple(value: tuple[object, ...], path: Path, leaf: LeafWriter) -> Node:
    kind: Any = type(value)
    fields, module, name = kind._fields, kind.__module__, kind.__qualname__
    if _imported(module, name) is not type(value):
        raise StateError(
            f"state at '{dotted(path)}': the named tuple {name} of module {module} "
            "cannot be found again under its name, so it could not be loaded; define it at the top level of "
            "a module that is imported, or store a dict"
        )
    values = [to_skeleton(child, (*path, field), leaf) for field, child in zip(fields, value, strict=True)]
    return {"n": [module, name, list(fields), values]}


def _read_named_tuple(payload: Node, leaf: LeafReader) -> Tree:
    module, name, fields, values = payload
    kind = _imported(module, name)
    # Only a class that this program has imported itself, that is a named tuple with these fields, and without
    # running any code of it: what a checkpoint says is never a reason to import or to call something.
    if not (isinstance(kind, type) and issubclass(kind, tuple) and getattr(kind, "_fields", None) == tuple(fields)):
        raise StateError(
            f"the state holds a named tuple {name} of module {module} with the fields {', '.join(fields)}, "
            "and no such class is imported here; import that module before loading"
        )
    return tuple.__new__(kind, _items(values, leaf, len(fields)))


def _imported(module: str, name: str) -> object:
    found: object = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _items(payload: Node, leaf: LeafReader, count: int | None = None) -> list[Any]:
    if not isinstance(payload, list) or (count is not None and len(payload) != count):
        raise ValueError("a container of the skeleton has the wrong form")
    return [from_skeleton(child, leaf) for child in payload]


def _read_pairs(payload: Iterable[tuple[Node, Node]], leaf: LeafReader) -> dict[Any, Any]:
    return {from_skeleton(key, _no_reader): from_skeleton(child, leaf) for key, child in payload}


def _read_counter(payload: Node, leaf: LeafReader) -> Tree:
    return Counter(_read_pairs(payload, leaf))


def _no_leaf(value: object, path: Path) -> Node | None:
    return None


def _no_reader(tag: str, payload: Node) -> Any:
    raise ValueError(f"unknown tag {tag!r} in the skeleton")


def _refusal(value: object) -> str:
    kind = type(value).__name__
    if isinstance(value, type | types.ModuleType):
        what, remedy = "a class or module", "leave it out of the state and set it when the object is built"
    elif callable(value) and isinstance(
        value, types.FunctionType | types.BuiltinFunctionType | types.MethodType | partial
    ):
        what, remedy = "a function", "leave it out of the state and give it to the object when it is built"
    elif isinstance(value, defaultdict | dict):
        what, remedy = f"a {kind}", "convert it with dict(...)"
    elif isinstance(value, int | float | str | list | tuple | set | bytearray | memoryview):
        what, remedy = (
            f"a {kind}",
            "convert it to the builtin type (int, float, str, list, tuple, set, bytes)",
        )
    elif dataclasses.is_dataclass(value):
        what, remedy = f"the dataclass {kind}", "store a dict of its fields"
    elif callable(getattr(value, "state_dict", None)):
        what, remedy = f"an object of type {kind}", "store its state_dict()"
    else:
        what, remedy = (
            f"an object of type {kind}",
            "store its content as numbers, strings, containers and arrays",
        )
    return f"{what} cannot be stored; {remedy}"


_WRITERS: Mapping[type, Callable[[Any, Path, LeafWriter], Node]] = {
    dict: _write_dict,
    list: _write_list,
    tuple: _write_tuple,
    int: _write_int,
    OrderedDict: partial(_write_pairs, "o"),
    Counter: partial(_write_pairs, "c"),
    set: partial(_write_set, "s"),
    frozenset: partial(_write_set, "z"),
}

_READERS: Mapping[str, Callable[[Node, LeafReader], Tree]] = {
    "m": _read_pairs,
    "o": lambda payload, leaf: OrderedDict(_read_pairs(payload, leaf)),
    "c": _read_counter,
    "n": _read_named_tuple,
    "p": lambda payload, leaf: tuple(_items(payload, leaf)),
    "s": lambda payload, leaf: set(_items(payload, leaf)),
    "z": lambda payload, leaf: frozenset(_items(payload, leaf)),
    "i": lambda payload, leaf: int(payload, 16),
    "f": lambda payload, leaf: float(payload),
    "x": lambda payload, leaf: bytes.fromhex(payload),
}
