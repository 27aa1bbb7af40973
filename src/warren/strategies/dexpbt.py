"""DexPBT: truncation that asks for a clear gap, and forgives who has been good within the interval."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from warren.errors import InvalidValue
from warren.population import IntervalRow, Keys, Plan, View
from warren.space import Space
from warren.strategies.explore import Explore, Stretch, explored
from warren.strategies.fitness import Fitness, LastScore
from warren.strategies.guards import Gap
from warren.strategies.moves import Copy, begin_all, keep, rescue, take_over, train_on
from warren.strategies.ready import Every
from warren.strategies.standing import donor, worst


@dataclass(frozen=True, kw_only=True)
class DexPBT:
    """PBT for noisy runs: few members are replaced, only across a clear gap (Petrenko et al. 2023, arXiv 2305.12127).

    Of n members with a report, the worst ``ceil(worst * n)`` may be replaced, by one of the best ``ceil(best * n)``:

    1. A member whose best score within the interval (of the `curve`, if it reported one) reaches the worst of those
       best is spared.
    2. A candidate c is drawn from the best. Its weights are copied if ``f_c - f > 0.5 * std`` and
       ``f_c - f > 0.05 * |f_c|``, where the std leaves out the worst fifth; see `Gap`.
    3. Either way hyperparameters explore: from the candidate's or from its own, each with probability one half, where
       weights were copied; from its own otherwise.

    Checkpoints are compared at equal or less experience, which is what every view does. The numbers are those of the
    public code (IsaacGymEnvs); its moves of single hyperparameters are `Stretch`, with discounts on a one-minus scale.

    The paper's true objective, which may differ from the reward that is learned from, is the score: report it as such,
    and the reward as a metric. The public code begins with copies of one configuration, each mutated once; here members
    begin with draws from the prior.

    Traps: with half of the population or fewer than three members healthy nobody is replaced. The 5 % are of the
    donor's absolute score, so they mean little where 0 is not a bad score; set ``Gap(share=0.0)`` there.

    Args:
        worst: Share of the population that may be replaced, from 0 to 1, rounded up.
        best: Share that the candidate is drawn from, above 0 and at most 1, rounded up.
        gap: How far the candidate must be ahead.
        inherit: Probability that a copy of weights brings its hyperparameters along.
        explore: How hyperparameters change.
        fitness: What is compared; default: the last score.
        every: Intervals between two decisions for a member.
        warmup: Intervals before the first decision can come.

    Raises:
        InvalidValue: A number is out of its range.
    """

    worst: float = 0.125
    best: float = 0.3
    gap: Gap = field(default_factory=lambda: Gap(share=0.05))
    inherit: float = 0.5
    explore: Explore = field(default_factory=Stretch)
    fitness: Fitness = field(default_factory=LastScore)
    every: int = 1
    warmup: int = 1
    _ready: Every = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("worst", "best", "inherit"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise InvalidValue(f"DexPBT: {name} must lie in [0, 1], but got {value!r}")
        if self.best == 0:
            raise InvalidValue("DexPBT: best must be above 0; for nobody to be replaced, set worst=0")
        object.__setattr__(self, "_ready", Every(every=self.every, warmup=self.warmup))

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """As `PBT`, with the same draws for the same seed."""
        first = self._ready.after(0)
        return begin_all(space, size, keys, intervals=first)

    def decide(self, view: View, keys: Keys) -> Plan:
        """Replace, mutate or leave the member that is due."""
        intervals = self._ready.after(view.at) - view.at
        fitness = self.fitness(view)
        if view.failing:
            return rescue(view, fitness, self.explore, keys, intervals=intervals)
        report, place = view.report, view.place
        if report is None or report.interval != view.at or place is None:
            return keep(intervals=intervals)  # its own score is still to come
        n = len(fitness)
        replaceable, eligible = _part(self.worst, n), _part(self.best, n)
        if np.count_nonzero(view.facts.healthy) <= max(2, view.size // 2) or not replaceable:
            return keep(intervals=intervals)
        if not worst(view, fitness, keys, replaceable)[place]:
            return keep(intervals=intervals)
        top = np.partition(fitness, n - eligible)[n - eligible]
        if max(float(fitness[place]), within(view, report)) >= top:
            return keep(intervals=intervals)
        candidate = donor(view, fitness, keys, eligible)
        if candidate is None or not self.gap.clear(fitness, place, view.facts.place[candidate.member]):
            changed = explored(self.explore, view, view.due.hyperparameters, keys)
            return train_on(view, changed, intervals=intervals)
        inherits = float(keys.generator("inherit").random()) < self.inherit
        copy: Copy = "both" if inherits else "weights"
        return take_over(view, candidate, self.explore, keys, copy=copy, intervals=intervals)


def within(view: View, report: IntervalRow) -> float:
    """The best score inside an interval, turned so that greater is better; -inf where no curve was reported."""
    sign = 1.0 if view.goal == "max" else -1.0
    return max((sign * score for _, score in report.curve or () if math.isfinite(score)), default=-math.inf)


def _part(share: float, n: int) -> int:
    return math.ceil(share * n - 1e-9)  # 0.3 * 10 must be 3 whatever the rounding
