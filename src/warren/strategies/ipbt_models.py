"""What IPBT reckons with: whether a curve of best scores still rises, and which hyperparameters to begin again with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from warren.space import Choice, Space
from warren.strategies.gp import Fit, Kernel, Points, matern, seen

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KERNEL = Kernel(smooth=matern)
_LENGTHS = (0.05, 0.1, 0.2, 0.5, 1.0)
_NOISES = (0.01, 0.1, 0.3, 1.0)


def standardised(values: Sequence[float]) -> NDArray[np.float64]:
    """Values in standard deviations (of a sample) from their mean; zeros where all are equal. Finite, however large."""
    y = np.asarray(values, dtype=np.float64)
    y = y / max(float(np.abs(y).max(initial=0.0)), 1e-300)
    deviation = float(y.std(ddof=1)) if len(y) > 1 else 0.0
    found: NDArray[np.float64] = (y - y.mean()) / deviation if deviation > 0 else np.zeros(len(y))
    return found


def smoothed(values: Sequence[float]) -> NDArray[np.float64]:
    """A curve in standard deviations from its mean, smoothed by a Gaussian process on even steps from 0 to 1.

    The kernel is Matern 5/2 of variance 1; its length scale and the variance of the noise are the likeliest of a grid
    of 5 x 4.

    Args:
        values: At least one.
    """
    y = standardised(values)
    steps = np.linspace(0.0, 1.0, len(y))
    at = Points(times=np.zeros(len(y)), numbers=steps[:, None], labels=np.zeros((len(y), 0), dtype=np.int64))
    tried = [seen(_KERNEL, Fit(length=length**2, noise=noise), at, y) for length in _LENGTHS for noise in _NOISES]
    likelihood = [float(np.linalg.slogdet(one.inverse)[1] - y @ one.inverse @ y) for one in tried]
    return tried[int(np.argmax(likelihood))].mean(at)


def rises(values: Sequence[float]) -> bool:
    """Whether the smoothed curve is higher at its end than one step before; True where there is only one value."""
    if len(values) < 2:
        return True
    if min(values) == max(values):
        return False
    curve = smoothed(values)
    return bool(curve[-1] > curve[-2])


def crawls(values: Sequence[float], steps: int) -> bool:
    """Whether the best value rose by less than one standard deviation of the curve over the last `steps` values.

    Args:
        values: The curve; with fewer than `steps` values it does not crawl.
        steps: At least 2.
    """
    if len(values) < steps:
        return False
    y = standardised(values)
    return bool(y.max() - y[: len(y) - steps + 1].max() < 1.0)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of hyperparameters that an iteration began with.

    Attributes:
        iteration: Which one, from 0.
        hyperparameters: Complete.
        reached: The best score of all that descended from this beginning until the iteration's end, greater is better.
    """

    iteration: int
    hyperparameters: Mapping[str, Any]
    reached: float


def proposed(
    space: Space, outcomes: Sequence[Outcome], iteration: int, rng: np.random.Generator, *, forget: float, draws: int
) -> dict[str, Any]:
    """Hyperparameters to begin an iteration with, by a Gaussian process over the beginnings so far.

    Of some draws from the prior the one with the highest upper confidence bound, mean plus deviation. The kernel is
    Matern 5/2 of length 1/2 over the unit cube times (1 - forget)^(|i - j| / 2) for the iterations i and j; the scores
    are in standard deviations, the variance of the noise is 0.1.

    Args:
        space: What hyperparameters may be.
        outcomes: Of earlier iterations; with fewer than two a draw from the prior is what there is.
        iteration: The one that begins.
        rng: Where the draws come from.
        forget: From 0 to below 1.
        draws: How many, at least 1.
    """
    if len(outcomes) < 2:
        return space.sample(rng)
    drawn = [space.sample(rng) for _ in range(draws)]
    known = points(space, [one.hyperparameters for one in outcomes], [one.iteration for one in outcomes])
    fit = Fit(length=0.25, forget=forget, noise=0.1)
    learned = seen(_KERNEL, fit, known, standardised([one.reached for one in outcomes]))
    new = points(space, drawn, [iteration] * len(drawn))
    return drawn[int(np.argmax(learned.mean(new) + learned.deviation(new)))]


def points(space: Space, values: Sequence[Mapping[str, Any]], iterations: Sequence[int]) -> Points:
    """Hyperparameters as points; the iterations are their times. What does not exist beside the others lies at 0.

    Args:
        space: What they are of.
        values: Complete.
        iterations: One for each.
    """
    names = sorted(space)
    labels = [(name, one) for name in names if isinstance(one := space[name], Choice) and not one.ordered]
    numbers = [(name, space[name]) for name in names if space[name].ordered]
    return Points(
        times=np.asarray(iterations, dtype=np.float64),
        numbers=np.array(
            [[one.unit(given[name]) if name in given else 0.0 for name, one in numbers] for given in values],
            dtype=np.float64,
        ),
        labels=np.array(
            [[_place(one, given[name]) if name in given else -1 for name, one in labels] for given in values],
            dtype=np.int64,
        ),
    )


def _place(choice: Choice, value: Any) -> int:
    place = choice.place(value)
    return -1 if place is None else place
