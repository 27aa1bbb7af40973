"""A user's own explore: a plain function, what it sees, and what becomes of its illegal answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import warren
from warren.errors import InvalidType, InvalidValue, UnknownName, WarrenError
from warren.population import Keys, View
from warren.space import Float, Int, Space
from warren.strategies import PBT, Tournament, compose
from warren.testing.strategies import Population, StrategyContract, assigned, keys_of

SPACE = Space({"lr": Float(0.0, 1.0), "layers": Int(1, 4, rebuild=True)})


def halved(view: View, hyperparameters: dict[str, Any], keys: Keys) -> dict[str, Any]:
    """Writes to what it was given, as users do."""
    hyperparameters["lr"] /= 2
    return hyperparameters


def beyond(view: View, hyperparameters: dict[str, Any], keys: Keys) -> dict[str, Any]:
    return {**hyperparameters, "lr": 3.0}


def misspelt(view: View, hyperparameters: dict[str, Any], keys: Keys) -> dict[str, Any]:
    return {**hyperparameters, "Lr": 0.5}


def forgetful(view: View, hyperparameters: dict[str, Any], keys: Keys) -> dict[str, Any]:
    return {"layers": hyperparameters["layers"]}


def reshaped(view: View, hyperparameters: dict[str, Any], keys: Keys) -> dict[str, Any]:
    return {**hyperparameters, "layers": hyperparameters["layers"] % 4 + 1}


def in_words(view: View, hyperparameters: dict[str, Any], keys: Keys) -> Any:
    return "lr = 0.1"


def worded(view: View, hyperparameters: dict[str, Any], keys: Keys) -> dict[str, Any]:
    return {**hyperparameters, "lr": "0.1"}


def from_history(view: View, hyperparameters: dict[str, Any], keys: Keys) -> dict[str, Any]:
    """What was tried, and what it scored, is there to be read: take the best lr of all reports."""
    tried = [row for member in view.facts.members.tolist() for row in view.reports(member) if row.score is not None]
    best = max(tried, key=lambda row: row.score or 0.0)
    return {**hyperparameters, "lr": best.hyperparameters["lr"]}


@pytest.mark.parametrize("make", [lambda rule: PBT(explore=rule, warmup=0), lambda rule: compose(explore=rule)])
def test_a_plain_function_explores_and_cannot_write_to_the_record(make: Any) -> None:
    population = Population([[1.0], [2.0]], space=SPACE)
    before = dict(population.values[1])
    view = population.view(0)
    action = assigned(make(halved).decide(view, keys_of(view)), 0)
    assert action is not None
    assert action.hyperparameters == {**before, "lr": before["lr"] / 2}
    assert population.values[1] == before


@pytest.mark.parametrize(
    ("rule", "kind", "said"),
    [
        (beyond, InvalidValue, "explore: lr=3.0 must lie in [0.0, 1.0]"),
        (misspelt, UnknownName, "explore: there is no hyperparameter 'Lr'; the space has lr, layers"),
        (forgetful, InvalidValue, "explore: lr is missing"),
        (in_words, InvalidType, "explore must be a mapping"),
        (worded, InvalidType, "explore: lr must be a number, but got '0.1'"),
        (reshaped, InvalidValue, "explore: layers="),
    ],
)
@pytest.mark.parametrize("explorers", ["copier", "ready"])
def test_an_illegal_answer_is_met_with_one_line(rule: Any, kind: type[Exception], said: str, explorers: Any) -> None:
    population = Population([[1.0], [2.0]], space=SPACE)
    strategy = PBT(exploit=Tournament(), explore=rule, explorers=explorers, warmup=0)
    view = population.view(0 if explorers == "copier" else 1)
    with pytest.raises(kind) as caught:
        strategy.decide(view, keys_of(view))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_it_sees_lineage_and_scores() -> None:
    fields = {(2, 1): {"hyperparameters": {"lr": 0.77, "layers": 2}}}
    population = Population([[1.0, 1.0], [2.0, 3.0], [9.0, 0.0]], space=SPACE, fields=fields)
    view = population.view(2)
    action = assigned(PBT(explore=from_history).decide(view, keys_of(view)), 2)
    assert action is not None and action.hyperparameters["lr"] == 0.77


def begin(seed: int, hyperparameters: dict[str, Any]) -> dict[str, Any]:
    return {"x": np.array([float(seed % 7)])}


def train(state: dict[str, Any], hyperparameters: dict[str, Any], rng: Any) -> dict[str, Any]:
    return {"x": state["x"] + hyperparameters["lr"]}


def measure(state: dict[str, Any], rng: Any) -> float:
    return float(state["x"][0])


TASK = warren.Task(init=begin, train_interval=train, evaluate=measure)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_ends_with_that_line(tmp_path: Path, workers: int) -> None:
    """Not with a traceback of a worker, and not by trying again for ever."""
    with pytest.raises(WarrenError) as caught:
        warren.run(
            TASK,
            space=SPACE,
            goal="max",
            population=4,
            intervals=4,
            strategy=PBT(explore=beyond),
            workers=workers,
            store=tmp_path / "run.db",
            watch=lambda result: None,
        )
    assert "explore: lr=3.0 must lie in [0.0, 1.0]" in str(caught.value)
    assert "\n" not in str(caught.value)


class TestAnExploreOfOnesOwn(StrategyContract):
    @pytest.fixture
    def strategy(self) -> Any:
        return PBT(explore=as_it_is)


def as_it_is(view: View, hyperparameters: dict[str, Any], keys: Keys) -> dict[str, Any]:
    return hyperparameters
