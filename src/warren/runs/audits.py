"""A finished or unfinished run held against its own record."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from warren import audit
from warren.audit import Replay, Retraced, Step
from warren.checkpoints import LocalCheckpoints
from warren.engines import Entry, Loaded
from warren.errors import InvalidValue, RunFailed, StoreError
from warren.population import IntervalRow
from warren.runs.opening import Opened, config_of, open_store, recorded_to_read
from warren.state import Tree
from warren.training.record import settings_of
from warren.values import Json


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What was found when all of a store was read.

    Attributes:
        problems: One line for each thing that is wrong; empty where all is well.
        intervals: How many there are.
        checkpoints: How many are kept; each was read and compared with its digest.
        size: Bytes of these.
        damaged: Names of the checkpoints that cannot be loaded whole, each with what is wrong with it.
    """

    problems: tuple[str, ...]
    intervals: int
    checkpoints: int
    size: int
    damaged: dict[str, str]

    def __str__(self) -> str:
        what = f"{self.intervals} intervals, {self.checkpoints} checkpoints of {self.size / 2**20:.1f} MiB"
        return f"sound: {what}" if not self.problems else f"{len(self.problems)} problems among {what}"


def replay(store: str | os.PathLike[str], name: str = "default") -> Replay:
    """Take every decision of a run again, from what was known when it was taken, and compare.

    Args:
        store: The run's SQLite file. It is only read.
        name: Name of the run in it.

    Raises:
        StoreError: There is no such store or run.
        InvalidValue: The strategy cannot be found by its name.
    """
    opened = open_store(store, name, create=False)
    try:
        config = config_of(opened)
        entry = Entry.load(config["entry"])
        # A strategy that is warren's own in all its parts needs none of the user's code.
        own = all(name.startswith("warren.") for name in _names_in(config["strategy"]))
        loaded = Loaded(Entry(kind="parcel") if own else entry)
        return audit.replay(opened.store, settings_of(config, loaded.find()))
    finally:
        opened.store.close()


def retrace(
    store: str | os.PathLike[str],
    *,
    name: str = "default",
    member: int | None = None,
    interval: int | None = None,
    observe: Callable[[Step, int], None] = lambda step, left: None,
) -> Retraced:
    """Train the lineage of a state again, alone, and compare every score and state with what the run recorded.

    The training function is loaded from the file that the run names. Digests depend on the threads that frameworks
    use: the command ``warren retrace`` sets those of the run, a call from Python takes those of its process.

    Args:
        store: The run's SQLite file. It is only read.
        name: Name of the run in it.
        member: Whose state is wanted; by default the best state of the run.
        interval: At which interval; by default the member's newest state that was saved.
        observe: Called after each interval, with how many are left.

    Raises:
        StoreError: There is no such store or run.
        InvalidValue: There is no such state, or the record has lost part of its lineage.
        RunFailed: The run has no best state yet.
    """
    opened, _, loaded, settings = recorded_to_read(store, name)
    try:
        best = opened.store.run().best
        intervals = {row.id: row for row in opened.store.intervals()}
        with tempfile.TemporaryDirectory(prefix="warren-retrace-") as folder:
            return audit.retrace(
                loaded.train(), settings, intervals, _end(opened, intervals, best, member, interval),
                LocalCheckpoints(folder), clock=time.perf_counter, warm=_warm(opened), observe=observe,
            )  # fmt: skip
    finally:
        opened.store.close()


def verify(store: str | os.PathLike[str], name: str = "default") -> Verified:
    """Read all of a run: the file's own structure, what must hold of the record, and every checkpoint's digest.

    Raises:
        StoreError: There is no such store or run, the file is damaged, or workers change it all the while.
    """
    opened = open_store(store, name, create=False)
    try:
        return _verified(opened)
    finally:
        opened.store.close()


def mend(store: str | os.PathLike[str], name: str = "default") -> Verified:
    """Give up the checkpoints of a run that are damaged, so that members and the best fall back; then verify.

    Raises:
        StoreError: As for `verify`.
        CheckpointError: All of its checkpoints are away: nothing is given up for that.
    """
    opened = open_store(store, name, create=False)
    try:
        config_of(opened)
        opened.whole()
        lost = audit.damaged_checkpoints(opened.store, opened.states)
        if lost:
            opened.store.damaged(lost)
        return _verified(opened)
    finally:
        opened.store.close()


_TRIES = 5


def _verified(opened: Opened) -> Verified:
    config_of(opened)
    opened.verify()
    for _ in range(_TRIES):
        before = opened.store.run()
        problems = audit.check(opened.store, opened.states)
        kept = opened.store.checkpoints()
        damaged = audit.damaged_checkpoints(opened.store, opened.states) if problems else {}
        if opened.store.run().revision == before.revision:
            return Verified(
                problems=tuple(problems), intervals=before.total, checkpoints=len(kept),
                size=sum(row.size for row in kept), damaged=damaged,
            )  # fmt: skip
    raise StoreError(
        f"run {opened.name!r} in {opened.location} is being worked on, and changed while it was read; verify a copy "
        "that warren backup makes"
    )


def _names_in(record: Json) -> Iterator[str]:
    """Classes and functions that a recorded setting names."""
    if isinstance(record, list):
        for part in record:
            yield from _names_in(part)
    elif isinstance(record, dict):
        yield from (str(record[key]) for key in ("$", "$function") if key in record)
        for part in record.values():
            yield from _names_in(part)


def _end(
    opened: Opened, intervals: dict[int, IntervalRow], best: int | None, member: int | None, interval: int | None
) -> IntervalRow:
    """The interval whose state is wanted."""
    if member is None:
        if interval is not None:
            raise InvalidValue(f"interval={interval} needs member=: say whose")
        if best is None or best not in intervals:
            raise RunFailed(f"run {opened.name!r} in {opened.location} has no best state yet")
        return intervals[best]
    own = [row for row in intervals.values() if row.member == member and row.checkpoint is not None]
    if interval is not None:
        own = [row for row in own if row.interval == interval]
    if not own:
        where = "" if interval is None else f" at interval {interval}"
        raise InvalidValue(f"run {opened.name!r} saved no state of member {member}{where}")
    return max(own, key=lambda row: row.interval)


def _warm(opened: Opened) -> Tree | None:
    """The state that the run was started from, if any."""
    name = next((row.name for row in opened.store.checkpoints() if row.member is None), None)
    return None if name is None else opened.states.load(name)
