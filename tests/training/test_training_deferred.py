"""A decision that waits for its report, where a worker is alone."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import warren
from warren.checkpoints import MemoryCheckpoints
from warren.engines.work import work
from warren.errors import CheckpointDamaged
from warren.population import Keys, MemberRow, Report, RunRow, WorkerRow
from warren.state import Tree
from warren.stores import MemoryStore, Store, Turn
from warren.stores.sqlite import SQLiteStore
from warren.strategies import PBT
from warren.testing.check import check
from warren.testing.engines import decisions
from warren.testing.workers import everything
from warren.training import Settings, States, Turns

SPACE = {"lr": warren.Float(0.01, 1.0)}
ROOT = Path(__file__).parents[2]


class Rotten(States):
    """States of which the one that is loaded as the so-manieth turns out to be damaged, from then on."""

    def __init__(self, store: Store, nth: int = 0) -> None:
        super().__init__(store, MemoryCheckpoints())
        self._prefix = "p"
        self._left = nth
        self._bad = ""

    def load(self, name: str) -> Tree:
        self._left -= 1
        if self._left == 0:
            self._bad = name
        if name == self._bad:
            raise CheckpointDamaged(f"checkpoint {name} is damaged")
        return super().load(name)


class Run:
    """A run of one worker, whose clock counts how often it is asked."""

    def __init__(self, *, alone: bool, every: int = 1, rotten: int = 0, store: Store | None = None) -> None:
        self.store = MemoryStore() if store is None else store
        self.states = Rotten(self.store, rotten)
        strategy = PBT(every=every, warmup=0)
        self.settings = Settings(space=warren.Space(SPACE), strategy=strategy, goal="max", population=5, seed=0)
        plan = strategy.start(self.settings.space, 5, Keys(seed=0, member=-1, interval=0))
        self.store.create(RunRow(limit=12), {"population": 5}, plan)
        self.alone = alone
        self.committed: list[Any] = []
        commit = self.store.commit

        def committing(*args: Any, **kwargs: Any) -> MemberRow:
            self.committed.append(args)
            return commit(*args, **kwargs)

        self.store.commit = committing  # type: ignore[method-assign]

    def turns(self) -> Turns:
        self.store.register(WorkerRow(worker="w", host="h", pid=1))
        ticks = itertools.count()
        return Turns(
            self.store, self.states, self.settings, worker="w", clock=lambda: float(next(ticks)), sleep=_never,
            alone=lambda: self.alone,
        )  # fmt: skip

    def work(self, train: Any) -> None:
        work(train, self.turns())

    def copies(self) -> list[tuple[Any, ...]]:
        found: list[Any] = [event for event in self.store.events() if event.kind == "decision"]
        return [(event.member, event.body["interval"]) for event in found]


def _never(seconds: float) -> None:
    raise AssertionError("a worker that is alone waits for nobody")


class Climb:
    """Adds the learning rate to one number; `trouble` is asked before each report."""

    def __init__(self, trouble: Any = lambda member: None) -> None:
        self.trouble = trouble
        self.passes: list[tuple[int, int]] = []

    def __call__(self, slot: warren.Slot) -> None:
        w, own = np.zeros(1), np.zeros(1)
        slot.track(w=w)
        slot.track(on_exploit="keep", own=own)
        for member in slot:
            self.passes.append((member.id, member.budget + 1))
            w += member["lr"]
            own += 1
            score = self.trouble(member)
            member.report(float(w[0]) if score is None else score)


class Sometimes:
    """Some intervals raise or diverge the first few times that they are trained."""

    def __init__(self, what: str, times: int) -> None:
        self.what, self.times = what, times
        self.tried: dict[tuple[int, int], int] = {}

    def __call__(self, member: warren.Member) -> float | None:
        if member.arrival != "exploited" or member.budget < 3:
            return None
        place = (member.id, member.budget)
        self.tried[place] = self.tried.get(place, 0) + 1
        if self.tried[place] > self.times:
            return None
        if self.what == "diverges":
            return float("nan")
        raise RuntimeError("broken on purpose")


CASES = {
    "nothing": lambda: None,
    "raises once": lambda: Sometimes("raises", 1),
    "raises twice, and is rescued": lambda: Sometimes("raises", 2),
    "raises until it is quarantined": lambda: Sometimes("raises", 9),
    "diverges": lambda: Sometimes("diverges", 1),
}


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_the_record_is_the_same_whether_decisions_wait_or_not(case: str, every: int) -> None:
    runs = []
    for alone in (False, True):
        run = Run(alone=alone, every=every)
        trouble = CASES[case]()
        run.work(Climb() if trouble is None else Climb(trouble))
        assert run.copies()
        assert check(run.store, run.states) == []
        runs.append(run)
    assert everything(runs[0].store) == everything(runs[1].store)
    assert len(runs[0].committed) == len(runs[0].copies())
    if case in ("nothing", "diverges"):
        assert runs[1].committed == []


@pytest.mark.parametrize("nth", range(1, 40, 3))
def test_damage_is_met_as_if_the_decision_had_not_waited(nth: int) -> None:
    """Whether the donor's state cannot be loaded, or the member's own."""
    runs = [Run(alone=alone, rotten=nth) for alone in (False, True)]
    for run in runs:
        run.work(Climb())
        assert [event.kind for event in run.store.events()].count("damaged") == 1
    assert everything(runs[0].store) == everything(runs[1].store)


def test_a_worker_that_is_interrupted_leaves_the_same_record() -> None:
    def trouble(member: warren.Member) -> None:
        if member.arrival == "exploited" and member.budget == 4:
            raise KeyboardInterrupt

    runs = [Run(alone=alone) for alone in (False, True)]
    for run in runs:
        with pytest.raises(KeyboardInterrupt):
            run.work(Climb(trouble))
    assert everything(runs[0].store) == everything(runs[1].store)


def test_a_decision_is_carried_out_once_where_its_report_was_stored_and_not_heard_of() -> None:
    """The lease goes on inside a stretch: what was carried out may not be carried out again when it is given back."""

    class Deaf(MemoryStore):
        left = 1

        def report(self, token: str, report: Report, **rest: Any) -> Turn:
            turn = super().report(token, report, **rest)
            if rest.get("plan") is not None and self.left:
                self.left -= 1
                raise KeyboardInterrupt
            return turn

    run = Run(alone=True, every=3, store=Deaf())
    with pytest.raises(KeyboardInterrupt):
        run.work(Climb())
    assert run.committed == []
    run.work(Climb())
    assert len(run.copies()) == len(set(run.copies()))
    assert [(row.budget, row.state) for row in run.store.members()] == [(12, "done")] * 5
    assert check(run.store, run.states) == []


def test_a_worker_that_begins_and_gives_the_donors_state_up_costs_that_interval_only() -> None:
    run = Run(alone=True)
    left = [1]

    def trouble(member: warren.Member) -> None:
        if member.arrival == "exploited" and member.budget >= 4 and left[0]:
            left[0] -= 1
            run.store.register(WorkerRow(worker="other", host="h", pid=2))
            run.store.damaged({str(member._row.start): "cut short"})

    climb = Climb(trouble)
    run.work(climb)
    assert left == [0]
    assert len(climb.passes) == 5 * 12 + 1
    told: list[Any] = [event.body for event in run.store.events() if event.kind == "warning"]
    assert len(told) == 1 and "was given up by another worker" in told[0]
    assert [(row.budget, row.state, row.failures) for row in run.store.members()] == [(12, "done", 0)] * 5
    assert check(run.store, run.states) == []


def test_the_lease_that_is_lost_while_a_decision_waits_takes_it_along() -> None:
    run = Run(alone=True)
    left = [1]

    def trouble(member: warren.Member) -> None:
        if member.arrival == "exploited" and member.budget == 4 and left[0]:
            left[0] -= 1
            run.store.expire(["w"], "silent", counts=False)

    run.work(Climb(trouble))
    assert left == [0]
    assert len(run.copies()) == len(set(run.copies()))
    assert [(row.budget, row.state) for row in run.store.members()] == [(12, "done")] * 5
    assert check(run.store, run.states) == []


def test_a_plan_that_needs_the_store_does_not_wait() -> None:
    """One with a memory, here: its next version is what others decide on."""
    run = Run(alone=True)
    decide = PBT.decide

    class Counting(PBT):
        def decide(self, view: Any, keys: Any) -> Any:
            plan = decide(self, view, keys)
            return type(plan)(actions=plan.actions, intervals=plan.intervals, memory=(view.memory or 0) + 1)

    run.settings = replace(run.settings, strategy=Counting(warmup=0))
    run.work(Climb())
    assert len(run.committed) == run.store.run().memory_version == 5 * 11


ARGUMENTS: dict[str, Any] = {"space": SPACE, "goal": "max", "population": 5, "seed": 0, "workers": 1}


@pytest.mark.parametrize("others", [0, 1])
def test_the_inline_engine_lets_decisions_wait_only_while_no_other_worker_is_registered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    path = tmp_path / "run.db"
    warren.run(Climb(), **ARGUMENTS, intervals=2, store=path, engine="inline")
    store = SQLiteStore(path)
    if others:
        store.register(WorkerRow(worker="other", host="elsewhere", pid=1))
    store.close()
    commits = []
    commit = SQLiteStore.commit
    monkeypatch.setattr(SQLiteStore, "commit", lambda *args, **rest: commits.append(args) or commit(*args, **rest))
    result = warren.run(Climb(), **ARGUMENTS, intervals=6, store=path, engine="inline")
    late = [row for row in result.intervals if row.interval > 2 and row.origin == "exploit"]
    assert late
    assert len(commits) == (len(late) if others else 0)
    whole = warren.run(Climb(), **ARGUMENTS, intervals=6, engine="inline")
    assert result.digest == whole.digest
    result.store.close()


SCRIPT = """
import os, pathlib, signal, sys
import warren
from tests.training.test_training_deferred import ARGUMENTS, Climb

def trouble(member):
    mark = pathlib.Path(sys.argv[2])
    if member.arrival == "exploited" and member.budget == 3 and not mark.exists():
        mark.write_text(str(member.id))
        os.kill(os.getpid(), signal.SIGKILL)

def train(slot):
    Climb(trouble)(slot)

if __name__ == "__main__":
    warren.run(train, **ARGUMENTS, intervals=6, store=sys.argv[1], engine="inline")
"""


def test_death_between_a_decision_and_its_report_loses_it_with_the_interval_and_it_is_taken_again(
    tmp_path: Path,
) -> None:
    script, path, mark = tmp_path / "script.py", tmp_path / "run.db", tmp_path / "dead"
    script.write_text(SCRIPT)
    call = [sys.executable, str(script), str(path), str(mark)]
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
    assert subprocess.run(call, env=environ, cwd=ROOT, timeout=240).returncode == -signal.SIGKILL
    place = (int(mark.read_text()), 3)
    died = warren.open_result(path)
    taken: list[Any] = [event for event in died.events if event.kind == "decision"]
    assert place not in [(event.member, event.body["interval"]) for event in taken]
    died.store.close()
    assert subprocess.run(call, env=environ, cwd=ROOT, timeout=240).returncode == 0
    result = warren.open_result(path)
    assert [event.kind for event in result.events].count("lost") == 1
    assert check(result.store, result.states) == []
    whole = warren.run(Climb(), **ARGUMENTS, intervals=6, engine="inline")
    assert result.digest == whole.digest
    assert decisions(result) == decisions(whole)
    assert [row.failures for row in result.members] == [0] * 5
    result.store.close()
