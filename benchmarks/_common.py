"""What every benchmark shares: what it ran on, a table, and a file of results."""

from __future__ import annotations

import compileall
import json
import os
import platform
import sqlite3
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"

_shown: list[dict[str, Any]] = []  # by this process; kept with its results, for docs/performance.md


def compiled() -> None:
    """Compile warren's files to bytecode, as installers do: in a checkout they may be compiled at every start."""
    compileall.compile_dir(Path(__file__).parent.parent / "src", quiet=1)


def machine() -> dict[str, Any]:
    """The machine and the versions that a figure belongs to."""
    versions = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
    for name in ("warren", "numpy", "sqlalchemy", "torch", "jax"):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory, 1),
        "processor": platform.machine(),
        "system": platform.system(),
        "versions": versions,
    }


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table."""
    _shown.append({"title": title, "header": list(header), "rows": [[str(cell) for cell in row] for row in rows]})
    cells = [[str(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    print(f"\n{title}")
    for i, row in enumerate(cells):
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if i == 0:
            print("  " + "  ".join("-" * width for width in widths))
    sys.stdout.flush()


def save(name: str, results: Any) -> None:
    """Write the results beside the machine that they were measured on."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), "results": results, "tables": _shown}, indent=1) + "\n")
    print(f"\nwritten to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


def put(page: Path, name: str, text: str) -> None:
    """Write a section of a page anew, between the comments that mark it; at the end where it has none yet."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    old = page.read_text()
    if begin not in old:
        old = f"{old.rstrip()}\n\n{begin}\n{end}\n"
    before, rest = old.split(begin)
    page.write_text(f"{before}{begin}\n\n{text.strip()}\n\n{end}{rest.split(end)[1]}")


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
