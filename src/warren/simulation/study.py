"""Many simulated runs of several settings, beside random search at equal compute on the same seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from warren.errors import InvalidValue
from warren.simulation.learner import Learner
from warren.simulation.outcome import Simulated
from warren.simulation.runner import simulate
from warren.simulation.times import Durations, Failures
from warren.strategies import PBT, RandomSearch, Strategy

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Case:
    """One setting of a study; the fields are the arguments of `simulate`."""

    strategy: Strategy = field(default_factory=PBT)
    population: int = 16
    intervals: int | None = None
    synchronous: bool = True
    workers: int | None = None
    noise: float = 0.0
    durations: Durations = field(default_factory=Durations)
    failures: Failures = field(default_factory=Failures)

    def simulated(self, learner: Learner, seed: int) -> Simulated:
        """One run of it."""
        return simulate(
            learner, self.strategy, population=self.population, seed=seed, intervals=self.intervals,
            synchronous=self.synchronous, workers=self.workers, noise=self.noise, durations=self.durations,
            failures=self.failures,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Runs:
    """What came of one case, over the seeds. Every array has the shape (seeds,).

    Attributes:
        case: The case.
        scores: True scores at the end of the members that look best then.
        regrets: What is missing to the optimum.
        makespans: Simulated time of the whole run.
        utilisations: Share of the workers' time that was spent on intervals.
        costs: Units of compute.
    """

    case: Case
    scores: NDArray[np.float64]
    regrets: NDArray[np.float64]
    makespans: NDArray[np.float64]
    utilisations: NDArray[np.float64]
    costs: NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Line:
    """A case beside its control.

    Attributes:
        name: Of the case.
        runs: Of the case.
        control: Of random search with the same means, and as many members as make it cost the same.
        wins: Share of the seeds on which the case ends with the smaller regret, ties counted half.
    """

    name: str
    runs: Runs
    control: Runs
    wins: float


def study(learner: Callable[[int], Learner], cases: Mapping[str, Case], seeds: Sequence[int]) -> list[Line]:
    """Run every case on every seed.

    Args:
        learner: The task of a seed; all cases meet the same.
        cases: By name.
        seeds: At least one.

    Raises:
        InvalidValue: There is no seed, or a case has a number that is out of its range.
    """
    if not seeds:
        raise InvalidValue("a study needs at least one seed, but seeds is empty")
    known: dict[Case, Runs] = {}

    def runs(case: Case) -> Runs:
        if case not in known:
            known[case] = _runs(learner, case, seeds)
        return known[case]

    lines = []
    for name, case in cases.items():
        found = runs(case)
        control = runs(replace(case, strategy=RandomSearch()))
        # A strategy may use more than its members' intervals, or less.
        members = max(1, round(case.population * float(found.costs.mean() / control.costs.mean())))
        if members != case.population:
            control = runs(replace(case, strategy=RandomSearch(), population=members))
        wins = float(np.mean((found.regrets < control.regrets) + 0.5 * (found.regrets == control.regrets)))
        lines.append(Line(name=name, runs=found, control=control, wins=wins))
    return lines


def _runs(learner: Callable[[int], Learner], case: Case, seeds: Sequence[int]) -> Runs:
    ground = [learner(seed) for seed in seeds]
    found = [case.simulated(one, seed) for one, seed in zip(ground, seeds, strict=True)]
    scores = np.array([run.true for run in found])
    return Runs(
        case=case,
        scores=scores,
        regrets=np.abs(np.array([one.optimum for one in ground]) - scores),
        makespans=np.array([run.makespan for run in found]),
        utilisations=np.array([run.utilisation for run in found]),
        costs=np.array([run.cost for run in found]),
    )
