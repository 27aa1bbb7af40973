from __future__ import annotations

import os
import stat
from contextlib import closing
from pathlib import Path

import pytest

from warren.errors import StoreError
from warren.runs.opening import open_store
from warren.stores.sqlite import SQLiteStore
from warren.testing.stores import Workers


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("link", ["link.db", "linked/run.db", "chain.db"])
def test_through_a_link_a_store_has_the_folder_of_the_file(tmp_path: Path, link: str) -> None:
    (tmp_path / "runs").mkdir()
    path = tmp_path / "runs" / "run.db"
    with closing(SQLiteStore(path)) as store:
        Workers(store)
    (tmp_path / "linked").symlink_to("runs")
    (tmp_path / "link.db").symlink_to("runs/run.db")
    (tmp_path / "chain.db").symlink_to("link.db")
    before = names(tmp_path)
    opened = open_store(tmp_path / link, "default", create=False)
    with closing(opened.store) as store:
        store.beat([])
        assert opened.location == path
    assert names(tmp_path) == before


def test_through_a_link_to_a_file_that_is_not_there_yet_only_the_owner_may_read_it(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to("run.db")
    old = os.umask(0)
    try:
        SQLiteStore(tmp_path / "link.db").close()
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "run.db").stat().st_mode) == 0o600
    assert (tmp_path / "run.db.d").is_dir()
    assert not (tmp_path / "link.db.d").exists()


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/", "the store / is a folder"),
        (".", r"the store \. is a folder, .* run\.db"),
        ("..", r"the store \.\. is a folder"),
        ("", r"the store \. is a folder"),
        ("d/", r"the store d is a folder, .*d/run\.db"),
        ("loop.db", r"the store loop\.db is behind a symbolic link that leads back to itself"),
        ("loop/run.db", "leads back to itself"),
        ("dangling.db", r"symbolic link .*/dangling\.db, and the folder .*/away that .* not there; mount"),
        ("gone/run.db", r"symbolic link .*/gone, and the folder .*/away/runs that .* not there; mount"),
        ("train.py/x.db", r"the store train\.py/x\.db cannot be made or opened: train\.py is a file"),
        ("pipe", "the store pipe is no regular file"),
        ("x" * 300, "cannot be opened: File name too long"),
    ],
)
def test_what_cannot_hold_a_store_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, words: str, create: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    (tmp_path / "loop.db").symlink_to("loop.db")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling.db").symlink_to("away/run.db")
    (tmp_path / "gone").symlink_to("away/runs")
    (tmp_path / "train.py").write_text("x = 1\n")
    os.mkfifo(tmp_path / "pipe")
    before = names(tmp_path)
    with pytest.raises(StoreError, match=words) as caught:
        SQLiteStore(path, create=create)
    assert len(str(caught.value).splitlines()) == 1
    assert names(tmp_path) == before


def test_a_file_that_never_was_a_store_is_not_called_a_damaged_one(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("x = 1\n" * 100)
    with pytest.raises(StoreError, match=r"train\.py is no store of warren") as caught:
        SQLiteStore(tmp_path / "train.py")
    assert "backup" not in str(caught.value)
    (tmp_path / "train.py.d").mkdir()  # what a run leaves beside its store
    with pytest.raises(StoreError, match="restore a backup"):
        SQLiteStore(tmp_path / "train.py")
