"""A comparison as Plotly figures: plain ``data`` and ``layout``, ready for JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from warren.comparison import statistics
from warren.comparison.compared import Compared, Retrained
from warren.comparison.replicate import POINTS, Replicate
from warren.results.plots import INK, KEPT, LOST, WINNER, Figure, Point, figure, safe, scatter, shown

PALETTE = ("#009e73", "#cc79a7", "#56b4e9", "#b08900", "#7a5ab5", "#8c564b", "#4a5160")
"""For what is neither the candidate nor the primary control; after these, the last one again, dashed."""
FIELD = 12
"""Strategies that are drawn in one picture."""


def course_figure(compared: Compared) -> Figure:
    """The held-out metric of the member that looks best, along the budget: means over the seeds."""
    traces = []
    for name, runs in _drawn(compared):
        points: list[Point] = []
        for k in range(1, POINTS + 1):
            cost = compared.design.budget * k / POINTS
            values = [value for run in runs if math.isfinite(value := _at(run, cost))]
            if values:
                mean = float(np.mean(values))
                points.append((cost, mean, f"<b>{safe(name)}</b> after {shown(cost)} units: {shown(mean)}"))
        traces.append(scatter(points, mode="lines", name=safe(name), line=_line(compared, name)))
    x = {"title": {"text": "units of compute, all members together"}, "range": [0, compared.design.budget * 1.02]}
    return figure(traces, x, {"title": {"text": _metric(compared)}}, 430, legend=True)


def differences_figure(compared: Compared) -> Figure:
    """Paired differences: a dot for each seed, the mean with its 95 % interval."""
    contrasts = compared.contrasts[::-1]  # the primary control on top
    dots: list[Point] = []
    means: list[Point] = []
    reach: list[float] = []
    for place, one in enumerate(contrasts):
        for i, value in enumerate(one.differences):
            seed = compared.design.seed + i
            beside = 0.34 * ((i % 5) / 4 - 0.5)
            dots.append((value, place + beside, f"seed {seed}: {value:+.4g}"))
        finite = math.isfinite(one.low)
        reach.append((one.high - one.low) / 2 if finite else 0.0)
        said = f"<b>{safe(one.arm)} against {safe(one.other)}</b>: {one.mean:+.4g}"
        means.append((one.mean, place, said + (f", 95 % interval [{one.low:+.4g}, {one.high:+.4g}]" if finite else "")))
    middles = [(one.low + one.high) / 2 if math.isfinite(one.low) else one.mean for one in contrasts]
    bars = [(middle, place, "") for place, middle in enumerate(middles)]
    traces = [
        scatter(dots, mode="markers", name="a seed", marker={"size": 6, "color": LOST, "opacity": 0.9}),
        scatter(
            bars, mode="markers", name="95 % interval of the mean", marker={"size": 1, "color": WINNER},
            error_x={"type": "data", "array": reach, "color": WINNER, "thickness": 2.5, "width": 7},
        ),
        scatter(means, mode="markers", name="mean", marker={"symbol": "diamond", "size": 10, "color": WINNER}),
    ]  # fmt: skip
    count = len(contrasts)
    names = [safe(one.other) + ("<b> (primary)</b>" if i == count - 1 else "") for i, one in enumerate(contrasts)]
    y = {
        "tickmode": "array",
        "tickvals": list(range(count)),
        "ticktext": names,
        "range": [-0.6, count - 0.4],
        "showgrid": False,
    }
    x = {"title": {"text": f"{compared.design.held_out}: {compared.design.candidate} better by"}, "zeroline": True,
         "zerolinecolor": INK, "showgrid": True}  # fmt: skip
    return figure(traces, x, y, 130 + 44 * count, legend=True)


def profile_figure(compared: Compared) -> Figure:
    """The share of runs that are better than each value: a line above another is better throughout."""
    sign = compared.design.sign
    values = {name: compared.held_out(name) for name, _ in _drawn(compared)}
    every = np.concatenate(list(values.values()))
    low, high = float(every.min()), float(every.max())
    pad = 0.03 * (high - low) or 0.5
    thresholds = np.linspace(low - pad, high + pad, 201)
    traces = []
    for name, own in values.items():
        shares = statistics.profile(sign * own, sign * thresholds)
        points = [
            (float(at), float(share), f"<b>{safe(name)}</b>: {share:.0%} of runs beyond {shown(float(at))}")
            for at, share in zip(thresholds, shares, strict=True)
        ]
        traces.append(scatter(points, mode="lines", name=safe(name), line={**_line(compared, name), "shape": "hv"}))
    ends = [low - pad, high + pad]
    x = {"title": {"text": _metric(compared)}, "range": ends if sign > 0 else ends[::-1]}
    y = {"title": {"text": "share of runs that are better"}, "range": [-0.03, 1.03], "tickformat": ".0%"}
    return figure(traces, x, y, 380, legend=True)


def flattery_figure(compared: Compared) -> Figure:
    """What selection saw against what it did not, of the states at the end and of the best ever."""
    traces = []
    looks = {"final": ("at the end", KEPT, "circle"), "best": ("best ever", WINNER, "diamond-open")}
    for which, (said, color, symbol) in looks.items():
        points: list[Point] = []
        for name, runs in _drawn(compared):
            for run in runs:
                reached = run.final if which == "final" else run.best
                if reached is not None and math.isfinite(reached.held_out):
                    numbers = f"score {shown(reached.score)}, held out {shown(reached.held_out)}"
                    under = f"<b>{safe(name)}, seed {run.seed}</b>, {said}: {numbers}"
                    points.append((reached.score, reached.held_out, under))
        traces.append(scatter(points, mode="markers", name=said, marker={"size": 7, "color": color, "symbol": symbol}))
    x = {"title": {"text": f"score that selection saw ({_better(compared.design.goal)})"}, "showgrid": True}
    return figure(traces, x, {"title": {"text": _metric(compared)}}, 380, legend=True)


def retraining_figure(compared: Compared) -> Figure:
    """The schedules that were found, on fresh seeds: one training, and the best of as many as the search had."""
    rows: list[tuple[str, Sequence[float], str]] = []
    for one in compared.retrained[::-1]:
        rows += [
            (f"{one.arm}: best of {compared.design.population}", one.best_of, WINNER),
            (f"{one.arm}: one training", one.single, KEPT),
            (f"{one.arm}: found by the search", _found(compared, one), INK),
        ]
    traces = []
    for place, (name, values, color) in enumerate(rows):
        finite = [value for value in values if math.isfinite(value)]
        dots: list[Point] = [
            (value, place + 0.3 * ((i % 5) / 4 - 0.5), f"{safe(name)}: {shown(value)}")
            for i, value in enumerate(finite)
        ]
        traces.append(
            scatter(dots, mode="markers", name=safe(name), marker={"size": 6, "color": color, "opacity": 0.55})
        )
        if finite:
            mean = float(np.mean(finite))
            marker = {"symbol": "line-ns", "size": 22, "line": {"width": 3, "color": color}}
            traces.append(scatter([(mean, place, f"mean {shown(mean)}")], mode="markers", marker=marker))
    y = {"tickmode": "array", "tickvals": list(range(len(rows))), "ticktext": [safe(row[0]) for row in rows],
         "range": [-0.6, len(rows) - 0.4], "showgrid": False}  # fmt: skip
    return figure(
        traces, {"title": {"text": _metric(compared)}, "showgrid": True}, y, 90 + 40 * len(rows), legend=False
    )


def _drawn(compared: Compared) -> list[tuple[str, tuple[Replicate, ...]]]:
    """The strategies, the candidate and the primary control last, so that they lie on top."""
    design = compared.design
    names = [*reversed(design.others), design.candidate][-FIELD:]
    return [(name, compared.replicates[name]) for name in names]


def _line(compared: Compared, name: str) -> dict[str, Any]:
    design = compared.design
    if name == design.candidate:
        return {"color": WINNER, "width": 3.5}
    if name == design.primary:
        return {"color": KEPT, "width": 3}
    place = design.others.index(name) - 1
    look: dict[str, Any] = {"color": PALETTE[min(place, len(PALETTE) - 1)], "width": 1.5}
    return {**look, "dash": "dot"} if place >= len(PALETTE) else look


def _at(run: Replicate, cost: float) -> float:
    """The held-out metric after so many units: of the last moment that they paid for."""
    value = math.nan
    for moment in run.course:
        if moment.cost > cost * (1 + 1e-9):
            break
        value = moment.now.held_out
    return value


def _found(compared: Compared, one: Retrained) -> list[float]:
    run = next(run for run in compared.replicates[one.arm] if run.seed == one.found_on)
    return [] if run.final is None else [run.final.held_out]


def _metric(compared: Compared) -> str:
    return f"{compared.design.held_out} ({_better(compared.design.held_out_goal)})"


def _better(goal: str) -> str:
    return "higher is better" if goal == "max" else "lower is better"
