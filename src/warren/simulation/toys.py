"""Toys without noise: the hill of the paper's Figure 2, and one dimension in which greed costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from warren.population import Goal
from warren.simulation.learner import Measured, State
from warren.space import Float, Space
from warren.training import Rng

PEAK = 1.2
"""The best score that there is on either."""

START = 0.9
"""Where every coordinate of theta starts."""


@dataclass(frozen=True, kw_only=True)
class Hill:
    """The toy of Figure 2 (Jaderberg et al. 2017, section 3.2).

    The score is Q = 1.2 - theta0^2 - theta1^2. Members climb 1.2 - h0 theta0^2 - h1 theta1^2 from (0.9, 0.9) with a
    learning rate of 0.01, so a coordinate shrinks by the factor 1 - 0.02 h at each step. The first two begin with
    h = (1, 0) and (0, 1), of which neither sees the whole hill.

    Args:
        steps: Gradient steps in an interval; the figure's members may exploit after every fourth.
        intervals: Intervals in a run.
    """

    steps: int = 4
    intervals: int = 50
    goal: Goal = "max"
    optimum: float = PEAK

    @property
    def space(self) -> Space:
        """Both weights in [0, 1]."""
        return Space({"h0": Float(0.0, 1.0), "h1": Float(0.0, 1.0)})

    def initial(self, population: int, seed: int) -> Sequence[Mapping[str, Any]]:
        """As in the figure."""
        return ({"h0": 1.0, "h1": 0.0}, {"h0": 0.0, "h1": 1.0})[:population]

    def begin(self, seed: int) -> State:
        """Everybody starts at the same place."""
        return {"theta": np.full(2, START)}

    def train(self, state: State, hyperparameters: Mapping[str, Any], interval: int, rng: Rng) -> State:
        """See `Learner`."""
        h = np.array([hyperparameters["h0"], hyperparameters["h1"]])
        return {"theta": state["theta"] * (1.0 - 0.02 * h) ** self.steps}

    def score(self, state: State, interval: int, rng: Rng) -> Measured:
        """See `Learner`."""
        score = PEAK - float(np.sum(state["theta"] ** 2))
        return Measured(observed=score, true=score)


@dataclass(frozen=True, kw_only=True)
class Slope:
    """One dimension in which a hyperparameter that is small pays at once, and may cost later.

    The score is 1.2 - theta^2, and a step changes theta by -2 max(2 - h - deception S, 0) theta times the learning
    rate of 0.001. S is the sum of abs(h_i - (1 - i / intervals)) over the intervals i, from 0, of the state's own
    history, the present one among them: how far it went from a slow descent of h. It belongs to the state and is
    copied with it. Without deception the smallest h is the best at any time; with it, whoever took it early pays.

    Args:
        deception: Weight of the history: 0 plain, 0.2 deceptive.
        steps: Steps in an interval; the score after each of them is the curve.
        intervals: Intervals in a run.
    """

    deception: float = 0.0
    steps: int = 20
    intervals: int = 50
    goal: Goal = "max"
    optimum: float = PEAK

    @property
    def space(self) -> Space:
        """One hyperparameter in [0.0001, 1.1]."""
        return Space({"h": Float(1e-4, 1.1)})

    def initial(self, population: int, seed: int) -> Sequence[Mapping[str, Any]]:
        """Everybody begins near the top of the range, in U(0.9, 1.1)."""
        return [{"h": float(h)} for h in np.random.default_rng(seed).uniform(0.9, 1.1, population)]

    def begin(self, seed: int) -> State:
        """Everybody starts at the same place, with an empty history.

        Returns:
            ``theta``, shape (steps,): where it stood after each step of its last interval; ``strayed``: S;
            ``age``: the length of its history.
        """
        return {"theta": np.full(self.steps, START), "strayed": np.array(0.0), "age": np.array(0)}

    def train(self, state: State, hyperparameters: Mapping[str, Any], interval: int, rng: Rng) -> State:
        """See `Learner`."""
        h, age = float(hyperparameters["h"]), int(state["age"])
        strayed = float(state["strayed"]) + abs(h - (1.0 - age / self.intervals))
        factor = 1.0 - 0.002 * max(2.0 - h - self.deception * strayed, 0.0)
        theta = float(state["theta"][-1]) * factor ** np.arange(1.0, self.steps + 1.0)
        return {"theta": theta, "strayed": np.array(strayed), "age": np.array(age + 1)}

    def score(self, state: State, interval: int, rng: Rng) -> Measured:
        """See `Learner`."""
        curve: list[float] = (PEAK - state["theta"] ** 2).tolist()
        return Measured(observed=curve[-1], true=curve[-1], curve=curve)


def plain() -> Slope:
    """The slope on which greed is right."""
    return Slope()


def deceptive() -> Slope:
    """The slope on which greed costs."""
    return Slope(deception=0.2)
