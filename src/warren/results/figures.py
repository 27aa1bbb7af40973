"""What is drawn of a run, as plain facts; how it looks is `plots`' and `report`'s business."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from warren.population import Goal, IntervalRow, MemberRow
from warren.values import Json

COPIES = ("exploit", "rescue")
"""Origins that say that a member's state had been taken over from another's."""

DRAWN = 20_000
"""Intervals that a browser still draws without making its reader wait."""

Fate = Literal["lost", "kept"]
Axis = Literal["linear", "log", "one_minus", "choice"]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Intervals of one member, one after another on the same state: what may be joined by a line.

    Attributes:
        rows: Oldest first.
        parent: The interval whose state the first one started from, or None for a fresh state.
        fate: ``kept`` where the state lives on in what a member holds at the end, or in the best one.
    """

    rows: tuple[IntervalRow, ...]
    parent: IntervalRow | None
    fate: Fate


@dataclass(frozen=True, kw_only=True)
class Link:
    """A copy along a lineage: the recipient's first interval, and the donor's last."""

    row: IntervalRow
    donor: IntervalRow


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One hyperparameter and the axis that it is read on.

    Attributes:
        name: As in the space, nested names with dots.
        axis: A number's scale, or ``choice``.
        low: Smallest value that the space allows, or that there was.
        high: Largest one.
        choices: The values of a choice, in order.
        whole: Values are whole numbers.
    """

    name: str
    axis: Axis
    low: float = 0.0
    high: float = 1.0
    choices: tuple[Any, ...] = ()
    whole: bool = False

    def place(self, value: Any) -> float | None:
        """Where a value stands on the axis (``1 - v`` for one-minus, the number of a choice), or None."""
        if self.axis == "choice":
            return next((i for i, known in enumerate(self.choices) if _same(known, value)), None)
        if not _is_number(value):
            return None
        number = 1.0 - value if self.axis == "one_minus" else float(value)
        return number if self.axis == "linear" or number > 0 else None


@dataclass(frozen=True, kw_only=True)
class Story:
    """A run as it is told in pictures.

    Attributes:
        members: All members, by number.
        rows: All intervals, in the order in which they were stored.
        lineage: Of the best state, oldest first; empty where there is none.
        links: The copies along it.
        pieces: Every interval once, in pieces that lines are drawn of.
        parents: The interval before each one in its history, by ids.
        panels: The hyperparameters, in the order of the space.
    """

    members: tuple[MemberRow, ...]
    rows: tuple[IntervalRow, ...]
    lineage: tuple[IntervalRow, ...]
    links: tuple[Link, ...]
    pieces: tuple[Piece, ...]
    parents: Mapping[int, IntervalRow]
    panels: tuple[Panel, ...]


def story(
    rows: Sequence[IntervalRow], members: Sequence[MemberRow], lineage: Sequence[IntervalRow], space: Json
) -> Story:
    """What there is to draw of a run.

    Args:
        rows: All intervals.
        members: All members.
        lineage: Of the best state, oldest first.
        space: As in the record of the run.
    """
    known = {row.id: row for row in rows}
    parents = {row.id: known[row.parents[0]] for row in rows if row.parents and row.parents[0] in known}
    ends = [row.id for row in lineage[-1:]]
    for member in members:
        ends += [member.last] if member.last is not None else member.parents[:1]
    kept = _ancestors(ends, parents)
    return Story(
        members=tuple(sorted(members, key=lambda row: row.member)),
        rows=tuple(rows),
        lineage=tuple(lineage),
        links=tuple(
            Link(row=row, donor=parents[row.id]) for row in lineage if row.origin in COPIES and row.id in parents
        ),
        pieces=tuple(_pieces(rows, parents, kept)),
        parents=parents,
        panels=tuple(_panels(rows, space)),
    )


def thin(pieces: Sequence[Piece], most: int) -> list[Piece]:
    """Leave out background until about `most` intervals are left to draw.

    States that were given up go first, whole pieces at even distances; then every so many points of long pieces.

    Args:
        pieces: All of them.
        most: Intervals that shall be left.
    """
    kept = [piece for piece in pieces if piece.fate == "kept"]
    lost = [piece for piece in pieces if piece.fate == "lost"]
    total = _size(pieces)
    if total <= most:
        return list(pieces)
    room = most - _size(kept)
    share = max(room, 0) / max(_size(lost), 1)
    if share < 1:
        lost = [piece for i, piece in enumerate(lost) if math.floor((i + 1) * share) > math.floor(i * share)]
    step = math.ceil(_size(kept) / most)
    if step > 1:
        kept = [
            Piece(rows=_every(piece.rows, step), parent=piece.parent, fate=piece.fate) if len(piece.rows) > 2 else piece
            for piece in kept
        ]
    return lost + kept


def first_view(scores: Iterable[float], goal: Goal) -> tuple[float, float] | None:
    """The range of scores that is worth a look where a few bad ones would flatten all others, or None for all.

    Nothing good is ever left out: only the bad end is cut, where the worst score lies more than five times as far
    from the best one as nineteen out of twenty do.

    Args:
        scores: Finite ones.
        goal: Which are better.
    """
    ordered = sorted(scores, reverse=goal == "max")  # best first
    if len(ordered) < 20:
        return None
    best, worst, most = ordered[0], ordered[-1], ordered[math.ceil(0.95 * len(ordered)) - 1]
    span = abs(most - best)
    if span == 0 or abs(worst - best) <= 5 * span:
        return None
    margin = 0.08 * span
    return (most - margin, best + margin) if goal == "max" else (best - margin, most + margin)


def spans_decades(scores: Sequence[float], goal: Goal) -> bool:
    """Whether losses fall through so many powers of ten that a logarithmic axis shows more."""
    return goal == "min" and bool(scores) and min(scores) > 0 and max(scores) / min(scores) > 100


def _ancestors(ends: Iterable[int], parents: Mapping[int, IntervalRow]) -> set[int]:
    found: set[int] = set()
    for end in ends:
        id = end
        while id not in found:
            found.add(id)
            if id not in parents:
                break
            id = parents[id].id
    return found


def _pieces(rows: Iterable[IntervalRow], parents: Mapping[int, IntervalRow], kept: set[int]) -> Iterable[Piece]:
    own: dict[int, list[IntervalRow]] = {}
    for row in rows:
        own.setdefault(row.member, []).append(row)
    for _, mine in sorted(own.items()):
        piece: list[IntervalRow] = []
        for row in sorted(mine, key=lambda row: row.interval):
            # Where a member went on from an earlier state than its last one (a copy, or after a NaN), the line ends.
            follows = piece and parents.get(row.id) is piece[-1] and row.origin not in COPIES
            if piece and not (follows and (row.id in kept) == (piece[-1].id in kept)):
                yield _piece(piece, parents, kept)
                piece = []
            piece.append(row)
        yield _piece(piece, parents, kept)


def _piece(rows: Sequence[IntervalRow], parents: Mapping[int, IntervalRow], kept: set[int]) -> Piece:
    fate: Fate = "kept" if rows[0].id in kept else "lost"
    return Piece(rows=tuple(rows), parent=parents.get(rows[0].id), fate=fate)


def _size(pieces: Iterable[Piece]) -> int:
    return sum(len(piece.rows) for piece in pieces)


def _every(rows: Sequence[IntervalRow], step: int) -> tuple[IntervalRow, ...]:
    last = len(rows) - 1
    return tuple(row for i, row in enumerate(rows) if i % step == 0 or i == last)


def _panels(rows: Iterable[IntervalRow], space: Json) -> Iterable[Panel]:
    values: dict[str, list[Any]] = {str(name): [] for name in space} if isinstance(space, dict) else {}
    for row in rows:
        for name, value in row.hyperparameters.items():
            values.setdefault(name, []).append(value)
    for name, seen in values.items():
        yield _panel(name, seen, space.get(name) if isinstance(space, dict) else None)


def _panel(name: str, seen: Sequence[Any], dimension: Json) -> Panel:
    record: dict[str, Any] = dimension if isinstance(dimension, dict) else {}
    while isinstance(record.get("inside"), dict):  # under a condition
        record = record["inside"]
    numbers = [float(value) for value in seen if _is_number(value)]
    if "values" in record or len(numbers) < len(seen):
        choices = list(record.get("values", ()))
        for value in seen:
            if not any(_same(value, known) for known in choices):
                choices.append(value)
        return Panel(name=name, axis="choice", choices=tuple(choices))
    bounds = [float(record[end]) for end in ("low", "high") if _is_number(record.get(end))]
    low, high = min(numbers + bounds, default=0.0), max(numbers + bounds, default=1.0)
    axis: Axis = record["scale"] if record.get("scale") in ("log", "one_minus") else "linear"
    if (axis == "log" and low <= 0) or (axis == "one_minus" and high >= 1):
        axis = "linear"  # a value from outside the space: no place for it on the scale's own line
    whole = all(isinstance(value, int) for value in seen)
    return Panel(name=name, axis=axis, low=low, high=high, whole=whole)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _same(one: Any, two: Any) -> bool:
    """Equal and of one kind: 1 and True are not the same choice."""
    return bool(one == two) and isinstance(one, bool) == isinstance(two, bool)
