"""What members are compared by: windows and smoothing over a member's present history."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from warren.errors import InvalidType, InvalidValue
from warren.strategies import LastScore, Smoothed, Truncation, Window, compose
from warren.testing.strategies import Population, StrategyContract


def fitness_of(population: Population, rule: Any, member: int = 0) -> float:
    view = population.view(0)
    return float(rule(view)[view.facts.place[member]])


def test_the_mean_and_the_best_of_the_last_scores() -> None:
    population = Population([[1.0, 2.0, 6.0]])
    assert fitness_of(population, Window(last=2)) == 4.0  # (2 + 6) / 2
    assert fitness_of(population, Window(last=3)) == pytest.approx(3.0, abs=1e-15)  # (1 + 2 + 6) / 3
    assert fitness_of(population, Window(last=9)) == pytest.approx(3.0, abs=1e-15)
    assert fitness_of(population, Window(last=1)) == 6.0
    assert fitness_of(Population([[1.0, 9.0, 6.0]]), Window(last=3, over="best")) == 9.0
    assert fitness_of(Population([[9.0, 1.0, 6.0]]), Window(last=2, over="best")) == 6.0


def test_smaller_is_better_where_the_goal_says_so() -> None:
    population = Population([[3.0, 1.0]], goal="min")
    assert fitness_of(population, Window()) == -2.0
    assert fitness_of(population, Window(over="best")) == -1.0
    assert fitness_of(population, Smoothed(weight=0.5)) == -2.0


def test_smoothing_begins_with_the_first_score() -> None:
    # 1; then 0.5 * 1 + 0.5 * 3 = 2; then 0.5 * 2 + 0.5 * 7 = 4.5
    assert fitness_of(Population([[1.0, 3.0, 7.0]]), Smoothed(weight=0.5)) == 4.5
    # 1; then 0.75 * 1 + 0.25 * 5 = 2
    assert fitness_of(Population([[1.0, 5.0]]), Smoothed(weight=0.25)) == 2.0
    assert fitness_of(Population([[1.0, 5.0]]), Smoothed(weight=1.0)) == 5.0


@pytest.mark.parametrize("origin", ["exploit", "rescue", "fallback", "fresh"])
@pytest.mark.parametrize("rule", [Window(), Smoothed(weight=0.5)])
def test_scores_of_another_state_do_not_count(rule: Any, origin: str) -> None:
    """The interval after the copy is the first of the present history: 1 and 3, and not 100."""
    population = Population([[100.0, 1.0, 3.0]], fields={(0, 2): {"origin": origin}})
    assert fitness_of(population, rule) == 2.0


@pytest.mark.parametrize("rule", [Window(), Smoothed(weight=0.5)])
def test_what_was_before_a_divergence_does_not_count(rule: Any) -> None:
    assert fitness_of(Population([[100.0, math.nan, 3.0]]), rule) == 3.0
    assert fitness_of(Population([[100.0, math.nan], [1.0, 2.0]]), rule) == -math.inf


@pytest.mark.parametrize("rule", [Window(), Smoothed(weight=0.5)])
def test_scores_that_are_still_to_come_are_passed_over(rule: Any) -> None:
    assert fitness_of(Population([[1.0, None, 3.0]]), rule) == 2.0
    # A member that has copied and has no score since is still judged by what it was.
    copied = Population([[1.0, 3.0, None]], fields={(0, 3): {"origin": "exploit"}})
    assert fitness_of(copied, rule) == 2.0


def test_only_reports_up_to_the_deciders_interval_count() -> None:
    population = Population([[1.0, 1.0], [2.0, 4.0, 600.0]])
    assert fitness_of(population, Window(), member=1) == 3.0


def test_great_scores_have_a_mean() -> None:
    assert fitness_of(Population([[1e308, 1e308, 1e308]]), Window()) == pytest.approx(1e308)


def test_it_is_found_once_for_all_who_decide() -> None:
    population = Population([[1.0, 2.0], [3.0, 4.0]])
    assert Window()(population.view(0)) is Window()(population.view(1))
    assert Window(last=1)(population.view(0)) is not Window(last=2)(population.view(0))
    assert np.array_equal(Window(last=1)(population.view(0)), LastScore()(population.view(0)))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Window(last=0), "Window: last must be at least 1, but got 0"),
        (lambda: Window(last=2.5), "Window: last must be a whole number"),  # type: ignore[arg-type]
        (lambda: Window(over="median"), "over='median' must be 'mean' or 'best'"),  # type: ignore[arg-type]
        (lambda: Smoothed(weight=0.0), "Smoothed: weight must lie above 0"),
        (lambda: Smoothed(weight=1.5), "Smoothed: weight must lie above 0"),
    ],
)
def test_what_has_no_meaning_is_refused(make: Any, said: str) -> None:
    with pytest.raises((InvalidValue, InvalidType), match=said):
        make()


class TestWithAWindow(StrategyContract):
    @pytest.fixture(params=[Window(), Window(last=2, over="best"), Smoothed()])
    def strategy(self, request: Any) -> Any:
        return compose(fitness=request.param, exploit=Truncation(fraction=0.5))
