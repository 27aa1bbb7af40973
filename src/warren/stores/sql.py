"""Rows of one run in SQL tables: each query is compiled once and run on the driver's own cursor.

Running a compiled text on the driver costs a tenth of running the statement through an engine, and a report is some
fifteen statements.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy.engine import Dialect

from warren.errors import StaleLease, StoreError
from warren.population import CheckpointRow, EventRow, IntervalRow, MemberRow, RunRow, WorkerRow, changed
from warren.stores import queries as q
from warren.stores.schema import Codec
from warren.values import Json, canonical


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
        self._picks: dict[Any, Callable[[dict[str, Any]], tuple[Any, ...]]] = {}
        self._name = name
        self._id: int | None = None
        self._unsure = False
        self._members: dict[int, MemberRow] = {}
        self._added: dict[int, IntervalRow] = {}
        self._updates: dict[tuple[str, ...], Any] = {}
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
            self._do(q.PUT_RUN, b_id=self._key(), **q.RUN_ROW.dump(self._run))
            self._dirty = False

    def _text(self, statement: Any) -> tuple[str, dict[str, Any], tuple[str, ...]]:
        known = self._compiled.get(statement)
        if known is None:
            compiled: Any = statement.compile(dialect=self._dialect)
            fixed = {name: value for name, value in compiled.params.items() if value is not None}
            known = self._compiled[statement] = (str(compiled), fixed, tuple(compiled.positiontup))
        return known

    def _do(self, statement: Any, **parameters: Any) -> Any:
        words, fixed, order = self._text(statement)
        values = {**fixed, **parameters}
        self._cursor.execute(words, [values[name] for name in order])
        return self._cursor

    def _do_all(self, statement: Any, parameters: Iterable[dict[str, Any]]) -> Any:
        """Carry out one statement many times; `rowcount` is the sum.

        Columns are given by their own names, as `Codec.texts` gives them; what a WHERE compares with as ``b_<name>``.
        """
        words, fixed, order = self._text(statement)
        given = {**fixed, "b_run": self._key()}
        pick = self._picks.get(statement)
        if pick is None:
            pick = self._picks[statement] = itemgetter(*(name.removeprefix("v_") for name in order))
        self._cursor.executemany(words, [pick(given | one) for one in parameters])
        return self._cursor

    def _member(self, statement: Any, **parameters: Any) -> MemberRow | None:
        row: MemberRow | None = self._one(q.MEMBER_ROW, statement, b_run=self._key(), **parameters)
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
            found = self._do(q.FIND_RUN, b_name=self._name).fetchone()
            self._id = None if found is None else int(found[0])
        return self._id

    def _key(self) -> int:
        key = self._find()
        if key is None:
            raise StoreError(f"there is no run {self._name!r} in this store")
        return key

    def names(self) -> list[str]:
        """Names of all runs in the database, the oldest first."""
        return [name for (name,) in self._do(q.NAMES).fetchall()]

    # -- run ----------------------------------------------------------------------------------------------------

    def exists(self) -> bool:
        return self._find() is not None

    def create(self, row: RunRow, config: Json) -> bool:
        self._unsure = True
        self._do(q.ADD_RUN, v_name=self._name, v_config=canonical(config), **q.RUN_ROW.dump(row))
        return True

    def run(self) -> RunRow:
        if self._run is None:
            self._run = self._one(q.RUN_ROW, q.GET_RUN, b_id=self._key())
        return self._run

    def put_run(self, row: RunRow) -> None:
        self._run, self._dirty = row, True

    def config(self) -> Json:
        config: Json = json.loads(self._do(q.GET_CONFIG, b_id=self._key()).fetchone()[0])
        return config

    def put_config(self, config: Json) -> None:
        self._do(q.PUT_CONFIG, b_id=self._key(), v_config=canonical(config))

    # -- members ------------------------------------------------------------------------------------------------

    def members(self) -> list[MemberRow]:
        return self._all(q.MEMBER_ROW, q.MEMBERS, b_run=self._key())

    def size(self) -> int:
        """How many members there are."""
        return int(self._do(q.SIZE, b_run=self._key()).fetchone()[0])

    def member(self, member: int) -> MemberRow | None:
        return self._member(q.MEMBER, b_member=member)

    def holder(self, token: str) -> MemberRow | None:
        return self._member(q.HOLDER, b_token=token)

    def held_by(self, worker: str) -> list[MemberRow]:
        return self._all(q.MEMBER_ROW, q.HELD_BY, b_run=self._key(), b_worker=worker)

    def put_member(self, row: MemberRow, token: str | None) -> None:
        # Only what has changed is set: SQLite writes an index for every column that an UPDATE names.
        old = self._members.get(row.member)
        names = (
            tuple(n for n in q.MEMBER_ROW.names if n != "member")
            if old is None
            else q.MEMBER_ROW.differing(old, row) or ("revision",)
        )
        values = q.MEMBER_ROW.dump(row, names)
        done = self._do(self._update(names), b_run=self._key(), b_member=row.member, b_token=token, **values)
        if done.rowcount != 1:
            raise StaleLease(f"member {row.member} is not held under the lease that the write carries")
        self._members[row.member] = row

    def _update(self, names: tuple[str, ...]) -> Any:
        statement = self._updates.get(names)
        if statement is None:
            statement = self._updates[names] = q.update_member(names)
        return statement

    def add_member(self, row: MemberRow) -> None:
        self._do(q.ADD_MEMBER, b_run=self._key(), **q.MEMBER_ROW.dump(row))

    def claimable(self, synchronous: bool) -> Iterator[MemberRow]:
        while (row := self._member(q.LEAST_TRAINED[synchronous])) is not None:
            yield row

    def aside(self) -> frozenset[int]:
        return frozenset(member for (member,) in self._do(q.ASIDE, b_run=self._key()).fetchall())

    def active(self) -> bool:
        return self._do(q.ANY_ACTIVE, b_run=self._key()).fetchone() is not None

    # -- intervals ----------------------------------------------------------------------------------------------

    def add_interval(self, row: IntervalRow) -> IntervalRow:
        done = self._do(q.ADD_INTERVAL, b_run=self._key(), **_interval_values(row))
        row = changed(row, id=int(done.lastrowid))
        self._added[row.id] = row
        return row

    def put_interval(self, row: IntervalRow) -> None:
        self._added.pop(row.id, None)
        self._do(q.PUT_INTERVAL, b_id=row.id, **_interval_values(row))

    def interval(self, id: int) -> IntervalRow | None:
        row: IntervalRow | None = self._one(q.INTERVAL_ROW, q.INTERVAL, b_run=self._key(), b_id=id)
        return row

    def own_intervals(self, member: int, after: int) -> list[IntervalRow]:
        return self._all(q.INTERVAL_ROW, q.OWN_INTERVALS, b_run=self._key(), b_member=member, b_after=after)

    def intervals(self, since: int) -> list[IntervalRow]:
        found = self._do(q.INTERVALS, b_run=self._key(), b_since=since).fetchall()
        return [self._added.get(values[0]) or q.INTERVAL_ROW.load(values) for values in found]

    # -- checkpoints --------------------------------------------------------------------------------------------

    def add_checkpoint(self, row: CheckpointRow) -> None:
        self._do(q.ADD_CHECKPOINT, b_run=self._key(), **q.CHECKPOINT_ROW.dump(row))

    def put_checkpoint(self, row: CheckpointRow) -> None:
        """Only `dropped` and `pinned` of a checkpoint ever change."""
        if row.dropped is not None:
            self._do(q.DROP_CHECKPOINT, b_run=self._key(), b_name=row.name, v_dropped=row.dropped)
        else:
            self._do(q.PIN_CHECKPOINT, b_run=self._key(), b_name=row.name, v_pinned=row.pinned)

    def checkpoint(self, name: str) -> CheckpointRow | None:
        row: CheckpointRow | None = self._one(q.CHECKPOINT_ROW, q.CHECKPOINT, b_run=self._key(), b_name=name)
        return row

    def kept(self, member: int | None) -> list[CheckpointRow]:
        if member is None:
            found = self._do(q.KEPT_ALL, b_run=self._key())
        else:
            found = self._do(q.KEPT, b_run=self._key(), b_member=member)
        return [q.CHECKPOINT_ROW.load(values) for values in found.fetchall()]

    def named(self) -> set[str]:
        return {name for (name,) in self._do(q.NAMED).fetchall()}

    def referenced(self, name: str) -> bool:
        return self._do(q.REFERENCED, b_run=self._key(), b_name=name).fetchone() is not None

    # -- many at once -------------------------------------------------------------------------------------------

    def next_interval(self) -> int:
        return int(self._do(q.NEXT_INTERVAL).fetchone()[0])

    def put_members(self, rows: Sequence[tuple[MemberRow, MemberRow]]) -> None:
        alike: dict[tuple[str, ...], list[dict[str, Any]]] = {}
        for old, row in rows:
            names = q.MEMBER_ROW.differing(old, row) or ("revision",)
            values = q.MEMBER_ROW.texts(row, names)
            values.update(b_member=row.member, b_token=old.token)
            alike.setdefault(names, []).append(values)
        for names, many in alike.items():
            if self._do_all(self._update(names), many).rowcount != len(many):
                raise StaleLease("a member is not held under the lease that the write carries")

    def add_members(self, rows: Iterable[MemberRow]) -> None:
        self._do_all(q.ADD_MEMBER, map(q.MEMBER_ROW.texts, rows))

    def add_intervals(self, rows: Iterable[IntervalRow]) -> None:
        self._do_all(q.ADD_NUMBERED, ({**q.INTERVAL_ROW.texts(row), "touched": _touched(row)} for row in rows))

    def put_intervals(self, rows: Iterable[IntervalRow]) -> None:
        given = ({**q.INTERVAL_ROW.texts(row), "touched": _touched(row), "b_id": row.id} for row in rows)
        self._do_all(q.PUT_INTERVAL, given)

    def add_checkpoints(self, rows: Iterable[CheckpointRow]) -> None:
        self._do_all(q.ADD_CHECKPOINT, map(q.CHECKPOINT_ROW.texts, rows))

    def put_checkpoints(self, rows: Collection[CheckpointRow]) -> None:
        gone, left = (row for row in rows if row.dropped is not None), (row for row in rows if row.dropped is None)
        self._do_all(q.DROP_CHECKPOINT, ({"b_name": row.name, "dropped": row.dropped} for row in gone))
        self._do_all(q.PIN_CHECKPOINT, ({"b_name": row.name, "pinned": row.pinned} for row in left))

    def add_events(self, rows: Iterable[EventRow]) -> None:
        self._do_all(q.ADD_EVENT, map(q.EVENT_ROW.texts, rows))

    # -- events and workers -------------------------------------------------------------------------------------

    def add_event(self, row: EventRow) -> None:
        self._do(q.ADD_EVENT, b_run=self._key(), **q.EVENT_ROW.dump(row))

    def warned(self, body: Json) -> bool:
        known = self._do(q.WARNINGS, b_run=self._key()).fetchall()
        return any(canonical(json.loads(words)) == canonical(body) for (words,) in known)

    def events(self, since: int) -> list[EventRow]:
        return self._all(q.EVENT_ROW, q.EVENTS, b_run=self._key(), b_since=since)

    def put_worker(self, row: WorkerRow) -> None:
        values = q.WORKER_ROW.dump(row)
        if self._do(q.PUT_WORKER, b_run=self._key(), b_worker=row.worker, **values).rowcount == 0:
            self._do(q.ADD_WORKER, b_run=self._key(), **values)

    def workers(self) -> list[WorkerRow]:
        return self._all(q.WORKER_ROW, q.WORKERS, b_run=self._key())


def _interval_values(row: IntervalRow) -> dict[str, Any]:
    return {**q.INTERVAL_ROW.dump(row), "v_touched": _touched(row)}


def _touched(row: IntervalRow) -> int:
    return max(row.revision, row.scored or 0, row.voided or 0, row.lost or 0)
