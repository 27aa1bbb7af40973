"""Disk: bytes and checkpoints over runs of 100 intervals, against the bound that warren prints, and without deletion.

A thread looks at the run's folder all the time; what it finds at most is told beside what is left at the end.
"""

from __future__ import annotations

import argparse
import contextlib
import sqlite3
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from _common import save, show

import warren
from warren.population import most_checkpoints

INTERVALS = 100
CASES = ((4, 1_000), (16, 1_000), (64, 1_000), (4, 100_000), (16, 100_000), (64, 100_000), (4, 4_000_000))
"""Population and bytes of a state; states below 64 KB are kept inside the store."""


class Job:
    """A training function with a state of some bytes, all of which change in each interval."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, slot: warren.Slot) -> None:
        """Train members."""
        weights = np.zeros(self.size // 8)
        slot.track(weights=weights)
        for member in slot:
            weights += member["lr"] + member.id
            member.report(member["lr"])


class Looker(threading.Thread):
    """Looks again and again at what a run keeps.

    Attributes:
        looks: How often it has looked.
        checkpoints: The most checkpoints that it saw on record.
        files: The most checkpoint files.
        held: The most bytes of checkpoint files.
        bytes: The most bytes of the store and all that belongs to it.
    """

    def __init__(self, folder: Path, store: Path) -> None:
        super().__init__(daemon=True)
        self.looks = self.checkpoints = self.files = self.held = self.bytes = 0
        self._folder = folder
        self._store = store
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.005):
            self.look()

    def end(self) -> None:
        self._over.set()
        self.join()

    def look(self) -> tuple[int, int, int]:
        """Checkpoints on record, checkpoint files, and bytes of everything, now."""
        kept = files = held = size = 0
        for path in self._folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # deleted since it was listed
                status = path.stat()
                if not path.is_file():
                    continue
                size += status.st_size
                if path.parent.name == "checkpoints":
                    files, held = files + 1, held + status.st_size
        if self._store.exists():
            with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(self._store)) as connection:
                query = "SELECT count(*) FROM checkpoints WHERE dropped IS NULL"
                kept = int(connection.execute(query).fetchone()[0])
        self.looks += 1
        self.checkpoints = max(self.checkpoints, kept)
        self.files = max(self.files, files)
        self.held = max(self.held, held)
        self.bytes = max(self.bytes, size)
        return kept, files, size


def measure(population: int, size: int, intervals: int, parent: str | None) -> dict[str, Any]:
    """One run."""
    with tempfile.TemporaryDirectory(dir=parent) as name:
        folder = Path(name)
        looker = Looker(folder, folder / "run.db")
        looker.start()
        start = time.perf_counter()
        result = warren.run(
            Job(size), space={"lr": warren.Float(1e-4, 1.0, scale="log")}, goal="max", population=population,
            intervals=intervals, workers=1, store=folder / "run.db",
        )  # fmt: skip
        wall = time.perf_counter() - start
        looker.end()
        kept, files, left = looker.look()
        assert result.run.total == population * intervals
        return {
            "population": population, "state": size, "intervals": intervals, "looks": looker.looks,
            "bound": most_checkpoints(population, 1, pins=1), "most": max(looker.checkpoints, looker.files),
            "most_held": looker.held, "most_bytes": looker.bytes, "left": max(kept, files), "left_bytes": left,
            "store_bytes": (folder / "run.db").stat().st_size, "undeleted_bytes": population * intervals * size,
            "wall": wall,
        }  # fmt: skip


def megabytes(size: float) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--intervals", type=int, default=INTERVALS, help="intervals for each member")
    parser.add_argument("--folder", help="where the stores are made (default: a temporary folder)")
    options = parser.parse_args()
    results, rows = [], []
    for population, size in CASES:
        one = measure(population, size, options.intervals, options.folder)
        results.append(one)
        rows.append(
            (
                population, megabytes(size), one["most"], one["bound"], megabytes(one["bound"] * size),
                megabytes(one["most_held"]) if one["most_held"] else "in the store", megabytes(one["most_bytes"]),
                one["left"], megabytes(one["left_bytes"]), megabytes(one["store_bytes"]),
                megabytes(one["undeleted_bytes"]),
            )
        )  # fmt: skip
    show(
        f"Disk over a run of {options.intervals} intervals, PBT after each, one worker; the bound is the "
        "number of checkpoints that is printed at the start",
        (
            "members", "state", "checkpoints at most", "bound", "bound x state", "checkpoint files at most",
            "everything at most", "left", "left in bytes", "of it the store", "all states ever saved",
        ), rows,
    )  # fmt: skip
    save("disk", results)


if __name__ == "__main__":
    main()
