"""Generalised PBT: the fitter of two is continued, and every new trial explores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import warren
from warren.errors import InvalidValue
from warren.space import Float, Space
from warren.strategies import GeneralisedPBT, Perturb
from warren.testing.strategies import Population, StrategyContract, assigned, keys_of

SPACE = Space({"h": Float(1e-6, 1.0, scale="log")})
DOUBLE = GeneralisedPBT(explore=Perturb(factors=(2.0,)))


def test_the_loser_continues_the_winner_and_both_explore() -> None:
    """From the first trial on: the one with 1 copies the other and doubles its h; that one doubles its own."""
    fields = {(member, 1): {"hyperparameters": {"h": h}} for member, h in ((0, 0.01), (1, 0.1))}
    population = Population([[1.0], [2.0]], space=SPACE, fields=fields)
    loser = population.view(0, hyperparameters={"h": 0.01})
    action = assigned(DOUBLE.decide(loser, keys_of(loser)), 0)
    assert action is not None
    assert (action.via, action.sources, action.hyperparameters) == ("copy", ("1@1",), {"h": pytest.approx(0.2)})
    winner = population.view(1, hyperparameters={"h": 0.1})
    action = assigned(DOUBLE.decide(winner, keys_of(winner)), 1)
    assert action is not None
    assert (action.via, action.sources, action.hyperparameters) == ("keep", (), {"h": pytest.approx(0.2)})


def test_everybody_is_challenged_alike() -> None:
    """The worst of five loses to each of the others, about a quarter of the time to each."""
    population = Population([[float(member)] for member in range(5)], space=SPACE)
    met: dict[str, int] = {}
    for seed in range(800):
        view = population.view(0)
        action = assigned(DOUBLE.decide(view, keys_of(view, seed)), 0)
        assert action is not None
        met[action.sources[0]] = met.get(action.sources[0], 0) + 1
    assert set(met) == {"1@1", "2@1", "3@1", "4@1"}
    assert all(abs(count - 200) < 50 for count in met.values())  # four deviations of 12.2


def test_alone_it_explores() -> None:
    view = Population([[1.0]], space=SPACE).view(0, hyperparameters={"h": 0.1})
    action = assigned(DOUBLE.decide(view, keys_of(view)), 0)
    assert action is not None and action.hyperparameters == {"h": pytest.approx(0.2)}


def test_a_population_larger_than_its_workers_trains_in_generations() -> None:
    """One worker, six members: nobody begins a second trial before all have ended the first."""

    def begin(seed: int, hyperparameters: dict[str, Any]) -> dict[str, Any]:
        return {"x": np.zeros(1)}

    def train(state: dict[str, Any], hyperparameters: dict[str, Any], rng: Any) -> dict[str, Any]:
        return {"x": state["x"] + hyperparameters["h"]}

    def measure(state: dict[str, Any], rng: Any) -> float:
        return float(state["x"][0])

    result = warren.run(
        warren.Task(init=begin, train_interval=train, evaluate=measure),
        space={"h": warren.Float(0.0, 1.0)},
        goal="max",
        population=6,
        intervals=4,
        strategy=GeneralisedPBT(),
        workers=1,
        watch=lambda result: None,
    )
    in_order = [row.interval for row in sorted(result.intervals, key=lambda row: row.id)]
    assert in_order == sorted(in_order)


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(InvalidValue, match="every must be at least 1"):
        GeneralisedPBT(every=0)


class TestGeneralisedPBT(StrategyContract):
    @pytest.fixture(params=[GeneralisedPBT(), GeneralisedPBT(explore=Perturb(resample=1.0), every=2)])
    def strategy(self, request: Any) -> Any:
        return request.param
