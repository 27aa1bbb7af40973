from __future__ import annotations

import fcntl
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from warren.checkpoints import MemoryCheckpoints
from warren.errors import StoreError
from warren.stores.contention import Contention, Patience, holders, is_busy, told_of
from warren.stores.sqlite import SQLiteStore
from warren.testing.check import check
from warren.testing.stores import Workers
from warren.training import States

SLOW = 240.0


def wait_for(true: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + SLOW
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {SLOW} s"
        time.sleep(0.005)


# -- whom a wait is for -------------------------------------------------------------------------------------------

LOCKS = """\
1: POSIX  ADVISORY  READ  4711 08:02:131 1073741826 1073742335
2: FLOCK  ADVISORY  WRITE 4712 08:02:132 0 EOF
2: -> FLOCK  ADVISORY  WRITE 4713 08:02:132 0 EOF
3: POSIX  ADVISORY  WRITE 4714 08:02:131 1073741825 1073741825
4: POSIX  ADVISORY  WRITE 4714 08:02:131 1073741824 1073741824
5: POSIX  ADVISORY  WRITE 4715 08:03:131 0 EOF
6: OFDLCK ADVISORY  READ  -1 08:02:131 0 EOF
7: LEASE  ACTIVE    READ  4716 08:02:999 0 EOF
"""
DEVICE = os.makedev(8, 2)


def test_who_holds_a_file_is_read_from_the_kernels_list() -> None:
    both = ("READ", "WRITE")
    assert holders(LOCKS, DEVICE, 131, both) == [4711, 4714, -1]
    assert holders(LOCKS, DEVICE, 131, ["WRITE"]) == [4714]
    assert holders(LOCKS, DEVICE, 132, both) == [4712]  # and not 4713, which waits
    assert holders(LOCKS, os.makedev(8, 3), 131, both) == [4715]
    assert holders(LOCKS, os.makedev(0, 41), 131, both) == [4711, 4714, 4715, -1]  # as on overlay: the number must do
    assert holders(LOCKS, DEVICE, 1, both) == []
    assert holders("", DEVICE, 131, both) == []
    assert holders("1: what is this\n", DEVICE, 131, both) == []


def test_processes_are_named_with_their_commands_and_those_that_are_stopped_first() -> None:
    assert told_of([]) == "another process holds it"
    assert told_of([(7, "", "")]) == "process 7 holds it"
    assert told_of([(7, "python -m warren\n status", "S")]) == "process 7 (python -m warren status) holds it"
    for state in ("T", "t"):
        assert told_of([(7, "vi", state)]) == "process 7 (vi), which is stopped, holds it"
    many = [(1, "a", "S"), (2, "b", "R"), (3, "c", "T"), (4, "d", "S")]
    assert told_of(many) == "process 3 (c), which is stopped, holds it; process 1 (a) holds it; process 2 (b) holds it"


@pytest.mark.parametrize("words", ["database is locked", "database table is locked: runs", "locking protocol"])
def test_another_connection_in_the_way_is_told_from_damage(words: str) -> None:
    assert is_busy(sqlite3.OperationalError(words))
    for other in ("disk I/O error", "database disk image is malformed", "database or disk is full"):
        assert not is_busy(sqlite3.OperationalError(other))


class Cursor:
    """Is in somebody's way for some statements."""

    def __init__(self, error: str, times: int) -> None:
        self.left = times
        self._error = error

    def execute(self, statement: str) -> Cursor:
        if self.left:
            self.left -= 1
            raise sqlite3.OperationalError(self._error)
        return self


def waiting(path: Path) -> tuple[Contention, list[str], list[float]]:
    """With a clock of its own, on which each pause takes a second."""
    said: list[str] = []
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += 1.0

    patience = Patience(clock=lambda: now[0], sleep=sleep, say=lambda line: said.append(f"{now[0]:g} {line}"))
    return Contention(path, path.with_name("lock"), path.with_name("queue"), patience), said, now


def test_a_wait_has_no_end_and_is_told_of_once(tmp_path: Path) -> None:
    contention, said, now = waiting(tmp_path / "run.db")
    cursor: Any = Cursor("database is locked", 29)
    assert contention.execute(cursor, "COMMIT") is cursor
    assert said == []
    cursor = Cursor("database is locked", 100_000)
    assert contention.execute(cursor, "COMMIT") is cursor
    assert cursor.left == 0
    assert now == [28 + 99_999]
    assert said == [
        f"58 warren: the store {tmp_path / 'run.db'} has been waited for 30 s: another process holds it"
    ]  # 30 s after this wait began
    with pytest.raises(sqlite3.OperationalError, match="disk"):
        contention.execute(Cursor("disk I/O error", 1), "COMMIT")  # type: ignore[arg-type]


def test_a_line_that_nobody_can_be_told_ends_no_wait(tmp_path: Path) -> None:
    """Standard error may be a pipe whose reader has gone, and the wait is a member's interval."""

    def gone(line: str) -> None:
        said.append(line)
        raise BrokenPipeError(32, "Broken pipe")

    said: list[str] = []
    contention = Contention(tmp_path / "run.db", tmp_path / "lock", tmp_path / "queue", Patience(notice=0.0, say=gone))
    cursor: Any = Cursor("database is locked", 3)
    assert contention.execute(cursor, "COMMIT") is cursor
    assert len(said) == 1


def test_a_file_that_cannot_be_locked_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"lock and queue in .* cannot be locked: Bad file"):
        waiting(tmp_path / "run.db")[0].take(2**20, 2**20)


# -- who holds the store up ---------------------------------------------------------------------------------------

_OTHER = """
import sqlite3, sys
path, *statements = sys.argv[1:]
connection = sqlite3.connect(path, isolation_level=None)
for statement in statements:
    connection.execute(statement).fetchall()
print("held", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
"""

_OURS = """
import sys
from warren.stores.sqlite import SQLiteStore
store = SQLiteStore(sys.argv[1], create=False)
with store._write() as rows:
    rows.put_config({"population": 1, "by": "the one that was stopped"})
    print("held", flush=True)
    sys.stdin.readline()
"""


_WAITER = """
import sys
from warren.stores.contention import Patience
from warren.stores.sqlite import SQLiteStore
store = SQLiteStore(sys.argv[1], create=False, patience=Patience(notice=0.1, say=lambda line: print(line, flush=True)))
print("ready", flush=True)
sys.stdin.readline()
try:
    store.configure({"population": 1, "by": "the one that waited"})
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.stdin.readline()
    store.configure({"population": 1, "by": "another call"})
"""


@contextmanager
def holder(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the store until it is told to go on."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGSTOP)
    wait_for(lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T", "a stop")


class Said:
    """What was said, and a patience that says it after a moment."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.patience = Patience(notice=0.2, say=self.lines.append)


@pytest.fixture
def journal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SQLite of most systems, with which a reader can be in a commit's way."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 40, 1))


HELD = {
    "a writer": ("BEGIN IMMEDIATE",),
    "a writer that commits": ("BEGIN EXCLUSIVE",),
    "a reader": ("BEGIN", "SELECT name FROM runs"),
}


@pytest.mark.usefixtures("journal")
@pytest.mark.parametrize("stopped", [False, True], ids=["slow", "stopped"])
@pytest.mark.parametrize("statements", HELD.values(), ids=HELD)
def test_another_program_that_holds_the_file_only_delays(
    tmp_path: Path, statements: tuple[str, ...], stopped: bool
) -> None:
    said = Said()
    store = SQLiteStore(tmp_path / "run.db", patience=said.patience)
    workers = Workers(store, population=1)
    row = workers.claim()
    with ThreadPoolExecutor() as pool, holder(_OTHER, store.path, *statements) as process:
        if stopped:
            stop(process)
        report = pool.submit(workers.report, row, 1.0)
        wait_for(lambda: said.lines or report.done(), "a word about the wait")
        assert not report.done()
        if stopped:
            process.send_signal(signal.SIGCONT)
        go_on(process)
        report.result(SLOW)
    assert len(said.lines) == 1
    assert said.lines[0].startswith(f"warren: the store {store.path} has been waited for 0.2 s: process {process.pid} ")
    assert (", which is stopped, holds it" in said.lines[0]) is stopped
    assert store.run().total == 1
    assert check(store, States(store, MemoryCheckpoints())) == []
    store.close()


@pytest.mark.parametrize("end", [signal.SIGCONT, signal.SIGKILL])
def test_a_process_of_the_run_that_was_stopped_while_it_wrote_only_delays(tmp_path: Path, end: signal.Signals) -> None:
    said = Said()
    store = SQLiteStore(tmp_path / "run.db", patience=said.patience)
    workers = Workers(store, population=1)
    row = workers.claim()
    with ThreadPoolExecutor() as pool, holder(_OURS, store.path) as process:
        stop(process)
        report = pool.submit(workers.report, row, 1.0)
        wait_for(lambda: said.lines or report.done(), "a word about the wait")
        assert not report.done()
        if end == signal.SIGCONT:
            go_on(process)
        process.send_signal(end)
        report.result(SLOW)
    assert len(said.lines) == 1
    assert f"process {process.pid} (" in said.lines[0]
    assert said.lines[0].endswith(", which is stopped, holds it")
    written = {"population": 1, "by": "the one that was stopped"}
    assert store.config() == (written if end == signal.SIGCONT else {"population": 1})
    assert store.run().total == 1
    assert check(store, States(store, MemoryCheckpoints())) == []
    store.close()


@pytest.mark.parametrize("end", [signal.SIGCONT, signal.SIGKILL])
def test_a_process_that_was_stopped_while_it_was_next_only_delays(tmp_path: Path, end: signal.Signals) -> None:
    said = Said()
    store = SQLiteStore(tmp_path / "run.db", patience=said.patience)
    Workers(store, population=1)
    waiter = subprocess.Popen(
        [sys.executable, "-c", _WAITER, str(store.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert waiter.stdout is not None
    try:
        assert waiter.stdout.readline() == "ready\n"
        with store._exclusive():
            go_on(waiter)
            assert "has been waited for" in waiter.stdout.readline()
            stop(waiter)
        with ThreadPoolExecutor() as pool:
            written = pool.submit(store.configure, {"population": 1, "by": "the one behind it"})
            wait_for(lambda: said.lines or written.done(), "a word about the wait")
            assert not written.done()
            waiter.send_signal(end)
            written.result(SLOW)
    finally:
        waiter.kill()
        waiter.communicate()
    assert len(said.lines) == 1
    assert f"process {waiter.pid} (" in said.lines[0]
    assert said.lines[0].endswith(", which is stopped, holds it")
    assert store.config() == {"population": 1, "by": "the one behind it"}
    store.close()


def test_who_waits_is_not_blamed(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "run.db")
    Workers(store, population=1)
    said = Said()
    third = SQLiteStore(tmp_path / "run.db", create=False, patience=said.patience)
    waiter = subprocess.Popen(
        [sys.executable, "-c", _WAITER, str(store.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert waiter.stdout is not None
    try:
        assert waiter.stdout.readline() == "ready\n"
        with ThreadPoolExecutor() as pool, holder(_OURS, store.path) as process:
            go_on(waiter)
            assert f"process {process.pid} (" in waiter.stdout.readline()
            written = pool.submit(third.configure, {"population": 1, "by": "the third"})
            wait_for(lambda: said.lines, "a word about the wait")
            assert f"process {process.pid} (" in said.lines[0] and f"process {waiter.pid} (" not in said.lines[0]
            go_on(process)
            written.result(SLOW)
        assert waiter.wait(SLOW) == 0
    finally:
        waiter.kill()
        waiter.communicate()
    third.close()
    store.close()


def test_whoever_has_written_waits_behind_the_one_who_is_next(tmp_path: Path) -> None:
    """The kernel keeps a lock for nobody: who has it could take it again before the other has even woken."""
    said = Said()
    first = SQLiteStore(tmp_path / "run.db")
    Workers(first, population=1)
    other = SQLiteStore(tmp_path / "run.db", create=False, patience=Patience(notice=0.0, say=said.lines.append))
    for turn in range(1, 21):
        order = []

        def write(order: list[str] = order) -> None:
            with other._exclusive():
                order.append("the one who waited")

        with ThreadPoolExecutor() as pool:
            with first._exclusive():
                waited = pool.submit(write)
                wait_for(lambda turn=turn: len(said.lines) == turn, "a word about the wait")
            with first._exclusive():
                order.append("the one who had written")
            waited.result(SLOW)
        assert order == ["the one who waited", "the one who had written"]
    other.close()
    first.close()


@pytest.mark.usefixtures("journal")
def test_looking_and_opening_wait_for_a_commit_that_is_held_up(tmp_path: Path) -> None:
    said = Said()
    store = SQLiteStore(tmp_path / "run.db", patience=said.patience)
    Workers(store, population=1).round(1.0)
    with ThreadPoolExecutor() as pool, holder(_OTHER, store.path, *HELD["a writer that commits"]) as process:
        looked = pool.submit(store.intervals)
        opened = pool.submit(SQLiteStore, store.path, create=False, patience=said.patience)
        wait_for(lambda: len(said.lines) == 2 or looked.done() or opened.done(), "a word about each wait")
        assert not looked.done()
        assert not opened.done()
        go_on(process)
        assert [row.score for row in looked.result(SLOW)] == [1.0]
        again = opened.result(SLOW)
    assert again.run() == store.run()
    again.close()
    store.close()


@pytest.mark.parametrize("by", ["another program", "a process of the run"])
def test_a_wait_can_be_interrupted_and_leaves_nothing_behind(tmp_path: Path, by: str) -> None:
    store = SQLiteStore(tmp_path / "run.db")
    Workers(store, population=1)
    waiter = subprocess.Popen(
        [sys.executable, "-c", _WAITER, str(store.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert waiter.stdout is not None
    code, *rest = (_OTHER, *HELD["a writer"]) if by == "another program" else (_OURS,)
    try:
        assert waiter.stdout.readline() == "ready\n"
        with holder(code, store.path, *rest):
            go_on(waiter)
            assert "has been waited for" in waiter.stdout.readline()
            waiter.send_signal(signal.SIGINT)
            assert waiter.stdout.readline() == "interrupted\n"
        assert store.config() == {"population": 1}
        go_on(waiter)
        assert waiter.wait(SLOW) == 0
    finally:
        waiter.kill()
        waiter.communicate()
    assert store.config() == {"population": 1, "by": "another call"}
    store.close()


class Interrupted:
    """A cursor on which Ctrl-C comes when a statement has just been carried out."""

    def __init__(self, cursor: sqlite3.Cursor, statement: str) -> None:
        self._cursor = cursor
        self._statement = statement

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        found = self._cursor.execute(statement, *values)
        if statement == self._statement:
            self._statement = ""
            raise KeyboardInterrupt
        return found


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "BEGIN"])
def test_an_interrupt_when_a_transaction_has_just_begun_leaves_none_open(tmp_path: Path, statement: str) -> None:
    store = SQLiteStore(tmp_path / "run.db")
    Workers(store, population=1)
    cursor, interrupted = store._cursor, Interrupted(store._cursor, statement)
    store._cursor = interrupted  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        store.configure({"population": 2}) if statement == "BEGIN IMMEDIATE" else store.run()
    assert interrupted._statement == ""
    assert not store._connection.in_transaction
    store._cursor = cursor
    assert store.config() == {"population": 1}
    store.close()


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_an_interrupt_at_any_place_of_the_queue_lets_others_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    store = SQLiteStore(tmp_path / "run.db")
    Workers(store, population=1)
    flock, called = fcntl.flock, []

    def interrupted(file: int, operation: int) -> None:
        flock(file, operation)
        called.append(operation)
        if len(called) == calls:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.configure({"population": 2})
    for name in ("lock", "queue"):
        with open(tmp_path / "run.db.d" / name) as file:
            flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where it is still held
    assert store.config() == {"population": 1}
    store.close()


_FORKED = """
import os, signal, sys
from warren.stores.sqlite import SQLiteStore
store = SQLiteStore(sys.argv[1], create=False)
with store._write() as rows:
    child = os.fork()
    if not child:
        signal.pause()  # a data loader, which knows nothing of its parent's death
    print(child, flush=True)
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_writer_that_dies_lets_others_through_though_a_child_of_it_lives(tmp_path: Path) -> None:
    said = Said()
    store = SQLiteStore(tmp_path / "run.db", patience=said.patience)
    workers = Workers(store, population=1)
    row = workers.claim()
    process = subprocess.Popen(
        [sys.executable, "-c", _FORKED, str(store.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # a fork of a process with threads would be warned of
    )  # fmt: skip
    assert process.stdout is not None
    child = int(process.stdout.readline())
    try:
        assert process.stdout.readline() == "held\n"
        with ThreadPoolExecutor() as pool:
            report = pool.submit(workers.report, row, 1.0)
            wait_for(lambda: said.lines or report.done(), "a word about the wait")
            assert not report.done()
            process.kill()
            process.wait(SLOW)
            try:
                report.result(SLOW)
            finally:
                os.kill(child, 0)  # it has lived all the while
                os.kill(child, signal.SIGKILL)
    finally:
        process.kill()
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        process.communicate()
    assert store.run().total == 1
    store.close()


def test_a_store_that_came_by_a_fork_is_not_written_to(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom warren.stores.sqlite import SQLiteStore\n"
        "store = SQLiteStore(sys.argv[1], create=False)\nstore.beat([])\n"
        "if not os.fork():\n"
        "    try:\n        store.beat([])\n"
        "    except OSError as error:\n        os.write(1, str(error).encode())\n"
        "    os._exit(0)\n"
        "os.wait()\nstore.beat([])\n"
    )
    store = SQLiteStore(tmp_path / "run.db")
    Workers(store, population=1)
    done = subprocess.run(
        [sys.executable, "-c", code, str(store.path)], capture_output=True, text=True, timeout=SLOW, check=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert "forked from, and cannot be written to from here; open it" in done.stdout
    store.close()


def test_nobody_writes_between_the_names_of_checkpoints_and_the_copy_of_their_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a log, a copy alone would not hold writers up, and they delete what the copy names."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 51, 3))  # there is nothing to lose here
    said = Said()
    store = SQLiteStore(tmp_path / "run.db")
    other = SQLiteStore(tmp_path / "run.db", patience=said.patience)
    workers = Workers(other, population=1, inline=False)
    row = workers.claim()
    workers.report(row, 1.0)
    names = []
    with ThreadPoolExecutor() as pool:

        def before(files: Sequence[tuple[str, str]]) -> None:
            names.extend(name for name, _ in files)
            writes.append(pool.submit(other.configure, {"population": 1, "by": "another"}))
            wait_for(lambda: said.lines or writes[0].done(), "the other one waits")
            assert not writes[0].done()

        writes: list[Future[None]] = []
        store.copy(tmp_path / "copy.db", before)
        writes[0].result(SLOW)
    assert names == sorted(store.kept())
    assert len(names) == 1
    copy = SQLiteStore(tmp_path / "copy.db", create=False)
    assert copy.kept() == set(names)
    assert copy.config() == {"population": 1}
    assert store.config() == {"population": 1, "by": "another"}
    for one in (copy, other, store):
        one.close()


# -- many at once -------------------------------------------------------------------------------------------------

_CLAIMERS = """
import os, sys
from warren.population import Report
from warren.stores.sqlite import SQLiteStore
from warren.testing.stores import Workers

path, processes = sys.argv[1], int(sys.argv[2])


def work(name, start):
    store = SQLiteStore(path, create=False)
    workers = Workers.__new__(Workers)
    workers._inline, workers._names = True, iter(range(int(name) * 1_000_000, 10**12))
    os.write(1, b"ready\\n")
    os.read(start, 1)
    turn = store.claim(name, since=10**9)
    while turn.ended is None:
        if turn.row is not None:
            os.write(1, f"{turn.row.token} {turn.row.member} {turn.row.revision}\\n".encode())
            report = Report(score=0.0, checkpoint=workers.checkpoint())
            store.report(str(turn.row.token), report, since=10**9, more=False)
        turn = store.claim(name, since=10**9)
    store.close()


# One process imports everything: no connection crosses a fork.
start, go = os.pipe()
children = []
for number in range(processes):
    child = os.fork()
    if not child:
        os.close(go)
        try:
            work(str(number), start)
        except BaseException as error:
            os.write(1, f"broke {error!r}\\n".encode())
            os._exit(1)
        os._exit(0)
    children.append(child)
os.close(start)
sys.stdin.readline()
os.close(go)
sys.exit(sum(os.waitpid(child, 0)[1] != 0 for child in children))
"""

PROCESSES = 64
MEMBERS, INTERVALS = 50, 20


def test_64_processes_take_1000_turns_each_alone_and_none_is_left_out(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "run.db")
    Workers(store, population=MEMBERS, limit=INTERVALS)
    environ = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # a fork of a process with threads would be warned of
    with subprocess.Popen(
        [sys.executable, "-c", _CLAIMERS, str(store.path), str(PROCESSES)], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True, env=environ,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(PROCESSES)] == ["ready\n"] * PROCESSES
        go_on(process)
        lines = [line.split() for line in process.stdout]
        assert process.wait(SLOW) == 0, lines[-5:]
    # Each claim gave a member to one process, and that one alone until it reported.
    assert len(lines) == MEMBERS * INTERVALS == 1000
    assert len({token for token, _, _ in lines}) == 1000
    assert len({revision for _, _, revision in lines}) == 1000
    ended = {(row.member, row.interval): row for row in store.intervals()}
    assert len(ended) == 1000
    for member in range(MEMBERS):
        last = 0
        turns = sorted((int(revision), token) for token, one, revision in lines if int(one) == member)
        for interval, (began, token) in enumerate(turns, 1):
            row = ended[member, interval]
            assert last < began < row.revision
            assert row.worker == token.partition("-")[0]
            last = row.revision
    assert check(store, States(store, MemoryCheckpoints())) == []
    # Each had a turn. How many is the machine's doing too, which lets some begin late.
    assert len({row.worker for row in store.intervals()}) == PROCESSES
    store.close()
