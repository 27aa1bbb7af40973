"""Every decision of a run taken again from its record: from what the worker had seen then, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from warren.population import EventRow, IntervalRow, Log, MemberRow, RunRow, View, changed, recorded_member
from warren.stores import Store
from warren.strategies import decide
from warren.training import Settings
from warren.values import Json, canonical, dump


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A decision that comes out otherwise when it is taken again.

    Attributes:
        member: Whom it was for.
        interval: The member's budget then.
        recorded: What the record says was decided, as JSON.
        again: What is decided on the same facts now.
    """

    member: int
    interval: int
    recorded: Json
    again: Json

    def __str__(self) -> str:
        return (
            f"member {self.member} after interval {self.interval}: recorded {canonical(self.recorded)}, "
            f"again {canonical(self.again)}"
        )


@dataclass(frozen=True, kw_only=True)
class Replay:
    """What came of taking decisions again.

    Attributes:
        decisions: How many were taken again.
        actions: How many of them changed something: exploits, rescues, explorations.
        different: Those that came out otherwise.
        unknown: Decisions of older versions of warren, whose record does not say enough.
    """

    decisions: int
    actions: int
    different: tuple[Difference, ...]
    unknown: int = 0

    def __str__(self) -> str:
        same = f"{self.decisions} decisions taken again, {self.actions} of them with actions: "
        same += "all the same" if not self.different else f"{len(self.different)} DIFFERENT"
        return same + (f"; {self.unknown} of an older version were left out" if self.unknown else "")


@dataclass(frozen=True, kw_only=True)
class _Decision:
    """A decision as it was recorded: for whom, on which revision, and what was decided.

    Where it was to go on as before, it stands in the report of the next interval, `row`; `taken` is None.
    """

    due: MemberRow
    seen: int
    taken: Json = None
    row: IntervalRow | None = None


def replay(store: Store, settings: Settings) -> Replay:
    """Take every decision of a run again, each on the facts of the revision that it was taken on.

    Args:
        store: The run. It is only read.
        settings: As the run was made with; the strategy decides again.

    Returns:
        What came out the same and what did not.
    """
    turn = store.changes(0)
    intervals, now = list(turn.news), turn.run.revision
    later = store.events()  # a run that goes on may have come further meanwhile
    events = [event for event in later if event.revision <= now]
    grown: list[Any] = [event.body for event in later if event.kind == "extend" and event.revision > now]
    members = int(grown[0]["members_before"]) if grown else len(store.members())
    decisions, unknown = _recorded(intervals, events)
    past = _Past(turn.run, settings, intervals, events, members)
    different, actions = [], 0
    for decision in sorted(decisions, key=lambda one: one.seen):
        view = past.view(decision)
        plan = decide(settings.strategy, view, settings.seed)
        again = _said([dump(action) for action in plan.actions], plan.memory, plan.intervals)
        actions += bool(plan.actions)
        row = decision.row
        recorded = decision.taken if row is None else _went_on(row, plan.intervals, past.limit(row.revision))
        if canonical(recorded) != canonical(again):
            due = decision.due
            different.append(Difference(member=due.member, interval=due.budget, recorded=recorded, again=again))
    return Replay(decisions=len(decisions), actions=actions, different=tuple(different), unknown=unknown)


def _recorded(intervals: Sequence[IntervalRow], events: Iterable[EventRow]) -> tuple[list[_Decision], int]:
    """All decisions: those with actions are events, those to go on as before stand in the next report."""
    found, unknown = [], 0
    by_id = {row.id: row for row in intervals}
    for event in events:
        body: Any = event.body
        if event.kind != "decision":
            continue
        due = recorded_member(body.get("due"))
        if due is None:
            unknown += 1
            continue
        taken = _said(body["actions"], body["memory"], body["intervals"])
        found.append(_Decision(due=due, seen=body["seen"], taken=taken))
    found += [_Decision(due=_due(row, by_id), seen=row.seen, row=row) for row in intervals if row.seen is not None]
    return found, unknown


def _said(actions: Json, memory: Json, intervals: int) -> Json:
    return {"actions": actions, "memory": memory, "intervals": max(1, intervals)}


def _went_on(row: IntervalRow, planned: int, limit: int) -> Json:
    """The decision to go on as before. Its report only says whether the next decision, or the end, came after it."""
    diverged = row.status == "diverged" and row.scored == row.revision
    ends = row.interval >= min(row.interval - 1 + max(1, planned), limit) or diverged
    same = ends == row.boundary
    return _said([], None, planned if same else 1 if row.boundary else 2)


def _due(row: IntervalRow, by_id: dict[int, IntervalRow]) -> MemberRow:
    """The member as it stood before an interval that it went into unchanged."""
    parent = by_id.get(row.parents[0]) if row.parents else None
    return MemberRow(
        member=row.member, state="leased", role=row.role, group=row.group, budget=row.interval - 1, age=row.age - 1,
        due=row.interval - 1, hyperparameters=row.hyperparameters, start=None if parent is None else parent.checkpoint,
        saved=row.interval - 1, parents=row.parents, origin=row.origin, birth=row.birth, failures=row.failures,
        tag=row.tag, worker=row.worker, token="",
    )  # fmt: skip


class _Past:
    """The record as of one revision after another; only forward."""

    def __init__(
        self,
        run: RunRow,
        settings: Settings,
        intervals: Iterable[IntervalRow],
        events: Sequence[EventRow],
        members: int,
    ) -> None:
        self._settings = settings
        self._goal = run.goal
        self._log = Log(settings.goal, history=None)
        self._changes = sorted(_versions(intervals), key=lambda one: (one[0], one[1].id))
        self._at = 0
        self._events = sorted((event for event in events if event.kind in _TURNS), key=lambda event: event.revision)
        self._told = 0
        extends: list[Any] = [event.body for event in self._events if event.kind == "extend"]
        self._limit = int(extends[0].get("intervals_before", run.limit)) if extends else run.limit
        turns = [event.revision for event in self._events if event.kind == "extend"]
        ends = [int(body["intervals"]) for body in extends]
        self._limits = [(0, self._limit), *zip(turns, ends, strict=True)]
        self._size = int(extends[0].get("members_before", members)) if extends else members
        self._sizes = [*(int(body.get("members_before", members)) for body in extends[1:]), members]
        self._aside: set[int] = set()
        self._memory: Json = None
        self._version = 0

    def limit(self, revision: int) -> int:
        """Intervals for each member as of a revision, before or after the present one."""
        return [limit for since, limit in self._limits if since <= revision][-1]

    def view(self, decision: _Decision) -> View:
        """What the decider saw."""
        self._go_to(decision.seen)
        return View(
            space=self._settings.space,
            goal=self._settings.goal,
            due=decision.due,
            log=self._log,
            size=self._size,
            limit=self._limit,
            memory=self._memory,
            memory_version=self._version,
            aside=frozenset(self._aside),
        )

    def _go_to(self, revision: int) -> None:
        news = []
        while self._at < len(self._changes) and self._changes[self._at][0] <= revision:
            news.append(self._changes[self._at][1])
            self._at += 1
        self._log.update(news, revision)
        while self._told < len(self._events) and self._events[self._told].revision <= revision:
            self._take(self._events[self._told])
            self._told += 1

    def _take(self, event: EventRow) -> None:
        body: Any = event.body
        if event.kind in ("quarantine", "retire") and event.member is not None:
            self._aside.add(event.member)
        elif event.kind == "extend":
            self._limit = int(body["intervals"])
            self._size = self._sizes.pop(0)
            self._aside -= set(body.get("revived", ()))
        elif event.kind == "memory":
            self._memory, self._version = body, 1
        elif event.kind == "decision" and body.get("memory") is not None:
            self._memory, self._version = body["memory"], self._version + 1


_TURNS = ("quarantine", "retire", "extend", "memory", "decision")
"""Events that change what a decision sees."""


def _versions(intervals: Iterable[IntervalRow]) -> Iterator[tuple[int, IntervalRow]]:
    """Each report as it stood after every revision that changed it."""
    for row in intervals:
        now = changed(row, score=None, status="pending", scored=None, voided=None, lost=None)
        changes: dict[int, dict[str, Any]] = {row.revision: {}}
        if row.scored is not None:
            changes.setdefault(row.scored, {}).update(score=row.score, status=row.status, scored=row.scored)
        for name in ("lost", "voided"):
            revision = getattr(row, name)
            if revision is not None:
                changes.setdefault(revision, {})[name] = revision
        for revision in sorted(changes):
            now = changed(now, **changes[revision])
            yield revision, now
