"""Writes docs/performance.md: the tables that the benchmarks printed, and how to print them again.

usage: tools/performance_page.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "performance.md"

HEAD = """# What it costs, beside the others

Every table here was printed by one command, which stands above it; `tools/performance_page.py` writes this page from
what the commands left in `benchmarks/results/`. Figures of one table were measured in one run, taking turns; compare
within a table. Where warren loses, that stands here too.
"""

SECTIONS = [
    ("vectorised", "A whole population as one program", "vectorised"),
    ("peers", "Beside Ray Tune and Syne Tune", "peers"),
    ("exploit", "An exploit, by the size of the model", "exploit"),
    ("device", "On a device", "device"),
    ("decisions", "Deciding for a round", "decisions"),
    ("costs", "warren's own cost, by engine and store", "costs"),
    ("efficiency", "Two workers, by the length of intervals and the size of states", "efficiency"),
    ("startup", "Start-up", "startup"),
    ("memory", "Memory", "memory"),
    ("disk", "Disk", "disk"),
]


def tables(name: str, found: dict[str, Any]) -> list[dict[str, Any]]:
    """The tables of a file of results; older files have none, and their results are laid out here."""
    if "tables" in found:
        return list(found["tables"])
    results = found["results"]
    if name == "efficiency":
        return [
            {
                "title": "Time inside intervals of 1 s / (2 x first claim to last commit)",
                "header": ["state", "members", "ready every", "saved every", "efficiency", "start-up"],
                "rows": [
                    [
                        f"{one['state'] / 1000:,.0f} kB", one["population"], one["every"], one["publish"],
                        f"{100 * one['efficiency']:.2f} %", f"{one['start_up']:.2f} s",
                    ]
                    for one in results
                ],
            }
        ]  # fmt: skip
    if name == "memory":
        return [
            {
                "title": "Peak memory beyond the state itself, for a state of 1 GB",
                "header": ["what", "times its size", "seconds"],
                "rows": [[what, f"{one['ratio']:.3f}", f"{one['seconds']:.2f}"] for what, one in results.items()],
            }
        ]
    return []


def markdown(table: dict[str, Any]) -> str:
    """A table as Markdown."""
    header = [cell or " " for cell in table["header"]]
    rows = [[str(cell).replace("|", "\\|") for cell in row] for row in table["rows"]]
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join([f"**{table['title']}**", "", *("| " + " | ".join(line) + " |" for line in lines)])


def machine(found: dict[str, Any]) -> str:
    """What it was measured on, in a line."""
    about = found["machine"]
    there = [f"{name} {version}" for name, version in about["versions"].items() if version != "not installed"]
    versions = ", ".join(there)
    return f"{about['cores']} cores, {about['memory_gib']:g} GiB, {about['system']} {about['processor']}; {versions}."


def main() -> None:
    parts = [HEAD]
    for name, title, script in SECTIONS:
        path = RESULTS / f"{name}.json"
        if not path.exists():
            continue
        found = json.loads(path.read_text())
        if not tables(name, found):
            continue  # results of before tables were kept with them
        parts.append(f"## {title}\n\n`python benchmarks/{script}.py` on {machine(found)}\n")
        note = ROOT / "benchmarks" / "notes" / f"{name}.md"
        if note.exists():
            parts.append(note.read_text())
        notes = found["results"].get("notes") if isinstance(found["results"], dict) else None
        parts += [markdown(table) + "\n" for table in tables(name, found)]
        if notes:
            parts.append("\n".join(f"- {note}" for note in notes) + "\n")
    PAGE.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
