"""The life of a member: which event may meet it in which state, and what becomes of it.

| from | event | to |
| --- | --- | --- |
| waiting | claim | leased |
| leased | assign | leased |
| waiting | assign | waiting |
| leased | report | leased (not yet due again), waiting, done, quarantined |
| leased | fail | waiting, quarantined |
| leased | release | waiting |
| waiting, leased | retire | done |
| waiting, leased | hold | waiting |
| done, quarantined | extend | waiting |
| leased | fall back | waiting |
| waiting, done, quarantined | fall back | as before |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from warren.errors import InvalidTransition
from warren.population.plan import Assign
from warren.population.rows import CheckpointRow, IntervalRow, MemberRow, MemberState, Report, changed


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A worker takes the member."""

    token: str
    worker: str


@dataclass(frozen=True, kw_only=True)
class Assigned:
    """A decision gives the member its next state. `sources` are the checkpoints that it names, in its order."""

    assign: Assign
    sources: Sequence[CheckpointRow] = ()


@dataclass(frozen=True, kw_only=True)
class Reported:
    """The member's interval ended and is stored under `id`. `keep` leaves the lease with the worker."""

    report: Report
    id: int
    limit: int
    tries: int
    keep: bool


@dataclass(frozen=True, kw_only=True)
class Failed:
    """User code raised, or the worker was lost while training. `counts` blames the member."""

    error: str
    tries: int
    counts: bool = True


@dataclass(frozen=True, kw_only=True)
class Release:
    """The worker gives the member back without a fault."""


@dataclass(frozen=True, kw_only=True)
class Retired:
    """A decision ends the member."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """A decision lets the member wait for its group."""

    until: int


@dataclass(frozen=True, kw_only=True)
class Extend:
    """More intervals, or another chance for a quarantined member."""


@dataclass(frozen=True, kw_only=True)
class FellBack:
    """The checkpoint that the member starts from is damaged.

    Attributes:
        source: The checkpoint that it goes on from instead, or None where none is left.
        hyperparameters: Those that `source` was trained with last.
    """

    source: CheckpointRow | None = None
    hyperparameters: dict[str, Any] | None = None


Event: TypeAlias = Claim | Assigned | Reported | Failed | Release | Retired | Held | Extend | FellBack

ALLOWED: Mapping[type, frozenset[MemberState]] = {
    Claim: frozenset({"waiting"}),
    Assigned: frozenset({"waiting", "leased"}),
    Reported: frozenset({"leased"}),
    Failed: frozenset({"leased"}),
    Release: frozenset({"leased"}),
    Retired: frozenset({"waiting", "leased"}),
    Held: frozenset({"waiting", "leased"}),
    Extend: frozenset({"done", "quarantined"}),
    FellBack: frozenset({"waiting", "leased", "done", "quarantined"}),
}


def transition(row: MemberRow, event: Event) -> MemberRow:
    """What becomes of a member.

    Args:
        row: The member as it stands.
        event: What happened.

    Returns:
        The member after it; its revision is left to the store.

    Raises:
        InvalidTransition: The event cannot happen in that state; the message tells the whole row.
    """
    if row.state not in ALLOWED[type(event)]:
        raise InvalidTransition(
            f"{type(event).__name__} cannot happen to a member that is {row.state}: {event!r} met {row!r}"
        )
    if isinstance(event, Claim):
        return changed(_rolled_back(row), state="leased", token=event.token, worker=event.worker, hold=None)
    if isinstance(event, Assigned):
        return _assign(row, event.assign, event.sources)
    if isinstance(event, Reported):
        return _report(row, event)
    if isinstance(event, Failed):
        failures = row.failures + 1 if event.counts else row.failures
        back = _rolled_back(row)
        return changed(
            back,
            state="quarantined" if failures >= event.tries else "waiting",
            failures=failures,
            # The first failure is tried again as it is, since it may have been the machine's; then one decides.
            due=min(back.due, back.budget) if failures > 1 else back.due,
            error=event.error,
            token=None,
            worker=None,
        )
    if isinstance(event, Release):
        return changed(_rolled_back(row), state="waiting", token=None, worker=None)
    if isinstance(event, Retired):
        return changed(row, state="done", token=None, worker=None, role="retired")
    if isinstance(event, Held):
        return changed(row, state="waiting", token=None, worker=None, hold=event.until)
    if isinstance(event, FellBack):
        return _fall_back(row, event)
    return changed(row, state="waiting", failures=0)


def _fall_back(row: MemberRow, event: FellBack) -> MemberRow:
    """The member at an older state, with what that was trained with; where none is left, it starts afresh.

    Its budget stays: the intervals that led to the damaged state were trained and are on record.
    """
    copied = row.origin in ("exploit", "rescue")
    row = changed(
        _rolled_back(row),
        state="waiting" if row.state == "leased" else row.state,
        token=None,
        worker=None,
        origin="fallback",
        kept=None,
        sources=(),
        via="copy",
    )
    source = event.source
    if source is None:  # `View.failing`: whoever decides may give it a donor's state
        return changed(row, start=None, saved=row.budget, age=0, parents=(), due=min(row.due, row.budget), via="fresh")
    return changed(
        row,
        start=source.name,
        saved=row.budget,
        age=source.age,
        parents=() if source.source is None else (source.source,),
        hyperparameters=row.hyperparameters if event.hyperparameters is None else event.hyperparameters,
        due=row.budget if copied else row.due,  # what it wanted to copy is gone: it may choose again
        origin="warm" if source.member is None else "fallback",
    )


def stranded(row: MemberRow) -> bool:
    """Whether all states of the member were found damaged, so that it has none to go on from."""
    return row.origin == "fallback" and row.start is None


def set_aside(row: MemberRow) -> bool:
    """Whether decisions do not count on the member any more: quarantined, or retired by one of them."""
    return row.state == "quarantined" or row.role == "retired"


def _rolled_back(row: MemberRow) -> MemberRow:
    """The member at its newest kept state; what was provisional is gone."""
    return changed(row, budget=row.saved, age=row.age - (row.budget - row.saved), last=None)


def _assign(row: MemberRow, assign: Assign, sources: Sequence[CheckpointRow]) -> MemberRow:
    row = changed(
        row,
        hyperparameters=assign.hyperparameters,
        due=row.budget + max(1, assign.intervals),
        group=row.group if assign.group is None else assign.group,
        role=row.role if assign.role is None else assign.role,
        opponents=assign.opponents,
        tag=assign.tag,
        next=None,
    )
    if assign.via == "keep":
        return row if row.sources else changed(row, via="keep")  # what is still to be combined, will be
    if assign.via == "fresh" or not sources:
        return changed(
            row, start=None, saved=row.budget, age=0, parents=(), last=None, origin="fresh", sources=(), via="fresh",
            birth=row.birth + (1 if row.budget or row.failures else 0), kept=None,
        )  # fmt: skip
    source, used = sources[0], sources if assign.combines else sources[:1]
    return changed(
        row,
        start=source.name,
        saved=row.budget,
        age=source.age,
        parents=tuple(one.source for one in used if one.source is not None),
        last=None,
        origin="warm" if source.member is None else "rescue" if row.failures or stranded(row) else "exploit",
        kept=row.kept if row.origin in ("exploit", "rescue") else row.start,  # what it copied last is not its own
        via=assign.via,
        sources=assign.sources if assign.combines else (),
        birth=row.birth + assign.combines,
    )


def _report(row: MemberRow, event: Reported) -> MemberRow:
    report = event.report
    budget = row.budget + 1
    due = row.due if report.due is None else report.due
    diverged = report.status == "diverged"
    # Only what is saved forgives: else a stretch that fails at its second interval would be tried again for ever.
    failures = row.failures + 1 if diverged else 0 if report.checkpoint is not None else row.failures
    state: MemberState
    if failures >= event.tries:
        state = "quarantined"
    elif budget >= event.limit:
        state = "done"
    elif event.keep and budget < due and not diverged:
        state = "leased"
    else:
        state = "waiting"
    held = state == "leased"
    row = changed(
        row,
        state=state,
        budget=budget,
        due=min(due, budget) if diverged else due,
        failures=failures,
        error="the score was not finite" if diverged else row.error,
        token=row.token if held else None,
        worker=row.worker if held else None,
    )
    if diverged:  # its interval is used up, its state is not kept
        back = row.age - (budget - 1 - row.saved)
        return changed(row, saved=budget, age=back, last=None)
    row = changed(row, age=row.age + 1)
    if report.checkpoint is None:
        return changed(row, last=event.id)
    return changed(
        row, start=report.checkpoint.name, saved=budget, parents=(event.id,), last=None, origin="continue",
        kept=None, sources=(), via="keep",
    )  # fmt: skip


def boundary(row: MemberRow, report: Report, limit: int) -> bool:
    """Whether the interval that `row` is training ends where a decision, or the end, comes.

    Args:
        row: The member that is training it.
        report: What is known of its end.
        limit: Intervals for each member.
    """
    due = row.due if report.due is None else report.due
    return row.budget + 1 >= min(due, limit) or report.status == "diverged"


def interval_of(held: MemberRow, report: Report, *, limit: int, revision: int) -> IntervalRow:
    """What is recorded of an interval that a member has ended; its id is left to the store.

    Args:
        held: The member that trained it, as it stood before.
        report: What is said of it.
        limit: Intervals for each member.
        revision: Of the run, when it is stored.
    """
    return IntervalRow(
        member=held.member,
        interval=held.budget + 1,
        age=held.age + 1,
        birth=held.birth,
        parents=held.parents if held.last is None else (held.last,),
        origin=held.origin if held.last is None else "continue",
        via=held.via if held.sources and held.last is None else None,
        hyperparameters=held.hyperparameters,
        score=report.score,
        status=report.status,
        before=report.before,
        samples=report.samples,
        curve=report.curve,
        metrics=report.metrics,
        cost=report.cost,
        opponents=held.opponents,
        results=report.results,
        checkpoint=None if report.checkpoint is None else report.checkpoint.name,
        boundary=boundary(held, report, limit),
        seconds=report.seconds,
        overhead=report.overhead,
        worker=str(held.worker),
        seen=report.seen,
        failures=held.failures,
        kept=held.kept if held.last is None else None,
        group=held.group,
        role=held.role,
        tag=held.tag,
        revision=revision,
        scored=None if report.status == "pending" else revision,
    )
