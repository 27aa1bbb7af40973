"""Controls: what a Population Based Training has to beat at equal compute before it has helped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from warren.errors import InvalidType, InvalidValue
from warren.population import Assign, Keys, Plan, Retire, View
from warren.space import Float, Int, Space
from warren.space.space import flatten
from warren.strategies.fitness import LastScore
from warren.strategies.moves import begin_all, keep, train_on
from warren.strategies.standing import lottery

if TYPE_CHECKING:
    from numpy.typing import NDArray

Values = Mapping[str, Any] | Sequence[tuple[str, Any]]
"""Hyperparameters by name, or the pairs that a frozen value keeps them as."""


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """Random search with a schedule: each member's own draw, annealed along half a cosine (Loshchilov and Hutter 2017).

    Interval t of T (t from 0) is trained with ``h0 * (floor + (1 - floor) * (1 + cos(pi * t / T)) / 2)``, where h0 is
    what the member began with (arXiv 1608.03983, equation 5, without restarts), held in its range. No member is ever
    copied or rescued. A run that is extended goes on with the longer T.

    Args:
        names: Hyperparameters that are annealed, `Float` or `Int`; default: every `Float` on a log scale.
        floor: The share of h0 that the schedule falls towards; from 0 to 1.

    Raises:
        InvalidValue: `floor` is out of its range; at the start: the space has nothing to anneal.
    """

    names: Sequence[str] = ()
    floor: float = 0.0

    def __post_init__(self) -> None:
        if isinstance(self.names, str) or not all(isinstance(name, str) for name in self.names):
            raise InvalidType(f"Cosine: names must be a list of hyperparameters such as ['lr'], but got {self.names!r}")
        object.__setattr__(self, "names", tuple(self.names))
        if isinstance(self.floor, bool) or not isinstance(self.floor, (int, float)) or not 0 <= self.floor <= 1:
            raise InvalidValue(f"Cosine: floor must lie in [0, 1], but got {self.floor!r}")

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """As `PBT`, with the same draws for the same seed."""
        annealed(space, self.names)
        return begin_all(space, size, keys)

    def decide(self, view: View, keys: Keys) -> Plan:
        """Train on with the next values of the schedule."""
        own = view.due.hyperparameters
        names = [name for name in annealed(view.space, self.names) if name in own]
        # Before its first decision a member trains with h0 itself, also where the user gave it.
        noted = view.due.tag if isinstance(view.due.tag, dict) else {}
        initial = {name: noted.get(name, own[name]) for name in names}
        share = self.floor + (1 - self.floor) * (1 + math.cos(math.pi * min(1.0, view.at / view.limit))) / 2
        moved = {name: _held(view.space, name, value * share) for name, value in initial.items()}
        return train_on(view, _legal(view, {**own, **moved}, keys), tag=initial)


def annealed(space: Space, names: Sequence[str]) -> Sequence[str]:
    """The hyperparameters that `Cosine` anneals.

    Args:
        space: What hyperparameters may be.
        names: Those that the user names; none: every `Float` on a log scale that shapes no objects.

    Raises:
        InvalidValue: There is nothing to anneal, or a name stands for no number that may change.
        UnknownName: The space does not have one of the names.
    """
    if not names:
        names = [
            name for name, one in space.items() if isinstance(one, Float) and one.scale == "log" and not one.rebuild
        ]
        if not names:
            raise InvalidValue("Cosine: the space has no Float on a log scale to anneal; say which with names=[...]")
    for name in names:
        dimension = space[name]
        if not isinstance(dimension, (Float, Int)) or dimension.rebuild:
            raise InvalidValue(
                f"Cosine: names has {name!r}, which is {dimension!r}; only a Float or an Int without rebuild=True can "
                "be annealed"
            )
    return names


def _held(space: Space, name: str, value: float) -> float | int:
    """A number inside the range of its dimension, in its type."""
    dimension = space[name]
    if isinstance(dimension, Int):
        return min(max(round(value), dimension.low), dimension.high)
    return min(max(value, dimension.low), dimension.high) if isinstance(dimension, Float) else value


def _legal(view: View, values: dict[str, Any], keys: Keys) -> dict[str, Any]:
    """The values as conditions and constraints of the space want them; what shapes the objects stays."""
    return view.space.repaired(values, keys.generator("repair"), fixed=view.space.rebuild)


@dataclass(frozen=True, kw_only=True)
class Follow:
    """Training along a given schedule, nothing decided: a schedule that was found, on seeds that it was not found on.

    The state's interval of age a is trained with ``schedule[a - 1]``, past the end with the last step. All members
    follow the same schedule from states of their own, so the best of n of them is what n trainings would give.

    Args:
        schedule: Hyperparameters of each interval, oldest first, for example
            ``[step.hyperparameters for step in result.schedule]``. What the first step leaves out is drawn once, the
            same for all members; what a later one leaves out stays. A value that shapes the objects
            (``rebuild=True``) stays as the first step has it.

    Raises:
        InvalidValue: The schedule is empty; at the start: a value is not legal.
        UnknownName: At the start: the space does not have a name.
    """

    schedule: Sequence[Values] = ((),)

    def __post_init__(self) -> None:
        if isinstance(self.schedule, (str, Mapping)) or not isinstance(self.schedule, Sequence):
            raise InvalidType(f"Follow: schedule must be a list of hyperparameters, but got {self.schedule!r}")
        if not self.schedule:
            raise InvalidValue("Follow: schedule must have at least one step, but it is empty")
        steps = tuple(_pairs(step, f"Follow: schedule[{i}]") for i, step in enumerate(self.schedule))
        object.__setattr__(self, "schedule", steps)

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """Every member with the first step, and a state made from its own seed."""
        for i, step in enumerate(self.schedule):
            space.check(dict(step), field=f"schedule[{i}]")
        drawn = space.sample(keys.shared("schedule"))
        given = space.check(dict(self.schedule[0]), field="schedule[0]")
        first = space.repaired({**drawn, **given}, keys.shared("repair"))
        return Plan(
            actions=tuple(Assign(member=member, hyperparameters=dict(first), via="fresh") for member in range(size))
        )

    def decide(self, view: View, keys: Keys) -> Plan:
        """Train on with the next step."""
        step = dict(self.schedule[min(view.due.age, len(self.schedule) - 1)])
        moved = {
            name: view.space[name].check(value, f"schedule: {name}")
            for name, value in step.items()
            if name not in view.space.rebuild
        }
        return train_on(view, _legal(view, {**view.due.hyperparameters, **moved}, keys))


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """One configuration on as many seeds as there are members: what the best of n equal trainings gives.

    Args:
        hyperparameters: The configuration; what is left out is drawn once, the same for all members.

    Raises:
        InvalidType: These are no hyperparameters; at the start: one is of the wrong kind.
        InvalidValue: At the start: one is out of its range.
        UnknownName: At the start: the space does not have one.
    """

    hyperparameters: Values = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "hyperparameters", _pairs(self.hyperparameters, "Fixed: hyperparameters"))

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """Every member with the configuration, and a state made from its own seed."""
        return Follow(schedule=(self.hyperparameters,)).start(space, size, keys)

    def decide(self, view: View, keys: Keys) -> Plan:
        """Keep."""
        return keep()


def _pairs(values: Values, field: str) -> tuple[tuple[str, Any], ...]:
    """Hyperparameters as a frozen value keeps them; nested mappings are accepted."""
    if isinstance(values, Mapping):
        return tuple(flatten(values).items())
    try:
        return tuple((str(name), value) for name, value in values)
    except (TypeError, ValueError):
        raise InvalidType(f"{field} must be a mapping of hyperparameters to values, but got {values!r}") from None


@dataclass(frozen=True, kw_only=True)
class SuccessiveHalving:
    """Random search that retires the worst early: asynchronous successive halving (Li et al. 2020, arXiv 1810.05934).

    At the rungs, `first` intervals and then `reduction` times as many each, a member goes on if it is among the best
    ``floor(n / reduction)`` of the n members that have come to the rung so far (algorithm 2 there), else it retires
    with the state that it has. One that diverged there retires; where all have that came, and nobody is still to come,
    they all try on, so that a search does not end with nothing. In a synchronous run all active members have come to
    the rung, and this is successive halving (Jamieson and Talwalkar 2016). Otherwise members that are early meet few;
    where there are fewer than `reduction`, one goes on that is the best of them. The paper pauses a member that is not
    promoted and may promote it later; here it is over, as in the stopping variant of its implementations.

    The run spends less than members x intervals; `spend` says how much, so that the population can be chosen for equal
    compute.

    Args:
        reduction: One in so many goes on at a rung; at least 2.
        first: Intervals of the first rung; at least 1.
    """

    reduction: int = 3
    first: int = 1

    def __post_init__(self) -> None:
        for name, least in (("reduction", 2), ("first", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise InvalidType(f"SuccessiveHalving: {name} must be a whole number, but got {value!r}")
            if value < least:
                raise InvalidValue(f"SuccessiveHalving: {name} must be at least {least}, but got {value!r}")

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """As `PBT`, with the same draws for the same seed."""
        return begin_all(space, size, keys, intervals=self.first)

    def decide(self, view: View, keys: Keys) -> Plan:
        """Retire at a rung unless among the best that have come to it."""
        rung = self._after(view.at)
        came = view.report is not None and view.report.interval == view.at and view.place is not None
        if came and self.first <= view.at == rung // self.reduction and not self._goes_on(view, keys)[view.place]:
            return Plan(actions=(Retire(member=view.due.member),))
        return keep(intervals=rung - view.at)

    def spend(self, size: int, intervals: int) -> int:
        """Intervals of all members together in a synchronous run of `size` members without failures.

        Args:
            size: Members.
            intervals: For each member that never retires.
        """
        total, begin_at, rung = 0, 0, self.first
        while begin_at < intervals:
            end = min(rung, intervals)
            total += size * (end - begin_at)
            begin_at, rung, size = end, rung * self.reduction, max(1, size // self.reduction)
        return total

    def _after(self, at: int) -> int:
        """The first rung after an interval."""
        rung = self.first
        while rung <= at:
            rung *= self.reduction
        return rung

    def _goes_on(self, view: View, keys: Keys) -> NDArray[np.bool_]:
        """Which of ``view.facts.members`` go on at this rung; only those are judged that have come to it."""

        def compute() -> NDArray[np.bool_]:
            fitness = LastScore()(view)
            came = np.array([row.interval == view.at for row in view.facts.rows], dtype=np.bool_)
            fit = came & view.facts.healthy
            if came.all() and not fit.any():
                return came  # nobody would go on in their place
            best_first = np.lexsort((-lottery(view, keys), -fitness, ~fit))
            on = np.zeros(len(came), dtype=np.bool_)
            on[best_first[: max(1, int(np.count_nonzero(came)) // self.reduction)]] = True
            return on & fit

        return view.once(("rung", self, keys.seed, keys.interval), compute)
