"""A run's life in steps, one transaction each, the same to the byte whenever it is played: so that what a fault leaves
can be compared with what was there before the step and after it."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from tests.faults.forks import Child

from warren.checkpoints import LocalCheckpoints
from warren.errors import StaleLease, WarrenError
from warren.population import Assign, CheckpointRow, EventRow, Plan, Report, RunRow, WorkerRow
from warren.stores import Stretch, sqlite
from warren.stores.folder import folder_of
from warren.stores.sqlite import SQLiteStore
from warren.testing.check import check
from warren.testing.stores import everything
from warren.training import States

LATER = 4e9
"""A moment at which everything that was written is old."""


# Texts of statements, for every store of this process and of its children: making them takes longer than a step.
_COMPILED: dict[Any, Any] = {}
_UPDATES: dict[Any, Any] = {}


class Play:
    """A run with its files, and the hands that work on it.

    Args:
        folder: The store is in it.
        step: Number of the step that is played; names the checkpoints that it saves.
        wal: A new file gets a write-ahead log, else a rollback journal, whatever the SQLite that is linked. Its bug
            needs two connections that write at once.
    """

    def __init__(self, folder: Path, step: int, *, wal: bool) -> None:
        self.path = folder / "run.db"
        with mock.patch.object(sqlite, "wal_is_safe", lambda version: wal):
            self.store = SQLiteStore(self.path)
        self.store._rows._compiled, self.store._rows._updates = _COMPILED, _UPDATES
        self.checkpoints = LocalCheckpoints(folder_of(self.path) / "checkpoints")
        self.states = States(self.store, self.checkpoints)
        self.store.on_dropped(self.states.forget)
        self.step = step

    def close(self) -> None:
        self.store.close()

    def save(self, size: int, number: int = 0) -> CheckpointRow:
        """A state of so many bytes; always the same, under the same name, in one step."""
        self.states._prefix, self.states._saved = f"step-{self.step}", number
        return self.states.save({"w": np.full(size // 8, float(self.step)), "v": np.arange(10.0)})

    def claim(self, worker: str) -> int | None:
        row = self.store.claim(worker, since=0).row
        return None if row is None else row.member

    def token(self, member: int) -> str:
        return str(self.store.member(member).token)

    def report(
        self, member: int, score: float | None = 1.0, *, size: int = 0, more: bool = True, **fields: Any
    ) -> None:
        checkpoint = self.save(size) if size else None
        status = "pending" if score is None else "ok"
        report = Report(score=score, status=status, checkpoint=checkpoint, **fields)  # type: ignore[arg-type]
        self.store.report(self.token(member), report, since=0, more=more)


INLINE, FILE = 4_000, 80_000


def open_store(play: Play) -> None:
    """Making the file and its tables is what `Play` does."""


def create(play: Play) -> None:
    stretches = (5, 1, 1)
    actions = tuple(
        Assign(member=member, hyperparameters={"x": float(member)}, via="fresh", intervals=stretch)
        for member, stretch in enumerate(stretches)
    )
    play.store.create(RunRow(limit=6), {"population": 3}, Plan(actions=actions))


def register(play: Play) -> None:
    play.store.register(WorkerRow(worker="w0", host="here", pid=1))


def register_another(play: Play) -> None:
    play.store.register(WorkerRow(worker="w1", host="here", pid=2))


def claim(play: Play) -> None:
    assert play.claim("w0") == 0


def claim_another(play: Play) -> None:
    assert play.claim("w1") == 1


def report_a_file(play: Play) -> None:
    """Its member stays with the worker."""
    play.report(0, 1.0, size=FILE)


def report_inline(play: Play) -> None:
    """It lets its member go, and claims the next one in the same transaction."""
    play.report(1, 1.2, size=INLINE)


def report_another_file(play: Play) -> None:
    """The first one stays: two states of a member are kept."""
    play.report(0, 1.3, size=FILE)


def report_and_collect(play: Play) -> None:
    """The first file is given up: it is not among the two newest, nor the best, nor of a boundary."""
    play.report(0, 1.5, size=FILE)


def report_provisional(play: Play) -> None:
    play.report(0, 1.7)


def claim_a_member_that_is_due(play: Play) -> None:
    assert play.claim("w0") == 1


def exploit(play: Play) -> None:
    donor = play.store.member(0).start
    action = Assign(member=1, hyperparameters={"x": -1.0}, sources=(str(donor),), intervals=2)
    play.store.commit(play.token(1), Plan(actions=(action,)), seen=play.store.run().revision, memory_version=0)


def report_a_copy(play: Play) -> None:
    play.report(1, 0.5, size=FILE)


def fail(play: Play) -> None:
    """What was reported without a state is taken back."""
    play.store.fail(play.token(0), "ValueError: it broke")


def expire(play: Play) -> None:
    play.store.expire(["w1"], "it died", counts=True)


def beat(play: Play) -> None:
    play.store.beat(["w0"])


def report_pending(play: Play) -> None:
    play.report(1, None, size=FILE, more=False)


def score(play: Play) -> None:
    play.store.score(next(row.id for row in play.store.intervals() if row.status == "pending"), 9.0)


def claim_again(play: Play) -> None:
    assert play.claim("w0") == 2


def release(play: Play) -> None:
    play.store.release(play.token(2))


def claim_all(play: Play) -> None:
    play.store.claim_all("w0", since=0)


def a_round(play: Play) -> None:
    """A copy, two reports of each member, files that are given up; and all are claimed again."""
    stretches = []
    for row in play.store.members():
        donor = play.store.member(0).start
        copy = Assign(member=row.member, hyperparameters={"x": -2.0}, sources=(str(donor),), intervals=2)
        plan = Plan(actions=(copy,)) if row.member == 2 else Plan(intervals=2)
        reports = [
            Report(score=float(row.member), checkpoint=play.save(size, 2 * row.member + place))
            for place, size in enumerate((INLINE, FILE))
        ]
        stretches.append(Stretch(token=str(row.token), plan=plan, seen=play.store.run().revision, reports=reports))
    play.store.round("w0", stretches, since=0)


def configure(play: Play) -> None:
    play.store.configure({"population": 3, "words": "x" * 10_000})


def extend(play: Play) -> None:
    play.store.extend(8, Plan())


def note(play: Play) -> None:
    play.store.note(EventRow(kind="warning", body="something happened " * 300))


def damage(play: Play) -> None:
    """A member goes on from the state before; the best is chosen again where it was that one."""
    play.store.damaged({str(play.store.member(0).start): "it was cut short"})


def stop(play: Play) -> None:
    play.store.update(status="stopped", reason="enough")


STEPS: tuple[Callable[[Play], None], ...] = (
    open_store, create, register, register_another, claim, claim_another, report_a_file, report_inline,
    report_another_file, report_and_collect, report_provisional, claim_a_member_that_is_due, exploit, report_a_copy,
    fail, expire, beat, report_pending, score, claim_again, release, claim_all, a_round, configure, extend,
    note, damage, stop,
)  # fmt: skip
NAMES = [step.__name__ for step in STEPS]


# -- what happens in a child ----------------------------------------------------------------------------------------


def warm() -> None:
    """What a process does before it forks, so that its children need not: all connections are closed at the end."""
    for wal in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            for number, step in enumerate(STEPS):
                play = Play(Path(folder), number, wal=wal)
                step(play)
                facts(play)
                play.close()


def killed(child: Child, folder: str, step: int, wal: bool) -> None:
    """Play one step, and say so when its call has returned."""
    if step == 0:
        child.arm()
    play = Play(Path(folder), step, wal=wal)
    if step:
        child.arm()
    STEPS[step](play)
    child.say("acknowledged")
    play.close()


def recovered(child: Child, folder: str, wal: bool, **arguments: Any) -> None:
    """Open what a killed process has left."""
    child.arm()
    play = Play(Path(folder), 0, wal=wal)
    play.store.exists()
    play.close()


def refused(child: Child, folder: str, before: str, step: int, wal: bool) -> None:
    """Play one step on a disk that fails, at each of its calls; each time go on when the disk works again.

    Says for each what was raised, and whether the step had its effect; leaves the files for the test to look at.
    """
    for nth in itertools.count(1):
        child.fault = replace(child.fault, nth=nth)
        work = Path(folder) / str(nth)
        shutil.copytree(before, work)
        error, play = None, Play(work, step, wal=wal) if step else None
        known = facts(play) if play else None
        child.arm()
        try:
            play = play or Play(work, step, wal=wal)
            STEPS[step](play)
        except WarrenError as raised:
            error = f"{type(raised).__name__}: {raised}"
        finally:
            hits = child.injector.hits
            child.injector.disarm()
        if not hits:
            break
        play = play or Play(work, step, wal=wal)  # the same connection, where there is one
        effect = facts(play) != known or not step
        if error is not None and not effect:
            STEPS[step](play)
        play.close()
        child.say([nth, error, effect])


def logged(child: Child, folder: str, log: str, wal: bool) -> None:
    """Play the whole script, with each call and the ends of the steps in a log."""
    child.injector.log(Path(log))
    child.arm()
    for number, step in enumerate(STEPS):
        child.injector.mark(f"begin\t{step.__name__}")
        play = Play(Path(folder), number, wal=wal)
        step(play)
        child.injector.mark(f"end\t{step.__name__}")
        play.close()


# -- what is found afterwards ---------------------------------------------------------------------------------------


def facts(play: Play) -> dict[str, Any] | None:
    """All that a store tells, or None where there is no run in it."""
    return everything(play.store) if play.store.exists() else None


def inspect(folder: Path, *, wal: bool) -> dict[str, Any] | None:
    """Open a store after a fault, and see that all is well; gives what it tells."""
    play = Play(folder, 0, wal=wal)
    try:
        found = facts(play)
        if found is not None:
            assert check(play.store, play.states) == []
        play.states.sweep(LATER)
        files = {path.name for path in play.checkpoints.folder.iterdir()} if play.checkpoints.folder.exists() else set()
        assert files == {name for name in play.store.named() if play.store.checkpoint(name).inline is None}
    finally:
        play.close()
    connection = sqlite3.connect(play.path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    finally:
        connection.close()
    return found


def finish(folder: Path, *, wal: bool) -> None:
    """Go on with the run to its end, as a call that resumes it does."""
    play = Play(folder, 1000, wal=wal)
    store = play.store
    try:
        if not store.exists():
            create(play)
        store.expire(["w0", "w1"], "they died", counts=False)
        store.update(status="running", reason=None)
        while (row := store.claim("w2", since=0).row) is not None:
            play.report(row.member, 0.1, size=FILE if row.member == 0 else INLINE, more=False, due=row.budget + 2)
            with contextlib.suppress(StaleLease):  # it was let go
                store.release(str(row.token))
            play.step += 1
        assert all(row.state == "done" and row.budget == store.run().limit for row in store.members())
        assert check(store, play.states) == []
    finally:
        play.close()
