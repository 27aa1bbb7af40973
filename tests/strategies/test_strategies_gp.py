from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from warren.errors import MissingExtra
from warren.population import Keys
from warren.strategies.bgpbt import BGPBT
from warren.strategies.gp import (
    Fit,
    Kernel,
    Points,
    descended,
    fitted,
    matern,
    quantiles,
    seen,
    squared_exponential,
    standardised,
)
from warren.strategies.pb2 import PB2
from warren.strategies.pb2_mix import PB2Mix
from warren.testing.strategies import SPACE


def points(numbers: Any, times: Any = None, labels: Any = None) -> Points:
    """Points of given numbers, at time 0 and without labels unless said."""
    count = len(numbers)
    return Points(
        times=np.zeros(count) if times is None else np.array(times, dtype=np.float64),
        numbers=np.array(numbers, dtype=np.float64),
        labels=np.empty((count, 0), dtype=np.int64) if labels is None else np.array(labels),
    )


# -- kernels ------------------------------------------------------------------------------------------------------


def test_the_kernel_of_pb2_by_hand() -> None:
    """v exp(-d^2 / l) (1 - e)^(|t - t'| / 2) = 2 exp(-0.25 / 0.5) * 0.81^(1/2) = 2 * 0.6065307 * 0.9 = 1.0917552."""
    fit = Fit(variance=2.0, length=0.5, forget=0.19)
    between = Kernel().between(points([[0.0]], times=[0.0]), points([[0.5], [0.0]], times=[1.0, 0.0]), fit)
    assert between[0, 0] == pytest.approx(1.0917552, abs=1e-7)
    assert between[0, 1] == 2.0


def test_distances_are_over_all_numbers() -> None:
    """(0.3, 0.4) is 0.25 from the origin, squared: exp(-0.25) = 0.7788008."""
    between = Kernel().between(points([[0.0, 0.0]]), points([[0.3, 0.4]]), Fit(length=1.0))
    assert between[0, 0] == pytest.approx(0.7788008, abs=1e-7)


def test_matern_by_hand() -> None:
    """At r = sqrt(5 s) = 1: (1 + 1 + 1/3) / e = 0.8583853; at 0 it is 1."""
    value, _ = matern(np.array([0.0, 0.2]))
    assert value == pytest.approx([1.0, 0.8583853], abs=1e-7)


@pytest.mark.parametrize("smooth", [squared_exponential, matern])
def test_slopes_of_the_kernels(smooth: Any) -> None:
    """Against differences."""
    s = np.array([0.05, 0.5, 3.0])
    numeric = (smooth(s + 1e-6)[0] - smooth(s - 1e-6)[0]) / 2e-6
    assert smooth(s)[1] == pytest.approx(numeric, rel=1e-6)


def test_the_mixed_kernel_by_hand() -> None:
    """Numbers alike (1), one label of two (1/2): 0.5 (1 + 1/2) + 0.5 (1 * 1/2) = 1; with itself 0.5 * 2 + 0.5."""
    one, other = points([[0.3]], labels=[[0, 1]]), points([[0.3]], labels=[[0, 2]])
    assert Kernel().between(one, other, Fit())[0, 0] == pytest.approx(1.0)
    assert Kernel().between(one, one, Fit())[0, 0] == pytest.approx(1.5)
    assert Kernel().own(one, Fit(variance=2.0)) == pytest.approx(3.0)
    assert Kernel(mix=1.0).between(one, other, Fit())[0, 0] == pytest.approx(0.5), "the product alone"
    assert Kernel(mix=0.0).between(one, other, Fit())[0, 0] == pytest.approx(1.5), "the sum alone"


# -- what is expected ---------------------------------------------------------------------------------------------


def test_the_posterior_of_two_points_by_hand() -> None:
    """K = [[1.1, a], [a, 1.1]] with a = exp(-1), and k = (b, b) with b = exp(-1/4) in the middle.

    The rows of K's inverse each add up to 1 / (1.1 + a), so the mean for y = (1, 0) is b / (1.1 + a), and the variance
    1 - 2 b^2 / (1.1 + a).
    """
    known = seen(Kernel(), Fit(forget=0.0, noise=0.1), points([[0.0], [1.0]]), np.array([1.0, 0.0]))
    a, b = math.exp(-1.0), math.exp(-0.25)
    middle = points([[0.5]])
    assert known.mean(middle)[0] == pytest.approx(b / (1.1 + a), rel=1e-12)
    assert known.deviation(middle)[0] == pytest.approx(math.sqrt(1.0 - 2.0 * b * b / (1.1 + a)), rel=1e-12)
    bound, _ = known.upper(middle, 2.0)
    assert bound == pytest.approx(b / (1.1 + a) + 2.0 * math.sqrt(1.0 - 2.0 * b * b / (1.1 + a)), rel=1e-9)


def test_the_posterior_of_three_points_against_the_inverse() -> None:
    """K's inverse written out by cofactors, for points with time and labels."""
    at = points([[0.1], [0.4], [0.9]], times=[0.0, 0.5, 1.0], labels=[[0], [1], [0]])
    fit, y = Fit(variance=1.3, length=0.4, forget=0.2, noise=0.05), np.array([0.3, -1.0, 0.7])
    known, new = seen(Kernel(), fit, at, y), points([[0.5]], times=[0.8], labels=[[1]])

    def k(x: float, t: float, c: int, x2: float, t2: float, c2: int) -> float:
        n, same = math.exp(-((x - x2) ** 2) / 0.4), float(c == c2)
        return 1.3 * math.pow(0.8, abs(t - t2) / 2) * (0.5 * (n + same) + 0.5 * n * same)

    rows = [(0.1, 0.0, 0), (0.4, 0.5, 1), (0.9, 1.0, 0)]
    (a, b, c), (_, d, e), (_, _, f) = [[k(*one, *two) + 0.05 * (one == two) for two in rows] for one in rows]
    cofactors = np.array(
        [
            [d * f - e * e, c * e - b * f, b * e - c * d],
            [c * e - b * f, a * f - c * c, b * c - a * e],
            [b * e - c * d, b * c - a * e, a * d - b * b],
        ]
    )
    inverse = cofactors / (a * cofactors[0, 0] + b * cofactors[0, 1] + c * cofactors[0, 2])
    across = np.array([k(0.5, 0.8, 1, *one) for one in rows])
    assert known.mean(new)[0] == pytest.approx(across @ inverse @ y, rel=1e-9)
    own = 1.3 * 1.5
    assert known.deviation(new)[0] == pytest.approx(math.sqrt(own - across @ inverse @ across), rel=1e-9)


def test_a_pending_point_makes_surer_and_expects_the_same() -> None:
    """Where one measurement is known, the variance is 1 - 1/1.1; with another to come there it is 1 - 2/2.1."""
    known = seen(Kernel(), Fit(forget=0.0, noise=0.1), points([[0.5]]), np.array([1.0]))
    here, there = points([[0.5]]), points([[0.8]])
    pending = known.pending(here)
    assert known.deviation(here)[0] == pytest.approx(math.sqrt(1 - 1 / 1.1), rel=1e-9)
    assert pending.deviation(here)[0] == pytest.approx(math.sqrt(1 - 2 / 2.1), rel=1e-9)
    assert pending.mean(there)[0] == pytest.approx(known.mean(there)[0], rel=1e-9)
    assert known.pending(points(np.empty((0, 1)))) is known


@pytest.mark.parametrize("smooth", [squared_exponential, matern])
@pytest.mark.parametrize("labelled", [False, True])
def test_the_slope_of_the_bound(smooth: Any, labelled: bool) -> None:
    """Against differences, in each number."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (6, 2)) if labelled else None
    at = points(rng.uniform(size=(6, 3)), times=rng.uniform(size=6), labels=labels)
    known = seen(Kernel(smooth=smooth), Fit(length=0.3, noise=0.02), at, rng.normal(size=6))
    middle, own = np.array([0.4, 0.5, 0.6]), None if labels is None else [[0, 1]]
    _, rise = known.upper(points([middle], times=[0.5], labels=own), 1.5)
    for axis in range(3):
        step = 1e-6 * np.eye(3)[axis]
        up, _ = known.upper(points([middle + step], times=[0.5], labels=own), 1.5)
        down, _ = known.upper(points([middle - step], times=[0.5], labels=own), 1.5)
        assert rise[axis] == pytest.approx((up - down) / 2e-6, rel=1e-4, abs=1e-6)


# -- what is fitted -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labelled", [False, True])
def test_no_other_fit_is_likelier(labelled: bool) -> None:
    """The likelihood that SciPy gives for the covariance, over a grid of other fits."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, (25, 1)) if labelled else None
    at = points(rng.uniform(size=(25, 2)), times=np.linspace(0, 1, 25), labels=labels)
    y = standardised(np.sin(5 * at.numbers[:, 0]) + at.times + 0.2 * rng.normal(size=25))
    kernel = Kernel()
    found = fitted(kernel, at, y, np.random.default_rng(0))

    def likelihood(fit: Fit) -> float:
        covariance = kernel.between(at, at, fit) + fit.noise * np.eye(25)
        return float(multivariate_normal(np.zeros(25), covariance).logpdf(y))

    best = likelihood(found.fit)
    grid = [
        Fit(variance=v, length=length, forget=e, noise=n)
        for v in (0.1, 0.5, 1.0, 3.0, 10.0)
        for length in (0.01, 0.1, 0.3, 1.0)
        for e in (0.0, 0.25, 0.5)
        for n in (0.001, 0.03, 0.1, 1.0)
    ]
    assert best >= max(likelihood(fit) for fit in grid) - 1e-6
    assert 0 <= found.fit.forget <= 0.5
    nudged = [Fit(**{**vars(found.fit), name: getattr(found.fit, name) * 1.02}) for name in ("variance", "noise")]
    assert best >= max(likelihood(fit) for fit in nudged) - 1e-6


def test_a_fit_stays_in_its_ranges() -> None:
    """Noise alone: the length ends within its bounds, and so does what little signal there is."""
    rng = np.random.default_rng(2)
    kernel = Kernel(lengths=(0.1, 0.2), variances=(0.5, 2.0), noises=(1e-6, 0.1))
    fit = fitted(kernel, points(rng.uniform(size=(12, 1))), rng.normal(size=12), rng).fit
    assert 0.1 - 1e-9 <= fit.length <= 0.2 + 1e-9
    assert 0.5 - 1e-9 <= fit.variance <= 2.0 + 1e-9
    assert fit.noise <= 0.1 + 1e-9


@pytest.mark.parametrize("count", [1, 2])
def test_very_few_points_can_be_fitted(count: int) -> None:
    """Also two at the same place, with y that are all alike."""
    found = fitted(Kernel(), points(np.full((count, 1), 0.5)), np.zeros(count), np.random.default_rng(0))
    assert np.isfinite(found.upper(points([[0.2]]), 1.0)[0])


def test_the_descent_stays_within_bounds() -> None:
    """(x - 2)^2 over [0, 1] is lowest at 1, where it is 1; of several starts the lowest end counts."""
    best, lowest = descended(
        lambda x: (float((x[0] - 2) ** 2), 2 * (x - 2)), [np.array([0.2]), np.array([0.9])], [(0.0, 1.0)]
    )
    assert (best[0], lowest) == (1.0, 1.0)


# -- y ------------------------------------------------------------------------------------------------------------


def test_gains_are_standardised_and_clipped() -> None:
    """Nine 0 and a 10: mean 1, deviation 3, so -1/3 each and 3, which is clipped to 2."""
    y = standardised(np.array([0.0] * 9 + [10.0]))
    assert y == pytest.approx([-1 / 3] * 9 + [2.0])
    assert standardised(np.array([5.0, 5.0])).tolist() == [0.0, 0.0]
    assert standardised(np.array([1e308, -1e308])).tolist() == [1.0, -1.0]


def test_quantiles_by_hand() -> None:
    """Ranks 3 and twice 2, of 4: the normal quantiles of 0.75 and 0.5."""
    assert quantiles(np.array([3.0, 1.0, 1.0])) == pytest.approx([0.67448975, 0.0, 0.0])


# -- without SciPy ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", [PB2(), PB2Mix(), BGPBT()])
def test_without_scipy_a_run_does_not_begin(strategy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy is said before anything is trained."""
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(MissingExtra, match=r'pip install "warren\[gp\]"'):
        strategy.start(SPACE, 2, Keys(seed=0, member=-1, interval=0))
