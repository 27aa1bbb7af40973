"""What came of a simulated run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from warren.population import Goal, IntervalRow
from warren.simulation.learner import TRUE


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """A simulated run.

    Attributes:
        goal: Which scores are better.
        intervals: All reports in the order in which they came, with hyperparameters, origin, parents and the observed
            score. ``metrics["true"]`` is the true one, and `seconds` the simulated duration.
        times: The simulated time at which each of them came.
        best: The report with the best observed score of the whole run, or None where none was finite.
        ended: Why the run ended; ``done`` where every member had its intervals.
        workers: How many trained at a time.
        makespan: The simulated time at which the last interval ended.
        busy: Simulated time that workers spent on intervals, those that failed among them.
        cost: Declared units of compute of all intervals, those that failed among them.
        failures: Intervals that failed.
    """

    goal: Goal
    intervals: Sequence[IntervalRow]
    times: Sequence[float]
    best: IntervalRow | None
    ended: str
    workers: int
    makespan: float
    busy: float
    cost: float
    failures: int = 0
    _by_id: dict[int, IntervalRow] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_id", {row.id: row for row in self.intervals})

    @cached_property
    def final(self) -> Sequence[IntervalRow]:
        """The last report of each member that has a finite score, the one that looks best first."""
        last = {row.member: row for row in self.intervals if row.status == "ok"}
        rows = [last[member] for member in sorted(last)]
        return sorted(rows, key=lambda row: row.score or 0.0, reverse=self.goal == "max")

    @property
    def true(self) -> float:
        """The true score of the member that looks best at the end; the worst there is where no score was finite."""
        worst = float("-inf") if self.goal == "max" else float("inf")
        return self.final[0].metrics[TRUE] if self.final else worst

    @property
    def utilisation(self) -> float:
        """The share of the workers' time that they spent on intervals, in [0, 1]."""
        return self.busy / (self.workers * self.makespan) if self.makespan else 0.0

    def donor(self, row: IntervalRow) -> IntervalRow | None:
        """Whose report a state was copied from, or None where the member went on from its own."""
        if row.origin not in ("exploit", "rescue") or not row.parents:
            return None
        return self._by_id.get(row.parents[0])
