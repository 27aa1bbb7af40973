"""A damaged or lost file is refused in one line and left as it is: nothing is made anew in its place."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.cli.helpers import COMPLETE, here

from warren.checkpoints import LocalCheckpoints
from warren.errors import StoreError
from warren.stores.sqlite import SQLiteStore
from warren.testing.check import check
from warren.testing.stores import Workers, everything
from warren.training import States

# States that are files, so that there is something to lose.
LARGE = COMPLETE.replace("np.array([float(seed % 5)])", "np.full(20_000, float(seed % 5))")
PAGE = 4096


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    (folder / "toy.py").write_text(LARGE)
    done = here(folder, "run", "toy.py", "--workers", 1)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A finished run of its own for each test."""
    shutil.copytree(finished, tmp_path / "folder")
    return tmp_path / "folder"


def files(folder: Path) -> dict[str, bytes]:
    """Bytes of all files, without what SQLite keeps for the time in which a file is open."""
    found = (path for path in folder.rglob("*.*") if path.is_file() and path.suffix not in (".db-shm", ".db-wal"))
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def refused(folder: Path, *arguments: object) -> str:
    """The line with which a command refuses, having changed no file."""
    before = files(folder)
    done = here(folder, *arguments)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr + done.stdout
    line, *more = done.stderr.splitlines()
    assert more == []
    assert line.startswith("warren: ")
    assert files(folder) == before
    return line


def root_of(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [table]).fetchone()
    return (int(found[0]) - 1) * PAGE


def _header(path: Path) -> bytes:
    return b"\xff" * 100 + path.read_bytes()[100:]


def _no_page_size(path: Path) -> bytes:
    data = path.read_bytes()
    return data[:16] + b"\xff\xff" + data[18:]


def _page_of_members(path: Path) -> bytes:
    start, data = root_of(path, "members"), path.read_bytes()
    return data[:start] + b"\xff" * PAGE + data[start + PAGE :]


def _page_of_intervals(path: Path) -> bytes:
    start, data = root_of(path, "intervals"), path.read_bytes()
    return data[:start] + bytes(PAGE) + data[start + PAGE :]


def _half(path: Path) -> bytes:
    data = path.read_bytes()
    return data[: len(data) // 2]


def _nothing(path: Path) -> bytes:
    return b""


DAMAGES = (_header, _no_page_size, _page_of_members, _page_of_intervals, _half, _nothing)


@pytest.mark.parametrize("damaged", DAMAGES, ids=lambda damaged: damaged.__name__.strip("_"))
def test_a_damaged_file_is_refused_by_every_command_and_left_as_it_is(
    folder: Path, damaged: Callable[[Path], bytes]
) -> None:
    path = folder / "runs" / "toy.db"
    path.write_bytes(damaged(path))
    for command in (
        ("status", "runs/toy.db"),
        ("resume", "runs/toy.db", "--intervals", 9),
        ("run", "toy.py", "--workers", 1, "--intervals", 9),
        ("backup", "runs/toy.db", "copy.db"),
    ):
        assert str(Path("runs") / "toy.db") in refused(folder, *command)


def test_what_was_appended_to_a_file_does_no_harm(folder: Path) -> None:
    path = folder / "runs" / "toy.db"
    path.write_bytes(path.read_bytes() + b"not of this file" * 1000)
    before = files(folder)
    assert here(folder, "status", "runs/toy.db").returncode == 0
    assert files(folder) == before
    done = here(folder, "run", "toy.py", "--workers", 1, "--intervals", 5)
    assert done.returncode == 0, done.stderr
    with closing(SQLiteStore(path, create=False)) as store:
        assert store.run().total == 20
        states = States(store, LocalCheckpoints(folder / "runs" / "toy.db.d" / "checkpoints"))
        assert check(store, states) == []


def test_whatever_page_is_destroyed_it_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    store = SQLiteStore(path)
    workers = Workers(store, population=40, limit=20)
    for _ in range(3):
        workers.round(*range(40))
    before = everything(store)
    store.close()
    data = path.read_bytes()
    caught = 0
    for start in range(0, len(data), PAGE):
        path.write_bytes(data[:start] + b"\xa5" * PAGE + data[start + PAGE :])
        now = path.read_bytes()
        try:
            with closing(SQLiteStore(path, create=False)) as store:
                store.verify()
                assert everything(store) == before
        except StoreError as error:
            assert len(str(error).splitlines()) == 1
            caught += 1
        assert path.read_bytes() == now
    assert caught > len(data) / PAGE * 0.9  # the rest are pages that hold nothing any more


def test_only_a_look_at_the_whole_file_finds_what_no_query_has_read(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    store = SQLiteStore(path)
    Workers(store).round(1.0, 2.0, 3.0)
    store.verify()
    store.close()
    start, data = root_of(path, "events_revision"), path.read_bytes()
    path.write_bytes(data[:start] + b"\xff" * PAGE + data[start + PAGE :])
    store = SQLiteStore(path, create=False)
    assert store.run().total == 3
    with pytest.raises(StoreError, match=r"run\.db is damaged: .*restore a backup"):
        store.verify()
    store.close()


@pytest.mark.parametrize("missing", [1, 100, PAGE // 2, PAGE, 5 * PAGE])
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, missing: int) -> None:
    path = tmp_path / "run.db"
    store = SQLiteStore(path)
    Workers(store).round(1.0, 2.0, 3.0)
    store.close()
    data = path.read_bytes()[:-missing]
    path.write_bytes(data)
    with pytest.raises(StoreError, match=r"run\.db"):
        SQLiteStore(path, create=False).verify()
    assert path.read_bytes() == data


# -- a record that is gone ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", ["nothing", "an empty file", "a file without tables"])
def test_a_lost_file_is_not_made_anew_beside_its_checkpoints(folder: Path, left: str) -> None:
    path = folder / "runs" / "toy.db"
    path.unlink()
    if left == "an empty file":
        path.write_bytes(b"")
    elif left == "a file without tables":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version=1")
    assert len(list((folder / "runs" / "toy.db.d" / "checkpoints").iterdir())) > 4
    line = refused(folder, "run", "toy.py", "--workers", 1)
    for words in ("toy.db is gone or empty", "toy.db.d/checkpoints", "put the file back", "backup", "delete"):
        assert words in line
    line = refused(folder, "status", "runs/toy.db")
    assert ("no store at" if left == "nothing" else "gone or empty") in line
    shutil.rmtree(folder / "runs" / "toy.db.d")
    assert here(folder, "run", "toy.py", "--workers", 1).returncode == 0


def test_a_lost_file_is_not_made_anew_beside_its_log(tmp_path: Path) -> None:
    log = tmp_path / "run.db-wal"
    log.write_bytes(b"commits")
    for _ in range(2):
        with pytest.raises(StoreError, match=r"run\.db is gone or empty, and .*run\.db-wal"):
            SQLiteStore(tmp_path / "run.db")
        assert log.read_bytes() == b"commits"
        (tmp_path / "run.db").write_bytes(b"")


# -- in the middle of a run ---------------------------------------------------------------------------------------

VANDAL = LARGE.replace(
    "        member.report(",
    """
        if member.age == 1:
            with open("runs/toy.db", "r+b") as file:
                file.write(b"\\xff" * 8192)
        member.report(""",
)


def test_damage_in_the_middle_of_a_run_ends_it_with_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert VANDAL != LARGE
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 40, 1))  # with a log, what is in the log is what counts
    (tmp_path / "toy.py").write_text(VANDAL)
    done = here(tmp_path, "run", "toy.py", "--workers", 1, "--plain")
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("warren: the store ")
    assert "not a database; the file is left as it is" in last
    assert "Traceback" not in done.stderr
    assert (tmp_path / "runs" / "toy.db").read_bytes().startswith(b"\xff" * 8192)


def test_texts_that_no_warren_wrote_are_refused_in_one_line(folder: Path) -> None:
    path = folder / "runs" / "toy.db"
    for value in ("{", b"\xff\xfe"):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE members SET hyperparameters = CAST(? AS TEXT) WHERE member = 2", [value])
            connection.commit()
        assert "toy.db cannot be used" in refused(folder, "status", "runs/toy.db")
