"""The store's logic, written once over a few row operations. A backend is those operations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from warren.errors import CheckpointMissing, InvalidValue, StaleView
from warren.population import (
    CheckpointRow,
    EventRow,
    IntervalRow,
    MemberRow,
    Plan,
    Report,
    RunRow,
    WorkerRow,
    changed,
    transition,
)
from warren.population.transition import Extend, Release
from warren.stores.base import Round, Stretch, Turn
from warren.stores.damage import best_left, fallen, given_up, mended, whole
from warren.stores.decisions import acted, committed
from warren.stores.leases import claimed, failed, held, over, voided
from warren.stores.reports import judged, reported
from warren.stores.rounds import carried_out, claim_all, round_of
from warren.stores.rows import Rows, Tables
from warren.values import Json


class Ledger(ABC):
    """A `Store` over transactions of `Rows`."""

    def __init__(self) -> None:
        self._on_dropped: Callable[[Sequence[str]], None] | None = None

    def on_dropped(self, call: Callable[[Sequence[str]], None]) -> None:
        self._on_dropped = call

    @abstractmethod
    def _write(self) -> AbstractContextManager[Tables]:
        """A transaction that excludes all others; committed and durable when the block ends without an error."""

    @abstractmethod
    def _read(self) -> AbstractContextManager[Tables]:
        """A transaction that only reads, on one snapshot."""

    def _many(self) -> AbstractContextManager[Rows]:
        """A transaction as `_write` gives, for the work on many members at once."""
        return self._write()

    def _next(self) -> AbstractContextManager[Rows]:
        """A transaction as `_write` gives, for what every interval does; see `claim`, `report` and `commit`."""
        return self._write()

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
                acted(rows, action, None, 1)
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
                acted(rows, action, None, revision)
            rows.put_run(changed(run, limit=limit, status="running", reason=None, revision=revision))
            body: Json = {
                "intervals": limit, "intervals_before": run.limit, "members_before": len(members), "revived": revived,
            }  # fmt: skip
            rows.add_event(EventRow(kind="extend", body=body, revision=revision))

    # -- work ---------------------------------------------------------------------------------------------------

    def claim(self, worker: str, *, since: int) -> Turn:
        with self._next() as rows:
            return _taken(rows, worker, since)

    def report(
        self,
        token: str,
        report: Report,
        *,
        since: int,
        more: bool = True,
        plan: Plan | None = None,
        seen: int = 0,
        memory_version: int = 0,
    ) -> Turn:
        with self._next() as rows:
            if plan is not None:
                _carried_out(rows, token, plan, seen, memory_version)
            before = held(rows, token)
            row, dropped = reported(rows, before, report, "while it runs" if more else "no")
            if row.state == "leased":
                turn = _turn(rows, row, None, since)
            elif more:
                turn = _taken(rows, str(before.worker), since)
            else:
                turn = _turn(rows, None, "left", since)
        self._gave_up(dropped)
        return turn

    def commit(self, token: str, plan: Plan, *, seen: int, memory_version: int) -> MemberRow:
        with self._next() as rows:
            return _carried_out(rows, token, plan, seen, memory_version)

    def claim_all(self, worker: str, *, since: int) -> Round:
        with self._many() as rows:
            claim_all(rows, worker)
            return round_of(rows, worker, since)

    def round(self, worker: str, stretches: Sequence[Stretch], *, since: int, more: bool = True) -> Round:
        with self._many() as rows:
            dropped = carried_out(rows, stretches, more=more)
            if more:
                claim_all(rows, worker)
            told = round_of(rows, worker, since, left=not more)
        self._gave_up(dropped)
        return told

    def fail(self, token: str, error: str, *, counts: bool = True) -> MemberRow:
        with self._write() as rows:
            return failed(rows, held(rows, token), error, counts, kind="failure")

    def release(self, token: str) -> None:
        with self._write() as rows:
            row = held(rows, token)
            revision = rows.run().revision + 1
            voided(rows, row, revision)
            rows.put_member(changed(whole(rows, transition(row, Release())), revision=revision), token)
            rows.put_run(changed(rows.run(), revision=revision))

    def expire(self, workers: Iterable[str], reason: str, *, counts: bool) -> int:
        freed = 0
        with self._write() as rows:
            known = {row.worker: row for row in rows.workers()}
            for worker in workers:
                for row in rows.held_by(worker):
                    failed(rows, row, reason, counts, kind="lost")
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
            rows.put_run(judged(changed(run, revision=revision, total=run.total - 1), row))

    def damaged(self, lost: Mapping[str, str], token: str | None = None) -> None:
        with self._write() as rows:
            holds = None if token is None else held(rows, token).member
            run = rows.run()
            revision = run.revision + 1
            whose = {name: given_up(rows, name, revision) for name in lost}
            if run.best_checkpoint in lost:
                run = best_left(rows, run)
            fell: dict[str, list[Json]] = {name: [] for name in lost}
            bare: dict[str, list[Json]] = {name: [] for name in lost}
            for row in rows.members():
                mine = row.member == holds
                if row.state == "leased" and not mine:
                    continue  # its worker has loaded it, or will find out itself
                after, name = mended(rows, row, lost)
                if mine or name is not None:
                    voided(rows, row, revision)
                if name is not None:
                    fell[name].append(fallen(rows, after))
                elif row.kept is not None and after.kept is None:
                    bare[row.kept].append(row.member)
                if mine:  # what was found damaged before, while it was out, is seen to now
                    after = whole(rows, after if after.token is None else transition(after, Release()))
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
            return _turn(rows, None, None, since)

    def recent(self, history: int | None) -> Turn:
        with self._read() as rows:
            if history is None:
                return _turn(rows, None, None, 0)
            members = rows.members()
            floor = min((row.budget for row in members if row.state in ("waiting", "leased")), default=rows.run().limit)
            oldest = {row.member: min(floor, row.budget) - history for row in members}
            for one in rows.kept(None):  # what can still be copied may be asked for, however old
                if one.member is not None:
                    oldest[one.member] = min(oldest[one.member], one.interval - 1)
            news = [report for member, after in oldest.items() for report in rows.own_intervals(member, after)]
            news.sort(key=lambda report: report.id)
            return Turn(row=None, ended=None, run=rows.run(), news=news, aside=rows.aside())

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

    def _gave_up(self, names: Sequence[str]) -> None:
        if names and self._on_dropped is not None:
            self._on_dropped(names)


def _carried_out(rows: Rows, token: str, plan: Plan, seen: int, memory_version: int) -> MemberRow:
    """Carry out a decision for the member that a token holds."""
    row = held(rows, token)
    known = rows.run().memory_version
    if plan.memory is not None and known != memory_version:
        raise StaleView(f"the strategy's memory is at version {known}, not {memory_version}")
    return committed(rows, row, plan, seen=seen)


def _turn(rows: Rows, row: MemberRow | None, ended: str | None, since: int) -> Turn:
    return Turn(row=row, ended=ended, run=rows.run(), news=rows.intervals(since), aside=rows.aside())


def _taken(rows: Rows, worker: str, since: int) -> Turn:
    """Lease the least-trained member that may be claimed."""
    run = rows.run()
    ended = over(run)
    if ended is not None:
        return _turn(rows, None, ended, since)
    row = next(rows.claimable(run.synchronous), None)
    if row is not None:
        return _turn(rows, claimed(rows, row, worker), None, since)
    return _turn(rows, None, None if rows.active() else "done", since)
