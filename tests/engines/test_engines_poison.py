"""Members that always fail, in every way that there is: each is quarantined with its reason, and the rest go on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.training import loops

import warren
from warren.engines import child
from warren.engines.processes import Processes
from warren.engines.progress import Mark, Waits
from warren.testing.check import check

HEALTHY = 3
PLACES = {
    "exception": ("ValueError: poisoned", "harm"),
    "memory": ("MemoryError", "exhaust"),
    "leave": ("SystemExit: 4", "harm"),
    "exit": ("its worker died: exit code 3", ""),
    "kill": ("its worker died: signal SIGKILL", ""),
    "segfault": ("its worker died: signal SIGSEGV, at", "harm"),
    "hang": ("its worker made no progress for", "harm"),
}
"""What the last line of the error says, and the function whose line is in the traceback."""


@pytest.mark.parametrize("synchronous", [False, True], ids=["asynchronous", "synchronous"])
def test_each_kind_of_failure_is_retried_rescued_and_quarantined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], synchronous: bool
) -> None:
    tried = tmp_path / "tried"
    monkeypatch.setenv("WARREN_TEST_TRIED", str(tried))
    # Each death starts a process: of those that are seen alike, one is enough where members wait for each other.
    harms = ("nan", "exception", "exit", "hang") if synchronous else loops.HARMS
    monkeypatch.setenv("WARREN_TEST_HARMS", " ".join(harms))
    hanging = tmp_path / "hanging"
    hanging.touch()
    monkeypatch.setenv("WARREN_TEST_HANGING", str(hanging))

    def limited(mark: Mark, limit: float, waits: Waits) -> float:
        """Those that are slow because the machine is busy are waited for."""
        return limit if mark[0].partition("-")[0] in hanging.read_text().split() else 600.0

    monkeypatch.setattr("warren.engines.processes.allowed", limited)
    monkeypatch.setattr(child, "oom_texts", lambda: ("", ""))  # others may be killed for memory meanwhile
    store = tmp_path / "run.db"
    poisoned = len(harms)
    result = warren.run(
        loops.poisoned, space=loops.SPACE, goal="max", population=poisoned + HEALTHY, intervals=5, workers=2, seed=3,
        store=store, synchronous=synchronous, hang=2.0, lease=3.0, strategy=warren.PBT(exploit="none"),
        engine=Processes(Waits(least=0.0, dump=60.0)),
    )  # fmt: skip
    assert check(result.store, result.states) == []
    assert [row.state for row in result.members] == ["quarantined"] * poisoned + ["done"] * HEALTHY
    assert [row.budget for row in result.members[poisoned:]] == [5] * HEALTHY
    told = capsys.readouterr().err
    shown = subprocess.run(
        [sys.executable, "-m", "warren", "status", str(store)], capture_output=True, text=True, timeout=240,
        env={**os.environ, "COLUMNS": "400"},
    )  # fmt: skip
    assert shown.returncode == 0, shown.stderr
    attempts: dict[int, list[list[str]]] = {}
    for line in tried.read_text().splitlines():
        member, interval, arrival, lr = line.split()
        if int(interval) > 1:
            attempts.setdefault(int(member), []).append([interval, arrival, lr])

    for member, kind in enumerate(harms):
        events: list[Any] = [event for event in result.events if event.member == member and event.kind != "decision"]
        assert events[-1].kind == "quarantine", kind
        error = str(result.members[member].error)
        assert f"member {member} is quarantined: {error.splitlines()[-1]}" in shown.stdout
        assert f"member {member} is quarantined after failing again and again: {error.splitlines()[-1]}" in told
        if kind == "nan":  # its intervals are used up, and from the first on it is rescued
            assert [attempt[:2] for attempt in attempts[member][1:]] == [["3", "exploited"], ["4", "exploited"]]
            continue
        words, function = PLACES[kind]
        assert [event.kind for event in events[:-1]] == ["lost" if "worker" in words else "failure"] * 3, kind
        for event in events:
            last = event.body["error"].splitlines()[-1]
            assert words in last, kind
            place = [line for line in event.body["error"].splitlines() if line.strip().startswith("File")]
            assert not function or any("loops.py" in line and line.endswith(f", in {function}") for line in place), kind
        first, again, rescued = attempts[member]
        assert [first[0], again[0], rescued[0]] == ["2", "2", "2"]
        assert again[2] == first[2], "the first is tried again as it is"
        assert (again[1], rescued[1]) == ("resumed", "exploited"), "the next is rescued"


def test_many_that_die_one_after_another_do_not_end_the_run_of_the_others(tmp_path: Path) -> None:
    result = warren.run(
        loops.perishing, space=loops.SPACE, goal="max", population=5, intervals=3, workers=1, engine="processes",
        store=tmp_path / "run.db", strategy=warren.PBT(exploit="none", warmup=0),
    )  # fmt: skip
    assert [event.kind for event in result.events].count("lost") == 12
    assert result.intervals[5].interval == 2, "no interval came between the deaths"
    assert [row.state for row in result.members] == ["quarantined"] * 4 + ["done"]
    assert result.run.status == "done"


def test_a_worker_that_the_system_killed_for_memory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = iter(range(100))
    monkeypatch.setattr(child, "oom_texts", lambda: (f"oom 3\noom_kill {next(counted)}\n", ""))
    orders = tmp_path / "kill"
    orders.write_text("1 2")
    monkeypatch.setenv("WARREN_TEST_KILL", str(orders))
    result = warren.run(
        loops.killed, space=loops.SPACE, goal="max", population=2, intervals=2, workers=1, engine="processes",
        store=tmp_path / "run.db",
    )  # fmt: skip
    [lost] = [event for event in result.events if event.kind == "lost"]
    assert "killed by the system for memory" in str(lost.body) and "fewer workers" in str(lost.body)
    assert result.run.status == "done"


SCRIPT = """
import os, sys
import warren
if __name__ != "__main__":
    os._exit(5)
def train(slot):
    for member in slot:
        member.state = {}
        member.report(member["lr"])
warren.run(train, space={"lr": warren.Float(0.0, 1.0)}, goal="max", population=2, intervals=2, store=sys.argv[1],
           workers=2)
"""


def test_deaths_without_a_member_are_told_and_end_the_run_where_they_repeat(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "run.db")], capture_output=True, text=True, timeout=240
    )
    assert done.returncode != 0
    assert "workers died one after another without an interval, the last by exit code 5" in done.stderr
    assert "a worker that held no member any more ended: its worker died: exit code 5" in done.stderr
