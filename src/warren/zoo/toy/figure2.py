"""The four panels of Figure 2: what copying and exploring do, each alone and together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from warren import runs
from warren.errors import InvalidValue
from warren.space import Float
from warren.strategies import PBT, Noise, RandomSearch, Strategy, Tournament
from warren.zoo.quiet import quiet
from warren.zoo.toy.tasks import HILL, PEAK, START

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEPS = 200
READY = 4
PANELS = ("grid", "exploit only", "explore only", "both")
INITIAL = ({"h0": 1.0, "h1": 0.0}, {"h0": 0.0, "h1": 1.0})


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One run of one panel.

    Attributes:
        best: Q of the better member after the last step.
        paths: Where each member stood, from the start on; shape (members, steps + 1, 2).
        copied: Whether the step that led there began with a copy of the other member; shape (members, steps + 1).
    """

    best: float
    paths: NDArray[np.float64]
    copied: NDArray[np.bool_]

    @property
    def regret(self) -> float:
        """What is missing to the peak; tells good runs apart better than Q does."""
        return PEAK - self.best


def strategy(panel: str) -> Strategy:
    """The strategy of a panel.

    Every panel but the grid is ready after each fourth step. Noise and not the paper's factors, because an h of 0
    multiplied by anything stays 0. Two members that start alike tie exactly, and the keyed draw settles it.

    Args:
        panel: One of `PANELS`.

    Raises:
        InvalidValue: There is no such panel.
    """
    noise = Noise(deviation=0.1)
    if panel == "grid":
        return RandomSearch()
    if panel == "exploit only":
        return PBT(exploit=Tournament(), explore="none", every=READY, warmup=0)
    if panel == "explore only":
        return PBT(exploit="none", explore=noise, explorers="ready", every=READY, warmup=0)
    if panel == "both":
        return PBT(exploit=Tournament(), explore=noise, every=READY, warmup=0)
    raise InvalidValue(f"panel={panel!r} must be one of {', '.join(map(repr, PANELS))}")


def run_panel(panel: str, seed: int, *, synchronous: bool = False) -> Outcome:
    """Run a panel with one worker, in memory; takes about a quarter of a second.

    Args:
        panel: One of `PANELS`.
        seed: Keys every draw.
        synchronous: Members wait for each other.

    Raises:
        InvalidValue: There is no such panel.
    """
    result = runs.run(
        HILL,
        space={"h0": Float(0.0, 1.0), "h1": Float(0.0, 1.0)},
        goal="max",
        population=len(INITIAL),
        intervals=STEPS,
        initial=INITIAL,
        strategy=strategy(panel),
        seed=seed,
        synchronous=synchronous,
        watch=quiet,
    )
    paths = np.empty((len(INITIAL), STEPS + 1, 2))
    paths[:, 0] = START
    copied = np.zeros((len(INITIAL), STEPS + 1), dtype=np.bool_)
    last = np.full(len(INITIAL), -np.inf)
    for row in result.intervals:
        paths[row.member, row.interval] = row.metrics["theta0"], row.metrics["theta1"]
        copied[row.member, row.interval] = row.origin == "exploit"
        if row.interval == STEPS and row.score is not None:
            last[row.member] = row.score
    return Outcome(best=float(last.max()), paths=paths, copied=copied)
