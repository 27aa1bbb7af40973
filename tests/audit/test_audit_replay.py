from __future__ import annotations

import math
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training import loops

import warren
from warren.audit import replay
from warren.population import Assign, Keys, Plan, View
from warren.results import Result
from warren.runs import replay as replay_store
from warren.space import Space
from warren.strategies import PBT
from warren.training import Settings

COMMON: dict[str, Any] = {"space": loops.SPACE, "goal": "max", "population": 6, "intervals": 8, "seed": 5}


def settings(result: Result, strategy: Any, **changes: Any) -> Settings:
    given = {**COMMON, **changes}
    return Settings(
        space=Space(given["space"]), strategy=strategy, goal=given["goal"], population=given["population"],
        seed=given["seed"], checkpoint_every=given.get("checkpoint_every", 1),
    )  # fmt: skip


def test_eight_asynchronous_workers_decided_what_their_record_says(tmp_path: Path) -> None:
    store = tmp_path / "run.db"
    warren.run(loops.quadratic, **{**COMMON, "population": 12, "intervals": 10}, store=store, workers=8)
    found = replay_store(store)
    assert found.different == ()
    assert found.decisions == 12 * 8  # after each interval but the first and the last
    assert found.actions >= 6
    assert found.unknown == 0


def test_a_record_that_was_changed_is_found_out(tmp_path: Path) -> None:
    """One score altered by hand: those who were compared with it would have decided otherwise."""
    store = tmp_path / "run.db"
    warren.run(loops.quadratic, **COMMON, store=store, workers=1)
    assert replay_store(store).different == ()
    connection = sqlite3.connect(store)
    connection.execute("UPDATE intervals SET score = score - 100 WHERE interval = 4 AND member = 2")
    connection.commit()
    connection.close()
    found = replay_store(store)
    assert found.different
    assert all(one.interval >= 4 for one in found.different)
    assert "DIFFERENT" in str(found)
    assert "member" in str(found.different[0])


def noisy(slot: warren.Slot) -> None:
    """Diverges, raises and reports late, each by what its keys draw."""
    x = np.array([3.0, 0.0])
    slot.track(x=x)
    for member in slot:
        loops.step(x, member)
        chance = member.rng.random()
        if chance < 0.08:
            raise RuntimeError("by chance")
        score = math.nan if chance < 0.16 else -float(x[0] ** 2)
        member.report(score, samples=[score, score - 0.1] if math.isfinite(score) else None)


STRATEGIES = {
    "truncation": PBT(),
    "every third": PBT(every=3, warmup=2),
    "tournament": PBT(exploit="tournament", explore="resample"),
    "t-test": PBT(exploit="ttest", explore="noise"),
    "explorers": PBT(explorers="ready"),
    "random search": warren.RandomSearch(),
}


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("synchronous", [False, True])
def test_with_failures_and_divergences(name: str, synchronous: bool) -> None:
    strategy = STRATEGIES[name]
    result = warren.run(noisy, **COMMON, strategy=strategy, synchronous=synchronous)
    found = replay(result.store, settings(result, strategy))
    assert found.different == ()
    assert found.decisions > 3
    assert {event.kind for event in result.events} >= {"failure"}


def test_where_checkpoints_are_rare() -> None:
    strategy = PBT(every=4)
    result = warren.run(noisy, **COMMON, strategy=strategy, checkpoint_every=2)
    assert replay(result.store, settings(result, strategy, checkpoint_every=2)).different == ()


def test_a_run_that_grew_and_went_on(tmp_path: Path) -> None:
    store = tmp_path / "run.db"
    warren.run(noisy, **COMMON, store=store, workers=1)
    warren.run(noisy, **{**COMMON, "intervals": 14, "population": 9}, store=store, workers=1)
    warren.run(noisy, **{**COMMON, "intervals": 16, "population": 9}, store=store, workers=1)
    assert replay_store(store).different == ()


def test_a_checkpoint_that_was_damaged_on_the_way(tmp_path: Path) -> None:
    store = tmp_path / "run.db"
    warren.run(large, **{**COMMON, "intervals": 4}, store=store, workers=1)
    for path in sorted((tmp_path / "run.db.d" / "checkpoints").iterdir())[::2]:
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    result = warren.run(large, **COMMON, store=store, workers=1)
    assert any(event.kind == "damaged" for event in result.events)
    assert replay_store(store).different == ()


def large(slot: warren.Slot) -> None:
    x, ballast = np.array([3.0, 0.0]), np.zeros(10_000)
    slot.track(x=x, ballast=ballast)
    for member in slot:
        loops.step(x, member)
        ballast += 1.0
        member.report(-float(x[0] ** 2))


@dataclass(frozen=True, kw_only=True)
class Remembering:
    """Counts its decisions, and gives each member the count."""

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        values = {"lr": 0.1, "momentum": 0.9}
        actions = tuple(Assign(member=m, hyperparameters=values, via="fresh") for m in range(size))
        return Plan(actions=actions, memory={"count": 100})

    def decide(self, view: View, keys: Keys) -> Plan:
        assert isinstance(view.memory, dict)
        count = int(str(view.memory["count"])) + 1
        values = {**view.due.hyperparameters, "lr": 1.0 / count}
        keep = Assign(member=view.due.member, hyperparameters=values, via="keep")
        return Plan(actions=(keep,) if count % 2 else (), memory={"count": count})


def test_a_strategy_that_remembers() -> None:
    result = warren.run(loops.quadratic, **COMMON, strategy=Remembering())
    found = replay(result.store, settings(result, Remembering()))
    assert found.different == ()
    assert found.decisions == 6 * 7
    assert result.run.memory == {"count": 100 + 6 * 7}


def test_another_strategy_decides_otherwise() -> None:
    result = warren.run(loops.quadratic, **COMMON)
    assert replay(result.store, settings(result, PBT(explore="resample", exploit="tournament"))).different


def test_decisions_of_older_versions_are_counted_and_left_out(tmp_path: Path) -> None:
    store = tmp_path / "run.db"
    warren.run(loops.quadratic, **COMMON, store=store, workers=1)
    whole = replay_store(store)
    connection = sqlite3.connect(store)
    connection.execute("UPDATE events SET body = json_remove(body, '$.due') WHERE kind = 'decision'")
    connection.commit()
    connection.close()
    found = replay_store(store)
    assert (found.unknown, found.different) == (whole.actions, ())
    assert "older version" in str(found)
