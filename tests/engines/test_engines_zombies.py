"""Workers that come back, that race, and that hang: the record takes each interval once, and nobody is waited for."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.training import loops

import warren
from warren.checkpoints import MemoryCheckpoints
from warren.engines.alive import Alive, Expiry
from warren.engines.work import work
from warren.errors import StaleLease
from warren.population import Keys, Plan, Report, RunRow, View, WorkerRow
from warren.stores import MemoryStore
from warren.stores.contention import holders
from warren.stores.folder import folder_of
from warren.stores.sqlite import SQLiteStore
from warren.strategies import PBT, Strategy
from warren.testing.check import check
from warren.training import Settings, States, Turns

ROOT = Path(__file__).parents[2]
RUN = """
import sys
import warren
from tests.training import loops
if __name__ == "__main__":
    warren.run(getattr(loops, sys.argv[2]), space=loops.SPACE, goal="max", population=2, intervals=5, seed=7,
               synchronous=True, store=sys.argv[1], lease=1.0, hang=float(sys.argv[4]), workers=1, engine=sys.argv[3])
"""
MEET = """
import os, time
from pathlib import Path
from warren.stores.sqlite import SQLiteStore
create, mine = SQLiteStore.create, Path(f"{os.environ['WARREN_TEST_MEET']}.{os.getpid()}")
def met(*arguments):
    mine.touch()
    while len(list(mine.parent.glob(f"{mine.stem}.*"))) < 2:
        time.sleep(0.001)
    return create(*arguments)
SQLiteStore.create = met
"""
JOIN = "import sys, warren; warren.join(sys.argv[1], hang=600.0)"
SAME: dict[str, Any] = {
    "space": loops.SPACE, "goal": "max", "population": 2, "intervals": 5, "seed": 7, "synchronous": True,
}  # fmt: skip
EVERY = [(member, interval) for member in range(2) for interval in range(1, 6)]


class Processes:
    """Processes of a test, which end with it."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[str]] = []

    def start(self, code: str, *arguments: object, **environ: object) -> subprocess.Popen[str]:
        more = {name: str(value) for name, value in environ.items()}
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)], text=True, cwd=ROOT, stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}", **more}, start_new_session=True,
        )  # fmt: skip
        self.started.append(process)
        return process


@pytest.fixture
def processes() -> Iterator[Processes]:
    made = Processes()
    yield made
    for process in made.started:
        if process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
        process.communicate()


def wait_until(true: Callable[[], bool], what: str, seconds: float = 240.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)


def read(store: Path, what: Callable[[warren.Result], Any]) -> Any:
    try:
        result = warren.open_result(store)
    except warren.WarrenError:  # not yet made
        return None
    try:
        return what(result)
    finally:
        result.store.close()


def budgets(store: Path) -> list[int]:
    return read(store, lambda result: [row.budget for row in result.members]) or [0, 0]


def freeze(pid: int, store: Path) -> None:
    """Stop a process at a moment when it is in nobody's way at the store: the others could but wait for it."""

    def stopped() -> bool:
        try:
            states = [(task / "stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
        except (FileNotFoundError, ProcessLookupError):  # a thread that ended meanwhile
            return False
        return all(state.rpartition(")")[2].split()[0] == "T" for state in states)

    while True:
        os.kill(pid, signal.SIGSTOP)
        wait_until(stopped, "a stop of every thread")
        locks = Path("/proc/locks").read_text()
        files = [os.stat(file) for file in (store, *(folder_of(store) / name for name in ("lock", "queue")))]
        if not any(pid in holders(locks, file.st_dev, file.st_ino, ("READ", "WRITE")) for file in files):
            return
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.05)  # else it hardly gets on


def whole(store: Path, expected: str) -> warren.Result:
    """The run, which has to be as if nothing had happened."""
    result = warren.open_result(store)
    assert check(result.store, result.states) == []
    assert [(row.state, row.budget) for row in result.members] == [("done", 5)] * 2
    assert sorted((row.member, row.interval) for row in result.intervals) == EVERY
    assert result.digest == expected
    return result


def test_a_worker_stopped_past_its_lease_is_refused_when_it_comes_back(tmp_path: Path, processes: Processes) -> None:
    expected = warren.run(loops.waits, **SAME).digest
    store, here, go = tmp_path / "run.db", tmp_path / "here", tmp_path / "go"
    main = processes.start(RUN, store, "waits", "inline", 600, WARREN_TEST_AWAIT=here)
    wait_until(lambda: sum(budgets(store)) > 0, "an interval")
    joined = processes.start(JOIN, store, WARREN_TEST_MAKE=here, WARREN_TEST_AWAIT=go)
    wait_until(lambda: here.exists() and here.read_text() != "", "the joined worker in the middle of an interval")
    member = int(here.read_text())
    mine = read(store, lambda result: result.intervals[0].worker)
    [zombie] = [child.pid for child in psutil.Process(joined.pid).children()]
    for pid in (joined.pid, zombie):  # the supervisor too: nobody beats for it
        freeze(pid, store)
    wait_until(lambda: budgets(store)[member] >= 2, "its member taken over")
    go.touch()
    for pid in (zombie, joined.pid):
        os.kill(pid, signal.SIGCONT)
    assert (main.wait(240), joined.wait(240)) == (0, 0)
    result = whole(store, expected)
    assert any(f"member {member} was given to another worker" in warning for warning in result.warnings)
    # On a busy machine either worker may be late again, for any member, and be refused before it has done anything.
    lost = [event for event in result.events if event.kind in ("lost", "failure")]
    assert all("no sign of life for 1 s" in str(event.body) for event in lost)
    assert any((event.member, event.body["interval"]) == (member, 2) for event in lost)
    assert sum("was given to another worker" in warning for warning in result.warnings) <= len(lost)
    assert [row.worker for row in result.intervals if (row.member, row.interval) == (member, 2)] == [mine]
    # What it published before it was refused lies there, and nobody has ever heard of it.
    files = {path.name for path in (tmp_path / "run.db.d" / "checkpoints").iterdir()}
    recorded = {row.checkpoint for row in result.intervals}
    assert 1 <= len(files - recorded) <= len(lost)
    assert result.store.kept() <= files


def test_a_hang_of_this_process_is_told_and_its_member_is_taken_over(tmp_path: Path, processes: Processes) -> None:
    expected = warren.run(loops.waits, **SAME).digest
    store, here, go = tmp_path / "run.db", tmp_path / "here", tmp_path / "go"
    main = processes.start(RUN, store, "waits", "inline", 2, WARREN_TEST_MAKE=here, WARREN_TEST_AWAIT=go)
    wait_until(here.exists, "the hang")
    joined = processes.start(JOIN, store)
    assert joined.wait(240) == 0
    assert main.poll() is None, "nobody ends it"
    go.touch()
    _, told = main.communicate(timeout=240)
    assert main.returncode == 0
    assert told.count("no progress for ") == 1
    assert "engines/work.py" not in told, "the stack begins with the user's own function"
    assert "loops.py:" in told and " in waits; others may take the member" in told
    assert "while awaited is not None and not Path(awaited).exists():" in told or "time.sleep(0.01)" in told
    result = whole(store, expected)
    lost = [str(event.body) for event in result.events if event.kind in ("lost", "failure")]
    assert lost, "the member was taken over"
    assert all("no sign of life for 1 s" in body for body in lost), "others may be late too where the machine is busy"


def test_a_stopped_worker_of_a_living_supervisor_is_ended_and_replaced(tmp_path: Path, processes: Processes) -> None:
    expected = warren.run(loops.waits, **SAME).digest
    store, stops = tmp_path / "run.db", tmp_path / "stops"
    main = processes.start(RUN, store, "waits", "processes", 2, WARREN_TEST_STOP=stops)
    _, told = main.communicate(timeout=240)
    assert main.returncode == 0, told
    result = whole(store, expected)
    lost = [str(event.body) for event in result.events if event.kind in ("lost", "failure")]
    assert any("its worker made no progress for " in body for body in lost)
    assert not psutil.pid_exists(int(stops.read_text()))


@pytest.mark.parametrize("engine", ["inline", "processes"])
def test_the_third_interrupt_gets_out_though_the_store_is_held(
    tmp_path: Path, processes: Processes, engine: str
) -> None:
    store, here, go = tmp_path / "run.db", tmp_path / "here", tmp_path / "go"
    main = processes.start(RUN, store, "waits", engine, 600, WARREN_TEST_MAKE=here, WARREN_TEST_AWAIT=go)
    wait_until(here.exists, "a worker in the middle of an interval")
    workers = psutil.Process(main.pid).children(recursive=True)
    assert len(workers) == (engine == "processes")
    with open(tmp_path / "run.db.d" / "lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # as a process that was stopped while it wrote
        for _ in range(2):
            os.kill(main.pid, signal.SIGINT)
            with pytest.raises(subprocess.TimeoutExpired):
                main.wait(1.0)
        for _ in range(2):  # once more, where the first two came before one of them was heard
            os.kill(main.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                main.wait(60)
                break
        assert main.poll() not in (None, 0)
        assert psutil.wait_procs(workers, timeout=240)[1] == []


def test_two_runs_started_at_once_on_a_store_that_is_not_there_share_it(tmp_path: Path, processes: Processes) -> None:
    expected = warren.run(loops.quadratic, **SAME).digest
    for attempt in range(3):
        store, meet = tmp_path / f"{attempt}.db", tmp_path / f"meet-{attempt}"
        both = [processes.start(MEET + RUN, store, "quadratic", "inline", 600, WARREN_TEST_MEET=meet) for _ in range(2)]
        for process in both:
            _, told = process.communicate(timeout=240)
            assert process.returncode == 0, told
        whole(store, expected).store.close()


# -- the same, step by step -----------------------------------------------------------------------------------------


def made(store: SQLiteStore | MemoryStore, members: int, limit: int) -> bool:
    """Make a run; False where it is there already."""
    space = warren.Space(loops.SPACE)
    plan = PBT(exploit="none").start(space, members, Keys(seed=0, member=-1, interval=0))
    return store.create(RunRow(limit=limit), {"population": members}, plan)


def at_once(*calls: Callable[[], object]) -> None:
    """Let threads do things at the same moment, as far as that can be had."""
    barrier = threading.Barrier(len(calls))
    errors: list[BaseException] = []

    def do(call: Callable[[], object]) -> None:
        barrier.wait()
        try:
            call()
        except StaleLease:
            pass
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=do, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_run_that_several_make_at_once_is_made_once(tmp_path: Path) -> None:
    for number in range(10):
        path, answers = tmp_path / f"{number}.db", []

        def make(path: Path = path, answers: list[bool] = answers) -> None:
            store = SQLiteStore(path)
            answers.append(made(store, 3, 5))
            store.close()

        at_once(make, make, make)
        assert sorted(answers) == [False, False, True]
        store = SQLiteStore(path)
        assert len(store.members()) == 3 and check(store) == []
        store.close()


def test_an_owner_and_its_rescuer_never_both_complete_an_interval(tmp_path: Path) -> None:
    owner, rescuer = (SQLiteStore(tmp_path / "run.db") for _ in range(2))
    rounds = 25
    states = States(owner, MemoryCheckpoints())
    made(owner, 1, rounds)
    for number in range(rounds):
        for store, name in ((owner, "owner"), (rescuer, "rescuer")):
            store.register(WorkerRow(worker=f"{name}-{number}", host="elsewhere", pid=1))
        row = owner.claim(f"owner-{number}", since=0).row
        assert row is not None and row.token is not None
        token = row.token

        def complete(token: str = token) -> None:
            owner.report(token, Report(score=1.0, checkpoint=states.save({"by": 1.0})), since=0, more=False)

        def rescue(number: int = number) -> None:
            rescuer.expire([f"owner-{number}"], "taken for dead", counts=False)
            row = rescuer.claim(f"rescuer-{number}", since=0).row
            if row is not None and row.token is not None:
                # Only what the owner has not done: else this would be the interval after it.
                if row.budget == number:
                    checkpoint = states.save({"by": 2.0})
                    rescuer.report(row.token, Report(score=2.0, checkpoint=checkpoint), since=0, more=False)
                else:
                    rescuer.release(row.token)

        at_once(complete, rescue) if number % 2 else at_once(rescue, complete)
        assert [row.interval for row in owner.intervals()] == list(range(1, number + 2))
        [newest] = [row for row in owner.intervals() if row.interval == number + 1]
        assert newest.score == (1.0 if newest.worker.startswith("owner") else 2.0)
        assert states.load(str(newest.checkpoint))["by"] == newest.score
    assert check(owner, states) == []
    for store in (owner, rescuer):
        store.close()


def test_a_death_that_three_see_is_one_failure(tmp_path: Path) -> None:
    stores = [SQLiteStore(tmp_path / "run.db") for _ in range(3)]
    made(stores[0], 1, 3)
    alive = Alive(tmp_path / "run.db.d")
    for number in range(12):
        dead = WorkerRow(worker=f"dead-{number}", host=socket.gethostname(), pid=2**30)  # no process has such a number
        stores[0].register(dead)
        row = stores[0].claim(dead.worker, since=0).row
        assert row is not None
        others = [Expiry(store, alive, time.monotonic, 60.0).reap for store in stores[1:]]
        at_once(lambda: stores[0].expire([dead.worker], "its worker died", counts=True), *others)  # noqa: B023
        lost = [event for event in stores[0].events() if event.kind == "lost"]
        assert len(lost) == number + 1
        member = stores[0].member(0)
        counted = sum("died" in str(event.body) for event in lost)
        assert member.failures == min(counted, 3)
        if member.state == "quarantined":
            stores[0].extend(3, Plan(), revive=True)
            break
    assert check(stores[0]) == []
    for store in stores:
        store.close()


class Meddled:
    """A strategy that lets something happen between its decision and the commit of it, once.

    Args:
        strategy: Who decides.
        meanwhile: What happens.
        member: At whose decision.
        interval: At which budget.
    """

    def __init__(self, strategy: Strategy, meanwhile: Callable[[], None], member: int, interval: int) -> None:
        self._strategy = strategy
        self._meanwhile = meanwhile
        self._at = (member, interval)

    def start(self, space: Any, population: int, keys: Keys) -> Plan:
        return self._strategy.start(space, population, keys)

    def decide(self, view: View, keys: Keys) -> Plan:
        plan = self._strategy.decide(view, keys)
        if (view.due.member, view.due.budget) == self._at and plan.actions:
            self._at = (-1, -1)
            self._meanwhile()
        return plan


def test_the_exploit_of_a_worker_that_lost_its_lease_is_refused() -> None:
    space = warren.Space(loops.SPACE)
    strategy = PBT()
    whole = warren.run(loops.quadratic, space=loops.SPACE, goal="max", population=4, intervals=4, seed=1)
    copied = next(row for row in whole.intervals if row.origin == "exploit")
    store = MemoryStore()
    states = States(store, MemoryCheckpoints())
    stop = threading.Event()

    def turns(worker: str, decides: Strategy, stopping: Callable[[], bool]) -> Turns:
        store.register(WorkerRow(worker=worker, host="h", pid=1))
        settings = Settings(space=space, strategy=decides, goal="max", population=4, seed=1)
        return Turns(
            store, states, settings, worker=worker, clock=time.perf_counter, sleep=time.sleep, stopping=stopping
        )

    def meanwhile() -> None:
        store.expire(["zombie"], "taken for dead", counts=False)
        stop.set()  # after one interval
        work(loops.quadratic, turns("other", strategy, stop.is_set))

    made_plan = strategy.start(space, 4, Keys(seed=1, member=-1, interval=0))
    store.create(RunRow(limit=4), {"population": 4}, made_plan)
    zombie = Meddled(strategy, meanwhile, copied.member, copied.interval - 1)
    work(loops.quadratic, turns("zombie", zombie, lambda: False))
    decided = [
        event for event in store.events()
        if event.kind == "decision" and event.member == copied.member
        and isinstance(event.body, dict) and event.body["interval"] == copied.interval - 1
    ]  # fmt: skip
    assert stop.is_set() and len(decided) == 1
    found = sorted((row.member, row.interval) for row in store.intervals())
    assert found == [(member, interval) for member in range(4) for interval in range(1, 5)]
    assert check(store, states) == []
