"""An anchor: the best state so far, kept for ever and given to those that fall behind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from warren.errors import InvalidValue
from warren.population import IntervalRow, Keys, Plan, View
from warren.space import Space
from warren.strategies.averaging import combine, kin
from warren.strategies.checks import check_share
from warren.strategies.ever import best_ever, remember
from warren.strategies.explore import Explore, Perturb, explored
from warren.strategies.moves import begin_all, keep, rescue
from warren.strategies.ready import Every
from warren.strategies.standing import ranked, worst


@dataclass(frozen=True, kw_only=True)
class Anchored:
    """PBT with an elitist anchor, after ESGD with anchors (Cui and Picheny 2019, arXiv 1907.04882).

    The anchor is the best state that any member has reported in the whole run. It is pinned, so that it outlives its
    member, and it is a parent in every round: the best fitness among the parents never gets worse. A member among the
    worst goes on from the anchor, or from one of the best, drawn uniformly among these, and explores. With several
    `parents` it goes on from the mean of that many, the anchor being the first (ESGD's recombination).

    Decided here: the paper's anchor is a model that was trained before, which ``warm_start`` gives; it moves on when a
    member does better. Its Gaussian noise on weights and its back-off of every step that does not help are left out. A
    mean is only taken of states that descend from one another, see `kin`.

    The anchor is the strategy's memory; the member that bettered it writes it down and pins it at its own turn. A
    member may fall back to an anchor that it was itself.

    Traps: the best of many noisy scores was lucky, and stays the anchor until a luckier one comes. Where evaluation is
    noisy, report means of many. Where the task changes on the way, the anchor is of another task.

    Args:
        fraction: Share of the population that is worst, and that are parents beside the anchor; from 0 to 0.5.
        parents: How many states a copy is the mean of; 1 copies one.
        explore: How hyperparameters change after a copy.
        every: Intervals between two decisions for a member.
        warmup: Intervals before the first decision can come.

    Raises:
        InvalidValue: A number is out of its range.
    """

    fraction: float = 0.2
    parents: int = 1
    explore: Explore = field(default_factory=Perturb)
    every: int = 1
    warmup: int = 1

    def __post_init__(self) -> None:
        Every(every=self.every, warmup=self.warmup)
        check_share("Anchored", self.fraction)
        if isinstance(self.parents, bool) or not isinstance(self.parents, int) or self.parents < 1:
            raise InvalidValue(f"Anchored: parents must be a whole number of at least 1, but got {self.parents!r}")

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """As `PBT`, with the same draws for the same seed."""
        first = Every(every=self.every, warmup=self.warmup).after(0)
        return begin_all(space, size, keys, intervals=first)

    def decide(self, view: View, keys: Keys) -> Plan:
        """Become the anchor, go on, or take over the anchor or another parent."""
        intervals = Every(every=self.every, warmup=self.warmup).after(view.at) - view.at
        report, best = view.report, ranked(view, keys)
        anchor = best_ever(view, best)
        if view.failing:
            if anchor is None:
                return rescue(view, view.facts.scores, self.explore, keys, intervals=intervals)
            return self._from(view, (anchor,), keys, intervals)
        if report is None or report.interval != view.at or anchor is None:
            return keep(intervals=intervals)  # its own score is still to come
        if anchor is best[0] and anchor.id == report.id:
            return remember(view, anchor, intervals=intervals)
        if not self._is_worst(view, keys):
            return keep(intervals=intervals)
        others = [row for row in best if row.member != view.due.member and row.checkpoint != anchor.checkpoint]
        others = others[: max(self._share(view), 2)]
        drawn = keys.generator("parents").permutation(len(others) + 1).tolist()
        if self.parents == 1:
            return self._from(view, ([anchor, *others][drawn[0]],), keys, intervals)
        beside = [others[place - 1] for place in drawn if place][: self.parents - 1]
        return self._from(view, kin(view, [anchor, *beside]), keys, intervals)

    def _is_worst(self, view: View, keys: Keys) -> bool:
        if view.place is None or self.fraction == 0 or len(view.facts.members) < 2:
            return False
        return bool(worst(view, view.facts.scores, keys, max(1, self._share(view)))[view.place])

    def _share(self, view: View) -> int:
        return math.floor(self.fraction * len(view.facts.members) + 1e-9)  # 0.2 * 5 must be 1 whatever the rounding

    def _from(self, view: View, rows: Sequence[IntervalRow], keys: Keys, intervals: int) -> Plan:
        return combine(view, rows, explored(self.explore, view, rows[0].hyperparameters, keys), intervals=intervals)
