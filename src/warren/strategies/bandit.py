"""What PB2 and its successors know of a round: what intervals have gained, who copies whom, and who goes on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from warren.population import IntervalRow, Keys, View
from warren.strategies.gp import Array
from warren.strategies.standing import ranked, worst


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Hyperparameters that were trained with, or are going to be.

    Attributes:
        begun: The interval at whose end that training begins.
        before: The score then, greater is better.
        hyperparameters: What is trained with.
    """

    begun: int
    before: float
    hyperparameters: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Known:
    """What intervals have gained.

    Attributes:
        trials: What was trained with, oldest first.
        gains: What each gained in score, greater is better. Shape (len(trials),), finite.
    """

    trials: Sequence[Trial]
    gains: Array


def gained(view: View, window: int, *, since: int = 0) -> Known:
    """What each interval gained in score, oldest first.

    The score before an interval is what the member measured (`IntervalRow.before`), else that of the interval that its
    state came out of. So after a copy it is the donor's, and the jump is no gain of the hyperparameters'. An interval
    without a score before it or after it is left out; one that diverged counts with the lowest gain of all.

    Args:
        view: Facts at equal progress.
        window: How many intervals at most, the newest.
        since: Intervals that began before this one are left out.
    """
    sign = 1.0 if view.goal == "max" else -1.0
    rows = [row for member in view.facts.members.tolist() for row in view.reports(member)]
    scores = {row.id: row.score for row in rows}
    rows.sort(key=lambda row: (row.interval, row.member))
    trials, gains = [], []
    for row in rows:
        before = row.before if row.before is not None else scores.get(row.parents[0]) if row.parents else None
        if before is None or row.status == "pending" or row.interval <= since:
            continue
        trials.append(Trial(begun=row.interval - 1, before=sign * before, hyperparameters=row.hyperparameters))
        gains.append(sign * (row.score - before) if row.score is not None else math.nan)
    kept = np.array(gains[-window:], dtype=np.float64)
    known = np.isfinite(kept)
    if not known.any():
        return Known(trials=(), gains=np.empty(0))
    return Known(trials=trials[-window:], gains=np.where(known, kept, kept[known].min()))


def copies(view: View, keys: Keys, fraction: float) -> dict[int, IntervalRow]:
    """Who copies whom among the members that stand where the one that is due stands, by number.

    The worst copy from the best, drawn uniformly; a share of the population each, at least one. A recipient is never
    its own donor. The same whoever decides.

    Args:
        view: Facts at equal progress.
        keys: The key of the member that is due.
        fraction: The share, from 0 to 0.5.
    """

    def compute() -> dict[int, IntervalRow]:
        facts, n = view.facts, len(view.facts.members)
        if n < 2 or fraction == 0:
            return {}
        share = max(1, math.floor(fraction * n + 1e-9))  # 0.2 * 5 must be 1 whatever the rounding
        last, best = worst(view, facts.scores, keys, share), ranked(view, keys)
        found = {}
        for place in np.argsort(facts.members).tolist():
            row = facts.rows[place]
            donors = [one for one in best if one.member != row.member][:share]
            if last[place] and facts.healthy[place] and row.interval == view.at and donors:
                found[row.member] = donors[int(keys_of(keys, row.member).generator("donor").integers(len(donors)))]
        return found

    return view.once(("copies", keys.seed, keys.interval, fraction), compute)


def keys_of(keys: Keys, member: int) -> Keys:
    """The key that another member has at the same interval."""
    return Keys(seed=keys.seed, member=member, interval=keys.interval)


def going_on(view: View, without: Iterable[int]) -> list[Trial]:
    """What the members train next that stand at this interval and go on as they are."""
    facts, others = view.facts, frozenset(without)
    return [
        Trial(begun=view.at, before=float(score), hyperparameters=row.hyperparameters)
        for row, score, healthy in zip(facts.rows, facts.scores, facts.healthy, strict=True)
        if healthy and row.interval == view.at and row.member not in others
    ]


def copy_of(view: View, source: IntervalRow) -> Trial:
    """What a member begins with that copies a report; where that has no score yet, with the donor's last one."""
    if source.score is None:
        before = float(view.facts.scores[view.facts.place[source.member]])
    else:
        before = source.score if view.goal == "max" else -source.score
    return Trial(begun=view.at, before=before, hyperparameters=source.hyperparameters)
