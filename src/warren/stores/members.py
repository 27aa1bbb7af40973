"""Members and kept checkpoints in memory, with what finds them quickly: the queue, the leases, who refers to what."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from operator import attrgetter

from warren.population import CheckpointRow, MemberRow, set_aside


class Members:
    """All members of a run.

    Args:
        rows: Those that there are at first.
    """

    def __init__(self, rows: Iterable[MemberRow] = ()) -> None:
        self._rows: dict[int, MemberRow] = {}
        self._tokens: dict[str, int] = {}
        self._aside: set[int] = set()
        self._queue: list[tuple[int, int]] = []
        self._budgets: dict[str, dict[int, int]] = {}
        self._references: dict[str, int] = {}
        for row in rows:
            self.put(row)

    def all(self) -> list[MemberRow]:
        """Every member, by number."""
        return [self._rows[member] for member in sorted(self._rows)]

    def get(self, member: int) -> MemberRow | None:
        """One member, or None where there is no such."""
        return self._rows.get(member)

    def holder(self, token: str) -> MemberRow | None:
        """The member that a token holds."""
        member = self._tokens.get(token)
        return None if member is None else self._rows[member]

    def holding(self) -> set[str | None]:
        """Names of the workers that hold a member."""
        return {self._rows[member].worker for member in self._tokens.values()}

    def held_by(self, worker: str) -> list[MemberRow]:
        """The members that a worker holds, by number."""
        return [self._rows[member] for member in sorted(self._tokens.values()) if self._rows[member].worker == worker]

    def put(self, row: MemberRow) -> None:
        """A new member, or one in the place of what it was."""
        old = self._rows.get(row.member)
        self._rows[row.member] = row
        if old is None or (
            old.start != row.start
            or old.kept != row.kept
            or old.sources != row.sources
            or old.opponents != row.opponents
        ):
            self._refer(old, -1)
            self._refer(row, 1)
        if old is not None:
            if old.token is not None and old.token != row.token:
                del self._tokens[old.token]
            self._count(old, -1)
        self._count(row, 1)
        if row.token is not None:
            self._tokens[row.token] = row.member
        (self._aside.add if set_aside(row) else self._aside.discard)(row.member)
        if row.state == "waiting":
            heapq.heappush(self._queue, (row.budget, row.member))

    def remove(self, member: int) -> None:
        """Let there be no such member."""
        old = self._rows.pop(member)
        self._refer(old, -1)
        self._count(old, -1)
        self._aside.discard(member)
        if old.token is not None:
            del self._tokens[old.token]

    def _refer(self, row: MemberRow | None, by: int) -> None:
        if row is not None:
            for name in {row.start, row.kept, *row.sources, *row.opponents}:
                if name is not None:
                    self._references[name] = self._references.get(name, 0) + by
                    if not self._references[name]:
                        del self._references[name]

    def _count(self, row: MemberRow, by: int) -> None:
        if row.state == "waiting" or row.state == "leased":
            budgets = self._budgets.setdefault(row.group, {})
            budgets[row.budget] = budgets.get(row.budget, 0) + by
            if not budgets[row.budget]:
                del budgets[row.budget]
                if not budgets:
                    del self._budgets[row.group]

    def claimable(self, synchronous: bool) -> Iterator[MemberRow]:
        """See `Rows.claimable`. What may not be claimed now may not be later in the same pass: floors only sink."""
        passed: list[tuple[int, int]] = []
        try:
            while self._queue:
                budget, member = self._queue[0]
                row = self._rows.get(member)
                if row is None or row.state != "waiting" or row.budget != budget:
                    heapq.heappop(self._queue)  # an entry that a later write has overtaken
                elif synchronous and budget > self._floor():
                    return
                elif (row.hold is not None and self._floor(row.group) < row.hold) or (
                    synchronous and row.failures and self._tokens
                ):
                    passed.append(heapq.heappop(self._queue))
                else:
                    yield row
        finally:
            for entry in passed:
                heapq.heappush(self._queue, entry)

    def _floor(self, group: str | None = None) -> int:
        """The smallest budget of an active member, in one group or in all."""
        if group is not None:
            return min(self._budgets.get(group, ()), default=0)
        return min((min(budgets) for budgets in self._budgets.values()), default=0)

    def aside(self) -> frozenset[int]:
        """Numbers of the members that are set aside."""
        return frozenset(self._aside)

    def active(self) -> bool:
        """Whether any member is waiting or leased."""
        return bool(self._budgets)

    def referenced(self, name: str) -> bool:
        """See `Rows.referenced`."""
        return name in self._references


class Kept:
    """The checkpoints of a run that can be loaded.

    Args:
        rows: Those that there are at first.
    """

    def __init__(self, rows: Iterable[CheckpointRow] = ()) -> None:
        self._rows: dict[str, CheckpointRow] = {}
        self._own: dict[int | None, dict[str, CheckpointRow]] = {}
        for row in rows:
            self.put(row)

    def get(self, name: str) -> CheckpointRow | None:
        """One of them, by name."""
        return self._rows.get(name)

    def put(self, row: CheckpointRow) -> None:
        """A new one, or one in the place of what it was; one that was given up goes."""
        if row.dropped is not None:
            self.remove(row)
        else:
            self._rows[row.name] = row
            self._own.setdefault(row.member, {})[row.name] = row

    def remove(self, row: CheckpointRow) -> None:
        """Let it be none of them."""
        self._rows.pop(row.name, None)
        own = self._own.get(row.member, {})
        own.pop(row.name, None)

    def of(self, member: int | None) -> list[CheckpointRow]:
        """Those of one member, or (None) all, by interval."""
        rows = self._rows if member is None else self._own.get(member, {})
        return sorted(rows.values(), key=attrgetter("interval", "name"))

    def names(self) -> set[str]:
        """The names of all."""
        return set(self._rows)
