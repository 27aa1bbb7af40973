"""A population on one device: an interval by members, beside one member, a bare vmap, and what the device could do.

Populations of 1, 8, 32 and 128 of the digits MLP (JAX, torch) and of a small PPO (JAX), on a GPU where one is at hand,
else on the CPU, and it is said which. A steady interval is meant: the first two, which compile, do not count, and of
warren's others the median is shown, since the first exploit compiles once more (the mean is in the file). Beside warren
with PBT, checkpoints and a record in SQLite stand the same in memory; a bare vmap, the same functions mapped in the
same way, in a plain loop whose scores are fetched at the end; and a floor, the longer of two times, with rates measured
on the same device in the same run:

- bytes moved / bandwidth (adding one to a large array in place reads and writes it once);
- operations / rate of a large product of matrices, in float32 as the framework multiplies by default.

For JAX both are counted by XLA on the program of 8 members, and scaled: operations before it is optimized, bytes after
it (`cost_analysis()`). XLA counts the body of a loop once; each loop is unrolled by two to see what one more turn
costs. What a vendor's library reads is not known to XLA, so on a GPU the floor is too low rather than too high. For
torch both are counted by hand from the shapes, see `by_hand`. What fits into a cache can move faster than memory does,
so with few members even a floor can be beaten.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _common import save, show

HERE = Path(__file__).parent
MEMBERS = (1, 8, 32, 128)
SKIPPED = 2
"""Intervals at the start that do not count."""
COUNTED = 8
"""Members of the program that is counted."""
JOBS = {"digits, JAX": "jax", "digits, torch": "torch", "PPO, JAX": "jax"}
PLAIN = {
    "digits, JAX": {"lr": 0.03, "momentum": 0.9},
    "digits, torch": {"lr": 0.03, "momentum": 0.9},
    "PPO, JAX": {"lr": 1e-3, "entropy": 1e-3, "clip": 0.2, "discount": 0.99},
}
"""What all members of the bare loop are trained with."""


class Seed:
    """The randomness of one member in one interval; in a program its seed is traced."""

    def __init__(self, seed: Any) -> None:
        self.seed = seed

    def jax(self) -> Any:
        """A key of JAX's."""
        import jax

        return jax.random.key(self.seed)

    def torch(self, device: Any = "cpu") -> Any:
        """A generator of torch's."""
        import torch

        return torch.Generator(device=device).manual_seed(self.seed)


def parts(job: str) -> tuple[Any, Any, str]:
    """The task, its space and its goal."""
    if job == "PPO, JAX":
        from _ppo import SPACE as PPO_SPACE
        from _ppo import ppo_task

        return ppo_task(), PPO_SPACE, "max"
    from _digits import SPACE, jax_task, torch_task

    if job == "digits, JAX":
        return jax_task(), SPACE, "min"
    import torch

    from warren.state.tree import map_leaves

    task = torch_task()
    device, init = "cuda" if torch.cuda.is_available() else "cpu", task.init
    # The population is trained where its state is.
    return replace(task, init=lambda *of: map_leaves(lambda leaf: leaf.to(device), init(*of))), SPACE, "min"


# -- what is measured -------------------------------------------------------------------------------------------------


def ours(job: str, members: int, intervals: int, store: str) -> list[float]:
    """Seconds of each steady interval of warren, PBT included, on a store."""
    import warren

    task, space, goal = parts(job)
    with tempfile.TemporaryDirectory() as folder:
        result = warren.run(
            task, space=space, goal=goal, population=members, intervals=SKIPPED + intervals,  # type: ignore
            store=None if store == "memory" else Path(folder) / "run.db", engine="vectorised",
            watch=lambda result: None,
        )  # fmt: skip
        # All members train at the same time: each is on record with its share.
        taken = [0.0] * (SKIPPED + intervals + 1)
        for row in result.intervals:
            taken[row.interval] += row.seconds + row.overhead
        result.store.close()
    return taken[SKIPPED + 1 :]


def bare_jax(job: str, members: int) -> tuple[Callable[..., Any], Any, dict[str, Any], Callable[[int], Any]]:
    """The function on one member, all states, all hyperparameters, and the seeds of an interval."""
    import jax

    task, _, _ = parts(job)

    def one(state: Any, hyperparameters: Any, seeds: Any) -> Any:
        state = task.train_interval(state, hyperparameters, Seed(seeds[0]))
        return state, task.evaluate(state, Seed(seeds[1]))

    rng = np.random.default_rng(0)
    columns = {name: np.full(members, value, np.float32) for name, value in PLAIN[job].items()}
    state = jax.jit(jax.vmap(task.init))(np.arange(members, dtype=np.uint32), columns)
    return one, state, columns, lambda k: rng.integers(0, 2**31, (members, 2)).astype(np.uint32)


def bare(job: str, members: int, intervals: int) -> float:
    """Seconds of a steady interval of the same functions in a plain loop."""
    if JOBS[job] == "jax":
        import jax

        one, state, columns, seeds = bare_jax(job, members)
        program = jax.jit(jax.vmap(one))

        def interval(state: Any, number: int) -> Any:
            return program(state, columns, seeds(number))

        fetched = np.asarray
    else:
        from warren.stacked import Keyring, reported

        task, _, _ = parts(job)
        columns = {name: np.full(members, value) for name, value in PLAIN[job].items()}
        state = task.init(np.arange(members), columns)

        def interval(state: Any, number: int) -> Any:
            keys = [Seed(number * members + member) for member in range(members)]
            state = task.train_interval(state, columns, Keyring(keys))
            return state, task.evaluate(state, Keyring(keys))

        def fetched(score: Any) -> Any:
            return reported(score)[0].cpu().numpy()

    for number in range(SKIPPED):
        state, score = interval(state, number)
    fetched(score)
    begin, scores = time.perf_counter(), []
    for number in range(SKIPPED, SKIPPED + intervals):
        state, score = interval(state, number)
        scores.append(score)
    np.stack([fetched(score) for score in scores])
    return (time.perf_counter() - begin) / intervals


def both(job: str, members: int, intervals: int) -> dict[str, Any]:
    """warren on both stores and the bare loop, one after the other in one process."""
    found = ours(job, members, intervals, "SQLite")
    return {
        "seconds": statistics.median(found), "mean": statistics.mean(found), "longest": max(found),
        "in memory": statistics.median(ours(job, members, intervals, "memory")), "bare": bare(job, members, intervals),
    }  # fmt: skip


# -- what the device could do -----------------------------------------------------------------------------------------


def rates(framework: str) -> dict[str, Any]:
    """The device, its bytes and its operations a second: the best of ten."""

    def best(work: Callable[[], None]) -> float:
        work()
        times = []
        for _ in range(10):
            begin = time.perf_counter()
            work()
            times.append(time.perf_counter() - begin)
        return min(times)

    if framework == "jax":
        import jax
        import jax.numpy as jnp

        device = jax.devices()[0]
        gpu = device.platform == "gpu"
        held = {"x": jnp.zeros((2**30 if gpu else 2**26,))}
        add = jax.jit(lambda x: x + 1, donate_argnums=0)
        side = 8192 if gpu else 2048
        square = jax.random.normal(jax.random.key(0), (side, side))
        product = jax.jit(lambda a: a @ a)

        def move() -> None:
            held["x"] = jax.block_until_ready(add(held["x"]))

        def multiply() -> None:
            jax.block_until_ready(product(square))

        name, version = f"{device.platform} ({device.device_kind})", jax.__version__
        size = held["x"].nbytes
    else:
        import torch

        gpu = torch.cuda.is_available()
        device = "cuda" if gpu else "cpu"
        x = torch.zeros(2**30 if gpu else 2**26, device=device)
        side = 8192 if gpu else 2048
        square = torch.randn(side, side, device=device)
        out = torch.empty_like(square)

        def wait() -> None:
            if gpu:
                torch.cuda.synchronize()

        def move() -> None:
            x.add_(1)
            wait()

        def multiply() -> None:
            torch.mm(square, square, out=out)
            wait()

        name = f"gpu ({torch.cuda.get_device_name()})" if gpu else f"cpu ({torch.get_num_threads()} threads)"
        version, size = torch.__version__, x.numel() * 4
    return {
        "device": name, "gpu": gpu, "version": version,
        "bandwidth": 2 * size / best(move), "operations": 2 * side**3 / best(multiply),
    }  # fmt: skip


@contextmanager
def watched(loops: list[tuple[Any, int]], unrolled: Any = None) -> Iterator[None]:
    """Notes the loops of a program while it is traced, and unrolls one of them by two."""
    import jax

    scan = jax.lax.scan

    def noted(body: Any, init: Any, xs: Any = None, length: int | None = None, **others: Any) -> Any:
        code = (body.__code__.co_filename, body.__code__.co_firstlineno)
        turns = int(length if xs is None else jax.tree.leaves(xs)[0].shape[0])  # type: ignore[arg-type]
        if (code, turns) not in loops:
            loops.append((code, turns))
        if code == unrolled:
            others["unroll"] = 2
        return scan(body, init, xs, length, **others)

    jax.lax.scan = noted
    try:
        yield
    finally:
        jax.lax.scan = scan


def by_xla(job: str) -> tuple[float, float]:
    """Operations and bytes of one member's interval, as XLA counts them."""
    import jax

    loops: list[tuple[Any, int]] = []

    def counted(unrolled: Any = None) -> Any:
        one, state, columns, seeds = bare_jax(job, COUNTED)
        with watched(loops, unrolled):
            lowered = jax.jit(jax.vmap(one)).lower(state, columns, seeds(0))
        before, after = lowered.cost_analysis(), lowered.compile().cost_analysis()
        return np.array([before["flops"], after["bytes accessed"]])

    once = counted()
    total = once.copy()
    for code, turns in list(loops):
        # An odd number of turns leaves one, which is taken out of the loop: two more bodies, not one.
        more = (counted(code) - once) / (1 + turns % 2)
        total += (turns - 1) * np.maximum(more, 0)
    return float(total[0]) / COUNTED, float(total[1]) / COUNTED


def by_hand() -> tuple[float, float]:
    """Operations and bytes of one member's interval of the digits MLP in torch.

    Operations are those of products: forward, the gradients of both weights, and that of the hidden layer. Bytes of a
    step: parameters, velocities and gradients, each written once and read once; the batch read, written and read
    again; the hidden layer and its gradient, each written and read.
    """
    from bare import BATCH, HIDDEN
    from bare import parts as arrays

    images, _, held, _ = arrays()
    rows, judged = len(images), len(held)
    weights = 64 * HIDDEN + HIDDEN * 10
    parameters = weights + HIDDEN + 10
    steps = -(-rows // BATCH)
    operations = rows * (4 * weights + 2 * HIDDEN * 10) + judged * 2 * weights
    numbers = steps * 6 * parameters + rows * (3 * 64 + 4 * HIDDEN) + parameters + judged * (64 + 2 * HIDDEN)
    return float(operations), 4.0 * numbers


def work(job: str) -> dict[str, float]:
    """Operations and bytes of one member's interval."""
    operations, moved = by_xla(job) if JOBS[job] == "jax" else by_hand()
    return {"operations": operations, "bytes": moved}


# -- the table --------------------------------------------------------------------------------------------------------

MEASURES: dict[str, Callable[..., dict[str, Any]]] = {"both": both, "rates": rates, "work": work}


def one(name: str, *arguments: Any) -> dict[str, Any]:
    """A measurement in a process of its own."""
    command = [sys.executable, __file__, "--one", json.dumps([name, *arguments])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE)
    if done.returncode:
        raise SystemExit(f"{name} {arguments} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--members", type=int, nargs="+")
    parser.add_argument("--intervals", type=int, help="steady ones, after the first two")
    parser.add_argument("--jobs", nargs="+", choices=list(JOBS), default=list(JOBS))
    parser.add_argument("--quick", action="store_true", help="few members and intervals; no file of results")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        name, *arguments = json.loads(options.one)
        print(json.dumps(MEASURES[name](*arguments)))
        return
    sizes = options.members or (MEMBERS[:2] if options.quick else MEMBERS)
    intervals = options.intervals or (3 if options.quick else 20)
    devices = {framework: one("rates", framework) for framework in dict.fromkeys(JOBS[job] for job in options.jobs)}
    for framework, found in devices.items():
        told = "" if found["gpu"] else "; no GPU is at hand"
        print(
            f"{framework} {found['version']} on {found['device']}{told}: {found['bandwidth'] / 1e9:.1f} GB/s, "
            f"{found['operations'] / 1e9:.0f} GFLOP/s"
        )
    results: dict[str, Any] = {}
    for job in options.jobs:
        device, needed = devices[JOBS[job]], one("work", job)
        times = needed["bytes"] / device["bandwidth"], needed["operations"] / device["operations"]
        rows = []
        for members in sizes:
            found = one("both", job, members, intervals)
            found["floor"] = members * max(times)
            results[f"{job}, {members}"] = found
            first = results.get(f"{job}, 1")
            rows.append(
                (
                    members, f"{1e3 * found['seconds']:.2f} ms",
                    "-" if first is None else f"{found['seconds'] / first['seconds']:.2f}",
                    f"{1e3 * found['in memory']:.2f} ms", f"{1e3 * found['bare']:.2f} ms",
                    f"{found['seconds'] / found['bare']:.2f}", f"{found['in memory'] / found['bare']:.2f}",
                    f"{1e3 * found['floor']:.3f} ms", f"{found['seconds'] / found['floor']:.1f}",
                )
            )  # fmt: skip
        show(
            f"{job}, on {device['device']}; a member's interval: {needed['bytes'] / 1e6:.1f} MB, "
            f"{needed['operations'] / 1e6:.1f} MFLOP, floor by {'bytes' if times[0] > times[1] else 'operations'}",
            ("members", "SQLite", "x 1", "in memory", "bare vmap", "x bare", "in memory x bare", "floor", "x floor"),
            rows,
        )
        results[f"{job}, work"] = needed
    if not options.quick:
        save("device", {"intervals": intervals, "devices": devices, "runs": results})


if __name__ == "__main__":
    main()
