"""What can be said of few, paired replicates: intervals, tests, and what they could have shown. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from warren.errors import InvalidValue

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

RESAMPLED_FROM = 20
"""Replicates from which intervals are bootstrapped; below, Student's t is the one that keeps its level."""

EXACT_UP_TO = 20
"""Replicates up to which all sign flips are counted: a million sums."""

_DRAWS = 10_000
"""Bootstrap samples: the 2.5 % quantile of so many moves by less than a hundredth of the interval's width."""
_FLIPS = 100_000
"""Sign flips that are drawn where all are too many: a p-value of 0.05 is then known to 0.0014 (two deviations)."""


def t_quantile(p: float, df: int) -> float:
    """The p-quantile of Student's t distribution with a whole number of degrees of freedom.

    Found by bisection on `t_probability`, without SciPy.

    Args:
        p: A probability between 0 and 1.
        df: Degrees of freedom, at least 1.

    Raises:
        InvalidValue: `p` or `df` is out of its range.
    """
    if not 0 < p < 1 or df < 1:
        raise InvalidValue(f"t_quantile: 0 < p < 1 and df >= 1 must hold, but got p={p!r}, df={df!r}")
    if p < 0.5:
        return -t_quantile(1 - p, df)
    low, high = 0.0, 1.0
    while t_probability(high, df) < p:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if t_probability(middle, df) < p else (low, middle)
    return high


def t_probability(t: float, df: int) -> float:
    """The probability that Student's t with `df` degrees of freedom is at most `t`.

    The finite series in the angle ``atan(t / sqrt(df))`` (Abramowitz and Stegun, equations 26.7.3 and 26.7.4).
    """
    angle = math.atan2(t, math.sqrt(df))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = df % 2
    term = total = cosine if odd else 1.0
    if df == 1:
        total = 0.0
    for k in range(3 if odd else 2, df, 2):
        term *= cosine * cosine * (k - 1) / k
        total += term
    inside = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return 0.5 + inside / 2


def t_interval(differences: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """The interval of the mean by Student's t: mean +- t * s / sqrt(n).

    Args:
        differences: At least two numbers. Shape (n,).
        level: How often such an interval holds the true mean.
    """
    values = _sample(differences, 2)
    half = t_quantile((1 + level) / 2, len(values) - 1) * _error(values)
    mean = float(values.mean())
    return mean - half, mean + half


def bootstrap_interval(differences: ArrayLike, rng: np.random.Generator, level: float = 0.95) -> tuple[float, float]:
    """The expanded percentile interval of the mean (Hesterberg 2015, arXiv 1411.5279).

    Of the means of resampled differences, the quantiles at ``Phi(-+ sqrt(n / (n - 1)) * t)``, with Student's quantile
    t of n - 1 degrees of freedom: as wide as Student's interval where the differences are normal, and skewed where they
    are. A plain percentile interval, or BCa, leaves out the truth too often at 20 to 40 differences.

    Args:
        differences: At least two numbers. Shape (n,).
        rng: For the resampling.
        level: How often such an interval holds the true mean.
    """
    values = _sample(differences, 2)
    n = len(values)
    means = values[rng.integers(n, size=(_DRAWS, n))].mean(axis=1)
    below = NormalDist().cdf(-math.sqrt(n / (n - 1)) * t_quantile((1 + level) / 2, n - 1))
    low, high = np.quantile(means, [below, 1 - below])
    return float(low), float(high)


def mean_interval(differences: ArrayLike, rng: np.random.Generator, level: float = 0.95) -> tuple[float, float]:
    """The interval of the mean: `t_interval` below 20 numbers, `bootstrap_interval` from there on."""
    values = _sample(differences, 2)
    return t_interval(values, level) if len(values) < RESAMPLED_FROM else bootstrap_interval(values, rng, level)


def sign_flip_test(differences: ArrayLike, rng: np.random.Generator) -> float:
    """The two-sided p-value of paired differences that would be symmetric around 0 if there were no effect.

    The share of all 2^n ways to flip their signs whose sum is at least as far from 0 (Fisher 1935). Exact up to 20
    differences; beyond, as many flips are drawn as give two digits, and the sample itself is counted among them.

    Args:
        differences: At least one number. Shape (n,).
        rng: For the flips that are drawn.
    """
    given = _sample(differences, 1)
    given = given / _unit(given)
    values, observed = np.abs(given), abs(float(np.sum(given)))
    least = observed - 1e-12 * float(values.sum())  # the same sum in another order must count as the same
    if len(values) <= EXACT_UP_TO:
        sums = np.zeros(1)
        for value in values:
            sums = np.concatenate([sums + value, sums - value])
        return float(np.mean(np.abs(sums) >= least))
    extreme = 0
    for _ in range(100):
        signs = rng.integers(2, size=(_FLIPS // 100, len(values))) * 2 - 1
        extreme += int(np.count_nonzero(np.abs(signs @ values) >= least))
    return (extreme + 1) / (_FLIPS + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number, so that the chance of any false one stays below the level (Holm 1979).

    The k-th smallest of m is multiplied by m - k + 1, and none may be smaller than one before it; at most 1.

    Args:
        p_values: In any order.

    Returns:
        The adjusted ones, in the same order.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def detectable(differences: ArrayLike, *, power: float = 0.8, level: float = 0.95) -> float:
    """The smallest true mean difference that so many pairs with such a spread would have shown.

    ``(t[(1 + level) / 2] + t[power]) * s / sqrt(n)``, both quantiles with n - 1 degrees of freedom: the usual
    approximation of the noncentral t (Cohen 1988).

    Args:
        differences: At least two numbers. Shape (n,).
        power: The probability with which it would have been seen.
        level: Of the interval that has to leave out 0.
    """
    values = _sample(differences, 2)
    df = len(values) - 1
    return (t_quantile((1 + level) / 2, df) + t_quantile(power, df)) * _error(values)


def probability_of_improvement(better: ArrayLike, than: ArrayLike) -> float:
    """The probability that a replicate of one is better than one of another, ties counted half.

    Over all pairs, not only those of one seed: what somebody with one run each would see (Agarwal et al. 2021, arXiv
    2108.13264, section 4.3).

    Args:
        better: Greater is better. Shape (n,).
        than: Shape (m,).
    """
    one, other = _sample(better, 1)[:, None], _sample(than, 1)[None, :]
    return float(np.mean((one > other) + 0.5 * (one == other)))


def interquartile_mean(values: ArrayLike) -> float:
    """The mean of the middle half: as robust as needed against one lucky or broken replicate (Agarwal et al. 2021).

    Of n numbers the floor(n / 4) smallest and as many largest are left out.
    """
    ordered = np.sort(_sample(values, 1))
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def profile(values: ArrayLike, thresholds: ArrayLike) -> NDArray[np.float64]:
    """The share of replicates that are better than each threshold: a performance profile (Agarwal et al. 2021).

    Args:
        values: Greater is better. Shape (n,).
        thresholds: Shape (k,).

    Returns:
        Shares from 0 to 1. Shape (k,).
    """
    ordered = np.sort(_sample(values, 1))
    above: NDArray[np.float64] = 1 - np.searchsorted(ordered, np.asarray(thresholds), side="right") / len(ordered)
    return above


def _sample(values: ArrayLike, least: int) -> NDArray[np.float64]:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1 or len(found) < least or not np.isfinite(found).all():
        raise InvalidValue(f"a sample must be at least {least} finite numbers, but got {values!r}")
    return found


def _error(values: NDArray[np.float64]) -> float:
    """Of the mean."""
    unit = _unit(values)
    return float((values / unit).std(ddof=1)) * unit / math.sqrt(len(values))


def _unit(values: NDArray[np.float64]) -> float:
    """The largest of them: a loss that exploded may be finite, and its square beyond a float."""
    return float(np.abs(values).max()) or 1.0
