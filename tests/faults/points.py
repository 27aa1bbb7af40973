"""A training function whose worker dies by SIGKILL at a named point, once; workers import it like any other."""

from __future__ import annotations

import functools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import warren
from warren.checkpoints import LocalCheckpoints, local
from warren.engines.entry import WORKER_VARIABLE
from warren.stores.sql import SqlRows
from warren.stores.sqlite import SQLiteStore

SPACE = {"lr": warren.Float(1e-3, 1.0, scale="log")}
POINT, FOLDER = "WARREN_TEST_POINT", "WARREN_TEST_FOLDER"


class Death:
    """Comes once in the life of a run.

    Args:
        order: ``point nth``: at which point, and the how-manieth time that this process comes by.
        folder: A file there says that it has come.
    """

    def __init__(self, order: str, folder: Path) -> None:
        self._point, _, nth = order.rpartition(" ")
        self._left = int(nth)
        self._mark = folder / "dead"
        self.doing = ""

    def __call__(self, point: str) -> None:
        if point != self._point or self._mark.exists():
            return
        self._left -= 1
        if self._left == 0:
            self._mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """A method that says when it begins and when it has returned, and in between what is being done."""

        @functools.wraps(call)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            self(f"{name}: before")
            self.doing = name
            result = call(*args, **kwargs)
            self.doing = ""
            self(f"{name}: after")
            return result

        return wrapper

    def install(self) -> None:
        """Put the points where this process will come by."""
        for name in ("claim", "report", "commit"):
            setattr(SQLiteStore, name, self.wrapped(name, getattr(SQLiteStore, name)))
        for name, method in (("publish", "publish"), ("delete", "delete_all")):
            setattr(LocalCheckpoints, method, self.wrapped(name, getattr(LocalCheckpoints, method)))
        flush, sync = SqlRows.flush, local._sync

        def flushed(rows: SqlRows) -> None:
            flush(rows)
            self(f"{self.doing}: before COMMIT")

        def synced(folder: Path) -> None:
            if folder.name == "checkpoints":
                self("publish: renamed")
            sync(folder)

        SqlRows.flush, local._sync = flushed, synced  # type: ignore[method-assign]


_death: Death | None = None
if WORKER_VARIABLE in os.environ and POINT in os.environ:
    _death = Death(os.environ[POINT], Path(os.environ[FOLDER]))
    _death.install()


def train(slot: warren.Slot) -> None:
    """A state of 72 KB, which is kept in a file; each pass that is worked through leaves a line."""
    x = np.full(9_000, 3.0)
    slot.track(x=x)
    for member in slot:
        x -= member["lr"] * (0.1 * x + 0.01 * np.random.normal(size=x.shape))
        if _death is not None:
            _death("train")
        if FOLDER in os.environ:
            with (Path(os.environ[FOLDER]) / "passes").open("a") as passes:
                passes.write(f"{member.id} {member.budget + 1}\n")
        member.report(-float((x**2).mean()))
