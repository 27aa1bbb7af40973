"""The queries of every SQL store, each written once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table, bindparam, case, func, insert, literal, null, or_, select, text, union_all, update

from warren.population import CheckpointRow, EventRow, IntervalRow, MemberRow, RunRow, WorkerRow
from warren.stores import schema as t
from warren.stores.schema import Codec

RUN_ROW, MEMBER_ROW, INTERVAL_ROW = Codec(RunRow), Codec(MemberRow), Codec(IntervalRow)
CHECKPOINT_ROW, EVENT_ROW, WORKER_ROW = Codec(CheckpointRow), Codec(EventRow), Codec(WorkerRow)


def _columns(table: Table, codec: Codec) -> list[Any]:
    return [table.c[name] for name in codec.names]


def _values(table: Table, codec: Codec, *without: str) -> dict[str, Any]:
    """Every column bound to a parameter ``v_<name>``, so that a WHERE may bind the same name."""
    return {name: bindparam(f"v_{name}", type_=table.c[name].type) for name in codec.names if name not in without}


def _is(table: Table, *names: str) -> list[Any]:
    return [table.c[name] == bindparam(f"b_{name}", type_=table.c[name].type) for name in names]


_members, _intervals, _checkpoints = t.members.c, t.intervals.c, t.checkpoints.c
_select_member = select(*_columns(t.members, MEMBER_ROW))
_active = or_(_members.state == "waiting", _members.state == "leased")
_other = t.members.alias()


def _floor(*conditions: Any) -> Any:
    """The smallest budget of an active member, one look-up in the queue's index for each of the two states."""
    waiting, leased = (
        select(func.min(_other.c.budget))
        .where(_other.c.run == bindparam("b_run"), _other.c.state == state, *conditions)
        .scalar_subquery()
        for state in ("waiting", "leased")
    )
    return func.coalesce(waiting, leased), func.coalesce(leased, waiting)


def _claimable(synchronous: bool) -> Any:
    in_group = _floor(_other.c.group == _members.group)
    conditions = [
        *_is(t.members, "run"),
        _members.state == "waiting",
        or_(_members.hold.is_(None), (_members.hold <= in_group[0]) & (_members.hold <= in_group[1])),
    ]
    if synchronous:
        conditions += [_members.budget <= floor for floor in _floor()]
        # One that failed may stand between two boundaries: what it may copy must not depend on how far others are.
        anyone = select(_other.c.member).where(_other.c.run == bindparam("b_run"), _other.c.state == "leased")
        conditions.append(or_(_members.failures == 0, ~anyone.exists()))
    return _select_member.where(*conditions).order_by(_members.budget, _members.member).limit(1)


NAMES = select(t.runs.c.name).order_by(t.runs.c.id)


def update_member(names: Sequence[str]) -> Any:
    """Set some columns of a member, where it has the lease, or none, that the write carries."""
    lease = _members.token.is_not_distinct_from(bindparam("b_token", type_=_members.token.type))
    columns = {name: bindparam(f"v_{name}", type_=_members[name].type) for name in names}
    return update(t.members).where(*_is(t.members, "run", "member"), lease).values(columns)


FIND_RUN = select(t.runs.c.id).where(*_is(t.runs, "name"))
ADD_RUN = insert(t.runs).values(**_values(t.runs, RUN_ROW), name=bindparam("v_name"), config=bindparam("v_config"))
GET_RUN = select(*_columns(t.runs, RUN_ROW)).where(*_is(t.runs, "id"))
PUT_RUN = update(t.runs).where(*_is(t.runs, "id")).values(**_values(t.runs, RUN_ROW))
GET_CONFIG = select(t.runs.c.config).where(*_is(t.runs, "id"))
PUT_CONFIG = update(t.runs).where(*_is(t.runs, "id")).values(config=bindparam("v_config"))

MEMBERS = _select_member.where(*_is(t.members, "run")).order_by(_members.member)
SIZE = select(func.count()).select_from(t.members).where(*_is(t.members, "run"))
MEMBER = _select_member.where(*_is(t.members, "run", "member"))
HOLDER = _select_member.where(*_is(t.members, "run", "token"))
HELD_BY = _select_member.where(*_is(t.members, "run", "worker"), _members.state == "leased").order_by(_members.member)
LEAST_TRAINED = {False: _claimable(False), True: _claimable(True)}
ASIDE = union_all(
    select(_members.member).where(*_is(t.members, "run"), _members.state == "quarantined"),
    select(_members.member).where(*_is(t.members, "run"), text("role = 'retired'")),  # as in the partial index
)
ANY_ACTIVE = select(_members.member).where(*_is(t.members, "run"), _active).limit(1)
ADD_MEMBER = insert(t.members).values(**_values(t.members, MEMBER_ROW), run=bindparam("b_run"))
_name = bindparam("b_name", type_=_members.start.type)
_reference = select(_members.member).where(*_is(t.members, "run"))
REFERENCED = union_all(
    _reference.where(_members.start == _name, text("origin <> 'continue'")),  # its own start is retained anyway
    _reference.where(_members.kept == _name),
    _reference.where(
        text("(sources <> '[]' OR opponents <> '[]')"),  # to the letter as in the partial index
        or_(_members.sources.contains(_name), _members.opponents.contains(_name)),
    ),
)

_select_interval = select(*_columns(t.intervals, INTERVAL_ROW))
NEXT_INTERVAL = select(func.coalesce(func.max(_intervals.id), 0) + 1)
ADD_INTERVAL = insert(t.intervals).values(
    **_values(t.intervals, INTERVAL_ROW, "id"), run=bindparam("b_run"), touched=bindparam("v_touched")
)
ADD_NUMBERED = insert(t.intervals).values(
    **_values(t.intervals, INTERVAL_ROW), run=bindparam("b_run"), touched=bindparam("v_touched")
)
PUT_INTERVAL = (
    update(t.intervals)
    .where(*_is(t.intervals, "id"))
    .values(**_values(t.intervals, INTERVAL_ROW, "id"), touched=bindparam("v_touched"))
)
INTERVAL = _select_interval.where(*_is(t.intervals, "run", "id"))
OWN_INTERVALS = _select_interval.where(
    *_is(t.intervals, "run", "member"),
    _intervals.interval > bindparam("b_after"),
    _intervals.voided.is_(None),
).order_by(_intervals.interval)
INTERVALS = _select_interval.where(*_is(t.intervals, "run"), _intervals.touched > bindparam("b_since")).order_by(
    _intervals.id
)

ADD_CHECKPOINT = insert(t.checkpoints).values(**_values(t.checkpoints, CHECKPOINT_ROW), run=bindparam("b_run"))
DROP_CHECKPOINT = (
    update(t.checkpoints)
    .where(*_is(t.checkpoints, "run", "name"))
    .values(dropped=bindparam("v_dropped"), inline=null())
)
PIN_CHECKPOINT = update(t.checkpoints).where(*_is(t.checkpoints, "run", "name")).values(pinned=bindparam("v_pinned"))
CHECKPOINT = select(*_columns(t.checkpoints, CHECKPOINT_ROW)).where(*_is(t.checkpoints, "run", "name"))
_no_bytes = case((_checkpoints.inline.is_not(None), literal(b"")), else_=null())
_headers = [_no_bytes if c.name == "inline" else c for c in _columns(t.checkpoints, CHECKPOINT_ROW)]
_select_kept = select(*_headers).where(*_is(t.checkpoints, "run"), _checkpoints.dropped.is_(None))
KEPT = _select_kept.where(*_is(t.checkpoints, "member")).order_by(_checkpoints.interval, _checkpoints.name)
KEPT_ALL = _select_kept
NAMED = select(_checkpoints.name).where(_checkpoints.dropped.is_(None))

ADD_EVENT = insert(t.events).values(**_values(t.events, EVENT_ROW), run=bindparam("b_run"))
EVENTS = (
    select(*_columns(t.events, EVENT_ROW))
    .where(*_is(t.events, "run"), t.events.c.revision > bindparam("b_since"))
    .order_by(t.events.c.id)
)
WARNINGS = select(t.events.c.body).where(*_is(t.events, "run"), t.events.c.kind == "warning")
ADD_WORKER = insert(t.workers).values(**_values(t.workers, WORKER_ROW), run=bindparam("b_run"))
PUT_WORKER = update(t.workers).where(*_is(t.workers, "run", "worker")).values(**_values(t.workers, WORKER_ROW))
# One that was given up and came back is known again by the lease that it holds.
_holders = select(_members.worker).where(*_is(t.members, "run"), _members.state == "leased")
WORKERS = select(*_columns(t.workers, WORKER_ROW)).where(
    *_is(t.workers, "run"), or_(~t.workers.c.left, t.workers.c.worker.in_(_holders))
)
