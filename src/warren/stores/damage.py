"""What becomes of a run when checkpoints turn out to be damaged: who falls back to what."""

from __future__ import annotations

from collections.abc import Container

from warren.population import EventRow, IntervalRow, MemberRow, RunRow, better, changed, transition
from warren.population.transition import FellBack
from warren.stores.rows import Rows
from warren.values import Json


def given_up(rows: Rows, name: str, revision: int) -> tuple[int | None, int | None] | None:
    """Let nobody load a checkpoint any more; returns whose it was, and at which interval, or None where it was gone."""
    found = rows.checkpoint(name)
    if found is None or found.dropped is not None:
        return None
    rows.put_checkpoint(changed(found, inline=None, dropped=revision))
    source = rows.interval(found.source) if found.source is not None else None
    if source is not None and source.lost is None and source.voided is None:
        rows.put_interval(changed(source, lost=revision))
    return found.member, found.interval


def mended(rows: Rows, row: MemberRow, lost: Container[str]) -> tuple[MemberRow, str | None]:
    """A member without references to lost checkpoints, and the one that made it fall back, if any."""
    if any(name in lost for name in row.opponents):
        row = changed(row, opponents=tuple(name for name in row.opponents if name not in lost))
    for name in (row.start, *row.sources):
        if name is not None and name in lost:
            return _fallen_back(rows, row, lost), name
    if row.kept is not None and row.kept in lost:
        row = changed(row, kept=None)
    return row, None


def whole(rows: Rows, row: MemberRow) -> MemberRow:
    """A member whose lease ended: fallen back where its start was found damaged while it was out."""
    names = (row.start, row.kept, *row.sources, *row.opponents)
    gone = {name for name in names if name is not None and not _loadable(rows, name)}
    after, name = mended(rows, row, gone)
    if name is not None:
        why = "it was found damaged while a worker had its member"
        body: Json = {
            "checkpoint": name, "interval": None, "error": why, "fell_back": [fallen(rows, after)], "bare": [],
        }  # fmt: skip
        rows.add_event(EventRow(kind="damaged", member=row.member, body=body, revision=rows.run().revision + 1))
    return after


def fallen(rows: Rows, after: MemberRow) -> Json:
    """What is told of a member that fell back: to which interval of its own, None where it starts afresh."""
    to = None if after.start is None else rows.checkpoint(after.start)
    return {"member": after.member, "to": None if to is None else to.interval}


def best_left(rows: Rows, run: RunRow) -> RunRow:
    """The run with the best interval among those whose state is left."""
    best: IntervalRow | None = None
    for one in sorted(rows.kept(None), key=lambda one: one.source or 0):
        row = rows.interval(one.source) if one.source is not None else None
        if row is None or row.score is None or row.voided is not None:
            continue
        if best is None or best.score is None or better(row.score, best.score, run.goal):
            best = row
    if best is None:
        return changed(run, best=None, best_score=None, best_checkpoint=None)
    return changed(run, best=best.id, best_score=best.score, best_checkpoint=best.checkpoint)


def _loadable(rows: Rows, name: str) -> bool:
    found = rows.checkpoint(name)
    return found is not None and found.dropped is None


def _fallen_back(rows: Rows, row: MemberRow, lost: Container[str]) -> MemberRow:
    """A member at its newest own state that is left, else at the warm start, else at none."""
    own = [one for one in rows.kept(row.member) if one.name not in lost]
    warm = [one for one in rows.kept(None) if one.member is None and one.name not in lost] if not own else []
    source = max(own or warm, default=None, key=lambda one: one.interval)
    trained = rows.interval(source.source) if source is not None and source.source is not None else None
    values = None if trained is None else trained.hyperparameters
    return transition(row, FellBack(source=source, hyperparameters=values))
