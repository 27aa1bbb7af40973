"""A small training file, and the command as a user starts it."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from warren import Result, open_result
from warren.cli import main

SOURCE = Path(__file__).resolve().parents[2] / "src"

TRAINING = """
import os, time
import numpy as np
import warren

class Point:
    def __init__(self, seed):
        self.x = np.array([float(seed % 5)])
    def state_dict(self):
        return {"x": self.x}
    def load_state_dict(self, state):
        self.x = np.array(state["x"])

def train(slot):
    point = Point(slot.seed)
    slot.track(point=point)
    for member in slot:
        time.sleep(float(os.environ.get("PACE", "0")))
        point.x = point.x + member["lr"] * (10 - point.x)
        member.report(-abs(float(10 - point.x[0])), unseen=float(point.x[0]))

if __name__ == "__main__":
    raise RuntimeError("nothing under the guard runs")
"""
SPACE = 'space = {"lr": warren.Float(1e-3, 0.5, scale="log")}\n'
COMPLETE = TRAINING + SPACE + 'goal = "max"\npopulation = 4\nintervals = 3\n'


def environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join(part for part in (str(SOURCE), os.environ.get("PYTHONPATH", "")) if part)
    return {**os.environ, "PYTHONPATH": path, **more}


def warren(folder: Path, *arguments: object, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run the command in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "warren", *map(str, arguments)],
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=240,
    )


def here(folder: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run the command in a folder and in this process: a second faster, and as good where no process is looked at."""
    out, err, before, path = io.StringIO(), io.StringIO(), os.getcwd(), list(sys.path)
    os.chdir(folder)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([str(argument) for argument in arguments])
    finally:
        os.chdir(before)
        sys.path[:] = path
        sys.modules.pop("__warren__", None)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def start(folder: Path, *arguments: object, **more: str) -> "subprocess.Popen[str]":
    """Start the command in a folder, in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "warren", *map(str, arguments)],
        cwd=folder,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore SIGINT, and what they start inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        start_new_session=True,
    )


def interrupt(process: "subprocess.Popen[str]") -> None:
    """Ctrl-C, which has been heard: two that come before the first was heard are one.

    What comes on standard error right behind the words for it may be lost to a later `communicate`.
    """
    os.kill(process.pid, signal.SIGINT)
    assert process.stderr is not None
    while "Ctrl-C again stops at once" not in (line := process.stderr.readline()):
        assert line, "it has ended"


@contextlib.contextmanager
def opened(store: Path, name: str = "default") -> Iterator[Result]:
    """A run's result, whose store is closed again."""
    result = open_result(store, name)
    try:
        yield result
    finally:
        result.store.close()


def wait_until(true: Callable[[], bool], what: str, seconds: float = 240.0) -> None:
    """Poll until something holds."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.02)
