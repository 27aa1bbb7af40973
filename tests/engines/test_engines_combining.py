"""States of several on devices, and hooks without a name in worker processes."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import warren
from warren.engines import Vectorised
from warren.population import Keys
from warren.testing.combinations import STILL, Mixing, born
from warren.testing.engines import decisions
from warren.training import Rng

SPACE: dict[str, Any] = {"lr": warren.Float(0.1, 1.0)}
COMMON: dict[str, Any] = {
    "space": SPACE, "goal": "max", "population": 4, "intervals": 3, "seed": 1, "synchronous": True,
}  # fmt: skip


def task_of(framework: str) -> warren.Task:
    """Numbers that are drawn from the seed and shrink; the state is float32 of the framework."""
    room: Any = importlib.import_module("torch" if framework == "torch" else "jax.numpy")
    array = room.tensor if framework == "torch" else room.array

    def init(seed: int, hyperparameters: dict[str, Any]) -> Any:
        return {"w": array(np.random.default_rng(seed).normal(size=3).astype(np.float32)), "n": array(0)}

    def train(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
        return {"w": state["w"] * (1.0 - 0.5 * hyperparameters["lr"]), "n": state["n"] + 1}

    def evaluate(state: Any, rng: Any) -> Any:
        return state["w"].sum()

    return warren.Task(init=init, train_interval=train, evaluate=evaluate)


def add(states: Any, hyperparameters: Any, rng: Any) -> Any:
    """The sum of all states, with a number that is drawn."""
    w = states[0]["state"]["w"]
    for other in states[1:]:
        w = w + other["state"]["w"]
    return {"state": {**states[0]["state"], "w": w + float(np.float32(rng.numpy().normal()))}}


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_one_program_goes_on_from_what_a_slot_would_have_made(framework: str) -> None:
    """The same decisions, and scores but for rounding."""
    pytest.importorskip(framework)
    task = task_of(framework)
    inline = warren.run(task, engine="inline", workers=1, strategy=Mixing(mix=add), **COMMON)
    found = warren.run(task, engine=Vectorised(), strategy=Mixing(mix=add), **COMMON)
    expected = decisions(inline)
    assert [one[:5] for one in decisions(found)] == [one[:5] for one in expected]
    np.testing.assert_allclose([one[5] for one in decisions(found)], [one[5] for one in expected], rtol=1e-5)
    assert {row.via for row in found.intervals if row.interval == 2} == {"mean", "mix", "restart", "crossover"}
    counts = {one.member: int(one.state()["state"]["n"]) for one in found.final}
    assert counts == dict.fromkeys(range(4), 3)


def test_a_hook_without_a_name_reaches_the_workers(tmp_path: Path) -> None:
    """The training function is found by its name, the strategy's lambda travels."""
    lift = 7.0
    strategy = Mixing(
        mix=lambda states, hyperparameters, rng: {"state": {"w": states[0]["state"]["w"] + lift, "steps": 5}}
    )
    result = warren.run(STILL, **COMMON, strategy=strategy, store=tmp_path / "run.db", workers=2)
    [trained] = [one for one in result.final if one.member == 1]
    np.testing.assert_array_equal(trained.state()["state"]["w"], born(0) + 7.0)
    assert trained.state()["state"]["steps"] == 7
    result.store.close()


def test_who_combines_is_combined_again_where_its_worker_left(tmp_path: Path) -> None:
    """A run that stops before the interval was saved ends as one that was not stopped."""
    expected = warren.run(STILL, **COMMON, strategy=Mixing(), store=tmp_path / "whole.db", workers=1)
    for intervals in (4, 5, 6, 7):
        part = warren.run(
            STILL,
            **COMMON,
            strategy=Mixing(),
            store=tmp_path / "part.db",
            workers=1,
            stop=warren.Stop(intervals=intervals),
        )
        assert part.run.total == intervals
        part.store.close()
    whole = warren.run(STILL, **COMMON, strategy=Mixing(), store=tmp_path / "part.db", workers=1)
    assert whole.digest == expected.digest
    drawn = Rng(Keys(seed=1, member=1, interval=2), "combine").numpy().normal()
    lr = next(row.hyperparameters["lr"] for row in whole.intervals if row.member == 1)
    [trained] = [one for one in whole.final if one.member == 1]
    np.testing.assert_array_equal(trained.state()["state"]["w"], 2.0 * born(0) + (drawn + lr))
    for result in (expected, whole):
        result.store.close()
