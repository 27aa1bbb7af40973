"""Ctrl-C: once ends the intervals under way, twice stops at once; either way the same command goes on."""

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from tests.cli.helpers import COMPLETE, start, wait_until, warren

import warren as library


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "toy.py").write_text(COMPLETE)
    return tmp_path


def result(folder: Path) -> library.Result:
    return library.open_result(folder / "runs" / "toy.db")


def total(folder: Path) -> int:
    try:
        return result(folder).run.total if (folder / "runs" / "toy.db").exists() else 0
    except library.WarrenError:  # not yet made
        return 0


def training(folder: Path, workers: int) -> bool:
    """Whether every worker has a member in hand, so that what follows interrupts training."""
    return total(folder) >= 2 and sum(row.state == "leased" for row in result(folder).members) == workers


def descendants(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def ended(process: "subprocess.Popen[str]") -> str:
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    lines = err.splitlines()
    assert "Traceback" not in err
    assert lines[-1].startswith("warren: interrupted; the same command")
    return err


@pytest.mark.parametrize("workers", [1, 2])
def test_once_lets_intervals_end_and_the_same_command_finishes(folder: Path, workers: int) -> None:
    arguments = ("run", "toy.py", "--workers", workers, "--intervals", 6)
    process = start(folder, *arguments, PACE="0.3")
    wait_until(lambda: training(folder, workers), "members in training")
    children = descendants(process)
    before = total(folder)
    os.kill(process.pid, signal.SIGINT)
    ended(process)
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert before < total(folder) <= before + 2 * workers  # what was under way has been reported, and no more begun
    assert {row.state for row in result(folder).members} <= {"waiting", "done"}
    done = warren(folder, *arguments)
    assert done.returncode == 0, done.stderr
    assert {row.budget for row in result(folder).members} == {6}
    assert sum(event.kind in ("failure", "lost") for event in result(folder).events) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_twice_stops_at_once_and_leaves_nothing_behind(folder: Path, workers: int) -> None:
    """An interval of a quarter of an hour is begun, and not waited for."""
    file = folder / "toy.py"
    file.write_text(COMPLETE.replace('"PACE", "0"', '"PACE", "0.05" if member.budget < 1 else "900"'))
    arguments = ("run", "toy.py", "--workers", workers)
    process = start(folder, *arguments)
    wait_until(lambda: total(folder) == 4 and training(folder, workers), "long intervals")
    children = descendants(process)
    assert len(children) >= (workers if workers > 1 else 0)
    os.kill(process.pid, signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1.0)
    os.kill(process.pid, signal.SIGINT)
    ended(process)
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert "leased" not in {row.state for row in result(folder).members}
    assert total(folder) == 4
    done = warren(folder, *arguments, PACE="0")
    assert done.returncode == 0, done.stderr
    assert {row.budget for row in result(folder).members} == {3}


def test_a_worker_that_is_interrupted_leaves_the_run_going(folder: Path) -> None:
    main = start(folder, "run", "toy.py", "--workers", 1, "--intervals", 30, PACE="0.1")
    wait_until(lambda: total(folder) > 0, "an interval")
    joined = start(folder, "worker", "runs/toy.db", PACE="0.1")
    wait_until(lambda: len({row.worker for row in result(folder).intervals}) == 2, "an interval of the second worker")
    os.kill(joined.pid, signal.SIGINT)
    _, err = joined.communicate(timeout=60)
    assert joined.returncode == 130
    assert "the run goes on without it" in err
    _, err = main.communicate(timeout=120)
    assert main.returncode == 0, err
    assert {row.budget for row in result(folder).members} == {30}
