"""A training loop checked: in a folder that is gone afterwards, with what the whole run will take."""

from __future__ import annotations

import resource
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from warren.population import Plan, most_checkpoints
from warren.preflight.check import Check, Tell, distinct
from warren.preflight.findings import Estimates, Findings
from warren.preflight.shelf import Shelf
from warren.training import Settings, Slot


def check_loop(
    train: Callable[[Slot], Any],
    settings: Settings,
    plan: Plan,
    *,
    intervals: int,
    workers: int,
    disk: Path | None,
    clock: Callable[[], float],
    tell: Tell,
) -> Findings:
    """Train a few intervals as a run would, several times, and compare what comes out.

    Args:
        train: The training function or task.
        settings: As of the run.
        plan: Its first assignments, at least two.
        intervals: Of each member, for the estimates.
        workers: Members that train at a time, for the estimates.
        disk: A path that the run's store will have, or None.
        clock: Seconds that only grow.
        tell: Says something to the user while it takes long.
    """
    begun = clock()
    with tempfile.TemporaryDirectory(prefix="warren-check-") as folder:
        check = Check(train, settings, plan, Shelf(folder), clock, tell)
        check.run()
    estimates = None
    if check.size is not None:
        estimates = Estimates(
            first=check.first,
            interval=check.interval,
            population=settings.population,
            intervals=intervals,
            workers=workers,
            checkpoint=check.size,
            checkpoints=most_checkpoints(settings.population, workers),
            free=None if disk is None else _free(disk),
            memory=_peak(),
            gpu=_gpu(),
        )
    return Findings(all=distinct(check.findings), estimates=estimates, trained=check.trained, seconds=clock() - begun)


def _free(path: Path) -> int:
    """Bytes that are free on the disk where a file will be."""
    there = next(one for one in (path.absolute(), *path.absolute().parents) if one.exists())
    return shutil.disk_usage(there).free


def _peak() -> int:
    """Most bytes that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _gpu() -> int | None:
    """Most bytes that torch has held on a GPU, or None where it used none."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return int(torch.cuda.max_memory_reserved())
