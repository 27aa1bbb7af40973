"""A worker in this process: what the engines have in common that train where they are called."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from warren.engines.alive import Alive, Beater, Expiry, new_worker
from warren.engines.base import Job
from warren.engines.deaths import Frame, own_line
from warren.engines.interrupt import Breaking
from warren.engines.progress import Progress, Waits, allowed, cadence, marks, patience
from warren.engines.say import say
from warren.stores import Store
from warren.stores.folder import folder_of


class Here:
    """The worker, while `present`.

    Attributes:
        worker: Its name in the store.
        interrupts: How often the user has asked it to stop.
    """

    def __init__(self, job: Job, worker: str, interrupts: Breaking, clock: Clock, pulse: Pulse) -> None:
        self.worker = worker
        self.interrupts = interrupts
        self._clock = clock
        self._pulse = pulse

    @property
    def stopping(self) -> bool:
        """Whether it shall leave at the end of what it is at."""
        return self.interrupts.count > 0

    def begins(self) -> None:
        """A call of user code begins, of which nothing has been reported yet."""
        self._pulse.settled = False

    def took(self, seconds: float) -> None:
        """Know how long something took of which nothing could be reported until its end."""
        self._pulse.longest = max(self._pulse.longest, seconds)

    def observe(self) -> None:
        """Something was reported."""
        self._pulse.settled = True  # what a claim says too early, the call that follows corrects
        self._clock.observe()


@contextmanager
def present(job: Job, waits: Waits, caller: str) -> Iterator[Here]:
    """Be a worker of a run: registered, beating, and reaping the dead; and leave nothing behind.

    Args:
        job: The run.
        waits: How long user code is waited for before a hang is told.
        caller: The file that calls user code; what is above it in a stack is not shown.

    Raises:
        KeyboardInterrupt: The user interrupted; members are given back.
    """
    row = new_worker()
    folder = None if job.location is None else folder_of(job.location)
    alive = Alive(folder)
    alive.hold(row.worker)
    job.store.register(row)
    expiry = Expiry(job.store, alive, time.monotonic, job.lease)
    expiry.reap()
    clock = Clock(job)
    pulse = Pulse(job, row.worker, expiry, time.monotonic, waits, caller)
    interrupts = Breaking()
    try:
        with interrupts:
            here = Here(job, row.worker, interrupts, clock, pulse)
            if folder is None:
                yield here
            else:
                with Beater(pulse.tick, cadence(job.hang, job.beat)):
                    yield here
        if interrupts.count:
            raise KeyboardInterrupt
    finally:
        if interrupts.count < 3:  # else the user does not want to wait for the store; the lease ends by itself
            clock.save()
            job.store.expire([row.worker], "its worker left", counts=False)
        alive.let_go(row.worker)


class Pulse:
    """What the thread beside the training one does: beat for the worker while it gets on, and reap.

    Nobody can end a training loop of this process, so a worker that hangs falls silent: after its lease others may take
    its member.

    Attributes:
        settled: The present call of the training function has reported.
        longest: Seconds of the longest round of many members, of which nothing could be reported until its end.
    """

    def __init__(
        self, job: Job, worker: str, expiry: Expiry, clock: Callable[[], float], waits: Waits, caller: str
    ) -> None:
        self.settled = False
        self.longest = 0.0
        self._waits = waits
        self._caller = caller
        self._job = job
        self._worker = worker
        self._expiry = expiry
        self._progress = Progress(clock)
        self._thread = threading.get_ident()
        self._told: str | None = None

    def tick(self) -> None:
        """Look, beat and reap."""
        store = self._job.store
        found = marks([self._worker], store.members(), [self._worker])
        limit = patience(self._job.hang, store.run().longest, settled=self.settled, waits=self._waits)
        limit = max(limit, self._waits.times * self.longest)
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
        ours = [place for place, call in enumerate(stack) if call.filename == self._caller]
        stack = stack[ours[-1] + 1 :] if ours else stack  # from the user's own function on
        calls = [Frame(file=call.filename, line=call.lineno or 0, function=call.name) for call in reversed(stack)]
        own = own_line(calls, self._job.entry.file)
        say(
            f"warren: no progress for {seconds:.3g} s{', at ' if own else ''}{own}; others may take the member after "
            f"{self._job.lease:g} s. Stack (most recent call last):\n{''.join(traceback.format_list(stack)).rstrip()}"
        )


class Clock:
    """Counts the run's wall time, ends it when that is spent, and lets progress be shown."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._start = time.monotonic()
        self._before = job.store.run().elapsed
        self._shown = 0.0

    def observe(self) -> None:
        """Something was reported."""
        now = time.monotonic()
        elapsed = self._before + now - self._start
        limit = self._job.stop.seconds
        if limit is not None and elapsed >= limit:
            stop_for_time(self._job.store, elapsed, limit)
        if now - self._shown >= 0.2:
            self._shown = now
            self._job.observe()

    def save(self) -> None:
        """Keep the time in the record."""
        elapsed = self._before + time.monotonic() - self._start
        self._job.store.update(elapsed=max(elapsed, self._job.store.run().elapsed))


def stop_for_time(store: Store, elapsed: float, limit: float) -> None:
    """End a run whose wall time is spent."""
    run = replace(store.run(), elapsed=elapsed)
    if run.status == "running":
        store.update(status="stopped", reason=f"{limit:g} seconds", elapsed=elapsed)
