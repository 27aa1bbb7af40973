"""How things look in a terminal: numbers, times, tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from warren.cli.follow import Snapshot, Standing
from warren.errors import RunFailed
from warren.results import Result, Schedule

_STYLES = {"waiting": "dim", "training": "cyan", "done": "green", "quarantined": "red"}
_BLOCKS = "▁▂▃▄▅▆▇█"
_COLUMNS = 6
"""Hyperparameters that get a column each; more of them share one."""
_SHARED = 30
"""How wide a shared column should be, before the others are thinned out for it."""
_GAP = 3
"""What a column costs beside its width."""


class Output(Console):
    """Standard output. Into a pipe or a file, lines are as long as they need to be."""

    def __init__(self) -> None:
        super().__init__(highlight=False, markup=False, emoji=False)
        if not self.is_terminal:
            self.width = 10_000

    def on_broken_pipe(self) -> None:
        """Let the command end quietly, rather than exit with 1 as Rich would have it."""
        raise BrokenPipeError


def number(value: Any) -> str:
    """A value as people write it."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def score(value: float | None) -> str:
    """A score, with a digit more than a hyperparameter."""
    return "-" if value is None else f"{value:.5g}"


def span(seconds: float) -> str:
    """A time, as 0:42 or 1:02:03."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def _names(each: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names that any of them has, in the order in which they come."""
    return list(dict.fromkeys(name for hyperparameters in each for name in hyperparameters))


def assignments(hyperparameters: Mapping[str, Any]) -> str:
    """Hyperparameters on one line."""
    return ", ".join(f"{name}={number(value)}" for name, value in hyperparameters.items())


def spark(values: Sequence[float]) -> str:
    """The course of some numbers in one character each."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    if high <= low:
        return _BLOCKS[3] * len(values)
    return "".join(_BLOCKS[int((value - low) / (high - low) * (len(_BLOCKS) - 1))] for value in values)


def arrow(values: Sequence[float]) -> str:
    """The last change of some numbers, for terminals that show ASCII only."""
    if len(values) < 2 or values[-1] == values[-2]:
        return ""
    return "up" if values[-1] > values[-2] else "down"


def members_table(
    snapshot: Snapshot,
    standings: Sequence[Standing],
    console: Console,
    *,
    hidden_after: int | None = None,
    hidden: int = 0,
) -> Table:
    """The members as a table that fits the window: what matters least is left out first.

    Args:
        snapshot: The run.
        standings: Those to show, in this order.
        console: Where it will be printed.
        hidden_after: Rows after which some are left out.
        hidden: How many.
    """
    names = _names(one.row.hyperparameters for one in snapshot.standings)

    def build(columns: Sequence[str], room: int | None, *, trend: bool = False, age: bool = False) -> Table:
        return _members_table(snapshot, standings, console, columns, room, trend, age, hidden_after, hidden)

    def width(table: Table) -> int:
        return Measurement.get(console, console.options.update(width=10_000), table).maximum

    if len(names) <= _COLUMNS:
        for trend, age in ((True, True), (False, True), (False, False)):
            table = build(names, None, trend=trend, age=age)
            if width(table) <= console.width:
                return table
    # They share a column, as wide as the others leave it; where that is next to nothing, there is none.
    wide = width(build((), None, trend=True, age=True)) + _SHARED <= console.width
    bare = build((), None, trend=wide, age=wide)
    room = console.width - width(bare) - _GAP
    return build((), room, trend=wide, age=wide) if room >= _SHARED // 2 else bare


def _members_table(
    snapshot: Snapshot,
    standings: Sequence[Standing],
    console: Console,
    names: Sequence[str],
    room: int | None,
    trend: bool,
    age: bool,
    hidden_after: int | None,
    hidden: int,
) -> Table:
    ascii_only = not console.encoding.lower().startswith("utf")
    table = Table(box=box.ASCII2 if ascii_only else box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    heads = ["member", "state", "interval", *(["age"] if age else []), "score", *(["trend"] if trend else []), *names]
    for head in [*heads, "copied"]:
        # A hyperparameter may be called anything: no markup is looked for in its name.
        table.add_column(Text(head), justify="left" if head in ("state", "trend", "copied") else "right", no_wrap=True)
    if room is not None:
        table.add_column("hyperparameters", no_wrap=True, overflow="ellipsis", max_width=room)
    best = None if snapshot.best is None else snapshot.best.member
    for place, one in enumerate(standings):
        if place == hidden_after and hidden:
            table.add_row("..." if ascii_only else "⋯", f"{hidden} hidden", style="dim")
        row = one.row
        state = "training" if row.state == "leased" else row.state
        cells = [
            Text(str(row.member), style="bold" if row.member == best else ""),
            Text(state, style=_STYLES.get(state, "")),
            Text(f"{row.budget}/{max(snapshot.run.limit, row.budget)}"),
        ]
        if age:
            cells.append(Text(str(row.age)))
        cells.append(Text("diverged", style="red") if one.diverged else Text(score(one.score)))
        if trend:
            cells.append(Text(arrow(one.recent) if ascii_only else spark(one.recent)))
        cells += [Text(number(row.hyperparameters.get(name, ""))) for name in names]
        cells.append(Text("" if one.copied is None else f"{one.copied.donor} at {one.copied.interval}"))
        if room is not None:
            cells.append(Text(assignments(row.hyperparameters)))
        table.add_row(*cells)
    return table


def copies_of(snapshot: Snapshot) -> str:
    """How many copies there were."""
    return "1 copy" if snapshot.copies == 1 else f"{snapshot.copies} copies"


def best_line(snapshot: Snapshot) -> str:
    """The best score so far, and whose it is."""
    if snapshot.best is None:
        return "no score yet"
    line = f"best {score(snapshot.best.score)} by member {snapshot.best.member} at interval {snapshot.best.interval}"
    if snapshot.held_out is not None:
        line += f", {snapshot.held_out} {score(snapshot.held_out_score)} (held out)"
    return line


def changes(schedule: Schedule) -> list[str]:
    """One line for each hyperparameter of a schedule: its first and last value, and how often it changed."""
    names = _names(step.hyperparameters for step in schedule)
    lines = []
    for name in names:
        values = [step.hyperparameters.get(name, "absent") for step in schedule]
        count = sum(a != b for a, b in pairwise(values))
        if count == 0:
            lines.append(f"{name}: {number(values[0])} all along")
        else:
            times = "1 change" if count == 1 else f"{count} changes"
            lines.append(f"{name}: {number(values[0])} -> {number(values[-1])} ({times})")
    return lines


def schedule_table(schedule: Schedule) -> Table:
    """A schedule, with the intervals in one row in which nothing changed."""
    names = _names(step.hyperparameters for step in schedule)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("age", justify="right", no_wrap=True)
    table.add_column("member", justify="right", no_wrap=True)
    for name in names:
        table.add_column(Text(name), justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    start = 0
    for place in range(len(schedule)):
        step = schedule[place]
        after = schedule[place + 1] if place + 1 < len(schedule) else None
        if (
            after is not None
            and not after.copied
            and after.hyperparameters == step.hyperparameters
            and after.member == step.member
        ):
            continue
        first = schedule[start]
        table.add_row(
            str(first.age) if start == place else f"{first.age}-{step.age}",
            str(step.member),
            *(Text(number(step.hyperparameters.get(name, ""))) for name in names),
            score(step.score),
            "copied before" if first.copied else "",
        )
        start = place + 1
    return table


def summary(result: Result, output: Console) -> None:
    """What came out of a run.

    Args:
        result: The run.
        output: Where to print.
    """
    run = result.run
    what = {"running": "not finished"}.get(run.status, run.status)
    output.print(f"{what}{f': {run.reason}' if run.reason else ''}, {run.total} intervals", soft_wrap=True)
    try:
        best = result.best
    except RunFailed as error:
        output.print(str(error), soft_wrap=True)
    else:
        line = f"best score {score(best.score)} by member {best.member} at interval {best.interval}"
        if result.held_out is not None:
            line += f", {result.held_out} {score(best.held_out)} (held out)"
        output.print(line, soft_wrap=True)
        output.print(f"with {assignments(best.hyperparameters)}", soft_wrap=True)
        output.print(f"schedule of its {len(result.schedule)} intervals:", soft_wrap=True)
        for line in changes(result.schedule):
            output.print(f"  {line}", soft_wrap=True)
    output.print(str(result.cost), soft_wrap=True)
