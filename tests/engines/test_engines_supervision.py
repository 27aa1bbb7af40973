"""What a supervisor waits for, what it ends, and what is left where it is gone itself."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.engines import trying

import warren
from warren.engines.alive import Alive
from warren.engines.child import Child
from warren.engines.processes import Processes
from warren.engines.progress import Waits
from warren.engines.shared import Standing, nameless
from warren.errors import RunFailed
from warren.population import WorkerRow

ROOT = Path(__file__).parents[2]
RUN = """
import sys
import warren
from tests.engines import trying
if __name__ == "__main__":
    warren.run(getattr(trying, sys.argv[2]), space=trying.SPACE, goal="max", population=2, intervals=int(sys.argv[3]),
               store=sys.argv[1], hang=float(sys.argv[4]), workers=2)
"""
ARGUMENTS: dict[str, Any] = {"space": trying.SPACE, "goal": "max", "population": 1, "workers": 1}


def wait_until(true: Callable[[], bool], what: str, seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)


@pytest.fixture
def started() -> Iterator[Callable[..., psutil.Popen]]:
    made: list[tuple[psutil.Popen, list[psutil.Process]]] = []

    def start(store: Path, train: str, intervals: int = 5, hang: float = 600.0, **environ: object) -> psutil.Popen:
        more = {name: str(value) for name, value in environ.items()}
        process = psutil.Popen(
            [sys.executable, "-c", RUN, str(store), train, str(intervals), str(hang)], cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}", **more}, start_new_session=True,
        )  # fmt: skip
        made.append((process, []))
        return process

    yield start
    for process, _ in made:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in process.children(recursive=True):
                child.kill()
            process.kill()
        process.wait(240)


def losses(result: warren.Result) -> list[str]:
    return [str(event.body) for event in result.events if event.kind in ("lost", "failure")]


# -- what is a hang -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hang", [None, 1.0], ids=["by the rule", "as given"])
def test_a_call_that_builds_for_longer_than_an_interval_may_take_is_no_hang(tmp_path: Path, hang: float | None) -> None:
    waits = Waits(first=60.0, least=1.0 if hang is None else 60.0)
    for intervals in (1, 2):  # the second is resumed, when it is known how long an interval takes
        result = warren.run(
            trying.builds, **ARGUMENTS, intervals=intervals, store=tmp_path / "run.db", lease=1.0, hang=hang,
            engine=Processes(waits),
        )  # fmt: skip
    assert losses(result) == []
    assert [row.budget for row in result.members] == [2]


def test_a_hang_in_the_first_interval_of_a_call_is_seen_at_its_own_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARREN_TEST_ONCE", str(tmp_path / "once"))
    result = warren.run(
        trying.hangs_at_first, **ARGUMENTS, intervals=2, store=tmp_path / "run.db", hang=2.0,
        engine=Processes(Waits(least=4.0, dump=60.0)),
    )  # fmt: skip
    # Others may be slow as well where the machine is busy.
    lost = next(loss for loss in losses(result) if " in hangs_at_first" in loss)
    assert float(lost.partition("made no progress for ")[2].partition(" s,")[0]) >= 4.0


def test_the_place_of_a_hang_is_known_though_user_code_took_the_dump_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARREN_TEST_ONCE", str(tmp_path / "once"))
    result = warren.run(
        trying.hangs, **ARGUMENTS, intervals=2, store=tmp_path / "run.db", hang=2.0,
        engine=Processes(Waits(dump=60.0)),
    )  # fmt: skip
    # Others may be slow as well where the machine is busy.
    lost = next(loss for loss in losses(result) if " in hangs" in loss)
    assert "made no progress for " in lost and "trying.py" in lost


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux sets the limit of another process")
def test_the_end_of_a_hang_leaves_no_memory_image() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard == 0:
        pytest.skip("nothing here may leave one")
    code = "import signal, sys, time; signal.signal(signal.SIGABRT, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        resource.prlimit(process.pid, resource.RLIMIT_CORE, (hard, hard))
        child = object.__new__(Child)
        child.process = process  # type: ignore[assignment]
        child.abort(1.0)
        assert resource.prlimit(process.pid, resource.RLIMIT_CORE) == (0, hard)
        process.kill()


def test_what_worker_and_supervisor_tell_each_other() -> None:
    with nameless() as file:
        standing = Standing(file.fileno())
        assert (standing.settled, standing.longest) == (False, 0.0)
        standing.tell(12.5)
        assert (standing.settled, standing.longest) == (False, 12.5)
        standing.settle(True)
        assert (standing.settled, standing.longest) == (True, 12.5)
        standing.settle(False)
        assert not standing.settled


# -- the supervisor is gone, or stopped -----------------------------------------------------------------------------


def test_a_worker_that_hangs_does_not_outlive_its_supervisor_for_long(
    tmp_path: Path, started: Callable[..., psutil.Popen]
) -> None:
    once = tmp_path / "once"
    process = started(tmp_path / "run.db", "hangs", hang=3.0, WARREN_TEST_ONCE=once)
    trying.waits_for(once)
    wait_until(lambda: len(process.children(recursive=True)) == 2, "two workers")
    workers = process.children(recursive=True)
    process.kill()
    assert psutil.wait_procs(workers, timeout=240)[1] == []


def test_what_user_code_starts_finds_an_empty_input(tmp_path: Path, started: Callable[..., psutil.Popen]) -> None:
    assert started(tmp_path / "run.db", "reads", intervals=2).wait(240) == 0
    result = warren.open_result(tmp_path / "run.db")
    assert losses(result) == []
    assert result.best.state()["state"] == {"read": ""}
    result.store.close()


def test_ctrl_z_stops_the_workers_and_fg_lets_them_go_on(tmp_path: Path, started: Callable[..., psutil.Popen]) -> None:
    pace, go = tmp_path / "pace", tmp_path / "go"
    process = started(tmp_path / "run.db", "paces", intervals=60, WARREN_TEST_PACE=pace, WARREN_TEST_AWAIT=go)
    wait_until(lambda: pace.exists() and pace.stat().st_size > 5, "intervals")
    workers = process.children(recursive=True)
    assert len(workers) == 2
    os.kill(process.pid, signal.SIGTSTP)
    wait_until(lambda: process.status() == psutil.STATUS_STOPPED, "the supervisor stopped")
    for worker in workers:
        wait_until(lambda: worker.status() == psutil.STATUS_STOPPED, "a worker stopped")  # noqa: B023
    os.kill(process.pid, signal.SIGCONT)
    go.touch()
    assert process.wait(240) == 0
    result = warren.open_result(tmp_path / "run.db")
    assert losses(result) == []
    assert [row.budget for row in result.members] == [60, 60]
    result.store.close()


# -- what cannot be ended, or begun ---------------------------------------------------------------------------------


@pytest.fixture
def immortal(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Child]]:
    """The first worker that shall be ended does not end, as one that the system holds."""
    held: list[Child] = []
    kill, end = Child.signal, Child.abort

    def abort(child: Child, stuck: float) -> None:
        if held and child not in held:  # another one, where the machine is busy
            end(child, stuck)
            return
        child.stuck = stuck
        held[:] = [child]

    def send(child: Child, number: int) -> None:
        if child not in held:
            kill(child, number)

    monkeypatch.setattr(Child, "abort", abort)
    monkeypatch.setattr(Child, "signal", send)
    yield held
    for child in held:
        with contextlib.suppress(ProcessLookupError):  # one that was given up ends itself after a while
            os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait(240)


def test_a_worker_that_nothing_ends_is_given_up_and_its_member_trained_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, immortal: list[Child]
) -> None:
    monkeypatch.setenv("WARREN_TEST_ONCE", str(tmp_path / "once"))
    result = warren.run(
        trying.hangs, **ARGUMENTS, intervals=3, store=tmp_path / "run.db", hang=2.0,
        engine=Processes(Waits(dump=0.1, end=0.2)),
    )  # fmt: skip
    [child] = immortal
    words = f"hangs in the system, where nothing ends it (process {child.process.pid})"
    assert sum(words in lost for lost in losses(result)) == 1  # others may be slow as well where the machine is busy
    assert [(row.state, row.budget) for row in result.members] == [("done", 3)]
    assert result.store.workers() == []


def test_the_end_of_a_run_does_not_wait_for_a_worker_that_nothing_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, immortal: list[Child], capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WARREN_TEST_ONCE", str(tmp_path / "once"))

    def watch(result: warren.Result) -> None:
        if immortal:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        warren.run(
            trying.hangs, **ARGUMENTS, intervals=3, store=tmp_path / "run.db", hang=2.0, watch=watch,
            engine=Processes(Waits(dump=60.0, end=0.2)),
        )  # fmt: skip
    [child] = immortal
    assert f"process {child.process.pid} does not end: the system holds it" in capfd.readouterr().err


def test_a_worker_that_cannot_be_started_is_one_line_and_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments: dict[str, Any] = {**ARGUMENTS, "intervals": 2, "store": tmp_path / "run.db", "engine": "processes"}

    def refuse(*arguments: object, **more: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    opened: list[int] = []
    pipe = os.pipe

    def piped() -> tuple[int, int]:
        opened.extend(pair := pipe())
        return pair

    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", refuse)
        patched.setattr(os, "pipe", piped)
        with pytest.raises(RunFailed, match="cannot be started: Too many open files; use fewer workers") as raised:
            warren.run(trying.paces, **arguments)
    assert "\n" not in str(raised.value)
    for handle in opened:
        with pytest.raises(OSError):
            os.fstat(handle)


def test_a_nameless_file_is_found_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = tempfile.TemporaryFile

    def full(*arguments: Any, dir: Path | None = None, **more: Any) -> Any:
        if dir is None:
            raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")
        return make(*arguments, dir=dir, **more)

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    if sys.platform == "linux":
        nameless().close()  # in memory
    monkeypatch.delattr(os, "memfd_create", raising=False)
    with nameless(tmp_path) as file:
        assert file.write(b"x") == 1
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="No usable temporary directory"):
        nameless()


# -- who is alive ---------------------------------------------------------------------------------------------------

HOLDS = """
import fcntl, sys
try:
    fcntl.lockf(open(sys.argv[1], "r+"), fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    print("held")
"""


def test_two_users_of_a_store_in_one_process_leave_each_other_alone(tmp_path: Path) -> None:
    one, other = Alive(tmp_path), Alive(tmp_path)
    row = WorkerRow(worker="w", host=socket.gethostname(), pid=os.getpid())
    one.hold("w")
    assert not other.dead(row)
    path = tmp_path / "workers" / "w"
    assert path.exists()
    seen = subprocess.run([sys.executable, "-c", HOLDS, str(path)], capture_output=True, text=True, timeout=240)
    assert seen.stdout == "held\n", seen.stderr
    one.let_go("w")
    assert not other.dead(row), "of this very process there is nothing to find out"


def test_a_worker_that_holds_no_lock_yet_is_known_by_its_process(tmp_path: Path) -> None:
    (tmp_path / "workers").mkdir()
    alive = Alive(tmp_path)
    rows = [WorkerRow(worker="w", host=socket.gethostname(), pid=pid) for pid in (os.getppid(), 2**30, 2**70)]
    assert [alive.dead(row) for row in rows] == [False, True, True]
