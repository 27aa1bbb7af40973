"""A round of many members as one transaction, over open rows."""

from __future__ import annotations

from collections.abc import Sequence

from warren.population import MemberRow
from warren.stores.base import Round, Stretch
from warren.stores.decisions import committed
from warren.stores.leases import claimed, held, over
from warren.stores.reports import Keep, reported
from warren.stores.rows import Rows


def carried_out(rows: Rows, stretches: Sequence[Stretch], *, more: bool) -> list[str]:
    """Carry out the decisions, then store the reports; returns the names of files that nobody needs any more.

    Args:
        rows: Of the transaction.
        stretches: What was done with each member.
        more: The worker keeps the members that are not due after it.
    """
    for stretch in stretches:
        if stretch.plan is not None:
            committed(rows, held(rows, stretch.token), stretch.plan, seen=stretch.seen)
    given_up: list[str] = []
    for stretch in stretches:
        last = len(stretch.reports) - 1
        for place, report in enumerate(stretch.reports):
            # What comes after it was trained already, whether the run has stopped meanwhile or not.
            keep: Keep = "until due" if place < last else "while it runs" if more else "no"
            given_up += reported(rows, held(rows, stretch.token), report, keep)[1]
    return given_up


def claim_all(rows: Rows, worker: str) -> None:
    """Lease every waiting member that may be claimed to a worker."""
    run = rows.run()
    if over(run) is None:
        for row in rows.claimable(run.synchronous):
            claimed(rows, row, worker)


def round_of(rows: Rows, worker: str, since: int, *, left: bool = False) -> Round:
    """What a worker is told after it: what it holds, and what is new to it.

    Args:
        rows: Of the transaction.
        worker: Who asks.
        since: The revision that it knew.
        left: It does not go on.
    """
    run = rows.run()
    found: dict[int, MemberRow] = {row.member: row for row in rows.held_by(worker)}
    ended = None
    if left:
        ended = "left"
    elif not found:
        ended = over(run) or (None if rows.active() else "done")
    return Round(rows=found, ended=ended, run=run, news=rows.intervals(since), aside=rows.aside())
