"""How much of two workers' time is training: intervals of a second, small and large states, populations of 2 and 8."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _common import save, show

import warren

SECONDS = float(os.environ.get("WARREN_BENCHMARK_SECONDS", "1.0"))
SIZE = int(os.environ.get("WARREN_BENCHMARK_SIZE", "1024"))


def train(slot: warren.Slot) -> None:
    """Intervals that compute for a fixed time, and change the whole state."""
    log = Path(os.environ["WARREN_BENCHMARK_LOG"]) / str(os.getpid())
    with log.open("a") as file:  # this call comes right after a claim, and it ends right after a commit
        file.write(f"{time.monotonic()}\n")
    weights = np.zeros(SIZE // 8)
    slot.track(weights=weights)
    a = np.random.default_rng(0).standard_normal((128, 128))
    for member in slot:
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            a = np.tanh(a @ a.T / 128.0)
        weights += member["lr"]
        member.report(float(member.id) + member["lr"])
    with log.open("a") as file:
        file.write(f"{time.monotonic()}\n")


def measure(size: int, population: int, every: int, publish: int, per_worker: int, folder: Path) -> dict[str, Any]:
    """One run; the share of (workers x time from the first claim to the last commit) that is inside intervals."""
    os.environ["WARREN_BENCHMARK_SIZE"] = str(size)
    intervals = -(-2 * per_worker // population)
    intervals = -(-intervals // every) * every
    location = folder / f"{size}-{population}-{publish}.db"
    start = time.monotonic()
    log = folder / "log"
    log.mkdir()
    os.environ["WARREN_BENCHMARK_LOG"] = str(log)
    result = warren.run(
        train, space={"lr": warren.Float(1e-4, 1.0, scale="log")}, goal="max", population=population,
        intervals=intervals, workers=2, store=location, strategy=warren.PBT(every=every, warmup=0),
        checkpoint_every=publish,
    )  # fmt: skip
    times = [float(line) for file in log.iterdir() for line in file.read_text().split()]
    inside = sum(row.seconds for row in result.intervals)
    wall = max(times) - min(times)
    start_up = min(times) - start
    return {
        "state": size, "population": population, "every": every, "publish": publish,
        "intervals": len(result.intervals), "efficiency": inside / (2 * wall), "wall": wall, "start_up": start_up,
        "overhead": sum(row.overhead for row in result.intervals) / len(result.intervals),
    }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--intervals", type=int, default=80, help="intervals for each worker")
    parser.add_argument("--folder", help="where the stores are made (default: a temporary folder)")
    options = parser.parse_args()
    results = []
    rows = []
    for size, every, publish in ((1024, 1, 1), (100_000_000, 16, 16), (100_000_000, 16, 1)):
        for population in (2, 8):
            with tempfile.TemporaryDirectory(dir=options.folder) as name:
                one = measure(size, population, every, publish, options.intervals, Path(name))
            results.append(one)
            rows.append(
                (
                    f"{size / 1e6:g} MB", population, every, publish, one["intervals"],
                    f"{100 * one['efficiency']:.2f} %", f"{1e3 * one['overhead']:.1f} ms", f"{one['start_up']:.2f} s",
                )
            )  # fmt: skip
            print(rows[-1], flush=True)
    show(
        f"2 workers, intervals of {SECONDS:g} s; efficiency: time inside them over 2 x (first claim to last commit)",
        ("state", "members", "ready every", "saved every", "intervals", "efficiency", "overhead/interval", "start-up"),
        rows,
    )
    save("efficiency", results)


if __name__ == "__main__":
    main()
