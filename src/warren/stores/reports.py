"""What a report does to a run: parts of a transaction, over open rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from warren.population import (
    CheckpointRow,
    EventRow,
    IntervalRow,
    MemberRow,
    Report,
    RunRow,
    Stop,
    better,
    changed,
    interval_of,
    retained,
    transition,
)
from warren.population.transition import Reported
from warren.stores.damage import whole
from warren.stores.decisions import landed
from warren.stores.rows import Rows
from warren.values import Json

Keep: TypeAlias = Literal["until due", "while it runs", "no"]
"""How long a worker wants to keep the member that it reports: a run that stops lets it go where its state is saved."""


def reported(rows: Rows, held: MemberRow, report: Report, keep: Keep) -> tuple[MemberRow, list[str]]:
    """Store the end of an interval.

    Args:
        rows: Of the transaction.
        held: The member, under its lease.
        report: What is said of the interval.
        keep: Whether the lease goes on.

    Returns:
        The member after it, and the names of files that nobody needs any more.
    """
    run = rows.run()
    run = changed(run, revision=run.revision + 1)
    interval = _stored(rows, run, held, report)
    old_best, run = run.best_checkpoint, judged(run, interval)
    # A run that stops lets a member go where its state is saved, so that nothing reported is lost.
    stays = keep == "until due" or (keep == "while it runs" and (run.status == "running" or report.checkpoint is None))
    row = transition(held, Reported(report=report, id=interval.id, limit=run.limit, tries=run.tries, keep=stays))
    if row.state == "quarantined":
        body: Json = {"error": row.error, "failures": row.failures}
        rows.add_event(EventRow(kind="quarantine", member=row.member, body=body, revision=run.revision))
    if row.next is not None and row.state == "waiting":
        row = landed(rows, row, run.revision)
    if row.state != "leased" and row.last is None:
        row = whole(rows, row)  # else its next claim does it, and takes back what was never saved
    row = changed(row, revision=run.revision)
    rows.put_member(row, held.token)
    given_up = _collected(rows, run, held, row, old_best)
    rows.put_run(run)
    return row, given_up


def _stored(rows: Rows, run: RunRow, held: MemberRow, report: Report) -> IntervalRow:
    """Add the interval, and the checkpoint that it ended in."""
    interval = interval_of(held, report, limit=run.limit, revision=run.revision)
    interval = rows.add_interval(interval)
    if report.checkpoint is not None:
        rows.add_checkpoint(
            changed(
                report.checkpoint,
                member=held.member,
                interval=interval.interval,
                age=interval.age,
                source=interval.id,
                boundary=interval.boundary,
                revision=run.revision,
            )
        )
    return interval


_NEVER = Stop()


def judged(run: RunRow, interval: IntervalRow) -> RunRow:
    """The run after a score: its count, its best, and whether it stops."""
    stop = Stop(**run.stop) if isinstance(run.stop, dict) else _NEVER  # type: ignore[arg-type]
    changes: dict[str, Any] = {
        "total": run.total + 1,
        "longest": max(run.longest, interval.seconds + interval.overhead),
    }
    score = interval.score
    if score is not None and interval.status == "ok":
        margin = stop.min_delta if run.goal == "max" else -stop.min_delta
        if run.improved_score is None or better(score, run.improved_score + margin, run.goal):
            changes.update(improved=run.total + 1, improved_score=score)
        kept = interval.checkpoint is not None
        if kept and (run.best_score is None or better(score, run.best_score, run.goal)):
            changes.update(best=interval.id, best_score=score, best_checkpoint=interval.checkpoint)
    run = changed(run, **changes)
    reason = stop.reason(run)
    if reason is not None and run.status == "running":
        run = changed(run, status="stopped", reason=reason)
    return run


def _collected(rows: Rows, run: RunRow, before: MemberRow, after: MemberRow, old_best: str | None) -> list[str]:
    """Give up the checkpoints that nothing needs any more after a report; returns the names of files."""
    own = rows.kept(after.member)
    retained_by = {after.member: _retained(own)}
    candidates = {row.name: row for row in own}
    needed = {after.start, after.kept, *after.sources, *after.opponents, run.best_checkpoint}
    for name in {before.start, before.kept, *before.sources, *before.opponents, old_best} - {None, *needed}:
        row = None if name in candidates else rows.checkpoint(str(name))
        if row is not None and row.dropped is None:
            candidates[row.name] = row
    given_up = []
    for name, row in candidates.items():
        if row.pinned or row.member is None or name in needed:
            continue
        if row.member not in retained_by:
            retained_by[row.member] = _retained(rows.kept(row.member))
        if name not in retained_by[row.member] and not rows.referenced(name):
            rows.put_checkpoint(changed(row, inline=None, dropped=run.revision))
            if row.inline is None:
                given_up.append(name)
    return given_up


def _retained(kept: Sequence[CheckpointRow]) -> set[str]:
    """Names that the rule of `retained` keeps among one member's checkpoints."""
    return {row.name for row in retained(kept)}
