"""What a comparison gives back: paired differences, what can be said of them, and what everything cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from warren.comparison import statistics
from warren.comparison.design import Design
from warren.comparison.replicate import Reached, Replicate
from warren.errors import InvalidValue
from warren.population import Keys

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

LEAST = 10
"""Seeds that a verdict needs."""

LEVEL = 0.95

Verdict = Literal["better", "worse", "no evidence", "too few seeds"]
Which = Literal["final", "best"]


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """One strategy against another one on paired seeds; positive where the first one is better.

    Attributes:
        arm: The first one.
        other: The second one.
        differences: Of the held-out metric, turned so that greater is better; one for each seed.
        mean: Of these.
        low: Lower end of the 95 % interval of the mean.
        high: Upper end.
        p: Two-sided, of the sign-flip test.
        adjusted: The same by Holm's rule for the number of contrasts; that with the primary control stands alone.
        detectable: The smallest true difference that would have been seen with a probability of 80 %.
        improvement: The probability that a run of the first one is better than one of the other, over all pairs.
        wins: Seeds on which the first one is better.
        verdict: ``better`` or ``worse`` where 10 seeds or more show it: with the primary control, where the interval
            leaves out 0; with others, where the adjusted p is below 0.05. Else there is ``no evidence``.
    """

    arm: str
    other: str
    differences: tuple[float, ...]
    mean: float
    low: float
    high: float
    p: float
    adjusted: float
    detectable: float
    improvement: float
    wins: int
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class Retrained:
    """A schedule that was found, followed on seeds that no search has seen.

    Attributes:
        arm: Who found it.
        found_on: On which seed: of all its runs the one that selection liked best.
        schedule: The hyperparameters, an interval each.
        single: Held-out metric of a single training: the mean over the members, for each fresh seed.
        best_of: Of the member that looks best among as many as the search had members, for each fresh seed.
    """

    arm: str
    found_on: int
    schedule: tuple[Mapping[str, Any], ...]
    single: tuple[float, ...]
    best_of: tuple[float, ...]


class Compared:
    """A comparison that was carried out.

    Args:
        design: What was compared with what.
        replicates: All runs, by strategy and in the order of the seeds.
        retrained: The schedules that were trained again.
    """

    def __init__(
        self, design: Design, replicates: Mapping[str, Sequence[Replicate]], retrained: Sequence[Retrained] = ()
    ) -> None:
        self.design = design
        self.replicates = {name: tuple(runs) for name, runs in replicates.items()}
        self.retrained = tuple(retrained)

    @property
    def seeds(self) -> int:
        """Replicates of each strategy."""
        return len(self.replicates[self.design.candidate])

    def held_out(self, arm: str, which: Which = "final") -> NDArray[np.float64]:
        """The held-out metric of a strategy, for each seed. Shape (seeds,).

        A run without a finite value counts as the worst that any strategy had on any seed: it must not be left out
        where it failed.

        Args:
            arm: Its name.
            which: Of the member that looks best at the end, or of the run's best state ever by its score.

        Raises:
            InvalidValue: There is no such strategy, or no run has a finite value.
        """
        if arm not in self.replicates:
            raise InvalidValue(f"{arm!r} must be one of the strategies: {', '.join(self.replicates)}")
        values = [_value(run.final if which == "final" else run.best) for run in self.replicates[arm]]
        return np.array([self._worst if math.isnan(value) else value for value in values], dtype=np.float64)

    @cached_property
    def _worst(self) -> float:
        runs = [run for arm in self.replicates.values() for run in arm]
        finite = [value for run in runs for value in map(_value, (run.final, run.best)) if not math.isnan(value)]
        if not finite:
            raise InvalidValue(
                f"no run of the comparison has a finite {self.design.held_out} within its budget of "
                f"{self.design.budget:g} units; is it reported, and does the budget pay for an interval?"
            )
        return min(finite, key=lambda value: self.design.sign * value)

    @property
    def failed(self) -> tuple[str, ...]:
        """The runs that have no finite held-out value at their end, as ``strategy/seed``."""
        return tuple(
            f"{run.arm}/{run.seed}"
            for runs in self.replicates.values()
            for run in runs
            if math.isnan(_value(run.final))
        )

    def contrast(self, arm: str, other: str, which: Which = "final") -> Contrast:
        """One strategy against another, by itself: nothing is adjusted for how many are looked at.

        Args:
            arm: The first one.
            other: The second one.
            which: As for `held_out`.
        """
        sign = self.design.sign
        one, two = sign * self.held_out(arm, which), sign * self.held_out(other, which)
        differences = one - two
        few = len(differences) < 2
        low, high = (
            (-math.inf, math.inf) if few else statistics.mean_interval(differences, self._rng("interval"), LEVEL)
        )
        p = statistics.sign_flip_test(differences, self._rng("flips"))
        return Contrast(
            arm=arm, other=other, differences=tuple(differences.tolist()), mean=float(differences.mean()),
            low=low, high=high, p=p, adjusted=p,
            detectable=math.inf if few else statistics.detectable(differences),
            improvement=statistics.probability_of_improvement(one, two),
            wins=int(np.count_nonzero(differences > 0)),
            verdict=_verdict(len(differences), low > 0, high < 0),
        )  # fmt: skip

    @cached_property
    def contrasts(self) -> tuple[Contrast, ...]:
        """The candidate against each other strategy, the primary control first."""
        primary, *rest = (self.contrast(self.design.candidate, other) for other in self.design.others)
        adjusted = statistics.holm([one.p for one in rest])
        return (primary, *(_adjusted(one, p) for one, p in zip(rest, adjusted, strict=True)))

    @property
    def verdict(self) -> Verdict:
        """Whether the candidate is better than the primary control."""
        return self.contrasts[0].verdict

    def report(self, path: str | os.PathLike[str]) -> None:
        """Write one HTML file with the pictures; it opens without a network.

        Raises:
            MissingExtra: Plotly is not installed.
        """
        from pathlib import Path

        from warren.comparison.report import render

        Path(path).write_text(render(self), encoding="utf-8")

    def __str__(self) -> str:
        from warren.comparison.telling import lines

        return "\n".join(lines(self))

    def _rng(self, purpose: str) -> np.random.Generator:
        return Keys(seed=self.design.seed, member=-1, interval=0).shared(purpose)


def _value(reached: Reached | None) -> float:
    return math.nan if reached is None else reached.held_out


def _verdict(seeds: int, better: bool, worse: bool) -> Verdict:
    if seeds < LEAST:
        return "too few seeds"
    return "better" if better else "worse" if worse else "no evidence"


def _adjusted(contrast: Contrast, p: float) -> Contrast:
    seen = p < 1 - LEVEL
    verdict = _verdict(len(contrast.differences), seen and contrast.mean > 0, seen and contrast.mean < 0)
    return Contrast(**{**vars(contrast), "adjusted": p, "verdict": verdict})
