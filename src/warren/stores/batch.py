"""Many operations of one transaction at the price of a few: read together, answered from memory, written together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from warren.errors import StaleLease
from warren.population import CheckpointRow, EventRow, IntervalRow, MemberRow, RunRow, changed
from warren.stores.members import Kept, Members
from warren.stores.rows import Bulk


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a batch knows when it ends: true as long as the run is at this revision."""

    revision: int
    members: Members
    kept: Kept | None


class Batch:
    """`Rows` over those of a backend where each statement costs. It excludes others, as the transaction under it does.

    Args:
        base: Of the open transaction. Nothing but this writes through it until `flush`.
        known: What an earlier batch has left. It saves reading where nobody has written since.
    """

    def __init__(self, base: Bulk, known: Known | None = None) -> None:
        self._base = base
        self._revision = base.run().revision
        # Whatever changes members or checkpoints has a revision of its own.
        good = known is not None and known.revision == self._revision
        self._members = known.members if good and known is not None else Members(base.members())
        self._before: dict[int, MemberRow | None] = {}
        self._loadable: Kept | None = known.kept if good and known is not None else None
        self._saved: dict[str, CheckpointRow] = {}
        self._changed: dict[str, CheckpointRow] = {}
        self._added: dict[int, IntervalRow] = {}
        self._put: dict[int, IntervalRow] = {}
        self._own: dict[int, list[int]] = {}
        self._id: int | None = None
        self._events: list[EventRow] = []

    def flush(self) -> Known:
        """Write what there is to write. What it returns is true once the transaction is committed."""
        base, members = self._base, [row for member in self._before if (row := self._members.get(member)) is not None]
        base.add_members([row for row in members if self._before[row.member] is None])
        base.put_members([(old, row) for row in members if (old := self._before[row.member]) is not None])
        base.put_intervals(self._put.values())  # first: what was taken back makes room for the same interval
        base.add_intervals(self._added.values())
        base.add_checkpoints(self._saved.values())
        base.put_checkpoints(self._changed.values())
        base.add_events(self._events)
        return Known(revision=base.run().revision, members=self._members, kept=self._loadable)

    def run(self) -> RunRow:
        return self._base.run()

    def put_run(self, row: RunRow) -> None:
        self._base.put_run(row)

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
        self._before.setdefault(row.member, old)
        self._members.put(row)

    def add_member(self, row: MemberRow) -> None:
        self._before[row.member] = None
        self._members.put(row)

    def claimable(self, synchronous: bool) -> Iterator[MemberRow]:
        return self._members.claimable(synchronous)

    def aside(self) -> frozenset[int]:
        return self._members.aside()

    def active(self) -> bool:
        return self._members.active()

    # -- intervals ----------------------------------------------------------------------------------------------

    def add_interval(self, row: IntervalRow) -> IntervalRow:
        if self._id is None:
            self._id = self._base.next_interval()
        row = changed(row, id=self._id)
        self._id += 1
        self._added[row.id] = row
        self._own.setdefault(row.member, []).append(row.id)
        return row

    def put_interval(self, row: IntervalRow) -> None:
        (self._added if row.id in self._added else self._put)[row.id] = row

    def interval(self, id: int) -> IntervalRow | None:
        return self._added.get(id) or self._put.get(id) or self._base.interval(id)

    def own_intervals(self, member: int, after: int) -> list[IntervalRow]:
        rows = [self._put.get(row.id, row) for row in self._base.own_intervals(member, after)]
        rows += [self._added[id] for id in self._own.get(member, ())]
        return [row for row in rows if row.interval > after and row.voided is None]

    def intervals(self, since: int) -> list[IntervalRow]:
        # Nothing is newer than the run was when this began.
        rows = {} if since >= self._revision else {row.id: row for row in self._base.intervals(since)}
        rows.update(self._put)
        new = sorted(rows.values(), key=_id) if self._put else list(rows.values())
        return new + list(self._added.values())

    # -- checkpoints --------------------------------------------------------------------------------------------

    @property
    def _kept(self) -> Kept:
        if self._loadable is None:
            self._loadable = Kept(self._base.kept(None))
        return self._loadable

    def add_checkpoint(self, row: CheckpointRow) -> None:
        self._saved[row.name] = row
        self._kept.put(row if row.inline is None else changed(row, inline=b""))  # without its bytes, as those read

    def put_checkpoint(self, row: CheckpointRow) -> None:
        self._kept.put(row)
        saved = self._saved.get(row.name)
        if saved is None:
            self._changed[row.name] = row
        else:
            inline = None if row.dropped is not None else saved.inline
            self._saved[row.name] = changed(row, inline=inline)

    def checkpoint(self, name: str) -> CheckpointRow | None:
        return self._kept.get(name) or self._saved.get(name) or self._changed.get(name) or self._base.checkpoint(name)

    def kept(self, member: int | None) -> list[CheckpointRow]:
        return self._kept.of(member)

    def referenced(self, name: str) -> bool:
        return self._members.referenced(name)

    # -- events -------------------------------------------------------------------------------------------------

    def add_event(self, row: EventRow) -> None:
        self._events.append(row)


def _id(row: IntervalRow) -> int:
    return row.id
