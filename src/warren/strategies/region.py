"""The trust region of BG-PBT: how far from what is copied hyperparameters may be chosen, and the search there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from warren.errors import InvalidValue
from warren.strategies.checks import check_counts
from warren.strategies.coding import highest
from warren.strategies.gp import Points, Process
from warren.values import Json


@dataclass(frozen=True, kw_only=True)
class Region:
    """The region as a round leaves it.

    Attributes:
        at: The interval of the round.
        since: The interval at which it was last begun anew; what was gained before does not count.
        length: Its sides in the unit cube of the numbers, 1 being a whole range.
        labels: The share of the choices without an order that may differ.
        successes: Rounds in a row in which a choice of the last round came out best.
        failures: Rounds in a row in which none did.
        best: The best score since it was begun, greater is better; None where there is none yet.
        stale: Rounds since that score.
    """

    at: int = 0
    since: int = 0
    length: float = 0.4
    labels: float = 1.0
    successes: int = 0
    failures: int = 0
    best: float | None = None
    stale: int = 0

    def record(self) -> dict[str, Json]:
        """As JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Trust:
    """How a trust region widens and narrows (Casmopolitan, Wan et al. 2021, arXiv 2102.07188; numbers of BG-PBT's).

    Args:
        length: Its sides at first, in units of each hyperparameter's range.
        shortest: Where it is not longer than this, it is begun anew.
        longest: It grows to this at most.
        labels: The share of the choices without an order that may differ, at first and at most.
        fewest: The share that it shrinks to at least. One choice may always differ.
        factor: What sides and share are multiplied or divided by; above 1.
        successes: That many in a row widen it.
        failures: That many in a row narrow it.
        patience: It is begun anew after so many rounds without a better score.

    Raises:
        InvalidType: A count is no whole number.
        InvalidValue: A number is out of its range.
    """

    length: float = 0.4
    shortest: float = 0.15
    longest: float = 1.0
    labels: float = 1.0
    fewest: float = 0.1
    factor: float = 1.5
    successes: int = 3
    failures: int = 10
    patience: int = 15

    def __post_init__(self) -> None:
        if not 0 < self.shortest < self.length <= self.longest <= 1:
            raise InvalidValue(
                "Trust: 0 < shortest < length <= longest <= 1 must hold, but got "
                f"shortest={self.shortest!r}, length={self.length!r}, longest={self.longest!r}"
            )
        if not 0 < self.fewest <= self.labels <= 1:
            raise InvalidValue(
                f"Trust: 0 < fewest <= labels <= 1 must hold, but got fewest={self.fewest!r}, labels={self.labels!r}"
            )
        if not 1 < self.factor < math.inf:
            raise InvalidValue(f"Trust: factor must be finite and above 1, but got {self.factor!r}")
        check_counts("Trust", successes=self.successes, failures=self.failures, patience=self.patience)

    def begun(self, at: int) -> Region:
        """The region at first, or begun anew at an interval."""
        return Region(at=at, since=at, length=self.length, labels=self.labels)

    def after(self, region: Region, at: int, best: float, chosen: float | None) -> Region:
        """The region after a round.

        Args:
            region: As the round before left it.
            at: The interval of this round.
            best: The best score of this round, greater is better.
            chosen: The best score of those whose hyperparameters were chosen in the round before, or None where there
                is none.
        """
        better = region.best is None or best > region.best
        now = replace(region, at=at, best=best if better else region.best, stale=0 if better else region.stale + 1)
        if chosen is not None and chosen >= best:
            now = replace(now, successes=now.successes + 1, failures=0)
        elif chosen is not None:
            now = replace(now, successes=0, failures=now.failures + 1)
        if now.successes == self.successes:
            length, labels = min(now.length * self.factor, self.longest), min(now.labels * self.factor, self.labels)
            now = replace(now, length=length, labels=labels, successes=0)
        elif now.failures == self.failures:
            length, labels = max(now.length / self.factor, self.shortest), max(now.labels / self.factor, self.fewest)
            now = replace(now, length=length, labels=labels, failures=0)
        anew = now.length <= self.shortest or now.stale >= self.patience
        return self.begun(at) if anew else now


def recorded(tag: Json) -> Region | None:
    """The region that a member's tag holds, or None."""
    body: Any = tag.get("region") if isinstance(tag, dict) else None
    return Region(**body) if isinstance(body, dict) else None


def newest(tags: Iterable[Json]) -> Region | None:
    """The region of the latest round that is told of, or None."""
    regions = [region for tag in tags if (region := recorded(tag)) is not None]
    return max(regions, key=lambda region: region.at, default=None)


def searched(
    process: Process,
    centre: Points,
    region: Region,
    free: Sequence[int],
    labels: Mapping[int, int],
    deviations: float,
    rng: np.random.Generator,
    *,
    restarts: int,
) -> Points:
    """The point of a region with the highest upper confidence bound that is found.

    From a point drawn in the region, the numbers climb (`highest`) and then the label is changed that is worth most, in
    turn until no change is better: the interleaved search of Casmopolitan, with L-BFGS-B for its gradient steps.

    Args:
        process: What is expected.
        centre: The middle of the region, one point.
        region: How far from there.
        free: Which of the numbers may be chosen.
        labels: Which of the labels may be chosen, and among how many.
        deviations: In the bound, at least 0.
        rng: Draws where the search begins.
        restarts: How often it begins, at least once.
    """
    half, middle = region.length / 2, centre.numbers[0]
    bounds = {place: (max(0.0, middle[place] - half), min(1.0, middle[place] + half)) for place in free}
    differing = max(1, math.floor(region.labels * len(labels) + 1e-9))
    best, highest_bound = centre, -math.inf
    for _ in range(restarts):
        drawn = rng.permutation(list(labels))[:differing].tolist()
        point = _relabelled(centre, {place: int(rng.integers(labels[place])) for place in drawn})
        start = np.array([rng.uniform(low, high) for low, high in bounds.values()])
        while True:
            point, bound = highest(process, point, bounds, deviations, start[None])
            if bound > highest_bound:
                best, highest_bound = point, bound
            start = point.numbers[0, list(bounds)]
            near = _neighbours(point, centre, labels, differing)
            worth = [process.upper(one, deviations)[0] for one in near]
            if not near or max(worth) <= bound + 1e-9:
                break
            point = near[int(np.argmax(worth))]
    return best


def _relabelled(point: Points, labels: Mapping[int, int]) -> Points:
    changed = point.labels.copy()
    for place, label in labels.items():
        changed[0, place] = label
    return replace(point, labels=changed)


def _neighbours(point: Points, centre: Points, labels: Mapping[int, int], differing: int) -> list[Points]:
    """The points with one other label, of which no more differ from the centre than may."""
    others = [
        _relabelled(point, {place: label})
        for place, count in labels.items()
        for label in range(count)
        if label != point.labels[0, place]
    ]
    return [one for one in others if np.count_nonzero(one.labels != centre.labels) <= differing]
