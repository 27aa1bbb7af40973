"""The statistics against published tables, hand-worked examples and SciPy, which none of them uses."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from warren.comparison import statistics
from warren.errors import InvalidValue


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("p", "df", "printed"),
    [
        (0.975, 1, 12.706), (0.975, 2, 4.303), (0.975, 3, 3.182), (0.975, 4, 2.776), (0.975, 9, 2.262),
        (0.975, 19, 2.093), (0.975, 30, 2.042), (0.95, 5, 2.015), (0.995, 9, 3.250), (0.9, 12, 1.356),
    ],
)  # fmt: skip
def test_t_quantiles_are_those_of_the_printed_tables(p: float, df: int, printed: float) -> None:
    """Student's table as every textbook has it, to its three digits."""
    assert statistics.t_quantile(p, df) == pytest.approx(printed, abs=5e-4)
    assert statistics.t_quantile(1 - p, df) == pytest.approx(-printed, abs=5e-4)


@pytest.mark.parametrize("df", [1, 2, 7, 10, 99, 400])
def test_t_quantiles_to_all_digits(df: int) -> None:
    for p in (0.0005, 0.2, 0.5, 0.8, 0.975, 0.9999):
        assert statistics.t_quantile(p, df) == pytest.approx(float(stats.t.ppf(p, df)), rel=1e-9, abs=1e-12)


def test_the_t_interval_by_hand() -> None:
    """1, 2, 3, 4: mean 2.5, s = sqrt(5/3) = 1.290994, s / 2 = 0.645497, t(0.975, 3) = 3.182446: 2.5 +- 2.054260."""
    low, high = statistics.t_interval([1, 2, 3, 4])
    assert (low, high) == pytest.approx((0.445740, 4.554260), abs=2e-6)


def test_intervals_change_their_kind_at_twenty() -> None:
    """Below 20 numbers Student's, from 20 the bootstrap, which is not symmetric for skewed numbers."""
    few, many = np.arange(19.0) ** 3, np.arange(20.0) ** 3
    assert statistics.mean_interval(few, _rng()) == statistics.t_interval(few)
    low, high = statistics.mean_interval(many, _rng())
    assert (low, high) == statistics.bootstrap_interval(many, _rng())
    assert high - many.mean() > 1.1 * (many.mean() - low)


@pytest.mark.parametrize("seed", range(3))
def test_the_bootstrap_interval_is_expanded(seed: int) -> None:
    """n = 20: sqrt(20 / 19) x 2.093024 = 2.147395, below which 1.588 % of a normal distribution lie, not 2.5 %."""
    values = _rng(seed).exponential(size=20)
    mine = statistics.bootstrap_interval(values, _rng(1))
    means = values[_rng(1).integers(20, size=(10_000, 20))].mean(axis=1)
    assert mine == pytest.approx(np.quantile(means, [0.0158814, 1 - 0.0158814]), rel=1e-4)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", confidence_level=1 - 2 * 0.0158814, rng=_rng(2)
    ).confidence_interval  # fmt: skip
    assert mine == pytest.approx((theirs.low, theirs.high), abs=0.03 * (theirs.high - theirs.low))


def test_equal_differences_have_an_interval_without_width() -> None:
    assert statistics.t_interval([2.0] * 12) == (2.0, 2.0)
    assert statistics.bootstrap_interval([0.0] * 25, _rng()) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        # 1 + 2 + 3 = 6; of eight sums two (6 and -6) are as far from 0
        ([1, 2, 3], 2 / 8),
        # 3 + 1 - 1 = 3; sums: 5, 3, 3, 1, -1, -3, -3, -5: six are as far
        ([3, 1, -1], 6 / 8),
        # the sum is 0, and every sum is as far
        ([1, 2, -3], 1.0),
        ([0, 0, 0, 0], 1.0),
        # ten of one sign: two of 1024
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 2 / 1024),
        # ten, the smallest of the other sign: sums 55 and 53, and their negatives: four of 1024
        ([-1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 4 / 1024),
        # the order of adding must not matter: 0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 are not the same float
        ([0.1, 0.2, 0.3, -0.3], 12 / 16),
    ],
)
def test_sign_flips_counted_by_hand(differences: list[float], p: float) -> None:
    assert statistics.sign_flip_test(differences, _rng()) == p


def test_many_sign_flips_are_drawn() -> None:
    """25 differences: near the normal approximation, which is sum / sqrt(sum of squares) = 10 / 5 = 2: p = 0.0455."""
    differences = np.array([1.0] * 17 + [-1.0] * 8) + 0.04
    z = differences.sum() / math.sqrt((differences**2).sum())
    assert statistics.sign_flip_test(differences, _rng()) == pytest.approx(math.erfc(z / math.sqrt(2)), abs=0.02)
    assert statistics.sign_flip_test(differences, _rng()) == statistics.sign_flip_test(differences, _rng())
    assert statistics.sign_flip_test(np.ones(40), _rng()) == 1 / 100_001


def test_drawn_sign_flips_are_exact_flips_drawn() -> None:
    """Against the count of all 2^22 by the binomial: 22 ones, 6 of them negative: P(at most 6 or at least 16)."""
    exact = 2 * sum(math.comb(22, k) for k in range(7)) / 2**22
    drawn = statistics.sign_flip_test([1.0] * 16 + [-1.0] * 6, _rng())
    assert drawn == pytest.approx(exact, abs=0.003)


def test_holm_by_hand() -> None:
    """0.01, 0.04, 0.03: sorted 0.01 x 3, 0.03 x 2, 0.04 x 1: 0.03, 0.06, and 0.04 may not be below 0.06."""
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.6, 0.5]) == [1.0, 1.0]
    assert statistics.holm([0.02]) == [0.02]
    assert statistics.holm([]) == []


def test_the_smallest_effect_by_hand() -> None:
    """s = 1, n = 10: (2.262157 + 0.883404) / sqrt(10) = 0.994714."""
    values = np.array([-1.0, 1.0] * 5) * math.sqrt(0.9)
    assert values.std(ddof=1) == pytest.approx(1.0)
    assert statistics.detectable(values) == pytest.approx(0.994714, abs=1e-5)


def test_an_effect_of_that_size_is_seen_four_times_in_five() -> None:
    """With the spread known: 4000 samples of 10 of mean 3.1456 / sqrt(10), to within 3 %."""
    rng = _rng(7)
    samples = rng.normal(0.994714, 1.0, size=(4000, 10))
    seen = np.mean([statistics.t_interval(one)[0] > 0 for one in samples])
    assert 0.77 < seen < 0.83


def test_losses_that_exploded_have_statistics_of_their_size() -> None:
    """Their squares are beyond a float: all lengths are 1e200 times, and shares the same."""
    differences = np.array([1.0, -2.0, 4.0, 3.0, 0.5, 1.5])
    low, high = statistics.t_interval(differences)
    assert statistics.t_interval(1e200 * differences) == pytest.approx((1e200 * low, 1e200 * high))
    assert statistics.detectable(1e200 * differences) == pytest.approx(1e200 * statistics.detectable(differences))
    one, other = (statistics.sign_flip_test(unit * differences, _rng()) for unit in (1.0, 1e307))
    sums = [np.dot(signs, differences) for signs in itertools.product((-1, 1), repeat=6)]
    assert one == other == np.mean(np.abs(sums) >= 8.0)


def test_probability_of_improvement_by_hand() -> None:
    """(1, 3) against (2, 3): 1 > neither; 3 > 2, 3 = 3 counts half: 1.5 of 4."""
    assert statistics.probability_of_improvement([1, 3], [2, 3]) == 0.375
    assert statistics.probability_of_improvement([1, 1], [1]) == 0.5


def test_the_interquartile_mean_by_hand() -> None:
    """Of ten, two at both ends go: (2 + 3 + 4 + 5 + 6 + 7) / 6 = 4.5; of three none goes."""
    assert statistics.interquartile_mean([1000, 1, 2, 3, 4, 5, 6, 7, 8, -50]) == 4.5
    assert statistics.interquartile_mean([1, 2, 6]) == 3.0
    values = _rng().normal(size=17)
    assert statistics.interquartile_mean(values) == pytest.approx(float(stats.trim_mean(values, 0.25)))


def test_the_profile_by_hand() -> None:
    """Of 1, 2, 2, 4: above 0 all, above 2 one, above 4 none."""
    assert statistics.profile([1, 2, 2, 4], [0, 1, 2, 3, 4]).tolist() == [1.0, 0.75, 0.25, 0.25, 0.0]


@pytest.mark.parametrize("count", [10, 25])
def test_intervals_leave_out_nothing_in_about_one_of_twenty(count: int) -> None:
    """Normal differences without an effect: 5 % of 1000 are 50, of deviation 6.9."""
    rng = _rng(count)
    wrong = 0
    for _ in range(1000):
        low, high = statistics.mean_interval(rng.normal(size=count), rng)
        wrong += low > 0 or high < 0
    assert 25 < wrong < 75


@pytest.mark.parametrize("values", [[], [math.nan, 1.0], [[1.0, 2.0]], [math.inf, 0.0]])
def test_what_is_no_sample_is_refused(values: list[float]) -> None:
    with pytest.raises(InvalidValue, match="finite numbers"):
        statistics.t_interval(values)
    with pytest.raises(InvalidValue, match="0 < p < 1"):
        statistics.t_quantile(1.0, 5)
