"""PB2: hyperparameters are chosen by a bandit that learns what they gain."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from warren.errors import InvalidValue
from warren.population import IntervalRow, Keys, Plan, View
from warren.space import Space
from warren.strategies.bandit import Known, copies, copy_of, gained, going_on, keys_of
from warren.strategies.checks import check_counts, check_share
from warren.strategies.coding import coding, highest, unordered
from warren.strategies.explore import Perturb
from warren.strategies.gp import Kernel, fitted, minimiser, standardised
from warren.strategies.moves import assign, begin_all, keep, rescue
from warren.strategies.ready import Every

if TYPE_CHECKING:
    import numpy as np

    from warren.space.dimension import Scalar


class Choices(Protocol):
    """How those hyperparameters are chosen that have no order."""

    @property
    def learned(self) -> bool:
        """Whether the Gaussian process sees them."""
        ...

    def __call__(self, view: View, name: str, value: Scalar, known: Known, rng: np.random.Generator) -> Scalar:
        """Choose.

        Args:
            view: Facts at equal progress, with the space.
            name: Of the hyperparameter, a `Choice`.
            value: The donor's.
            known: What intervals have gained.
            rng: Of the member that copies.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Redraw:
    """Choices are drawn again with some probability, as in PBT; nothing is learned of them.

    Args:
        probability: Of drawing again, from 0 to 1.
    """

    probability: float = 0.25

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise InvalidValue(f"Redraw: probability must lie in [0, 1], but got {self.probability!r}")

    @property
    def learned(self) -> bool:
        return False

    def __call__(self, view: View, name: str, value: Scalar, known: Known, rng: np.random.Generator) -> Scalar:
        drawn: Scalar = view.space[name].perturb(value, rng, factors=(1.0,), redraw=self.probability)
        return drawn


@dataclass(frozen=True, kw_only=True)
class PB2:
    """Population Based Bandits (Parker-Holder, Nguyen and Roberts 2020, arXiv 2002.02518): a GP bandit explores.

    The worst quarter of the population copies from the best, as in PBT. What a copy trains with next is chosen by a
    Gaussian process of what intervals have gained (section 3): y is the gain in score per interval, x is the time, the
    score before and the hyperparameters, each scaled to [0, 1]; y is standardised and clipped to +-2. The kernel is
    ``v exp(-||x - x'||^2 / l) (1 - e)^(|t - t'| / 2)`` with e at most 0.5, fitted by likelihood. The choice is where
    ``mean + sqrt(beta) deviation`` is highest at the copied state's score; ``beta = 0.2 ln(0.4 n)`` with n gains known.
    The deviation knows where the others of the round train: those that go on, and those that copy, in order of their
    numbers.

    Decided here: the published code multiplies by the variance and takes the root of a negative number for n < 3; here
    it is the deviation, and beta is 0 then. What an interval gained is counted from the score of the state that it
    began with, so that a copy is no gain (the published code enters a row for each copy). An interval that diverged
    counts as the worst. The first interval of a fresh state is left out, unless the loop calls ``member.start_score``.
    Until a gain is known, hyperparameters come from the prior. Choices without an order are drawn again with a
    probability of 0.25 and are not learned; `PB2Mix` learns them. A member that diverged copies and perturbs as in PBT.

    Traps: noise. A gain is the difference of two scores, which has twice their variance; with many hyperparameters and
    few members the bandit learns little, and `PBT` may do better. On time in [0, 1] the kernel takes at most 29 % of a
    correlation over the whole run, so an optimum that moves is followed late. A run remembers the last 64 intervals of
    each member; no window is wider. In an asynchronous run each member decides on what the others had reported at its
    interval. The last digit of a fit may differ between machines.

    Args:
        fraction: Share of the population that is worst, and that is best; from 0 to 0.5. Four members have one donor.
        every: Intervals between two decisions for a member.
        warmup: Intervals before the first decision can come.
        window: How many gains are fitted at most, the newest; at least 1. A fit takes time as its cube. From 200 on the
            paper's code picks it by likelihood, but likelihoods of different data cannot be compared.
        restarts: How often the search for the highest bound begins, at least once.
        choices: How hyperparameters are chosen that have no order.

    Raises:
        InvalidType: `window`, `restarts`, `every` or `warmup` is no whole number.
        InvalidValue: A number is out of its range.
    """

    fraction: float = 0.25
    every: int = 1
    warmup: int = 1
    window: int = 200
    restarts: int = 10
    choices: Choices = Redraw()

    def __post_init__(self) -> None:
        Every(every=self.every, warmup=self.warmup)
        check_share("PB2", self.fraction)
        check_counts("PB2", window=self.window, restarts=self.restarts)

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """As `PBT`, with the same draws for the same seed.

        Raises:
            MissingExtra: SciPy is not installed.
        """
        minimiser()
        first = Every(every=self.every, warmup=self.warmup).after(0)
        return begin_all(space, size, keys, intervals=first)

    def decide(self, view: View, keys: Keys) -> Plan:
        """Copy one of the best and train on with hyperparameters that promise much, or go on."""
        intervals = Every(every=self.every, warmup=self.warmup).after(view.at) - view.at
        if view.failing:
            return rescue(view, view.facts.scores, Perturb(), keys, intervals=intervals)
        if view.report is None or view.report.interval != view.at:
            return keep(intervals=intervals)  # its own score is still to come
        copied = copies(view, keys, self.fraction)
        source = copied.get(view.due.member)
        if source is None:
            return keep(intervals=intervals)
        chosen = view.once((self, keys.seed, keys.interval), lambda: self._chosen(view, keys, copied))
        own = chosen[view.due.member]
        return assign(view, own, via="copy", sources=(str(source.checkpoint),), intervals=intervals)

    def _chosen(self, view: View, keys: Keys, copied: Mapping[int, IntervalRow]) -> dict[int, dict[str, Any]]:
        """What all who copy in this round train with next, in order of their numbers."""
        space, known, going = view.space, gained(view, self.window), going_on(view, copied)
        begun = {member: copy_of(view, source) for member, source in copied.items()}
        rngs = {member: keys_of(keys, member).generator("explore") for member in copied}
        if not known.trials:
            return {
                member: space.merged(trial.hyperparameters, space.sample(rngs[member]), rngs[member])
                for member, trial in begun.items()
            }
        labels = unordered(space)
        code = coding(space, [*known.trials, *going, *begun.values()], labels if self.choices.learned else {})
        process = fitted(Kernel(), code.points(known.trials), standardised(known.gains), keys.shared("fit"))
        process = process.pending(code.points(going))
        bounds = dict.fromkeys(code.free, (0.0, 1.0))
        confidence = math.sqrt(beta(len(known.trials)))
        chosen = {}
        for member, trial in begun.items():
            given, rng = trial.hyperparameters, rngs[member]
            drawn = {
                name: self.choices(view, name, given[name], known, rng)
                for name in labels
                if name in given and name not in space.rebuild
            }
            labelled = space.merged(given, drawn, rng)
            point = code.points([replace(trial, hyperparameters=labelled)])
            starts = rng.uniform(size=(self.restarts, len(bounds)))
            best, _ = highest(process, point, bounds, confidence, starts)
            chosen[member] = space.merged(given, {**labelled, **code.values(best)}, rng)
            process = process.pending(code.points([replace(trial, hyperparameters=chosen[member])]))
        return chosen


def beta(n: int) -> float:
    """The square of the deviations in the upper confidence bound: 0.2 ln(0.4 n) as in the paper's code, at least 0.

    Args:
        n: How many gains are known, at least 1.
    """
    return max(0.0, 0.2 * math.log(0.4 * n))
