"""A noisy quadratic whose optimum jumps twice, unannounced: the ground on which schedules that adapt pay.

In 20 dimensions with curvatures a, members follow noisy gradients a * (theta - c). A large learning rate finds the
optimum c quickly and then stays in the noise; a small one gets close and cannot follow when c jumps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from warren import runs
from warren.space import Float
from warren.strategies import PBT, Perturb, Strategy, Truncation
from warren.training import Task
from warren.zoo.quiet import quiet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from warren.training import Rng

State = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Regimes:
    """The task for one run; all its members meet the same jumps.

    A value whose methods are the task's functions, so that it travels to worker processes.

    Args:
        seed: Of the jumps and of where the optimum goes.
        dimensions: Size of theta.
        steps: Gradient steps in an interval.
        intervals: Intervals in a run.
        first: The first interval that a jump may come before.
        last: The last such interval.
        spread: Standard deviation of theta at the start, and of each new optimum.
    """

    seed: int
    dimensions: int = 20
    steps: int = 10
    intervals: int = 60
    first: int = 8
    last: int = 47
    spread: float = 3.0
    jumps: NDArray[np.int64] = field(init=False, compare=False)
    centres: NDArray[np.float64] = field(init=False, compare=False)
    curvature: NDArray[np.float64] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        jumps = np.sort(rng.choice(np.arange(self.first, self.last + 1), size=2, replace=False))
        moved = rng.normal(0.0, self.spread, size=(2, self.dimensions))
        object.__setattr__(self, "jumps", jumps)
        object.__setattr__(self, "centres", np.concatenate([np.zeros((1, self.dimensions)), moved]))
        object.__setattr__(self, "curvature", np.logspace(-1.0, 0.0, self.dimensions))

    def task(self) -> Task:
        """The task, for `warren.run`."""
        return Task(init=self.init, train_interval=self.train_interval, evaluate=self.evaluate)

    def centre(self, interval: int) -> NDArray[np.float64]:
        """Where the optimum is during an interval, counted from 1. Shape (dimensions,)."""
        centre: NDArray[np.float64] = self.centres[int(np.count_nonzero(interval >= self.jumps))]
        return centre

    def init(self, seed: int, hyperparameters: dict[str, Any]) -> State:
        """A start far from the optimum, different for each member."""
        theta = np.random.default_rng(seed).normal(0.0, self.spread, size=self.dimensions)
        return {"theta": theta, "interval": np.array(0)}

    def train_interval(self, state: State, hyperparameters: dict[str, Any], rng: Rng) -> State:
        """Noisy gradient steps; the noise of each coordinate has the deviation sqrt(a)."""
        # Counted in the state, so that the task needs no clock: a copy is of a state that has trained as long.
        interval = int(state["interval"]) + 1
        centre, a, lr = self.centre(interval), self.curvature, hyperparameters["lr"]
        noise = np.sqrt(a) * rng.numpy().standard_normal((self.steps, self.dimensions))
        theta = state["theta"]
        for step in range(self.steps):
            theta = theta - lr * (a * (theta - centre) + noise[step])
        return {"theta": theta, "interval": np.array(interval)}

    def evaluate(self, state: State, rng: Rng) -> tuple[float, dict[str, float]]:
        """The loss as it is observed, off by about 10 %, and as it is."""
        distance = state["theta"] - self.centre(int(state["interval"]))
        loss = float(0.5 * np.sum(self.curvature * distance**2))
        return loss * float(np.exp(0.1 * rng.numpy().standard_normal())), {"loss": loss}


def resampling() -> PBT:
    """PBT for this ground.

    When the optimum jumps, factors alone bring a learning rate that has become small back too slowly, so a quarter
    of the mutations draw it anew.
    """
    return PBT(exploit=Truncation(fraction=0.25), explore=Perturb(factors=(0.8, 1.25), resample=0.25))


def run_regimes(seed: int, strategy: Strategy, *, population: int = 16) -> float:
    """One run in memory; takes about a second.

    Args:
        seed: Keys the task and the run.
        strategy: Who decides.
        population: Members.

    Returns:
        The true loss at the end of the member whose last observed loss is the lowest.
    """
    regimes = Regimes(seed=seed)
    result = runs.run(
        regimes.task(),
        space={"lr": Float(1e-3, 1.0, scale="log")},
        goal="min",
        population=population,
        intervals=regimes.intervals,
        strategy=strategy,
        seed=seed,
        watch=quiet,
    )
    return result.final[0].metrics["loss"]
