"""When a run ends before every member has its intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

from warren.errors import InvalidType, InvalidValue
from warren.population.rows import Goal, RunRow


@dataclass(frozen=True, kw_only=True)
class Stop:
    """A stopping rule; the first condition that holds ends the run.

    Args:
        score: Stop when a member reports this score or a better one.
        seconds: Stop when the run has taken this long, sessions added up.
        intervals: Stop after this many intervals of all members together.
        patience: Stop when the best score has not got better for this many intervals of all members.
        min_delta: What counts as better, in units of the score.

    Raises:
        InvalidValue: A number is not positive.
        InvalidType: A value is no number.
    """

    score: float | None = None
    seconds: float | None = None
    intervals: int | None = None
    patience: int | None = None
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        for name in ("score", "seconds", "intervals", "patience", "min_delta"):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise InvalidType(f"stop: {name} must be a number, but got {value!r}")
            if not math.isfinite(value):
                raise InvalidValue(f"stop: {name} must be finite, but got {value!r}")
            if name in ("seconds", "intervals", "patience") and value <= 0:
                raise InvalidValue(f"stop: {name} must be positive, but got {value!r}")
        if self.min_delta < 0:
            raise InvalidValue(f"stop: min_delta must not be negative, but got {self.min_delta!r}")

    def reason(self, run: RunRow) -> str | None:
        """Why the run should end now, or None."""
        if self.score is not None and run.best_score is not None and not better(self.score, run.best_score, run.goal):
            return f"target score {self.score:g} reached"
        if self.intervals is not None and run.total >= self.intervals:
            return f"{self.intervals} intervals over all members"
        if self.seconds is not None and run.elapsed >= self.seconds:
            return f"{self.seconds:g} seconds"
        if self.patience is not None and run.total - run.improved >= self.patience:
            return f"no better score for {self.patience} intervals"
        return None


def better(a: float, b: float, goal: Goal) -> bool:
    """Whether score `a` is strictly better than `b` for the goal."""
    return a > b if goal == "max" else a < b
