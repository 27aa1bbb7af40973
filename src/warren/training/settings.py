"""What a run was asked for, as far as training needs it."""

from __future__ import annotations

from dataclasses import dataclass

from warren.population import Goal
from warren.space import Space
from warren.strategies import Strategy


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The fixed part of a run.

    Attributes:
        space: What hyperparameters may be.
        strategy: Who decides.
        goal: What counts as better.
        population: Members.
        seed: Of the run; every draw is keyed by it.
        held_out: Name of the metric that selection must not see and every report must have, or None.
        checkpoint_every: Intervals between two checkpoints inside a stretch; one comes at every boundary anyway.
        history: Intervals that decisions look back on.
    """

    space: Space
    strategy: Strategy
    goal: Goal
    population: int
    seed: int
    held_out: str | None = None
    checkpoint_every: int = 1
    history: int | None = 64
