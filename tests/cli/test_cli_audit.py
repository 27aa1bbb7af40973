import shutil
import sqlite3
from pathlib import Path

import pytest
from tests.cli.helpers import COMPLETE, here, warren
from tests.cli.test_cli_mistakes import one_line

LARGE = COMPLETE.replace("np.array([float(seed % 5)])", "np.full(50_000, float(seed % 5))")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    (folder / "toy.py").write_text(LARGE)
    done = here(folder, "run", "toy.py", "--workers", 1, "--intervals", 6)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    # The record names the training file where it was: only the store is copied.
    shutil.copytree(finished / "runs", tmp_path / "runs")
    return tmp_path


def damage(folder: Path, places: slice = slice(None)) -> None:
    for path in sorted((folder / "runs" / "toy.db.d" / "checkpoints").iterdir())[places]:
        path.write_bytes(path.read_bytes()[:-8] + b"damaged!")


def test_a_sound_run_is_verified(folder: Path) -> None:
    done = here(folder, "verify", "runs/toy.db")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("sound: 24 intervals, ")
    assert "checkpoints of " in done.stdout


def test_damaged_checkpoints_are_found_and_given_up(folder: Path) -> None:
    """Looking changes nothing; --mend lets members and the best fall back, and the run goes on."""
    damage(folder, slice(0, 1))
    before = (folder / "runs" / "toy.db").read_bytes()
    for _ in range(2):
        done = here(folder, "verify", "runs/toy.db")
        assert done.returncode == 1
        assert "cannot be loaded" in done.stdout
        assert "--mend gives them up" in done.stdout
        assert (folder / "runs" / "toy.db").read_bytes() == before
    done = here(folder, "verify", "runs/toy.db", "--mend")
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("sound: ")
    shown = here(folder, "status", "runs/toy.db").stdout
    assert "is damaged (" in shown
    done = here(folder, "resume", "runs/toy.db", "--workers", 1, "--intervals", 8, "--plain")
    assert done.returncode == 0, done.stderr
    assert here(folder, "verify", "runs/toy.db").returncode == 0


def test_a_member_that_falls_back_is_told_of_while_it_happens(folder: Path) -> None:
    damage(folder)
    done = here(folder, "resume", "runs/toy.db", "--workers", 1, "--intervals", 8, "--plain")
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if "is damaged (" in line]
    assert any("has no state of its own left" in line for line in told)


def test_a_record_that_was_changed_is_found_out(folder: Path) -> None:
    connection = sqlite3.connect(folder / "runs" / "toy.db")
    connection.execute("UPDATE intervals SET score = -score WHERE interval = 2")
    connection.commit()
    connection.close()
    done = here(folder, "verify", "runs/toy.db")
    assert done.returncode == 1
    assert "best" in done.stdout
    done = here(folder, "replay", "runs/toy.db")
    assert done.returncode == 1
    assert "DIFFERENT" in done.stdout


def test_decisions_are_taken_again(folder: Path) -> None:
    done = here(folder, "replay", "runs/toy.db")
    assert (done.returncode, done.stderr) == (0, "")
    assert "16 decisions taken again" in done.stdout
    assert "all the same" in done.stdout


def test_the_winner_is_trained_again(folder: Path) -> None:
    """In a process of its own, with the threads of the run."""
    done = warren(folder, "retrace", "runs/toy.db", "-o", "best.safetensors")
    assert done.returncode == 0, done.stderr
    assert "every score and state is the recorded one, to the bit" in done.stdout
    assert "state best.safetensors" in done.stdout
    assert (folder / "best.safetensors").stat().st_size > 400_000
    done = warren(folder, "retrace", "runs/toy.db", "--member", 2, "--interval", 5)
    assert done.returncode == 0, done.stderr


def test_another_training_file_is_found_out(folder: Path, finished: Path) -> None:
    (finished / "toy.py").write_text(LARGE.replace("* (10 - point.x)", "* (9 - point.x)"))
    try:
        done = warren(folder, "retrace", "runs/toy.db")
    finally:
        (finished / "toy.py").write_text(LARGE)
    assert done.returncode == 1
    assert "from interval 1 of member" in done.stdout
    assert "the score is another one" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("verify", "runs/none.db"), "there is no store"),
        (("replay", "runs/toy.db", "--run", "other"), "there is no run 'other'"),
        (("retrace", "runs/toy.db", "--interval", "3"), "say whose"),
        (("retrace", "runs/toy.db", "--member", "77"), "saved no state of member 77"),
        (("retrace", "runs/toy.db", "-o", "nowhere/best"), "cannot be written"),
    ],
)
def test_mistakes_are_one_line(folder: Path, arguments: tuple[str, ...], words: str) -> None:
    one_line(warren(folder, *arguments), words)
