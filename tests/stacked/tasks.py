"""Tasks that tests run on every engine, in every framework; at the top level so that worker processes find them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np

import warren

SPACE = {"lr": warren.Float(1e-3, 1.0, scale="log"), "bias": warren.Float(0.0, 1.0)}


def init(seed: int, hyperparameters: dict[str, Any]) -> Any:
    return {"w": np.random.default_rng(seed).normal(size=3), "steps": np.array(0)}


def step(state: Any, hyperparameters: dict[str, Any], rng: warren.training.Rng) -> Any:
    pull = hyperparameters["lr"] * (state["w"] - hyperparameters["bias"])
    return {"w": state["w"] - pull + 0.01 * rng.numpy().normal(size=3), "steps": np.asarray(state["steps"] + 1)}


def evaluate(state: Any, rng: Any) -> tuple[float, dict[str, float]]:
    return -float(np.sum(state["w"] ** 2)), {"first": float(state["w"][0])}


ONE = warren.Task(init=init, train_interval=step, evaluate=evaluate)
"""A quadratic with noise, on one member."""


def init_all(seeds: Any, hyperparameters: dict[str, Any]) -> Any:
    return {
        "w": np.stack([np.random.default_rng(seed).normal(size=3) for seed in seeds]),
        "steps": np.zeros(len(seeds), dtype=np.int64),
    }


def step_all(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
    lr, bias = hyperparameters["lr"][:, None], hyperparameters["bias"][:, None]
    noise = np.stack([generator.normal(size=3) for generator in rng.numpy()])
    state["w"] = state["w"] - lr * (state["w"] - bias) + 0.01 * noise
    state["steps"] += 1  # in place, as it may
    return state


def evaluate_all(state: Any, rng: Any) -> Any:
    return -np.sum(state["w"] ** 2, axis=1), {"first": state["w"][:, 0]}


ALL = warren.StackedTask(init=init_all, train_interval=step_all, evaluate=evaluate_all)
"""The same on all members at once."""


def killed_all(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
    """As `step_all`, and dies by SIGKILL after so many rounds as a file says, each time it is called for."""
    orders = Path(os.environ["WARREN_TEST_KILL"])
    left = orders.read_text().split()
    if left and int(left[0]) <= int(state["steps"].max()):
        orders.write_text(" ".join(left[1:]))
        os.kill(os.getpid(), signal.SIGKILL)
    return step_all(state, hyperparameters, rng)


KILLED = warren.StackedTask(init=init_all, train_interval=killed_all, evaluate=evaluate_all)
