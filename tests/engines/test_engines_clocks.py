"""Leases and hangs are judged on the observer's own clock, whatever clocks say elsewhere."""

from __future__ import annotations

import ast
import math
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.cli.helpers import COMPLETE, here

import warren
from warren.engines.alive import Alive, Beater, Expiry
from warren.engines.progress import Progress, Waits, allowed, cadence, marks, patience
from warren.population import Keys, MemberRow, RunRow, WorkerRow
from warren.runs.opening import recorded, recorded_job
from warren.stores import MemoryStore
from warren.strategies import PBT

ENGINES = Path(warren.__file__).parent / "engines"
SPACE: dict[str, Any] = {"lr": warren.Float(0.0, 1.0)}


class Clock:
    """Seconds that a test sets."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def leased(*workers: str) -> MemoryStore:
    """A run in which each worker of another machine holds a member."""
    store = MemoryStore()
    plan = PBT().start(warren.Space(SPACE), len(workers), Keys(seed=0, member=-1, interval=0))
    store.create(RunRow(limit=5), {}, plan)
    for worker in workers:
        store.register(WorkerRow(worker=worker, host="elsewhere", pid=1))
        store.claim(worker, since=0)
    return store


def holders(store: MemoryStore) -> set[str]:
    return {str(row.worker) for row in store.members() if row.worker is not None}


def test_the_silent_are_expired_and_the_beating_are_not() -> None:
    store, clock = leased("beats", "silent"), Clock()
    expiry = Expiry(store, Alive(None), clock, 60.0)
    freed = []
    for _ in range(8):
        store.beat(["beats"])
        freed.append(expiry.reap())
        clock.now += 10.0
    assert freed == [0] * 7 + [1]
    assert holders(store) == {"beats"}


@pytest.mark.parametrize("start", [-1e9, 0.0, 1e9], ids=["early", "zero", "late"])
def test_observers_whose_clocks_differ_judge_alike(start: float) -> None:
    store, clock = leased("silent"), Clock(start)
    expiry = Expiry(store, Alive(None), clock, 60.0)
    while holders(store) and clock.now - start < 200:
        expiry.reap()
        clock.now += 10.0
    assert clock.now - start == 80.0


@pytest.mark.parametrize("jump", [3600.0, 31.0], ids=["an hour", "just over half a lease"])
def test_an_observer_that_was_asleep_expires_nobody_and_counts_anew(jump: float) -> None:
    store, clock = leased("late", "silent"), Clock()
    expiry = Expiry(store, Alive(None), clock, 60.0)
    for _ in range(5):
        expiry.reap()
        clock.now += 10.0
    clock.now += jump - 10.0
    assert expiry.reap() == 0
    clock.now += 10.0
    store.beat(["late"])  # it was asleep as well
    freed = []
    for _ in range(7):
        freed.append(expiry.reap())
        clock.now += 10.0
    assert freed == [0] * 6 + [1]
    assert holders(store) == {"late"}


def test_an_observer_that_is_always_late_does_not_make_the_silent_immortal() -> None:
    store, clock = leased("silent"), Clock()
    expiry = Expiry(store, Alive(None), clock, 60.0)
    for _ in range(5):
        expiry.reap()
        clock.now += 40.0
    assert holders(store) == set()


def test_a_clock_that_goes_back_expires_nobody_and_makes_nobody_immortal() -> None:
    store, clock = leased("silent"), Clock(1000.0)
    expiry = Expiry(store, Alive(None), clock, 60.0)
    for back in (0.0, 50.0, 0.0, 0.0):
        clock.now -= back
        assert expiry.reap() == 0
        clock.now += 20.0
    for _ in range(9):
        expiry.reap()
        clock.now += 20.0
    assert holders(store) == set()


def test_what_an_observer_knows_better_is_not_judged() -> None:
    store, clock = leased("own"), Clock()
    expiry = Expiry(store, Alive(None), clock, 60.0)
    for _ in range(20):
        assert expiry.reap(["own"]) == 0
        clock.now += 10.0


# -- progress -------------------------------------------------------------------------------------------------------


def test_how_long_is_waited_for_progress() -> None:
    assert patience(None, 1.0, settled=True) == 1800.0
    assert patience(None, 3600.0, settled=True) == 20 * 3600.0
    assert patience(2.0, 3600.0, settled=True) == 2.0
    # Nothing says how long a first interval takes, whatever the others took: it builds, loads data and compiles.
    assert [patience(None, longest, settled=False) for longest in (0.0, 1.0, 3600.0)] == [21600.0, 21600.0, 72000.0]
    assert [patience(hang, 1.0, settled=False) for hang in (2.0, 7200.0)] == [1800.0, 7200.0]
    assert patience(2.0, 1.0, settled=False, waits=Waits(least=3.0)) == 3.0
    assert allowed(("lease", 1), 2.0) == 2.0
    assert [allowed(("", 0), limit) for limit in (2.0, 7200.0)] == [1800.0, 7200.0]  # it loads, or leaves
    assert (cadence(None, 10.0), cadence(2.0, 10.0), cadence(1e6, 10.0)) == (10.0, 0.5, 10.0)


def test_a_mark_that_stands_still_is_a_hang_and_the_first_look_starts_the_clock() -> None:
    clock = Clock(77.0)
    progress = Progress(clock)
    found = []
    for second in range(0, 100, 10):
        clock.now = 77.0 + second
        gets_on = ("lease", second // 20)
        found.append(progress.look({"hangs": ("lease", 3), "gets on": gets_on}, {"hangs": 60.0, "gets on": 60.0}))
    assert found == [{}] * 7 + [{"hangs": 70.0}, {"hangs": 80.0}, {"hangs": 90.0}]


def test_a_new_lease_at_the_same_budget_is_progress_and_so_is_having_none() -> None:
    clock = Clock()
    progress = Progress(clock)
    looks: list[dict[str, Any]] = [{"w": ("a", 1)}, {"w": ("b", 1)}, {}, {"w": ("b", 1)}, {"w": ("b", 1)}]
    for look in looks:
        assert progress.look(look, {"w": 60.0}) == {}
        clock.now += 25.0
    assert progress.look({"w": ("b", 1)}, {"w": 60.0}) == {}
    clock.now += 25.0
    assert progress.look({"w": ("b", 1)}, {"w": 60.0}) == {"w": 75.0}


def test_an_observer_of_progress_that_was_asleep_counts_anew() -> None:
    clock = Clock()
    progress = Progress(clock)
    for now in (0.0, 20.0, 40.0, 1000.0, 1020.0, 1040.0, 1060.0):
        clock.now = now
        assert progress.look({"w": ("a", 1)}, {"w": 60.0}) == {}
    clock.now = 1061.0
    assert progress.look({"w": ("a", 1)}, {"w": 60.0}) == {"w": 61.0}


def test_an_observer_of_progress_that_is_always_late_does_not_make_a_hang_immortal() -> None:
    clock = Clock()
    progress = Progress(clock)
    found: dict[str, float] = {}
    for _ in range(5):
        found = progress.look({"w": ("a", 1)}, {"w": 60.0})
        clock.now += 40.0
    assert found != {}


def test_each_worker_has_a_limit_of_its_own() -> None:
    clock = Clock()
    progress = Progress(clock)
    stuck = []
    for _ in range(6):
        stuck.append(progress.look({"builds": ("a", 1), "trains": ("b", 1)}, {"builds": 45.0, "trains": 25.0}))
        clock.now += 10.0
    assert stuck == [{}, {}, {}, {"trains": 30.0}, {"trains": 40.0}, {"builds": 50.0, "trains": 50.0}]


def test_who_has_something_to_get_on_with() -> None:
    rows = [
        MemberRow(member=0, hyperparameters={}, state="leased", token="t", worker="trains", budget=4),
        MemberRow(member=1, hyperparameters={}, state="leased", token="u", worker="elsewhere", budget=2),
        MemberRow(member=2, hyperparameters={}),
    ]
    found = marks(["trains", "waits", "loads"], rows, ["trains", "waits", "elsewhere"])
    assert found == {"trains": ("t", 4), "loads": ("", 0)}


# -- what is recorded -----------------------------------------------------------------------------------------------


def steady(slot: warren.Slot) -> None:
    for member in slot:
        member.state = {}
        member.report(member["lr"])


@pytest.mark.parametrize(("lease", "beat"), [(1.0, 1 / 6), (30.0, 5.0), (600.0, 10.0)])
def test_lease_and_hang_are_recorded_for_those_that_join(tmp_path: Path, lease: float, beat: float) -> None:
    store = tmp_path / "run.db"
    for given in (lease + 1, lease):  # what the last call said is in force
        warren.run(
            steady, space=SPACE, goal="max", population=1, intervals=1, store=store, workers=1, lease=given,
            hang=given * 3,
        )  # fmt: skip
    opened, config, loaded, settings = recorded(store, "default")
    job = recorded_job(opened, config, loaded, settings, warren.Stop(), 1)
    assert (job.lease, job.hang, job.beat) == (lease, lease * 3, pytest.approx(beat))
    old = {name: value for name, value in config.items() if name not in ("lease", "hang")}
    job = recorded_job(opened, old, loaded, settings, warren.Stop(), 1)
    assert (job.lease, job.hang) == (60.0, None)


def test_the_command_takes_a_hang(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(COMPLETE)
    done = here(tmp_path, "run", "toy.py", "--workers", 1, "--hang", 700)
    assert done.returncode == 0, done.stderr
    config: Any = warren.open_result(tmp_path / "runs" / "toy.db").store.config()
    assert (config["hang"], config["lease"]) == (700.0, 60.0)
    refused = here(tmp_path, "run", "toy.py", "--workers", 1, "--hang", 0.5)
    assert refused.returncode == 2
    assert "hang must be at least 1 s" in refused.stderr and "Traceback" not in refused.stderr


@pytest.mark.parametrize("name", ["lease", "hang"])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.5, "must be at least 1 s"),
        (0, "must be at least 1 s"),
        (math.nan, "must be at least 1 s"),
        (math.inf, "finite"),
        (True, "a number of seconds"),
        ("60", "a number of seconds"),
    ],
)
def test_times_that_cannot_be_kept_are_refused(name: str, value: Any, words: str) -> None:
    with pytest.raises(warren.WarrenError, match=f"{name} .*{words}"):
        warren.run(steady, space=SPACE, goal="max", population=1, intervals=1, **{name: value})


# -- no wall clock --------------------------------------------------------------------------------------------------

STEADY = {"monotonic", "perf_counter", "sleep"}


def wall_clocks(source: str) -> list[str]:
    """Each use of a clock that can be set."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "time" and node.attr not in STEADY:
            found.append(f"line {node.lineno}: {ast.unparse(node)}")
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            found += [f"line {node.lineno}: {alias.name}" for alias in node.names if alias.name not in STEADY]
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None)]
            found += [f"line {node.lineno}: {name}" for name in names if name == "datetime"]
        elif isinstance(node, ast.Attribute) and node.attr in ("st_mtime", "st_ctime", "st_atime"):
            found.append(f"line {node.lineno}: {ast.unparse(node)}")
    return found


@pytest.mark.parametrize("path", sorted(ENGINES.glob("*.py")), ids=lambda path: path.name)
def test_no_engine_reads_a_wall_clock(path: Path) -> None:
    assert wall_clocks(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "time.time()",
        "from time import time_ns",
        "import datetime",
        "from datetime import datetime",
        "x.stat().st_mtime",
    ],
)
def test_the_reader_finds_wall_clocks(source: str) -> None:
    assert wall_clocks(source)


@pytest.mark.parametrize("stopped", [False, True])
def test_a_beat_meets_a_store_that_was_closed_under_it(monkeypatch: pytest.MonkeyPatch, stopped: bool) -> None:
    monkeypatch.setattr("warren.engines.alive._GRACE", 0.0)
    said: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", said.append)
    begun, closed = threading.Event(), threading.Event()

    def tick() -> None:
        begun.set()
        closed.wait()
        raise sqlite3.ProgrammingError("Cannot operate on a closed database.")

    with Beater(tick, 0.0) as beater:
        begun.wait()
        if not stopped:  # nobody has left: that is a fault, and is told
            closed.set()
            beater._thread.join()
    closed.set()
    beater._thread.join()
    assert [one.exc_type for one in said] == ([] if stopped else [sqlite3.ProgrammingError])
