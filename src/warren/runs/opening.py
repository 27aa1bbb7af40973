"""A store with what belongs to it, and a run in it: as it was made, and set going again."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from warren.checkpoints import CheckpointStore, LocalCheckpoints, MemoryCheckpoints
from warren.engines import Entry, Job, Loaded
from warren.errors import CheckpointError, RunMismatch, StoreError
from warren.population import Assign, EventRow, Plan, RunRow, Stop
from warren.results import Result
from warren.runs.request import refuse_in_worker
from warren.stores import MemoryStore, Store
from warren.stores.folder import folder_of
from warren.training import Settings, States
from warren.training.record import differences, settings_of
from warren.values import Json, canonical, dump


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A store with what belongs to it.

    Attributes:
        store: The run's record.
        states: Where states are kept.
        location: The store's file, with no links on the way to it; None where it is in memory.
        name: Name of the run.
        verify: Reads all of the record, and refuses one that is damaged.
        whole: Refuses a record whose checkpoints are away, before anything is given up or swept for it.
        migrate: Brings a record of an earlier version to this one.
    """

    store: Store
    states: States
    location: Path | None
    name: str
    verify: Callable[[], None]
    whole: Callable[[], None]
    migrate: Callable[[], None]

    def result(self, *, goal: str, held_out: str | None) -> Result:
        title = self.name if self.name != "default" or self.location is None else self.location.stem
        return Result(self.store, self.states, goal=goal, held_out=held_out, name=title)


def open_store(store: str | os.PathLike[str] | None, name: str, *, create: bool) -> Opened:
    """Open the store of a run with the place for its states; the one list of stores that there are.

    Args:
        store: A SQLite file, or None for this process's memory.
        name: Name of the run in it.
        create: Make the file where there is none.
    """
    if store is None:
        memory = MemoryStore()
        return _opened(memory, MemoryCheckpoints(), None, name, _sound, _sound, _sound)
    from warren.stores.sqlite import SQLiteStore

    kept = SQLiteStore(store, name, create=create)
    checkpoints = LocalCheckpoints(folder_of(kept.path) / "checkpoints")

    def whole() -> None:
        refuse_away(kept.path, kept.files, checkpoints)

    return _opened(kept, checkpoints, kept.path, name, kept.verify, whole, kept.migrate)


def _opened(
    store: Store,
    checkpoints: CheckpointStore,
    location: Path | None,
    name: str,
    verify: Callable[[], None],
    whole: Callable[[], None],
    migrate: Callable[[], None],
) -> Opened:
    states = States(store, checkpoints)
    store.on_dropped(states.forget)
    return Opened(store=store, states=states, location=location, name=name, verify=verify, whole=whole, migrate=migrate)


def _sound() -> None:
    """What is in memory is not read back."""


def refuse_away(location: Path, files: Callable[[], Sequence[tuple[str, str]]], checkpoints: LocalCheckpoints) -> None:
    """Refuse a record that names files of which none is there.

    That is no damage: the store was copied, moved or linked to without its folder, or a disk is not mounted. Taken
    for damage, it would cost every member its state.

    Args:
        location: The store's file.
        files: Gives name and digest of each checkpoint that is a file.
        checkpoints: Where they should be.

    Raises:
        CheckpointError: None of them is there.
    """
    before = {name for name, _ in files()}
    while before:
        there = set(checkpoints.names())
        after = {name for name, _ in files()}
        if there & (before | after):
            return
        if before & after:  # else workers have replaced all of them meanwhile
            how = "holds none of them" if checkpoints.folder.is_dir() else "is not there"
            raise CheckpointError(
                f"the store {location} names {len(after)} checkpoint files, and the folder {checkpoints.folder} {how}; "
                "put it back beside the store, or restore a backup; nothing was changed"
            )
        before = after


def verified(opened: Opened) -> Opened:
    """A store that is to be worked on: all of it was read, its checkpoints are there, and it is of this version.

    Raises:
        StoreError: It is damaged.
        CheckpointError: Its checkpoints are away.
    """
    try:
        opened.verify()
        opened.whole()
        opened.migrate()
    except BaseException:
        opened.store.close()
        raise
    return opened


def config_of(opened: Opened) -> dict[str, Json]:
    """The settings that the run was made with.

    Raises:
        StoreError: There is no such run.
    """
    if not opened.store.exists():
        raise StoreError(f"there is no run {opened.name!r} in {opened.location}")
    config = opened.store.config()
    if not isinstance(config, dict):
        raise StoreError(f"the record of run {opened.name!r} in {opened.location} holds no settings")
    return config


def stop_record(stop: Stop) -> Json:
    """A stopping rule as the run's row keeps it."""
    body = dump(stop)
    return {key: value for key, value in body.items() if key != "$"} if isinstance(body, dict) else None


def stop_of(record: Json) -> Stop:
    """The stopping rule that `stop_record` wrote."""
    return Stop(**record) if isinstance(record, dict) else Stop()  # type: ignore[arg-type]


def reconcile(
    opened: Opened,
    settings: Settings,
    config: dict[str, Json],
    entry: Entry,
    intervals: int,
    synchronous: bool,
    stop: Stop,
    plan: Plan,
) -> int:
    """Compare the call with the record, and set the run going again; gives the threads of the run."""
    old = config_of(opened)
    different = differences(old, config)
    if different:
        raise RunMismatch(
            f"run {opened.name!r} in {opened.location} was made with other settings: {'; '.join(different)}. Use "
            "another store or name, or put the settings back"
        )
    known = Entry.load(old["entry"])
    changed = altered(known.value, entry.value)
    if changed:
        raise RunMismatch(
            f"run {opened.name!r} in {opened.location} trains {known.name} with {', '.join(changed)}. Use another "
            "store or name, or put the values back"
        )
    if known.digest and entry.digest and known.digest != entry.digest:
        opened.store.note(
            EventRow(
                kind="warning",
                body=f"the code in {entry.file} has changed since the run was made; members go on with the new code "
                f"({known.digest[:6]} -> {entry.digest[:6]})",
            )
        )
    current = opened.store.run()
    members = opened.store.members()
    new = tuple(a for a in plan.actions if isinstance(a, Assign) and a.member >= len(members))
    if settings.population < len(members):
        raise RunMismatch(
            f"run {opened.name!r} has {len(members)} members, and population={settings.population} is asked for; "
            "a run can grow, but not shrink"
        )
    limit = max(current.limit, intervals)
    kept = {**config, "threads": old["threads"], "intervals": limit}
    if kept != old:
        opened.store.configure(kept)
    if current.synchronous != synchronous:
        opened.store.update(synchronous=synchronous)
    set_going(opened, current, limit, Plan(actions=new), stop)
    threads = old["threads"]
    return threads if isinstance(threads, int) else 1


def altered(old: Json, new: Json) -> list[str]:
    """Fields of a training function that is a value, as it was recorded and as it is given now, where they differ.

    A field that was not there yet has its default.
    """
    if not isinstance(old, dict) or not isinstance(new, dict):
        return [] if old == new or old is None or new is None else [f"{canonical(old)}, now {canonical(new)}"]
    found = []
    for name in old.keys() & new.keys():
        if isinstance(old[name], dict) and isinstance(new[name], dict):
            found += altered(old[name], new[name])
        elif old[name] != new[name]:
            found.append(f"{name}={canonical(old[name])}, now {canonical(new[name])}")
    return sorted(found)


def set_going(opened: Opened, current: RunRow, limit: int, new: Plan, stop: Stop) -> None:
    """Let a run go on with more intervals, new members or another stopping rule, where there is something left."""
    record = stop_record(stop)
    if record != current.stop:
        current = opened.store.update(stop=record)
    failed = current.status == "failed"
    if limit > current.limit or new.actions or failed:
        opened.store.extend(limit, new, revive=failed)  # a run that failed as a whole gets another chance
        current = opened.store.run()
    reason = stop.reason(current)
    left = any(row.state in ("waiting", "leased") for row in opened.store.members())
    if reason is None and current.status != "running" and left:
        opened.store.update(status="running", reason=None)
    elif reason is not None and current.status == "running":
        opened.store.update(status="stopped", reason=reason)


def recorded(store: str | os.PathLike[str], name: str) -> tuple[Opened, dict[str, Json], Loaded, Settings]:
    """A run that is to be worked on with the user's code, loaded from the file that its record names.

    Raises:
        StoreError: There is no such store or run.
        CheckpointError: Its checkpoints are away.
        RunMismatch: The code was never in a file.
    """
    refuse_in_worker()
    return _loaded(verified(open_store(store, name, create=False)))


def recorded_to_read(store: str | os.PathLike[str], name: str) -> tuple[Opened, dict[str, Json], Loaded, Settings]:
    """As `recorded`, for a look: nothing is changed."""
    refuse_in_worker()
    opened = open_store(store, name, create=False)
    try:
        opened.verify()
    except BaseException:
        opened.store.close()
        raise
    return _loaded(opened)


def _loaded(opened: Opened) -> tuple[Opened, dict[str, Json], Loaded, Settings]:
    config = config_of(opened)
    entry = Entry.load(config["entry"])
    if entry.kind == "parcel":
        raise RunMismatch(
            f"the training function of run {opened.name!r} was made in a notebook or inside another function, so only "
            "the program that made it can go on with it; define it at the top level of a file"
        )
    loaded = Loaded(entry)
    loaded.train()
    return opened, config, loaded, settings_of(config, loaded.find())


def recorded_job(
    opened: Opened, config: dict[str, Json], loaded: Loaded, settings: Settings, stop: Stop, workers: int
) -> Job:
    """The work that a record describes."""
    threads = config["threads"]
    lease, hang = config.get("lease"), config.get("hang")
    return Job(
        store=opened.store,
        states=opened.states,
        settings=settings,
        train=loaded.train(),
        entry=Entry.load(config["entry"]),
        location=opened.location,
        run=opened.name,
        stop=stop,
        workers=workers,
        threads=threads if isinstance(threads, int) else 1,
        lease=float(lease) if isinstance(lease, (int, float)) else Job.lease,
        hang=float(hang) if isinstance(hang, (int, float)) else None,
    )
