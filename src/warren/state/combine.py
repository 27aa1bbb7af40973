"""One state made of several, array by array, whatever framework the arrays are of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from warren.errors import StateError
from warren.state.leaves import floating, narrowed, widened
from warren.state.tree import Path, Tree, dotted

Arrays: TypeAlias = Sequence[NDArray[Any]]
"""The arrays at one place of several states: float64, or complex128."""


def combine_leaves(function: Callable[[Arrays, Path], Any], states: Sequence[Tree]) -> Tree:
    """One state of several: a function makes each floating array, and all else is the first state's.

    Args:
        function: Is given the arrays at one place of all states, as float64 or complex128 in the host's memory, and the
            path to them; gives one of the same shape. What it gives is brought to the first one's type and framework.
        states: At least one. Of the same form wherever there are floating arrays; scalars that are NumPy's count as
            arrays, Python's own do not.

    Returns:
        The state. Arrays that were one and the same memory in the first are so no longer.

    Raises:
        StateError: The states differ in form; the message says where.
    """
    return _combined(function, list(states), ())


def _combined(function: Callable[[Arrays, Path], Any], trees: list[Any], path: Path) -> Any:
    first = trees[0]
    if floating(first):
        return _array(function, trees, path)
    keys = [_keys(tree) for tree in trees]
    if keys[0] is None:
        return first
    if any(other is None or set(other) != set(keys[0]) for other in keys[1:]):
        if not any(map(_holds_arrays, trees)):
            return first  # a history that is longer in one than in another, say
        raise StateError(f"states cannot be combined: at '{dotted(path)}' one has {_told(trees)}")
    parts = [_combined(function, [tree[key] for tree in trees], (*path, key)) for key in keys[0]]
    if isinstance(first, Mapping):
        return type(first)(zip(keys[0], parts, strict=True))  # type: ignore[call-arg]
    return parts if isinstance(first, list) else tuple.__new__(type(first), parts)


def _array(function: Callable[[Arrays, Path], Any], leaves: list[Any], path: Path) -> Any:
    shapes = [tuple(leaf.shape) if floating(leaf) else None for leaf in leaves]
    odd = next((place for place, shape in enumerate(shapes) if shape != shapes[0]), None)
    if odd is not None:
        other = f"an array of shape {shapes[odd]}" if shapes[odd] is not None else _kind(leaves[odd])
        raise StateError(
            f"states cannot be combined: at '{dotted(path)}' one has an array of shape {shapes[0]}, and another {other}"
        )
    made = np.asarray(function([widened(leaf) for leaf in leaves], path))
    if made.shape != shapes[0]:
        raise StateError(
            f"states cannot be combined: at '{dotted(path)}' they have arrays of shape {shapes[0]}, and the hook gave "
            f"one of shape {made.shape}"
        )
    return narrowed(made, leaves[0])


def _keys(tree: Any) -> list[Any] | None:
    """How the parts of a container are reached, or None for what is none."""
    if isinstance(tree, Mapping):
        return list(tree)
    return list(range(len(tree))) if isinstance(tree, (list, tuple)) else None


def _holds_arrays(tree: Any) -> bool:
    keys = _keys(tree)
    return floating(tree) if keys is None else any(_holds_arrays(tree[key]) for key in keys)


def _told(trees: list[Any]) -> str:
    return ", and another ".join(dict.fromkeys(map(_kind, trees)))


def _kind(tree: Any) -> str:
    if isinstance(tree, Mapping):
        return f"({', '.join(map(str, tree)) or 'nothing'})"
    return f"{len(tree)} parts" if isinstance(tree, (list, tuple)) else f"a {type(tree).__name__}"
