from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from warren.population import MemberRow, Report
from warren.stores import MemoryStore
from warren.stores.sql import SqlRows
from warren.stores.sqlite import SQLiteStore
from warren.testing.check import check
from warren.testing.stretches import tell_the_same
from warren.testing.workers import Workers, everything


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(tmp_path / "run.db")
    yield store
    store.close()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What single rows are asked for, by name; `members` where all are read."""
    found: list[str] = []

    def counted(name: str) -> Callable[..., Any]:
        call = getattr(SqlRows, name)

        def counting(*args: Any) -> Any:
            found.append(name)
            return call(*args)

        return counting

    for name in ("members", "holder", "claimable", "referenced"):
        monkeypatch.setattr(SqlRows, name, counted(name))
    return found


def work(workers: Workers, times: int, worker: str = "w") -> None:
    """Members are claimed and reported, and now and then one copies another."""
    row = workers.store.claim(worker, since=0).row
    for turn in range(times):
        assert row is not None
        if row.budget and turn % 3 == 0:
            row = workers.copy(row, (row.member + 1) % 3)
        row = workers.report(row, float(turn % 5), more=True, since=workers.store.run().revision).row
    assert row is not None
    workers.store.release(str(row.token))


def test_a_worker_that_nobody_disturbs_stops_asking_for_rows(store: SQLiteStore, reads: list[str]) -> None:
    workers = Workers(store, limit=50)
    row = workers.claim()
    for turn in range(30):
        if turn == 10:
            assert reads.count("members") == 1
            reads.clear()
        told = workers.report(row, float(turn), more=True, since=store.run().revision).row
        assert told is not None
        row = told
    assert reads == []


def test_what_is_known_tells_the_same_as_what_is_read(store: SQLiteStore) -> None:
    twin = MemoryStore()
    for one in (store, twin):
        work(Workers(one, limit=50), 60)
        assert check(one) == []
    tell_the_same(store, twin)


def test_a_worker_is_told_all_that_is_new_to_it(store: SQLiteStore) -> None:
    workers = Workers(store, limit=50)
    row: MemberRow | None = workers.claim()
    for turn in range(12):
        assert row is not None
        since = max(0, store.run().revision - 5)
        told = workers.report(row, float(turn), more=True, since=since)
        assert list(told.news) == [one for one in store.changes(0).news if one.revision > since]
        row = told.row


def test_what_another_connection_wrote_is_read_again(store: SQLiteStore, tmp_path: Path) -> None:
    """Each meets what the other has done in between, however much it knows itself."""
    other, twin = SQLiteStore(tmp_path / "run.db"), MemoryStore()
    Workers(store, limit=50)
    Workers(twin, limit=50)
    for first, second in ((Workers.over(store), Workers.over(other)), (Workers.over(twin), Workers.over(twin))):
        second._names = itertools.count(2_000_000)
        work(first, 12, "a")
        row = second.claim("b")
        second.store.fail(str(row.token), "it broke")
        work(first, 1, "a")
        work(second, 12, "b")
        second.store.damaged({second.start_of(1): "cut short"})
        work(first, 12, "a")
    assert check(store) == []
    ours, its = everything(store), everything(twin)
    assert ours["members"] == its["members"] and ours["changes"] == its["changes"]
    other.close()


def test_workers_that_take_turns_do_not_read_all_members(store: SQLiteStore, tmp_path: Path, reads: list[str]) -> None:
    other = SQLiteStore(tmp_path / "run.db")
    first, second = Workers(store, limit=50), Workers.over(other)
    for _ in range(20):
        for workers, worker in ((first, "a"), (second, "b")):
            workers.report(workers.claim(worker), 1.0)
    assert "members" not in reads
    other.close()


def test_many_members_are_not_read_for_a_few_transactions(store: SQLiteStore, reads: list[str]) -> None:
    workers = Workers(store, population=200, limit=50)
    row = workers.claim()
    for _ in range(10):
        told = workers.report(row, 1.0, more=True, since=store.run().revision).row
        assert told is not None
        row = told
    assert "members" not in reads


def test_an_error_while_an_interval_is_written_leaves_no_trace(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = Workers(store, limit=50)
    row: MemberRow | None = workers.claim()
    for _ in range(10):
        assert row is not None
        row = workers.report(row, 1.0, more=True).row
    assert row is not None
    before = everything(store)

    def broken(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    report = Report(score=9.0, checkpoint=workers.checkpoint())
    with monkeypatch.context() as patch, pytest.raises(Exception, match="disk I/O error"):
        patch.setattr(SqlRows, "add_checkpoints", broken)
        store.report(str(row.token), report, since=0)
    assert everything(store) == before
    store.report(str(row.token), report, since=0, more=False)
    work(workers, 12)
    assert check(store) == []
