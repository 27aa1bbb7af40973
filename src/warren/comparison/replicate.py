"""One run of a comparison as it counts: read as far as its budget goes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from warren.population import Goal, IntervalRow, better
from warren.results import Result
from warren.results.lineage import lineage

POINTS = 40
"""Places along the budget at which the state of a run is told."""


@dataclass(frozen=True, kw_only=True)
class Reached:
    """A state that a run came to, as selection saw it and as it is.

    Attributes:
        score: What selection saw.
        held_out: What it did not see; NaN where it was not finite.
    """

    score: float
    held_out: float


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A run at one place of its budget.

    Attributes:
        cost: Units of compute that all members have spent.
        now: Of the member that looks best by its last score.
    """

    cost: float
    now: Reached


@dataclass(frozen=True, kw_only=True)
class Replicate:
    """A strategy's run on one seed: a whole population.

    Attributes:
        arm: Name of the strategy.
        seed: Of the run.
        final: The last state of the member that looks best by its last score; None where none is finite.
        best: The state with the best score of the whole run, which was selected from all of them.
        members: The last state of each member, by number.
        cost: Units of compute that it spent and that count: at most the budget.
        beyond: Units that it spent after that, and that do not count.
        intervals: Reports that count.
        seconds: Time inside user code for these, over all members.
        wall: Wall time of the run.
        course: The run along its budget.
        schedule: The hyperparameters that led to `final`, an interval each.
        uneven: Some intervals cost other than 1.
    """

    arm: str
    seed: int
    final: Reached | None
    best: Reached | None
    members: tuple[Reached, ...]
    cost: float
    beyond: float
    intervals: int
    seconds: float
    wall: float
    course: tuple[Moment, ...]
    schedule: tuple[Mapping[str, Any], ...]
    uneven: bool


def replicate(result: Result, *, arm: str, seed: int, goal: Goal, held_out: str, budget: float) -> Replicate:
    """What counts of a run.

    Reports are taken by the interval that they end, the first ones of all members first, up to the last one that the
    budget pays for in full: so that it does not matter whether members were trained in turns or one after another.

    Args:
        result: The run.
        arm: Name of its strategy.
        seed: Of the run.
        goal: Which scores are better.
        held_out: Name of the metric that selection did not see.
        budget: Units of compute.
    """
    rows = sorted(result.intervals, key=lambda row: (row.interval, row.id))
    paid = _paid(rows, budget)
    last: dict[int, IntervalRow] = {}
    best: IntervalRow | None = None
    course: list[Moment] = []
    cost, marks = 0.0, [budget * k / POINTS for k in range(1, POINTS + 1)]
    for row in paid:
        cost += row.cost
        if row.status == "ok" and row.score is not None:
            last[row.member] = row
            if best is None or best.score is None or better(row.score, best.score, goal):
                best = row
        passed = [mark for mark in marks if mark <= cost * (1 + 1e-9) or row is paid[-1]]
        leading = _leading(last.values(), goal) if passed else None
        if passed:
            del marks[: len(passed)]
        if leading is not None:
            course.append(Moment(cost=cost, now=_reached(leading, held_out)))
    final = _leading(last.values(), goal)
    chain = [] if final is None else lineage({row.id: row for row in rows}, final.id)
    return Replicate(
        arm=arm,
        seed=seed,
        final=None if final is None else _reached(final, held_out),
        best=None if best is None else _reached(best, held_out),
        members=tuple(_reached(last[member], held_out) for member in sorted(last)),
        cost=cost,
        beyond=sum(row.cost for row in rows[len(paid) :]),
        intervals=len(paid),
        seconds=sum(row.seconds for row in paid),
        wall=result.run.elapsed,
        course=tuple(course),
        schedule=tuple(row.hyperparameters for row in chain),
        uneven=any(row.cost != 1.0 for row in rows),
    )


def _paid(rows: Sequence[IntervalRow], budget: float) -> Sequence[IntervalRow]:
    """The reports up to the first one that the budget does not pay for."""
    cost = 0.0
    for count, row in enumerate(rows):
        cost += row.cost
        if cost > budget * (1 + 1e-9):  # sums of fractions
            return rows[:count]
    return rows


def _leading(rows: Iterable[IntervalRow], goal: Goal) -> IntervalRow | None:
    """The report with the best score; of equal ones that of the smallest member."""
    found: IntervalRow | None = None
    for row in sorted(rows, key=lambda row: row.member):
        if row.score is None:
            continue
        if found is None or found.score is None or better(row.score, found.score, goal):
            found = row
    return found


def _reached(row: IntervalRow, held_out: str) -> Reached:
    value = row.metrics.get(held_out, math.nan)
    score = math.nan if row.score is None else row.score
    return Reached(score=score, held_out=value if math.isfinite(value) else math.nan)
