"""Strategies that combine states, remember or look far back: alike on every engine, and the same when taken again."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import warren
from warren.runs.audits import replay
from warren.strategies import Strategy
from warren.strategies.anchor import Anchored
from warren.strategies.averaging import Averaging
from warren.strategies.elo import EloPBT
from warren.strategies.ipbt import IPBT
from warren.strategies.mopbt import MOPBT
from warren.strategies.searl import SEARL

STRATEGIES: dict[str, Strategy] = {
    "fronts": MOPBT(metrics=("-size",)),
    "elo": EloPBT(),
    "anchor": Anchored(fraction=0.4),
    "anchor of two": Anchored(fraction=0.4, parents=2, every=2),
    "averaging": Averaging(every=2),
    "searl": SEARL(),
    "ipbt": IPBT(patience=1),
}
SPACE = {"lr": warren.Float(1e-3, 1.0, scale="log"), "decay": warren.Float(0.0, 0.9), "act": warren.Choice((0, 1))}


def init(seed: int, hyperparameters: dict[str, Any]) -> dict[str, Any]:
    return {"w": np.random.default_rng(seed).normal(size=(2, 3)), "n": np.zeros(1)}


def step(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
    pull = hyperparameters["lr"] * (1.0 - 0.1 * hyperparameters["act"])
    return {"w": (1 - pull) * state["w"] + 0.01 * rng.numpy().normal(size=(2, 3)), "n": state["n"] + 1}


def evaluate(state: Any, rng: Any) -> Any:
    """Near 0 is good; one in twelve diverges."""
    noise = rng.numpy().random()
    score = math.nan if noise < 1 / 12 else -float((state["w"] ** 2).sum())
    return score, {"size": float(abs(state["w"]).max())}


def run(strategy: Strategy, tmp_path: Any, **options: Any) -> warren.Result:
    return warren.run(
        warren.Task(init=init, train_interval=step, evaluate=evaluate), space=SPACE, goal="max", population=6,
        intervals=14, strategy=strategy, store=tmp_path / "run.db", watch=lambda result: None, **options,
    )  # fmt: skip


def history(result: warren.Result) -> list[Any]:
    """All that was trained, without what only tells where and when."""
    rows = sorted(result.intervals, key=lambda row: (row.interval, row.member))
    keys = {row.id: (row.member, row.interval) for row in rows}
    return [
        (
            row.member,
            row.interval,
            row.score,
            row.origin,
            [keys[one] for one in row.parents],
            row.hyperparameters,
            row.tag,
        )
        for row in rows
    ]


@pytest.mark.parametrize("name", STRATEGIES)
def test_engines_are_alike_and_decisions_can_be_taken_again(name: str, tmp_path: Any) -> None:
    """Inline, in two processes and vectorised: the same history to the last bit; and again from the record."""
    found = {}
    for engine, workers in (("inline", 1), ("processes", 2), ("vectorised", 1)):
        place = tmp_path / engine
        place.mkdir()
        result = run(STRATEGIES[name], place, engine=engine, workers=workers, synchronous=True)
        found[engine] = history(result)
        again = replay(place / "run.db")
        assert (again.different, again.unknown) == ((), 0)
        assert again.actions > 0
    assert found["inline"] == found["processes"]
    assert found["inline"] == found["vectorised"]


@pytest.mark.parametrize("name", STRATEGIES)
def test_without_waiting_decisions_can_be_taken_again(name: str, tmp_path: Any) -> None:
    """Two workers at their own pace: every decision follows from what its worker knew."""
    run(STRATEGIES[name], tmp_path, workers=2)
    again = replay(tmp_path / "run.db")
    assert (again.different, again.unknown) == ((), 0)
