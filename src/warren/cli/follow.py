"""A run as it goes on, read from its store piece by piece."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from warren.population import EventRow, IntervalRow, MemberRow, RunRow
from warren.results import Result, damage

_RECENT = 12
_COPIES = 4
_COPIED = ("exploit", "rescue")


@dataclass(frozen=True, kw_only=True)
class Copy:
    """One member took over another's state.

    Attributes:
        recipient: Who took it.
        donor: Whose it was.
        interval: The recipient's budget then.
    """

    recipient: int
    donor: int
    interval: int

    def __str__(self) -> str:
        return f"{self.recipient} <- {self.donor} at interval {self.interval}"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How one member stands.

    Attributes:
        row: The member.
        score: Of its own last report that had one.
        recent: Its own last scores, oldest first.
        diverged: Its last report was not finite.
        copied: Whom it copied last, and when.
    """

    row: MemberRow
    score: float | None
    recent: tuple[float, ...]
    diverged: bool
    copied: Copy | None


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A run at one moment.

    Attributes:
        run: The run as a whole.
        held_out: Name of the metric that selection does not see.
        standings: The members, by number.
        total: Intervals that the run will have when no rule stops it earlier.
        best: The best interval.
        copies: How many there were, with those whose first interval goes on.
        last_copies: The newest ones, newest first.
        elapsed: Wall time of the run in seconds, sessions added up.
        left: Seconds that it will still take at its present pace, where that can be told.
    """

    run: RunRow
    held_out: str | None
    standings: Sequence[Standing]
    total: int
    best: IntervalRow | None
    copies: int
    last_copies: tuple[Copy, ...]
    elapsed: float
    left: float | None

    @property
    def ranked(self) -> list[Standing]:
        """The members, best first; those without a score come last."""
        sign = -1.0 if self.run.goal == "max" else 1.0
        return sorted(
            self.standings,
            key=lambda one: (one.score is None, 0.0 if one.score is None else sign * one.score, one.row.member),
        )

    @property
    def held_out_score(self) -> float | None:
        """The held-out metric of the best interval."""
        if self.best is None or self.held_out is None:
            return None
        return self.best.metrics.get(self.held_out)


class Follower:
    """Keeps up with a run. Each look reads what is new since the one before, and the members.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._revision = 0
        self._where: dict[int, int] = {}
        self._scores: dict[int, dict[int, float | None]] = {}
        self._copies: dict[tuple[int, int], Copy] = {}
        self._best: IntervalRow | None = None
        self._start: tuple[float, float] | None = None
        self._seen = 0
        self._first: tuple[float, int] | None = None

    def look(self, result: Result) -> Snapshot:
        """Read what is new.

        Args:
            result: Any result of the run; only its store is used.
        """
        store = result.store
        turn = store.changes(self._revision)
        members = store.members()
        run = store.run()
        # What is read after `changes` may be newer than it; the next look brings the rest.
        self._revision = turn.run.revision
        for row in turn.news:
            self._take(row)
        copies = list(self._copies.values())
        copies += [copy for member in members if (copy := self._begun(member)) is not None]
        if run.best is None:
            self._best = None
        elif self._best is None or self._best.id != run.best:
            self._best = store.interval(run.best)
        total = self._total(run, members)
        elapsed, left = self._times(run, total)
        last_of = {copy.recipient: copy for copy in copies}
        return Snapshot(
            run=run,
            held_out=result.held_out,
            standings=[self._standing(row, last_of.get(row.member)) for row in members],
            total=total,
            best=self._best,
            copies=len(copies),
            last_copies=tuple(reversed(copies[-_COPIES:])),
            elapsed=elapsed,
            left=left,
        )

    def _take(self, row: IntervalRow) -> None:
        scores = self._scores.setdefault(row.member, {})
        if row.voided is not None:
            scores.pop(row.interval, None)
            self._copies.pop((row.member, row.interval), None)
            return
        if row.checkpoint is not None:
            self._where[row.id] = row.member
        scores[row.interval] = row.score  # one that is known already has a late score; it stays in its place
        while len(scores) > _RECENT:
            del scores[next(iter(scores))]
        if row.origin in _COPIED:
            copy = self._copy(row.member, row.parents, row.interval - 1)
            if copy is not None:
                self._copies.setdefault((row.member, row.interval), copy)

    def _begun(self, row: MemberRow) -> Copy | None:
        """The copy that a member has made and not reported on yet; where its interval fails, there may be another."""
        going = row.state in ("waiting", "leased") and row.last is None and row.origin in _COPIED
        if not going or (row.member, row.budget + 1) in self._copies:
            return None
        return self._copy(row.member, row.parents, row.budget)

    def _copy(self, recipient: int, parents: tuple[int, ...], interval: int) -> Copy | None:
        donor = self._where.get(parents[0]) if parents else None
        return None if donor is None else Copy(recipient=recipient, donor=donor, interval=interval)

    def _standing(self, row: MemberRow, copied: Copy | None) -> Standing:
        scores = list(self._scores.get(row.member, {}).values())
        known = tuple(score for score in scores if score is not None)
        return Standing(
            row=row,
            score=known[-1] if known else None,
            recent=known,
            diverged=bool(scores) and scores[-1] is None,
            copied=copied,
        )

    def _total(self, run: RunRow, members: Sequence[MemberRow]) -> int:
        gone = ("quarantined",)
        total = sum(
            row.budget if row.state in gone or row.role == "retired" else max(row.budget, run.limit) for row in members
        )
        limit = _number(run, "intervals")
        return total if limit is None else max(min(total, int(limit)), run.total)

    def _times(self, run: RunRow, total: int) -> tuple[float, float | None]:
        """Wall time so far, and how long it will go on at the pace since the first interval that was seen to end."""
        now = self._clock()
        if self._start is None:
            self._start = (now, run.elapsed)
            self._seen = run.total
        begun, before = self._start
        # The record counts a session when it ends; until then this clock does.
        elapsed = max(run.elapsed, before + now - begun) if run.status == "running" else run.elapsed
        if run.total > self._seen and self._first is None:
            self._first = (now, run.total)
        if run.status != "running":
            return elapsed, None
        left = None
        if self._first is not None and run.total > self._first[1] and now > self._first[0]:
            left = (total - run.total) * (now - self._first[0]) / (run.total - self._first[1])
        seconds = _number(run, "seconds")
        if seconds is not None:
            rest = max(0.0, seconds - elapsed)
            left = rest if left is None else min(left, rest)
        return elapsed, left


def failures(snapshot: Snapshot, most: int = 3) -> list[str]:
    """What is wrong with members now, one line each."""
    found = []
    for one in snapshot.standings:
        row = one.row
        if row.failures == 0 and row.state != "quarantined":
            continue
        last = row.error.strip().splitlines()[-1] if row.error and row.error.strip() else ""
        what = "is quarantined" if row.state == "quarantined" else f"failed {row.failures} times in a row"
        found.append(f"member {row.member} {what.replace(' 1 times in a row', '')}{': ' if last else ''}{last}")
    return found if len(found) <= most else [*found[: most - 1], f"and {len(found) - most + 1} more members"]


def said(events: Sequence[EventRow]) -> list[str]:
    """Events as lines, without the decisions."""
    found = []
    for event in events:
        body: Any = event.body
        if event.kind in ("decision", "memory"):
            continue
        if event.kind == "damaged":
            found.append(damage(event))
            continue
        if isinstance(body, dict):
            error = str(body.get("error") or body.get("why") or "").strip().splitlines()
            parts = {"extend": f"{body.get('intervals')} intervals for each member"}
            text = parts.get(event.kind, error[-1] if error else "")
        else:
            text = str(body)
        whom = "" if event.member is None else f" of member {event.member}"
        found.append(f"{event.kind}{whom}: {text}")
    return found


def _number(run: RunRow, name: str) -> float | None:
    value = run.stop.get(name) if isinstance(run.stop, dict) else None
    return float(value) if isinstance(value, (int, float)) else None
