"""One worker in this process: for debugging, notebooks, and runs on one device."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace

from warren.engines.alive import Alive, Beater, Expiry, new_worker
from warren.engines.base import Job
from warren.engines.deaths import Frame, own_line
from warren.engines.interrupt import Breaking
from warren.engines.progress import WAITS, Progress, Waits, allowed, cadence, marks, patience
from warren.engines.say import say
from warren.engines.work import work
from warren.errors import InvalidValue
from warren.stores import Store
from warren.stores.folder import folder_of
from warren.training import Turns

_CALLER = work.__code__.co_filename


class Inline:
    """Trains members one after another where it is called.

    Args:
        waits: How long user code is waited for before a hang is told.
    """

    def __init__(self, waits: Waits = WAITS) -> None:
        self._waits = waits

    def run(self, job: Job) -> None:
        """Work until the run has no more of it; see `Engine`."""
        if job.train is None:
            raise InvalidValue("the inline engine needs the training function itself")
        worker = new_worker()
        folder = None if job.location is None else folder_of(job.location)
        alive = Alive(folder)
        alive.hold(worker.worker)
        job.store.register(worker)
        expiry = Expiry(job.store, alive, time.monotonic, job.lease)
        expiry.reap()
        clock = _Clock(job)
        pulse = _Pulse(job, worker.worker, expiry, time.monotonic, self._waits)

        def observe() -> None:
            pulse.settled = True  # after a report; what a claim says too early, the call that follows corrects
            clock.observe()

        def begins() -> None:
            pulse.settled = False

        interrupts = Breaking()
        try:
            with interrupts:
                turns = Turns(
                    job.store,
                    job.states,
                    job.settings,
                    worker=worker.worker,
                    clock=time.perf_counter,
                    sleep=time.sleep,
                    stopping=lambda: interrupts.count > 0,
                    observe=observe,
                )
                if folder is None:
                    work(job.train, turns)
                else:
                    with Beater(pulse.tick, cadence(job.hang, job.beat)):
                        work(job.train, turns, begins)
            if interrupts.count:
                raise KeyboardInterrupt
        finally:
            if interrupts.count < 3:  # else the user does not want to wait for the store; the lease ends by itself
                clock.save()
                job.store.expire([worker.worker], "its worker left", counts=False)
            alive.let_go(worker.worker)


class _Pulse:
    """What the thread beside the training one does: beat for the worker while it gets on, and reap.

    Nobody can end a training loop of this process, so a worker that hangs falls silent: after its lease others may take
    its member.

    Attributes:
        settled: The present call of the training function has reported.
    """

    def __init__(self, job: Job, worker: str, expiry: Expiry, clock: Callable[[], float], waits: Waits) -> None:
        self.settled = False
        self._waits = waits
        self._job = job
        self._worker = worker
        self._expiry = expiry
        self._progress = Progress(clock)
        self._thread = threading.get_ident()
        self._told: str | None = None

    def tick(self) -> None:
        store = self._job.store
        found = marks([self._worker], store.members(), [self._worker])
        limit = patience(self._job.hang, store.run().longest, settled=self.settled, waits=self._waits)
        stuck = self._progress.look(found, {name: allowed(mark, limit, self._waits) for name, mark in found.items()})
        if self._worker in stuck:
            token, _ = found[self._worker]
            if token != self._told:
                self._told = token
                self._tell(stuck[self._worker])
        else:
            store.beat([self._worker])
        self._expiry.reap([self._worker])

    def _tell(self, seconds: float) -> None:
        frame = sys._current_frames().get(self._thread)
        stack = list(traceback.extract_stack(frame))
        ours = [place for place, call in enumerate(stack) if call.filename == _CALLER]
        stack = stack[ours[-1] + 1 :] if ours else stack  # from the user's own function on
        calls = [Frame(file=call.filename, line=call.lineno or 0, function=call.name) for call in reversed(stack)]
        own = own_line(calls, self._job.entry.file)
        say(
            f"warren: no progress for {seconds:.3g} s{', at ' if own else ''}{own}; others may take the member after "
            f"{self._job.lease:g} s. Stack (most recent call last):\n{''.join(traceback.format_list(stack)).rstrip()}"
        )


class _Clock:
    """Counts the run's wall time, ends it when that is spent, and lets progress be shown."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._start = time.monotonic()
        self._before = job.store.run().elapsed
        self._shown = 0.0

    def observe(self) -> None:
        now = time.monotonic()
        elapsed = self._before + now - self._start
        limit = self._job.stop.seconds
        if limit is not None and elapsed >= limit:
            stop_for_time(self._job.store, elapsed, limit)
        if now - self._shown >= 0.2:
            self._shown = now
            self._job.observe()

    def save(self) -> None:
        elapsed = self._before + time.monotonic() - self._start
        self._job.store.update(elapsed=max(elapsed, self._job.store.run().elapsed))


def stop_for_time(store: Store, elapsed: float, limit: float) -> None:
    """End a run whose wall time is spent."""
    run = replace(store.run(), elapsed=elapsed)
    if run.status == "running":
        store.update(status="stopped", reason=f"{limit:g} seconds", elapsed=elapsed)
