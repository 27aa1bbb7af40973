"""A model-based test: the two stores are led through the same events, and must tell the same after each."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from warren.errors import WarrenError
from warren.population import (
    Action,
    Assign,
    CheckpointRow,
    EventRow,
    Hold,
    MemberRow,
    Pin,
    Plan,
    Report,
    Retire,
    RunRow,
    Unpin,
    WorkerRow,
    boundary,
    changed,
)
from warren.state import digest, encode
from warren.stores import MemoryStore, Store, Stretch
from warren.stores.sqlite import SQLiteStore
from warren.testing.check import check

WORKERS = ("a", "b", "c")
SHARED = "/dev/shm"


class LockStep(RuleBasedStateMachine):
    """What each rule does is drawn once and done to both."""

    def __init__(self) -> None:
        super().__init__()
        # In memory where there is such a place: this is about what is written, and a disk takes a minute longer.
        self._folder = tempfile.TemporaryDirectory(dir=SHARED if os.access(SHARED, os.W_OK) else None)
        self.memory = MemoryStore()
        self.sqlite = SQLiteStore(Path(self._folder.name) / "run.db")
        self.dropped: tuple[list[str], list[str]] = ([], [])
        self.memory.on_dropped(self.dropped[0].extend)
        self.sqlite.on_dropped(self.dropped[1].extend)
        self.number = 0
        self.seen = 0

    def teardown(self) -> None:
        self.sqlite.close()
        self._folder.cleanup()

    def both(self, call: Callable[[Store], Any]) -> Any:
        outcomes = []
        for store in (self.memory, self.sqlite):
            try:
                outcomes.append(("gave", call(store)))
            except WarrenError as error:
                outcomes.append(("raised", (type(error), str(error))))
        assert outcomes[0] == outcomes[1]
        return outcomes[0][1] if outcomes[0][0] == "gave" else None

    def leased(self) -> list[MemberRow]:
        return [row for row in self.memory.members() if row.state == "leased"]

    def names(self) -> list[str]:
        return sorted(self.memory.kept())

    def checkpoint(self, inline: bool) -> CheckpointRow:
        self.number += 1
        data = encode({"number": self.number}).tobytes()
        name = digest([data])
        return CheckpointRow(
            name=f"{name}-{self.number}.safetensors", digest=name, size=len(data), inline=data if inline else None
        )

    @initialize(
        population=st.integers(1, 4),
        synchronous=st.booleans(),
        goal=st.sampled_from(["max", "min"]),
        stretch=st.integers(1, 3),
        patience=st.sampled_from([None, 30]),
    )
    def create(self, population: int, synchronous: bool, goal: Any, stretch: int, patience: int | None) -> None:
        actions = tuple(
            Assign(member=m, hyperparameters={"x": m, "y": [m]}, via="fresh", intervals=stretch)
            for m in range(population)
        )
        run = RunRow(limit=6, synchronous=synchronous, goal=goal, tries=3, stop={"patience": patience})
        warm = self.checkpoint(True)
        assert self.both(lambda store: store.create(run, {"population": population}, Plan(actions=actions), [warm]))

    @rule(worker=st.sampled_from(WORKERS), since=st.booleans())
    def claim(self, worker: str, since: bool) -> None:
        known = self.seen if since else 0
        turn = self.both(lambda store: store.claim(worker, since=known))
        self.seen = turn.run.revision

    @precondition(lambda self: self.leased())
    @rule(
        data=st.data(),
        score=st.sampled_from([0.0, 1.0, 2.0, -1.0, 0.1 + 0.2, None, math.nan]),
        more=st.booleans(),
        inline=st.booleans(),
        ahead=st.integers(1, 3),
    )
    def report(self, data: st.DataObject, score: float | None, more: bool, inline: bool, ahead: int) -> None:
        row = data.draw(st.sampled_from(self.leased()))
        status: Any = "pending" if score is None else "ok" if math.isfinite(score) else "diverged"
        due = row.budget + ahead if row.due <= row.budget else None
        report = Report(
            score=score if status == "ok" else None, status=status, due=due, samples=(1.0, 2.0), metrics={"m": 0.5}
        )
        ends = boundary(row, report, self.memory.run().limit) or row.next is not None or not more
        if status != "diverged" and (ends or row.budget % 2):
            report = Report(**{**vars(report), "checkpoint": self.checkpoint(inline)})
        self.both(lambda store: store.report(str(row.token), report, since=self.seen, more=more))

    @precondition(lambda self: self.leased())
    @rule(data=st.data(), memory=st.sampled_from([None, {"n": 1}]), fresh=st.booleans(), stretch=st.integers(1, 3))
    def commit(self, data: st.DataObject, memory: Any, fresh: bool, stretch: int) -> None:
        row = data.draw(st.sampled_from(self.leased()))
        actions = tuple(self.action(data, row) for _ in range(data.draw(st.integers(0, 2))))
        run = self.memory.run()
        seen = run.revision if fresh else max(1, run.revision - 3)
        plan = Plan(actions=actions, memory=memory, intervals=stretch)
        version = run.memory_version if fresh else 0
        self.both(lambda store: store.commit(str(row.token), plan, seen=seen, memory_version=version))

    @rule(worker=st.sampled_from(WORKERS), since=st.booleans())
    def claim_all(self, worker: str, since: bool) -> None:
        known = self.seen if since else 0
        self.seen = self.both(lambda store: store.claim_all(worker, since=known)).run.revision

    @precondition(lambda self: self.leased())
    @rule(data=st.data(), more=st.booleans(), inline=st.booleans(), fresh=st.integers(0, 9))
    def round(self, data: st.DataObject, more: bool, inline: bool, fresh: int) -> None:
        rows = data.draw(st.lists(st.sampled_from(self.leased()), unique_by=lambda row: row.member, max_size=4))
        stretches = []
        for row in rows:
            decides = data.draw(st.booleans())
            plan = Plan(actions=(self.action(data, row),), intervals=2) if decides else None
            stretches.append(
                Stretch(
                    token=str(row.token) if fresh else "nobody's",
                    plan=plan,
                    seen=self.memory.run().revision - (not fresh),
                    reports=tuple(self.reports(data, row, decides, inline)),
                )
            )
        worker = str(rows[0].worker) if rows else "a"
        self.both(lambda store: store.round(worker, stretches, since=self.seen, more=more))

    def reports(self, data: st.DataObject, row: MemberRow, decides: bool, inline: bool) -> Iterator[Report]:
        budget = row.budget
        due = budget + 2 if decides or row.due <= budget else row.due
        for place in range(data.draw(st.integers(0, min(due, self.memory.run().limit) - budget))):
            score = data.draw(st.sampled_from([0.0, 2.0, -1.0, None, math.nan]))
            status: Any = "pending" if score is None else "ok" if math.isfinite(score) else "diverged"
            report = Report(score=score if status == "ok" else None, status=status, due=None if place else due)
            if status != "diverged":
                report = changed(report, checkpoint=self.checkpoint(inline))
            yield report
            if status == "diverged":
                return

    def action(self, data: st.DataObject, row: MemberRow) -> Action:
        members = self.memory.members()
        member = data.draw(st.integers(0, min(len(members), 5)))  # one more: that is made
        kind = data.draw(st.sampled_from(["copy", "keep", "fresh", "mean", "hold", "retire", "pin", "unpin"]))
        known = self.names()
        names = [*known, "gone"] if not known or data.draw(st.integers(0, 9)) == 0 else known
        if kind in ("pin", "unpin"):
            name = data.draw(st.sampled_from(names))
            return Pin(checkpoint=name) if kind == "pin" else Unpin(checkpoint=name)
        if kind in ("hold", "retire") or (row.last is not None and member == row.member):
            other = min(member, len(members) - 1)
            return Retire(member=other) if kind == "retire" else Hold(member=other, until=members[other].saved)
        sources = {"copy": 1, "mean": 2}.get(kind, 0)
        return Assign(
            member=member,
            hyperparameters={"x": data.draw(st.integers(0, 9))},
            sources=tuple(data.draw(st.sampled_from(names)) for _ in range(sources)),
            via="copy" if kind == "mean" else kind,
            group=data.draw(st.sampled_from([None, "g"])),
            opponents=(names[0],) if kind == "mean" else (),
            intervals=data.draw(st.integers(1, 3)),
            tag=[1, None],
        )

    @precondition(lambda self: self.leased())
    @rule(data=st.data(), counts=st.booleans())
    def fail(self, data: st.DataObject, counts: bool) -> None:
        row = data.draw(st.sampled_from(self.leased()))
        self.both(lambda store: store.fail(str(row.token), "Boom", counts=counts))

    @precondition(lambda self: self.leased())
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        row = data.draw(st.sampled_from(self.leased()))
        self.both(lambda store: store.release(str(row.token)))

    @rule()
    def stale(self) -> None:
        self.both(lambda store: store.release("nobody's"))

    @rule(worker=st.sampled_from(WORKERS), counts=st.booleans())
    def expire(self, worker: str, counts: bool) -> None:
        self.both(lambda store: store.expire([worker], "silence", counts=counts))

    @rule(worker=st.sampled_from(WORKERS))
    def register(self, worker: str) -> None:
        self.both(lambda store: store.register(WorkerRow(worker=worker, host="h", pid=1, gpu="0")))
        self.both(lambda store: store.beat([worker]))

    @rule(data=st.data(), value=st.sampled_from([5.0, -5.0, math.nan]))
    def score(self, data: st.DataObject, value: float) -> None:
        pending = [row.id for row in self.memory.intervals() if row.status == "pending"]
        chosen = data.draw(st.sampled_from(pending)) if pending else 9999
        self.both(lambda store: store.score(chosen, value))

    @precondition(lambda self: self.memory.kept())
    @rule(data=st.data(), held=st.booleans())
    def damage(self, data: st.DataObject, held: bool) -> None:
        names = data.draw(st.sets(st.sampled_from(self.names()), min_size=1, max_size=2))
        leased = [row for row in self.leased() if row.last is None]
        token = data.draw(st.sampled_from(leased)).token if held and leased else None
        self.both(lambda store: store.damaged(dict.fromkeys(sorted(names), "cut short"), token))

    @rule(more=st.integers(0, 2), revive=st.booleans())
    def extend(self, more: int, revive: bool) -> None:
        limit = self.memory.run().limit + more
        self.both(lambda store: store.extend(limit, Plan(), revive=revive))

    @rule(words=st.sampled_from(["one", "two"]))
    def note(self, words: str) -> None:
        self.both(lambda store: store.note(EventRow(kind="warning", body=words)))

    @invariant()
    def tell_the_same(self) -> None:
        if not self.memory.exists():
            assert not self.sqlite.exists()
            return
        for part in ("run", "config", "members", "intervals", "kept", "events"):
            assert getattr(self.memory, part)() == getattr(self.sqlite, part)(), part
        by_name = [sorted(store.workers(), key=lambda row: row.worker) for store in (self.memory, self.sqlite)]
        assert by_name[0] == by_name[1]
        for since in (0, self.seen):
            assert list(self.memory.changes(since).news) == list(self.sqlite.changes(since).news)
        assert [self.memory.checkpoint(name) for name in self.names()] == [
            self.sqlite.checkpoint(name) for name in self.names()
        ]
        assert sorted(self.dropped[0]) == sorted(self.dropped[1])
        assert check(self.memory) == []


LockStep.TestCase.settings = settings(
    max_examples=200,
    stateful_step_count=30,
    suppress_health_check=list(HealthCheck),
)
TestLockStep = LockStep.TestCase
