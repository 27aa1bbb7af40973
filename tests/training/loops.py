"""Training functions that tests run, at the top level of a module so that worker processes find them."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

import warren

SPACE = {"lr": warren.Float(1e-3, 1.0, scale="log"), "momentum": warren.Float(0.5, 0.99, scale="one_minus")}


def step(x: Any, member: warren.Member) -> None:
    """Momentum on x^2 with noise from the global generator; `x` holds the place and the velocity."""
    velocity = member["momentum"] * x[1] - member["lr"] * (2 * x[0] + 0.1 * np.random.normal())
    x[:] = x[0] + velocity, velocity


def quadratic(slot: warren.Slot) -> None:
    """Three steps from 3 in each interval; the state is one tracked array."""
    x = np.array([3.0, 0.0])
    slot.track(x=x)
    for member in slot:
        for _ in range(3):
            step(x, member)
        member.report(-float(x[0] ** 2))


def killed(slot: warren.Slot) -> None:
    """As `quadratic`, and dies by SIGKILL in the middle of each ``member interval`` that a file lists, once."""
    x = np.array([3.0, 0.0])
    slot.track(x=x)
    orders = Path(os.environ["WARREN_TEST_KILL"])
    for member in slot:
        step(x, member)
        left = orders.read_text().splitlines()
        if f"{member.id} {member.budget + 1}" in left:
            left.remove(f"{member.id} {member.budget + 1}")
            orders.write_text("\n".join(left))
            os.kill(os.getpid(), signal.SIGKILL)
        for _ in range(2):
            step(x, member)
        member.report(-float(x[0] ** 2))


def slow(slot: warren.Slot) -> None:
    """As `quadratic`, an interval taking some 90 ms, so that it can be met in the middle.

    After ten it waits for a file where one is named, so that nobody comes too late to meet it.
    """
    x = np.array([3.0, 0.0])
    slot.track(x=x)
    awaited = os.environ.get("WARREN_TEST_AWAIT")
    for member in slot:
        while awaited is not None and member.budget >= 10 and not Path(awaited).exists():
            time.sleep(0.01)
        for _ in range(3):
            step(x, member)
            time.sleep(0.03)
        member.report(-float(x[0] ** 2))


HARMS = ("nan", "exception", "memory", "leave", "exit", "kill", "segfault", "hang")
"""What the first members of `poisoned` meet in their second interval, each time it is tried; others may be told."""


def harm(kind: str) -> None:
    """Fail in one of the ways in which training fails."""
    if kind == "exception":
        raise ValueError("poisoned")
    if kind == "memory":
        exhaust()
    if kind == "leave":
        sys.exit(4)
    if kind == "exit":
        os._exit(3)
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "segfault":
        ctypes.string_at(0)
    if kind == "hang":
        with open(os.environ["WARREN_TEST_HANGING"], "a") as hanging:
            hanging.write(f"{os.environ['WARREN_WORKER']}\n")
        while True:
            time.sleep(60)


def exhaust() -> NoReturn:
    """Ask for more memory than the process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**26, hard))
    try:
        np.ones(2**28)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    raise AssertionError("the limit did not hold")


def poisoned(slot: warren.Slot) -> None:
    """As `quadratic`, with `HARMS`; what is tried is written to a file, one line each."""
    harms = os.environ.get("WARREN_TEST_HARMS", " ".join(HARMS)).split()
    x = np.array([3.0, 0.0])
    slot.track(x=x)
    for member in slot:
        step(x, member)
        kind = harms[member.id] if member.id < len(harms) and member.budget > 0 else ""
        with open(os.environ["WARREN_TEST_TRIED"], "a") as tried:
            tried.write(f"{member.id} {member.budget + 1} {member.arrival} {member['lr']!r}\n")
        harm(kind)
        member.report(float("nan") if kind == "nan" else -float(x[0] ** 2))


def perishing(slot: warren.Slot) -> None:
    """As `quadratic`, and the process ends with each of the members 0 to 3 in its second interval, always."""
    x = np.array([3.0, 0.0])
    slot.track(x=x)
    for member in slot:
        step(x, member)
        if member.id < 4 and member.budget > 0:
            os._exit(3)
        member.report(-float(x[0] ** 2))


def waits(slot: warren.Slot) -> None:
    """States of 100 KB. In its second interval a process makes a file and waits for another one that it is told of.

    The first that comes so far stops itself where a third one is named, and leaves its number there.
    """
    x = np.zeros(12_800)
    slot.track(x=x)
    made, awaited = os.environ.get("WARREN_TEST_MAKE"), os.environ.get("WARREN_TEST_AWAIT")
    stops = os.environ.get("WARREN_TEST_STOP")
    for member in slot:
        x += member["lr"] * np.random.normal()
        if member.budget == 1:
            if stops is not None and not Path(stops).exists():
                Path(stops).write_text(f"{os.getpid()}")
                os.kill(os.getpid(), signal.SIGSTOP)  # it cannot even say where it is
            if made is not None:
                Path(made).write_text(f"{member.id}")
            while awaited is not None and not Path(awaited).exists():
                time.sleep(0.01)
        member.report(-abs(float(x[0])))
