"""A study in numbers that can be printed, kept as JSON, or drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from warren.results.page import page, place, table, text
from warren.results.plots import Figure, figure, shown
from warren.simulation.study import Line, Runs
from warren.values import Json

HEADS = (
    "setting", "median score", "median regret", "worst tenth", "random search", "wins", "makespan", "busy", "cost",
)  # fmt: skip
"""Of the columns that `cells` gives."""

CASE, CONTROL = "#d55e00", "#a9b0bb"


def cells(line: Line) -> list[str]:
    """A line of the table, in the order of `HEADS`.

    Regrets are what is missing to the optimum: of the strategy their median and their ninth decile, of random search
    their median. Makespan, utilisation and cost are medians.
    """
    runs = line.runs
    return [
        line.name,
        f"{_median(runs.scores):.5g}",
        f"{_median(runs.regrets):.3g}",
        f"{_worst(runs):.3g}",
        f"{_median(line.control.regrets):.3g}",
        f"{100 * line.wins:.0f} %",
        f"{_median(runs.makespans):.4g}",
        f"{100 * _median(runs.utilisations):.0f} %",
        f"{_median(runs.costs):.5g}",
    ]


def record(lines: Sequence[Line]) -> list[Json]:
    """The same for programs, with the single regrets; what is not finite is null."""
    return [
        {
            "setting": line.name,
            "median_score": _plain(_median(line.runs.scores)),
            "median_regret": _plain(_median(line.runs.regrets)),
            "worst_tenth_regret": _plain(_worst(line.runs)),
            "random_search": {
                "members": line.control.case.population,
                "median_regret": _plain(_median(line.control.regrets)),
                "regrets": [_plain(one) for one in line.control.regrets.tolist()],
            },
            "wins": line.wins,
            "makespan": _median(line.runs.makespans),
            "utilisation": _median(line.runs.utilisations),
            "cost": _median(line.runs.costs),
            "regrets": [_plain(one) for one in line.runs.regrets.tolist()],
        }
        for line in lines
    ]


def render(title: str, command: str, lines: Sequence[Line]) -> str:
    """A study as one HTML page that needs nothing from a network.

    Args:
        title: What was simulated.
        command: What gives it again.
        lines: Its lines.

    Raises:
        MissingExtra: Plotly is not installed.
    """
    figures: list[Figure] = [_regrets(lines)]
    body = [
        f"<header><h1>{text(title)}</h1></header>",
        f'<p class="soft">{len(lines[0].runs.regrets)} seeds. Simulated by <code>{text(command)}</code>.</p>',
        "<section><h2>Regret of each seed</h2>",
        '<p class="about">What the member that looks best at the end misses to the optimum, by its true score. Beside '
        "each setting random search with the same means, at equal compute, on the same seeds.</p>",
        place(figures, "Regret of each seed, by setting"),
        "</section>",
    ]
    figures.append(_times(lines))
    body += [
        "<section><h2>Simulated time</h2>",
        '<p class="about">From the first interval to the end of the last, in plain intervals; medians.</p>',
        place(figures, "Makespan by setting"),
        "</section>",
        "<section><h2>In numbers</h2>",
        table(HEADS, (("", cells(line)) for line in lines)),
        "</section>",
    ]
    return page(f"{title} · warren", "\n".join(body), figures)


def _regrets(lines: Sequence[Line]) -> Figure:
    traces = []
    finite: list[float] = []
    for name, colour in (("random search", CONTROL), ("strategy", CASE)):
        x: list[str] = []
        y: list[float | None] = []
        for line in lines:
            regrets = (line.control if name == "random search" else line.runs).regrets.tolist()
            x += [line.name] * len(regrets)
            y += [one if math.isfinite(one) else None for one in regrets]
        finite += [one for one in y if one is not None]
        traces.append(
            {
                "type": "box", "name": name, "x": x, "y": y, "boxpoints": "all", "jitter": 0.5, "pointpos": 0,
                "marker": {"color": colour, "size": 4, "opacity": 0.7}, "line": {"color": colour, "width": 1.5},
                "fillcolor": "rgba(0,0,0,0)",
            }
        )  # fmt: skip
    made = figure(traces, {"type": "category"}, _axis(finite), 430, legend=True)
    made["layout"]["boxmode"] = "group"
    return made


def _axis(values: Sequence[float]) -> dict[str, object]:
    """Logarithmic where regrets span decades, as they do where a strategy comes near the optimum."""
    axis: dict[str, object] = {"title": {"text": "regret (lower is better)"}}
    if values and min(values) > 0 and max(values) > 10 * min(values):
        axis |= {"type": "log", "dtick": 1, "exponentformat": "power"}
    return axis


def _times(lines: Sequence[Line]) -> Figure:
    bars = {
        "type": "bar", "x": [line.name for line in lines], "y": [_median(line.runs.makespans) for line in lines],
        "marker": {"color": CASE}, "width": 0.4,
        "hovertext": [f"{line.name}: {shown(_median(line.runs.makespans))}" for line in lines], "hoverinfo": "text",
    }  # fmt: skip
    return figure([bars], {"type": "category"}, {"title": {"text": "makespan"}}, 260, legend=False)


def _median(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    return float(np.median(values))


def _worst(runs: Runs) -> float:
    """The ninth decile of regrets; of infinite ones too, where an interpolation would give NaN."""
    return float(np.percentile(runs.regrets, 90, method="higher"))


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None
