"""What is trained in a simulation: a synthetic task as a value, whose true score is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from warren.population import Goal
from warren.space import Space
from warren.training import Rng, Slot

State = dict[str, Any]
"""A member's state: arrays by name. It is never written to, so a copy of it is the same object."""

TRUE = "true"
"""Name of the metric that a report carries the true score under."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What comes of an evaluation.

    Attributes:
        observed: The score that selection sees.
        true: What it would be without noise.
        curve: Scores inside the interval that led there, oldest first, or None.
    """

    observed: float
    true: float
    curve: Sequence[float] | None = None


class Learner(Protocol):
    """A synthetic task: functions of a state, without anything of their own that changes."""

    @property
    def space(self) -> Space:
        """What hyperparameters may be."""
        ...

    @property
    def goal(self) -> Goal:
        """Which scores are better."""
        ...

    @property
    def optimum(self) -> float:
        """The best true score that there is; what is missing to it is the regret."""
        ...

    @property
    def intervals(self) -> int:
        """Intervals of a run, for each member."""
        ...

    def initial(self, population: int, seed: int) -> Sequence[Mapping[str, Any]]:
        """Hyperparameters of the first members; those that are left over draw theirs from the space."""
        ...

    def begin(self, seed: int) -> State:
        """The state of a fresh member."""
        ...

    def train(self, state: State, hyperparameters: Mapping[str, Any], interval: int, rng: Rng) -> State:
        """The state after one more interval.

        Args:
            state: Not to be written to.
            hyperparameters: By their flat names.
            interval: Of the member, from 1: the time that a task with a clock of its own goes by.
            rng: Key of the draws.
        """
        ...

    def score(self, state: State, interval: int, rng: Rng) -> Measured:
        """The score of a state after an interval."""
        ...


@dataclass(frozen=True, kw_only=True)
class Loop:
    """A learner as a training function for `warren.run`, which gives the same history as `simulate`.

    Args:
        learner: What is trained.
    """

    learner: Learner

    def __call__(self, slot: Slot) -> None:
        """Train the members of a slot."""
        learner = self.learner
        for member in slot:
            interval = member.budget + 1
            state = learner.begin(member.seed) if member.state is None else member.state
            member.state = learner.train(state, member.flat, interval, member.key("train"))
            measured = learner.score(member.state, interval, member.key("evaluate"))
            for score in measured.curve or ():
                member.log(score=score)
            member.log(**{TRUE: measured.true})
            member.report(measured.observed)
