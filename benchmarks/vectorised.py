"""A whole population as one program: warren beside bare hand-written loops, and beside itself on other engines.

The digits MLP (64-128-10, minibatches of 64, SGD with momentum), 30 intervals of one pass, with 8, 32, 128 and 512
members. Each measurement is a process of its own, which imports first and then times everything else: making the
states, compiling, training, evaluating, and for warren the whole of PBT with decisions, exploits, record and
checkpoints. The commands of one size take turns; medians are shown, and ratios of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _common import save, show

HERE = Path(__file__).parent
BARE = {"torch": "torch vmap", "jax": "jax vmap + scan"}


def bare(framework: str, members: int, intervals: int) -> dict[str, Any]:
    """A hand-written loop."""
    from bare import LOOPS, hyperparameters

    __import__(framework)
    begin = time.perf_counter()
    loop = LOOPS[BARE[framework]](*hyperparameters(members))
    loop(1)
    first = time.perf_counter() - begin
    scores = loop(intervals - 1)
    return {"seconds": time.perf_counter() - begin, "first": first, "best": float(scores.min())}


def ours(framework: str, members: int, intervals: int, engine: str, store: str) -> dict[str, Any]:
    """warren, with PBT, on an engine and a store."""
    import warren

    if framework == "jax":
        from _digits import SPACE, jax_task

        import warren.stacked.jax

        task: Any = jax_task()
    else:
        from _digits import SPACE, torch_task

        task = torch_task(framework.partition("-")[2] or "traced")
    seen: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        result = warren.run(
            task, space=SPACE, goal="min", population=members, intervals=intervals, engine=engine,  # type: ignore
            store=None if store == "memory" else Path(folder) / "run.db", synchronous=True,
            watch=lambda result: seen.append(time.perf_counter() - begin),
            workers={"processes": 2, "inline": 1}.get(engine),
        )  # fmt: skip
        took = time.perf_counter() - begin
        cost = result.cost
        found = {
            "seconds": took, "first": seen[0], "best": result.best.score, "copies": cost.copies,
            "training": cost.training, "overhead": cost.overhead,
        }  # fmt: skip
        result.store.close()
    return found


def one(arguments: list[Any]) -> dict[str, Any]:
    """A measurement in a process of its own."""
    command = [sys.executable, __file__, "--one", json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE)
    if done.returncode:
        raise SystemExit(f"{arguments} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def commands(members: int, intervals: int) -> dict[str, list[Any]]:
    """What is measured with so many members, by name."""
    found: dict[str, list[Any]] = {}
    for framework in ("torch", "jax"):
        found[f"{framework}: bare vmap loop"] = ["bare", framework, members, intervals]
        for store in ("memory", "SQLite"):
            found[f"{framework}: warren, {store}"] = ["ours", framework, members, intervals, "vectorised", store]
    if members == 8:
        found["torch: warren inline, SQLite"] = ["ours", "torch", members, intervals, "inline", "SQLite"]
        found["jax: warren inline, SQLite"] = ["ours", "jax", members, intervals, "inline", "SQLite"]
    if members == 128:
        found["torch: warren eager, memory"] = ["ours", "torch-eager", members, intervals, "vectorised", "memory"]
        found["torch: warren compiled, memory"] = ["ours", "torch-compiled", members, intervals, "vectorised", "memory"]
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, nargs="+", default=[8, 32, 128, 512])
    parser.add_argument("--intervals", type=int, default=30)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        kind, *arguments = json.loads(options.one)
        print(json.dumps((bare if kind == "bare" else ours)(*arguments)))
        return
    results: dict[str, Any] = {}
    for members in options.members:
        wanted = commands(members, options.intervals)
        times: dict[str, list[dict[str, Any]]] = {name: [] for name in wanted}
        for _ in range(options.repeat if members < 512 else 1):
            for name, arguments in wanted.items():
                times[name].append(one(arguments))
        rows = []
        for name, found in times.items():
            middle = {key: statistics.median(run[key] for run in found) for key in found[0]}
            floor = statistics.median(run["seconds"] for run in times[f"{name.partition(':')[0]}: bare vmap loop"])
            each = (middle["seconds"] - middle["first"]) / (options.intervals - 1)
            results[f"{name}, {members}"] = {**middle, "ratio": middle["seconds"] / floor, "repeats": len(found)}
            rows.append(
                (
                    name, f"{middle['seconds']:.2f} s", f"{middle['seconds'] / floor:.2f}", f"{middle['first']:.2f} s",
                    f"{1e3 * each:.0f} ms", f"{middle['best']:.4f}", int(middle.get("copies", 0)) or "-",
                )
            )  # fmt: skip
        show(
            f"{members} members, {options.intervals} intervals",
            ("", "in all", "x bare", "first interval", "each after it", "lowest loss", "copies"),
            rows,
        )
    save("vectorised", {"intervals": options.intervals, "runs": results})


if __name__ == "__main__":
    main()
