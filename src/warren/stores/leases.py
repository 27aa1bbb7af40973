"""How a lease begins, and how it ends without a report: parts of a transaction, over open rows."""

from __future__ import annotations

from warren.errors import StaleLease
from warren.population import EventRow, MemberRow, RunRow, changed, transition
from warren.population.transition import Claim, Failed
from warren.stores.damage import whole
from warren.stores.rows import Rows
from warren.values import Json


def held(rows: Rows, token: str) -> MemberRow:
    """The member that a token holds.

    Raises:
        StaleLease: It holds none.
    """
    row = rows.holder(token)
    if row is None:
        raise StaleLease("the lease is no longer held: it expired or was taken back; nothing was written")
    return row


def claimed(rows: Rows, row: MemberRow, worker: str) -> MemberRow:
    """Lease a waiting member to a worker."""
    run = rows.run()
    if row.last is not None:  # it was let go with work that was never saved, when the run stopped
        voided(rows, row, run.revision + 1)
        row, run = whole(rows, row), rows.run()
    # The revision makes the token one that no other lease has had.
    run = changed(run, revision=run.revision + 1)
    row = transition(row, Claim(token=f"{worker}-{run.revision}", worker=worker))
    row = changed(row, revision=run.revision)
    rows.put_member(row, None)
    rows.put_run(run)
    return row


def over(run: RunRow) -> str | None:
    """Why a run hands nothing more out, or None while it goes on."""
    return None if run.status == "running" else run.reason or run.status


def voided(rows: Rows, row: MemberRow, revision: int) -> None:
    """Take back the reports of a member whose state was never saved."""
    if row.last is None:
        return
    run = rows.run()
    reports = rows.own_intervals(row.member, row.saved)
    for one in reports:
        rows.put_interval(changed(one, voided=revision))
    rows.put_run(changed(run, total=run.total - len(reports)))


def failed(rows: Rows, row: MemberRow, error: str, counts: bool, *, kind: str) -> MemberRow:
    """Take a leased member back after a failure, with an event of that kind."""
    run = rows.run()
    revision = run.revision + 1
    voided(rows, row, revision)
    after = transition(row, Failed(error=error, tries=run.tries, counts=counts))
    after = changed(whole(rows, after), revision=revision)
    rows.put_member(after, row.token)
    body: Json = {"error": error, "interval": row.budget + 1, "worker": row.worker}
    rows.add_event(EventRow(kind=kind, member=after.member, body=body, revision=revision))
    if after.state == "quarantined":
        body = {"error": error, "failures": after.failures}
        rows.add_event(EventRow(kind="quarantine", member=after.member, body=body, revision=revision))
    rows.put_run(changed(rows.run(), revision=revision))
    return after
