"""The toy of Figure 2 as a task (Jaderberg et al. 2017, section 3.2).

The score is Q(theta) = 1.2 - theta0^2 - theta1^2, and members do not see it: they climb the surrogate
1.2 - h0 * theta0^2 - h1 * theta1^2, whose weights h are the hyperparameters. With h = (1, 0) only theta0 reaches its
optimum, with h = (0, 1) only theta1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from warren.training import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from warren.training import Rng

PEAK = 1.2
"""The score at theta = (0, 0), the best that there is."""

START = (0.9, 0.9)
"""Where every member starts."""

LEARNING_RATE = 0.01

State = dict[str, Any]


def q(theta: NDArray[np.float64]) -> float:
    """The score.

    Args:
        theta: Shape (2,).
    """
    return float(PEAK - np.sum(theta**2))


def start(seed: int, hyperparameters: dict[str, Any]) -> State:
    """Every member starts at the same place, whatever its seed."""
    return {"theta": np.array(START)}


def climb(state: State, hyperparameters: dict[str, Any], rng: Rng) -> State:
    """One step of gradient ascent on the surrogate; an interval is one step."""
    theta = state["theta"]
    gradient = -2.0 * np.array([hyperparameters["h0"], hyperparameters["h1"]]) * theta
    return {"theta": theta + LEARNING_RATE * gradient}


def climb_four(state: State, hyperparameters: dict[str, Any], rng: Rng) -> State:
    """Four steps, which is as often as a member of the figure is ready."""
    for _ in range(4):
        state = climb(state, hyperparameters, rng)
    return state


def measure(state: State, rng: Rng) -> tuple[float, dict[str, float]]:
    """The score, with theta as metrics, so that the record of a run holds its paths."""
    theta = state["theta"]
    return q(theta), {"theta0": float(theta[0]), "theta1": float(theta[1])}


HILL = Task(init=start, train_interval=climb, evaluate=measure)
"""The toy, for `warren.run`. It stands here by name, so that worker processes find it."""

HILL_BY_FOURS = Task(init=start, train_interval=climb_four, evaluate=measure)
"""The toy with four steps an interval, so that a strategy decides after each interval."""
