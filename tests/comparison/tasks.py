"""Small tasks whose outcome can be told by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from warren.comparison import Arm, Compared, Design, Reached, Replicate
from warren.space import Float, Space
from warren.strategies import PBT, RandomSearch

SPACE = {"lr": Float(1e-3, 1.0, scale="log")}


def hill(slot: Any) -> None:
    """A noisy climb: the step is best around 0.1. The held-out value is the place itself, to be made small."""
    for member in slot:
        start = member.state["x"] if member.state is not None else np.random.default_rng(member.seed).normal(3.0, 1.0)
        lr = member["lr"]
        x = float(start) * (1 - 0.5 * math.exp(-(math.log10(lr / 0.1) ** 2)))
        member.state = {"x": np.array(x)}
        member.report(abs(x) + 0.01 * float(member.rng.normal()), place=abs(x))


def replicate(arm: str, seed: int, final: float, best: float | None = None, *, score: float = 0.0) -> Replicate:
    """A run that ended at a held-out value."""
    return Replicate(
        arm=arm, seed=seed, final=Reached(score=score, held_out=final),
        best=Reached(score=score, held_out=final if best is None else best), members=(), cost=4.0, beyond=0.0,
        intervals=4, seconds=1.0, wall=2.0, course=(), schedule=({"lr": 0.1},), uneven=False,
    )  # fmt: skip


def compared(values: dict[str, list[float]], *, goal: str = "max", primary: str | None = None, **more: Any) -> Compared:
    """A comparison of these held-out values, one for each seed; the first strategy is the candidate."""
    names = list(values)
    arms = {name: Arm(strategy=RandomSearch() if place else PBT()) for place, name in enumerate(names)}
    design = Design(
        arms=arms, candidate=names[0], primary=primary or names[1], population=2, intervals=2, budget=4.0,
        seeds=len(values[names[0]]), seed=0, goal="max", held_out="test",
        held_out_goal="max" if goal == "max" else "min", retrain=0, space=Space(SPACE), **more,
    )  # fmt: skip
    runs = {name: [replicate(name, seed, value) for seed, value in enumerate(own)] for name, own in values.items()}
    return Compared(design, runs)
