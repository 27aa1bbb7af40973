"""Workers in processes of their own, and the supervisor that starts them, beats for them and sees how they end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import warren.errors as errors
from warren.engines.alive import Alive, Expiry
from warren.engines.base import Job
from warren.engines.devices import environment
from warren.engines.entry import WORKER_VARIABLE
from warren.engines.inline import stop_for_time
from warren.engines.interrupt import Interrupts
from warren.errors import InvalidValue, RunFailed, WarrenError
from warren.stores.folder import folder_of
from warren.values import dump

_TICK = 0.05
_GIVE_UP = 3
"""Workers that die one after another without one interval between them, before the run is given up."""


class Processes:
    """Trains several members at a time, one worker process for each.

    The supervisor takes no decision and hands out no work: workers take members from the store. So further workers
    may join from other terminals, and the supervisor may die without harm.
    """

    def run(self, job: Job) -> None:
        """Start the workers and look after them until the run is over; see `Engine`."""
        if job.location is None:
            raise InvalidValue('worker processes need a store that they can share; give store="runs/name.db"')
        _Supervisor(job, job.location).run()


class _Child:
    """One worker process."""

    def __init__(self, job: Job, location: Path, devices: tuple[str, ...]) -> None:
        self.worker = uuid.uuid4().hex[:16]
        self.devices = devices
        self.said = b""
        parcel = _parcel(job) if job.entry.kind == "parcel" else b""
        self._errors, write = os.pipe()
        os.set_blocking(self._errors, False)
        order = {
            "location": str(location),
            "run": job.run,
            "worker": self.worker,
            "entry": dump(job.entry),
            "parcel": len(parcel),
            "errors": write,
        }
        environ = environment(os.environ, job.threads, devices)
        environ[WORKER_VARIABLE] = self.worker
        self.process = subprocess.Popen(
            [sys.executable, "-m", "warren.engines.worker", json.dumps(order)],
            stdin=subprocess.PIPE,
            env=environ,
            pass_fds=(write,),
            start_new_session=True,  # its own group: Ctrl-C in the terminal is the supervisor's to hand on
        )
        os.close(write)
        if parcel and self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.write(parcel)
                self.process.stdin.flush()

    def ask_to_stop(self) -> None:
        """Let it end its interval and leave."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            with contextlib.suppress(OSError):
                self.process.stdin.write(b"stop\n")
                self.process.stdin.flush()

    def kill(self) -> None:
        """End it with everything that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def ended(self) -> int | None:
        """Its exit code once it has ended."""
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._errors, 65536):
                self.said += part
        return self.process.poll()

    def close(self) -> None:
        """Collect what is left of it."""
        self.kill()  # data loaders and other children that it left behind
        self.process.wait()
        os.close(self._errors)
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    def error(self) -> WarrenError | None:
        """What it said was wrong, as the error that it was."""
        if not self.said:
            return None
        body = json.loads(self.said)
        kind = getattr(errors, body["kind"], None)
        if isinstance(kind, type) and issubclass(kind, WarrenError):
            return kind(body["message"])
        return RunFailed(f"a worker broke: {body['kind']}: {body['message']}")


def _parcel(job: Job) -> bytes:
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps((job.train, job.settings)))
    except Exception as error:
        raise InvalidValue(
            f"the training function cannot be sent to workers ({type(error).__name__}: {error}); define it at the "
            "top level of a file"
        ) from error


class _Supervisor:
    def __init__(self, job: Job, location: Path) -> None:
        self._job = job
        self._location = location
        self._alive = Alive(folder_of(location))
        self._expiry = Expiry(job.store, self._alive, time.monotonic, job.lease)
        self._children: list[_Child] = []
        self._start = time.monotonic()
        self._before = job.store.run().elapsed
        self._deaths = 0
        self._total = -1

    def run(self) -> None:
        job = self._job
        self._expiry.reap()
        with Interrupts() as interrupts:
            try:
                for place in range(job.workers):
                    devices = job.devices[place % len(job.devices)] if job.devices else ()
                    self._children.append(_Child(job, self._location, devices))
                self._supervise(interrupts)
            finally:
                self._end()
            if interrupts.count:
                raise KeyboardInterrupt

    def _supervise(self, interrupts: Interrupts) -> None:
        job = self._job
        asked = False
        next_beat = next_look = 0.0
        while self._children:
            now = time.monotonic()
            if interrupts.count >= 2:
                return
            if interrupts.count and not asked:
                asked = True
                for child in self._children:
                    child.ask_to_stop()
            for child in list(self._children):
                code = child.ended()
                if code is not None:
                    self._children.remove(child)
                    self._ended(child, code, replace=not asked)
            if now >= next_beat:
                next_beat = now + job.beat
                job.store.beat([child.worker for child in self._children])
                self._expiry.reap()
            if now >= next_look:
                next_look = now + 0.25
                self._look(now)
            time.sleep(_TICK)

    def _look(self, now: float) -> None:
        elapsed = self._before + now - self._start
        limit = self._job.stop.seconds
        if limit is not None and elapsed >= limit:
            stop_for_time(self._job.store, elapsed, limit)
        self._job.observe()

    def _ended(self, child: _Child, code: int, *, replace: bool) -> None:
        """See how a worker ended: at the end of its work, on a mistake of the user, or by a death that is replaced."""
        store = self._job.store
        child.close()
        error = child.error()
        if error is not None:
            raise error
        run = store.run()
        if code == 0 and not (replace and run.status == "running" and self._unfinished()):
            return
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        # The supervisor saw it die in the middle of an interval: that may be the member's doing, and is counted.
        store.expire([child.worker], f"its worker died: {how}", counts=True)
        run = store.run()
        self._deaths = self._deaths + 1 if run.total == self._total else 1
        self._total = run.total
        if self._deaths > max(_GIVE_UP, len(self._children) + 1) * run.tries:
            raise RunFailed(f"{self._deaths} workers died one after another without an interval, the last by {how}")
        if replace and run.status == "running":
            self._children.append(_Child(self._job, self._location, child.devices))

    def _unfinished(self) -> bool:
        return any(row.state in ("waiting", "leased") for row in self._job.store.members())

    def _end(self) -> None:
        """Whatever happened, leave no process and no lease behind."""
        left = [child.worker for child in self._children]
        for child in self._children:
            child.kill()
            child.close()
        self._children = []
        with contextlib.suppress(WarrenError):
            if left:
                self._job.store.expire(left, "its worker was stopped", counts=False)
            elapsed = self._before + time.monotonic() - self._start
            self._job.store.update(elapsed=max(elapsed, self._job.store.run().elapsed))
