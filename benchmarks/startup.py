"""Start-up: imports, the command's help, and an empty job until its first interval begins, beside a bare Python.

Each command is a process of its own, from its start to its end; all of them are measured in turn, again and again.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _common import compiled, save, show

HERE = Path(__file__).parent
MODULES = ("numpy", "sqlalchemy", "typer", "torch", "jax")
JOBS = (("inline", "memory", 1), ("inline", "SQLite", 1), ("processes", "SQLite", 1), ("processes", "SQLite", 2))


def commands() -> dict[str, list[str]]:
    """What is measured without a run, by name."""
    found = {"python -c pass": [sys.executable, "-c", "pass"]}
    for name in ("warren", *MODULES):
        if importlib.util.find_spec(name) is not None:
            found[f"import {name}"] = [sys.executable, "-c", f"import {name}"]
    found["import warren.run"] = [sys.executable, "-c", "import warren; warren.run"]
    found["warren --help"] = [sys.executable, "-m", "warren", "--help"]
    return found


def command(arguments: list[str]) -> float:
    """Seconds that a command takes."""
    start = time.monotonic()
    subprocess.run(arguments, check=True, capture_output=True)
    return time.monotonic() - start


def job(engine: str, store: str, workers: int) -> dict[str, float]:
    """Seconds from the start of an empty job's command to its first interval, to its result, and to its end."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        start = time.monotonic()
        arguments = [sys.executable, HERE / "_empty_job.py", engine, store, workers, out]
        subprocess.run([str(argument) for argument in arguments], check=True, capture_output=True)
        over = time.monotonic()
        told = json.loads(out.read_text())
    return {"first": min(told["began"]) - start, "result": told["over"] - start, "over": over - start}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9, help="how often each is measured; the median counts")
    options = parser.parse_args()

    compiled()
    alone = commands()
    walls: dict[str, list[float]] = {name: [] for name in alone}
    jobs: dict[str, list[dict[str, float]]] = {f"{e}, {s}, {w} worker{'s' * (w > 1)}": [] for e, s, w in JOBS}
    for _ in range(options.repeats):
        for name, arguments in alone.items():
            walls[name].append(command(arguments))
        for name, arguments in zip(jobs, JOBS, strict=True):
            jobs[name].append(job(*arguments))

    medians = {name: statistics.median(values) for name, values in walls.items()}
    bare = medians["python -c pass"]
    show(
        "Commands that train nothing, median of whole processes",
        ("command", "takes", "beyond python -c pass"),
        [(name, f"{wall:.3f} s", f"{wall - bare:.3f} s") for name, wall in medians.items()],
    )
    results: dict[str, Any] = {"commands": medians, "repeats": options.repeats}
    rows = []
    for name, found in jobs.items():
        one = {part: statistics.median(each[part] for each in found) for part in found[0]}
        results[name] = one
        rows.append((name, *(f"{one[part]:.3f} s" for part in ("first", "result", "over"))))
    show(
        "An empty job of 2 members and 1 interval, from the start of its command (Python's own start in it)",
        ("engine, store", "first interval begins", "run has returned", "process has ended"), rows,
    )  # fmt: skip
    save("startup", results)


if __name__ == "__main__":
    main()
