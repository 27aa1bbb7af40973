"""Trials as points of a Gaussian process, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from warren.space import Choice, Dimension, Space
from warren.strategies.bandit import Trial
from warren.strategies.gp import Array, Points, Process, descended


@dataclass(frozen=True, kw_only=True)
class Coding:
    """Trials as points: time, score before and hyperparameters, each in [0, 1]; `coding` makes it.

    A hyperparameter lies in its own range (`Dimension.unit`), time and score in the ranges that they have among trials.
    A number that does not exist beside the others lies in the middle; a label that does not is one of its own.

    Attributes:
        numbers: Hyperparameters that have an order, by name.
        labels: Those that have none, where they count.
        free: Which of the numbers of a point may be chosen: not the score, and not what comes with the weights.
        times: Lowest and highest time.
        scores: Lowest and highest score.
    """

    numbers: dict[str, Dimension]
    labels: dict[str, Choice]
    free: tuple[int, ...]
    times: tuple[float, float]
    scores: tuple[float, float]

    def points(self, trials: Sequence[Trial]) -> Points:
        """The trials as points; the score before is the first of the numbers."""
        numbers = np.array([self._numbers(trial) for trial in trials], dtype=np.float64)
        labels = np.array([self._labels(trial) for trial in trials], dtype=np.int64)
        return Points(
            times=np.array([_share(trial.begun, self.times) for trial in trials], dtype=np.float64),
            numbers=numbers.reshape(len(trials), 1 + len(self.numbers)),
            labels=labels.reshape(len(trials), len(self.labels)),
        )

    def values(self, point: Points) -> dict[str, Any]:
        """The hyperparameters of one point, each legal by itself; without labels that do not exist there."""
        units, places = point.numbers[0, 1:].tolist(), point.labels[0].tolist()
        numbers = {name: one.at(unit) for (name, one), unit in zip(self.numbers.items(), units, strict=True)}
        labels = zip(self.labels.items(), places, strict=True)
        return {**numbers, **{name: one.values[place] for (name, one), place in labels if place >= 0}}

    def _numbers(self, trial: Trial) -> list[float]:
        given = trial.hyperparameters
        units = [one.unit(given[name]) if name in given else 0.5 for name, one in self.numbers.items()]
        return [_share(trial.before, self.scores), *units]

    def _labels(self, trial: Trial) -> list[int]:
        given = trial.hyperparameters
        places = [one.place(given[name]) if name in given else None for name, one in self.labels.items()]
        return [-1 if place is None else place for place in places]


def coding(space: Space, trials: Sequence[Trial], labels: Mapping[str, Choice]) -> Coding:
    """How these trials lie.

    Args:
        space: What hyperparameters may be.
        trials: All that are going to be coded, one at least.
        labels: The choices without an order that count.
    """
    # By name, so that the order in which a space is written does not matter.
    numbers = {name: one for name, one in sorted(space.items()) if one.ordered}
    times, scores = [float(trial.begun) for trial in trials], [trial.before for trial in trials]
    return Coding(
        numbers=numbers,
        labels=dict(labels),
        free=tuple(place for place, name in enumerate(numbers, start=1) if name not in space.rebuild),
        times=(min(times), max(times)),
        scores=(min(scores), max(scores)),
    )


def unordered(space: Space) -> dict[str, Choice]:
    """The choices of a space that have no order, by name."""
    return {name: one for name, one in sorted(space.items()) if isinstance(one, Choice) and not one.ordered}


def _share(value: float, among: tuple[float, float]) -> float:
    low, high = among[0] / 2, among[1] / 2  # halves, since the whole range may be beyond a float
    return (value / 2 - low) / (high - low) if high > low else 0.5


def highest(
    process: Process, point: Points, bounds: Mapping[int, tuple[float, float]], confidence: float, starts: Array
) -> tuple[Points, float]:
    """The point with the highest upper confidence bound that L-BFGS-B finds.

    Args:
        process: What is expected.
        point: One point, of which the numbers that are not in `bounds` stay, and the labels.
        bounds: Which numbers may be chosen, and between what.
        confidence: Deviations in the bound.
        starts: Where the search begins. Shape (any, len(bounds)), at least one.

    Returns:
        The point and its bound.
    """
    if not bounds:
        return point, process.upper(point, confidence)[0]
    free = list(bounds)

    def at(chosen: Array) -> Points:
        numbers = point.numbers.copy()
        numbers[0, free] = chosen
        return replace(point, numbers=numbers)

    def cost(chosen: Array) -> tuple[float, Array]:
        bound, rise = process.upper(at(chosen), confidence)
        return -bound, -rise[free]

    best, lowest = descended(cost, starts, list(bounds.values()))
    # How many threads multiply matrices moves the last digits of a fit, and must not move what members train with.
    low, high = np.array(list(bounds.values())).T
    return at(np.clip(np.round(best, _DIGITS), low, high)), -lowest


_DIGITS = 4
"""Of a chosen point in [0, 1]: a ten-thousandth of the range."""
