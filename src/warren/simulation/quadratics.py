"""Noisy quadratics: a learning rate that has to fall, and, where the optimum jumps, to rise again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from warren.population import Goal
from warren.simulation.learner import Measured, State
from warren.space import Float, Space
from warren.training import Rng

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Quadratic:
    """The loss 0.5 sum a (theta - c)^2, on which members follow noisy gradients.

    The gradient is a (theta - c) plus noise of deviation sqrt(a); curvatures a lie in equal logarithmic steps up to 1.
    The optimum c is 0 until it is drawn anew, for all members at once. A large learning rate finds it quickly and then
    stays in the noise; a small one comes close and cannot follow a jump. The observed loss is off by about 10 %.

    The steps of an interval are carried out as one. With r = 1 - lr a, n steps give theta - c the factor r^n and add
    noise of the variance lr^2 a (1 - r^(2n)) / (1 - r^2): the same distribution in one draw.

    Args:
        seed: Of the jumps and of where the optimum goes.
        jumps: How many times the optimum is drawn anew, at different intervals.
        first: The first interval that a jump may come before, from 1.
        last: The last such interval.
        flattest: The smallest curvature, in (0, 1].
        dimensions: Size of theta.
        steps: Gradient steps in an interval.
        intervals: Intervals in a run.
        spread: Standard deviation of theta at the start, and of each new optimum.
        noise: The observed loss is the true one times exp(noise N(0, 1)).
    """

    seed: int = 0
    jumps: int = 2
    first: int = 8
    last: int = 47
    flattest: float = 0.1
    dimensions: int = 20
    steps: int = 10
    intervals: int = 60
    spread: float = 3.0
    noise: float = 0.1
    goal: Goal = "min"
    optimum: float = 0.0
    moves: NDArray[np.int64] = field(init=False, compare=False, repr=False)
    centres: NDArray[np.float64] = field(init=False, compare=False, repr=False)
    curvature: NDArray[np.float64] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        moves = np.sort(rng.choice(np.arange(self.first, self.last + 1), size=self.jumps, replace=False))
        moved = rng.normal(0.0, self.spread, size=(self.jumps, self.dimensions))
        object.__setattr__(self, "moves", moves)
        object.__setattr__(self, "centres", np.concatenate([np.zeros((1, self.dimensions)), moved]))
        object.__setattr__(self, "curvature", np.logspace(np.log10(self.flattest), 0.0, self.dimensions))

    @property
    def space(self) -> Space:
        """The learning rate."""
        return Space({"lr": Float(1e-3, 1.0, scale="log")})

    def centre(self, interval: int) -> NDArray[np.float64]:
        """Where the optimum is during an interval, counted from 1. Shape (dimensions,)."""
        centre: NDArray[np.float64] = self.centres[int(np.searchsorted(self.moves, interval, side="right"))]
        return centre

    def initial(self, population: int, seed: int) -> Sequence[Mapping[str, Any]]:
        """All draw from the space."""
        return ()

    def begin(self, seed: int) -> State:
        """A start far from the optimum, different for each member."""
        return {"theta": np.random.default_rng(seed).normal(0.0, self.spread, size=self.dimensions)}

    def train(self, state: State, hyperparameters: Mapping[str, Any], interval: int, rng: Rng) -> State:
        """See `Learner`."""
        centre, pull = self.centre(interval), float(hyperparameters["lr"]) * self.curvature
        kept = (1.0 - pull) ** self.steps
        # 1 - r^2 is pull (2 - pull), which leaves lr in the place of lr^2 a / pull.
        deviation = np.sqrt(float(hyperparameters["lr"]) * (1.0 - kept * kept) / (2.0 - pull))
        noise = rng.numpy().standard_normal(self.dimensions)
        return {"theta": centre + kept * (state["theta"] - centre) + deviation * noise}

    def score(self, state: State, interval: int, rng: Rng) -> Measured:
        """See `Learner`."""
        distance = state["theta"] - self.centre(interval)
        loss = 0.5 * float(self.curvature @ (distance * distance))
        return Measured(observed=loss * float(np.exp(self.noise * rng.numpy().standard_normal())), true=loss)


def regimes(seed: int) -> Quadratic:
    """The optimum jumps twice, unannounced: schedules that adapt pay."""
    return Quadratic(seed=seed)


def noisy(seed: int) -> Quadratic:
    """The optimum stays where it is, and flat directions make it slow to reach: the learning rate has to fall once."""
    return Quadratic(seed=seed, jumps=0, flattest=0.01, steps=20, intervals=50)
