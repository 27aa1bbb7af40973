"""A comparison in words and tables, and as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from warren.comparison import statistics
from warren.comparison.compared import LEAST, Compared, Contrast, Retrained
from warren.comparison.replicate import Replicate


def lines(compared: Compared) -> list[str]:
    """The verdict, the differences, what each strategy spent, and the schedules that were trained again."""
    found = [sentence(compared), ""]
    found += table(*differences_table(compared))
    found += ["", *table(*values_table(compared))]
    found += ["", *table(*compute_table(compared))]
    if compared.retrained:
        found += ["", *table(*retraining_table(compared))]
    told = notes(compared)
    return found + ([""] if told else []) + told


def sentence(compared: Compared) -> str:
    """The verdict in words."""
    design, primary = compared.design, compared.contrasts[0]
    about = (
        f"{design.held_out} better by {primary.mean:+.4g}, 95 % interval [{primary.low:+.4g}, {primary.high:+.4g}], "
        f"{compared.seeds} paired seeds"
    )
    if primary.verdict == "too few seeds":
        few = f"{compared.seeds} seed{'s' * (compared.seeds != 1)}, and {LEAST} are needed"
        return f"no verdict on {primary.arm} against {primary.other}: {few}; {about}"
    if primary.verdict == "no evidence":
        return (
            f"no evidence that {primary.arm} is better or worse than {primary.other}: {about}; a difference of "
            f"{primary.detectable:.4g} would have been seen in four of five such comparisons"
        )
    return f"{primary.arm} is {primary.verdict} than {primary.other}: {about}"


def differences_table(compared: Compared) -> tuple[Sequence[str], list[Sequence[str]]]:
    """The candidate against each of the others, the primary control first."""
    design = compared.design
    head = [
        f"{design.candidate} against",
        f"{design.held_out} better by",
        "95 % interval",
        "p",
        "by Holm",
        "visible from",
        "P(better)",
        "wins",
        "",
    ]
    return head, [_contrast(one, place == 0) for place, one in enumerate(compared.contrasts)]


def _contrast(one: Contrast, primary: bool) -> Sequence[str]:
    return [
        one.other,
        f"{one.mean:+.4g}",
        f"[{one.low:+.4g}, {one.high:+.4g}]",
        _p(one.p),
        "primary" if primary else _p(one.adjusted),
        f"{one.detectable:.4g}",
        f"{one.improvement:.2f}",
        f"{one.wins} of {len(one.differences)}",
        one.verdict,
    ]


def values_table(compared: Compared) -> tuple[Sequence[str], list[Sequence[str]]]:
    """What each strategy came to: at the end, at its best ever, and how much the score flatters."""
    design = compared.design
    head = [design.held_out, "at the end", "interquartile mean", "best ever", "best ever minus end"]
    rows: list[Sequence[str]] = []
    for name in compared.replicates:
        final, best = compared.held_out(name), compared.held_out(name, "best")
        gain = design.sign * (best - final)
        spread = f" ± {final.std(ddof=1):.2g}" if len(final) > 1 else ""
        rows.append([
            name, f"{final.mean():.4g}{spread}", f"{statistics.interquartile_mean(final):.4g}", f"{best.mean():.4g}",
            f"{gain.mean():+.2g}",
        ])  # fmt: skip
    return head, rows


def compute_table(compared: Compared) -> tuple[Sequence[str], list[Sequence[str]]]:
    """What each strategy spent on one seed, on average; nothing beyond the budget counts."""
    budget = compared.design.budget
    head = [f"of {budget:g} units", "members", "intervals", "units", "trained beyond", "device-seconds", "wall seconds"]
    rows: list[Sequence[str]] = []
    for name, runs in compared.replicates.items():
        members = compared.design.arms[name].population or compared.design.population
        rows.append([
            name, str(members), f"{_mean(runs, 'intervals'):.0f}", f"{_mean(runs, 'cost'):.5g}",
            f"{_mean(runs, 'beyond'):.3g}", f"{_mean(runs, 'seconds'):.3g}", f"{_mean(runs, 'wall'):.3g}",
        ])  # fmt: skip
    return head, rows


def retraining_table(compared: Compared) -> tuple[Sequence[str], list[Sequence[str]]]:
    """The schedules that were found, on seeds that they were not found on."""
    members = compared.design.population
    head = [
        f"{compared.design.held_out}, schedule of",
        "found by the search",
        "one training",
        f"best of {members}",
        "fresh seeds",
    ]
    rows: list[Sequence[str]] = []
    for one in compared.retrained:
        reached = next(run for run in compared.replicates[one.arm] if run.seed == one.found_on).final
        found = math.nan if reached is None else reached.held_out
        rows.append([
            f"{one.arm}, seed {one.found_on}", f"{found:.4g}", _spread(one.single), _spread(one.best_of),
            str(len(one.single)),
        ])  # fmt: skip
    return head, rows


def notes(compared: Compared) -> list[str]:
    """What the reader has to know beside the numbers."""
    design, told = compared.design, []
    if compared.failed:
        told.append(
            f"no finite {design.held_out} at the end, counted as the worst of all: {', '.join(compared.failed)}"
        )
    if design.raised:
        told.append(
            f"seeds were raised from {', '.join(map(str, design.raised))} to {design.seeds} after results could be "
            "seen; so the interval leaves out the truth more often than it says"
        )
    spent = {name: _mean(runs, "cost") for name, runs in compared.replicates.items()}
    low = [name for name, cost in spent.items() if cost < 0.95 * design.budget]
    if low:
        told.append(f"spent less than 95 % of the budget: {', '.join(low)}")
    return told


def record(compared: Compared) -> Any:
    """The comparison as JSON: what is not finite is None."""
    design = compared.design
    return _finite({
        "verdict": compared.verdict,
        "sentence": sentence(compared),
        "design": design.record(),
        "seeds": compared.seeds,
        "contrasts": [vars(one) for one in compared.contrasts],
        "strategies": {
            name: [
                {
                    "seed": run.seed, "final": run.final and vars(run.final), "best": run.best and vars(run.best),
                    "cost": run.cost, "beyond": run.beyond, "intervals": run.intervals, "seconds": run.seconds,
                    "wall": run.wall,
                }
                for run in runs
            ]
            for name, runs in compared.replicates.items()
        },
        "retrained": [_retrained(one) for one in compared.retrained],
        "notes": notes(compared),
    })  # fmt: skip


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines with the first column to the left and all others to the right."""
    cells = [list(head), *map(list, rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    found = []
    for place, row in enumerate(cells):
        line = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        found.append("  ".join(line).rstrip())
        if place == 0:
            found.append("  ".join("-" * width for width in widths).rstrip())
    return found


def _p(p: float) -> str:
    return f"{p:.3f}" if p >= 0.001 else "<0.001"


def _mean(runs: Sequence[Replicate], name: str) -> float:
    return float(np.mean([getattr(run, name) for run in runs]))


def _spread(values: Sequence[float]) -> str:
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return "none finite"
    return f"{np.mean(finite):.4g}" + (f" ± {np.std(finite, ddof=1):.2g}" if len(finite) > 1 else "")


def _retrained(one: Retrained) -> Any:
    return {**vars(one), "schedule": [dict(step) for step in one.schedule]}


def _finite(value: Any) -> Any:
    """JSON has no word for what is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return value
