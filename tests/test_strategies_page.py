"""Every example of docs/strategies.md, executed as it stands, and its table held against the catalogue."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import warren
from warren import strategies
from warren.strategies.catalogue import MODULES

PAGE = (Path(__file__).parents[1] / "docs" / "strategies.md").read_text(encoding="utf-8")
RUN, PARTS, EXPLORE, OWN = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_table_has_every_strategy_once() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert rows == list(MODULES)


def test_every_part_of_the_table_is_there() -> None:
    table = PAGE[PAGE.index("| part |") : PAGE.index("`compose` puts")]
    parts = set(re.findall(r"`(\w+)\(", table))
    assert len(parts) > 15
    assert all(name in strategies.__all__ for name in parts)


def executed(tmp_path: Path, block: str) -> str:
    (tmp_path / "train.py").write_text(block)
    done = subprocess.run([sys.executable, "train.py"], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_with_a_strategy(tmp_path: Path) -> None:
    """Fluctuations at a small learning rate are far below the 9 that members begin with."""
    assert 0 < float(executed(tmp_path, RUN)) < 1


def test_parts_put_together(tmp_path: Path) -> None:
    printed = executed(tmp_path, PARTS)
    assert printed.startswith("Reference(strategy=Composed(ready=Every(every=5, warmup=10), fitness=Window(last=5")


def begin(seed: int, hyperparameters: dict[str, Any]) -> dict[str, Any]:
    return {"x": np.zeros(1)}


def train(state: dict[str, Any], hyperparameters: dict[str, Any], rng: Any) -> dict[str, Any]:
    return {"x": state["x"] - np.log(hyperparameters["lr"] / 0.1) ** 2}


def measure(state: dict[str, Any], rng: Any) -> float:
    return float(state["x"][0])


def test_an_explore_of_ones_own() -> None:
    """A member's lr becomes 0.9 of the one that its lineage scored best with: each is 0.9 of one before it."""
    names: dict[str, Any] = {}
    exec(compile(EXPLORE, "strategies.md", "exec"), names)
    result = warren.run(
        warren.Task(init=begin, train_interval=train, evaluate=measure),
        space={"lr": warren.Float(1e-3, 1.0, scale="log")},
        goal="max",
        population=6,
        intervals=6,
        strategy=names["strategy"],
        watch=lambda result: None,
    )
    tried = [row.hyperparameters["lr"] for row in result.intervals]
    moved = [row.hyperparameters["lr"] for row in result.intervals if row.interval > 2]
    assert all(min(abs(lr - 0.9 * one) for one in tried) < 1e-12 for lr in moved)


def test_a_strategy_of_ones_own_passes_the_contract(tmp_path: Path) -> None:
    (tmp_path / "test_neighbours.py").write_text(OWN)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_neighbours.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
