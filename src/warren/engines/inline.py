"""One worker in this process: for debugging, notebooks, and runs on one device."""

from __future__ import annotations

import time

from warren.engines.base import Job
from warren.engines.here import present
from warren.engines.progress import WAITS, Waits
from warren.engines.work import work
from warren.errors import InvalidValue
from warren.training import Turns


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
        with present(job, self._waits, work.__code__.co_filename) as here:
            turns = Turns(
                job.store,
                job.states,
                job.settings,
                worker=here.worker,
                clock=time.perf_counter,
                sleep=time.sleep,
                stopping=lambda: here.stopping,
                observe=here.observe,
                alone=lambda: [row.worker for row in job.store.workers()] == [here.worker],
            )
            work(job.train, turns, here.begins)
