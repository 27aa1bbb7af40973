"""A run's story as Plotly figures: plain ``data`` and ``layout``, ready for JSON."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from warren.population import Goal, IntervalRow
from warren.results.figures import DRAWN, Panel, Piece, Story, first_view, spans_decades, thin

Figure = dict[str, Any]

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
# From the palette of Okabe and Ito, which is told apart with any kind of colour vision.
WINNER, KEPT, LOST = "#d55e00", "#2f7fb5", "#a9b0bb"
INK, FAINT = "#1f2430", "#e8eaee"
DOTTED = 3_000  # up to so many intervals each gets a dot; beyond, dots would only hide the lines
MARKED = 30  # beyond so many copies along a lineage their marks are small, and left out of small panels

Point = tuple[Any, Any, str]  # x, y and what is said under the mouse


def score_figure(story: Story, goal: Goal) -> tuple[Figure, list[str]]:
    """Scores along lineages.

    Args:
        story: The run.
        goal: Which scores are better.

    Returns:
        The figure, and what its reader has to be told about it.
    """
    notes: list[str] = []
    scores = [row.score for row in story.rows if row.score is not None]
    log = spans_decades(scores, goal)
    drawn = _background(story, DRAWN, notes)

    def path(piece: Piece) -> Iterable[Point]:
        if piece.parent is not None and piece.parent.score is not None:
            yield _when(piece.parent), piece.parent.score, _said(piece.parent)
        for row in piece.rows:
            yield _when(row), row.score, _said(row)

    traces = _lines(drawn, path, dots=len(story.rows) <= DOTTED)
    if story.lineage:
        own = [(_when(row), row.score, _said(row)) for row in story.lineage]
        traces.append(_line([own], "lineage of the best", WINNER, 3.0))
        marks = [
            (_when(link.row), link.row.score, f"{_said(link.row)}<br>{_copied(link.row, link.donor)}")
            for link in story.links
        ]
        traces += _marks(marks) + [_star(*own[-1])]
    axis: dict[str, Any] = {"title": {"text": f"score ({'higher' if goal == 'max' else 'lower'} is better)"}}
    view = None if log else first_view(scores, goal)
    if log:
        low, high = math.log10(min(scores)), math.log10(max(scores))
        axis.update(_log_axis(10**low, 10**high))
    elif view is not None:
        axis["range"] = view
        outside = sum(not view[0] <= score <= view[1] for score in scores)
        notes.append(f"The {_count(outside, 'worst score')} lie outside the first view; double-click to see all.")
    return figure(
        traces, _time_axis(_last(story), "age of the state (intervals in its history)"), axis, 430, legend=True
    ), notes


def panel_figure(story: Story, panel: Panel) -> Figure:
    """One hyperparameter over time.

    Args:
        story: The run.
        panel: Which.
    """
    lanes = {row.member: i for i, row in enumerate(story.members)}

    def place(row: IntervalRow) -> float | None:
        return panel.place(row.hyperparameters[panel.name]) if panel.name in row.hyperparameters else None

    def lane(row: IntervalRow) -> float | None:
        spot = place(row)
        if spot is not None and panel.axis == "choice" and len(lanes) > 1:
            spot += 0.7 * (lanes.get(row.member, 0) / (len(lanes) - 1) - 0.5)  # beside, not on top of each other
        return spot

    def label(row: IntervalRow) -> str:
        value = shown(row.hyperparameters.get(panel.name, "absent"))
        return f"member {row.member}, {_named(row)}: {safe(value)}"

    def path(piece: Piece) -> Iterable[Point]:
        first = piece.rows[0]
        yield _when(first) - 1, lane(first), label(first)  # an interval is a stretch of time
        for row in piece.rows:
            yield _when(row), lane(row), label(row)

    share = max(1, min(DRAWN, 2 * DRAWN // max(1, len(story.panels))))
    traces = _lines(thin(story.pieces, share), path, width=1.4, shape="vh")
    if story.lineage:
        own: list[Point] = [(_when(row), place(row), label(row)) for row in story.lineage]
        traces.append(_line([[(own[0][0] - 1, *own[0][1:]), *own]], "lineage of the best", WINNER, 3.0, shape="vh"))
        if len(story.links) <= MARKED:
            at = {point[0]: point for point in own}
            traces += _marks([at[_when(link.row)] for link in story.links], size=6)
    return figure(traces, _time_axis(_last(story), None), _panel_axis(panel), 250, legend=False)


def tree_figure(story: Story) -> tuple[Figure, list[str]]:
    """The family tree: members as rows, intervals from left to right, a line from each state to what came of it.

    Args:
        story: The run.

    Returns:
        The figure, and what its reader has to be told about it.
    """
    notes: list[str] = []
    drawn = _background(story, DRAWN // 2, notes)

    def say(row: IntervalRow) -> str:
        lines = [_said(row)]
        donor = story.parents.get(row.id)
        if row.origin in ("exploit", "rescue") and donor is not None:
            lines.append(_copied(row, donor))
        lines += [f"{safe(name)} = {safe(shown(value))}" for name, value in row.hyperparameters.items()]
        return "<br>".join(lines)

    def path(piece: Piece) -> Iterable[Point]:
        if piece.parent is not None:
            yield piece.parent.interval, piece.parent.member, say(piece.parent)
        else:
            yield piece.rows[0].interval - 1, piece.rows[0].member, f"member {piece.rows[0].member} starts afresh"
        for row in piece.rows:
            yield row.interval, row.member, say(row)

    traces = _lines(drawn, path, dots=len(story.rows) <= DOTTED, width=1.5)
    diverged = [(row.interval, row.member, say(row)) for row in story.rows if row.status == "diverged"][:DRAWN]
    if diverged:
        marker = {"symbol": "x-thin", "size": 8, "line": {"width": 1.8, "color": INK}}
        traces.append(scatter(diverged, mode="markers", name="not finite", marker=marker))
    if story.lineage:
        own = [(row.interval, row.member, say(row)) for row in story.lineage]
        first = own[0]
        traces.append(_line([[(first[0] - 1, *first[1:]), *own]], "lineage of the best", WINNER, 3.5))
        traces += _marks([(link.row.interval, link.row.member, say(link.row)) for link in story.links])
        traces.append(_star(*own[-1]))
    count = len(story.members)
    axis: dict[str, Any] = {
        "title": {"text": "member"},
        "range": [max((row.member for row in story.members), default=0) + 0.7, -0.7],
        "showgrid": count <= 60,
    }
    if count <= 60:
        axis.update(tickmode="array", tickvals=[row.member for row in story.members])
        axis["ticktext"] = [str(row.member) for row in story.members]
    height = 130 + min(max(count, 2) * 26, 900)
    time = _time_axis(max((row.interval for row in story.rows), default=1), "interval (the member's budget)")
    return figure(traces, time, axis, height, legend=True), notes


def shown(value: Any) -> str:
    """A value as it is read: floats with five digits, text as it is."""
    if isinstance(value, float):
        if value and math.isfinite(value) and not 1e-3 <= abs(value) < 1e6:
            mantissa, _, exponent = f"{value:.3e}".partition("e")
            return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
        return f"{value:.5g}"
    return str(value)


# -- the parts ------------------------------------------------------------------------------------------------------


def _background(story: Story, most: int, notes: list[str]) -> list[Piece]:
    drawn = thin(story.pieces, most)
    left = sum(len(piece.rows) for piece in drawn)
    if left < len(story.rows):
        notes.append(
            f"The background is thinned: {left:,} of {len(story.rows):,} intervals are drawn. The lineage of the best "
            "is complete."
        )
    return drawn


def _lines(
    pieces: Sequence[Piece],
    path: Callable[[Piece], Iterable[Point]],
    *,
    dots: bool = False,
    width: float = 1.1,
    shape: str = "linear",
) -> list[dict[str, Any]]:
    """The background: one trace for what was given up, one over it for what lived on."""
    looks = {"lost": ("given up", LOST, 0.8 if dots else 0.55), "kept": ("lives on at the end", KEPT, 0.8)}
    traces = []
    for fate, (name, color, opacity) in looks.items():
        paths = [path(piece) for piece in pieces if piece.fate == fate]
        if paths:
            trace = _line(paths, name, color, width, shape=shape)
            trace["opacity"] = opacity
            if dots:
                trace.update(mode="lines+markers", marker={"size": 4, "color": color})
            traces.append(trace)
    return traces


def _line(
    paths: Iterable[Iterable[Point]], name: str, color: str, width: float, *, shape: str = "linear"
) -> dict[str, Any]:
    points: list[Point] = []
    for path in paths:
        points += [*path, (None, None, "")]  # a gap before the next one
    return scatter(
        points[:-1],
        mode="lines",
        name=name,
        line={"color": color, "width": width, "shape": shape},
        connectgaps=False,
    )


def _marks(points: Sequence[Point], size: float = 8) -> list[dict[str, Any]]:
    size = size if len(points) <= MARKED else 5.5
    marker = {"symbol": "diamond", "size": size, "color": "#ffffff", "line": {"width": 2, "color": WINNER}}
    return [scatter(points, mode="markers", name="copied here", marker=marker)] if points else []


def _star(x: Any, y: Any, text: str) -> dict[str, Any]:
    marker = {"symbol": "star", "size": 15, "color": WINNER, "line": {"width": 1, "color": "#ffffff"}}
    return scatter([(x, y, text)], mode="markers", name="best", marker=marker)


def scatter(points: Sequence[Point], **more: Any) -> dict[str, Any]:
    """A trace of points, each with what is said under the mouse; `more` is Plotly's."""
    return {
        "type": "scatter",
        "x": [point[0] for point in points],
        "y": [_rounded(point[1]) for point in points],
        "hovertext": [point[2] for point in points],
        "hoverinfo": "text",
        **more,
    }


def _rounded(value: Any) -> Any:
    """Seven digits are more than an eye can see, and half the size of a page."""
    return float(f"{value:.7g}") if isinstance(value, float) else value


def figure(
    traces: Sequence[Mapping[str, Any]], x: dict[str, Any], y: dict[str, Any], height: int, *, legend: bool
) -> Figure:
    """Traces with their axes, in the look of the page."""
    line = {"gridcolor": FAINT, "zeroline": False, "linecolor": "#c9cdd6", "automargin": True, "ticks": ""}
    return {
        "data": list(traces),
        "layout": {
            "height": height,
            "margin": {"l": 56, "r": 16, "t": 40 if legend else 10, "b": 44 if legend else 30},
            "font": {"family": FONT, "size": 12, "color": "#4a5160"},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "hovermode": "closest",
            "hoverlabel": {"align": "left", "bgcolor": "#ffffff", "font": {"family": FONT, "size": 12, "color": INK}},
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "#a9b0bb", "activecolor": INK},
            "showlegend": legend,
            "legend": {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "traceorder": "normal"},
            "xaxis": {**line, "showgrid": False, "showline": True, **x},
            "yaxis": {**line, **y},
        },
        # In a small panel the buttons would lie on the lines; dragging and double-clicking zoom without them.
        "config": {"displayModeBar": "hover" if legend else False},
    }


def _when(row: IntervalRow) -> int:
    """Where an interval stands in time: at its age, one step after its parent, so that no curve can go back.

    By the member's budget it would be where its member was. That is the same place while donors and recipients are
    equally far, and leads backwards from a donor that was ahead; and after one NaN, which uses up an interval, the
    lineage of the best would run beside the very lines that it is made of.
    """
    return row.age


def _last(story: Story) -> int:
    return max((_when(row) for row in story.rows), default=1)


def _time_axis(last: int, title: str | None) -> dict[str, Any]:
    pad = 0.02 * last
    axis: dict[str, Any] = {"range": [-pad, last + pad], "tickformat": ",d"}
    if last <= 12:
        axis["dtick"] = 1
    if title is not None:
        axis["title"] = {"text": title}
    return axis


def _panel_axis(panel: Panel) -> dict[str, Any]:
    if panel.axis == "choice":
        last = len(panel.choices) - 1
        return {
            "range": [-0.6, last + 0.6],
            "tickmode": "array",
            "tickvals": list(range(last + 1)),
            "ticktext": [safe(_short(shown(value))) for value in panel.choices],
            "showgrid": False,
        }
    if panel.axis == "log":
        return _log_axis(panel.low, panel.high)
    if panel.axis == "one_minus":
        axis = _log_axis(1.0 - panel.high, 1.0 - panel.low)
        axis["range"] = axis["range"][::-1]
        axis["ticktext"] = [f"{1.0 - value:.12g}" for value in axis["tickvals"]]
        return axis
    pad = 0.05 * (panel.high - panel.low) or 0.5
    axis = {"range": [panel.low - pad, panel.high + pad]}
    if panel.whole and panel.high - panel.low <= 8:
        axis["dtick"] = 1
    return axis


def _log_axis(low: float, high: float) -> dict[str, Any]:
    """A logarithmic axis with few and round ticks."""
    first, last = math.log10(low), math.log10(high)
    steps = (1,) if last - first > 2.5 else (1, 2, 5)
    every = max(1, math.ceil((last - first) / 6))
    exponents = [e for e in range(math.floor(first), math.ceil(last) + 1) if e % every == 0]
    ticks = [step * 10.0**e for e in exponents for step in steps]
    pad = 0.05 * (last - first) or 0.1
    ticks = [tick for tick in ticks if first - pad <= math.log10(tick) <= last + pad]
    return {
        "type": "log",
        "range": [first - pad, last + pad],
        "tickmode": "array",
        "tickvals": ticks,
        "ticktext": [shown(tick) for tick in ticks],
    }


def _said(row: IntervalRow) -> str:
    score = row.status if row.score is None else shown(float(row.score))
    if row.status == "diverged":
        score = "not finite"
    return f"<b>member {row.member}</b>, {_named(row)}: score {score}"


def _named(row: IntervalRow) -> str:
    return f"interval {row.interval}" + (f" (age {row.age})" if row.age != row.interval else "")


def _copied(row: IntervalRow, donor: IntervalRow) -> str:
    why = " to rescue it" if row.origin == "rescue" else ""
    return f"copied from member {donor.member}, {_named(donor)}{why}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _short(text: str, most: int = 24) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def safe(text: str) -> str:
    """User text inside a figure, where Plotly reads some tags and entities."""
    return html.escape(text, quote=False).replace("\n", " ")
