"""The injector from Python: built from `inject.c`, armed through ctypes, and a process that forks a child per fault.

Importing it costs little: the process that forks must not start threads, and its children live for milliseconds.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LIBRARY = "WARREN_TEST_INJECT"
"""Path of the library, in the environment of processes that run with it."""

Action = Literal["nothing", "kill", "torn", "fail", "short"]
_ACTIONS = {"nothing": 0, "kill": 1, "torn": 2, "fail": 3, "short": 4}
CHANGES = "write,fsync,truncate,unlink,rename,link,mkdir,create"
"""Every call that changes a file or a folder: ``write`` is also pwrite, ``fsync`` fdatasync, ``create`` an open that
makes a file."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What happens at a call.

    Attributes:
        action: ``kill`` before the call, ``torn``: after half of a write or the whole of another call, ``fail`` with
            `error`, ``short``: half of a write is done, and that is said.
        nth: Which of the calls, from 1.
        calls: Names of calls with commas between them.
        path: Only files whose path contains this.
        error: The error's number.
        lasting: Also at all calls that follow.
    """

    action: Action = "kill"
    nth: int = 0
    calls: str = CHANGES
    path: str = "/"
    error: int = 0
    lasting: bool = False


class Injector:
    """The library in a process that was started with it in LD_PRELOAD."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(os.environ[LIBRARY])
        self._library.fault_count.restype = self._library.fault_hits.restype = ctypes.c_long

    def arm(self, fault: Fault) -> None:
        """Count from here on, and act."""
        self._library.fault_arm(
            f"{fault.calls},".encode(),
            os.fsencode(fault.path),
            ctypes.c_long(fault.nth),
            _ACTIONS[fault.action],
            fault.error,
            int(fault.lasting),
        )

    def disarm(self) -> None:
        """Let everything pass."""
        self._library.fault_disarm()

    @property
    def hits(self) -> int:
        """Calls that it acted at since it was armed."""
        return int(self._library.fault_hits())

    def log(self, path: Path) -> None:
        """Write each call that is met into a file, with what `mark` is told."""
        self._library.fault_log(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND))

    def mark(self, words: str) -> None:
        """A line of one's own in the log."""
        self._library.fault_mark(words.encode())


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a child ended.

    Attributes:
        said: What it said before.
        signal: Number of the signal that ended it, or 0.
        kinds: Names of the classes of what it raised, or nothing.
        message: Of what it raised.
    """

    said: list[Any] = field(default_factory=list)
    signal: int
    kinds: tuple[str, ...] = ()
    message: str = ""


class Forks:
    """A process that has imported everything, and forks a child for each call of a function.

    Args:
        library: The injector's.
        report: Where its standard error goes.
    """

    def __init__(self, library: Path, report: Path) -> None:
        environ = {**environment(), LIBRARY: str(library), "LD_PRELOAD": str(library)}
        self._report = report
        with report.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.forks"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                bufsize=1,
                env=environ,
                cwd=ROOT,
            )

    def call(self, function: str, fault: Fault | None = None, **arguments: Any) -> Ended:
        """Call a function in a child.

        Args:
            function: ``module:name``; takes a `forks.Child` and the arguments.
            fault: What the child arms when the function says so.
            **arguments: JSON.

        Returns:
            How it ended, and what it said.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"function": function, "arguments": arguments, "fault": asdict(fault or Fault())}
        self._process.stdin.write(json.dumps(order) + "\n")
        said: list[Any] = []
        kinds, message = (), ""
        for line in self._process.stdout:
            body = json.loads(line)
            if "ended" in body:
                return Ended(said=said, signal=body["ended"], kinds=kinds, message=message)
            if "kinds" in body:
                kinds, message = tuple(body["kinds"]), body["message"]
            else:
                said.append(body["said"])
        raise AssertionError(f"the process that forks has ended:\n{self._report.read_text()}")

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def environment() -> dict[str, str]:
    """What a process that imports from `tests` is started with."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    # A fork of a process with threads would be warned of.
    return {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}


def why_not() -> str | None:
    """Why the injector cannot be had here, or None."""
    if sys.platform != "linux":
        return "faults are injected through LD_PRELOAD and /proc, on Linux only"
    return None if compiler() else "there is no C compiler (cc) to build the fault injector with"


def compiler() -> str | None:
    """The C compiler, if any."""
    return shutil.which("cc") or shutil.which("gcc")


def build(folder: Path) -> Path:
    """Compile the library into a folder."""
    library = folder / "inject.so"
    command = [str(compiler()), "-shared", "-fPIC", "-O1", "-Wall", "-o", str(library), str(HERE / "inject.c"), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return library
