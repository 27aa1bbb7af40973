"""What members are compared by, greater is better."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from warren.errors import InvalidType, InvalidValue
from warren.population import IntervalRow, View

if TYPE_CHECKING:
    from numpy.typing import NDArray

Over = Literal["mean", "best"]


class Fitness(Protocol):
    """Turns reports at equal progress into one number a member."""

    def __call__(self, view: View) -> NDArray[np.float64]:
        """Fitness in the order of ``view.facts.members``; -inf for a member that is not healthy."""
        ...


@dataclass(frozen=True, kw_only=True)
class LastScore:
    """The score that was reported last, as the paper."""

    def __call__(self, view: View) -> NDArray[np.float64]:
        return view.facts.scores


@dataclass(frozen=True, kw_only=True)
class Window:
    """The mean or the best of a member's last scores, against noise in a single one.

    Only scores since the member last copied count: those before are of another state. So a member that has just copied
    is judged by one score, whatever the window.

    Args:
        last: How many scores count at most, from 1.
        over: ``"mean"``, or ``"best"``, which forgives a dip; it also remembers a lucky score for so long.

    Raises:
        InvalidType: `last` is no whole number.
        InvalidValue: `last` is below 1, or `over` is neither.
    """

    last: int = 5
    over: Over = "mean"

    def __post_init__(self) -> None:
        if isinstance(self.last, bool) or not isinstance(self.last, int):
            raise InvalidType(f"Window: last must be a whole number, but got {self.last!r}")
        if self.last < 1:
            raise InvalidValue(f"Window: last must be at least 1, but got {self.last!r}")
        if self.over not in ("mean", "best"):
            raise InvalidValue(f"Window: over={self.over!r} must be 'mean' or 'best'")

    def __call__(self, view: View) -> NDArray[np.float64]:
        return view.once(("fitness", self), lambda: _each(view, self._of))

    def _of(self, newest_first: Iterator[float]) -> float:
        scores = [score for score, _ in zip(newest_first, range(self.last), strict=False)]
        if self.over == "best":
            return max(scores)
        return math.fsum(score / len(scores) for score in scores)  # the sum itself may be beyond a float


@dataclass(frozen=True, kw_only=True)
class Smoothed:
    """A member's scores with exponentially falling weights: ``s <- (1 - weight) * s + weight * score``.

    It begins with the first score since the member last copied; see `Window`.

    Args:
        weight: Of the newest score, above 0 and at most 1; 1 is the last score alone.

    Raises:
        InvalidValue: `weight` is out of its range.
    """

    weight: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.weight <= 1:
            raise InvalidValue(f"Smoothed: weight must lie above 0 and at most at 1, but got {self.weight!r}")

    def __call__(self, view: View) -> NDArray[np.float64]:
        return view.once(("fitness", self), lambda: _each(view, self._of))

    def _of(self, newest_first: Iterator[float]) -> float:
        first, *later = reversed(list(newest_first))
        smoothed = first
        for score in later:
            smoothed = (1 - self.weight) * smoothed + self.weight * score
        return smoothed


def _each(view: View, of: Callable[[Iterator[float]], float]) -> NDArray[np.float64]:
    """One number for each of ``view.facts.members``; -inf for those that are not healthy."""
    facts = view.facts
    fitness = np.full(len(facts.members), -np.inf)
    for place in np.flatnonzero(facts.healthy).tolist():
        fitness[place] = of(present(view, facts.rows[place]))
    return fitness


def present(view: View, newest: IntervalRow) -> Iterator[float]:
    """The scores of a member from a report back to its last copy, newest first, turned so that greater is better.

    Scores that are still to come are passed over. The interval that followed the copy is the oldest that counts.
    """
    sign = 1.0 if view.goal == "max" else -1.0
    for row in reversed(view.reports(newest.member)):
        if row.interval > newest.interval:
            continue
        if row.status == "diverged":
            return
        if row.score is not None:
            yield sign * row.score
        if row.origin != "continue":
            return
