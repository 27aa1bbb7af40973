"""Learning curves held against each other from where they stand equal, as FIRE PBT does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SHIFTS = 10
"""How many shifts are tried for a curve that lies above all of another."""


def smooth(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Local straight lines through equally spaced points (Savitzky and Golay 1964, first order).

    Inside, the mean of the `window` points around; at both ends, the least-squares line through the last `window`
    points there. A straight line stays as it is.

    Args:
        values: Shape (n,).
        window: How many points, odd; the greatest odd number that there are where these are fewer.

    Returns:
        Shape (n,).
    """
    window = min(window, len(values) - (len(values) + 1) % 2)
    if window < 3:
        return values
    half = window // 2
    offsets = np.arange(-half, half + 1)

    def line(points: NDArray[np.float64]) -> NDArray[np.float64]:
        fitted: NDArray[np.float64] = points.mean() + offsets * (float(offsets @ points) / float(offsets @ offsets))
        return fitted

    inside = np.convolve(values, np.full(window, 1 / window), mode="valid")
    return np.concatenate([line(values[:window])[:half], inside, line(values[-window:])[-half:]])


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Scores at equal steps, greater is better.

    Args:
        values: As they were reported. Shape (n,), finite, at least one.
        window: For `smooth`.
    """

    values: NDArray[np.float64]
    window: int
    smoothed: NDArray[np.float64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "smoothed", smooth(self.values, self.window))


def overlap(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[int, int, int] | None:
    """Where two curves stand equal for the first time, and for how many points both go on from there.

    The one that begins lower is followed until it has come to where the other begins.

    Args:
        first: Smoothed. Shape (n,).
        second: Smoothed. Shape (m,).

    Returns:
        The place in either, and the number of points; None where the lower one never comes there.
    """
    below = bool(first[0] < second[0])
    lower, upper = (first, second) if below else (second, first)
    reached = np.flatnonzero(lower >= upper[0])
    if not len(reached):
        return None
    start = int(reached[0])
    i, j = (start, 0) if below else (0, start)
    return i, j, min(len(first) - i, len(second) - j)


def improvement(first: Curve, second: Curve) -> float:
    """By how much the first curve is the better one after as many points, from where both stand equal.

    The difference of the best scores on the overlap. A curve that lies above all of the other has none: it is moved
    down in 10 steps, from where its worst score is the other's best on to where it is the other's worst, and the
    greatest difference counts, at least 0. Any other curve without an overlap counts 0.
    """
    found = _difference(first, second, 0.0)
    if found is not None:
        return found
    lowest = float(first.values.min())
    nearest, farthest = lowest - float(second.values.max()), lowest - float(second.values.min())
    if nearest <= 0:
        return 0.0
    shifts = np.linspace(nearest, farthest, _SHIFTS, endpoint=False).tolist()
    return max(0.0, *(_difference(first, second, shift) or 0.0 for shift in shifts))


def _difference(first: Curve, second: Curve, shift: float) -> float | None:
    found = overlap(first.smoothed - shift, second.smoothed)
    if found is None:
        return None
    i, j, points = found
    return float(first.values[i : i + points].max()) - shift - float(second.values[j : j + points].max())


def sign_test(first: Curve, second: Curve) -> float:
    """How likely the first curve would be above the second at as many points of the overlap, were both alike.

    A curve that lies above all of the other, and so has no overlap with it, counts with as many points as both have:
    either way 7 points are needed for less than 0.01.

    Returns:
        The one-sided p-value of the binomial test; 1 for any other curve without an overlap.
    """
    found = overlap(first.smoothed, second.smoothed)
    if found is None:
        points = min(len(first.values), len(second.values))
        return binomial(points, points) if first.values.min() > second.values.max() else 1.0
    i, j, points = found
    return binomial(int(np.count_nonzero(first.values[i : i + points] > second.values[j : j + points])), points)


def binomial(successes: int, trials: int) -> float:
    """The probability of at least so many successes in so many trials at even odds; exact."""
    ways = total = 0
    for k in range(trials, successes - 1, -1):
        ways = 1 if k == trials else ways * (k + 1) // (trials - k)
        total += ways
    return total / (1 << trials)
