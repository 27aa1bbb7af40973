"""One worker process, as its supervisor sees it."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import uuid
from dataclasses import asdict
from pathlib import Path

import warren.errors as errors
from warren.engines.base import Job
from warren.engines.deaths import DUMPING, Frame, ending, frames, oom_kills, oom_texts, told
from warren.engines.devices import environment
from warren.engines.entry import WORKER_VARIABLE
from warren.engines.progress import WAITS, Waits
from warren.engines.shared import Standing, nameless
from warren.errors import InvalidValue, RunFailed, WarrenError
from warren.stores.folder import folder_of
from warren.training.record import named
from warren.values import dump


class Child:
    """A worker process that was started for a job.

    Attributes:
        worker: Its name.
        devices: The accelerators that it sees.
        stuck: Seconds without progress for which it is being ended, or None.
        standing: What it and its supervisor tell each other.
        process: The process.

    Raises:
        RunFailed: The system does not let a process be started.
    """

    def __init__(self, job: Job, location: Path, devices: tuple[str, ...], waits: Waits = WAITS) -> None:
        self.worker = uuid.uuid4().hex[:16]
        self._waits = waits
        self.devices = devices
        self.stuck: float | None = None
        self._file = job.entry.file
        self._said = b""
        self._killed = self._closed = False
        self._oom = oom_kills(*oom_texts())
        parcel = b"" if job.entry.kind != "parcel" and named(job.settings) else _parcel(job)
        with contextlib.ExitStack() as opened:  # what is open is closed where the process cannot be started
            try:
                self._start(job, location, parcel, opened)
            except OSError as error:
                raise RunFailed(
                    f"a worker process cannot be started: {error.strerror or error}; use fewer workers, or raise the "
                    "limit (ulimit -n for files, ulimit -u for processes)"
                ) from None
            opened.pop_all()
        if parcel and self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.write(parcel)
                self.process.stdin.flush()

    def _start(self, job: Job, location: Path, parcel: bytes, opened: contextlib.ExitStack) -> None:
        # A file and not a pipe: a worker that dies must not wait for a reader.
        self._dump = opened.enter_context(nameless(folder_of(location)))
        self._shared = opened.enter_context(nameless(folder_of(location)))
        self.standing = Standing(self._shared.fileno())
        self._errors, write = os.pipe()
        opened.callback(os.close, self._errors)
        os.set_blocking(self._errors, False)
        order = {
            "location": str(location),
            "run": job.run,
            "worker": self.worker,
            "entry": dump(job.entry),
            "parcel": len(parcel),
            "errors": write,
            "dump": self._dump.fileno(),
            "shared": self._shared.fileno(),
            "hang": job.hang,
            "waits": asdict(self._waits),
        }
        environ = environment(os.environ, job.threads, self.devices)
        environ[WORKER_VARIABLE] = self.worker
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "warren.engines.worker", json.dumps(order)],
                stdin=subprocess.PIPE,
                env=environ,
                pass_fds=(write, self._dump.fileno(), self._shared.fileno()),
                start_new_session=True,  # its own group: Ctrl-C in the terminal is the supervisor's to hand on
            )
        finally:
            os.close(write)

    def ask_to_stop(self) -> None:
        """Let it end its interval and leave."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            with contextlib.suppress(OSError):
                self.process.stdin.write(b"stop\n")
                self.process.stdin.flush()

    def abort(self, stuck: float) -> None:
        """End it since it hangs: it writes where, and dies of it. `kill` has to follow where it does not."""
        self.stuck = stuck
        if sys.platform == "linux":
            # What is wanted is the stack, and not all of its memory on the disk. Crashes of its own keep the limit.
            with contextlib.suppress(OSError, ValueError):
                _, hard = resource.prlimit(self.process.pid, resource.RLIMIT_CORE)
                resource.prlimit(self.process.pid, resource.RLIMIT_CORE, (0, hard))
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self.process.pid, signal.SIGABRT)

    def kill(self) -> None:
        """End it with everything that it started."""
        if self._closed:
            return
        self._killed = True
        self.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        """Send a signal to it and everything that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def ended(self) -> int | None:
        """Its exit code once it has ended."""
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._errors, 65536):
                self._said += part
        return self.process.poll()

    def death(self, code: int) -> tuple[str, str]:
        """How it died, in one line, and as the error of the member that it held. Before `close`.

        Args:
            code: Its exit code.
        """
        if self.stuck is not None:
            how = f"its worker made no progress for {self.stuck:.3g} s"
            rest = ", and was ended; where an interval takes that long, give a larger hang"
            return how, told(how, self._stack(), self._file, rest)
        how = ending(code, sent=self._killed, before=self._oom, after=oom_kills(*oom_texts()))
        return how, told(f"its worker died: {how}", self._stack() if -code in DUMPING else [], self._file)

    def _stack(self) -> list[Frame]:
        self._dump.seek(0)
        return frames(self._dump.read().decode(errors="replace"))

    def close(self) -> bool:
        """Collect what is left of it; False where the process did not end, which is not waited for without limit."""
        self.kill()  # data loaders and other children that it left behind
        self._closed = True
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(self._waits.end)
        self._put_away()
        return self.process.returncode is not None

    def abandon(self) -> tuple[str, str]:
        """Give up a process that SIGKILL does not end; gives what `death` does."""
        self._closed = True
        how = f"its worker hangs in the system, where nothing ends it (process {self.process.pid})"
        words = told(how, self._stack(), self._file, "; see to its device or disk")
        self._put_away()
        return how, words

    def _put_away(self) -> None:
        os.close(self._errors)
        self._dump.close()
        self._shared.close()
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    def error(self) -> WarrenError | None:
        """What it said was wrong, as the error that it was."""
        if not self._said:
            return None
        body = json.loads(self._said)
        kind = getattr(errors, body["kind"], None)
        if isinstance(kind, type) and issubclass(kind, WarrenError):
            return kind(body["message"])
        return RunFailed(f"a worker broke: {body['kind']}: {body['message']}")


def _parcel(job: Job) -> bytes:
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps((job.train if job.entry.kind == "parcel" else None, job.settings)))
    except Exception as error:
        raise InvalidValue(
            f"the training function, or a function that the strategy or the space was given, cannot be sent to workers "
            f"({type(error).__name__}: {error}); define it at the top level of a file"
        ) from error
