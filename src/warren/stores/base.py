"""What a store promises."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from warren.population import (
    CheckpointRow,
    EventRow,
    IntervalRow,
    MemberRow,
    Plan,
    Report,
    RunRow,
    WorkerRow,
)
from warren.values import Json


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What a worker gets when it asks for work.

    Attributes:
        row: The member that it holds now, or None.
        ended: Why there is nothing more to do in this run, or None: then a member may be free later.
        run: The run as of this revision.
        news: Reports that are new or have changed since the revision that the worker knew.
        aside: Numbers of the members that are set aside: quarantined or retired.
    """

    row: MemberRow | None
    ended: str | None
    run: RunRow
    news: Sequence[IntervalRow]
    aside: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """What a worker did with one member in a round.

    Attributes:
        token: The lease of the member.
        plan: The decision before it where that changed something, else None.
        seen: Revision of the view that `plan` was decided on.
        reports: Its intervals, oldest first; only the last may be one at which the member is due or diverged. Empty
            where nothing but the decision is to be carried out.
    """

    token: str
    plan: Plan | None = None
    seen: int = 0
    reports: Sequence[Report] = ()


@dataclass(frozen=True, kw_only=True)
class Round:
    """What a worker gets that trains many members at once.

    Attributes:
        rows: All members that it holds now, by number, in that order.
        ended: Why there is nothing more to do, or None: then it holds members, or some may be free later.
        run: The run as of this revision.
        news: Reports that are new or have changed since the revision that the worker knew, its own among them.
        aside: Numbers of the members that are set aside: quarantined or retired.
    """

    rows: Mapping[int, MemberRow]
    ended: str | None
    run: RunRow
    news: Sequence[IntervalRow]
    aside: frozenset[int] = frozenset()


class Store(Protocol):
    """The durable record of one run, and the queue that workers take members from.

    Requirements on every implementation:

    - Each method is one transaction: it happens whole or not at all, and transactions happen one after another.
    - When a method that writes returns, what it wrote survives the death of every process (where the store outlives
      processes at all).
    - A write that carries a token changes nothing and raises `StaleLease` unless that token holds a member.
    - Safe to use from several threads of a process.
    """

    def create(self, run: RunRow, config: Json, plan: Plan, checkpoints: Iterable[CheckpointRow] = ()) -> bool:
        """Make the run with its first members. False, and nothing is changed, where the run is there already."""
        ...

    def exists(self) -> bool:
        """Whether the run has been made."""
        ...

    def config(self) -> Json:
        """The settings that the run was made with."""
        ...

    def configure(self, config: Json) -> None:
        """Replace the settings of the run."""
        ...

    def run(self) -> RunRow:
        """The run as a whole."""
        ...

    def update(self, **changes: object) -> RunRow:
        """Change fields of the run's row: its limit, status, reason, stop, elapsed or synchronous."""
        ...

    def extend(self, limit: int, plan: Plan, *, revive: bool = False) -> None:
        """Give every member `limit` intervals in all, add the plan's new members, and set the run going again."""
        ...

    def claim(self, worker: str, *, since: int) -> Turn:
        """Lease the least-trained waiting member to a worker."""
        ...

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
        """Store the end of an interval; go on with the member until it is due, else claim another if `more`.

        A `plan` is carried out first, as `commit` does: the decision that the interval was trained on.

        Raises:
            StaleLease: The token holds no member. Nothing was written.
            StaleView: The plan cannot be carried out any more. Nothing was written.
        """
        ...

    def commit(self, token: str, plan: Plan, *, seen: int, memory_version: int) -> MemberRow:
        """Carry out a decision for the member that a token holds.

        Raises:
            StaleLease: The token holds no member.
            StaleView: A source can no longer be loaded, or the strategy's memory has changed; decide again.
        """
        ...

    def claim_all(self, worker: str, *, since: int) -> Round:
        """Lease every waiting member that may be claimed to one worker: as `claim`, until there is none."""
        ...

    def round(self, worker: str, stretches: Sequence[Stretch], *, since: int, more: bool = True) -> Round:
        """Carry out decisions, store reports, and lease what may be claimed next, in one transaction.

        The record is afterwards that of the same done one by one: each plan by `commit`, on the strategy's memory as it
        is then; each report by `report`, which keeps the lease until the member is due; and, if `more`, `claim_all`. A
        run that stops in between stores what was trained all the same, and hands nothing out; members whose state is
        not saved stay with the worker. Without `more` every member that was reported is let go.

        Raises:
            StaleLease: A token holds no member. Nothing was written.
            StaleView: A source of a plan can no longer be loaded. Nothing was written.
        """
        ...

    def fail(self, token: str, error: str, *, counts: bool = True) -> MemberRow:
        """Take the member back after a failure; its provisional reports are voided."""
        ...

    def release(self, token: str) -> None:
        """Take the member back without a fault; its provisional reports are voided."""
        ...

    def expire(self, workers: Iterable[str], reason: str, *, counts: bool) -> int:
        """Take back what these workers hold, and mark them as gone. Returns how many members that freed."""
        ...

    def score(self, interval: int, value: float) -> None:
        """Fill in the score of a pending interval, by the id of its row."""
        ...

    def damaged(self, lost: Mapping[str, str], token: str | None = None) -> None:
        """Give up checkpoints whose bytes are not what they were; whoever starts from one falls back.

        A member falls back to its own newest checkpoint that is left, with the hyperparameters of that time; to a
        state of its own making where none is. Where the best was lost, the best of what is left takes its place. The
        lease of `token` ends. What other workers hold stays with them.

        Args:
            lost: Names of checkpoints, each with what is wrong with it.
            token: The lease of the member that was to be loaded.

        Raises:
            StaleLease: The token holds no member; nothing was given up.
        """
        ...

    def changes(self, since: int) -> Turn:
        """The run, and the reports that are new or have changed since a revision; nobody is leased."""
        ...

    def recent(self, history: int | None) -> Turn:
        """The run, and the reports that decisions may still look at, for a worker that begins; nobody is leased.

        Args:
            history: How many intervals behind the least-trained member, and of each member at least; None gives all.
        """
        ...

    def members(self) -> list[MemberRow]:
        """All members, by number."""
        ...

    def member(self, member: int) -> MemberRow:
        """One member."""
        ...

    def interval(self, id: int) -> IntervalRow:
        """One report by the id of its row."""
        ...

    def intervals(self) -> list[IntervalRow]:
        """All reports in the order in which they were stored, without those taken back."""
        ...

    def checkpoint(self, name: str) -> CheckpointRow:
        """One checkpoint, with its bytes where they are inline.

        Raises:
            CheckpointMissing: There is no such checkpoint.
        """
        ...

    def kept(self) -> set[str]:
        """Names of the checkpoints that can be loaded."""
        ...

    def checkpoints(self) -> list[CheckpointRow]:
        """The checkpoints that can be loaded, in one look; `inline` of those inside the store is empty bytes."""
        ...

    def named(self) -> set[str]:
        """Names of the checkpoints of every run that shares this store's files."""
        ...

    def register(self, worker: WorkerRow) -> None:
        """Make a worker known, before its first claim."""
        ...

    def beat(self, workers: Iterable[str]) -> None:
        """Count a sign of life of each worker."""
        ...

    def workers(self) -> list[WorkerRow]:
        """Workers that have not left."""
        ...

    def note(self, event: EventRow) -> None:
        """Record something that happened. A warning that is there already in the same words is not repeated."""
        ...

    def events(self, since: int = 0) -> list[EventRow]:
        """What happened after a revision."""
        ...

    def on_dropped(self, call: Callable[[Sequence[str]], None]) -> None:
        """Have `call` told, after each commit, the names of checkpoints given up whose bytes may be deleted."""
        ...

    def close(self) -> None:
        """Let go of files and connections. The store is not used after it."""
        ...
