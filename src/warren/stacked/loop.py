"""A task of NumPy's, which has no vmap: members are trained one after another in this process."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warren.errors import InvalidType, WarrenError
from warren.stacked.arrays import Places
from warren.stacked.base import Arrays, Functions, Outcome, Round, nested, reported
from warren.stacked.picture import ListedPicture, Picture
from warren.state import Tree, clone

States = list[Tree]


class LoopLift:
    """See `Lift`. The states are a list of trees.

    Args:
        task: The functions, on one member.
    """

    fixed = False

    def __init__(self, task: Functions) -> None:
        self._task = task

    def init(self, seeds: Sequence[int], hyperparameters: Sequence[Mapping[str, Any]]) -> States:
        """See `Lift`."""
        return [self._task.init(seed, nested(values)) for seed, values in zip(seeds, hyperparameters, strict=True)]

    def train(self, state: States, hyperparameters: Arrays, keys: Round) -> tuple[States, Callable[[], Outcome]]:
        """See `Lift`."""
        n = len(state)
        after = list(state)
        scores = np.full((len(keys), n), np.nan)
        metrics: dict[str, NDArray[np.float64]] = {}
        failures: dict[int, str] = {}
        # Back to Python's own numbers, which are what the functions get on other engines.
        values = [nested({name: column[p].item() for name, column in hyperparameters.items()}) for p in range(n)]
        for k, interval in enumerate(keys):
            for place, (train, evaluate) in enumerate(interval):
                if place in failures:
                    continue
                try:
                    after[place] = self._task.train_interval(after[place], values[place], train)
                    score, others = reported(self._task.evaluate(after[place], evaluate))
                except WarrenError:
                    raise
                except Exception:  # it is its own member's failure, as on every engine
                    failures[place] = traceback.format_exc()
                    continue
                scores[k, place] = number(score, "the score")
                for name, value in others.items():
                    column = metrics.setdefault(name, np.full(scores.shape, np.nan))
                    column[k, place] = number(value, f"the metric {name!r}")
        outcome = Outcome(scores=scores, metrics=metrics, failures=failures)
        return after, lambda: outcome

    def take(self, state: States, places: Places) -> States:
        """See `Lift`."""
        return [clone(state[place]) for place in places.tolist()]  # a function may write into it

    def put(self, state: States, places: Places, part: States) -> States:
        """See `Lift`."""
        state = list(state)
        for place, tree in zip(places.tolist(), part, strict=True):
            state[place] = tree
        return state

    def stack(self, trees: Sequence[Tree]) -> States:
        """See `Lift`."""
        return [clone(tree) for tree in trees]  # members may begin with one and the same

    def picture(self, state: States) -> Callable[[], Picture]:
        """See `Lift`."""
        picture = ListedPicture([clone(tree) for tree in state])
        return lambda: picture

    def member(self, state: States, place: int) -> Tree:
        """See `Lift`."""
        return state[place]

    def adopt(self, state: States) -> States:
        """See `Lift`."""
        return state


def number(value: Any, what: str) -> float:
    """One number of any framework.

    Raises:
        InvalidType: It is none.
    """
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InvalidType(f"evaluate: {what} must be one number, but got {value!r}") from None
