"""Strategies made of four parts: ready, fitness, exploit, explore."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from warren.errors import InvalidValue
from warren.population import Keys, Plan, View
from warren.space import Space
from warren.strategies.exploit import Exploit, Nobody, Tournament, Truncation, TTest
from warren.strategies.explore import Explore, Noise, Perturb, Resample, Unchanged, explored
from warren.strategies.fitness import Fitness, LastScore
from warren.strategies.moves import Copy, begin_all, keep, rescue, take_over, train_on
from warren.strategies.ready import Every, Never, Ready

Explorers = Literal["copier", "ready"]


@dataclass(frozen=True, kw_only=True)
class Composed:
    """Population Based Training in its general form (Jaderberg et al. 2017, algorithm 1); see `compose`."""

    ready: Ready
    fitness: Fitness
    exploit: Exploit
    explore: Explore
    copy: Copy = "both"
    explorers: Explorers = "copier"
    rescue: bool = True

    def __post_init__(self) -> None:
        if self.copy not in ("both", "weights", "hyperparameters"):
            raise InvalidValue(f"copy={self.copy!r} must be 'both', 'weights' or 'hyperparameters'")
        if self.explorers not in ("copier", "ready"):
            raise InvalidValue(f"explorers={self.explorers!r} must be 'copier' or 'ready'")

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """Every member with hyperparameters from the prior and a state made from its own seed."""
        first = self.ready.after(0)
        return begin_all(space, size, keys, intervals=first)

    def decide(self, view: View, keys: Keys) -> Plan:
        """Exploit and explore for the member that is due."""
        intervals = self.ready.after(view.at) - view.at
        if view.failing:
            if not self.rescue:
                return keep(intervals=intervals)
            return rescue(view, self.fitness(view), self.explore, keys, intervals=intervals)
        report = view.report
        if report is None or report.interval != view.at:
            return keep(intervals=intervals)  # its own score is still to come
        chosen = self.exploit(view, self.fitness(view), keys)
        if chosen is not None:
            return take_over(view, chosen, self.explore, keys, copy=self.copy, intervals=intervals)
        if self.explorers == "ready":
            changed = explored(self.explore, view, view.due.hyperparameters, keys)
            return train_on(view, changed, intervals=intervals)
        return keep(intervals=intervals)


def compose(
    *,
    ready: Ready | None = None,
    fitness: Fitness | None = None,
    exploit: Exploit | None = None,
    explore: Explore | None = None,
    copy: Copy = "both",
    explorers: Explorers = "copier",
) -> Composed:
    """A strategy of four parts, each pure on a view.

    Args:
        ready: When a member may exploit; default: after every interval from the second on.
        fitness: What is compared; default: the last score.
        exploit: Whose state is taken over; default: truncation.
        explore: How hyperparameters change; default: perturb by 0.8 or 1.2.
        copy: What an exploit copies: weights and hyperparameters, or only one of them.
        explorers: Who explores: the member that copied, or every member that is ready.

    Raises:
        InvalidValue: `copy` or `explorers` is none of these.
    """
    return Composed(
        ready=ready if ready is not None else Every(),
        fitness=fitness if fitness is not None else LastScore(),
        exploit=exploit if exploit is not None else Truncation(),
        explore=explore if explore is not None else Perturb(),
        copy=copy,
        explorers=explorers,
    )


_EXPLOITS = {"truncation": Truncation, "tournament": Tournament, "ttest": TTest, "none": Nobody}
_EXPLORES = {"perturb": Perturb, "resample": Resample, "noise": Noise, "none": Unchanged}


@dataclass(frozen=True, kw_only=True)
class PBT:
    """Population Based Training as published (Jaderberg et al. 2017).

    Args:
        exploit: ``"truncation"`` (worst 20 % copy from best 20 %), ``"tournament"``, ``"ttest"``, ``"none"``, or a
            configured `Truncation`, `Tournament`, `TTest` or rule of your own.
        explore: ``"perturb"`` (x 0.8 or x 1.2), ``"resample"``, ``"noise"``, ``"none"``, or a configured `Perturb`,
            `Resample`, `Noise` or rule of your own.
        every: Intervals between two decisions for a member.
        warmup: Intervals before the first decision can come.
        copy: What an exploit copies: ``"both"``, ``"weights"`` or ``"hyperparameters"``.
        explorers: Who explores: the ``"copier"`` or every ``"ready"`` member.
        drift_free: Perturb by 0.8 or 1.25, whose product is 1, so that values do not sink by themselves.

    Raises:
        InvalidValue: A name is not known, or a number is out of its range.
    """

    exploit: str | Exploit = "truncation"
    explore: str | Explore = "perturb"
    every: int = 1
    warmup: int = 1
    copy: Copy = "both"
    explorers: Explorers = "copier"
    drift_free: bool = False
    _composed: Composed = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        exploit, explore = self.exploit, self.explore
        if isinstance(exploit, str):
            if exploit not in _EXPLOITS:
                raise InvalidValue(f"exploit={exploit!r} is not known; use one of {', '.join(map(repr, _EXPLOITS))}")
            exploit = _EXPLOITS[exploit]()
        if isinstance(explore, str):
            if explore not in _EXPLORES:
                raise InvalidValue(f"explore={explore!r} is not known; use one of {', '.join(map(repr, _EXPLORES))}")
            explore = _EXPLORES[explore]()
        if self.drift_free:
            if not isinstance(explore, Perturb):
                raise InvalidValue("drift_free=True goes with explore='perturb'; leave it out otherwise")
            explore = replace(explore, factors=(0.8, 1.25))
        composed = compose(
            ready=Every(every=self.every, warmup=self.warmup),
            exploit=exploit,
            explore=explore,
            copy=self.copy,
            explorers=self.explorers,
        )
        object.__setattr__(self, "_composed", composed)

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """Every member with hyperparameters from the prior and a state made from its own seed."""
        return self._composed.start(space, size, keys)

    def decide(self, view: View, keys: Keys) -> Plan:
        """Exploit and explore for the member that is due."""
        return self._composed.decide(view, keys)


@dataclass(frozen=True, kw_only=True)
class RandomSearch:
    """The control without selection: every member trains on with what it was first given, and is never rescued."""

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """As `PBT`, with the same draws for the same seed."""
        return self._composed().start(space, size, keys)

    def decide(self, view: View, keys: Keys) -> Plan:
        """Keep."""
        return self._composed().decide(view, keys)

    def _composed(self) -> Composed:
        return Composed(ready=Never(), fitness=LastScore(), exploit=Nobody(), explore=Unchanged(), rescue=False)
