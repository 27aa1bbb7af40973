"""Death at every interval: of a worker, of the whole run, of a worker among others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.training import loops

import warren
from warren.engines.processes import Processes
from warren.testing.check import check

ROOT = Path(__file__).parents[2]

ARGUMENTS: dict[str, Any] = {"space": loops.SPACE, "goal": "max", "population": 3, "intervals": 4, "seed": 7}


def test_a_worker_killed_in_every_interval_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = warren.run(loops.quadratic, **ARGUMENTS).digest
    every = [(member, interval) for interval in range(1, 5) for member in range(3)]
    orders = tmp_path / "kill"
    orders.write_text("\n".join(f"{member} {interval}" for member, interval in every))
    monkeypatch.setenv("WARREN_TEST_KILL", str(orders))
    result = warren.run(loops.killed, **ARGUMENTS, store=tmp_path / "run.db", workers=1, engine=Processes())
    assert orders.read_text() == ""
    lost: list[Any] = [event for event in result.events if event.kind == "lost"]
    assert sorted((event.member, event.body["interval"]) for event in lost) == sorted(every)
    assert sorted((row.member, row.interval) for row in result.intervals) == sorted(every)
    assert result.digest == expected
    assert check(result.store, result.states) == []


SCRIPT = """
import sys
import warren
from tests.training.loops import SPACE, slow
if __name__ == "__main__":
    warren.run(slow, space=SPACE, goal="max", population=3, intervals=12, seed=7, store=sys.argv[1],
               workers=int(sys.argv[2]))
"""


def start(script: Path, store: Path, workers: int, **more: str) -> subprocess.Popen[bytes]:
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}", **more}
    return subprocess.Popen(
        [sys.executable, str(script), str(store), str(workers)], env=environ, start_new_session=True, cwd=ROOT
    )


def total(store: Path) -> int:
    try:
        return warren.open_result(store).run.total
    except warren.WarrenError:
        return 0


def wait_until(condition: Any, seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.01)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_whole_run_killed_again_and_again_ends_as_if_it_had_not_been(tmp_path: Path, workers: int) -> None:
    script, store = tmp_path / "script.py", tmp_path / "run.db"
    script.write_text(SCRIPT)
    acknowledged: set[int] = set()
    for goal in (2, 7, 8, 15, 22):
        process = start(script, store, workers, WARREN_TEST_AWAIT=str(tmp_path / "go"))
        wait_until(lambda: total(store) >= goal)  # noqa: B023
        assert process.poll() is None, "the run ended before it was killed"
        os.killpg(process.pid, signal.SIGKILL)  # the supervisor; workers are in groups of their own
        process.wait()
        seen = {row.id for row in warren.open_result(store).intervals}
        assert acknowledged <= seen
        acknowledged = seen
    assert start(script, store, workers).wait(timeout=240) == 0
    result = warren.open_result(store)
    assert acknowledged <= {row.id for row in result.intervals}
    assert sorted((row.member, row.interval) for row in result.intervals) == [
        (member, interval) for member in range(3) for interval in range(1, 13)
    ]
    assert not [event for event in result.events if event.kind in ("failure", "quarantine")]
    if workers == 1:
        whole = warren.run(loops.quadratic, space=loops.SPACE, goal="max", population=3, intervals=12, seed=7)
        assert result.digest == whole.digest


def test_a_dead_worker_of_another_terminal_frees_its_member(tmp_path: Path) -> None:
    """`warren worker` killed in the middle: the others take its member back, and nothing is counted against it."""
    script, store = tmp_path / "script.py", tmp_path / "run.db"
    script.write_text(
        SCRIPT.replace("intervals=12", "intervals=100_000, lease=6.0")
    )  # it goes on until it is interrupted
    run = start(script, store, 1)
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}"}
    join = None
    try:
        wait_until(lambda: total(store) >= 1)
        join = subprocess.Popen(
            [sys.executable, "-c", f"import warren; warren.join({str(store)!r})"], env=environ, start_new_session=True
        )
        wait_until(lambda: len({row.worker for row in warren.open_result(store).intervals}) > 1)
        joined = [row for row in warren.open_result(store).store.workers() if row.pid != run.pid]
        assert len(joined) == 1
        os.kill(joined[0].pid, signal.SIGSTOP)  # else it would leave when its supervisor has gone
        os.killpg(join.pid, signal.SIGKILL)
        os.kill(joined[0].pid, signal.SIGKILL)
        wait_until(lambda: [row.pid for row in warren.open_result(store).store.workers()] == [run.pid])
        before = {row.member: row.budget for row in warren.open_result(store).members}
        wait_until(lambda: all(row.budget > before[row.member] for row in warren.open_result(store).members))
        os.kill(run.pid, signal.SIGINT)
        assert run.wait(timeout=240) != 0
    finally:
        for process in (run, join):
            if process is not None:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    result = warren.open_result(store)
    assert all(row.failures == 0 and row.state == "waiting" for row in result.members)
    for member in range(3):
        mine = [row.interval for row in result.intervals if row.member == member]
        assert mine == list(range(1, len(mine) + 1))
