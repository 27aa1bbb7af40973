"""MF-PBT: sub-populations that evolve at different frequencies, so that slow ones are spared the greed of fast ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from warren.errors import InvalidType, InvalidValue
from warren.population import Keys, Plan, View
from warren.space import Space
from warren.strategies.explore import Explore, Perturb
from warren.strategies.moves import assign, begin, keep, rescue, take_over
from warren.strategies.standing import lottery


@dataclass(frozen=True, kw_only=True)
class Inheritance:
    """What a member takes over when its group evolves.

    Attributes:
        weights: Whose weights.
        hyperparameters: Those that come with them.
        explore: They are perturbed.
    """

    weights: int
    hyperparameters: Mapping[str, Any]
    explore: bool


@dataclass(frozen=True, kw_only=True)
class MFPBT:
    """Multiple-Frequencies Population Based Training (Doulazmi et al. 2025, arXiv 2506.03225).

    The population is divided into groups of equal size, one for each frequency f, in the order of the members' numbers.
    After every f-th interval a group evolves, by the quarters of its own ranking:

    - the worst quarter copies the best, one-to-one in the order of rank, weights and hyperparameters, and explores;
    - the third quarter, its best first, faces the best members of all other groups, each of them once, and takes over
      the weights of one that has a better score. From a slower group (a larger f) the hyperparameters come along; from
      a faster one they do not, since they may be greedy: those of the own group's best are used. A migrant does not
      explore;
    - the others go on as they are.

    Decided here, where the paper asks for groups that divide by 4 and says no more: a quarter of n members is n // 4,
    and 1 where n is 2 or 3; the third quarter are those next above the worst. A population with fewer than 4 members
    for each frequency has fewer groups: those of the first frequencies. An outsider that ties is not better. A member
    that fails copies from the best quarter of its own group.

    Traps: a group whose frequency is more than half of the run hardly evolves. In an asynchronous run members are
    ranked by what is known of them at the decider's own interval, so that two may face the same outsider. All members
    stop wherever any group evolves, so that the state that is copied is the one that was judged.

    Args:
        frequencies: Intervals between two evolutions, one for each group, rising.
        explore: How hyperparameters change after a copy inside the group.

    Raises:
        InvalidType: A frequency is no whole number.
        InvalidValue: There is no frequency, or they do not rise from 1 or more.
    """

    frequencies: Sequence[int] = (1, 10, 25, 50)
    explore: Explore = field(default_factory=lambda: Perturb(factors=(0.8, 1.25)))

    def __post_init__(self) -> None:
        if not isinstance(self.frequencies, (tuple, list)):
            raise InvalidType(f"MFPBT: frequencies must be whole numbers in a row, but got {self.frequencies!r}")
        object.__setattr__(self, "frequencies", tuple(self.frequencies))
        for frequency in self.frequencies:
            if isinstance(frequency, bool) or not isinstance(frequency, int):
                raise InvalidType(f"MFPBT: frequencies must be whole numbers, but got {frequency!r}")
        rising = all(a < b for a, b in zip((0, *self.frequencies), self.frequencies, strict=False))
        if not self.frequencies or not rising:
            raise InvalidValue(
                f"MFPBT: frequencies must rise from 1 or more, such as (1, 10, 25, 50), but got {self.frequencies!r}"
            )

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """Every member in a group, with hyperparameters from the prior and a state made from its own seed."""
        used = self.frequencies[: max(1, size // 4)]
        return Plan(
            actions=tuple(
                begin(space, member, keys, intervals=self._intervals(0), group=_name(used[member * len(used) // size]))
                for member in range(size)
            )
        )

    def decide(self, view: View, keys: Keys) -> Plan:
        """What the member that is due takes over, where its group evolves."""
        intervals, frequency = self._intervals(view.at), self._frequency(view.due.group)
        if view.failing:
            return self._rescue(view, frequency, keys, intervals)
        report = view.report
        if report is None or report.interval != view.at or view.at % frequency:
            return keep(intervals=intervals)
        found = view.once(
            ("mf-pbt", self, frequency, keys.seed, keys.interval), lambda: self.evolve(view, frequency, keys)
        )
        inherited = found.get(view.due.member)
        source = None if inherited is None else view.source(inherited.weights)
        if inherited is None or source is None or source.checkpoint is None:
            return keep(intervals=intervals)
        if inherited.explore:
            return take_over(view, source, self.explore, keys, intervals=intervals)
        taken = view.space.merged(source.hyperparameters, inherited.hyperparameters, keys.generator("merge"))
        return assign(view, taken, via="copy", sources=(source.checkpoint,), intervals=intervals)

    def evolve(self, view: View, frequency: int, keys: Keys) -> dict[int, Inheritance]:
        """What each member of a group takes over, by member; those that go on as they are are left out.

        Args:
            view: Facts at equal progress.
            frequency: Of the group.
            keys: Those of any member at this interval.
        """
        rows, scores = view.facts.rows, view.facts.scores
        mine, others = self._ranked(view, frequency, keys)
        n = len(mine)
        quarter = max(1, n // 4) if n > 1 else 0
        found: dict[int, Inheritance] = {}
        for recipient, donor in zip(mine[n - quarter :], mine[:quarter], strict=True):
            if view.facts.healthy[donor]:
                found[rows[recipient].member] = Inheritance(
                    weights=rows[donor].member, hyperparameters=rows[donor].hyperparameters, explore=True
                )
        for recipient in mine[max(quarter, n - 2 * quarter) : n - quarter]:
            if not others or scores[others[0]] <= scores[recipient]:
                continue
            outsider = others.pop(0)
            slower = self._frequency(rows[outsider].group) > frequency
            giver = outsider if slower or not view.facts.healthy[mine[0]] else mine[0]
            found[rows[recipient].member] = Inheritance(
                weights=rows[outsider].member, hyperparameters=rows[giver].hyperparameters, explore=False
            )
        return found

    def _ranked(self, view: View, frequency: int, keys: Keys) -> tuple[list[int], list[int]]:
        """Places in the facts, best first: of a group, and of the healthy members of all others."""
        facts = view.facts
        best_first = np.lexsort((-lottery(view, keys), -facts.scores)).tolist() if len(facts.members) else []
        inside = [self._frequency(row.group) == frequency for row in facts.rows]
        mine = [place for place in best_first if inside[place]]
        return mine, [place for place in best_first if not inside[place] and facts.healthy[place]]

    def _rescue(self, view: View, frequency: int, keys: Keys, intervals: int) -> Plan:
        """A copy of one of the best quarter of the own group; where that has none to give, of anybody's."""
        mine, _ = self._ranked(view, frequency, keys)
        others = [int(view.facts.members[place]) for place in mine if view.facts.healthy[place]]
        sources = [view.source(member) for member in others if member != view.due.member]
        donors = [source for source in sources if source is not None][: max(1, len(mine) // 4)]
        if not donors:
            return rescue(view, view.facts.scores, self.explore, keys, intervals=intervals)
        donor = donors[int(keys.generator("donor").integers(len(donors)))]
        return take_over(view, donor, self.explore, keys, intervals=intervals)

    def _intervals(self, at: int) -> int:
        """How many intervals from here until any group evolves."""
        return min(frequency - at % frequency for frequency in self.frequencies)

    def _frequency(self, group: str) -> int:
        """A group's frequency; the first one for a member that was given no group."""
        return next((one for one in self.frequencies if _name(one) == group), self.frequencies[0])


def _name(frequency: int) -> str:
    return f"every {frequency}"
