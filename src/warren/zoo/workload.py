"""What a demonstration runs and a study compares: one task under one preset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from warren.population import Goal
from warren.strategies import Strategy


@dataclass(frozen=True, kw_only=True)
class Workload:
    """All that a run or a comparison needs to know of a task.

    Attributes:
        name: Of the store and the report: ``runs/NAME.db``, ``NAME.html``.
        told: What learns what, for the first line of a demonstration.
        make: Gives the training function, or a `Task`, for a seed: of the split of the data, or of the environments
            that score. A frozen dataclass can be joined and resumed from its store.
        space: What is tuned.
        goal: Whether higher or lower scores are better.
        held_out: A reported metric that selection never sees.
        held_out_goal: Which values of it are better.
        population: Members.
        intervals: For each member.
        strategy: With the exploit, explore and ready of the preset.
        usual: Hyperparameters as somebody sets them by hand: a control.
        synchronous: Members wait for each other.
        engine: As for `warren.run`.
    """

    name: str
    told: str
    make: Callable[[int], Any]
    space: Mapping[str, Any]
    goal: Goal
    held_out: str
    held_out_goal: Goal
    population: int
    intervals: int
    strategy: Strategy
    usual: Mapping[str, Any]
    synchronous: bool = False
    engine: Literal["processes", "vectorised"] | None = None
