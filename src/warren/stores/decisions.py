"""What a decision does to a run: parts of a transaction, over open rows."""

from __future__ import annotations

from typing import Any

from warren.errors import InvalidValue, StaleView, StoreError
from warren.population import (
    Action,
    Assign,
    CheckpointRow,
    EventRow,
    Hold,
    MemberRow,
    Pin,
    Plan,
    Retire,
    changed,
    record_of,
    transition,
)
from warren.population.transition import Assigned, Held, Retired
from warren.stores.damage import whole
from warren.stores.rows import Rows
from warren.values import Json, dump


def committed(rows: Rows, held: MemberRow, plan: Plan, *, seen: int) -> MemberRow:
    """Carry out a decision for a member that is held, taken on a view of that revision; returns it as it is then."""
    run = rows.run()
    revision = run.revision + 1
    taken: list[Json] = []
    for action in plan.actions:
        taken.append(acted(rows, action, held, revision, seen))
    row = rows.member(held.member) or held
    if row.token == held.token and row.due <= row.budget:
        row = changed(row, due=row.budget + max(1, plan.intervals), revision=revision)
        rows.put_member(row, held.token)
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


def acted(rows: Rows, action: Action, held: MemberRow | None, revision: int, seen: int = 0) -> Json:
    """Carry out one action; returns what is recorded of it."""
    record: Json = dump(action)
    if isinstance(action, (Assign, Hold, Retire)):
        row = rows.member(action.member)
        sources = _sources(rows, action) if isinstance(action, Assign) else ()
        if row is None:
            if not isinstance(action, Assign):
                raise InvalidValue(f"the plan names member {action.member}, which does not exist")
            fresh = MemberRow(member=action.member, hyperparameters=action.hyperparameters, revision=revision)
            rows.add_member(transition(fresh, Assigned(assign=action, sources=sources)))
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
            row = _retired(rows, row, revision)
        else:
            row = transition(row, Assigned(assign=action, sources=sources))
        if token is not None and row.token is None:
            row = whole(rows, row)
        rows.put_member(changed(row, revision=revision), token)
        return record
    found = _loadable(rows, action.checkpoint)
    rows.put_checkpoint(changed(found, pinned=isinstance(action, Pin)))
    return record


def landed(rows: Rows, row: MemberRow, revision: int) -> MemberRow:
    """Carry out what another member's decision had for this one, now that it is at a boundary."""
    kind = str(row.next.get("$")) if isinstance(row.next, dict) else ""
    if kind.endswith(":Hold") and isinstance(row.next, dict):
        return changed(transition(row, Held(until=min(int(str(row.next["until"])), row.budget))), next=None)
    if kind.endswith(":Retire"):
        return changed(_retired(rows, row, revision), next=None)
    assign = Assign(**_assign_fields(row.next))
    try:
        sources = _sources(rows, assign)
    except StaleView as stale:
        body: Json = {"action": row.next, "why": str(stale).partition(";")[0]}
        rows.add_event(EventRow(kind="dropped", member=row.member, body=body, revision=revision))
        return changed(row, next=None)
    return transition(row, Assigned(assign=assign, sources=sources))


def _retired(rows: Rows, row: MemberRow, revision: int) -> MemberRow:
    rows.add_event(EventRow(kind="retire", member=row.member, revision=revision))
    return transition(row, Retired())


def _sources(rows: Rows, assign: Assign) -> list[CheckpointRow]:
    """The checkpoints that an assignment names as its sources.

    Raises:
        InvalidValue: There is nothing to combine, or a state that no interval of this run ended in.
        StaleView: One of them, or of the opponents, can no longer be loaded.
    """
    found = [_loadable(rows, name) for name in assign.sources]
    for name in assign.opponents:
        _loadable(rows, name)
    if assign.combines and not found:
        raise InvalidValue(f"Assign: via={assign.via!r} combines states, and sources is empty; name at least one")
    outside = next((one.name for one in found if assign.combines and one.source is None), None)
    if outside is not None:
        raise InvalidValue(
            f"Assign: via={assign.via!r} combines states that intervals of this run ended in, and {outside} is the one "
            "that the run was started from; copy it instead"
        )
    return found


def _loadable(rows: Rows, name: str) -> CheckpointRow:
    found = rows.checkpoint(name)
    if found is None or found.dropped is not None:
        raise StaleView(f"checkpoint {name} can no longer be loaded; decide again")
    return found


def _assign_fields(record: Json) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise StoreError(f"the record holds a broken assignment: {record!r}")
    fields: dict[str, Any] = {name: value for name, value in record.items() if name != "$"}
    for name in ("sources", "opponents"):
        fields[name] = tuple(fields.get(name, ()))
    return fields
