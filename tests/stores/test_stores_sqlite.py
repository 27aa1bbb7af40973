from __future__ import annotations

import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from warren.checkpoints import MemoryCheckpoints
from warren.errors import StaleLease, StoreError
from warren.stores import MemoryStore, Store
from warren.stores.sqlite import SQLiteStore, runs_in, wal_is_safe
from warren.testing.check import check
from warren.testing.stores import StoreContract, Workers
from warren.training import States


class TestSQLiteStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = SQLiteStore(tmp_path / "run.db")
        yield store
        store.close()
        assert_sound(tmp_path / "run.db")


class TestTwoRunsInOneFile(StoreContract):
    """A run does not see the other one beside it."""

    @pytest.fixture
    def twin(self, tmp_path: Path) -> Iterator[Store]:
        store = SQLiteStore(tmp_path / "twin.db", "other")
        Workers(store, population=2, limit=3).round(5.0, None)
        store.close()
        store = SQLiteStore(tmp_path / "twin.db", "mine")
        yield store
        store.close()

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        other = SQLiteStore(tmp_path / "run.db", "other")
        workers = Workers(other, population=2, limit=3)
        workers.round(5.0, None)
        workers.claim("another")
        before = other.run(), other.members(), other.intervals(), other.kept(), other.events()
        store = SQLiteStore(tmp_path / "run.db", "mine")
        yield store
        assert (other.run(), other.members(), other.intervals(), other.kept(), other.events()) == before
        store.close()
        other.close()


def assert_sound(path: Path) -> None:
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        expected = "wal" if wal_is_safe(sqlite3.sqlite_version_info[:3]) else "delete"
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == expected
    finally:
        connection.close()


# -- the file -----------------------------------------------------------------------------------------------------


def test_what_is_written_is_there_when_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "deep" / "run.db"
    store = SQLiteStore(path)
    workers = Workers(store, population=2)
    workers.round(1.0, 2.0)
    workers.claim()
    before = store.run(), store.members(), store.intervals(), store.kept(), store.config()
    store.close()
    again = SQLiteStore(path, create=False)
    assert (again.run(), again.members(), again.intervals(), again.kept(), again.config()) == before
    again.close()


def test_names_of_the_runs_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    for name in ("b", "a"):
        store = SQLiteStore(path, name)
        Workers(store)
        store.close()
    assert runs_in(path) == ["b", "a"]


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        store = SQLiteStore(tmp_path / "run.db")
    finally:
        os.umask(old)
    Workers(store).round(1.0, 2.0, 3.0)
    modes = {path.relative_to(tmp_path): stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    store.close()
    assert modes[Path("run.db.d")] == 0o700
    assert {mode for path, mode in modes.items() if path != Path("run.db.d")} == {0o600}


def test_a_row_is_written_under_its_lease_only(tmp_path: Path) -> None:
    """The second line behind `StaleLease`: the token stands in the statement that writes."""
    for store in (SQLiteStore(tmp_path / "run.db"), MemoryStore()):
        workers = Workers(store, population=2)
        leased, waiting = workers.claim(), store.member(1)
        for row, token in ((leased, None), (leased, "other"), (waiting, "other"), (waiting, str(leased.token))):
            for begin in (store._write, store._many):
                with pytest.raises(StaleLease), begin() as rows:
                    rows.put_member(row, token)
        assert store.members() == [leased, waiting]
        store.close()


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        SQLiteStore(tmp_path / "none.db", create=False)
    with pytest.raises(StoreError, match="there is no store"):
        runs_in(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be made"):
        SQLiteStore(tmp_path / "file" / "run.db")


def _other_program(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE studies (id INTEGER PRIMARY KEY, name TEXT)")
    connection.execute("INSERT INTO studies (name) VALUES ('mine')")
    connection.commit()
    connection.close()


def _no_database(path: Path) -> None:
    path.write_bytes(b"These are my notes, and not a database.\n" * 100)


def _cut_short(path: Path) -> None:
    store = SQLiteStore(path)
    workers = Workers(store, population=20)
    workers.round(*range(20))
    store.close()
    data = path.read_bytes()
    path.write_bytes(data[:4096] + os.urandom(0) + b"\xff" * 8192 + data[12288:20480])


@pytest.mark.parametrize("make", [_other_program, _no_database, _cut_short], ids=lambda make: make.__name__)
@pytest.mark.parametrize("create", [True, False])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_file_that_is_no_store_is_refused_and_left_as_it_is(tmp_path: Path, make: object, create: bool) -> None:
    path = tmp_path / "run.db"
    assert callable(make)
    make(path)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"run\.db"):
        SQLiteStore(path, create=create)
    assert path.read_bytes() == before


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    """A process may be killed between the making of the file and of its tables."""
    (tmp_path / "run.db").write_bytes(b"")
    store = SQLiteStore(tmp_path / "run.db")
    Workers(store).round(1.0, 2.0, 3.0)
    store.close()
    assert_sound(tmp_path / "run.db")


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    store = SQLiteStore(path)
    Workers(store)
    store.close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE warren_schema SET version = 999")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="schema version 999"):
        SQLiteStore(path)
    assert path.read_bytes() == before


def test_what_is_refused_is_closed(tmp_path: Path) -> None:
    """No connection and no file stays open where a store could not be opened."""
    _no_database(tmp_path / "run.db")
    errors = []
    for _ in range(3):
        with pytest.raises(StoreError) as caught:
            SQLiteStore(tmp_path / "run.db")
        errors.append(caught.value)  # with its frames, which the collector cannot have closed by chance
    links = [Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd")]
    assert not [link for link in links if os.path.realpath(link).startswith(str(tmp_path))]


# -- other processes ----------------------------------------------------------------------------------------------

_WRITERS = """
import os, sys
import numpy as np
from warren.stores.sqlite import SQLiteStore
from warren.testing.stores import Workers


def write(path, seed):
    store = SQLiteStore(path, create=False)
    workers = Workers.__new__(Workers)
    workers.store, workers._save_every, workers._inline = store, 2, True
    workers._names = iter(range(seed * 1_000_000, 10**12))
    rng = np.random.default_rng(seed)
    say(f"ready {os.getpid()}")
    turn = store.claim("w", since=0)
    while turn.row is not None:
        row = turn.row
        if row.due <= row.budget:
            donors = [other for other in store.members() if other.member != row.member and other.start is not None]
            if donors and rng.integers(3) == 0:
                row = workers.copy(row, donors[int(rng.integers(len(donors)))].member, intervals=3)
            else:
                row = workers.decide(row, intervals=3)
        turn = workers.report(row, float(rng.normal()), more=True)
        saved = store.member(row.member)
        if saved.last is None:  # else it is provisional until the stretch is saved
            say(f"{row.member} {saved.saved}")


def say(words):
    os.write(1, f"{words}\\n".encode())


# One process imports everything, and makes a writer whenever it is told to: no connection crosses a fork.
for line in sys.stdin:
    child = os.fork()
    if not child:
        write(sys.argv[1], int(line))
        os._exit(0)
    os.waitpid(child, 0)
    say("dead")
"""


def test_nothing_acknowledged_is_lost_when_a_writer_is_killed(tmp_path: Path) -> None:
    """Twenty kills at random moments; after each the record is sound and holds what the writer was told of."""
    path = tmp_path / "run.db"
    store = SQLiteStore(path)
    Workers(store, population=3, limit=1_000_000, stretch=3, save_every=2)
    store.close()
    chance = random.Random(0)
    acknowledged: dict[int, int] = {}
    lines = 0
    environ = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # a fork of a process with threads would be warned of
    with subprocess.Popen(
        [sys.executable, "-c", _WRITERS, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        bufsize=1, env=environ,
    ) as writers:  # fmt: skip
        assert writers.stdin is not None
        assert writers.stdout is not None
        for kill in range(20):
            writers.stdin.write(f"{kill + 1}\n")
            ready, pid = writers.stdout.readline().split()
            assert ready == "ready"
            wanted, said = chance.randrange(5), 0
            while True:
                if said == wanted:  # whenever in its work that is, the record has to hold
                    time.sleep(chance.uniform(0.0, 0.02))
                    os.kill(int(pid), signal.SIGKILL)
                if (line := writers.stdout.readline()) == "dead\n":
                    break
                said += 1
                member, saved = map(int, line.split())
                acknowledged[member] = max(acknowledged.get(member, 0), saved)
            lines += said
            store = SQLiteStore(path, create=False)
            assert check(store, States(store, MemoryCheckpoints())) == []
            store.expire(["w"], "it was killed", counts=False)
            assert check(store, States(store, MemoryCheckpoints())) == []
            for member, saved in acknowledged.items():
                assert store.member(member).saved >= saved
            store.close()
            assert_sound(path)
    assert sum(acknowledged.values()) >= lines > 20
