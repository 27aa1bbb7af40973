"""Workers in processes of their own, and the supervisor that starts them, beats for them and sees how they end."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from pathlib import Path

from warren.engines.alive import Alive, Expiry
from warren.engines.base import Job
from warren.engines.child import Child
from warren.engines.here import stop_for_time
from warren.engines.interrupt import Ending, Interrupts
from warren.engines.progress import WAITS, Progress, Waits, allowed, cadence, marks, patience
from warren.engines.say import say
from warren.errors import InvalidValue, RunFailed, StoreError, WarrenError
from warren.population import EventRow
from warren.stores.folder import folder_of

_TICK = 0.05
_GIVE_UP = 3
"""Workers that die one after another without one interval between them, before the run is given up."""


class Processes:
    """Trains several members at a time, one worker process for each.

    The supervisor takes no decision and hands out no work: workers take members from the store. So further workers
    may join from other terminals, and the supervisor may die without harm.

    Args:
        waits: How long a worker is waited for.
    """

    def __init__(self, waits: Waits = WAITS) -> None:
        self._waits = waits

    def run(self, job: Job) -> None:
        """Start the workers and look after them until the run is over; see `Engine`."""
        if job.location is None:
            raise InvalidValue('worker processes need a store that they can share; give store="runs/name.db"')
        _Supervisor(job, job.location, time.monotonic, self._waits).run()


class _Supervisor:
    def __init__(self, job: Job, location: Path, clock: Callable[[], float], waits: Waits) -> None:
        self._job = job
        self._waits = waits
        self._location = location
        self._clock = clock
        self._alive = Alive(folder_of(location))
        self._expiry = Expiry(job.store, self._alive, clock, job.lease)
        self._progress = Progress(clock)
        self._children: list[Child] = []
        self._deadlines: dict[str, float] = {}
        self._start = clock()
        self._before = job.store.run().elapsed
        self._deaths = 0
        self._total = -1

    def run(self) -> None:
        job = self._job
        self._expiry.reap()
        with Ending(self._kill, self._stop, self._go_on) as interrupts:
            try:
                for place in range(job.workers):
                    devices = job.devices[place % len(job.devices)] if job.devices else ()
                    self._children.append(self._start_one(devices))
                self._supervise(interrupts)
            finally:
                self._end(interrupts)
            if interrupts.count:
                raise KeyboardInterrupt

    def _start_one(self, devices: tuple[str, ...]) -> Child:
        return Child(self._job, self._location, devices, self._waits)

    def _supervise(self, interrupts: Interrupts) -> None:
        job = self._job
        asked = False
        next_beat = next_look = next_progress = 0.0
        while self._children:
            now = self._clock()
            if interrupts.count >= 2:
                return
            if interrupts.count and not asked:
                asked = True
                for child in self._children:
                    child.ask_to_stop()
            for child in list(self._children):
                if now > self._deadlines.get(child.worker, now):
                    child.kill()
                code = child.ended()
                if code is not None:
                    self._let_go(child)
                    self._ended(child, code, replace=not asked)
                elif now > self._deadlines.get(child.worker, now) + self._waits.end:
                    self._let_go(child)
                    how, told = child.abandon()
                    self._died(child, how, told, replace=not asked)
            # A store that cannot be used now is tried again: leases outlast several beats, and what lasts is met, and
            # told, by the workers.
            if now >= next_beat:
                next_beat = now + job.beat
                with contextlib.suppress(StoreError):
                    own = [child.worker for child in self._children]
                    job.store.beat(own)
                    self._expiry.reap(own)
            if now >= next_progress:
                next_progress = now + cadence(job.hang, job.beat)
                with contextlib.suppress(StoreError):
                    self._look_for_hangs()
            if now >= next_look:
                next_look = now + 0.25
                with contextlib.suppress(StoreError):
                    self._look(now)
            time.sleep(_TICK)

    def _look_for_hangs(self) -> None:
        """Have workers without progress say where they are, and end them."""
        now, store = self._clock(), self._job.store
        workers = [child.worker for child in self._children]
        found = marks(workers, store.members(), [row.worker for row in store.workers()])
        longest = store.run().longest
        limits: dict[str, float] = {}
        for child in self._children:
            child.standing.tell(longest)
            if child.worker in found:
                settled = child.standing.settled
                limit = patience(self._job.hang, longest, settled=settled, waits=self._waits)
                limits[child.worker] = allowed(found[child.worker], limit, self._waits)
        stuck = self._progress.look(found, limits)
        for child in self._children:
            if child.worker in stuck and child.stuck is None:
                self._deadlines[child.worker] = now + self._waits.dump
                child.abort(stuck[child.worker])

    def _look(self, now: float) -> None:
        elapsed = self._before + now - self._start
        limit = self._job.stop.seconds
        if limit is not None and elapsed >= limit:
            stop_for_time(self._job.store, elapsed, limit)
        self._job.observe()

    def _let_go(self, child: Child) -> None:
        self._children.remove(child)
        self._deadlines.pop(child.worker, None)

    def _ended(self, child: Child, code: int, *, replace: bool) -> None:
        """See how a worker ended: at the end of its work, on a mistake of the user, or by a death that is replaced."""
        store = self._job.store
        how, told = child.death(code)
        child.close()
        error = child.error()
        if error is not None:
            raise error
        run = store.run()
        if code == 0 and not (replace and run.status == "running" and self._unfinished()):
            return
        self._died(child, how, told, replace=replace)

    def _died(self, child: Child, how: str, told: str, *, replace: bool) -> None:
        store = self._job.store
        # The supervisor saw it die in the middle of an interval: that may be the member's doing, and is counted.
        freed = store.expire([child.worker], told, counts=True)
        run = store.run()
        if run.total != self._total:
            self._deaths = 0
        if freed == 0:
            store.note(
                EventRow(kind="warning", body=f"a worker that held no member any more ended: {told.splitlines()[-1]}")
            )
        if freed == 0 or run.total == 0:  # else it is counted against the member, until that is quarantined
            self._deaths += 1
        self._total = run.total
        if self._deaths > max(_GIVE_UP, len(self._children) + 1) * run.tries:
            raise RunFailed(f"{self._deaths} workers died one after another without an interval, the last by {how}")
        if replace and run.status == "running":
            self._children.append(self._start_one(child.devices))

    def _unfinished(self) -> bool:
        return any(row.state in ("waiting", "leased") for row in self._job.store.members())

    def _kill(self) -> None:
        for child in self._children:
            child.kill()

    def _stop(self) -> None:
        for child in self._children:
            child.signal(signal.SIGSTOP)

    def _go_on(self) -> None:
        for child in self._children:
            child.signal(signal.SIGCONT)
        self._progress = Progress(self._clock)  # nobody got on meanwhile

    def _end(self, interrupts: Interrupts) -> None:
        """Whatever happened, leave no process and no lease behind."""
        left = [child.worker for child in self._children]
        self._kill()
        for child in self._children:
            if not child.close():
                say(f"warren: process {child.process.pid} does not end: the system holds it; see to its device or disk")
        self._children = []
        if interrupts.count >= 3:
            return  # the user does not want to wait for the store; leases of the dead are found by the next one
        with contextlib.suppress(WarrenError):
            if left:
                self._job.store.expire(left, "its worker was stopped", counts=False)
            elapsed = self._before + self._clock() - self._start
            self._job.store.update(elapsed=max(elapsed, self._job.store.run().elapsed))
