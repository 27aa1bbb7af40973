"""The facts of a run, as values. Stores keep them; only `transition` and the ledger make new ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from warren.values import Json

Goal = Literal["max", "min"]
MemberState = Literal["waiting", "leased", "done", "quarantined"]
Status = Literal["ok", "pending", "diverged"]
Origin = Literal["fresh", "continue", "exploit", "rescue", "warm", "fallback"]


@dataclass(frozen=True, kw_only=True)
class MemberRow:
    """One member as it stands: what it trains next, from which state, and who holds it.

    Attributes:
        member: Number of the member, from 0.
        state: Waiting for a worker, leased to one, done, or quarantined after too many failures in a row.
        role: What it is for; ``"train"`` unless a strategy says otherwise.
        group: Sub-population, ``""`` for the only one.
        budget: Intervals that it has been given.
        age: Intervals in the history of its present state.
        due: The budget at which the strategy decides for it next.
        hold: It may not be claimed before all active members of its group have this budget.
        hyperparameters: What it trains with next.
        start: Name of the checkpoint that its state can be had from, or None for a state made from its seed.
        saved: The budget that `start` belongs to; reports after it are provisional.
        parents: Ids of the intervals that `start` came out of, the first one first; empty for a fresh state.
        last: Id of its newest interval where that is newer than `start`.
        origin: How it came by `start`.
        kept: Its own checkpoint from before an exploit, for tracked objects that are not copied.
        via: How `start` was made of its sources: ``copy``, ``keep``, ``fresh`` or the name of a hook.
        sources: Checkpoints that the hook is to combine when its next interval begins, `start` the first of them;
            empty for all other ways.
        opponents: Checkpoints that are handed to its intervals.
        birth: How many times it was made afresh, or of others; keys the seed of its objects.
        failures: Failures in a row.
        token: The lease, or None.
        worker: Who holds the lease, or None.
        next: An assignment by another member's decision, which lands at its next boundary.
        tag: The strategy's own note on it.
        error: The failure that it met last, in the words of the traceback.
        revision: Of the run, when this row last changed.
    """

    member: int
    state: MemberState = "waiting"
    role: str = "train"
    group: str = ""
    budget: int = 0
    age: int = 0
    due: int = 1
    hold: int | None = None
    hyperparameters: dict[str, Any]
    start: str | None = None
    saved: int = 0
    parents: tuple[int, ...] = ()
    last: int | None = None
    origin: Origin = "fresh"
    kept: str | None = None
    via: str = "fresh"
    sources: tuple[str, ...] = ()
    opponents: tuple[str, ...] = ()
    birth: int = 0
    failures: int = 0
    token: str | None = None
    worker: str | None = None
    next: Json = None
    tag: Json = None
    error: str | None = None
    revision: int = 0


@dataclass(frozen=True, kw_only=True)
class IntervalRow:
    """One interval that was reported. Rows are only added; a late score and a lost lease fill in a revision each.

    Attributes:
        id: Number of the row in its store; 0 before it is stored.
        member: Who trained.
        interval: The member's budget after it, from 1.
        age: The age of the state after it, from 1.
        birth: Which fresh start of the member the state goes back to, for a fresh origin or a combination.
        parents: Intervals that the state before it came out of, the first one first.
        origin: How the member came by the state before it.
        via: Name of the hook that made the state before it of its parents' states, or None where there was none.
        hyperparameters: What was trained with.
        score: The reported score, finite, or None.
        status: ``ok``; ``pending`` where the score comes later; ``diverged`` where it was not finite.
        before: The score of the state before the interval, where it was measured.
        samples: Single results that the score is the mean of, for statistics.
        curve: Scores inside the interval as (fraction, score).
        metrics: Other numbers by name.
        cost: Declared units of compute; 1 for a plain interval.
        opponents: Checkpoints that it was handed.
        results: Scores against opponents by checkpoint.
        checkpoint: Name of the state after it, or None where none was due.
        boundary: The strategy decides after it.
        seconds: Time inside user code.
        overhead: warren's own time since the interval before, in seconds.
        worker: Who trained it.
        seen: Revision of the view that the decision before it was taken on, where that changed nothing; else None.
        failures: Failures in a row of its member before it; from the second on they key its draws.
        kept: Where the state before it was copied: the member's own checkpoint from before, for tracked objects that
            are not copied; None where it had none.
        group: Sub-population at that time.
        role: Role at that time.
        tag: The strategy's note at that time.
        revision: Of the run, when it was stored.
        scored: Of the run, when its score became known, or None while pending.
        voided: Of the run, when it was taken back because its state was lost, or None.
        lost: Of the run, when the state after it was found damaged, or None.
    """

    id: int = 0
    member: int
    interval: int
    age: int
    birth: int = 0
    parents: tuple[int, ...] = ()
    origin: Origin = "continue"
    via: str | None = None
    hyperparameters: dict[str, Any]
    score: float | None = None
    status: Status = "ok"
    before: float | None = None
    samples: tuple[float, ...] | None = None
    curve: tuple[tuple[float, float], ...] | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    cost: float = 1.0
    opponents: tuple[str, ...] = ()
    results: dict[str, float] | None = None
    checkpoint: str | None = None
    boundary: bool = True
    seconds: float = 0.0
    overhead: float = 0.0
    worker: str = ""
    seen: int | None = None
    failures: int = 0
    kept: str | None = None
    group: str = ""
    role: str = "train"
    tag: Json = None
    revision: int = 0
    scored: int | None = None
    voided: int | None = None
    lost: int | None = None


@dataclass(frozen=True, kw_only=True)
class CheckpointRow:
    """One immutable checkpoint: where its bytes are, whose it was, and whether it is still kept.

    Attributes:
        name: Its name, unique in the run.
        digest: SHA-256 of its bytes.
        size: In bytes.
        inline: The bytes themselves where they are small, else None.
        member: Whose state it is, or None for a state from outside the run.
        interval: That member's budget then.
        age: The age of the state.
        source: Id of the interval that ended in it, or None.
        boundary: The strategy decided after that interval.
        pinned: Nothing collects it.
        revision: When it was recorded.
        dropped: Revision at which it was given up for collection, or None while it can be loaded.
    """

    name: str
    digest: str
    size: int
    inline: bytes | None = None
    member: int | None = None
    interval: int = 0
    age: int = 0
    source: int | None = None
    boundary: bool = True
    pinned: bool = False
    revision: int = 0
    dropped: int | None = None


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """The run as a whole.

    Attributes:
        status: ``running``, ``done``, ``stopped`` or ``failed``.
        reason: Why it is stopped or failed.
        revision: Counts the transactions that wrote.
        goal: ``"max"`` or ``"min"``.
        synchronous: Members wait for each other at equal progress.
        limit: Intervals for each member.
        tries: Failures in a row that quarantine a member.
        stop: The stopping rule as JSON.
        total: Intervals reported by all members.
        best: Id of the best interval whose state is kept, or None.
        best_score: Its score.
        best_checkpoint: The state after it.
        improved: `total` when the best score last got better by more than the rule's margin.
        improved_score: The best score then; the next one counts when it is better than this by the margin.
        elapsed: Wall time of all sessions so far, in seconds.
        longest: The longest interval so far, in seconds.
        memory: The strategy's own state.
        memory_version: Counts its changes.
    """

    status: Literal["running", "done", "stopped", "failed"] = "running"
    reason: str | None = None
    revision: int = 0
    goal: Goal = "max"
    synchronous: bool = False
    limit: int = 1
    tries: int = 3
    stop: Json = None
    total: int = 0
    best: int | None = None
    best_score: float | None = None
    best_checkpoint: str | None = None
    improved: int = 0
    improved_score: float | None = None
    elapsed: float = 0.0
    longest: float = 0.0
    memory: Json = None
    memory_version: int = 0


@dataclass(frozen=True, kw_only=True)
class EventRow:
    """Something that happened and is not a report: a decision, a failure, a lost worker, a warning.

    Attributes:
        kind: ``decision``, ``failure``, ``lost``, ``quarantine``, ``retire``, ``dropped``, ``damaged``, ``warning``,
            ``stop``, ``extend``, ``memory``.
        member: Whom it is about, or None.
        body: What there is to say, as JSON.
        revision: Of the run.
    """

    kind: str
    member: int | None = None
    body: Json = None
    revision: int = 0


@dataclass(frozen=True, kw_only=True)
class WorkerRow:
    """A process that trains members.

    Attributes:
        worker: Unique for each start of a process.
        host: Name of its machine.
        pid: Its process.
        beat: Counts its signs of life.
        gpu: Devices that it sees, as in ``CUDA_VISIBLE_DEVICES``, or None.
        left: It said goodbye, or was found dead.
    """

    worker: str
    host: str
    pid: int
    beat: int = 0
    gpu: str | None = None
    left: bool = False


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a worker says at the end of an interval.

    Attributes:
        score: Finite, or None with another status than ``ok``.
        checkpoint: The state after it, where one was due.
        due: The member's next decision, where one was taken before this interval and not committed on its own.
        seen: Revision of the view of that decision.
        hold: The slot wants to keep the member until it is next due.
    """

    score: float | None
    status: Status = "ok"
    before: float | None = None
    samples: tuple[float, ...] | None = None
    curve: tuple[tuple[float, float], ...] | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    cost: float = 1.0
    results: dict[str, float] | None = None
    checkpoint: CheckpointRow | None = None
    due: int | None = None
    seen: int | None = None
    seconds: float = 0.0
    overhead: float = 0.0


def record_of(row: MemberRow) -> Json:
    """A member as JSON, for the record of a decision for it: without its lease and its last traceback."""
    without = ("error", "token", "worker", "next")
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in vars(row).items()
        if name not in without
    }


def recorded_member(record: Json) -> MemberRow | None:
    """The member that `record_of` wrote, or None where there is no such record."""
    if not isinstance(record, dict):
        return None
    body: dict[str, Any] = dict(record)
    for name in ("parents", "sources", "opponents"):
        body[name] = tuple(body[name])
    return MemberRow(**body)


Row = TypeVar("Row", MemberRow, IntervalRow, CheckpointRow, RunRow, EventRow, WorkerRow, Report)


def changed(row: Row, **changes: Any) -> Row:
    """The row with some fields changed, as `dataclasses.replace`.

    Rows are changed a dozen times an interval and check nothing when they are made, so this copies their fields and
    spares the constructor, which costs ten times as much.
    """
    fields = row.__dict__.copy()
    fields.update(changes)
    new = object.__new__(type(row))
    object.__setattr__(new, "__dict__", fields)
    return new
