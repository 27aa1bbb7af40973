"""One worker process, as its supervisor sees it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import warren.errors as errors
from warren.engines.base import Job
from warren.engines.deaths import DUMPING, Frame, ending, frames, oom_kills, oom_texts, told
from warren.engines.devices import environment
from warren.engines.entry import WORKER_VARIABLE
from warren.errors import InvalidValue, RunFailed, WarrenError
from warren.values import dump


class Child:
    """A worker process that was started for a job.

    Attributes:
        worker: Its name.
        devices: The accelerators that it sees.
        stuck: Seconds without progress for which it is being ended, or None.
        process: The process.
    """

    def __init__(self, job: Job, location: Path, devices: tuple[str, ...]) -> None:
        self.worker = uuid.uuid4().hex[:16]
        self.devices = devices
        self.stuck: float | None = None
        self._file = job.entry.file
        self._said = b""
        self._killed = self._closed = False
        self._oom = oom_kills(oom_texts())
        parcel = _parcel(job) if job.entry.kind == "parcel" else b""
        # A file and not a pipe: a worker that dies must not wait for a reader. Unlinked: it ends with the two of us.
        self._dump = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        self._errors, write = os.pipe()
        os.set_blocking(self._errors, False)
        order = {
            "location": str(location),
            "run": job.run,
            "worker": self.worker,
            "entry": dump(job.entry),
            "parcel": len(parcel),
            "errors": write,
            "dump": self._dump.fileno(),
        }
        environ = environment(os.environ, job.threads, devices)
        environ[WORKER_VARIABLE] = self.worker
        self.process = subprocess.Popen(
            [sys.executable, "-m", "warren.engines.worker", json.dumps(order)],
            stdin=subprocess.PIPE,
            env=environ,
            pass_fds=(write, self._dump.fileno()),
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

    def abort(self, stuck: float) -> None:
        """End it since it hangs: it writes where, and dies of it. `kill` has to follow where it does not."""
        self.stuck = stuck
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self.process.pid, signal.SIGABRT)

    def kill(self) -> None:
        """End it with everything that it started."""
        if self._closed:
            return
        self._killed = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

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
        how = ending(code, sent=self._killed, before=self._oom, after=oom_kills(oom_texts()))
        return how, told(f"its worker died: {how}", self._stack() if -code in DUMPING else [], self._file)

    def _stack(self) -> list[Frame]:
        self._dump.seek(0)
        return frames(self._dump.read().decode(errors="replace"))

    def close(self) -> None:
        """Collect what is left of it."""
        self.kill()  # data loaders and other children that it left behind
        self._closed = True
        self.process.wait()
        os.close(self._errors)
        self._dump.close()
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
        return bytes(cloudpickle.dumps((job.train, job.settings)))
    except Exception as error:
        raise InvalidValue(
            f"the training function cannot be sent to workers ({type(error).__name__}: {error}); define it at the "
            "top level of a file"
        ) from error
