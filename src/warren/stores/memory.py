"""A store in this process's memory: for tests, notebooks and the fastest loops. It ends with the process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from warren.errors import StaleLease, StoreError
from warren.population import CheckpointRow, EventRow, IntervalRow, MemberRow, RunRow, WorkerRow, changed
from warren.stores.ledger import Ledger
from warren.stores.members import Kept, Members
from warren.stores.rows import Tables
from warren.values import Json, canonical


class MemoryStore(Ledger):
    """Everything in dictionaries, one lock around each transaction."""

    def __init__(self) -> None:
        super().__init__()
        self._rows = _MemoryRows()
        self._lock = threading.RLock()

    def close(self) -> None:
        """Nothing to let go of."""

    @contextmanager
    def _write(self) -> Iterator[Tables]:
        with self._lock:
            try:
                yield self._rows
            except BaseException:
                self._rows.roll_back()
                raise
            finally:
                self._rows.undo.clear()

    @contextmanager
    def _read(self) -> Iterator[Tables]:
        with self._lock:
            yield self._rows


class _MemoryRows:
    """The rows, with a list of what takes back the writes of the open transaction."""

    def __init__(self) -> None:
        self.undo: list[tuple[Callable[[Any], Any], Any]] = []
        self._run: RunRow | None = None
        self._config: Json = None
        self._members = Members()
        self._intervals: list[IntervalRow] = []
        self._own: dict[int, list[int]] = {}
        self._touched: list[tuple[int, int]] = []
        self._kept = Kept()
        self._events: list[EventRow] = []
        self._workers: dict[str, WorkerRow] = {}

    def roll_back(self) -> None:
        while self.undo:
            take_back, old = self.undo.pop()
            take_back(old)

    # -- run ----------------------------------------------------------------------------------------------------

    def exists(self) -> bool:
        return self._run is not None

    def create(self, row: RunRow, config: Json) -> bool:
        self.put_run(row)
        self.put_config(config)
        return True

    def run(self) -> RunRow:
        if self._run is None:
            raise StoreError("there is no run in this store")
        return self._run

    def put_run(self, row: RunRow) -> None:
        self.undo.append((self._set_run, self._run))
        self._run = row

    def _set_run(self, row: RunRow | None) -> None:
        self._run = row

    def config(self) -> Json:
        return self._config

    def put_config(self, config: Json) -> None:
        self.undo.append((self._set_config, self._config))
        self._config = config

    def _set_config(self, config: Json) -> None:
        self._config = config

    # -- members ------------------------------------------------------------------------------------------------

    def members(self) -> list[MemberRow]:
        return self._members.all()

    def member(self, member: int) -> MemberRow | None:
        return self._members.get(member)

    def holder(self, token: str) -> MemberRow | None:
        return self._members.holder(token)

    def held_by(self, worker: str) -> list[MemberRow]:
        return self._members.held_by(worker)

    def put_member(self, row: MemberRow, token: str | None) -> None:
        old = self._members.get(row.member)
        if old is None or old.token != token:
            raise StaleLease(f"member {row.member} is not held under the lease that the write carries")
        self._members.put(row)
        self.undo.append((self._members.put, old))

    def add_member(self, row: MemberRow) -> None:
        self._members.put(row)
        self.undo.append((self._members.remove, row.member))

    def claimable(self, synchronous: bool) -> Iterator[MemberRow]:
        return self._members.claimable(synchronous)

    def aside(self) -> frozenset[int]:
        return self._members.aside()

    def active(self) -> bool:
        return self._members.active()

    # -- intervals ----------------------------------------------------------------------------------------------

    def add_interval(self, row: IntervalRow) -> IntervalRow:
        id = len(self._intervals) + 1
        row = changed(row, id=id)
        self._intervals.append(row)
        self._own.setdefault(row.member, []).append(id)
        self._touched.append((row.revision, id))
        self.undo.append((self._remove_interval, row))
        return row

    def _remove_interval(self, row: IntervalRow) -> None:
        self._intervals.pop()
        self._own[row.member].pop()
        self._touched.pop()

    def put_interval(self, row: IntervalRow) -> None:
        old = self._intervals[row.id - 1]
        self._intervals[row.id - 1] = row
        self._touched.append((max(row.revision, row.scored or 0, row.voided or 0, row.lost or 0), row.id))
        self.undo.append((self._put_back, old))

    def _put_back(self, old: IntervalRow) -> None:
        self._intervals[old.id - 1] = old
        self._touched.pop()

    def interval(self, id: int) -> IntervalRow | None:
        return self._intervals[id - 1] if 0 < id <= len(self._intervals) else None

    def own_intervals(self, member: int, after: int) -> list[IntervalRow]:
        found = []
        for id in reversed(self._own.get(member, ())):
            row = self._intervals[id - 1]
            if row.interval <= after:
                break
            if row.voided is None:
                found.append(row)
        return found[::-1]

    def intervals(self, since: int) -> list[IntervalRow]:
        if since <= 0:
            return list(self._intervals)
        ids = set()
        for revision, id in reversed(self._touched):
            if revision <= since:
                break
            ids.add(id)
        return [self._intervals[id - 1] for id in sorted(ids)]

    # -- checkpoints --------------------------------------------------------------------------------------------

    def add_checkpoint(self, row: CheckpointRow) -> None:
        self._kept.put(row)
        self.undo.append((self._kept.remove, row))

    def put_checkpoint(self, row: CheckpointRow) -> None:
        old = self._kept.get(row.name)
        self._kept.put(row)  # one that was given up is let go: nothing asks for it again, and memory is all there is
        if old is not None:
            self.undo.append((self._kept.put, old))

    def checkpoint(self, name: str) -> CheckpointRow | None:
        return self._kept.get(name)

    def kept(self, member: int | None) -> list[CheckpointRow]:
        return self._kept.of(member)

    def named(self) -> set[str]:
        return self._kept.names()

    def referenced(self, name: str) -> bool:
        return self._members.referenced(name)

    # -- events and workers -------------------------------------------------------------------------------------

    def add_event(self, row: EventRow) -> None:
        self._events.append(row)
        self.undo.append((self._remove_event, row))

    def _remove_event(self, row: EventRow) -> None:
        self._events.pop()

    def warned(self, body: Json) -> bool:
        return any(row.kind == "warning" and canonical(row.body) == canonical(body) for row in self._events)

    def events(self, since: int) -> list[EventRow]:
        return [row for row in self._events if row.revision > since]

    def put_worker(self, row: WorkerRow) -> None:
        self._workers[row.worker] = row

    def workers(self) -> list[WorkerRow]:
        holding = self._members.holding()
        return [row for row in self._workers.values() if not row.left or row.worker in holding]
