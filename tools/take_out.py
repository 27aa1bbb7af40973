"""Takes each mechanism that a guarantee rests on out of a copy of the tree, and shows which test fails without it.

    python tools/take_out.py              all of them; the table goes to docs/taken-out.md
    python tools/take_out.py 4 22         those of these guarantees; their rows in it

A mechanism that can be taken out without a test that fails is an error, and so is a test that fails with everything
in its place. Needs Python 3.11 or newer.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import tomllib

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "tools" / "take_out.toml"
TABLE = ROOT / "docs" / "taken-out.md"
HEAD = """# What was taken out, and what failed

`tools/take_out.py` wrote this page: one at a time, it takes a mechanism out of a copy of the source, and runs the test
that [the guarantees](guarantees.md) name for it. The numbers are theirs.

| guarantee | taken out | in | test that failed |
| --- | --- | --- | --- |
"""


def copied(folder: Path) -> Path:
    """The tree as it stands, without what is ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True, text=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def failed(tree: Path, tests: list[str]) -> str | None:
    """Name of the first test that fails, or None where all pass."""
    environ = {**os.environ, "PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", "-o",
            "faulthandler_timeout=120", *tests,
        ],
        cwd=tree, env=environ, capture_output=True, text=True,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    if lines:
        return lines[0].split(" - ")[0].partition(" ")[2]
    if done.returncode == 0:
        return None
    if "Timeout" in done.stderr + done.stdout:
        return f"{tests[0]} (it never ended)"
    raise SystemExit(f"pytest ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


def write(rows: list[str], entries: list[dict[str, Any]]) -> None:
    """The page with these rows, and those of it that were not run now, in the order of the list."""
    known = TABLE.read_text().splitlines() if TABLE.exists() else []
    by_name = {tuple(row.split(" | ")[:2]): row for row in [*known, *rows] if row.startswith("| ")}
    names = [(f"| {entry['guarantee']}", entry["what"]) for entry in entries]
    TABLE.write_text(HEAD + "\n".join(by_name[name] for name in names if name in by_name) + "\n")


def main(wanted: list[str]) -> int:
    """Take out, run, tell."""
    entries: list[dict[str, Any]] = tomllib.loads(LIST.read_text())["out"]
    chosen = [entry for entry in entries if not wanted or str(entry["guarantee"]) in wanted]
    rows, unseen = [], 0
    with tempfile.TemporaryDirectory(prefix="warren-take-out-") as name:
        tree = copied(Path(name))
        for entry in chosen:
            path = tree / entry["file"]
            whole = path.read_text()
            if whole.count(entry["old"]) != 1:
                raise SystemExit(
                    f"{entry['file']} has {whole.count(entry['old'])} times what is to be taken out: {entry}"
                )
            start = time.monotonic()
            path.write_text(whole.replace(entry["old"], entry["new"]))
            test = failed(tree, entry["tests"])
            path.write_text(whole)
            if test is not None and failed(tree, [test.partition(" (")[0]]) is not None:
                raise SystemExit(f"{test} fails with everything in its place, and shows nothing")
            unseen += test is None
            told = "NO TEST FAILED" if test is None else test
            print(f"{entry['guarantee']:>3}  {entry['what']}: {told} ({time.monotonic() - start:.0f} s)", flush=True)
            where = entry["file"].removeprefix("src/warren/")
            rows.append(f"| {entry['guarantee']} | {entry['what']} | `{where}` | `{told.removeprefix('tests/')}` |")
    write(rows, entries)
    print(f"{len(chosen) - unseen} of {len(chosen)} were noticed by a test")
    return 1 if unseen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
