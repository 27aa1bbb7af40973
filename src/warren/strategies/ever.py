"""The best state of a whole run, pinned, as a strategy's memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from warren.population import IntervalRow, Pin, Plan, Unpin, View
from warren.values import Json

_FIELDS = ("id", "member", "interval", "age", "score", "checkpoint", "hyperparameters")


def best_ever(view: View, best: Sequence[IntervalRow], *, since: int = 0) -> IntervalRow | None:
    """The better of what is remembered and what there is now; the former where they tie.

    Args:
        view: Facts at equal progress.
        best: States that can be copied now, the best first.
        since: What is remembered of this interval, or of one before it, does not count.
    """
    known = _remembered(view)
    if known is None or known.score is None or known.interval <= since:
        return best[0] if best else None
    sign = 1.0 if view.goal == "max" else -1.0
    place = view.facts.place.get(best[0].member) if best else None
    return best[0] if place is not None and view.facts.scores[place] > sign * known.score else known


def remember(view: View, row: IntervalRow, *, intervals: int = 1) -> Plan:
    """The member that is due goes on, and its state is kept as the best; the one before it is let go.

    Args:
        view: Facts at equal progress.
        row: The report of the member that is due, with a checkpoint.
        intervals: Until its next decision.
    """
    before = _remembered(view)
    released = () if before is None else (Unpin(checkpoint=str(before.checkpoint)),)
    memory: dict[str, Json] = {field: getattr(row, field) for field in _FIELDS}
    return Plan(actions=(Pin(checkpoint=str(row.checkpoint)), *released), memory=memory, intervals=intervals)


def _remembered(view: View) -> IntervalRow | None:
    """What is remembered, or None where there is nothing or it was found damaged.

    Its report is found as its parent: other than `View.reports`, a lineage also shows a member that stands at less what
    came after, and what the remembered state itself came out of.
    """
    memory: Any = view.memory
    if not isinstance(memory, dict):
        return None
    row = IntervalRow(**memory, parents=(memory["id"],))
    damaged = any(known.lost is not None for known in view.lineage(row)[1:2])
    return None if damaged else row
