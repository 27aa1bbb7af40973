"""The row operations that a backend gives to the store's logic."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Protocol

from warren.population import CheckpointRow, EventRow, IntervalRow, MemberRow, RunRow, WorkerRow
from warren.values import Json


class Rows(Protocol):
    """What the work on a run reads and writes in one open transaction: rows in, rows out.

    What it wrote counts only when the transaction ends without an error.
    """

    def run(self) -> RunRow: ...

    def put_run(self, row: RunRow) -> None: ...

    def members(self) -> list[MemberRow]: ...

    def member(self, member: int) -> MemberRow | None: ...

    def holder(self, token: str) -> MemberRow | None: ...

    def held_by(self, worker: str) -> list[MemberRow]: ...

    def put_member(self, row: MemberRow, token: str | None) -> None:
        """Write a member back; raises `StaleLease` where its lease is not `token`."""

    def add_member(self, row: MemberRow) -> None: ...

    def claimable(self, synchronous: bool) -> Iterator[MemberRow]:
        """Waiting members that may be claimed, by budget, then number; each is claimed before the next is asked for."""

    def aside(self) -> frozenset[int]:
        """Numbers of the members that are set aside: quarantined or retired."""

    def active(self) -> bool:
        """Whether any member is waiting or leased."""

    def add_interval(self, row: IntervalRow) -> IntervalRow:
        """Store a report; returns it with its id."""

    def put_interval(self, row: IntervalRow) -> None: ...

    def interval(self, id: int) -> IntervalRow | None: ...

    def own_intervals(self, member: int, after: int) -> list[IntervalRow]:
        """A member's reports with a greater interval, oldest first, without those taken back."""

    def intervals(self, since: int) -> list[IntervalRow]:
        """Reports that were stored, scored or voided after a revision, in the order of their ids."""

    def add_checkpoint(self, row: CheckpointRow) -> None: ...

    def put_checkpoint(self, row: CheckpointRow) -> None: ...

    def checkpoint(self, name: str) -> CheckpointRow | None: ...

    def kept(self, member: int | None) -> list[CheckpointRow]:
        """Checkpoints that are not dropped, of one member by interval, or (None) of all; without their bytes."""

    def referenced(self, name: str) -> bool:
        """Whether a member starts from this checkpoint, keeps it, combines it or is handed it."""

    def add_event(self, row: EventRow) -> None: ...


class Tables(Rows, Protocol):
    """All that a backend gives: the work on a run, and the run and its workers beside it."""

    def create(self, row: RunRow, config: Json) -> bool: ...

    def config(self) -> Json: ...

    def put_config(self, config: Json) -> None: ...

    def exists(self) -> bool: ...

    def named(self) -> set[str]:
        """Names of the checkpoints that are not dropped, of all runs."""

    def warned(self, body: Json) -> bool: ...

    def events(self, since: int) -> list[EventRow]: ...

    def put_worker(self, row: WorkerRow) -> None: ...

    def workers(self) -> list[WorkerRow]: ...


class Bulk(Rows, Protocol):
    """Operations on many rows at once, for a backend where each statement costs; see `warren.stores.batch`."""

    def next_interval(self) -> int:
        """The id that the next report gets; one later for each that follows it."""

    def put_members(self, rows: Sequence[tuple[MemberRow, MemberRow]]) -> None:
        """Write members back, each given as it was and as it is; raises `StaleLease` where one's lease is another."""

    def add_members(self, rows: Iterable[MemberRow]) -> None: ...

    def add_intervals(self, rows: Iterable[IntervalRow]) -> None:
        """Store reports under the ids that they carry."""

    def put_intervals(self, rows: Iterable[IntervalRow]) -> None: ...

    def add_checkpoints(self, rows: Iterable[CheckpointRow]) -> None: ...

    def put_checkpoints(self, rows: Collection[CheckpointRow]) -> None: ...

    def add_events(self, rows: Iterable[EventRow]) -> None: ...
