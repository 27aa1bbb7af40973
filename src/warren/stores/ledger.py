"""The store's logic, written once over a few row operations. A backend is those operations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from warren.errors import CheckpointMissing, InvalidValue, StaleLease, StaleView, StoreError
from warren.population import (
    Assign,
    CheckpointRow,
    EventRow,
    Hold,
    IntervalRow,
    MemberRow,
    Pin,
    Plan,
    Report,
    Retire,
    RunRow,
    Stop,
    WorkerRow,
    better,
    boundary,
    changed,
    record_of,
    retained,
    transition,
)
from warren.population.transition import Assigned, Claim, Extend, Failed, Held, Release, Reported, Retired
from warren.stores.base import Turn
from warren.stores.damage import best_left, fallen, given_up, mended, whole
from warren.stores.rows import Rows
from warren.values import Json, dump


class Ledger(ABC):
    """A `Store` over transactions of `Rows`."""

    def __init__(self) -> None:
        self._on_dropped: Callable[[Sequence[str]], None] | None = None

    def on_dropped(self, call: Callable[[Sequence[str]], None]) -> None:
        self._on_dropped = call

    @abstractmethod
    def _write(self) -> AbstractContextManager[Rows]:
        """A transaction that excludes all others; committed and durable when the block ends without an error."""

    @abstractmethod
    def _read(self) -> AbstractContextManager[Rows]:
        """A transaction that only reads, on one snapshot."""

    # -- the run ------------------------------------------------------------------------------------------------

    def create(self, run: RunRow, config: Json, plan: Plan, checkpoints: Iterable[CheckpointRow] = ()) -> bool:
        with self._write() as rows:
            if rows.exists():
                return False
            run = changed(run, revision=1)
            rows.create(run, config)
            for checkpoint in checkpoints:
                rows.add_checkpoint(changed(checkpoint, pinned=True, revision=1))
            for action in plan.actions:
                self._act(rows, action, None, 1)
            if plan.memory is not None:
                rows.add_event(EventRow(kind="memory", body=plan.memory, revision=1))
            rows.put_run(changed(run, memory=plan.memory, memory_version=0 if plan.memory is None else 1))
        return True

    def exists(self) -> bool:
        with self._read() as rows:
            return rows.exists()

    def config(self) -> Json:
        with self._read() as rows:
            return rows.config()

    def configure(self, config: Json) -> None:
        with self._write() as rows:
            rows.put_config(config)

    def run(self) -> RunRow:
        with self._read() as rows:
            return rows.run()

    def update(self, **changes: Any) -> RunRow:
        with self._write() as rows:
            run = rows.run()
            after = replace(run, **changes, revision=run.revision + 1)
            rows.put_run(after)
            if after.status != run.status and after.status in ("stopped", "failed"):
                rows.add_event(EventRow(kind="stop", body=after.reason, revision=after.revision))
        return after

    def extend(self, limit: int, plan: Plan, *, revive: bool = False) -> None:
        with self._write() as rows:
            run = rows.run()
            revision = run.revision + 1
            members = rows.members()
            revived: list[Json] = []
            for row in members:
                again = row.state == "done" and row.role != "retired" and row.budget < limit
                if again or (revive and row.state == "quarantined" and row.budget < limit):
                    rows.put_member(changed(transition(row, Extend()), revision=revision), None)
                    revived += [row.member] if row.state == "quarantined" else []
            for action in plan.actions:
                self._act(rows, action, None, revision)
            rows.put_run(changed(run, limit=limit, status="running", reason=None, revision=revision))
            body: Json = {
                "intervals": limit, "intervals_before": run.limit, "members_before": len(members), "revived": revived,
            }  # fmt: skip
            rows.add_event(EventRow(kind="extend", body=body, revision=revision))

    # -- work ---------------------------------------------------------------------------------------------------

    def claim(self, worker: str, *, since: int) -> Turn:
        with self._write() as rows:
            run = rows.run()
            return self._next(rows, run, worker, since)

    def report(self, token: str, report: Report, *, since: int, more: bool = True) -> Turn:
        given_up: list[str] = []
        with self._write() as rows:
            held = self._held(rows, token)
            run = rows.run()
            run = changed(run, revision=run.revision + 1)
            interval = self._store(rows, run, held, report)
            old_best, run = run.best_checkpoint, self._judged(run, interval)
            # A run that stops lets a member go where its state is saved, so that nothing reported is lost.
            keep = more and (run.status == "running" or report.checkpoint is None)
            row = transition(held, Reported(report=report, id=interval.id, limit=run.limit, tries=run.tries, keep=keep))
            if row.state == "quarantined":
                body: Json = {"error": row.error, "failures": row.failures}
                rows.add_event(EventRow(kind="quarantine", member=row.member, body=body, revision=run.revision))
            if row.next is not None and row.state == "waiting":
                row = self._land(rows, row, run.revision)
            row = changed(whole(rows, row) if report.status == "diverged" else row, revision=run.revision)
            rows.put_member(row, token)
            given_up = self._collect(rows, run, held, row, old_best)
            rows.put_run(run)
            if row.state == "leased":
                turn = self._turn(rows, run, row, None, since)
            elif more:
                turn = self._next(rows, run, str(held.worker), since)
            else:
                turn = self._turn(rows, run, None, "left", since)
        self._gave_up(given_up)
        return turn

    def commit(self, token: str, plan: Plan, *, seen: int, memory_version: int) -> MemberRow:
        with self._write() as rows:
            held = self._held(rows, token)
            run = rows.run()
            if plan.memory is not None and run.memory_version != memory_version:
                raise StaleView(f"the strategy's memory is at version {run.memory_version}, not {memory_version}")
            revision = run.revision + 1
            taken: list[Json] = []
            for action in plan.actions:
                taken.append(self._act(rows, action, held, revision, seen))
            row = rows.member(held.member) or held
            if row.token == token and row.due <= row.budget:
                row = changed(row, due=row.budget + max(1, plan.intervals), revision=revision)
                rows.put_member(row, token)
            body: Json = {
                "interval": row.budget, "seen": seen, "actions": taken, "intervals": plan.intervals,
                "memory": plan.memory, "due": record_of(held),
            }  # fmt: skip
            rows.add_event(EventRow(kind="decision", member=row.member, body=body, revision=revision))
            run = changed(run, revision=revision)
            if plan.memory is not None:
                run = changed(run, memory=plan.memory, memory_version=run.memory_version + 1)
            rows.put_run(run)
        return row

    def fail(self, token: str, error: str, *, counts: bool = True) -> MemberRow:
        with self._write() as rows:
            return self._failed(rows, self._held(rows, token), error, counts, kind="failure")

    def release(self, token: str) -> None:
        with self._write() as rows:
            held = self._held(rows, token)
            revision = rows.run().revision + 1
            self._void(rows, held, revision)
            rows.put_member(changed(whole(rows, transition(held, Release())), revision=revision), token)
            rows.put_run(changed(rows.run(), revision=revision))

    def expire(self, workers: Iterable[str], reason: str, *, counts: bool) -> int:
        freed = 0
        with self._write() as rows:
            known = {row.worker: row for row in rows.workers()}
            for worker in workers:
                for held in rows.held_by(worker):
                    self._failed(rows, held, reason, counts, kind="lost")
                    freed += 1
                if worker in known:
                    rows.put_worker(changed(known[worker], left=True))
        return freed

    def score(self, interval: int, value: float) -> None:
        with self._write() as rows:
            row = rows.interval(interval)
            if row is None or row.status != "pending":
                raise InvalidValue(f"interval {interval} is not pending; only a pending score can be filled in")
            run = rows.run()
            revision = run.revision + 1
            finite = value - value == 0.0
            row = changed(row, score=value if finite else None, status="ok" if finite else "diverged", scored=revision)
            rows.put_interval(row)
            state = rows.checkpoint(row.checkpoint) if row.checkpoint is not None else None
            if state is None or state.dropped is not None:
                row = changed(row, checkpoint=None)  # its state is gone: it cannot be the best one
            rows.put_run(self._judged(changed(run, revision=revision, total=run.total - 1), row))

    def damaged(self, lost: Mapping[str, str], token: str | None = None) -> None:
        with self._write() as rows:
            held = None if token is None else self._held(rows, token)
            run = rows.run()
            revision = run.revision + 1
            whose = {name: given_up(rows, name, revision) for name in lost}
            if run.best_checkpoint in lost:
                run = best_left(rows, run)
            fell: dict[str, list[Json]] = {name: [] for name in lost}
            bare: dict[str, list[Json]] = {name: [] for name in lost}
            for row in rows.members():
                mine = held is not None and row.member == held.member
                if row.state == "leased" and not mine:
                    continue  # its worker has loaded it, or will find out itself
                after, name = mended(rows, row, lost)
                if mine or name is not None:
                    self._void(rows, row, revision)
                if name is not None:
                    fell[name].append(fallen(rows, after))
                elif row.kept is not None and after.kept is None:
                    bare[row.kept].append(row.member)
                if mine and after.token is not None:
                    after = transition(after, Release())
                if after is not row:
                    rows.put_member(changed(after, revision=revision), token if mine else None)
            for name, error in lost.items():
                if whose[name] is None and not fell[name] and not bare[name]:
                    continue  # somebody else was first, and nobody needs it
                member, interval = whose[name] or (None, None)
                body: Json = {
                    "checkpoint": name, "interval": interval, "error": error, "fell_back": fell[name],
                    "bare": bare[name],
                }  # fmt: skip
                rows.add_event(EventRow(kind="damaged", member=member, body=body, revision=revision))
            rows.put_run(changed(run, revision=revision, total=rows.run().total))

    # -- reading ------------------------------------------------------------------------------------------------

    def changes(self, since: int) -> Turn:
        with self._read() as rows:
            return self._turn(rows, rows.run(), None, None, since)

    def recent(self, history: int | None) -> Turn:
        with self._read() as rows:
            if history is None:
                return self._turn(rows, rows.run(), None, None, 0)
            members = rows.members()
            floor = min((row.budget for row in members if row.state in ("waiting", "leased")), default=rows.run().limit)
            oldest = {row.member: min(floor, row.budget) - history for row in members}
            for one in rows.kept(None):  # what can still be copied may be asked for, however old
                if one.member is not None:
                    oldest[one.member] = min(oldest[one.member], one.interval - 1)
            news = [report for member, after in oldest.items() for report in rows.own_intervals(member, after)]
            news.sort(key=lambda report: report.id)
            return Turn(row=None, ended=None, run=rows.run(), news=news, quarantined=rows.quarantined())

    def members(self) -> list[MemberRow]:
        with self._read() as rows:
            return rows.members()

    def member(self, member: int) -> MemberRow:
        with self._read() as rows:
            row = rows.member(member)
        if row is None:
            raise InvalidValue(f"there is no member {member} in this run")
        return row

    def interval(self, id: int) -> IntervalRow:
        with self._read() as rows:
            row = rows.interval(id)
        if row is None:
            raise InvalidValue(f"there is no interval with id {id} in this run")
        return row

    def intervals(self) -> list[IntervalRow]:
        with self._read() as rows:
            return [row for row in rows.intervals(0) if row.voided is None]

    def checkpoint(self, name: str) -> CheckpointRow:
        with self._read() as rows:
            row = rows.checkpoint(name)
        if row is None or row.dropped is not None:
            raise CheckpointMissing(f"checkpoint {name} is {'collected' if row else 'not in the record'}")
        return row

    def kept(self) -> set[str]:
        return {row.name for row in self.checkpoints()}

    def checkpoints(self) -> list[CheckpointRow]:
        with self._read() as rows:
            return [row if row.inline is None else changed(row, inline=b"") for row in rows.kept(None)]

    def named(self) -> set[str]:
        with self._read() as rows:
            return rows.named()

    # -- workers and events -------------------------------------------------------------------------------------

    def register(self, worker: WorkerRow) -> None:
        with self._write() as rows:
            rows.put_worker(worker)

    def beat(self, workers: Iterable[str]) -> None:
        with self._write() as rows:
            wanted = set(workers)
            for row in rows.workers():
                if row.worker in wanted:
                    rows.put_worker(changed(row, beat=row.beat + 1))

    def workers(self) -> list[WorkerRow]:
        with self._read() as rows:
            return rows.workers()

    def note(self, event: EventRow) -> None:
        with self._write() as rows:
            if event.kind == "warning" and rows.warned(event.body):
                return
            run = rows.run()
            rows.add_event(changed(event, revision=run.revision + 1))
            rows.put_run(changed(run, revision=run.revision + 1))

    def events(self, since: int = 0) -> list[EventRow]:
        with self._read() as rows:
            return rows.events(since)

    @abstractmethod
    def close(self) -> None:
        """Let go of files and connections."""

    # -- the parts ----------------------------------------------------------------------------------------------

    def _held(self, rows: Rows, token: str) -> MemberRow:
        row = rows.holder(token)
        if row is None:
            raise StaleLease("the lease is no longer held: it expired or was taken back; nothing was written")
        return row

    def _turn(self, rows: Rows, run: RunRow, row: MemberRow | None, ended: str | None, since: int) -> Turn:
        return Turn(row=row, ended=ended, run=run, news=rows.intervals(since), quarantined=rows.quarantined())

    def _next(self, rows: Rows, run: RunRow, worker: str, since: int) -> Turn:
        row, ended = None, None
        if run.status != "running":
            ended = run.reason or run.status
        else:
            row = rows.least_trained(run.synchronous)
            if row is not None:
                if row.last is not None:  # it was let go with work that was never saved, when the run stopped
                    self._void(rows, row, run.revision + 1)
                    row, run = whole(rows, row), rows.run()
                token = f"{worker}-{run.revision + 1}"
                run = changed(run, revision=run.revision + 1)
                row = changed(transition(row, Claim(token=token, worker=worker)), revision=run.revision)
                rows.put_member(row, None)
                rows.put_run(run)
            elif not rows.active():
                ended = "done"
        return self._turn(rows, run, row, ended, since)

    def _store(self, rows: Rows, run: RunRow, held: MemberRow, report: Report) -> IntervalRow:
        """Add the interval, and the checkpoint that it ended in."""
        ends = boundary(held, report, run.limit)
        interval = IntervalRow(
            member=held.member,
            interval=held.budget + 1,
            age=held.age + 1,
            birth=held.birth,
            parents=held.parents if held.last is None else (held.last,),
            origin=held.origin if held.last is None else "continue",
            hyperparameters=held.hyperparameters,
            score=report.score,
            status=report.status,
            before=report.before,
            samples=report.samples,
            curve=report.curve,
            metrics=report.metrics,
            cost=report.cost,
            results=report.results,
            checkpoint=None if report.checkpoint is None else report.checkpoint.name,
            boundary=ends,
            seconds=report.seconds,
            overhead=report.overhead,
            worker=str(held.worker),
            seen=report.seen,
            failures=held.failures,
            kept=held.kept if held.last is None else None,
            group=held.group,
            role=held.role,
            tag=held.tag,
            revision=run.revision,
            scored=None if report.status == "pending" else run.revision,
        )
        interval = rows.add_interval(interval)
        if report.checkpoint is not None:
            rows.add_checkpoint(
                changed(
                    report.checkpoint,
                    member=held.member,
                    interval=interval.interval,
                    age=interval.age,
                    source=interval.id,
                    boundary=ends,
                    revision=run.revision,
                )
            )
        return interval

    def _judged(self, run: RunRow, interval: IntervalRow) -> RunRow:
        """The run after a score: its count, its best, and whether it stops."""
        stop = Stop(**run.stop) if isinstance(run.stop, dict) else Stop()  # type: ignore[arg-type]
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

    def _collect(self, rows: Rows, run: RunRow, before: MemberRow, after: MemberRow, old_best: str | None) -> list[str]:
        """Give up the checkpoints that nothing needs any more after a report; returns the names of files."""
        own = rows.kept(after.member)
        retained_by = {after.member: _retained(own)}
        candidates = {row.name: row for row in own}
        for name in {before.start, before.kept, old_best} - {
            None,
            after.start,
            after.kept,
            run.best_checkpoint,
        }:
            row = None if name in candidates else rows.checkpoint(str(name))
            if row is not None and row.dropped is None:
                candidates[row.name] = row
        given_up = []
        for name, row in candidates.items():
            if row.pinned or row.member is None or name in (after.start, after.kept, run.best_checkpoint):
                continue
            if row.member not in retained_by:
                retained_by[row.member] = _retained(rows.kept(row.member))
            if name not in retained_by[row.member] and not rows.referenced(name):
                rows.put_checkpoint(changed(row, inline=None, dropped=run.revision))
                if row.inline is None:
                    given_up.append(name)
        return given_up

    def _void(self, rows: Rows, held: MemberRow, revision: int) -> None:
        """Take back the reports whose state was never saved."""
        if held.last is None:
            return
        run = rows.run()
        voided = rows.own_intervals(held.member, held.saved)
        for row in voided:
            rows.put_interval(changed(row, voided=revision))
        rows.put_run(changed(run, total=run.total - len(voided)))

    def _failed(self, rows: Rows, held: MemberRow, error: str, counts: bool, *, kind: str) -> MemberRow:
        run = rows.run()
        revision = run.revision + 1
        self._void(rows, held, revision)
        row = transition(held, Failed(error=error, tries=run.tries, counts=counts))
        row = changed(whole(rows, row), revision=revision)
        rows.put_member(row, held.token)
        body: Json = {"error": error, "interval": held.budget + 1, "worker": held.worker}
        rows.add_event(EventRow(kind=kind, member=row.member, body=body, revision=revision))
        if row.state == "quarantined":
            body = {"error": error, "failures": row.failures}
            rows.add_event(EventRow(kind="quarantine", member=row.member, body=body, revision=revision))
        rows.put_run(changed(rows.run(), revision=revision))
        return row

    def _land(self, rows: Rows, row: MemberRow, revision: int) -> MemberRow:
        """Carry out what another member's decision had for this one, now that it is at a boundary."""
        kind = str(row.next.get("$")) if isinstance(row.next, dict) else ""
        if kind.endswith(":Hold") and isinstance(row.next, dict):
            return changed(transition(row, Held(until=min(int(str(row.next["until"])), row.budget))), next=None)
        if kind.endswith(":Retire"):
            return changed(transition(row, Retired()), next=None)
        assign = Assign(**_assign_fields(row.next))
        source = self._source(rows, assign)
        if assign.sources and source is None:
            body: Json = {"action": row.next, "why": "its source is gone"}
            rows.add_event(EventRow(kind="dropped", member=row.member, body=body, revision=revision))
            return changed(row, next=None)
        return transition(row, Assigned(assign=assign, source=source))

    def _source(self, rows: Rows, assign: Assign) -> CheckpointRow | None:
        first = None
        for name in assign.sources:
            found = rows.checkpoint(name)
            if found is None or found.dropped is not None:
                return None
            first = first or found
        return first

    def _act(self, rows: Rows, action: Any, held: MemberRow | None, revision: int, seen: int = 0) -> Json:
        """Carry out one action; returns what is recorded of it."""
        record: Json = dump(action)
        if isinstance(action, (Assign, Hold, Retire)):
            row = rows.member(action.member)
            if isinstance(action, Assign) and action.via not in ("copy", "keep", "fresh"):
                raise InvalidValue(
                    f"Assign: via={action.via!r} must be 'copy', 'keep' or 'fresh'; no engine combines states"
                )
            source = self._source(rows, action) if isinstance(action, Assign) else None
            if isinstance(action, Assign) and action.sources and source is None:
                raise StaleView(f"checkpoint {action.sources[0]} can no longer be loaded; decide again")
            if row is None:
                if not isinstance(action, Assign):
                    raise InvalidValue(f"the plan names member {action.member}, which does not exist")
                fresh = MemberRow(member=action.member, hyperparameters=action.hyperparameters, revision=revision)
                rows.add_member(transition(fresh, Assigned(assign=action, source=source)))
                return record
            mine = held is not None and row.member == held.member
            why = "the member has changed since the view" if row.revision > seen else None
            if row.state in ("done", "quarantined"):
                why = f"the member is {row.state}"  # which no view tells
            if not mine and held is not None and why is not None:
                body: Json = {"action": record, "why": why}
                rows.add_event(EventRow(kind="dropped", member=row.member, body=body, revision=revision))
                return record
            token = row.token
            if isinstance(action, Hold) and (mine or row.state == "waiting") and action.until > row.budget:
                raise InvalidValue(
                    f"Hold: until={action.until} must be at most the member's own budget, but member {row.member} has "
                    f"{row.budget}: it would wait for itself"
                )
            if not mine and row.state == "leased":
                row = changed(row, next=record)  # lands at its next boundary: no work is taken from a worker
            elif isinstance(action, Hold):
                row = transition(row, Held(until=action.until))
            elif isinstance(action, Retire):
                row = transition(row, Retired())
            else:
                row = transition(row, Assigned(assign=action, source=source))
            if token is not None and row.token is None:
                row = whole(rows, row)
            rows.put_member(changed(row, revision=revision), token)
            return record
        found = rows.checkpoint(action.checkpoint)
        if found is None or found.dropped is not None:
            raise StaleView(f"checkpoint {action.checkpoint} can no longer be loaded; decide again")
        rows.put_checkpoint(changed(found, pinned=isinstance(action, Pin)))
        return record

    def _gave_up(self, names: Sequence[str]) -> None:
        if names and self._on_dropped is not None:
            self._on_dropped(names)


def _assign_fields(record: Json) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise StoreError(f"the record holds a broken assignment: {record!r}")
    fields: dict[str, Any] = {name: value for name, value in record.items() if name != "$"}
    for name in ("sources", "opponents"):
        fields[name] = tuple(fields.get(name, ()))
    return fields


def _retained(kept: Iterable[CheckpointRow]) -> set[str]:
    """Names that the rule of `retained` keeps among one member's checkpoints."""
    return {row.name for row in retained(sorted(kept, key=lambda row: row.interval))}
