"""A store without its checkpoints, or behind a link: nothing is given up that is only somewhere else."""

import os
import shutil
from pathlib import Path

import pytest
from tests.cli.helpers import COMPLETE, here, opened
from tests.cli.test_cli_mistakes import one_line

# States that are files.
LARGE = COMPLETE.replace("np.array([float(seed % 5)])", "np.full(50_000, float(seed % 5))")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    (folder / "toy.py").write_text(LARGE)
    done = here(folder, "run", "toy.py", "--workers", 1)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "folder")
    return tmp_path / "folder"


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("left", ["nothing", "an empty folder", "another run's checkpoints"])
@pytest.mark.parametrize(
    "command",
    [
        ("resume", "copy.db", "--workers", 1, "--intervals", 6),
        ("run", "toy.py", "--store", "copy.db", "--workers", 1, "--intervals", 6),
        ("worker", "copy.db"),
        ("verify", "copy.db", "--mend"),
        ("backup", "copy.db", "far.db"),
    ],
    ids=lambda command: command[0],
)
def test_a_store_whose_checkpoints_are_away_is_refused_and_nothing_changes(
    folder: Path, left: str, command: tuple[object, ...]
) -> None:
    shutil.copy(folder / "runs" / "toy.db", folder / "copy.db")
    checkpoints = folder / "copy.db.d" / "checkpoints"
    if left != "nothing":
        checkpoints.mkdir(parents=True)
    if left == "another run's checkpoints":
        name = f"{'0' * 64}-another.safetensors"
        (checkpoints / name).write_bytes(b"of another run")
        os.utime(checkpoints / name, (0, 0))  # old enough to be swept
    before = everything_in(folder)
    how = "is not there" if left == "nothing" else "holds none of them"
    one_line(here(folder, *command), f"the folder {checkpoints} {how}", "put it back", "restore a backup")
    assert everything_in(folder) == before


def test_when_the_folder_is_back_the_run_goes_on_with_all_its_states(folder: Path) -> None:
    (folder / "runs" / "toy.db.d").rename(folder / "away")
    resume = ("resume", "runs/toy.db", "--workers", 1, "--intervals", 6)
    one_line(here(folder, *resume), "put it back")
    one_line(here(folder, "verify", "runs/toy.db"), "toy.db.d/checkpoints is not there")
    assert here(folder, "status", "runs/toy.db").returncode == 0
    (folder / "away").rename(folder / "runs" / "toy.db.d")
    assert here(folder, *resume).returncode == 0
    with opened(folder / "runs" / "toy.db") as result:
        assert not [event for event in result.events if event.kind == "damaged"]
    assert here(folder, "verify", "runs/toy.db").returncode == 0


def test_a_store_behind_a_link_keeps_its_states(folder: Path) -> None:
    (folder / "link.db").symlink_to("runs/toy.db")
    assert here(folder, "verify", "link.db").returncode == 0
    assert here(folder, "backup", "link.db", "copy.db").returncode == 0
    assert here(folder, "verify", "copy.db").returncode == 0
    done = here(folder, "resume", "link.db", "--workers", 1, "--intervals", 6)
    assert done.returncode == 0, done.stderr
    assert here(folder, "verify", "runs/toy.db").returncode == 0
    with opened(folder / "runs" / "toy.db") as result:
        assert not [event for event in result.events if event.kind == "damaged"]
    assert not (folder / "link.db.d").exists()
    one_line(here(folder, "backup", "link.db", "runs/toy.db"), "the store itself")
