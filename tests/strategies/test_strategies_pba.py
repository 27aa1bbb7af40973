"""PBA: how far a hyperparameter on a grid moves, and how often."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from warren.errors import InvalidType, InvalidValue
from warren.space import Choice, Dimension, Float, Int, Space
from warren.strategies import PBA, Grid
from warren.testing.strategies import Population, StrategyContract, assigned, keys_of

SEEDS = 4000


def moved(rule: Grid, dimension: Dimension, value: Any, seeds: int = SEEDS) -> Counter[Any]:
    """How often a value becomes which."""
    view = Population([[1.0]], space=Space({"h": dimension})).view(0)
    return Counter(rule(view, {"h": value}, keys_of(view, seed))["h"] for seed in range(seeds))


def test_a_whole_number_moves_by_up_to_three() -> None:
    """No step in 1 of 4; 1, 2 or 3 in 1 of 4 each, half of them down."""
    found = moved(Grid(resample=0.0), Int(0, 10), 5)
    assert set(found) == {2, 3, 4, 5, 6, 7, 8}
    for value, share in {2: 1 / 8, 3: 1 / 8, 4: 1 / 8, 5: 1 / 4, 6: 1 / 8, 7: 1 / 8, 8: 1 / 8}.items():
        assert abs(found[value] / SEEDS - share) < 0.03  # four deviations of 0.007 at most


def test_a_move_past_the_end_stops_there() -> None:
    """At 0: no step, 1/4, or a step down, 3/8. At 9 of 9 likewise."""
    for end, inside in ((0, {1, 2, 3}), (9, {6, 7, 8})):
        found = moved(Grid(resample=0.0), Int(0, 9), end)
        assert set(found) == {end, *inside}
        assert abs(found[end] / SEEDS - 5 / 8) < 0.035


def test_a_fifth_is_drawn_again() -> None:
    """From 0 of 0 to 10, only a draw leads past 3: 7 of 11 values, times 0.2."""
    found = moved(Grid(), Int(0, 10), 0)
    beyond = sum(count for value, count in found.items() if value > 3) / SEEDS
    assert abs(beyond - 0.2 * 7 / 11) < 0.022  # four deviations of 0.0053
    assert set(moved(Grid(resample=1.0), Int(0, 10), 0)) == set(range(11))


def test_the_number_of_steps_can_be_set() -> None:
    assert set(moved(Grid(resample=0.0, steps=1), Int(0, 10), 5, 200)) == {4, 5, 6}


def test_a_step_of_a_whole_number_is_one_whatever_its_range() -> None:
    assert set(moved(Grid(resample=0.0, steps=1), Int(-100, 400), 7, 200)) == {6, 7, 8}


def test_other_numbers_move_by_levels_of_their_scale() -> None:
    tenths = {round(value, 9) for value in moved(Grid(resample=0.0), Float(0.0, 1.0), 0.5, 300)}
    assert tenths == {0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8}
    decades = {round(value, 9) for value in moved(Grid(resample=0.0, steps=1, levels=3), Float(1e-3, 1.0, "log"), 0.1)}
    assert decades == {0.01, 0.1, 1.0}
    assert set(moved(Grid(resample=0.0, steps=1, levels=9), Int(1, 512, "log"), 8, 200)) == {4, 8, 16}


def test_choices() -> None:
    assert set(moved(Grid(resample=0.0, steps=1), Choice((1, 2, 4, 8), ordered=True), 4, 200)) == {2, 4, 8}
    assert set(moved(Grid(resample=0.0), Choice(("a", "b")), "a", 200)) == {"a"}
    assert set(moved(Grid(resample=0.5), Choice(("a", "b")), "a", 200)) == {"a", "b"}


@pytest.mark.parametrize("dimension", [Int(3, 3), Float(3.0, 3.0), Choice((3,), ordered=True)])
def test_what_has_one_value_keeps_it(dimension: Dimension) -> None:
    assert set(moved(Grid(), dimension, 3, 50)) == {3}


def test_the_worst_quarter_copies_from_the_best() -> None:
    """Of eight, the two worst copy one of the two best."""
    population = Population([[1.0, float(member)] for member in range(8)])
    for seed in range(10):
        for member in range(8):
            view = population.view(member)
            action = assigned(PBA().decide(view, keys_of(view, seed)), member)
            assert (action is not None) == (member < 2)
            assert action is None or action.sources in (("6@2",), ("7@2",))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Grid(resample=1.1), "Grid: resample must lie"),
        (lambda: Grid(steps=0), "Grid: steps must be at least 1, but got 0"),
        (lambda: Grid(levels=2.0), "Grid: levels must be a whole number"),  # type: ignore[arg-type]
        (lambda: PBA(fraction=0.6), "fraction must lie in"),
    ],
)
def test_what_has_no_meaning_is_refused(make: Any, said: str) -> None:
    with pytest.raises((InvalidValue, InvalidType), match=said):
        make()


class TestPBA(StrategyContract):
    @pytest.fixture(params=[PBA(), PBA(fraction=0.5, explore=Grid(resample=0.0, steps=20, levels=7), warmup=0)])
    def strategy(self, request: Any) -> Any:
        return request.param
