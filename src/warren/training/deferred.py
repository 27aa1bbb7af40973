"""A decision that is carried out with the report of the interval that it came before, and not on its own."""

from __future__ import annotations

from dataclasses import dataclass

from warren.errors import CheckpointMissing
from warren.population import MemberRow, Plan, own_assignment, transition
from warren.population.transition import Assigned
from warren.stores import Store


@dataclass(frozen=True, kw_only=True)
class Deferred:
    """A decision that is to be carried out.

    Attributes:
        plan: What was decided.
        seen: Revision of the view.
        memory_version: Of the strategy's memory in that view.
    """

    plan: Plan
    seen: int
    memory_version: int


def commit(store: Store, row: MemberRow, deferred: Deferred) -> MemberRow:
    """Carry out a decision for a member that is held, in a transaction of its own; see `Store.commit`."""
    return store.commit(str(row.token), deferred.plan, seen=deferred.seen, memory_version=deferred.memory_version)


def ahead(store: Store, row: MemberRow, plan: Plan) -> MemberRow | None:
    """A member as it is after a decision that is still to be carried out.

    Args:
        store: The run.
        row: The member, under a lease.
        plan: What was decided.

    Returns:
        The member, or None where that is not for it alone, or needs the store: then nothing can wait.
    """
    assign = own_assignment(plan, row.member)
    if assign is None:
        return None
    try:
        sources = [store.checkpoint(name) for name in assign.sources]
    except CheckpointMissing:
        return None
    return transition(row, Assigned(assign=assign, sources=sources))
