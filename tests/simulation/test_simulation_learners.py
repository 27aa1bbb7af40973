"""The synthetic learners against numbers that are worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from warren.errors import UnknownName
from warren.population import Keys
from warren.simulation import Hill, Learner, Quadratic, deceptive, noisy, plain, regimes
from warren.simulation.learners import GROUNDS, ground
from warren.training import Rng


def rng(interval: int = 1, purpose: str = "train", seed: int = 0) -> Rng:
    return Rng(Keys(seed=seed, member=0, interval=interval), purpose)


def follow(learner: Learner, schedule: Callable[[int], Mapping[str, float]]) -> float:
    """The true score after a whole run of one member; the schedule is asked for intervals from 0."""
    state = learner.begin(0)
    for i in range(learner.intervals):
        state = learner.train(state, schedule(i), i + 1, rng(i + 1))
    return learner.score(state, learner.intervals, rng()).true


def test_the_plain_slope_ends_where_geometric_decay_does() -> None:
    """A step multiplies theta by 1 - 0.002 (2 - h), a thousand of them.

    h = 0: 0.9 * 0.996^1000 = 0.9 * exp(-4.008021) = 0.016355, squared 2.675e-4: 1.19973.
    h = 1: 0.9 * 0.998^1000 = 0.9 * exp(-2.002003) = 0.121558, squared 0.014776: 1.18522.
    """
    assert follow(plain(), lambda i: {"h": 0.0}) == pytest.approx(1.19973, abs=5e-6)
    assert follow(plain(), lambda i: {"h": 1.0}) == pytest.approx(1.18522, abs=5e-6)


@pytest.mark.parametrize(
    ("h", "expected"),
    [(lambda i: 1 - i / 50, 1.1979), (lambda i: 1e-4, 0.8270), (1.0, 0.9546), (0.75, 1.0964), (0.5, 0.9880)],
)
def test_the_deceptive_slope_punishes_who_leaves_the_descent(
    h: float | Callable[[int], float], expected: float
) -> None:
    """Against a plain loop of floats; the expected ends are published figures of this toy."""
    schedule: Callable[[int], float] = h if callable(h) else lambda i: float(h)  # type: ignore[arg-type]
    theta, strayed = 0.9, 0.0
    for i in range(50):
        strayed += abs(schedule(i) - (1 - i / 50))
        for _ in range(20):
            theta += 0.001 * -2 * max(2 - schedule(i) - 0.2 * strayed, 0) * theta
    assert 1.2 - theta**2 == pytest.approx(expected, abs=5e-5)
    assert follow(deceptive(), lambda i: {"h": schedule(i)}) == pytest.approx(1.2 - theta**2, abs=1e-9)


def test_the_history_of_a_slope_belongs_to_its_state() -> None:
    """Two intervals at h = 0.5: S = |0.5 - 1| + |0.5 - 0.98| = 0.98; who copies the state copies that."""
    learner = deceptive()
    state = learner.begin(0)
    for interval in (1, 2):
        state = learner.train(state, {"h": 0.5}, interval, rng())
    assert float(state["strayed"]) == pytest.approx(0.98)
    assert int(state["age"]) == 2
    # The member's own count of intervals does not matter, only the state's.
    one, other = (learner.train(state, {"h": 0.5}, interval, rng()) for interval in (3, 40))
    assert one["theta"].tolist() == other["theta"].tolist()


def test_the_curve_of_a_slope_has_a_point_for_each_step_and_ends_in_the_score() -> None:
    """The first step of the plain slope at h = 1: 0.9 * 0.998 = 0.8982, 1.2 - 0.80676 = 0.39324."""
    learner = plain()
    measured = learner.score(learner.train(learner.begin(0), {"h": 1.0}, 1, rng()), 1, rng())
    assert measured.curve is not None
    assert len(measured.curve) == 20
    assert measured.curve[0] == pytest.approx(1.2 - 0.8982**2)
    assert measured.curve[-1] == measured.observed == measured.true


def test_the_hill_of_figure_2_ends_where_grid_search_does() -> None:
    """h = (1, 0): theta0 shrinks to 0.9 * 0.98^200 = 0.015832, theta1 stays: 1.2 - 0.000251 - 0.81 = 0.38975.

    h = (1, 1): 1.2 - 2 * 0.000251 = 1.19950.
    """
    assert follow(Hill(), lambda i: {"h0": 1.0, "h1": 0.0}) == pytest.approx(0.38975, abs=5e-6)
    assert follow(Hill(), lambda i: {"h0": 1.0, "h1": 1.0}) == pytest.approx(1.19950, abs=5e-6)
    assert Hill().initial(2, 0) == ({"h0": 1.0, "h1": 0.0}, {"h0": 0.0, "h1": 1.0})
    assert len(Hill().initial(1, 0)) == 1


def test_an_interval_of_a_quadratic_has_the_distribution_of_its_steps() -> None:
    """Mean and variance of 4,000 intervals against as many that are trained step by step.

    The deviation of a mean of 4,000 is 1.6 % of the deviation of one, that of a variance 2.2 %: five of them are left.
    """
    learner = Quadratic(jumps=0, flattest=0.1, dimensions=3, steps=10)
    lr, count = 0.5, 4000
    theta = np.array([2.0, -1.0, 3.0])
    generator = np.random.default_rng(0)
    stepped = np.tile(theta, (count, 1))
    for _ in range(10):
        noise = np.sqrt(learner.curvature) * generator.standard_normal((count, 3))
        stepped -= lr * (learner.curvature * stepped + noise)
    at_once = np.array([learner.train({"theta": theta}, {"lr": lr}, 1, rng(i))["theta"] for i in range(count)])
    deviation = stepped.std(axis=0)
    assert np.all(np.abs(at_once.mean(axis=0) - stepped.mean(axis=0)) < 5 * 0.0224 * deviation)
    assert np.all(np.abs(at_once.std(axis=0) / deviation - 1) < 5 * 0.016)


def test_a_quadratic_has_the_loss_and_the_noise_that_it_names() -> None:
    """At distance 1 along each coordinate the loss is half the sum of the curvatures, here 0.5 (0.1 + 1) = 0.55."""
    learner = Quadratic(jumps=0, dimensions=2)
    seen = [learner.score({"theta": np.ones(2)}, 1, rng(i, "evaluate")) for i in range(2000)]
    assert [one.true for one in seen] == pytest.approx([0.55] * 2000)
    off = np.log([one.observed / 0.55 for one in seen])
    assert abs(off.mean()) < 5 * 0.1 / math.sqrt(2000)
    assert off.std() == pytest.approx(0.1, rel=0.1)


def test_the_optimum_of_regimes_jumps_twice_and_that_of_noisy_stays() -> None:
    """Between intervals 8 and 47, at the same time for all who have the seed; the first centre is 0."""
    moved = set()
    for seed in range(20):
        learner = regimes(seed)
        centres = [tuple(learner.centre(interval)) for interval in range(1, 61)]
        changes = [i + 1 for i in range(1, 60) if centres[i] != centres[i - 1]]
        assert len(changes) == 2
        assert all(8 <= change <= 47 for change in changes)
        assert centres[0] == (0.0,) * 20
        assert [tuple(regimes(seed).centre(interval)) for interval in range(1, 61)] == centres
        moved |= set(changes)
        still = noisy(seed)
        assert all(not still.centre(interval).any() for interval in range(1, 51))
    assert len(moved) > 20
    assert (regimes(0).curvature[0], regimes(0).curvature[-1]) == pytest.approx((0.1, 1.0))
    assert (noisy(0).curvature[0], noisy(0).steps, noisy(0).intervals) == (pytest.approx(0.01), 20, 50)


@pytest.mark.parametrize("name", GROUNDS)
def test_learners_are_pure(name: str) -> None:
    """The same state, hyperparameters and key give the same, and nothing is written to what was given."""
    learner = ground(name).learner(3)
    values = learner.space.sample(np.random.default_rng(0))
    state = learner.begin(1)
    before = {key: value.copy() for key, value in state.items()}
    one, other = (learner.train(state, values, 4, rng(4)) for _ in range(2))
    assert all(np.array_equal(state[key], before[key]) for key in before)
    assert all(np.array_equal(one[key], other[key]) for key in one)
    assert learner.score(one, 4, rng(4, "evaluate")) == learner.score(other, 4, rng(4, "evaluate"))
    for given in learner.initial(4, 0):
        assert learner.space.check(given, field="initial") == given


def test_the_slopes_begin_near_the_top() -> None:
    """Everybody in U(0.9, 1.1), another draw for another seed."""
    first = [given["h"] for given in plain().initial(500, 0)]
    assert 0.9 <= min(first) < 0.91
    assert 1.09 < max(first) <= 1.1
    assert first != [given["h"] for given in plain().initial(500, 1)]


def test_an_unknown_learner_is_named() -> None:
    """With those that there are."""
    with pytest.raises(UnknownName, match="there is no learner 'mnist'; there is hill, plain"):
        ground("mnist")
