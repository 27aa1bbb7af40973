"""The tables of every SQL store, and rows to and from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from warren.population import CheckpointRow, EventRow, IntervalRow, MemberRow, RunRow, WorkerRow

SCHEMA_VERSION = 3

metadata = MetaData()

schema = Table("warren_schema", metadata, Column("version", Integer, primary_key=True))

runs = Table(
    "runs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("config", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("revision", Integer, nullable=False),
    Column("goal", Text, nullable=False),
    Column("synchronous", Boolean, nullable=False),
    Column("limit", Integer, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("stop", Text),
    Column("total", Integer, nullable=False),
    Column("best", Integer),
    Column("best_score", Float),
    Column("best_checkpoint", Text),
    Column("improved", Integer, nullable=False),
    Column("improved_score", Float),
    Column("elapsed", Float, nullable=False),
    Column("longest", Float, nullable=False, server_default="0"),
    Column("memory", Text),
    Column("memory_version", Integer, nullable=False),
)


def _run() -> Column[Any]:
    return Column("run", Integer, ForeignKey("runs.id"), nullable=False, primary_key=True)


members = Table(
    "members",
    metadata,
    _run(),
    Column("member", Integer, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("group", Text, nullable=False),
    Column("budget", Integer, nullable=False),
    Column("age", Integer, nullable=False),
    Column("due", Integer, nullable=False),
    Column("hold", Integer),
    Column("hyperparameters", Text, nullable=False),
    Column("start", Text),
    Column("saved", Integer, nullable=False),
    Column("parents", Text, nullable=False),
    Column("last", Integer),
    Column("origin", Text, nullable=False),
    Column("kept", Text),
    Column("via", Text, nullable=False),
    Column("sources", Text, nullable=False),
    Column("opponents", Text, nullable=False),
    Column("birth", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("token", Text, unique=True),
    Column("worker", Text),
    Column("next", Text),
    Column("tag", Text),
    Column("error", Text),
    Column("revision", Integer, nullable=False),
    CheckConstraint("(state = 'leased') = (token IS NOT NULL)", name="leased_has_token"),
    Index("members_queue", "run", "state", "budget", "member"),
    Index(
        "members_start",
        "run",
        "start",
        sqlite_where=text("origin <> 'continue'"),
        postgresql_where=text("origin <> 'continue'"),
    ),
    Index(
        "members_kept",
        "run",
        "kept",
        sqlite_where=text("kept IS NOT NULL"),
        postgresql_where=text("kept IS NOT NULL"),
    ),
    Index(
        "members_retired",
        "run",
        "member",
        sqlite_where=text("role = 'retired'"),
        postgresql_where=text("role = 'retired'"),
    ),
    Index(
        "members_combined",
        "run",
        sqlite_where=text("sources <> '[]' OR opponents <> '[]'"),
        postgresql_where=text("sources <> '[]' OR opponents <> '[]'"),
    ),
)

intervals = Table(
    "intervals",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run", Integer, ForeignKey("runs.id"), nullable=False),
    Column("member", Integer, nullable=False),
    Column("interval", Integer, nullable=False),
    Column("age", Integer, nullable=False),
    Column("birth", Integer, nullable=False),
    Column("parents", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("via", Text),
    Column("hyperparameters", Text, nullable=False),
    Column("score", Float),
    Column("status", Text, nullable=False),
    Column("before", Float),
    Column("samples", Text),
    Column("curve", Text),
    Column("metrics", Text, nullable=False),
    Column("cost", Float, nullable=False),
    Column("opponents", Text, nullable=False, server_default="[]"),
    Column("results", Text),
    Column("checkpoint", Text),
    Column("boundary", Boolean, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("overhead", Float, nullable=False),
    Column("worker", Text, nullable=False),
    Column("seen", Integer),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("kept", Text),
    Column("group", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("tag", Text),
    Column("revision", Integer, nullable=False),
    Column("scored", Integer),
    Column("voided", Integer),
    Column("lost", Integer),
    # The newest of revision, scored, voided and lost: what a worker that knows a revision asks by.
    Column("touched", Integer, nullable=False),
    CheckConstraint("(status = 'ok') = (score IS NOT NULL)", name="ok_has_score"),
    Index("intervals_touched", "run", "touched"),
    Index(
        "intervals_dense",
        "run",
        "member",
        "interval",
        unique=True,
        sqlite_where=text("voided IS NULL"),
        postgresql_where=text("voided IS NULL"),
    ),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    _run(),
    Column("name", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("inline", LargeBinary),
    Column("member", Integer),
    Column("interval", Integer, nullable=False),
    Column("age", Integer, nullable=False),
    Column("source", Integer, ForeignKey("intervals.id")),
    Column("boundary", Boolean, nullable=False),
    Column("pinned", Boolean, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("dropped", Integer),
    Index(
        "checkpoints_kept",
        "run",
        "member",
        sqlite_where=text("dropped IS NULL"),
        postgresql_where=text("dropped IS NULL"),
    ),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run", Integer, ForeignKey("runs.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("member", Integer),
    Column("body", Text),
    Column("revision", Integer, nullable=False),
    Index("events_revision", "run", "revision"),
)

workers = Table(
    "workers",
    metadata,
    _run(),
    Column("worker", Text, primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("beat", Integer, nullable=False),
    Column("gpu", Text),
    Column("left", Boolean, nullable=False),
    UniqueConstraint("run", "worker"),
)

Row = TypeVar("Row", RunRow, MemberRow, IntervalRow, CheckpointRow, EventRow, WorkerRow)

_dumps = json.JSONEncoder(separators=(",", ":")).encode

_JSON: Mapping[type, frozenset[str]] = {
    RunRow: frozenset({"stop", "memory"}),
    MemberRow: frozenset({"hyperparameters", "next", "tag"}),
    IntervalRow: frozenset({"hyperparameters", "metrics", "results", "tag"}),
    CheckpointRow: frozenset(),
    EventRow: frozenset({"body"}),
    WorkerRow: frozenset(),
}
_TUPLES: Mapping[type, frozenset[str]] = {
    MemberRow: frozenset({"parents", "sources", "opponents"}),
    IntervalRow: frozenset({"parents", "samples", "curve", "opponents"}),
}


class Codec:
    """Rows of one kind to the parameters of a statement, and back from its result.

    A report writes and reads a dozen rows, so both ways go around the constructors of the dataclasses.

    Args:
        kind: The dataclass.
    """

    def __init__(self, kind: type[Any]) -> None:
        self._kind = kind
        self.names = tuple(f.name for f in fields(kind))
        self._encoded = _JSON[kind] | _TUPLES.get(kind, frozenset())
        decoders: dict[str, Callable[[Any], Any]] = dict.fromkeys(_JSON[kind], json.loads)
        decoders.update(dict.fromkeys(_TUPLES.get(kind, ()), _tuple))
        decoders.update({f.name: bool for f in fields(kind) if f.type in ("bool", bool)})  # SQLite has 0 and 1
        self._decoders = tuple(decoders.items())

    def dump(self, row: Any, names: Sequence[str] | None = None) -> dict[str, Any]:
        """The row, or some fields of it, as parameters called ``v_<column>``."""
        values = self.texts(row, names)
        return {f"v_{name}": values[name] for name in (self.names if names is None else names)}

    def texts(self, row: Any, names: Sequence[str] | None = None) -> dict[str, Any]:
        """The row by field, where every field, or each of some, is as its column holds it."""
        body: dict[str, Any] = row.__dict__.copy()
        for name in self._encoded if names is None else names:
            value = body[name]
            if value is not None and name in self._encoded:
                body[name] = _text(value)
        return body

    def differing(self, old: Any, new: Any) -> tuple[str, ...]:
        """Names of the fields in which two rows differ, in the order of `names`."""
        before, after = old.__dict__, new.__dict__
        return tuple(name for name in self.names if before[name] is not after[name] and before[name] != after[name])

    def load(self, values: Any) -> Any:
        """The row of values that were selected in the order of `names`."""
        body = dict(zip(self.names, values, strict=True))
        for name, decode in self._decoders:
            value = body[name]
            if value is not None:
                body[name] = decode(value)
        row = object.__new__(self._kind)
        row.__dict__.update(body)
        return row


def _text(value: Any) -> str:
    if type(value) is tuple and len(value) < 2:  # parents are many, and encoding them costs more than storing them
        if not value:
            return "[]"
        if type(value[0]) is int:
            return f"[{value[0]}]"
    return _dumps(value)


def _tuple(value: str) -> tuple[Any, ...]:
    if value == "[]":
        return ()
    return tuple(tuple(part) if isinstance(part, list) else part for part in json.loads(value))
