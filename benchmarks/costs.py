"""What warren itself costs: an empty interval, a claim among many members, an import; as ratios where it can be.

Every figure stands beside a yardstick of the same machine, file system and SQLite, measured in turn with it in one run.
"""

from __future__ import annotations

import argparse
import contextlib
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from _common import save, show

import warren
from warren.population import CheckpointRow, Keys, Log, Report, RunRow, View
from warren.stores import MemoryStore, Store, schema
from warren.stores.sqlite import SQLiteStore

SPACE = {"lr": warren.Float(1e-4, 1.0, scale="log"), "momentum": warren.Float(0.5, 0.999, scale="one_minus")}


def empty(size: int) -> Any:
    """A training function whose intervals do nothing, with a state of `size` bytes."""

    def train(slot: warren.Slot) -> None:
        x = np.zeros(size // 8)
        slot.track(x=x)
        for member in slot:
            member.report(member["lr"] + member["momentum"] + member.id)

    return train


def bare_commits(folder: Path, count: int, size: int) -> float:
    """Seconds for one durable transaction that inserts a row of `size` bytes, in warren's mode of SQLite."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=PERSIST")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, body BLOB)")
    body = b"x" * size
    start = time.perf_counter()
    for _ in range(count):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO t (body) VALUES (?)", (body,))
        connection.execute("COMMIT")
    took = (time.perf_counter() - start) / count
    connection.close()
    return took


def empty_interval(store: Path | None, size: int, population: int, intervals: int) -> float:
    """Seconds for one empty interval of a whole run, everything but the start of Python in it."""
    start = time.perf_counter()
    result = warren.run(
        empty(size), space=SPACE, goal="max", population=population, intervals=intervals, workers=1, store=store,
        strategy=warren.PBT(every=4),
    )  # fmt: skip
    took = time.perf_counter() - start
    assert result.run.total == population * intervals
    return took / result.run.total


def claims(store: Store, members: int, rounds: int) -> tuple[float, float]:
    """Median seconds of a claim (with the report before it), and of a decision, among many members."""
    strategy, keys = warren.PBT(), Keys(seed=0, member=-1, interval=0)
    space = warren.Space(SPACE)
    if not store.exists():
        store.create(RunRow(limit=1000), {}, strategy.start(space, members, keys))
    log = Log("max")
    begin = store.recent(64)
    log.update(begin.news, begin.run.revision)
    turn = store.claim("w", since=log.revision)
    reports, decisions = [], []
    serial = 0
    while len(decisions) < rounds:
        log.update(turn.news, turn.run.revision)
        row = turn.row
        assert row is not None and row.token is not None
        due = None
        if row.budget >= row.due:
            start = time.perf_counter()
            view = View(space=space, goal="max", due=row, log=log, size=members, limit=turn.run.limit)
            plan = strategy.decide(view, Keys(seed=0, member=row.member, interval=row.budget))
            decisions.append(time.perf_counter() - start)
            if plan.actions:
                row = store.commit(row.token, plan, seen=view.revision, memory_version=0)
            else:
                due = row.budget + plan.intervals
        serial += 1
        name = f"c{turn.run.revision}-{serial}"
        report = Report(
            score=float(row.hyperparameters["lr"]),
            checkpoint=CheckpointRow(name=name, digest=name, size=1000, inline=b"x" * 1000),
            due=due,
        )
        start = time.perf_counter()
        turn = store.report(str(row.token), report, since=log.revision)
        if decisions:
            reports.append(time.perf_counter() - start)
    return statistics.median(reports), statistics.median(decisions)


def recorded(path: Path, count: int) -> dict[str, float]:
    """The same on a run of 16 members with so many intervals on record, and what it takes a worker to begin on it."""
    store = SQLiteStore(path)
    claims(store, 16, 50)
    store.expire(["w"], "its turn is over", counts=False)
    store.close()
    names = ", ".join(f'"{column.name}"' for column in schema.intervals.c if column.name not in ("id", "interval"))
    given = {"n": count // 16, "first": count // 16 + 1}
    with contextlib.closing(sqlite3.connect(path)) as connection:
        # What was trained moves up, and its first interval is written down again and again below it.
        connection.execute("UPDATE intervals SET interval = -interval")
        connection.execute("UPDATE intervals SET interval = :n - interval", given)
        connection.execute("UPDATE members SET budget = budget + :n, saved = saved + :n, due = due + :n", given)
        connection.execute("UPDATE checkpoints SET interval = interval + :n", given)
        connection.execute('UPDATE runs SET "limit" = "limit" + :n, total = total + 16 * :n', given)
        connection.execute(
            f"""INSERT INTO intervals (interval, {names})
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :n)
            SELECT n.i, {names} FROM n, intervals WHERE interval = :first""",
            given,
        )
        connection.execute(
            "UPDATE intervals SET revision = 1, touched = 1, checkpoint = NULL WHERE interval <= :n", given
        )
        connection.commit()
    store = SQLiteStore(path, create=False)
    resident = psutil.Process().memory_info().rss
    start = time.perf_counter()
    store.recent(64)
    begun = time.perf_counter() - start
    claim, decision = claims(store, 16, 300)
    grown = psutil.Process().memory_info().rss - resident
    total = store.run().total
    store.close()
    return {"recorded": total, "begin": begun, "claim": claim, "decision": decision, "memory": grown}


def import_time() -> tuple[float, float, list[str]]:
    """Median seconds of `import warren` beyond starting Python, that start, and heavy modules that it loaded."""
    heavy = "import sys, warren; print([m for m in ('torch', 'sqlalchemy', 'plotly', 'numpy') if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout

    def median(code: str) -> float:
        times = []
        for _ in range(9):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    bare = median("pass")
    return median("import warren") - bare, bare, [m for m in ("torch", "sqlalchemy", "plotly") if m in loaded]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", help="where the stores are made (default: a temporary folder)")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)

        rows = []
        for size in (64, 8 * 1024, 32 * 1024):
            ratios, walls, bares = [], [], []
            for turn in range(3):
                before = bare_commits(folder, 300, 100)
                wall = empty_interval(folder / f"empty-{size}-{turn}.db", size - 64, 16, 200)
                bare = (before + bare_commits(folder, 300, 100)) / 2
                ratios.append(wall / bare)
                walls.append(wall)
                bares.append(bare)
            wall, bare, ratio = (statistics.median(values) for values in (walls, bares, ratios))
            rows.append((f"{size} B", f"{1e3 * wall:.2f} ms", f"{1e3 * bare:.2f} ms", f"{ratio:.2f}"))
            results[f"sqlite_interval_{size}"] = {"wall": wall, "bare_commit": bare, "ratio": ratio}
        show(
            "An empty interval on SQLite, one worker, 3200 intervals of 16 members, beside a bare durable commit",
            ("state", "interval", "bare commit", "ratio"), rows,
        )  # fmt: skip

        memory = statistics.median(empty_interval(None, 64, 16, 200) for _ in range(5))
        results["memory_interval"] = memory
        show("An empty interval on the memory store, inline", ("interval",), [(f"{1e3 * memory:.3f} ms",)])

        rows = []
        for members in (16, 1000, 10_000):
            for kind, store in (
                ("memory", MemoryStore()),
                ("SQLite", SQLiteStore(folder / f"claims-{members}.db")),
            ):
                claim, decision = claims(store, members, 300)
                rows.append((members, kind, f"{1e3 * claim:.2f} ms", f"{1e3 * decision:.2f} ms"))
                results[f"claims_{kind}_{members}"] = {"claim": claim, "decision": decision}
                store.close()
        show(
            "Report and claim in one transaction, and a decision, median",
            ("members", "store", "claim", "decision"), rows,
        )  # fmt: skip

        rows = []
        for count in (1000, 100_000, 1_000_000):
            one = results[f"recorded_{count}"] = recorded(folder / f"recorded-{count}.db", count)
            rows.append(
                (
                    f"{one['recorded']:,.0f}", f"{1e3 * one['begin']:.1f} ms", f"{1e3 * one['claim']:.2f} ms",
                    f"{1e3 * one['decision']:.2f} ms", f"{one['memory'] / 2**20:.1f} MiB",
                )
            )  # fmt: skip
        show(
            "The same on SQLite with 16 members, by the intervals that are on record already",
            ("recorded", "a worker begins", "claim", "decision", "memory added"), rows,
        )  # fmt: skip

    took, bare, loaded = import_time()
    results["import"] = {"seconds": took, "bare_python": bare, "heavy": loaded}
    show(
        "import warren, beyond the start of Python",
        ("import", "start of Python", "heavy modules loaded"),
        [(f"{took:.3f} s", f"{bare:.3f} s", ", ".join(loaded) or "none")],
    )
    save("costs", results)


if __name__ == "__main__":
    main()
