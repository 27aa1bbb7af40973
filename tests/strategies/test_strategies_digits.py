"""Every strategy of the catalogue trains a small network on handwritten digits: inline, in processes, and in trouble.

A strategy joins by standing in the catalogue. One that cannot be made without options gets them in `OPTIONS`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import warren
from warren.population import IntervalRow
from warren.strategies import Strategy, named
from warren.strategies.catalogue import entries

pytest.importorskip("sklearn")

from warren.zoo.digits.mlp import Mlp

SPACE = {
    "lr": warren.Float(1e-2, 1e5, scale="log"),  # which diverges in its upper half
    "momentum": warren.Float(0.5, 0.99, scale="one_minus"),
    "weight_decay": warren.Float(1e-6, 1e-1, scale="log"),
}
LAST = 6
MADE: dict[str, dict[str, Any]] = {
    "Fixed": {"hyperparameters": {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4}},
    "Follow": {"schedule": [{"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4}] * LAST},
}
"""Options of strategies that do nothing without them."""
RETIRE = {"SuccessiveHalving"}
"""Who retires members that diverge at a rung, be they the last ones."""
NEEDS = {"PB2": "scipy", "PB2Mix": "scipy", "BGPBT": "scipy", "IPBT": "scipy"}


def made(name: str) -> Strategy:
    """The strategy, or a skip where what it is made of is not installed."""
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    return named(name, **MADE.get(name, {}))


def train(name: str, task: warren.Task, **how: Any) -> warren.Result:
    arguments: dict[str, Any] = {"space": SPACE, "goal": "min", "population": 8, "intervals": LAST, "seed": 1}
    return warren.run(task, strategy=made(name), watch=lambda result: None, **{**arguments, **how})


def history(result: warren.Result) -> list[Any]:
    """What was trained from what, and how it scored; whoever did it, and when."""
    ids = {row.id: (row.member, row.interval) for row in result.intervals}
    return [
        (*ids[row.id], row.origin, row.hyperparameters, row.score, row.status, [ids[one] for one in row.parents])
        for row in sorted(result.intervals, key=lambda row: (row.member, row.interval))
    ]


@pytest.fixture(scope="module")
def inline() -> dict[str, Any]:
    """Histories in this process, by strategy."""
    return {}


EVERY = pytest.mark.parametrize("name", [one.name for one in entries()])
DIGITS = Mlp(hidden=16, batch=90).task()


@EVERY
def test_digits_inline(name: str, inline: dict[str, Any]) -> None:
    """The best has learned something, whatever happens to the others."""
    result = train(name, DIGITS, synchronous=True)
    inline[name] = history(result)
    firsts = [row.score for row in result.intervals if row.interval == 1 and row.score is not None]
    assert result.best.score is not None
    assert result.best.score < min(firsts)
    assert result.best.score < 2.0  # guessing has ln 10 = 2.3


def test_some_members_diverge_on_digits() -> None:
    result = train("RandomSearch", DIGITS, intervals=2)
    assert {row.status for row in result.intervals} == {"ok", "diverged"}


@EVERY
def test_digits_in_processes(name: str, inline: dict[str, Any], tmp_path: Path) -> None:
    """The same history with two workers, whose decisions come out the same when they are taken again."""
    store = tmp_path / "run.db"
    result = train(name, DIGITS, synchronous=True, engine="processes", workers=2, store=store)
    expected = inline.get(name) or history(train(name, DIGITS, synchronous=True))
    assert history(result) == expected
    result.store.close()
    replayed = warren.replay(store)
    assert replayed.different == ()
    assert replayed.decisions > 0 or name == "RandomSearch"


def begin(seed: int, hyperparameters: dict[str, Any]) -> dict[str, Any]:
    return {"x": np.array([float(seed % 5)])}


def move(state: dict[str, Any], hyperparameters: dict[str, Any], rng: Any) -> dict[str, Any]:
    return {"x": state["x"] + hyperparameters["weight_decay"]}


def tie(state: dict[str, Any], rng: Any) -> float:
    return 1.0


def fail(state: dict[str, Any], rng: Any) -> float:
    """A third of all scores are not finite, whoever is asked."""
    return float("nan") if rng.numpy().random() < 1 / 3 else float(state["x"][0])


def whole(name: str, rows: Sequence[IntervalRow], population: int) -> None:
    """Nobody was trained twice for an interval, all hyperparameters are legal, and somebody came to the end."""
    space = warren.Space(SPACE)
    assert len({(row.member, row.interval) for row in rows}) == len(rows)
    for row in rows:
        assert space.check(row.hyperparameters, field="record") == row.hyperparameters
        assert set(row.hyperparameters) == set(SPACE)
    assert max(row.interval for row in rows) == 12 or name in RETIRE
    assert {row.member for row in rows} >= set(range(population))


@EVERY
@pytest.mark.parametrize("population", [1, 2, 8])
@pytest.mark.parametrize("synchronous", [False, True])
def test_all_ties(name: str, population: int, synchronous: bool) -> None:
    task = warren.Task(init=begin, train_interval=move, evaluate=tie)
    result = train(name, task, population=population, intervals=12, synchronous=synchronous)
    whole(name, result.intervals, population)


@EVERY
@pytest.mark.parametrize("population", [1, 2, 8])
@pytest.mark.parametrize("synchronous", [False, True])
def test_scores_that_are_not_finite(name: str, population: int, synchronous: bool) -> None:
    """Members fail a third of the time; three failures in a row would set one aside, so some may be."""
    task = warren.Task(init=begin, train_interval=move, evaluate=fail)
    result = train(name, task, population=population, intervals=12, synchronous=synchronous, seed=4)
    whole(name, result.intervals, population)
