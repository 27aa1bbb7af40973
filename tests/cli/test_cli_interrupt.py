"""Ctrl-C: once ends the intervals under way, twice stops at once; either way the same command goes on."""

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.cli.helpers import COMPLETE, environment, interrupt, opened, start, wait_until
from tests.cli.helpers import warren as command

import warren
from warren.cli import app


class Folder:
    """A training file, the processes that were started on it, and the run as it stands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.started: list[subprocess.Popen[str]] = []
        (path / "toy.py").write_text(COMPLETE)

    def start(self, *arguments: object, **more: str) -> "subprocess.Popen[str]":
        self.started.append(start(self.path, *arguments, **more))
        return self.started[-1]

    def read(self, what: Callable[[warren.Result], Any]) -> Any:
        with opened(self.path / "runs" / "toy.db") as result:
            return what(result)

    def total(self) -> int:
        try:
            return self.read(lambda result: result.run.total) if (self.path / "runs" / "toy.db").exists() else 0
        except warren.WarrenError:  # not yet made
            return 0

    def states(self) -> list[str]:
        return self.read(lambda result: [row.state for row in result.members])

    def budgets(self) -> set[int]:
        return self.read(lambda result: {row.budget for row in result.members})

    def workers(self) -> int:
        return self.read(lambda result: len({row.worker for row in result.intervals}))

    def leased(self) -> int:
        """Members in training."""
        try:
            return self.states().count("leased") if (self.path / "runs" / "toy.db").exists() else 0
        except warren.WarrenError:  # not yet made
            return 0


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path)
    yield made
    for process in made.started:
        if process.poll() is None:
            for child in descendants(process):
                child.kill()
            process.kill()
        process.communicate()


def descendants(process: "subprocess.Popen[str]") -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def ended(process: "subprocess.Popen[str]") -> None:
    _, err = process.communicate(timeout=240)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("warren: interrupted; the same command")


@pytest.mark.parametrize("workers", [1, 2])
def test_once_lets_intervals_end_and_the_same_command_finishes(folder: Folder, workers: int) -> None:
    waits = 'while not os.path.exists("go"): time.sleep(0.02)'
    (folder.path / "toy.py").write_text(
        COMPLETE.replace("        time.sleep(", f"        {waits}\n        time.sleep(")
    )
    arguments = ("run", "toy.py", "--workers", workers, "--intervals", 20)
    process = folder.start(*arguments, PACE="2")
    wait_until(lambda: folder.leased() == workers, "members in training")
    children = descendants(process)
    interrupt(process)
    (folder.path / "go").touch()
    ended(process)
    assert psutil.wait_procs(children, timeout=240)[1] == []
    # What was under way has been reported, and no more begun. Worker processes are told of it a moment later.
    assert folder.total() == 1 if workers == 1 else 2 <= folder.total() <= 4
    assert set(folder.states()) <= {"waiting", "done"}
    done = command(folder.path, *arguments)
    assert done.returncode == 0, done.stderr
    assert folder.budgets() == {20}
    assert not folder.read(_failures)


@pytest.mark.parametrize("workers", [1, 2])
def test_twice_stops_at_once_and_leaves_nothing_behind(folder: Folder, workers: int) -> None:
    """Every member's second interval takes a quarter of an hour, which is not waited for."""
    pace = '"PACE", "900" if member.budget else "0"'
    (folder.path / "toy.py").write_text(COMPLETE.replace('"PACE", "0"', pace))
    arguments = ("run", "toy.py", "--workers", workers)
    process = folder.start(*arguments)

    def in_long_intervals() -> bool:
        return folder.total() > 0 and folder.read(_leased) == [1] * workers

    wait_until(in_long_intervals, "long intervals")
    before = folder.total()
    children = descendants(process)
    assert len(children) >= (workers if workers > 1 else 0)
    interrupt(process)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1.0)
    os.kill(process.pid, signal.SIGINT)
    ended(process)
    assert psutil.wait_procs(children, timeout=240)[1] == []
    assert "leased" not in folder.states()
    assert folder.total() == before
    done = command(folder.path, *arguments, PACE="0")
    assert done.returncode == 0, done.stderr
    assert folder.budgets() == {3}


def test_a_worker_that_is_interrupted_leaves_the_run_going(folder: Folder) -> None:
    main = folder.start("run", "toy.py", "--workers", 1, "--intervals", 1000, PACE="0.1")
    wait_until(lambda: folder.total() > 0, "an interval")
    joined = folder.start("worker", "runs/toy.db", PACE="0.1")
    wait_until(lambda: folder.workers() == 2, "an interval of the second worker")
    os.kill(joined.pid, signal.SIGINT)
    _, err = joined.communicate(timeout=240)
    assert joined.returncode == 130
    assert "the run goes on" in err
    before = folder.total()
    wait_until(lambda: folder.total() > before + 2, "more intervals of the first one")
    assert not folder.read(_failures)
    os.kill(main.pid, signal.SIGINT)
    ended(main)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_goes_on_to_its_end_though_nobody_reads_what_it_prints(folder: Folder, workers: int) -> None:
    read, write = os.pipe()
    os.close(read)  # as ``warren run ... 2>&1 | head -1``
    arguments = ("run", "toy.py", "--workers", workers, "--report", "report.html")
    if importlib.util.find_spec("plotly") is None:
        arguments = arguments[:-2]
    done = subprocess.run(
        [sys.executable, "-m", "warren", *map(str, arguments)], cwd=folder.path, env=environment(), stdout=write,
        stderr=write, timeout=240,
    )  # fmt: skip
    os.close(write)
    assert done.returncode == 0
    assert folder.states() == ["done"] * 4
    assert (folder.path / "report.html").exists() == ("--report" in arguments)


def test_a_run_without_a_standard_error_goes_on_to_its_end(folder: Folder) -> None:
    command = f"exec {sys.executable} -m warren run toy.py --workers 1 2>&-"
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder.path, env=environment(), stdout=subprocess.PIPE, text=True, timeout=240
    )
    assert done.returncode == 0
    assert folder.states() == ["done"] * 4
    assert "warren:" not in done.stdout, "what belongs to standard error is not mixed into the output"


def test_a_command_that_trains_and_could_not_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(app, "_carry_out", broken)
    assert {name: app.main([name]) for name in ("run", "resume", "worker", "status", "schedule")} == {
        "run": 1, "resume": 1, "worker": 1, "status": 0, "schedule": 0,
    }  # fmt: skip


def _failures(result: warren.Result) -> list[str]:
    return [event.kind for event in result.events if event.kind in ("failure", "lost")]


def _leased(result: warren.Result) -> list[int]:
    """Budgets of the members that are in training."""
    return [row.budget for row in result.members if row.state == "leased"]
