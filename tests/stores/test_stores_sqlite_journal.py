from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from warren.population import EventRow
from warren.stores.sqlite import SQLiteStore, runs_in, wal_is_safe
from warren.testing.stores import Workers

LIMIT = 4 * 2**20


@pytest.fixture
def fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a SQLite were linked whose log is safe; only one process of the test writes, so that none is hurt."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))


@pytest.fixture
def affected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 2))


def mode(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


def test_versions_of_sqlite_that_are_safe_with_a_log() -> None:
    for version, safe in {
        "3.40.1": False, "3.44.5": False, "3.44.6": True, "3.45.0": False, "3.50.6": False, "3.50.7": True,
        "3.51.2": False, "3.51.3": True, "3.52.0": False, "3.52.1": True, "3.53.0": True,
    }.items():  # fmt: skip
        major, minor, patch = (int(part) for part in version.split("."))
        assert wal_is_safe((major, minor, patch)) is safe, version


@pytest.mark.usefixtures("fixed")
def test_a_new_file_has_a_log_where_that_is_safe(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "run.db")
    Workers(store).round(1.0, 2.0, 3.0)
    for pragma, expected in (("synchronous", 2), ("journal_mode", "wal"), ("foreign_keys", 1)):
        assert store._connection.execute(f"PRAGMA {pragma}").fetchone()[0] == expected
    store.close()
    assert mode(tmp_path / "run.db") == "wal"


@pytest.mark.usefixtures("affected")
def test_a_new_file_has_a_journal_where_a_log_is_not_safe(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "run.db")
    for pragma, expected in (("synchronous", 2), ("journal_mode", "persist"), ("foreign_keys", 1)):
        assert store._connection.execute(f"PRAGMA {pragma}").fetchone()[0] == expected
    store.close()
    assert mode(tmp_path / "run.db") == "delete"


def test_a_file_keeps_its_journal_when_a_log_becomes_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.db"
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 40, 1))
    store = SQLiteStore(path)
    Workers(store)
    store.close()
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))
    store = SQLiteStore(path)
    store.beat([])
    assert store._connection.execute("PRAGMA journal_mode").fetchone()[0] == "persist"
    store.close()
    assert mode(path) == "delete"


@pytest.mark.usefixtures("fixed")
def test_a_log_is_short_again_when_a_reader_lets_go_of_it(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "run.db")
    Workers(store)
    log = tmp_path / "run.db-wal"
    with closing(sqlite3.connect(tmp_path / "run.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        before = reader.execute("SELECT count(*) FROM events").fetchone()
        for _ in range(40):
            store.note(EventRow(kind="note", body="x" * 300_000))
        assert reader.execute("SELECT count(*) FROM events").fetchone() == before
        assert log.stat().st_size > 2 * LIMIT  # what it pins cannot be given up
        reader.execute("COMMIT")
        for _ in range(3):
            store.note(EventRow(kind="note", body="y"))
        assert log.stat().st_size <= LIMIT
    assert len(store.events()) == 43
    store.close()


@pytest.mark.usefixtures("fixed")
def test_a_log_without_readers_stays_short(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "run.db")
    Workers(store)
    for _ in range(60):
        store.note(EventRow(kind="note", body="x" * 300_000))
    assert (tmp_path / "run.db-wal").stat().st_size < 2 * LIMIT
    store.close()


@pytest.mark.usefixtures("affected")
def test_a_journal_is_short_again_after_a_long_transaction(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "run.db")
    Workers(store)
    for _ in range(10):
        store.note(EventRow(kind="note", body="x" * 1_000_000))
    journal = tmp_path / "run.db-journal"
    with store._write():
        store._connection.execute("UPDATE events SET body = '\"\"'")
        assert journal.stat().st_size > 2 * LIMIT
    assert journal.stat().st_size <= LIMIT
    store.close()


@pytest.mark.usefixtures("fixed")
def test_lookers_see_the_last_commit_of_a_log_while_another_writes(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "run.db")
    workers = Workers(store)
    workers.round(1.0, 2.0, 3.0)
    looker = SQLiteStore(tmp_path / "run.db", create=False)
    with store._write() as rows:
        rows.put_config({"population": 3, "note": "not yet"})
        assert runs_in(tmp_path / "run.db") == ["default"]
        assert looker.run().total == 3
        assert looker.config() == {"population": 3}
    assert looker.config() == {"population": 3, "note": "not yet"}
    looker.close()
    store.close()


def test_a_log_is_refused_where_it_loses_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.db"
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))
    store = SQLiteStore(path)
    Workers(store)
    store.close()
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 2))
    before = path.read_bytes()
    with pytest.raises(OSError, match=r"WAL.*3\.51\.3"):
        SQLiteStore(path)
    assert path.read_bytes() == before
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))
    store = SQLiteStore(path)
    assert store.exists()
    store.close()
    assert mode(path) == "wal"  # never converted
