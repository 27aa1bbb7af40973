"""A population under fire: processes are killed, stopped and continued at random; what was acknowledged must stay.

An observer reads the record all the while and remembers each interval that it saw. At the end the run finishes its
present extent in peace, CHECK is run with every checkpoint loaded and verified, and the record is compared with what
was remembered. Exit code 1 where anything was lost.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from _common import save, show

import warren
from warren.testing.check import check

LEASE = 2.0
EXTENT = 60
"""Intervals that each member gets at a time; a run that has them is extended by the next session."""
STALL = 90.0
"""Seconds without an interval, and without a stopped process, after which the run is taken to stand still."""
MARK = "WARREN_SOAK"
STARTS = "WARREN_SOAK_STARTS"
SPACE: dict[str, Any] = {"lr": warren.Float(1e-3, 1.0, scale="log"), "bias": warren.Float(0.0, 1.0)}


def train(slot: warren.Slot) -> None:
    """Intervals of some 50 ms on a state of 100 KB, so that each checkpoint is a file; each start is counted."""
    w = np.zeros(12_800)
    slot.track(w=w)
    for member in slot:
        with open(os.environ[STARTS], "ab") as starts:
            starts.write(b".")
        for _ in range(5):
            time.sleep(0.01)
            w += member["lr"] * (member["bias"] - w) + 0.01 * np.random.normal(size=len(w))
        member.report(-float(np.mean(w**2)))


def session(store: str, population: int, workers: int, intervals: int, seed: int) -> None:
    """One call of the run, in a process of its own."""
    warren.run(
        train, space=SPACE, goal="max", population=population, intervals=intervals, workers=workers, seed=seed,
        store=store, lease=LEASE, engine="processes",
    )  # fmt: skip


RUN = "import sys, soak; soak.session(sys.argv[1], *map(int, sys.argv[2:]))"
JOIN = "import sys, warren; warren.join(sys.argv[1])"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What an acknowledged interval was."""

    member: int
    interval: int
    score: float | None
    checkpoint: str | None


class Observer:
    """Reads the record as anyone may, and remembers.

    Attributes:
        seen: Every interval that was ever in the record, by id.
        wrong: What has no right to be.
    """

    def __init__(self, store: Path) -> None:
        self.seen: dict[int, Seen] = {}
        self.wrong: list[str] = []
        self._path = store
        self._result: warren.Result | None = None
        self._revision = 0

    def look(self) -> int:
        """Remember what is new; returns how many intervals there are."""
        if self._result is None:
            try:
                self._result = warren.open_result(self._path)
            except warren.WarrenError:  # not yet made
                return 0
        turn = self._result.store.changes(self._revision)
        self._revision = turn.run.revision
        for row in turn.news:
            now = Seen(member=row.member, interval=row.interval, score=row.score, checkpoint=row.checkpoint)
            if row.voided is not None:
                self.wrong.append(f"interval {row.id} was taken back")
            elif self.seen.setdefault(row.id, now) != now:
                self.wrong.append(f"interval {row.id} was {self.seen[row.id]} and is {now}")
        return len(self.seen)

    def check(self, *, load: bool) -> warren.Result | None:
        """Run CHECK while nobody writes, and compare with what was remembered."""
        self.look()
        result = self._result
        if result is None:
            return None
        self.wrong += check(result.store, result.states if load else None)
        there = {row.id: row for row in result.store.intervals()}
        for id, was in self.seen.items():
            row = there.get(id)
            now = None if row is None else Seen(
                member=row.member, interval=row.interval, score=row.score, checkpoint=row.checkpoint
            )  # fmt: skip
            if now != was:
                self.wrong.append(f"interval {id} was acknowledged as {was} and is {now}")
        return result


class Soak:
    """The run, its processes, and what is done to them.

    Args:
        options: Of the command.
        folder: Where the store and the logs are.
    """

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.store = folder / "soak.db"
        self.observer = Observer(self.store)
        self.rng = random.Random(options.seed)
        self.mark = uuid.uuid4().hex
        self.done: Counter[str] = Counter()
        self.limit = EXTENT
        self.checks = 0
        self.main: subprocess.Popen[bytes] | None = None
        self.joined: list[subprocess.Popen[bytes]] = []
        self.ours: set[int] = set()  # processes that we ended: how they end says nothing of the run
        self.stopped: list[tuple[float, list[psutil.Process]]] = []
        self.over_all = threading.Event()
        # A thread: a process that is stopped while it writes holds the store, and whoever looks at it waits.
        self.waker = threading.Thread(target=self.wake, daemon=True)
        self.waker.start()
        self.progress = (0, time.monotonic())

    # -- processes ----------------------------------------------------------------------------------------------

    def start(self, code: str, *arguments: object) -> subprocess.Popen[bytes]:
        """Start a session or a joined worker; all that it starts carries our mark."""
        environ = {
            **os.environ,
            MARK: self.mark,
            STARTS: str(self.folder / "starts"),
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]),
        }
        with open(self.folder / "log", "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", code, *map(str, arguments)], env=environ, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def marked(self) -> list[psutil.Process]:
        """Every process that carries our mark, and no other."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.mark and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def workers(self) -> list[psutil.Process]:
        """Worker processes, of the run and of those that joined."""
        supervisors = {process.pid for process in [self.main, *self.joined] if process is not None}
        return [process for process in self.marked() if process.pid not in supervisors]

    def send(self, number: int, *processes: psutil.Process) -> None:
        for process in processes:
            if number == signal.SIGKILL:
                self.ours.add(process.pid)
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue

    # -- what is done to them -----------------------------------------------------------------------------------

    def kill(self) -> bool:
        """Kill something; False where there is nothing of that kind now."""
        kind = self.rng.choices(
            ("worker", "joined worker", "supervisor", "whole run", "everybody"), (8, 3, 2, 1, 1)
        )[0]  # fmt: skip
        supervisors = [process for process in self.joined if process.poll() is None]
        if self.main is None or self.main.poll() is not None:
            return False
        everybody = self.marked()
        chosen: list[psutil.Process] = []
        if kind == "worker":
            workers = self.workers()
            chosen = [self.rng.choice(workers)] if workers else []
        elif kind == "joined worker":
            if supervisors:
                one = self.rng.choice(supervisors)
                chosen = [process for process in everybody if one.pid in (process.pid, _parent(process))]
        else:
            main = self.main.pid
            mine = {"supervisor": (main,), "whole run": (main, None), "everybody": ()}[kind]
            chosen = [
                process for process in everybody
                if not mine or process.pid == main or (None in mine and _parent(process) == main)
            ]  # fmt: skip
        if not chosen:
            return False
        self.send(signal.SIGKILL, *chosen)
        self.done[f"killed: {kind}"] += 1
        if kind == "everybody":
            psutil.wait_procs(chosen, timeout=30)
            self.main.wait()
            self.observer.check(load=False)  # nobody writes now
            self.checks += 1
        return True

    def stop(self) -> None:
        """Stop a worker for a moment, or a worker and its supervisor past their lease."""
        workers = self.workers()
        if not workers:
            return
        worker = self.rng.choice(workers)
        if self.rng.random() < 0.5:
            chosen, seconds, kind = [worker], self.rng.uniform(0.05, 1.0), "for a moment"
        else:
            parent = _parent(worker)
            chosen = [worker] + [process for process in self.marked() if process.pid == parent]
            seconds, kind = LEASE * self.rng.uniform(1.2, 2.0), "past the lease"
        self.send(signal.SIGSTOP, *chosen)
        self.stopped.append((time.monotonic() + seconds, chosen))
        self.done[f"stopped: {kind}"] += 1

    def wake(self) -> None:
        """Continue those whose time has come."""
        while not self.over_all.wait(0.02):
            for until, processes in list(self.stopped):
                if time.monotonic() >= until:
                    self.send(signal.SIGCONT, *processes)
                    self.stopped.remove((until, processes))

    def join(self) -> None:
        """Let a worker join, or interrupt one that has."""
        alive = [process for process in self.joined if process.poll() is None]
        if len(alive) < 2 and self.store.exists():
            self.joined.append(self.start(JOIN, self.store))
            self.done["joined"] += 1
        elif alive:
            one = self.rng.choice(alive)
            self.ours.add(one.pid)
            one.send_signal(signal.SIGINT)
            self.done["interrupted: joined worker"] += 1

    # -- the soak -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Keep the run going and under fire until the time is over, then let it end in peace."""
        options, start = self.options, time.monotonic()
        end = start + 60 * options.minutes
        gap = 60 * options.minutes / options.kills if options.kills else 4.0
        actions: dict[Callable[[], Any], tuple[float, float]] = {
            self.kill: (start + 3.0, 0.9 * gap), self.stop: (start + 4.0, 5.0), self.join: (start + 2.0, 6.0),
        }  # fmt: skip
        while time.monotonic() < end or self.kills() < options.kills:
            self.keep_going()
            now = time.monotonic()
            for action, (at, mean) in actions.items():
                if now >= at:
                    again = action() is False
                    actions[action] = (now + (0.2 if again else mean * self.rng.uniform(0.4, 1.6)), mean)
            self.look()
        while not self.over():
            self.keep_going()
            self.look()
        for process in self.joined:
            try:
                self.left(process, process.wait(60))
            except subprocess.TimeoutExpired:
                self.observer.wrong.append(f"the joined worker {process.pid} did not leave a run that is over")

    def kills(self) -> int:
        return sum(count for kind, count in self.done.items() if kind.startswith("killed"))

    def over(self) -> bool:
        return self.main is not None and self.main.poll() == 0 and not self.stopped

    def keep_going(self) -> None:
        """Start a session where none goes on: the next extent after one that ended, the same one after a death."""
        if self.main is not None:
            code = self.main.poll()
            if code is None:
                return
            self.left(self.main, code)
            if code == 0:
                self.limit += EXTENT
        options = self.options
        self.main = self.start(RUN, self.store, options.population, options.workers, self.limit, options.seed)
        self.done["sessions"] += 1

    def left(self, process: subprocess.Popen[bytes], code: int) -> None:
        if code != 0 and process.pid not in self.ours:
            tail = (self.folder / "log").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"a process ended by itself with exit code {code}; the end of its log:\n{tail}")

    def look(self) -> None:
        """See what is new, and that there is something new."""
        total = self.observer.look()
        now = time.monotonic()
        for process in [one for one in self.joined if one.poll() is not None]:
            self.left(process, process.returncode)
            self.joined.remove(process)
        if total != self.progress[0] or self.stopped:
            self.progress = (total, now)
        elif now - self.progress[1] > STALL:
            raise RuntimeError(f"no interval has ended for {STALL:g} s")
        time.sleep(0.05)

    def end(self) -> None:
        """Leave no process behind."""
        self.over_all.set()
        self.waker.join()
        deadline = time.monotonic() + 30
        while (left := self.marked()) and time.monotonic() < deadline:
            self.send(signal.SIGKILL, *left)
            psutil.wait_procs(left, timeout=5)
        for process in [self.main, *self.joined]:
            if process is not None:
                process.wait()


def _parent(process: psutil.Process) -> int | None:
    try:
        return int(process.ppid())
    except psutil.Error:
        return None


def main() -> int:
    """Soak, and tell what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long")
    parser.add_argument("--kills", type=int, default=0, help="go on until so many kills are done, spread over the time")
    parser.add_argument("--workers", type=int, default=2, help="of the run; up to two more join it")
    parser.add_argument("--population", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0, help="of the run and of what is done to it")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # through what cleans up
    folder = Path(tempfile.mkdtemp(prefix="warren-soak-"))
    soak = Soak(options, folder)
    failed = ""
    start = time.monotonic()
    try:
        soak.run()
    except (RuntimeError, warren.WarrenError) as error:
        failed = str(error)
    finally:
        soak.end()
    result = soak.observer.check(load=True)
    wrong = [*([failed] if failed else []), *dict.fromkeys(soak.observer.wrong)]
    starts = (folder / "starts").stat().st_size if (folder / "starts").exists() else 0
    trained = len(soak.observer.seen)
    events = Counter(event.kind for event in result.events) if result is not None else Counter()
    if result is not None and not failed and result.run.status != "done":
        wrong.append(f"the run did not end: it is {result.run.status}")
    rows = [
        *sorted(soak.done.items()),
        ("intervals acknowledged", trained),
        ("intervals begun and repeated", starts - trained),
        ("leases lost", events["lost"]),
        ("members quarantined", events["quarantine"]),
        ("checks", soak.checks + 1),
        ("checkpoints loaded and verified", len(result.store.kept()) if result is not None else 0),
        ("what was lost or is wrong", len(wrong)),
    ]
    minutes = (time.monotonic() - start) / 60
    show(f"{minutes:.1f} minutes, population {options.population}, seed {options.seed}", ("what", "how often"), rows)
    for line in wrong[:20]:
        print(f"  {line}")
    save("soak", {"options": vars(options), "minutes": minutes, "counts": dict(rows), "wrong": wrong})
    if wrong:
        print(f"the store is left in {folder}")
    else:
        shutil.rmtree(folder)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
