"""Rows of one run in SQL tables: the queries, each written once, compiled once and run on the driver's own cursor.

Running a compiled text on the driver costs a tenth of running the statement through an engine, and a report is some
fifteen statements.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table, bindparam, func, insert, null, or_, select, text, union_all, update
from sqlalchemy.engine import Dialect

from warren.errors import StaleLease, StoreError
from warren.population import CheckpointRow, EventRow, IntervalRow, MemberRow, RunRow, WorkerRow, changed
from warren.stores import schema as t
from warren.stores.schema import Codec
from warren.values import Json, canonical

_RUN, _MEMBER, _INTERVAL = Codec(RunRow), Codec(MemberRow), Codec(IntervalRow)
_CHECKPOINT, _EVENT, _WORKER = Codec(CheckpointRow), Codec(EventRow), Codec(WorkerRow)


def _columns(table: Table, codec: Codec) -> list[Any]:
    return [table.c[name] for name in codec.names]


def _values(table: Table, codec: Codec, *without: str) -> dict[str, Any]:
    """Every column bound to a parameter ``v_<name>``, so that a WHERE may bind the same name."""
    return {name: bindparam(f"v_{name}", type_=table.c[name].type) for name in codec.names if name not in without}


def _is(table: Table, *names: str) -> list[Any]:
    return [table.c[name] == bindparam(f"b_{name}", type_=table.c[name].type) for name in names]


_members, _intervals, _checkpoints = t.members.c, t.intervals.c, t.checkpoints.c
_select_member = select(*_columns(t.members, _MEMBER))
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


def _update_member(names: Sequence[str], waiting: bool) -> Any:
    """Set some columns of a member, where its lease is the one that the write carries."""
    lease = [_members.token.is_(None)] if waiting else _is(t.members, "token")
    columns = {name: bindparam(f"v_{name}", type_=_members[name].type) for name in names}
    return update(t.members).where(*_is(t.members, "run", "member"), *lease).values(columns)


FIND_RUN = select(t.runs.c.id).where(*_is(t.runs, "name"))
ADD_RUN = insert(t.runs).values(**_values(t.runs, _RUN), name=bindparam("v_name"), config=bindparam("v_config"))
GET_RUN = select(*_columns(t.runs, _RUN)).where(*_is(t.runs, "id"))
PUT_RUN = update(t.runs).where(*_is(t.runs, "id")).values(**_values(t.runs, _RUN))
GET_CONFIG = select(t.runs.c.config).where(*_is(t.runs, "id"))
PUT_CONFIG = update(t.runs).where(*_is(t.runs, "id")).values(config=bindparam("v_config"))

MEMBERS = _select_member.where(*_is(t.members, "run")).order_by(_members.member)
MEMBER = _select_member.where(*_is(t.members, "run", "member"))
HOLDER = _select_member.where(*_is(t.members, "run", "token"))
HELD_BY = _select_member.where(*_is(t.members, "run", "worker"), _members.state == "leased")
LEAST_TRAINED = {False: _claimable(False), True: _claimable(True)}
QUARANTINED = select(_members.member).where(*_is(t.members, "run"), _members.state == "quarantined")
ANY_ACTIVE = select(_members.member).where(*_is(t.members, "run"), _active).limit(1)
ADD_MEMBER = insert(t.members).values(**_values(t.members, _MEMBER), run=bindparam("b_run"))
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

_select_interval = select(*_columns(t.intervals, _INTERVAL))
ADD_INTERVAL = insert(t.intervals).values(
    **_values(t.intervals, _INTERVAL, "id"), run=bindparam("b_run"), touched=bindparam("v_touched")
)
PUT_INTERVAL = (
    update(t.intervals)
    .where(*_is(t.intervals, "id"))
    .values(**_values(t.intervals, _INTERVAL, "id"), touched=bindparam("v_touched"))
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

ADD_CHECKPOINT = insert(t.checkpoints).values(**_values(t.checkpoints, _CHECKPOINT), run=bindparam("b_run"))
DROP_CHECKPOINT = (
    update(t.checkpoints)
    .where(*_is(t.checkpoints, "run", "name"))
    .values(dropped=bindparam("v_dropped"), inline=null())
)
PIN_CHECKPOINT = update(t.checkpoints).where(*_is(t.checkpoints, "run", "name")).values(pinned=bindparam("v_pinned"))
CHECKPOINT = select(*_columns(t.checkpoints, _CHECKPOINT)).where(*_is(t.checkpoints, "run", "name"))
_headers = [c for c in _columns(t.checkpoints, _CHECKPOINT) if c.name != "inline"]
_is_inline = _checkpoints.inline.is_not(None)
_select_kept = select(*_headers, _is_inline).where(*_is(t.checkpoints, "run"), _checkpoints.dropped.is_(None))
KEPT = _select_kept.where(*_is(t.checkpoints, "member"))
KEPT_ALL = _select_kept
NAMED = select(_checkpoints.name).where(_checkpoints.dropped.is_(None))

ADD_EVENT = insert(t.events).values(**_values(t.events, _EVENT), run=bindparam("b_run"))
EVENTS = (
    select(*_columns(t.events, _EVENT))
    .where(*_is(t.events, "run"), t.events.c.revision > bindparam("b_since"))
    .order_by(t.events.c.id)
)
WARNINGS = select(t.events.c.body).where(*_is(t.events, "run"), t.events.c.kind == "warning")
ADD_WORKER = insert(t.workers).values(**_values(t.workers, _WORKER), run=bindparam("b_run"))
PUT_WORKER = update(t.workers).where(*_is(t.workers, "run", "worker")).values(**_values(t.workers, _WORKER))
# One that was given up and came back is known again by the lease that it holds.
_holders = select(_members.worker).where(*_is(t.members, "run"), _members.state == "leased")
WORKERS = select(*_columns(t.workers, _WORKER)).where(
    *_is(t.workers, "run"), or_(~t.workers.c.left, t.workers.c.worker.in_(_holders))
)


class SqlRows:
    """The rows of one run over an open connection; the run's own row is written once, when the block ends.

    Args:
        cursor: Of the driver, PEP 249; inside a transaction whenever this is used.
        dialect: Of the driver, with positional parameters: drivers bind them faster than names.
        name: Name of the run.
    """

    def __init__(self, cursor: Any, dialect: Dialect, name: str) -> None:
        self._cursor = cursor
        self._dialect = dialect
        self._compiled: dict[Any, tuple[str, dict[str, Any], tuple[str, ...]]] = {}
        self._name = name
        self._id: int | None = None
        self._unsure = False
        self._members: dict[int, MemberRow] = {}
        self._added: dict[int, IntervalRow] = {}
        self._updates: dict[tuple[tuple[str, ...], bool], Any] = {}
        self._run: RunRow | None = None
        self._dirty = False

    def begin(self) -> None:
        """Forget what an earlier transaction read."""
        self._run, self._dirty = None, False
        self._members.clear()
        self._added.clear()
        self._id = None if self._unsure else self._id  # a run that was made and rolled back is not there
        self._unsure = False

    def flush(self) -> None:
        """Write what is held back until the end."""
        if self._dirty:
            self._do(PUT_RUN, b_id=self._key(), **_RUN.dump(self._run))
            self._dirty = False

    def _do(self, statement: Any, **parameters: Any) -> Any:
        known = self._compiled.get(statement)
        if known is None:
            compiled: Any = statement.compile(dialect=self._dialect)
            fixed = {name: value for name, value in compiled.params.items() if value is not None}
            known = self._compiled[statement] = (str(compiled), fixed, tuple(compiled.positiontup))
        words, fixed, order = known
        values = {**fixed, **parameters}
        self._cursor.execute(words, [values[name] for name in order])
        return self._cursor

    def _member(self, statement: Any, **parameters: Any) -> MemberRow | None:
        row: MemberRow | None = self._one(_MEMBER, statement, b_run=self._key(), **parameters)
        if row is not None:
            self._members[row.member] = row
        return row

    def _all(self, codec: Codec, statement: Any, **parameters: Any) -> list[Any]:
        return [codec.load(values) for values in self._do(statement, **parameters).fetchall()]

    def _one(self, codec: Codec, statement: Any, **parameters: Any) -> Any:
        values = self._do(statement, **parameters).fetchone()
        return None if values is None else codec.load(values)

    def _find(self) -> int | None:
        if self._id is None:
            found = self._do(FIND_RUN, b_name=self._name).fetchone()
            self._id = None if found is None else int(found[0])
        return self._id

    def _key(self) -> int:
        key = self._find()
        if key is None:
            raise StoreError(f"there is no run {self._name!r} in this store")
        return key

    def names(self) -> list[str]:
        """Names of all runs in the database, the oldest first."""
        return [name for (name,) in self._do(NAMES).fetchall()]

    # -- run ----------------------------------------------------------------------------------------------------

    def exists(self) -> bool:
        return self._find() is not None

    def create(self, row: RunRow, config: Json) -> bool:
        self._unsure = True
        self._do(ADD_RUN, v_name=self._name, v_config=canonical(config), **_RUN.dump(row))
        return True

    def run(self) -> RunRow:
        if self._run is None:
            self._run = self._one(_RUN, GET_RUN, b_id=self._key())
        return self._run

    def put_run(self, row: RunRow) -> None:
        self._run, self._dirty = row, True

    def config(self) -> Json:
        config: Json = json.loads(self._do(GET_CONFIG, b_id=self._key()).fetchone()[0])
        return config

    def put_config(self, config: Json) -> None:
        self._do(PUT_CONFIG, b_id=self._key(), v_config=canonical(config))

    # -- members ------------------------------------------------------------------------------------------------

    def members(self) -> list[MemberRow]:
        return self._all(_MEMBER, MEMBERS, b_run=self._key())

    def member(self, member: int) -> MemberRow | None:
        return self._member(MEMBER, b_member=member)

    def holder(self, token: str) -> MemberRow | None:
        return self._member(HOLDER, b_token=token)

    def held_by(self, worker: str) -> list[MemberRow]:
        return self._all(_MEMBER, HELD_BY, b_run=self._key(), b_worker=worker)

    def put_member(self, row: MemberRow, token: str | None) -> None:
        # Only what has changed is set: SQLite writes an index for every column that an UPDATE names.
        old = self._members.get(row.member)
        names = (
            tuple(n for n in _MEMBER.names if n != "member")
            if old is None
            else _MEMBER.differing(old, row) or ("revision",)
        )
        statement = self._updates.get((names, token is None))
        if statement is None:
            statement = self._updates[names, token is None] = _update_member(names, token is None)
        values = _MEMBER.dump(row, names)
        if token is not None:
            values["b_token"] = token
        if self._do(statement, b_run=self._key(), b_member=row.member, **values).rowcount != 1:
            raise StaleLease(f"member {row.member} is not held under the lease that the write carries")
        self._members[row.member] = row

    def add_member(self, row: MemberRow) -> None:
        self._do(ADD_MEMBER, b_run=self._key(), **_MEMBER.dump(row))

    def least_trained(self, synchronous: bool) -> MemberRow | None:
        return self._member(LEAST_TRAINED[synchronous])

    def quarantined(self) -> frozenset[int]:
        return frozenset(member for (member,) in self._do(QUARANTINED, b_run=self._key()).fetchall())

    def active(self) -> bool:
        return self._do(ANY_ACTIVE, b_run=self._key()).fetchone() is not None

    # -- intervals ----------------------------------------------------------------------------------------------

    def _interval_values(self, row: IntervalRow) -> dict[str, Any]:
        values = _INTERVAL.dump(row)
        del values["v_id"]
        values["v_touched"] = max(row.revision, row.scored or 0, row.voided or 0, row.lost or 0)
        return values

    def add_interval(self, row: IntervalRow) -> IntervalRow:
        done = self._do(ADD_INTERVAL, b_run=self._key(), **self._interval_values(row))
        row = changed(row, id=int(done.lastrowid))
        self._added[row.id] = row
        return row

    def put_interval(self, row: IntervalRow) -> None:
        self._added.pop(row.id, None)
        self._do(PUT_INTERVAL, b_id=row.id, **self._interval_values(row))

    def interval(self, id: int) -> IntervalRow | None:
        row: IntervalRow | None = self._one(_INTERVAL, INTERVAL, b_run=self._key(), b_id=id)
        return row

    def own_intervals(self, member: int, after: int) -> list[IntervalRow]:
        return self._all(_INTERVAL, OWN_INTERVALS, b_run=self._key(), b_member=member, b_after=after)

    def intervals(self, since: int) -> list[IntervalRow]:
        found = self._do(INTERVALS, b_run=self._key(), b_since=since).fetchall()
        return [self._added.get(values[0]) or _INTERVAL.load(values) for values in found]

    # -- checkpoints --------------------------------------------------------------------------------------------

    def add_checkpoint(self, row: CheckpointRow) -> None:
        self._do(ADD_CHECKPOINT, b_run=self._key(), **_CHECKPOINT.dump(row))

    def put_checkpoint(self, row: CheckpointRow) -> None:
        """Only `dropped` and `pinned` of a checkpoint ever change."""
        if row.dropped is not None:
            self._do(DROP_CHECKPOINT, b_run=self._key(), b_name=row.name, v_dropped=row.dropped)
        else:
            self._do(PIN_CHECKPOINT, b_run=self._key(), b_name=row.name, v_pinned=row.pinned)

    def checkpoint(self, name: str) -> CheckpointRow | None:
        row: CheckpointRow | None = self._one(_CHECKPOINT, CHECKPOINT, b_run=self._key(), b_name=name)
        return row

    def kept(self, member: int | None) -> list[CheckpointRow]:
        if member is None:
            found = self._do(KEPT_ALL, b_run=self._key())
        else:
            found = self._do(KEPT, b_run=self._key(), b_member=member)
        names = [c.name for c in _headers]
        rows = []
        for *values, inline in found.fetchall():
            rows.append(CheckpointRow(**dict(zip(names, values, strict=True)), inline=b"" if inline else None))
        return rows

    def named(self) -> set[str]:
        return {name for (name,) in self._do(NAMED).fetchall()}

    def referenced(self, name: str) -> bool:
        return self._do(REFERENCED, b_run=self._key(), b_name=name).fetchone() is not None

    # -- events and workers -------------------------------------------------------------------------------------

    def add_event(self, row: EventRow) -> None:
        self._do(ADD_EVENT, b_run=self._key(), **_EVENT.dump(row))

    def warned(self, body: Json) -> bool:
        known = self._do(WARNINGS, b_run=self._key()).fetchall()
        return any(canonical(json.loads(words)) == canonical(body) for (words,) in known)

    def events(self, since: int) -> list[EventRow]:
        return self._all(_EVENT, EVENTS, b_run=self._key(), b_since=since)

    def put_worker(self, row: WorkerRow) -> None:
        values = _WORKER.dump(row)
        if self._do(PUT_WORKER, b_run=self._key(), b_worker=row.worker, **values).rowcount == 0:
            self._do(ADD_WORKER, b_run=self._key(), **values)

    def workers(self) -> list[WorkerRow]:
        return self._all(_WORKER, WORKERS, b_run=self._key())
