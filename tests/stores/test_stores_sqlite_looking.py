"""A look changes nothing, and needs no right to write."""

from __future__ import annotations

import importlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.cli.helpers import COMPLETE, here

from warren.errors import StoreError
from warren.stores.sqlite import SQLiteStore
from warren.testing.stores import Workers, everything

LARGE = COMPLETE.replace("np.array([float(seed % 5)])", "np.full(20_000, float(seed % 5))")
NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below pytest's own folders, into which only their owner may look."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name).resolve()


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """All of a folder can be read and not written, also where the tests run as root."""
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        with pytest.raises(OSError):
            (folder / "new").touch()
        yield
    finally:
        if root:
            os.seteuid(0)
        for path in paths:
            path.chmod(0o755 if path.is_dir() else 0o644)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("linked", [(3, 40, 1), (3, 51, 3)], ids=["journal", "log"])
def test_a_store_that_can_only_be_read_is_read(
    folder: Path, linked: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", linked)
    path = folder / "run.db"
    with closing(SQLiteStore(path)) as store:
        Workers(store).round(1.0, 2.0, 3.0)
        before = everything(store)
    shutil.rmtree(folder / "run.db.d")  # a copy of the file alone, with all states in it
    files = contents(folder)
    with read_only(folder), closing(SQLiteStore(path, create=False)) as store:
        store.verify()
        assert everything(store) == before
        assert store.names() == ["default"]
        with pytest.raises(StoreError, match=r"run\.db\.d beside the store cannot be written"):
            store.beat([])
    assert contents(folder) == files
    assert not (folder / "run.db.d").exists()


def test_a_commit_that_was_cut_off_is_not_read_as_if_it_were_whole(folder: Path) -> None:
    """It has to be rolled back first, which takes the right to write."""
    path, cut = folder / "run.db", folder / "cut" / "run.db"
    cut.parent.mkdir()
    with closing(SQLiteStore(path)) as store:
        Workers(store).round(1.0, 2.0, 3.0)
        before = everything(store)
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        if writer.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
            pytest.skip("commits to a log are cut off in another way")
        writer.execute("PRAGMA cache_size=1")  # so that pages reach the file before the commit
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE intervals SET score = -1.0")
        writer.execute(
            "CREATE TABLE more AS WITH RECURSIVE n(x) AS (SELECT 1 UNION SELECT x + 1 FROM n LIMIT 9999) "
            "SELECT x, 'words' FROM n"
        )
        for name in ("run.db", "run.db-journal"):
            shutil.copyfile(folder / name, cut.with_name(name))
        writer.execute("ROLLBACK")
    with read_only(folder), pytest.raises(StoreError, match="copy both to where they can"):
        SQLiteStore(cut, create=False)
    with closing(SQLiteStore(cut, create=False)) as store:
        assert everything(store) == before


def test_every_command_that_looks_works_where_nothing_can_be_written(folder: Path) -> None:
    (folder / "toy.py").write_text(LARGE)
    done = here(folder, "run", "toy.py", "--workers", 1)
    assert done.returncode == 0, done.stderr
    before = contents(folder)
    commands = [("status",), ("status", "--json"), ("schedule",), ("replay",), ("verify",)]
    # Who may not write may not read this program's files either: all are imported now.
    importlib.import_module("warren.engines.processes")
    for command, *more in commands:
        assert here(folder, command, "runs/toy.db", *more).returncode == 0
    assert contents(folder) == before
    with read_only(folder):
        for command, *more in commands:
            done = here(folder, command, "runs/toy.db", *more)
            assert (done.returncode, done.stderr) == (0, ""), command
        done = here(folder, "resume", "runs/toy.db", "--intervals", 9)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert contents(folder) == before


def test_a_look_makes_no_file_and_no_folder(tmp_path: Path) -> None:
    with closing(SQLiteStore(tmp_path / "run.db")) as store:
        Workers(store)
    shutil.rmtree(tmp_path / "run.db.d")
    before = contents(tmp_path)
    with closing(SQLiteStore(tmp_path / "run.db", create=False)) as store:
        assert len(store.members()) == 3
    assert contents(tmp_path) == before
    assert not (tmp_path / "run.db.d").exists()
