from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import warren
from warren import runs
from warren.checkpoints import MemoryCheckpoints
from warren.errors import StoreError
from warren.runs.opening import open_store, verified
from warren.stores.migrations import STEPS, known, steps
from warren.stores.schema import SCHEMA_VERSION
from warren.stores.sqlite import SQLiteStore, runs_in
from warren.testing.check import check
from warren.testing.stores import Workers
from warren.training import States

FROZEN = Path(__file__).with_name("store_version_1.sql")
"""A store as the first version left it: never changed."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "run.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FROZEN.read_text(encoding="utf-8"))
    return path


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT version FROM warren_schema").fetchone()[0])


def rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    """All of a file, by table and column."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: [dict(row) for row in connection.execute(f'SELECT * FROM "{name}"')] for name in tables}


def shape(path: Path) -> dict[str, Any]:
    """Tables with their columns, types, whether they may be empty, defaults and keys; and what indexes are made of."""
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        indexes = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index'").fetchall()
        return {
            "indexes": sorted(indexes, key=str),
            **{
                name: sorted(
                    tuple(column)[1:] for column in connection.execute(f'PRAGMA table_info("{name}")').fetchall()
                )
                for name, _ in names
            },
            **{
                f"{name} refers to": sorted(map(str, connection.execute(f'PRAGMA foreign_key_list("{name}")')))
                for name, _ in names
            },
        }


def test_a_store_of_the_first_version_is_opened_with_all_that_is_in_it(old: Path, tmp_path: Path) -> None:
    before = rows(old)
    assert version(old) == 1
    store = SQLiteStore(old, create=False)
    store.migrate()
    assert version(old) == SCHEMA_VERSION
    after = rows(old)
    new = {
        "intervals": {"failures": 0, "kept": None, "lost": None, "via": None, "opponents": "[]"},
        "runs": {"longest": 0.0},
    }
    assert after.pop("warren_schema") == [{"version": SCHEMA_VERSION}]
    before.pop("warren_schema")
    assert after == {name: [{**row, **new.get(name, {})} for row in table] for name, table in before.items()}
    assert check(store, States(store, MemoryCheckpoints())) == []
    assert (store.run().total, len(store.members()), len(store.intervals())) == (6, 3, 6)
    assert (store.run().longest, [row.lost for row in store.intervals()]) == (0.0, [None] * 6)
    store.close()
    assert runs_in(old) == ["default", "other"]
    fresh = SQLiteStore(tmp_path / "fresh.db")
    assert shape(old) == shape(tmp_path / "fresh.db")
    fresh.close()


def test_a_run_of_the_first_version_goes_on(old: Path) -> None:
    store = SQLiteStore(old, create=False)
    store.migrate()
    held = next(row for row in store.members() if row.token is not None)
    workers = Workers.__new__(Workers)
    workers.store, workers._save_every, workers._inline, workers._names = store, 1, True, iter(range(100, 200))
    workers.report(held, 4.0, seconds=2.5)
    workers.round(5.0, 6.0)
    assert store.run().total == 9
    assert store.run().longest == 2.5
    assert check(store, States(store, MemoryCheckpoints())) == []
    store.close()


def test_looking_at_an_older_version_changes_nothing_and_says_what_does(old: Path) -> None:
    before = old.read_bytes()
    assert runs_in(old) == ["default", "other"]
    with closing(SQLiteStore(old, create=False)) as store:
        store.verify()
        for look in (store.run, store.config, lambda: store.beat([])):
            with pytest.raises(StoreError, match=r"schema version 1, .* warren resume .*run\.db brings it"):
                look()
    for call in (warren.open_result, runs.verify, runs.mend, runs.replay, runs.retrace):
        with pytest.raises(StoreError, match="warren resume"):
            call(old)
    assert old.read_bytes() == before
    assert list(old.parent.iterdir()) == [old]


def test_work_brings_a_store_to_this_version(old: Path) -> None:
    with closing(verified(open_store(old, "default", create=False)).store) as store:
        assert store.run().total == 6
    assert version(old) == SCHEMA_VERSION


def test_a_store_that_a_later_warren_brought_further_meanwhile_is_refused(old: Path) -> None:
    with closing(SQLiteStore(old, create=False)) as store:
        with closing(sqlite3.connect(old)) as connection:
            connection.execute("UPDATE warren_schema SET version = 999")
            connection.commit()
        with pytest.raises(StoreError, match="schema version 999"):
            store.migrate()
    assert version(old) == 999


_KILLED = """
import os, signal, sqlite3, sys
from warren.stores import sqlite as room

path, word, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
seen = 0


class Watched(sqlite3.Connection):
    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.set_trace_callback(self.look)
        self.migrating = False

    def look(self, words):
        global seen
        self.migrating = self.migrating or words.startswith("ALTER")
        if words.startswith(word) and self.migrating:
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)


connect = sqlite3.connect
sqlite3.connect = lambda *arguments, **keywords: connect(*arguments, factory=Watched, **keywords)
room.SQLiteStore(path, create=False).migrate()
"""


@pytest.mark.parametrize(("word", "number"), [("ALTER", 1), ("ALTER", 2), ("ALTER", 3), ("UPDATE", 1), ("COMMIT", 1)])
def test_a_kill_in_the_middle_leaves_the_version_before(old: Path, word: str, number: int) -> None:
    before = rows(old)
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(old), word, str(number)], timeout=240, check=False)
    assert killed.returncode == -9
    assert rows(old) == before
    assert version(old) == 1
    store = SQLiteStore(old, create=False)
    store.migrate()
    assert version(old) == SCHEMA_VERSION
    assert check(store, States(store, MemoryCheckpoints())) == []
    store.close()


@pytest.mark.parametrize("found", [0, SCHEMA_VERSION + 1, 999])
def test_a_version_that_no_step_leads_from_is_refused_and_left_as_it_is(old: Path, found: int) -> None:
    with closing(sqlite3.connect(old)) as connection:
        connection.execute("UPDATE warren_schema SET version = ?", [found])
        connection.commit()
    before = old.read_bytes()
    with pytest.raises(StoreError, match=f"schema version {found}, .*reads {SCHEMA_VERSION}"):
        SQLiteStore(old)
    assert old.read_bytes() == before


def test_there_is_a_step_from_every_version_to_this_one() -> None:
    assert sorted(STEPS) == list(range(1, SCHEMA_VERSION))
    assert known(1, SCHEMA_VERSION)
    assert known(SCHEMA_VERSION, SCHEMA_VERSION)
    assert not known(SCHEMA_VERSION + 1, SCHEMA_VERSION)
    assert list(steps(SCHEMA_VERSION, SCHEMA_VERSION)) == []
    assert list(steps(1, 2)) == list(STEPS[1])
