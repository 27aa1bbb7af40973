"""A training function that is a value: recorded by its fields, found by other processes, not changed under a run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import warren
from warren.errors import RunMismatch
from warren.runs.opening import altered
from warren.training import Rng, Slot, Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class Valley:
    """Where the minimum is."""

    target: float
    steps: int = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Descend:
    """A loop with settings."""

    valley: Valley

    def __call__(self, slot: Slot) -> None:
        for member in slot:
            x = float(member.state["x"]) if member.state else 0.0
            for _ in range(self.valley.steps):
                x += member["lr"] * (self.valley.target - x)
            member.state = {"x": x}
            member.report(-abs(x - self.valley.target), x=x)

    def task(self) -> Task:
        """The same as functions."""
        return Task(init=self.init, train_interval=self.train_interval, evaluate=self.evaluate)

    def init(self, seed: int, hyperparameters: dict[str, Any]) -> dict[str, Any]:
        return {"x": np.zeros(1)}

    def train_interval(self, state: dict[str, Any], hyperparameters: dict[str, Any], rng: Rng) -> dict[str, Any]:
        return {"x": state["x"] + hyperparameters["lr"] * (self.valley.target - state["x"])}

    def evaluate(self, state: dict[str, Any], rng: Rng) -> float:
        return -abs(float(state["x"][0]) - self.valley.target)


COMMON: dict[str, Any] = {"space": {"lr": warren.Float(0.1, 0.9)}, "goal": "max", "population": 3, "seed": 1}


@pytest.mark.parametrize("form", ["loop", "task"])
def test_it_is_trained_by_processes_and_resumed_from_its_store(tmp_path: Path, form: str) -> None:
    store = tmp_path / "run.db"
    descend = Descend(valley=Valley(target=2.0))
    train = descend if form == "loop" else descend.task()
    result = warren.run(train, **COMMON, intervals=2, workers=2, store=store)
    assert result.run.total == 6
    again = warren.resume(store, intervals=4, workers=2)
    assert again.run.total == 12
    assert -0.1 < again.best.score <= 0  # the target of the record, not another
    assert warren.retrace(store).different is None


def test_other_values_are_refused_with_what_differs(tmp_path: Path) -> None:
    store = tmp_path / "run.db"
    warren.run(Descend(valley=Valley(target=2.0)), **COMMON, intervals=2, store=store)
    with pytest.raises(RunMismatch, match=r"trains Descend with target=2\.0, now 3\.0\. Use another store or name"):
        warren.run(Descend(valley=Valley(target=3.0)), **COMMON, intervals=3, store=store)
    again = warren.run(Descend(valley=Valley(target=2.0)), **COMMON, intervals=3, store=store)
    assert again.run.total == 9


def test_a_field_that_came_later_does_not_differ() -> None:
    old = {"$": "module:Valley", "target": 2.0, "inner": {"$": "module:Inner", "a": 1}}
    assert altered(old, {**old, "steps": 3}) == []
    assert altered(old, {**old, "inner": {"$": "module:Inner", "a": 2}}) == ["a=1, now 2"]
    assert altered(old, {**old, "$": "module:Hill"}) == ['$="module:Valley", now "module:Hill"']
    assert altered(None, old) == altered(old, None) == []  # a function before, or now: its code is what is compared
