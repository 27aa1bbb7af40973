"""Several scores at once: MO-PBT, which keeps a population spread along a Pareto front."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from warren.errors import InvalidType, InvalidValue
from warren.population import Keys, Plan, View
from warren.space import Space
from warren.strategies.compose import Composed
from warren.strategies.exploit import Truncation
from warren.strategies.explore import Explore, Perturb
from warren.strategies.ready import Every

if TYPE_CHECKING:
    from numpy.typing import NDArray

Units = Literal["range", "own"]


def fronts(objectives: NDArray[np.float64]) -> NDArray[np.int64]:
    """The non-dominated front that each point is on: 0 for those that no other dominates, 1 for the next, and so on.

    A point dominates another one where it is as good in every objective and better in one (Deb et al. 2002, NSGA-II,
    section III A). Equal points are on the same front.

    Args:
        objectives: Greater is better, finite. Shape (n, m).

    Returns:
        Shape (n,), int64.
    """
    as_good = np.all(objectives[:, None] >= objectives[None], axis=2)
    dominates = as_good & ~as_good.T
    rank = np.full(len(objectives), -1, dtype=np.int64)
    front = 0
    while (left := rank < 0).any():
        rank[left & ~dominates[left].any(axis=0)] = front
        front += 1
    return rank


def scattered(objectives: NDArray[np.float64]) -> list[int]:
    """All points, best first: front by front, inside a front each time the one farthest from all before it.

    The first of all is the best in the first objective. The distance is the Euclidean one to the nearest point that was
    taken already, also on earlier fronts; of those equally far, the better in the first objective comes first, then in
    the second, and so on (greedy scattered subset selection, as in the public code of MO-PBT).

    Args:
        objectives: Greater is better, finite, in units that can be compared. Shape (n, m).

    Returns:
        Places in `objectives`; equal points follow each other in no order that may matter.
    """
    rank = fronts(objectives)
    best_first = np.lexsort(-objectives.T[::-1])
    nearest = np.full(len(objectives), np.inf)
    order: list[int] = []
    for front in range(int(rank.max(initial=-1)) + 1):
        waiting = [place for place in best_first.tolist() if rank[place] == front]
        while waiting:
            taken = waiting.pop(int(np.argmax(nearest[waiting])))
            order.append(taken)
            with np.errstate(over="ignore"):  # two finite scores may lie farther apart than a float can say
                distance = np.sqrt(np.sum((objectives - objectives[taken]) ** 2, axis=1))
            nearest = np.minimum(nearest, distance)
    return order


@dataclass(frozen=True, kw_only=True)
class Fronts:
    """Fitness by several scores: the place in the order of `scattered`, so that the best are spread over the front.

    Members whose scores are all equal have the same fitness.

    Args:
        metrics: Reported metrics that count beside the score: ``"name"`` where greater is better, ``"-name"`` where
            smaller is. The score counts first, with its own goal. A metric that is held out must not be named here.
        units: ``"range"`` measures distances inside a front in shares of the range over the population, since scores
            in different units cannot be compared otherwise; ``"own"`` as they are, as the public code.
    """

    metrics: Sequence[str] = ()
    units: Units = "range"

    def __post_init__(self) -> None:
        if isinstance(self.metrics, str):
            raise InvalidType(f"Fronts: metrics must be a list of names such as ['-latency'], but got {self.metrics!r}")
        object.__setattr__(self, "metrics", tuple(self.metrics))
        for name in self.metrics:
            if not isinstance(name, str) or not name.removeprefix("-"):
                raise InvalidType(f"Fronts: metrics must be names of metrics such as '-latency', but got {name!r}")
        if len({name.removeprefix("-") for name in self.metrics}) < len(self.metrics):
            raise InvalidValue(f"Fronts: each metric must stand once, but got metrics={self.metrics!r}")
        if self.units not in ("range", "own"):
            raise InvalidValue(f"Fronts: units={self.units!r} must be 'range' or 'own'")

    def __call__(self, view: View) -> NDArray[np.float64]:
        return view.once(("fronts", self), lambda: self._fitness(view))

    def _fitness(self, view: View) -> NDArray[np.float64]:
        facts = view.facts
        objectives = np.column_stack([facts.scores, *(self._metric(view, name) for name in self.metrics)])
        fitness = np.full(len(facts.members), -np.inf)
        fit = np.flatnonzero(np.isfinite(objectives).all(axis=1))
        if not len(fit):
            return fitness
        points = objectives[fit]
        order = scattered(shares(points) if self.units == "range" else points)
        _, same = np.unique(points, axis=0, return_inverse=True)
        best: dict[int, int] = {}
        for place, point in enumerate(order):
            fitness[fit[point]] = len(order) - best.setdefault(int(same.reshape(-1)[point]), place)
        return fitness

    def _metric(self, view: View, name: str) -> NDArray[np.float64]:
        """A metric of each of ``view.facts.members``, greater is better; -inf where it is missing or not finite."""
        plain, sign = name.removeprefix("-"), -1.0 if name.startswith("-") else 1.0
        rows = view.facts.rows
        healthy = [row for row, fit in zip(rows, view.facts.healthy.tolist(), strict=True) if fit]
        if healthy and not any(plain in row.metrics for row in healthy):
            known = sorted({metric for row in healthy for metric in row.metrics})
            raise InvalidValue(
                f"metrics names {plain!r}, but no member reported it; reported were {', '.join(known) or 'none'}"
            )
        values = [sign * row.metrics.get(plain, math.nan) for row in rows]
        return np.array([value if math.isfinite(value) else -math.inf for value in values], dtype=np.float64)


def shares(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each column moved and scaled to [0, 1]; 0 where all are equal. Shape as given, finite."""
    low, high = points.min(axis=0) / 2, points.max(axis=0) / 2  # halves, since the whole range may be beyond a float
    width = high - low
    scaled: NDArray[np.float64] = (points / 2 - low) / np.where(width > 0, width, 1.0)
    return scaled


@dataclass(frozen=True, kw_only=True)
class MOPBT:
    """Multi-objective Population Based Training (Dushatskiy, Chebykin, Alderliesten and Bosman 2023, arXiv 2306.01436).

    Members are ordered by non-dominated fronts, and inside a front by greedy max-min distance (`scattered`); the worst
    quarter copies from the best quarter and explores. What comes out is a front, not one model.

    Explore is perturb here; the paper's own, on grids of whole numbers, is `PBA`'s. The paper measures distances in the
    scores' own units; here they are shares of the range unless `units` says otherwise.

    Traps: the run's best is still that by the score alone. A metric that a member does not report, or that is not
    finite, makes it the worst.

    Args:
        metrics: As for `Fronts`: ``("-latency", "recall")``. None of them makes it PBT with truncation at 25 %.
        fraction: Share of the population that is worst, and that is best; from 0 to 0.5.
        explore: How hyperparameters change after a copy.
        every: Intervals between two decisions for a member.
        warmup: Intervals before the first decision can come.
        units: As for `Fronts`.

    Raises:
        InvalidValue: A number is out of its range, or a metric stands twice.
    """

    metrics: Sequence[str] = ()
    fraction: float = 0.25
    explore: Explore = field(default_factory=Perturb)
    every: int = 1
    warmup: int = 1
    units: Units = "range"
    _composed: Composed = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        fitness = Fronts(metrics=self.metrics, units=self.units)
        composed = Composed(
            ready=Every(every=self.every, warmup=self.warmup),
            fitness=fitness,
            exploit=Truncation(fraction=self.fraction),
            explore=self.explore,
        )
        object.__setattr__(self, "metrics", fitness.metrics)
        object.__setattr__(self, "_composed", composed)

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """As `PBT`, with the same draws for the same seed."""
        return self._composed.start(space, size, keys)

    def decide(self, view: View, keys: Keys) -> Plan:
        """Exploit and explore for the member that is due."""
        return self._composed.decide(view, keys)
