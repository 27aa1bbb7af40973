"""Training functions that tests run, at the top level of a module so that worker processes find them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

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
    """As `quadratic`, and dies by SIGKILL once, in the middle of the ``member interval`` that a file names."""
    x = np.array([3.0, 0.0])
    slot.track(x=x)
    order = Path(os.environ["WARREN_TEST_KILL"])
    for member in slot:
        for _ in range(3):
            step(x, member)
            if order.exists() and order.read_text() == f"{member.id} {member.budget + 1}":
                order.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        member.report(-float(x[0] ** 2))


def slow(slot: warren.Slot) -> None:
    """As `quadratic`, an interval taking some 90 ms, so that it can be met in the middle."""
    x = np.array([3.0, 0.0])
    slot.track(x=x)
    for member in slot:
        for _ in range(3):
            step(x, member)
            time.sleep(0.03)
        member.report(-float(x[0] ** 2))
