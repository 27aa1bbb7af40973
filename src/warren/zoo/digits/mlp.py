"""A 64-64-10 network on scikit-learn's digits in plain NumPy: an interval in some milliseconds, for studies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from warren import runs
from warren.space import Float
from warren.strategies import Strategy
from warren.training import Task
from warren.zoo.digits.data import Part, Parts, digits
from warren.zoo.quiet import quiet

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from warren.results import Trained
    from warren.training import Rng

State = dict[str, Any]
Weights = dict[str, "NDArray[np.float32]"]


def space() -> dict[str, Float]:
    """What is tuned."""
    return {
        "lr": Float(1e-4, 1.0, scale="log"),
        "momentum": Float(0.5, 0.99, scale="one_minus"),
        "weight_decay": Float(1e-6, 1e-1, scale="log"),
    }


@dataclass(frozen=True, kw_only=True)
class Mlp:
    """The task; a value whose methods are the task's functions, so that it travels to worker processes.

    Args:
        split: Seed of which images train, which select and which are held out.
        batch: Images in a minibatch.
        hidden: Width of the hidden layer.
    """

    split: int = 0
    batch: int = 32
    hidden: int = 64

    def task(self) -> Task:
        """The task, for `warren.run`."""
        return Task(init=self.init, train_interval=self.train_interval, evaluate=self.evaluate)

    def init(self, seed: int, hyperparameters: dict[str, Any]) -> State:
        """Weights as He et al. (2015) draw them, and no velocity."""
        rng = np.random.default_rng(seed)
        weights = {
            "w1": rng.normal(0.0, np.sqrt(2 / 64), (64, self.hidden)).astype(np.float32),
            "b1": np.zeros(self.hidden, np.float32),
            "w2": rng.normal(0.0, np.sqrt(2 / self.hidden), (self.hidden, 10)).astype(np.float32),
            "b2": np.zeros(10, np.float32),
        }
        return {"weights": weights, "velocity": {name: np.zeros_like(value) for name, value in weights.items()}}

    def train_interval(self, state: State, hyperparameters: dict[str, Any], rng: Rng) -> State:
        """One pass over the training part."""
        part = self._parts().train
        order = rng.numpy().permutation(len(part.labels))
        return trained(
            state, hyperparameters, part, [order[i : i + self.batch] for i in range(0, len(order), self.batch)]
        )

    def evaluate(self, state: State, rng: Rng) -> tuple[float, dict[str, float]]:
        """Loss on the validation part, and the accuracies."""
        parts = self._parts()
        loss, accuracy = measured(state["weights"], parts.validation)
        return loss, {"accuracy": accuracy, "test": measured(state["weights"], parts.test)[1]}

    def _parts(self) -> Parts:
        return digits(self.split)


def trained(state: State, hyperparameters: dict[str, Any], part: Part, batches: Iterable[NDArray[np.int64]]) -> State:
    """SGD with momentum and weight decay, as PyTorch's.

    Args:
        state: Weights and velocity; they are not written to.
        hyperparameters: ``lr``, ``momentum``, ``weight_decay``.
        part: What gradients come from.
        batches: Places of the images of each step.
    """
    images = part.images.reshape(-1, 64)
    weights = {name: value.copy() for name, value in state["weights"].items()}
    velocity = {name: value.copy() for name, value in state["velocity"].items()}
    lr, momentum, decay = (np.float32(hyperparameters[name]) for name in ("lr", "momentum", "weight_decay"))
    with np.errstate(over="ignore", invalid="ignore"):  # a member that diverges reports NaN and is replaced
        for batch in batches:
            gradient = _gradient(weights, images[batch], part.labels[batch])
            for name, weight in weights.items():
                velocity[name] *= momentum
                velocity[name] += gradient[name] + decay * weight
                weight -= lr * velocity[name]
    return {"weights": weights, "velocity": velocity}


def _forward(
    weights: Weights, images: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    hidden = np.maximum(images @ weights["w1"] + weights["b1"], np.float32(0))
    logits = hidden @ weights["w2"] + weights["b2"]
    logits -= logits.max(1, keepdims=True)
    log_probability = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return hidden, logits, log_probability


def _gradient(weights: Weights, images: NDArray[np.float32], labels: NDArray[np.int64]) -> Weights:
    """Of the mean cross-entropy."""
    hidden, _, log_probability = _forward(weights, images)
    error = np.exp(log_probability)
    error[np.arange(len(labels)), labels] -= 1
    error /= len(labels)
    back = (error @ weights["w2"].T) * (hidden > 0)
    return {"w1": images.T @ back, "b1": back.sum(0), "w2": hidden.T @ error, "b2": error.sum(0)}


def measured(weights: Weights, part: Part) -> tuple[float, float]:
    """Mean cross-entropy and accuracy on some images."""
    with np.errstate(over="ignore", invalid="ignore"):
        _, logits, log_probability = _forward(weights, part.images.reshape(-1, 64))
        loss = -float(np.mean(log_probability[np.arange(len(part.labels)), part.labels]))
        return loss, float(np.mean(logits.argmax(1) == part.labels))


def run_mlp(
    seed: int,
    strategy: Strategy,
    *,
    population: int = 12,
    intervals: int = 30,
) -> Trained:
    """One run in memory; takes some seconds.

    Two strategies with the same seed begin with the same hyperparameters and weights, and have the same split.

    Args:
        seed: Of the split and of every draw.
        strategy: Who decides.
        population: Members.
        intervals: Intervals for each member.

    Returns:
        Of the last states, the one with the lowest validation loss.
    """
    result = runs.run(
        Mlp(split=seed).task(),
        space=space(),
        goal="min",
        population=population,
        intervals=intervals,
        strategy=strategy,
        seed=seed,
        held_out="test",
        watch=quiet,
    )
    return result.final[0]
