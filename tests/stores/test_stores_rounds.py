from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from warren.population import Assign, MemberRow, Plan, Report
from warren.stores import MemoryStore, Stretch
from warren.stores.sql import SqlRows
from warren.stores.sqlite import SQLiteStore
from warren.testing.check import check
from warren.testing.workers import Workers, everything


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(tmp_path / "run.db")
    yield store
    store.close()


def stretch(workers: Workers, row: MemberRow, *actions: Assign, score: float = 1.0) -> Stretch:
    plan = Plan(actions=actions) if actions else None
    due = row.budget + 1 if plan is None else None
    report = Report(score=score, checkpoint=workers.checkpoint(), due=due)
    return Stretch(token=str(row.token), plan=plan, seen=row.revision, reports=(report,))


def copies(workers: Workers, rows: list[MemberRow], score: float) -> list[Stretch]:
    """A round in which one member takes over another's state."""
    source = str(rows[1].start)
    action = Assign(member=rows[0].member, hyperparameters={"x": score}, sources=(source,))
    return [stretch(workers, row, *([action] if row is rows[0] else []), score=score) for row in rows]


WRITES = (
    "put_members", "add_members", "put_intervals", "add_intervals", "add_checkpoints", "put_checkpoints", "add_events",
    "flush",
)  # fmt: skip


@pytest.mark.parametrize("write", WRITES)
def test_an_error_while_a_round_is_written_leaves_no_trace(
    store: SQLiteStore, write: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[str] = []
    workers = Workers(store, population=3, limit=30, inline=False)
    rows = list(store.claim_all("w", since=0).rows.values())
    rows = list(store.round("w", [stretch(workers, row) for row in rows], since=0).rows.values())
    for score in (2.0, 3.0):
        rows = list(store.round("w", copies(workers, rows, score), since=0).rows.values())
    store.on_dropped(dropped.extend)
    before, known = everything(store), store.run().revision

    def broken(*_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch, pytest.raises(Exception, match="disk I/O error"):
        patch.setattr(SqlRows, write, broken)
        store.round("w", copies(workers, rows, 4.0), since=known)
    assert everything(store) == before
    assert dropped == []
    told = store.round(
        "w", copies(workers, rows, 5.0), since=known
    )  # what it read for the round that failed is not used
    assert [one.score for one in told.news] == [5.0, 5.0, 5.0]
    assert dropped
    assert [row.budget for row in told.rows.values()] == [4, 4, 4]
    assert check(store) == []


def test_a_round_knows_what_others_have_written_since_the_last_one(store: SQLiteStore) -> None:
    """It reads again what it knew; a twin in memory, led through the same, has the same record."""
    twin, other = MemoryStore(), SQLiteStore(store.path)
    workers = Workers(store, population=4, limit=30)
    Workers(twin, population=4, limit=30)
    rounds = {one: one.claim_all("w", since=0).rows for one in (store, twin)}
    for turn, what in enumerate(
        ("nothing", "fail", "damage", "assign", "nothing", "expire", "extend", "report", "nothing")
    ):
        given = [stretch(workers, row, score=turn * 1.0) for row in rounds[store].values()]
        if what == "assign":
            for one in (other, twin):
                row = rounds[store][0]
                action = Assign(member=2, hyperparameters={"x": 7.0}, via="keep")
                one.commit(str(row.token), Plan(actions=(action,)), seen=one.run().revision, memory_version=0)
        for one in (store, twin):
            rounds[one] = one.round("w", given, since=0).rows
        assert everything(store) == everything(twin)
        row = rounds[store][1]
        late = stretch(workers, row, score=9.0).reports[0]
        for one in (other, twin):
            if what == "fail":
                one.fail(str(row.token), "it broke")
            elif what == "damage":
                one.damaged({str(row.start): "cut short"}, row.token)
            elif what == "expire":
                one.expire(["w"], "silence", counts=False)
            elif what == "extend":
                action = Assign(member=4, hyperparameters={"x": 4.0}, via="fresh")
                one.extend(40, Plan(actions=(action,)))
            elif what == "report":
                one.report(str(row.token), late, since=0, more=False)
        rounds = {one: one.claim_all("w", since=0).rows for one in (store, twin)}
        assert dict(rounds[store]) == dict(rounds[twin])
    assert everything(store) == everything(twin)
    other.close()


def test_a_round_reads_no_more_often_for_more_members(tmp_path: Path) -> None:
    """Its queries are as many for thirty members as for three; only what is written grows."""
    reads = {}
    for population in (3, 30):
        store = SQLiteStore(tmp_path / f"{population}.db")
        workers = Workers(store, population=population, limit=30, inline=False)
        rows = list(store.claim_all("w", since=0).rows.values())
        rows = list(store.round("w", [stretch(workers, row) for row in rows], since=0).rows.values())
        said: list[str] = []
        store._connection.set_trace_callback(said.append)
        for score in (2.0, 3.0, 4.0):
            known = store.run().revision
            rows = list(store.round("w", copies(workers, rows, score), since=known).rows.values())
        reads[population] = sum(words.startswith("SELECT") for words in said)
        assert sum(words == "COMMIT" for words in said) == 3
        assert sum(words.startswith("INSERT INTO intervals") for words in said) == 3 * population
        store._connection.set_trace_callback(None)
        store.close()
    assert reads[30] == reads[3] < 40


def test_states_inside_the_store_are_not_held_in_memory(store: SQLiteStore) -> None:
    """What a round remembers for the next one are names, and they can be pinned and loaded as before."""
    workers = Workers(store, population=2, limit=30)
    rows = store.claim_all("w", since=0).rows
    told = store.round("w", [stretch(workers, row) for row in rows.values()], since=0)
    assert store._known is not None and store._known.kept is not None
    assert {row.inline for row in store._known.kept.of(None)} == {b""}
    assert all(store.checkpoint(str(row.start)).inline for row in told.rows.values())


def test_a_state_that_comes_and_goes_in_one_round_leaves_no_bytes(store: SQLiteStore) -> None:
    workers = Workers(store, population=2, limit=30, stretch=5)
    reports = [Report(score=float(score), checkpoint=workers.checkpoint()) for score in range(5)]
    row = store.claim_all("w", since=0).rows[0]
    store.round("w", [Stretch(token=str(row.token), reports=reports)], since=0)
    found = store._connection.execute("SELECT dropped IS NULL, inline IS NULL FROM checkpoints ORDER BY interval")
    assert found.fetchall() == [(0, 1), (0, 1), (0, 1), (1, 0), (1, 0)]
