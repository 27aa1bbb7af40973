"""How members stand to each other: what is the same for all who decide at one interval, found once for them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from warren.population import IntervalRow, Keys, View

if TYPE_CHECKING:
    from numpy.typing import NDArray


def lottery(view: View, keys: Keys) -> NDArray[np.float64]:
    """The numbers that settle ties: one for each of ``view.facts.members``, the same whoever decides.

    Keyed by interval and member, so that of two members that tie exactly one is the better, for both.
    """

    def compute() -> NDArray[np.float64]:
        members = view.facts.members
        return keys.shared("ties").random(int(members.max()) + 1)[members]

    return view.once(("lottery", keys.seed, keys.interval), compute)


def worst(view: View, fitness: NDArray[np.float64], keys: Keys, count: int) -> NDArray[np.bool_]:
    """Which of ``view.facts.members`` have fewer than `count` others below them; ties are settled by the lottery.

    Args:
        view: Facts at equal progress.
        fitness: One number for each of ``view.facts.members``, greater is better.
        keys: The key of the member that is due.
        count: How many are the worst, from 1 to the number of members.
    """

    def compute() -> NDArray[np.bool_]:
        border = np.partition(fitness, count - 1)[count - 1]
        among: NDArray[np.bool_] = ~(fitness > border)
        if np.count_nonzero(among) > count:
            tied = np.flatnonzero(fitness == border)
            lots = lottery(view, keys)[tied]
            below = np.count_nonzero(fitness < border) + np.searchsorted(np.sort(lots), lots)
            among[tied] = below < count
        return among

    return view.once(("worst", keys.seed, keys.interval, count), compute, given=fitness)


@dataclass(frozen=True, kw_only=True)
class _Best:
    """Members that can be copied, best first, with one more than are wanted: whoever decides is none of its own.

    Attributes:
        rows: The reports whose checkpoints are copied.
        place: Where a member stands in these.
    """

    rows: Sequence[IntervalRow]
    place: Mapping[int, int]


def donor(view: View, fitness: NDArray[np.float64], keys: Keys, size: int) -> IntervalRow | None:
    """One of the best `size` members that can be copied now, drawn uniformly; never the one that is due.

    Args:
        view: Facts at equal progress.
        fitness: One number for each of ``view.facts.members``, greater is better.
        keys: The key of the member that is due.
        size: How many to draw from; fewer where there are fewer.

    Returns:
        The report whose checkpoint is copied, or None where there is none.
    """

    def compute() -> _Best:
        fit = np.flatnonzero(view.facts.healthy)
        best_first = fit[np.lexsort((-lottery(view, keys)[fit], -fitness[fit]))] if len(fit) else fit
        rows: list[IntervalRow] = []
        for member in view.facts.members[best_first].tolist():
            source = view.source(member)
            if source is not None:
                rows.append(source)
                if len(rows) > size:
                    break
        return _Best(rows=rows, place={row.member: place for place, row in enumerate(rows)})

    best = view.once(("best", keys.seed, keys.interval, size), compute, given=fitness)
    own = best.place.get(view.due.member, len(best.rows))
    count = min(size, len(best.rows) - (own < len(best.rows)))
    if count < 1:
        return None
    drawn = int(keys.generator("donor").integers(count))
    return best.rows[drawn + (drawn >= own)]


def ranked(view: View, keys: Keys) -> tuple[IntervalRow, ...]:
    """The states of healthy members that can be copied now, best first; ties are settled by the lottery.

    Args:
        view: Facts at equal progress.
        keys: The key of the member that is due.
    """

    def compute() -> tuple[IntervalRow, ...]:
        facts = view.facts
        fit = np.flatnonzero(facts.healthy)
        if not len(fit):
            return ()
        best_first = fit[np.lexsort((-lottery(view, keys)[fit], -facts.scores[fit]))]
        found = (view.source(member) for member in facts.members[best_first].tolist())
        return tuple(row for row in found if row is not None)

    return view.once(("ranked", keys.seed, keys.interval), compute)


def opponent_of(view: View, keys: Keys) -> int | None:
    """The place of another member with a report, drawn uniformly."""
    members = view.once("by number", lambda: sorted(view.facts.place))
    own = bisect_left(members, view.due.member)
    count = len(members) - (view.place is not None)
    if not count:
        return None
    drawn = int(keys.generator("opponent").integers(count))
    return view.facts.place[members[drawn + (view.place is not None and drawn >= own)]]
