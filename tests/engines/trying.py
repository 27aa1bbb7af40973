"""Training functions that try their supervisor, at the top level of a module so that worker processes find them."""

from __future__ import annotations

import faulthandler
import os
import subprocess
import time
from pathlib import Path

import warren

SPACE = {"lr": warren.Float(0.0, 1.0)}

if "WARREN_WORKER" in os.environ:
    faulthandler.disable()  # as a library that has its own way with it, while it is loaded


def once() -> bool:
    """Whether nobody has been here before, in any process."""
    try:
        os.close(os.open(os.environ["WARREN_TEST_ONCE"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def builds(slot: warren.Slot) -> None:
    """Building takes longer than any interval may take."""
    time.sleep(1.8)
    for member in slot:
        member.state = {}
        member.report(member["lr"])


def hangs(slot: warren.Slot) -> None:
    """Hangs once, in the second interval of a call: in the first one nobody knows yet how long it may take."""
    for number, member in enumerate(slot):
        member.state = {}
        if number == 1 and once():
            time.sleep(600)
        member.report(member["lr"])


def hangs_at_first(slot: warren.Slot) -> None:
    """Hangs once, in the first interval of a call."""
    for member in slot:
        member.state = {}
        if once():
            time.sleep(600)
        member.report(member["lr"])


def reads(slot: warren.Slot) -> None:
    """Starts a program that reads its input to the end."""
    for member in slot:
        member.state = {"read": subprocess.run(["cat"], stdout=subprocess.PIPE, timeout=240).stdout.decode()}
        member.report(member["lr"])


def paces(slot: warren.Slot) -> None:
    """Leaves a mark at each interval, some 50 ms; after twenty it waits for the file that it is told of, if any."""
    awaited = os.environ.get("WARREN_TEST_AWAIT")
    for member in slot:
        time.sleep(0.05)
        if awaited is not None and member.budget >= 20:
            waits_for(Path(awaited))
        with open(os.environ["WARREN_TEST_PACE"], "a") as file:
            file.write("x")
        member.state = {}
        member.report(member["lr"])


def waits_for(path: Path, seconds: float = 240.0) -> None:
    """Poll until a file is there."""
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} is not there"
        time.sleep(0.02)
