"""Gaussian processes: what PB2 and its successors learn about hyperparameters, and how they choose the next ones.

Formulas without a source are those of Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), chapters
2 and 5. The minimiser is SciPy's, which is imported where it is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from warren.errors import MissingExtra

Array: TypeAlias = NDArray[np.float64]

Smooth: TypeAlias = Callable[[Array], tuple[Array, Array]]
"""A kernel of numbers: gives its value and its slope in s, a squared distance divided by a length scale."""


@dataclass(frozen=True, kw_only=True)
class Points:
    """Where something was measured, or may be.

    Attributes:
        times: When, in [0, 1]. Shape (n,).
        numbers: What has an order, each in [0, 1]. Shape (n, d), at least one each.
        labels: What has none, as whole numbers. Shape (n, c).
    """

    times: Array
    numbers: Array
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.times)

    def joined(self, other: Points) -> Points:
        """These points and others after them."""
        return Points(
            times=np.concatenate([self.times, other.times]),
            numbers=np.concatenate([self.numbers, other.numbers]),
            labels=np.concatenate([self.labels, other.labels]),
        )


def squared_exponential(s: Array) -> tuple[Array, Array]:
    """``exp(-s)``, the kernel of PB2."""
    value = np.exp(-s)
    return value, -value


def matern(s: Array) -> tuple[Array, Array]:
    """Matern's kernel of order 5/2 at a distance of ``sqrt(s)``, that of BG-PBT."""
    r = np.sqrt(5.0 * s)
    decay = np.exp(-r)
    return (1.0 + r + r * r / 3.0) * decay, -5.0 / 6.0 * (1.0 + r) * decay


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What is fitted of a kernel.

    Attributes:
        variance: Of what is sought, in units of y squared.
        length: The length scale: what a squared distance is divided by.
        forget: How much of a correlation the whole of time takes, as ``(1 - forget)^(|t - t'| / 2)``; from 0 to 0.5.
        noise: Variance of the noise.
    """

    variance: float = 1.0
    length: float = 1.0
    forget: float = 0.1
    noise: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """How alike two points are: ``variance * K * (1 - forget)^(|t - t'| / 2)``.

    K is the kernel N of the numbers where there are no labels. Else it is ``(1 - mix) (N + L) + mix N L``, with the
    share L of labels that are equal (CoCaBO: Ru et al. 2020, arXiv 1906.08878).

    Attributes:
        smooth: The kernel of the numbers.
        mix: Weight of the product beside the sum, from 0 to 1.
        variances: The range in which the variance is fitted.
        lengths: The same for the length scale.
        noises: The same for the noise.
    """

    smooth: Smooth = squared_exponential
    mix: float = 0.5
    variances: tuple[float, float] = (1e-2, 1e2)
    lengths: tuple[float, float] = (1e-3, 1.0)
    noises: tuple[float, float] = (1e-4, 4.0)

    def between(self, a: Points, b: Points, fit: Fit) -> Array:
        """The covariances of points. Shape (len(a), len(b))."""
        numbers, _ = self.smooth(_squared(a, b) / fit.length)
        covariances: Array = fit.variance * _fading(a, b, fit) * self.joint(numbers, _alike(a, b))
        return covariances

    def joint(self, numbers: Array, labels: Array) -> Array:
        """K of the kernels of numbers and labels; there are no labels where the latter is empty."""
        if not labels.size:
            return numbers
        return (1.0 - self.mix) * (numbers + labels) + self.mix * numbers * labels

    def weight(self, labels: Array) -> Array:
        """The slope of `joint` in the kernel of the numbers."""
        return 1.0 - self.mix + self.mix * labels if labels.size else np.ones(1)

    def own(self, points: Points, fit: Fit) -> float:
        """The covariance of any of these points with itself."""
        return fit.variance * (2.0 - self.mix if points.labels.shape[1] else 1.0)


def _squared(a: Points, b: Points) -> Array:
    squared: Array = np.sum((a.numbers[:, None] - b.numbers[None]) ** 2, axis=2)
    return squared


def _apart(a: Points, b: Points) -> Array:
    return np.abs(a.times[:, None] - b.times[None]) / 2.0


def _fading(a: Points, b: Points, fit: Fit) -> Array:
    fading: Array = (1.0 - fit.forget) ** _apart(a, b)
    return fading


def _alike(a: Points, b: Points) -> Array:
    """The share of labels that are equal, shape (len(a), len(b)); empty where there are no labels."""
    if not a.labels.shape[1]:
        return np.empty((0, 0))
    share: Array = np.mean(a.labels[:, None] == b.labels[None], axis=2)
    return share


@dataclass(frozen=True, kw_only=True)
class Process:
    """A Gaussian process of mean 0 that has seen points; `seen` makes it.

    Attributes:
        kernel: How alike points are.
        fit: With what.
        points: What was seen.
        y: What was measured there. Shape (n,).
        inverse: Of their covariance with noise. Shape (n, n).
    """

    kernel: Kernel
    fit: Fit
    points: Points
    y: Array
    inverse: Array

    def mean(self, at: Points) -> Array:
        """What is expected. Shape (len(at),)."""
        mean: Array = self.kernel.between(at, self.points, self.fit) @ (self.inverse @ self.y)
        return mean

    def deviation(self, at: Points) -> Array:
        """Its standard deviation, without noise. Shape (len(at),)."""
        across = self.kernel.between(at, self.points, self.fit)
        explained = np.sum((across @ self.inverse) * across, axis=1)
        deviation: Array = np.sqrt(np.maximum(self.kernel.own(at, self.fit) - explained, 0.0))
        return deviation

    def pending(self, at: Points) -> Process:
        """The same, with points at which measuring has begun: it expects what it did, and is surer there.

        What counts as their y is the mean that is expected, so that no mean changes. The deviation takes no y.
        """
        if not len(at):
            return self
        return seen(self.kernel, self.fit, self.points.joined(at), np.concatenate([self.y, self.mean(at)]))

    def upper(self, at: Points, confidence: float) -> tuple[float, Array]:
        """The upper confidence bound at one point, ``mean + confidence * deviation``, and its slope in the numbers."""
        numbers, slope = self.kernel.smooth(_squared(at, self.points)[0] / self.fit.length)
        labels = _alike(at, self.points)
        labels = labels[0] if labels.size else labels
        faded = self.fit.variance * _fading(at, self.points, self.fit)[0]
        across = faded * self.kernel.joint(numbers, labels)
        steep = faded * self.kernel.weight(labels) * slope * 2.0 / self.fit.length
        slopes = steep[:, None] * (at.numbers - self.points.numbers)
        explained = self.inverse @ across
        deviation = math.sqrt(max(self.kernel.own(at, self.fit) - float(across @ explained), 1e-12))
        rise = slopes.T @ (self.inverse @ self.y - confidence / deviation * explained)
        return float(explained @ self.y) + confidence * deviation, rise


def seen(kernel: Kernel, fit: Fit, points: Points, y: Array) -> Process:
    """A Gaussian process that has seen points.

    Args:
        kernel: How alike points are.
        fit: With what.
        points: What was seen, one at least.
        y: What was measured there. Shape (len(points),).
    """
    covariance = kernel.between(points, points, fit) + fit.noise * np.eye(len(points))
    inverse = np.asarray(np.linalg.inv(covariance), dtype=np.float64)
    return Process(kernel=kernel, fit=fit, points=points, y=y, inverse=inverse)


def fitted(kernel: Kernel, points: Points, y: Array, rng: np.random.Generator, *, restarts: int = 2) -> Process:
    """A Gaussian process with the `Fit` of the greatest likelihood that was found.

    Args:
        kernel: How alike points are.
        points: What was seen, one at least.
        y: What was measured there. Shape (len(points),).
        rng: Draws where the search begins, but for the first time.
        restarts: How often it begins.

    Raises:
        MissingExtra: SciPy is not installed.
    """
    squared, apart, labels = _squared(points, points), _apart(points, points), _alike(points, points)
    eye = np.eye(len(points))

    def cost(at: Array) -> tuple[float, Array]:
        fit = _fit(at)
        numbers, slope = kernel.smooth(squared / fit.length)
        faded = fit.variance * (1.0 - fit.forget) ** apart
        signal = faded * kernel.joint(numbers, labels)
        try:
            root = np.linalg.cholesky(signal + fit.noise * eye)
        except np.linalg.LinAlgError:
            return math.inf, np.zeros(4)
        inverse = np.linalg.inv(signal + fit.noise * eye)
        weights = inverse @ y
        slopes = (
            signal,
            faded * kernel.weight(labels) * slope * -squared / fit.length,
            signal * -apart / (1.0 - fit.forget),
            fit.noise * eye,
        )
        pull = inverse - np.outer(weights, weights)
        value = 0.5 * float(y @ weights) + float(np.sum(np.log(np.diag(root)))) + 0.5 * len(y) * math.log(2 * math.pi)
        return value, np.array([0.5 * float(np.sum(pull * one)) for one in slopes])

    logs = [(math.log(low), math.log(high)) for low, high in (kernel.variances, kernel.lengths, kernel.noises)]
    bounds = [logs[0], logs[1], (0.0, 0.5), logs[2]]
    low, high = np.array(bounds).T
    first = Fit()
    begin = np.array([math.log(first.variance), math.log(first.length), first.forget, math.log(first.noise)])
    starts = [np.clip(begin, low, high), *rng.uniform(low, high, (restarts - 1, 4))]
    best, _ = descended(cost, starts, bounds)
    return seen(kernel, _fit(best), points, y)


def _fit(at: Array) -> Fit:
    variance, length, noise = np.exp(at[[0, 1, 3]]).tolist()
    return Fit(variance=variance, length=length, forget=float(at[2]), noise=noise)


def descended(
    cost: Callable[[Array], tuple[float, Array]], starts: Iterable[Array], bounds: list[tuple[float, float]]
) -> tuple[Array, float]:
    """The lowest point that L-BFGS-B finds within bounds, from several starts.

    Args:
        cost: Gives the value and the slope at a point. Shapes (), (k,).
        starts: Where to begin, within the bounds, one at least. Shape (k,) each.
        bounds: Lowest and highest value of each coordinate.

    Returns:
        The point and its cost; the first of those equally low.

    Raises:
        MissingExtra: SciPy is not installed.
    """
    minimise = minimiser()
    ends = [minimise(cost, start, jac=True, bounds=bounds, method="L-BFGS-B") for start in starts]
    best = min(ends, key=lambda end: float(end.fun))
    low, high = np.array(bounds, dtype=np.float64).T
    return np.clip(best.x, low, high), float(best.fun)


def minimiser() -> Any:
    """SciPy's `minimize`.

    Raises:
        MissingExtra: SciPy is not installed.
    """
    try:
        from scipy.optimize import minimize
    except ImportError:
        raise MissingExtra('Gaussian processes are fitted with SciPy: pip install "warren[gp]"') from None
    return minimize


def standardised(y: Array, limit: float = 2.0) -> Array:
    """y with mean 0 and deviation 1, then clipped to +- `limit`, as in PB2; zeros where all are equal. Shape (n,)."""
    unit = float(np.abs(y).max()) or 1.0  # squares of great numbers are beyond a float
    shares = y / unit
    deviation = float(shares.std())
    if deviation <= 1e-12:
        return np.zeros(len(y))
    clipped: Array = np.clip((shares - shares.mean()) / deviation, -limit, limit)
    return clipped


def quantiles(y: Array) -> Array:
    """y as normal quantiles of ``rank / (n + 1)``, where ties have the highest rank, as in BG-PBT. Shape (n,)."""
    ranks = np.searchsorted(np.sort(y), y, side="right")
    return np.array([NormalDist().inv_cdf(rank / (len(y) + 1)) for rank in ranks.tolist()])
