"""Pairwise learning: its equations on numbers, and where it keeps its velocity."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import warren
from warren.errors import InvalidValue
from warren.space import Choice, Float, Int, Space
from warren.strategies import PairwisePBT, Tournament
from warren.testing.strategies import Population, StrategyContract, assigned, keys_of

UNIT = Space({"h": Float(0.0, 1.0)})


def learned(
    strategy: PairwisePBT, worse: Any, better: Any, seed: int, *, space: Space = UNIT, velocity: Any = None
) -> tuple[Any, Any]:
    """What a member at `worse` moves to that meets one at `better`, and its tag."""
    population = Population([[0.0], [1.0]], space=space, fields={(1, 1): {"hyperparameters": {"h": better}}})
    tag = None if velocity is None else {"velocity": {"h": velocity}}
    view = population.view(0, hyperparameters={"h": worse}, tag=tag)
    action = assigned(strategy.decide(view, keys_of(view, seed)), 0)
    assert action is not None
    assert (action.via, action.sources) == ("copy", ("1@1",))
    return action.hyperparameters["h"], action.tag


ALWAYS = PairwisePBT(resample=0.0, warmup=0)


def test_the_equation_on_its_own_draws() -> None:
    """v = U1 * 0.3 + U2 * (0.6 - 0.2) and h = 0.2 + v; one draw before them is whether to resample."""
    for seed in range(20):
        view = Population([[0.0], [1.0]], space=UNIT).view(0)
        rng = keys_of(view, seed).generator("learn")
        rng.random()
        u1, u2 = rng.random(2)
        value, tag = learned(ALWAYS, 0.2, 0.6, seed, velocity=0.3)
        assert value == pytest.approx(0.2 + u1 * 0.3 + u2 * 0.4, abs=1e-12)
        assert tag == {"velocity": {"h": pytest.approx(u1 * 0.3 + u2 * 0.4, abs=1e-12)}}


def test_it_moves_half_of_the_way_on_average() -> None:
    """0.2 + 0.4 / 2, with a deviation of 0.4 / sqrt(12) = 0.115; and 0.3 / 2 more with a velocity."""
    still = np.mean([learned(ALWAYS, 0.2, 0.6, seed)[0] for seed in range(800)])
    moving = np.mean([learned(ALWAYS, 0.2, 0.6, seed, velocity=0.3)[0] for seed in range(800)])
    assert still == pytest.approx(0.4, abs=0.02)
    assert moving == pytest.approx(0.55, abs=0.025)


def test_without_a_velocity_it_stays_between_the_two() -> None:
    values = [learned(ALWAYS, 0.6, 0.2, seed)[0] for seed in range(100)]
    assert min(values) >= 0.2 and max(values) <= 0.6
    assert min(values) < 0.25 and max(values) > 0.55


def test_the_ends_of_the_range_hold() -> None:
    values = [learned(ALWAYS, 0.5, 1.0, seed, velocity=1.0)[0] for seed in range(100)]
    assert max(values) == 1.0
    assert sum(value == 1.0 for value in values) > 10


def test_inertia_and_pull() -> None:
    assert learned(PairwisePBT(resample=0.0, warmup=0, pull=0.0), 0.2, 0.6, 3)[0] == pytest.approx(0.2)
    assert learned(PairwisePBT(resample=0.0, warmup=0, inertia=0.0), 0.4, 0.4, 3, velocity=0.5)[0] == pytest.approx(0.4)


def test_on_a_log_scale_the_logarithm_learns() -> None:
    """Between 1e-4 and 1e-2, whose logarithms have the mean -3."""
    space = Space({"h": Float(1e-6, 1.0, scale="log")})
    moved = [math.log10(learned(ALWAYS, 1e-4, 1e-2, seed, space=space)[0]) for seed in range(800)]
    assert np.mean(moved) == pytest.approx(-3.0, abs=0.1)  # four and a half deviations of 2 / sqrt(12 * 800)
    value, tag = learned(ALWAYS, 1e-4, 1e-2, 0, space=space)
    assert tag["velocity"]["h"] == pytest.approx((math.log10(value) + 4) / 6)  # in shares of the range


def test_whole_numbers_learn_and_choices_are_taken_over() -> None:
    whole = [learned(ALWAYS, 0, 10, seed, space=Space({"h": Int(0, 10)}))[0] for seed in range(100)]
    assert set(whole) == set(range(11))
    unordered = Space({"h": Choice(("a", "b", "c"))})
    assert {learned(ALWAYS, "a", "b", seed, space=unordered)[0] for seed in range(30)} == {"b"}
    drawn = PairwisePBT(resample=1.0, warmup=0)
    assert {learned(drawn, "a", "b", seed, space=unordered)[0] for seed in range(30)} == {"a", "b", "c"}
    ordered = Space({"h": Choice((1, 2, 4, 8), ordered=True)})
    assert {learned(ALWAYS, 8, 2, seed, space=ordered)[0] for seed in range(30)} == {1, 4}


def test_what_is_drawn_again_has_no_velocity() -> None:
    found = [learned(PairwisePBT(warmup=0), 0.2, 0.2, seed, velocity=0.0) for seed in range(800)]
    again = [tag for value, tag in found if value != pytest.approx(0.2)]
    assert abs(len(again) / 800 - 0.25) < 0.06  # four deviations of 0.015
    assert all(tag == {"velocity": {"h": 0.0}} for tag in again)


def test_the_velocity_lasts_through_a_run() -> None:
    """It comes back with the member at its next pair, however many intervals it has been kept in between."""

    def begin(seed: int, hyperparameters: dict[str, Any]) -> dict[str, Any]:
        return {"x": np.zeros(1)}

    def train(state: dict[str, Any], hyperparameters: dict[str, Any], rng: Any) -> dict[str, Any]:
        return {"x": state["x"] - (hyperparameters["h"] - 0.7) ** 2}

    def measure(state: dict[str, Any], rng: Any) -> float:
        return float(state["x"][0])

    result = warren.run(
        warren.Task(init=begin, train_interval=train, evaluate=measure),
        space={"h": warren.Float(0.0, 1.0)},
        goal="max",
        population=8,
        intervals=20,
        strategy=PairwisePBT(resample=0.0),
        synchronous=True,
        watch=lambda result: None,
    )
    copies = [row for row in result.intervals if row.origin == "exploit"]
    assert len(copies) > 10
    by_member = {m: [row for row in result.intervals if row.member == m] for m in range(8)}
    for rows in by_member.values():
        tags: list[Any] = [row.tag for row in rows if row.origin == "exploit"]
        assert all(set(tag["velocity"]) == {"h"} for tag in tags)
        for before, after in pairwise(rows):
            if after.origin == "continue":
                assert after.tag == before.tag


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PairwisePBT(resample=-0.1), "PairwisePBT: resample must lie"),
        (lambda: PairwisePBT(inertia=math.nan), "PairwisePBT: inertia must be finite"),
        (lambda: PairwisePBT(pull=-1.0), "PairwisePBT: pull must be finite and at least 0"),
    ],
)
def test_what_has_no_meaning_is_refused(make: Any, said: str) -> None:
    with pytest.raises(InvalidValue, match=said):
        make()


class TestPairwisePBT(StrategyContract):
    @pytest.fixture(params=[PairwisePBT(), PairwisePBT(pair=Tournament(), resample=0.0, inertia=5.0, warmup=0)])
    def strategy(self, request: Any) -> Any:
        return request.param
