"""One worker in this process: for debugging, notebooks, and runs on one device."""

from __future__ import annotations

import time
from dataclasses import replace

from warren.engines.alive import Alive, Beater, Expiry, beat, new_worker
from warren.engines.base import Job
from warren.engines.interrupt import Breaking
from warren.engines.work import work
from warren.errors import InvalidValue
from warren.stores import Store
from warren.stores.folder import folder_of
from warren.training import Turns


class Inline:
    """Trains members one after another where it is called."""

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
        try:
            with Breaking() as interrupts:
                turns = Turns(
                    job.store,
                    job.states,
                    job.settings,
                    worker=worker.worker,
                    clock=time.perf_counter,
                    sleep=time.sleep,
                    stopping=lambda: interrupts.count > 0,
                    observe=clock.observe,
                )
                if folder is None:
                    work(job.train, turns)
                else:
                    with Beater(beat(job.store, [worker.worker], expiry), job.beat):
                        work(job.train, turns)
            if interrupts.count:
                raise KeyboardInterrupt
        finally:
            clock.save()
            job.store.expire([worker.worker], "its worker left", counts=False)
            alive.let_go(worker.worker)


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
