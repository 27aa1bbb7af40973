"""What all members of FIRE PBT agree on at one interval: who copies whom, who was outdone, who is evaluated next."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from warren.population import IntervalRow, Keys, View
from warren.strategies.fire_curves import Curve, binomial, improvement, overlap, sign_test
from warren.strategies.standing import lottery

if TYPE_CHECKING:
    from warren.values import Json

P1, P2, EVALUATORS = "P1", "P2", "evaluators"


@dataclass(frozen=True, kw_only=True)
class Rules:
    """By what members are judged; see `FIREPBT`."""

    fraction: float
    patience: int
    p: float
    window: int


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What an evaluator is at: it carries its parent's weights on with its child's hyperparameters.

    Attributes:
        parent: A member of P2.
        child: A member of P1.
        since: The interval after which it took over the weights.
    """

    parent: int
    child: int
    since: int

    @classmethod
    def of(cls, tag: Json) -> Pair | None:
        """The pair in an evaluator's tag, if there is one."""
        if not isinstance(tag, dict):
            return None
        parent, child, since = tag.get("parent"), tag.get("child"), tag.get("since")
        if not (isinstance(parent, int) and isinstance(child, int) and isinstance(since, int)):
            return None
        return cls(parent=parent, child=child, since=since)

    def tag(self) -> Json:
        """As an evaluator's tag."""
        return {"parent": self.parent, "child": self.child, "since": self.since}


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """An evaluator at work.

    Attributes:
        row: Its report.
        pair: What it is at.
        curve: Its scores since it took over the parent's weights.
    """

    row: IntervalRow
    pair: Pair
    curve: Curve


@dataclass(frozen=True, kw_only=True)
class Round:
    """What is agreed.

    Attributes:
        donors: Those members of P1 and of P2 that others of theirs copy.
        replaced: The members of both that do copy one.
        successors: The evaluator's report that a member of P1 takes over, by member.
        pairs: What evaluators begin with now, by member.
    """

    donors: Mapping[str, Sequence[int]]
    replaced: frozenset[int]
    successors: Mapping[int, IntervalRow]
    pairs: Mapping[int, Pair]


def agree(view: View, keys: Keys, rules: Rules) -> Round:
    """What follows for all members from what is known at one interval.

    Args:
        view: Facts at equal progress, of whoever decides.
        keys: Those of any member at this interval.
        rules: By what members are judged.
    """
    ranked = _ranked(view, keys)
    with np.errstate(over="ignore", invalid="ignore"):  # two finite scores may lie farther apart than a float can say
        working = _working(view, ranked[EVALUATORS], rules)
        fitness = _fitness(working, rules)
        of_p2 = sorted((row for row in ranked[P2] if row.member in fitness), key=lambda row: -fitness[row.member])
        donors, replaced = {}, set()
        for group, best_first in ((P1, ranked[P1]), (P2, of_p2)):
            count = _share(rules.fraction, len(ranked[group]), len(best_first))
            donors[group] = [row.member for row in best_first[:count] if row.status == "ok"]
            replaced |= {row.member for row in best_first[len(best_first) - count :]}
        for group in (P1, P2):
            donors[group] = donors[group] or [row.member for row in ranked[group] if row.status == "ok"]
        going_on, successors = _judged(view, [one for one in working if not _gone(one, replaced)], rules)
    children = [row.member for row in ranked[P1] if row.status == "ok"]
    idle = sorted({row.member for row in ranked[EVALUATORS]} - {one.row.member for one in going_on})
    busy = replaced | {one.pair.parent for one in going_on}
    waiting = [row for row in ranked[P2] if row.status == "ok" and row.member not in busy]
    attended = _attended(view, ranked) if idle else {}
    waiting.sort(key=lambda row: attended.get(row.member, 0))
    pairs = {
        evaluator: Pair(parent=row.member, child=children[0], since=view.at)
        for evaluator, row in zip(idle if children else (), waiting, strict=False)
    }
    return Round(donors=donors, replaced=frozenset(replaced), successors=successors, pairs=pairs)


def _ranked(view: View, keys: Keys) -> dict[str, list[IntervalRow]]:
    """The reports of each sub-population, the best score first. Whoever was given no group is of P1."""
    found: dict[str, list[IntervalRow]] = {P1: [], P2: [], EVALUATORS: []}
    if len(view.facts.members):
        for place in np.lexsort((-lottery(view, keys), -view.facts.scores)).tolist():
            row = view.facts.rows[place]
            found[row.group if row.group in found else P1].append(row)
    return found


def _share(fraction: float, size: int, judged: int) -> int:
    """How many of the members that are judged are worst, and best, in a sub-population of some size."""
    return min(max(1, math.floor(fraction * size + 1e-9)), judged // 2)


def _working(view: View, evaluators: Sequence[IntervalRow], rules: Rules) -> list[Evaluation]:
    """The evaluators whose parent and child are still those that they began with, by number."""
    found = []
    for row in sorted(evaluators, key=lambda row: row.member):
        pair = Pair.of(row.tag)
        if pair is None or row.status != "ok" or row.interval <= pair.since:
            continue
        if _stayed(view, pair.parent, pair.since) and _stayed(view, pair.child, pair.since):
            curve = curve_of(view, row, rules.window)
            if curve is not None:
                found.append(Evaluation(row=row, pair=pair, curve=curve))
    return found


def _stayed(view: View, member: int, since: int) -> bool:
    """Whether a member has gone on with its own curve since an interval."""
    return not any(_begins(view, row) for row in view.reports(member) if row.interval > since)


def _begins(view: View, row: IntervalRow) -> bool:
    """Whether a curve begins with a report: after a copy, but not of a member of P1 that took over its evaluator."""
    if row.origin in ("continue", "fallback"):
        return False
    before = view.lineage(row)[1:2]
    return not before or before[0].group != EVALUATORS or row.group == EVALUATORS


def _gone(one: Evaluation, replaced: set[int]) -> bool:
    return one.pair.parent in replaced or one.pair.child in replaced


def _fitness(working: Sequence[Evaluation], rules: Rules) -> dict[int, float]:
    """The fitness of the members of P2 that are being evaluated: the sum of improvements over all others' curves.

    Curves with fewer points than a test could tell anything from are left out.
    """
    curves = {}
    for one in working:
        points = len(one.curve.values)
        if binomial(points, points) < rules.p:
            curves[one.pair.parent] = one.curve
    return {
        parent: sum(improvement(curve, other) for rival, other in curves.items() if rival != parent)
        for parent, curve in curves.items()
    }


def _judged(view: View, working: Sequence[Evaluation], rules: Rules) -> tuple[list[Evaluation], dict[int, IntervalRow]]:
    """The evaluators that go on, and those that are taken over by their child; the others stop.

    Of two that outdo the same child, the second has to outdo the first as well.
    """
    going_on: list[Evaluation] = []
    successors: dict[int, IntervalRow] = {}
    children = {one.pair.child for one in working}
    curves = {child: curve_of(view, _report(view, child), rules.window) for child in children}
    for one in working:
        child = curves[one.pair.child]
        if child is None:
            continue
        p = sign_test(one.curve, child)
        if p < rules.p and improvement(one.curve, child) > 0:
            successors[one.pair.child], curves[one.pair.child] = one.row, one.curve
            continue
        left = max(0.0, 1 - (view.at - one.pair.since) / rules.patience)
        stops = left == 0 if overlap(one.curve.smoothed, child.smoothed) is None else p > rules.p + left
        if not stops:
            going_on.append(one)
    return going_on, successors


def _report(view: View, member: int) -> IntervalRow | None:
    place = view.facts.place.get(member)
    return None if place is None else view.facts.rows[place]


def _attended(view: View, ranked: Mapping[str, Sequence[IntervalRow]]) -> dict[int, int]:
    """The last interval at which each member of P2 was being evaluated, or copied another one; 0 where never."""
    last = {
        own.member: max(
            (row.interval for row in view.reports(own.member) if row.origin in ("exploit", "rescue")), default=0
        )
        for own in ranked[P2]
    }
    for evaluator in ranked[EVALUATORS]:
        for row in view.reports(evaluator.member):
            pair = Pair.of(row.tag)
            if pair is not None:
                last[pair.parent] = max(last.get(pair.parent, 0), row.interval)
    return last


def curve_of(view: View, row: IntervalRow | None, window: int) -> Curve | None:
    """The scores up to a report since its weights were last copied from another member of the same sub-population.

    Args:
        view: Facts at equal progress.
        row: The newest report of the curve.
        window: For `smooth`.

    Returns:
        The curves inside intervals where they were reported, else the scores at their ends; None where there are none.
    """
    lineage = view.lineage(row) if row is not None else ()
    length = next((place + 1 for place, report in enumerate(lineage) if _begins(view, report)), len(lineage))
    sign = 1.0 if view.goal == "max" else -1.0
    values: list[float] = []
    for report in reversed(lineage[:length]):
        points = [score for _, score in report.curve] if report.curve is not None else [report.score]
        values += [sign * score for score in points if score is not None and math.isfinite(score)]
    return Curve(values=np.array(values), window=window) if values else None
