from __future__ import annotations

import math
import sqlite3
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training import loops

import warren
from warren.audit import replay
from warren.checkpoints import MemoryCheckpoints
from warren.engines.work import work
from warren.population import Assign, Keys, Plan, Retire, RunRow, View
from warren.population.log import Log
from warren.results import Result
from warren.runs import replay as replay_store
from warren.space import Space
from warren.stores import MemoryStore
from warren.strategies import PBT
from warren.strategies.moves import begin
from warren.training import Settings, States, Turns

COMMON: dict[str, Any] = {"space": loops.SPACE, "goal": "max", "population": 6, "intervals": 8, "seed": 5}


def settings(result: Result, strategy: Any, **changes: Any) -> Settings:
    given = {**COMMON, **changes}
    return Settings(
        space=Space(given["space"]), strategy=strategy, goal=given["goal"], population=given["population"],
        seed=given["seed"], checkpoint_every=given.get("checkpoint_every", 1),
    )  # fmt: skip


def test_eight_asynchronous_workers_decided_what_their_record_says(tmp_path: Path) -> None:
    store = tmp_path / "run.db"
    strategy = PBT(explorers="ready")  # every decision changes something, whatever the workers' pace
    given = {**COMMON, "population": 12, "intervals": 10}
    warren.run(loops.quadratic, **given, store=store, workers=8, strategy=strategy)
    found = replay_store(store)
    assert found.different == ()
    assert found.decisions == 12 * 8  # after each interval but the first and the last
    assert found.actions == found.decisions
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


def test_a_run_of_many_intervals_that_grew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New members begin where everybody else has been: what they compare with is not forgotten before them."""
    monkeypatch.setattr("warren.population.log._CROWD", 200)
    pruned = []
    prune = Log.prune
    monkeypatch.setattr(Log, "prune", lambda log, floor: (pruned.append(floor), prune(log, floor))[1])
    store = tmp_path / "run.db"
    given: dict[str, Any] = {**COMMON, "intervals": 95, "store": store, "workers": 1}
    warren.run(loops.quadratic, **{**given, "population": 8})
    assert max(pruned) > 64  # something has been forgotten
    result = warren.run(loops.quadratic, **{**given, "population": 12})
    assert replay_store(store).different == ()
    first = [row for row in result.intervals if row.member >= 8 and row.origin == "exploit"]
    assert min(row.interval for row in first) < 10


def test_a_run_that_goes_on_while_it_is_looked_at() -> None:
    """What comes in between two reads is left out."""
    result = warren.run(loops.quadratic, **COMMON)
    whole = result.store

    class Growing:
        """Gives the reports of an earlier revision, and the events of now."""

        def __getattr__(self, name: str) -> Any:
            return getattr(whole, name)

        def changes(self, since: int) -> Any:
            turn = whole.changes(since)
            early = [row for row in turn.news if row.revision <= 60]
            return replace(turn, news=early, run=replace(turn.run, revision=60))

    found = replay(Growing(), settings(result, PBT()))  # type: ignore[arg-type]
    assert found.different == ()
    assert 0 < found.decisions < replay(whole, settings(result, PBT())).decisions


def test_an_extension_between_a_decision_and_its_report() -> None:
    """The report of the interval that would have been the last is no boundary any more."""
    store, checkpoints = MemoryStore(), MemoryCheckpoints()
    given = Settings(space=Space(loops.SPACE), strategy=PBT(every=3, warmup=0), goal="max", population=2, seed=0)
    plan = given.strategy.start(given.space, 2, Keys(seed=0, member=-1, interval=0))
    store.create(RunRow(limit=4), {"population": 2}, plan)
    states = States(store, checkpoints)
    turns = Turns(store, states, given, worker="w", clock=time.perf_counter, sleep=time.sleep)

    def train(slot: warren.Slot) -> None:
        x = np.array([3.0, 0.0])
        slot.track(x=x)
        for member in slot:
            loops.step(x, member)
            if member.id == 1 and member.budget == 3:
                store.extend(9, Plan())
            member.report(-float(x[0] ** 2))

    work(train, turns)
    assert [row.boundary for row in store.intervals() if row.member == 1] == [i % 3 == 0 for i in range(1, 10)]
    assert replay(store, given).different == ()


@dataclass(frozen=True, kw_only=True)
class Leaving:
    """Member 0 retires after its second interval, and member 3, at its fourth, lets member 1 retire.

    Each decision changes something, by what it sees.
    """

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        return Plan(actions=tuple(begin(space, member, keys) for member in range(size)))

    def decide(self, view: View, keys: Keys) -> Plan:
        me = view.due.member
        if (me, view.at) == (0, 2):
            return Plan(actions=(Retire(member=0),))
        others = [Retire(member=1)] if (me, view.at) == (3, 4) else []
        values = {**view.due.hyperparameters, "lr": 0.001 * (1 + len(view.facts.members))}
        return Plan(actions=(Assign(member=me, hyperparameters=values, via="keep"), *others))


@pytest.mark.parametrize("workers", [1, 3])
def test_retired_members_are_set_aside(tmp_path: Path, workers: int) -> None:
    """They count where they came to themselves, and nobody waits for them; it is decided the same again."""
    store = tmp_path / "run.db"
    result = warren.run(
        loops.quadratic, **{**COMMON, "population": 4}, store=store, workers=workers, strategy=Leaving(),
        synchronous=True,
    )  # fmt: skip
    assert [(row.state, row.role) for row in result.members] == [
        ("done", "retired"), ("done", "retired"), ("done", "train"), ("done", "train"),
    ]  # fmt: skip
    assert [row.budget for row in result.members[::2]] == [2, 8]
    # One less from the third interval on, and one less again where member 1 is gone as well.
    seen = {row.interval: round(row.hyperparameters["lr"] / 0.001) - 1 for row in result.intervals if row.member == 3}
    assert [seen[interval] for interval in (3, 4, 5)] == [4, 3, 3]
    assert seen[8] == 2
    found = replay_store(store)
    assert found.different == ()
    assert found.actions == found.decisions
    result.store.close()
