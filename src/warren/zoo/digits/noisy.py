"""The digits with wrong labels, and with classes that are renamed twice, unannounced, while they are learned."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from warren.training import Task
from warren.zoo.digits.data import Part, Parts, digits
from warren.zoo.digits.mlp import Mlp, State, measured, trained

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from warren.training import Rng


@dataclass(frozen=True, kw_only=True)
class Shifting:
    """The task for one run; all its members meet the same wrong labels and the same changes.

    A value whose methods are the task's functions, so that it travels to worker processes.

    Args:
        seed: Of the split, of the wrong labels and of the changes.
        noise: Share of the labels that are wrong in the parts that train and select; those held out are right.
        changes: Intervals from which on the classes have other names, in all parts.
        batch: Images in a minibatch.
    """

    seed: int
    noise: float = 0.3
    changes: tuple[int, ...] = (9, 21)
    batch: int = 32

    def task(self) -> Task:
        """The task, for `warren.run`."""
        return Task(init=self.init, train_interval=self.train_interval, evaluate=self.evaluate)

    def init(self, seed: int, hyperparameters: dict[str, Any]) -> State:
        """As `Mlp`, and a count of the intervals, so that the task needs no clock."""
        return {**Mlp().init(seed, hyperparameters), "interval": np.array(0)}

    def train_interval(self, state: State, hyperparameters: dict[str, Any], rng: Rng) -> State:
        """One pass over the training part, with the names of this interval."""
        interval = int(state["interval"]) + 1
        part = self.parts(interval).train
        order = rng.numpy().permutation(len(part.labels))
        batches = [order[i : i + self.batch] for i in range(0, len(order), self.batch)]
        return {**trained(state, hyperparameters, part, batches), "interval": np.array(interval)}

    def evaluate(self, state: State, rng: Rng) -> tuple[float, dict[str, float]]:
        """Loss on the validation part, whose labels are as noisy as those that train, and the accuracies."""
        parts = self.parts(int(state["interval"]))
        loss, accuracy = measured(state["weights"], parts.validation)
        return loss, {"accuracy": accuracy, "test": measured(state["weights"], parts.test)[1]}

    def parts(self, interval: int) -> Parts:
        """The data as they are in an interval, counted from 1."""
        return _parts(self.seed, self.noise, sum(interval >= change for change in self.changes))


@lru_cache(maxsize=8)  # made once a process, not once a member
def _parts(seed: int, noise: float, changes: int) -> Parts:
    rng = np.random.default_rng([seed, 0])
    clean = digits(seed)
    train, validation = (_noisy(part, noise, rng) for part in (clean.train, clean.validation))
    names = np.arange(10)
    for change in range(changes):
        names = np.random.default_rng([seed, 1 + change]).permutation(10)[names]
    return Parts(train=_renamed(train, names), validation=_renamed(validation, names), test=_renamed(clean.test, names))


def _noisy(part: Part, noise: float, rng: np.random.Generator) -> Part:
    """Some images with the label of another class, uniformly drawn."""
    wrong = rng.random(len(part.labels)) < noise
    other = (part.labels + rng.integers(1, 10, size=len(part.labels))) % 10
    return Part(images=part.images, labels=np.where(wrong, other, part.labels))


def _renamed(part: Part, names: NDArray[np.int64]) -> Part:
    return Part(images=part.images, labels=names[part.labels])
