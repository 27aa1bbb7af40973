"""A store in this process's memory: for tests, notebooks and the fastest loops. It ends with the process."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from warren.errors import StaleLease, StoreError
from warren.population import CheckpointRow, EventRow, IntervalRow, MemberRow, RunRow, WorkerRow, changed
from warren.stores.ledger import Ledger
from warren.stores.rows import Rows
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
    def _write(self) -> Iterator[Rows]:
        with self._lock:
            self._rows.undo.clear()
            try:
                yield self._rows
            except BaseException:
                self._rows.roll_back()
                raise

    @contextmanager
    def _read(self) -> Iterator[Rows]:
        with self._lock:
            yield self._rows


class _MemoryRows:
    """The rows, with a list of what takes back the writes of the open transaction."""

    def __init__(self) -> None:
        self.undo: list[Callable[[], Any]] = []
        self._run: RunRow | None = None
        self._config: Json = None
        self._members: dict[int, MemberRow] = {}
        self._tokens: dict[str, int] = {}
        self._quarantined: set[int] = set()
        self._queue: list[tuple[int, int]] = []
        self._intervals: list[IntervalRow] = []
        self._own: dict[int, list[int]] = {}
        self._touched: list[tuple[int, int]] = []
        self._checkpoints: dict[str, CheckpointRow] = {}
        self._kept: dict[int | None, set[str]] = {}
        self._references: dict[str, int] = {}
        self._events: list[EventRow] = []
        self._workers: dict[str, WorkerRow] = {}

    def roll_back(self) -> None:
        while self.undo:
            self.undo.pop()()

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
        old = self._run
        self.undo.append(lambda: setattr(self, "_run", old))
        self._run = row

    def config(self) -> Json:
        return self._config

    def put_config(self, config: Json) -> None:
        old = self._config
        self.undo.append(lambda: setattr(self, "_config", old))
        self._config = config

    # -- members ------------------------------------------------------------------------------------------------

    def members(self) -> list[MemberRow]:
        return [self._members[member] for member in sorted(self._members)]

    def member(self, member: int) -> MemberRow | None:
        return self._members.get(member)

    def holder(self, token: str) -> MemberRow | None:
        member = self._tokens.get(token)
        return None if member is None else self._members[member]

    def held_by(self, worker: str) -> list[MemberRow]:
        return [row for row in self.members() if row.worker == worker and row.token is not None]

    def put_member(self, row: MemberRow, token: str | None) -> None:
        old = self._members[row.member]
        if old.token != token:
            raise StaleLease(f"member {row.member} is not held under the lease that the write carries")
        self._replace(row)
        self.undo.append(lambda: self._replace(old))

    def _replace(self, row: MemberRow) -> None:
        old = self._members.get(row.member)
        if old is not None:
            if old.token is not None:
                del self._tokens[old.token]
            for name in {old.start, old.kept, *old.sources, *old.opponents} - {None}:
                self._references[str(name)] -= 1
        self._members[row.member] = row
        (self._quarantined.add if row.state == "quarantined" else self._quarantined.discard)(row.member)
        if row.token is not None:
            self._tokens[row.token] = row.member
        for name in {row.start, row.kept, *row.sources, *row.opponents} - {None}:
            self._references[str(name)] = self._references.get(str(name), 0) + 1
        if row.state == "waiting":
            heapq.heappush(self._queue, (row.budget, row.member))

    def add_member(self, row: MemberRow) -> None:
        self._replace(row)
        self.undo.append(lambda: self._members.pop(row.member))

    def least_trained(self, synchronous: bool) -> MemberRow | None:
        passed: list[tuple[int, int]] = []
        found = None
        floor: int | None = None
        while self._queue and found is None:
            entry = self._queue[0]
            row = self._members.get(entry[1])
            if row is None or row.state != "waiting" or row.budget != entry[0]:
                heapq.heappop(self._queue)  # an entry that a later write has overtaken
                continue
            if (synchronous or row.hold is not None) and floor is None:
                floor = self._floor()
            if synchronous and floor is not None and row.budget > floor:
                break
            if (row.hold is not None and self._floor(row.group) < row.hold) or (
                synchronous and row.failures and self._tokens
            ):
                passed.append(heapq.heappop(self._queue))
                continue
            found = row
        for entry in passed:
            heapq.heappush(self._queue, entry)
        return found

    def _floor(self, group: str | None = None) -> int:
        active = (
            row.budget
            for row in self._members.values()
            if row.state in ("waiting", "leased") and (group is None or row.group == group)
        )
        return min(active, default=0)

    def quarantined(self) -> frozenset[int]:
        return frozenset(self._quarantined)

    def active(self) -> bool:
        return any(row.state in ("waiting", "leased") for row in self._members.values())

    # -- intervals ----------------------------------------------------------------------------------------------

    def add_interval(self, row: IntervalRow) -> IntervalRow:
        id = len(self._intervals) + 1
        row = changed(row, id=id)
        self._intervals.append(row)
        self._own.setdefault(row.member, []).append(id)
        self._touched.append((row.revision, id))

        def undo() -> None:
            self._intervals.pop()
            self._own[row.member].pop()
            self._touched.pop()

        self.undo.append(undo)
        return row

    def put_interval(self, row: IntervalRow) -> None:
        old = self._intervals[row.id - 1]
        self._intervals[row.id - 1] = row
        self._touched.append((max(row.revision, row.scored or 0, row.voided or 0, row.lost or 0), row.id))

        def undo() -> None:
            self._intervals[row.id - 1] = old
            self._touched.pop()

        self.undo.append(undo)

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
        self._checkpoints[row.name] = row
        self._kept.setdefault(row.member, set()).add(row.name)

        def undo() -> None:
            del self._checkpoints[row.name]
            self._kept[row.member].discard(row.name)

        self.undo.append(undo)

    def put_checkpoint(self, row: CheckpointRow) -> None:
        old = self._checkpoints[row.name]
        self._checkpoints[row.name] = row
        kept = self._kept.setdefault(row.member, set())
        if row.dropped is not None:
            kept.discard(row.name)
            del self._checkpoints[row.name]  # nothing asks for it again, and memory is all that there is

        def undo() -> None:
            self._checkpoints[row.name] = old
            kept.add(row.name)

        self.undo.append(undo)

    def checkpoint(self, name: str) -> CheckpointRow | None:
        return self._checkpoints.get(name)

    def kept(self, member: int | None) -> list[CheckpointRow]:
        names = self._kept.get(member, set()) if member is not None else set(self._checkpoints)
        return sorted((self._checkpoints[name] for name in names), key=lambda row: (row.interval, row.name))

    def named(self) -> set[str]:
        return set(self._checkpoints)

    def referenced(self, name: str) -> bool:
        return self._references.get(name, 0) > 0

    # -- events and workers -------------------------------------------------------------------------------------

    def add_event(self, row: EventRow) -> None:
        self._events.append(row)
        self.undo.append(self._events.pop)

    def warned(self, body: Json) -> bool:
        return any(row.kind == "warning" and canonical(row.body) == canonical(body) for row in self._events)

    def events(self, since: int) -> list[EventRow]:
        return [row for row in self._events if row.revision > since]

    def put_worker(self, row: WorkerRow) -> None:
        self._workers[row.worker] = row

    def workers(self) -> list[WorkerRow]:
        holding = {self._members[member].worker for member in self._tokens.values()}
        return [row for row in self._workers.values() if not row.left or row.worker in holding]
