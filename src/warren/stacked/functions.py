"""Functions that are written for all members at once (`warren.StackedTask`), as a lift."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warren.errors import InvalidType, InvalidValue
from warren.stacked.arrays import Places, kind_of
from warren.stacked.base import Arrays, Functions, Outcome, Round, Stacked, columns, nested, reported
from warren.stacked.keys import Keyring
from warren.stacked.picture import Picture, StackedPicture
from warren.state import Tree
from warren.state.tree import dotted, map_leaves, ordered


class StackedLift:
    """See `Lift`. Each leaf of the state is an array of the shape (n, ...), of any framework.

    Args:
        task: The functions.
        device: Where states are brought to, as their framework names it; None is its default.
    """

    fixed = False

    def __init__(self, task: Functions, device: str | None = None) -> None:
        self._task = task
        self._device = device

    def init(self, seeds: Sequence[int], hyperparameters: Sequence[Mapping[str, Any]]) -> Stacked:
        """See `Lift`."""
        state = self._task.init(np.array(seeds, dtype=np.int64), nested(columns(hyperparameters)))
        return self.adopt(require_axis(state, len(seeds), "init"))

    def train(self, state: Stacked, hyperparameters: Arrays, keys: Round) -> tuple[Stacked, Callable[[], Outcome]]:
        """See `Lift`; one interval after another."""
        values = nested(hyperparameters)
        results = []
        for interval in keys:
            n = len(interval)
            state = self._task.train_interval(state, values, Keyring([train for train, _ in interval]))
            require_axis(state, n, "train_interval")
            result = self._task.evaluate(state, Keyring([evaluate for _, evaluate in interval]))
            results.append((reported(result), n))
        return state, lambda: _outcome(results)

    def take(self, state: Stacked, places: Places) -> Stacked:
        """See `Lift`."""
        return map_leaves(lambda leaf: kind_of(leaf, "").take(leaf, places), state)

    def put(self, state: Stacked, places: Places, part: Stacked) -> Stacked:
        """See `Lift`."""
        parts = iter([leaf for _, leaf in leaves(ordered(part, state))])
        return map_leaves(lambda leaf: kind_of(leaf, "").put(leaf, places, next(parts)), state)

    def stack(self, trees: Sequence[Tree]) -> Stacked:
        """See `Lift`."""
        rest = [iter([leaf for _, leaf in leaves(ordered(tree, trees[0]))]) for tree in trees]

        def stacked(leaf: Any) -> Any:
            return kind_of(leaf, "").stack([next(one) for one in rest], self._device)

        return map_leaves(stacked, trees[0])

    def picture(self, state: Stacked) -> Callable[[], Picture]:
        """See `Lift`."""
        pictures = [kind_of(leaf, dotted(path)).picture(leaf) for path, leaf in leaves(state)]
        shape = map_leaves(lambda leaf: None, state)  # the containers may be written to as well

        def made() -> Picture:
            rest = iter([picture() for picture in pictures])
            return StackedPicture(map_leaves(lambda leaf: next(rest), shape))

        return made

    def member(self, state: Stacked, place: int) -> Tree:
        """See `Lift`."""
        return map_leaves(lambda leaf: kind_of(leaf, "").member(leaf, place), state)

    def adopt(self, state: Stacked) -> Stacked:
        """See `Lift`."""
        return map_leaves(lambda leaf: kind_of(leaf, "").moved(leaf, self._device), state)


def leaves(tree: Tree) -> list[tuple[tuple[object, ...], Any]]:
    """The leaves of a tree in the order of `map_leaves`, each with its path."""
    return list(_walk(tree, ()))


def _walk(tree: Tree, path: tuple[object, ...]) -> Iterator[tuple[tuple[object, ...], Any]]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _walk(value, (*path, key))
    elif isinstance(tree, (list, tuple)):
        names = getattr(tree, "_fields", range(len(tree)))
        for name, value in zip(names, tree, strict=True):
            yield from _walk(value, (*path, name))
    else:
        yield path, tree


def require_axis(state: Stacked, n: int, function: str) -> Stacked:
    """Refuse a state whose leaves lack the member axis.

    Args:
        state: What a function returned.
        n: Members.
        function: Its name.

    Raises:
        InvalidType: A leaf is no array.
        InvalidValue: A leaf has another leading axis.
    """
    found = leaves(state)
    if not found:
        raise InvalidValue(f"{function}: the state holds no arrays; return a tree of arrays with a leading member axis")
    for path, leaf in found:
        kind_of(leaf, dotted(path))
        shape = tuple(leaf.shape)
        if shape[:1] != (n,):
            raise InvalidValue(
                f"{function}: the state's leaf {dotted(path)!r} has the shape {shape}, but every leaf of a "
                f"StackedTask's state must have a leading axis of {n}, one entry a member"
            )
    return state


def numbers(value: Any, n: int, what: str) -> NDArray[np.float64]:
    """The numbers of n members on the host.

    Args:
        value: An array of any framework, of the shape (n,).
        n: Members.
        what: What they are, for the message.

    Raises:
        InvalidType: It is no array of numbers.
        InvalidValue: It has another shape.
    """
    detach = getattr(value, "detach", None)
    try:
        array = np.asarray(detach().cpu() if callable(detach) else value).astype(np.float64)
    except (TypeError, ValueError):
        raise InvalidType(f"evaluate: {what} must be numbers, one a member, but got {value!r}") from None
    if array.shape != (n,):
        raise InvalidValue(f"evaluate: {what} must have the shape ({n},), one a member, but got {array.shape}")
    return array


def _outcome(results: Sequence[tuple[tuple[Any, dict[str, Any]], int]]) -> Outcome:
    scores, metrics = [], []
    for (score, others), n in results:
        scores.append(numbers(score, n, "the scores"))
        metrics.append({name: numbers(value, n, f"the metric {name!r}") for name, value in others.items()})
    return Outcome(
        scores=np.stack(scores),
        metrics={name: np.stack([one[name] for one in metrics]) for name in metrics[0]},
    )
