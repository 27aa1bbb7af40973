"""The log of reports, folded so that a decision at any interval is quick.

Each worker keeps one and feeds it what the store says has changed. Only the newest part of a long run is kept.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from warren.population.rows import CheckpointRow, Goal, IntervalRow

Kept = TypeVar("Kept", IntervalRow, CheckpointRow)
Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Every member's report at one interval, or else its newest older one, as arrays over the members.

    A log gives the same object to all who ask until its next change. The arrays cannot be written to.

    Attributes:
        members: Numbers of the members that have such a report, in no order that may matter. Shape (n,), int64.
        scores: Their scores turned so that greater is better; -inf where not finite. Shape (n,), float64.
        healthy: Whether the report is a finite score. Shape (n,), bool.
        rows: The reports themselves, in the same order.
        place: Where a member stands in these.
    """

    members: NDArray[np.int64]
    scores: NDArray[np.float64]
    healthy: NDArray[np.bool_]
    rows: Sequence[IntervalRow]
    place: Mapping[int, int]
    _found: dict[Hashable, tuple[object, Any]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, key: Hashable, compute: Callable[[], Found], *, given: object = None) -> Found:
        """See `View.once`."""
        known = self._found.get(key)
        if known is None or known[0] is not given:
            known = self._found[key] = (given, compute())
        found: Found = known[1]
        return found


class Log:
    """Reports by member, as far back as strategies look.

    Args:
        goal: What counts as better.
        history: How many intervals behind the least-trained member are kept; None keeps all.
    """

    def __init__(self, goal: Goal, *, history: int | None = 64) -> None:
        self._sign = 1.0 if goal == "max" else -1.0
        self._history = history
        self._reports: dict[int, list[IntervalRow]] = {}
        self._by_id: dict[int, IntervalRow] = {}
        self._cached: dict[int, _Table] = {}
        self._added = 0
        self.revision = 0

    def update(self, rows: Iterable[IntervalRow], revision: int) -> None:
        """Take in rows that are new or have changed, up to a revision."""
        news = list(rows)
        if news:
            self._outdate()
        latest = max(self._cached, default=0)
        for row in news:
            reports = self._reports.setdefault(row.member, [])
            if row.interval > latest and row.voided is None and (not reports or reports[-1].interval < row.interval):
                reports.append(row)  # as nearly all do: past what its member and all facts at hand have come to
                self._by_id[row.id] = row
                self._added += 1
            else:
                self._put(row, reports)
        self.revision = max(self.revision, revision)

    @property
    def crowded(self) -> bool:
        """Whether so much came in since the last `prune` that another one is worth it."""
        return self._history is not None and self._added > max(_CROWD, _ROUNDS * len(self._reports))

    def _outdate(self) -> None:
        """What was found on facts no longer holds: also a report that they do not show moves what can be loaded."""
        for table in self._cached.values():
            table.given.clear()

    def _forget(self, interval: int) -> None:
        """Facts at an interval or after it are made anew when they are asked for."""
        for at in [at for at in self._cached if at >= interval]:
            del self._cached[at]

    def prune(self, floor: int) -> None:
        """Forget what no decision looks at any more.

        Args:
            floor: The smallest budget of a member that may still be trained: nobody decides at less.
        """
        self._added = 0
        if self._history is None:
            return
        self._outdate()
        last = floor - self._history
        for reports in self._reports.values():
            if not reports or reports[0].interval > last:
                continue
            keep = bisect_right(reports, last, key=_interval)
            # What is loadable stays, however old: the checkpoint is there and may be asked for.
            needed = retained(reports)
            oldest = bisect_right(reports, needed[0].interval - 1, key=_interval) if needed else len(reports)
            forgotten = min(keep, max(0, len(reports) - 2), oldest)
            for row in reports[:forgotten]:
                self._by_id.pop(row.id, None)
            del reports[:forgotten]

    def members(self) -> Iterable[int]:
        """Members that have reported."""
        return self._reports.keys()

    def reports(self, member: int, at: int | None = None) -> Sequence[IntervalRow]:
        """A member's reports, oldest first, without those taken back; of those, the ones up to an interval."""
        reports: Sequence[IntervalRow] = self._reports.get(member, ())
        return reports if at is None else reports[: bisect_right(reports, at, key=_interval)]

    def newest(self, member: int, at: int) -> IntervalRow | None:
        """A member's report at an interval, or its newest older one; pending scores are passed over."""
        reports = self._reports.get(member, [])
        place = len(reports)
        if place and reports[-1].interval > at:
            place = bisect_right(reports, at, key=_interval)
        while place:
            place -= 1
            if reports[place].status != "pending":
                return reports[place]
        return None

    def lineage(self, row: IntervalRow) -> list[IntervalRow]:
        """A report and those that its state came out of, newest first, as far back as they are known.

        Of several parents the first is followed.
        """
        found = [row]
        while row.parents and (parent := self._by_id.get(row.parents[0])) is not None:
            found.append(row := parent)
        return found

    def loadable(self, member: int, at: int) -> IntervalRow | None:
        """The report whose checkpoint is copied from a member by one that stands at an interval.

        It is the newest at or before that interval among those that are kept, else the oldest one after it.
        """
        reports = self._reports.get(member)
        if not reports:
            return None
        last = reports[-1]
        if last.checkpoint is not None and last.lost is None and last.interval <= at:
            return last  # as nearly always: the newest state is kept whatever else is
        kept = retained(reports)
        for row in reversed(kept):
            if row.interval <= at:
                return row
        return kept[0] if kept else None

    def facts(self, at: int, *, without: frozenset[int] = frozenset()) -> Facts:
        """Everybody's report at equal progress; see `newest`. Read it before the next `update`.

        Args:
            at: The interval.
            without: Members that were set aside: they count only where they have come to that interval themselves.
        """
        table = self._cached.get(at)
        if table is None:
            if len(self._cached) >= 16:  # members stand at few intervals at a time; forget the lowest
                del self._cached[min(self._cached)]
            rows = [self.newest(member, at) for member in sorted(self._reports)]
            table = self._cached[at] = _Table(self._sign, [row for row in rows if row is not None])
        return table.facts(at, without)

    def _put(self, row: IntervalRow, reports: list[IntervalRow]) -> None:
        place = bisect_right(reports, row.interval, key=_interval)
        known = place > 0 and reports[place - 1].interval == row.interval
        if row.voided is not None:
            if known and reports[place - 1].id == row.id:
                del reports[place - 1]
                self._by_id.pop(row.id, None)
            self._forget(row.interval)  # a lease was lost with work that had been reported
        elif known:
            self._by_id.pop(reports[place - 1].id, None)
            reports[place - 1] = self._by_id[row.id] = row
            self._forget(row.interval)  # a score came late, or a checkpoint was found damaged
        else:
            reports.insert(place, row)
            self._by_id[row.id] = row
            self._added += 1
            if row.status != "pending":
                for at, table in self._cached.items():
                    if row.interval <= at:
                        table.put(row)


_CROWD = 4096
"""Reports that come in between two looks at what can be forgotten, which go through all members..."""
_ROUNDS = 8
"""... and where there are many of those, so many of each."""


class _Table:
    """Facts at one interval, kept up to date report by report in growing arrays.

    Attributes:
        given: The facts that were asked for since the last change, by who was set aside.
    """

    def __init__(self, sign: float, rows: list[IntervalRow]) -> None:
        self.given: dict[frozenset[int], Facts] = {}
        self._sign = sign
        self._rows = rows
        self._place = {row.member: place for place, row in enumerate(rows)}
        self._members = np.array(list(self._place), dtype=np.int64)
        self._scores = np.array([self._score(row) for row in rows], dtype=np.float64)
        self._healthy = np.array([_healthy(row) for row in rows], dtype=np.bool_)

    def put(self, row: IntervalRow) -> None:
        place = self._place.get(row.member)
        if place is None:
            place = self._place[row.member] = len(self._rows)
            self._rows.append(row)
            if place >= len(self._members):
                for name in ("_members", "_scores", "_healthy"):
                    array = getattr(self, name)
                    setattr(self, name, np.concatenate([array, np.zeros(len(array) + 16, array.dtype)]))
            self._members[place] = row.member
        elif row.interval < self._rows[place].interval:
            return
        self._rows[place] = row
        self._healthy[place] = _healthy(row)
        self._scores[place] = self._score(row)

    def _score(self, row: IntervalRow) -> float:
        return self._sign * row.score if row.status == "ok" and row.score is not None else -np.inf

    def facts(self, at: int, without: frozenset[int]) -> Facts:
        found = self.given.get(without)
        if found is None:
            found = self.given[without] = self._facts(at, without)
            for array in (found.members, found.scores, found.healthy):
                array.flags.writeable = False  # they are shared
        return found

    def _facts(self, at: int, without: frozenset[int]) -> Facts:
        stale = [p for m in without if (p := self._place.get(m)) is not None and self._rows[p].interval < at]
        if stale:
            keep = np.setdiff1d(np.arange(len(self._rows)), stale)
            rows = [self._rows[place] for place in keep]
            return Facts(
                members=self._members[keep],
                scores=self._scores[keep],
                healthy=self._healthy[keep],
                rows=rows,
                place={row.member: place for place, row in enumerate(rows)},
            )
        n = len(self._rows)
        return Facts(
            members=self._members[:n],
            scores=self._scores[:n],
            healthy=self._healthy[:n],
            rows=self._rows,
            place=self._place,
        )


def _interval(row: IntervalRow) -> int:
    return row.interval


def _healthy(row: IntervalRow) -> bool:
    return row.status == "ok" and row.score is not None


def retained(reports: Sequence[Kept]) -> list[Kept]:
    """Which of a member's own reports keep their checkpoint: the two newest at a boundary, the newest, two at least.

    Two boundaries, because a member that is still to decide at the last one meets others that are one ahead; and two
    states at least, so that there is one to fall back to where the newest turns out to be damaged.

    Args:
        reports: The member's reports, oldest first, or the checkpoints that they ended in.

    Returns:
        Those whose checkpoint is kept, oldest first, without those that were lost; at most three.
    """
    kept: list[Kept] = []
    second: Kept | None = None
    boundaries = 0
    for row in reversed(reports):
        if isinstance(row, IntervalRow) and row.checkpoint is None:
            continue
        if row.boundary:
            boundaries += 1
            kept.append(row)
        elif not kept:
            kept.append(row)
        elif second is None:
            second = row
        if boundaries == 2:
            break
    kept.reverse()
    if len(kept) == 1 and second is not None:
        kept.insert(0, second)
    # One that was lost counts all the same: what was given up for it does not come back.
    return [row for row in kept if not (isinstance(row, IntervalRow) and row.lost is not None)]
