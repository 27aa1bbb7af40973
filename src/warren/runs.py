"""The face of the library: start, resume and join runs. The only place that puts the rooms together."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from warren.checkpoints import CheckpointStore, LocalCheckpoints, MemoryCheckpoints
from warren.engines import Engine, Entry, Inline, Job, Loaded, entry_of
from warren.engines.devices import cores, default_workers, shares, visible_gpus
from warren.engines.entry import WORKER_VARIABLE
from warren.errors import InvalidType, InvalidValue, RunFailed, RunMismatch, StoreError
from warren.population import Assign, CheckpointRow, EventRow, Keys, Plan, RunRow, Stop
from warren.results import Result, Trained
from warren.space import Space
from warren.state import Tree, decode
from warren.stores import MemoryStore, Store
from warren.strategies import PBT, Strategy
from warren.training import Settings, States, Task
from warren.training.record import differences, record_of, settings_of
from warren.values import Json, dump

Watch = Callable[[Result], None]
"""Called now and then while a run goes on, with what there is so far."""


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """A store with what belongs to it."""

    store: Store
    states: States
    location: Path | None
    name: str

    def result(self, *, goal: str, held_out: str | None) -> Result:
        return Result(self.store, self.states, goal=goal, held_out=held_out, name=self.name)


def run(
    train: Callable[[Any], Any] | Task,
    *,
    space: Mapping[str, Any],
    goal: str,
    population: int = 16,
    intervals: int = 30,
    strategy: Strategy | None = None,
    workers: int | None = None,
    seed: int = 0,
    store: str | os.PathLike[str] | None = None,
    name: str = "default",
    synchronous: bool = False,
    held_out: str | None = None,
    initial: Iterable[Mapping[str, Any]] = (),
    warm_start: Trained | Result | str | os.PathLike[str] | None = None,
    stop: Stop | None = None,
    checkpoint_every: int = 1,
    gpus: Iterable[int | str] | None = None,
    gpus_per_member: int = 1,
    engine: Engine | Literal["inline", "processes"] | None = None,
    lease: float = 60.0,
    watch: Watch | None = None,
) -> Result:
    """Train a population, and give back the best model with the schedule of hyperparameters that made it.

    The same call again resumes; with more `intervals` or a larger `population` a finished run goes on.

    Args:
        train: The training function, ``train(slot)``, or a `Task`.
        space: Hyperparameters by name: `Float`, `Int`, `Choice`, or mappings of them.
        goal: ``"max"`` or ``"min"``: which scores are better.
        population: Members.
        intervals: Intervals for each member.
        strategy: Who decides; default `PBT()`: truncation, perturb by 0.8 or 1.2, after each interval from the
            second on.
        workers: Members that train at a time; default: one for each share of GPUs, else one a core, at most the
            population. One worker trains in this process, several in processes of their own.
        seed: Keys every draw of the run.
        store: A SQLite file that keeps the run; None keeps it in memory, for one worker.
        name: Name of the run in its store.
        synchronous: Members wait for each other, so that decisions do not depend on the number of workers.
        held_out: Name of a reported metric that selection must not see.
        initial: Hyperparameters that the first members start with; what is left out is drawn.
        warm_start: A trained state, the result of a run (its best), or a saved file, that every member starts from.
        stop: When to end before every member has its intervals.
        checkpoint_every: Intervals between two checkpoints while a member keeps its slot; it is always saved when it
            is ready, and at the end.
        gpus: Devices to use; default: all that this process may see.
        gpus_per_member: Devices for each worker. With more workers than shares, workers share devices.
        engine: Who runs the intervals: ``"inline"``, ``"processes"``, or an engine; default: as `workers` says.
        lease: Seconds without a sign of life after which a worker's members are given to others.
        watch: Called about four times a second with the result so far. Without it, one line on standard error says
            at the end what the run cost.

    Returns:
        The result.

    Raises:
        InvalidValue: An argument breaks a rule.
        InvalidType: An argument is of the wrong kind.
        RunMismatch: The store has this run with another space, goal, seed or strategy.
        RunFailed: The run cannot go on, for example since no member is left that works.
        KeyboardInterrupt: Interrupted; the same call resumes.
    """
    _refuse_in_worker()
    if not callable(train):
        raise InvalidType(f"train must be a function of a slot, or a warren.Task, but got {train!r}")
    settings = Settings(
        space=space if isinstance(space, Space) else Space(space),
        strategy=strategy if strategy is not None else PBT(),
        goal=_goal(goal),
        population=_whole("population", population, 1),
        seed=_whole("seed", seed, 0),
        held_out=held_out,
        checkpoint_every=_whole("checkpoint_every", checkpoint_every, 1),
    )
    intervals = _whole("intervals", intervals, 1)
    stop = stop if stop is not None else Stop()
    if not isinstance(stop, Stop):
        raise InvalidType(f"stop must be a warren.Stop(...), but got {stop!r}")
    if workers is not None:
        workers = _whole("workers", workers, 1)
    devices = visible_gpus(os.environ) if gpus is None else tuple(str(gpu) for gpu in gpus)
    per_member = _whole("gpus_per_member", gpus_per_member, 1)
    if workers is None:
        shared = store is not None or engine is not None
        workers = default_workers(population, len(devices), per_member, cores()) if shared else 1
    if workers > 1 and store is None:
        raise InvalidValue(f'workers={workers} need a store that they can share; give store="runs/{name}.db"')

    runs_on = _engine(engine, workers)
    # All that the call itself can be wrong in is checked before a file is made.
    plan = _first_plan(settings, initial)
    warm = _warm_state(warm_start)
    sees = shares(workers, devices, per_member)
    entry = entry_of(train)
    opened = _open(store, name, create=True)
    threads = max(1, cores() // workers)
    config: dict[str, Json] = {
        **record_of(settings),
        "entry": dump(entry),
        "threads": threads,
        "intervals": intervals,
    }
    if not opened.store.exists():
        checkpoints = [opened.states.save(warm)] if warm is not None else []
        opened.store.create(
            RunRow(goal=settings.goal, synchronous=synchronous, limit=intervals, stop=_stop_record(stop)),
            config,
            _warmed(plan, checkpoints[0]) if checkpoints else plan,
            checkpoints,
        )
    threads = _resume(opened, settings, config, entry, intervals, synchronous, stop, plan)
    return _work(
        opened,
        settings,
        Job(
            store=opened.store,
            states=opened.states,
            settings=settings,
            train=train,
            entry=entry,
            location=opened.location,
            run=name,
            stop=stop,
            workers=min(workers, population),
            threads=threads,
            devices=sees if devices else (),
            lease=lease,
        ),
        runs_on,
        watch,
    )


def resume(
    store: str | os.PathLike[str],
    *,
    name: str = "default",
    workers: int | None = None,
    intervals: int | None = None,
    gpus: Iterable[int | str] | None = None,
    gpus_per_member: int = 1,
    watch: Watch | None = None,
) -> Result:
    """Go on with a run from its store alone: the training function is loaded from the file that the run names.

    Args:
        store: The run's SQLite file.
        name: Name of the run in it.
        workers: As for `run`; always processes.
        intervals: Intervals for each member, where there shall be more than before.
        gpus: As for `run`.
        gpus_per_member: As for `run`.
        watch: As for `run`.

    Raises:
        StoreError: There is no such store or run.
        RunMismatch: The run's function was made in a notebook or inside another function.
    """
    opened, config, loaded, settings = _recorded(store, name)
    current = opened.store.run()
    stop = _stop(current.stop)
    if intervals is not None:
        _whole("intervals", intervals, 1)
    _set_going(opened, current, max(current.limit, intervals or 0), Plan(), stop)
    devices = visible_gpus(os.environ) if gpus is None else tuple(str(gpu) for gpu in gpus)
    if workers is None:
        workers = default_workers(settings.population, len(devices), gpus_per_member, cores())
    job = _recorded_job(opened, config, loaded, settings, stop, _whole("workers", workers, 1))
    job = replace(job, devices=shares(workers, devices, gpus_per_member) if devices else ())
    return _work(opened, settings, job, _processes(), watch)


def join(
    store: str | os.PathLike[str],
    *,
    name: str = "default",
    gpu: str | None = None,
    workers: int = 1,
    watch: Watch | None = None,
) -> Result:
    """Work on a run that is going on elsewhere on this machine, and leave when it is over or on Ctrl-C.

    Args:
        store: The run's SQLite file.
        name: Name of the run in it.
        gpu: Devices that this worker shall see, as ``"1"`` or ``"0,1"``.
        workers: How many workers join.
        watch: As for `run`.

    Raises:
        StoreError: There is no such store or run.
        RunMismatch: The run's function was made in a notebook or inside another function.
    """
    opened, config, loaded, settings = _recorded(store, name)
    job = _recorded_job(opened, config, loaded, settings, Stop(), _whole("workers", workers, 1))
    if gpu is not None:
        job = replace(job, devices=(tuple(part.strip() for part in gpu.split(",")),) * workers)
    return _work(opened, settings, job, _processes(), watch)


def open_result(store: str | os.PathLike[str], name: str = "default") -> Result:
    """The result of a run so far, for looking at.

    Raises:
        StoreError: There is no such store or run.
    """
    opened = _open(store, name, create=False)
    config = _config(opened)
    held_out = config["held_out"]
    return opened.result(goal=str(config["goal"]), held_out=None if held_out is None else str(held_out))


# -- the parts --------------------------------------------------------------------------------------------------


def _refuse_in_worker() -> None:
    if WORKER_VARIABLE in os.environ:
        raise InvalidValue(
            "warren.run(...) was called while a worker loads your file; put it under "
            '`if __name__ == "__main__":` so that only the first process starts a run'
        )


def _whole(field: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidType(f"{field} must be a whole number, but got {value!r}")
    if value < least:
        raise InvalidValue(f"{field} must be at least {least}, but got {value}")
    return value


def _goal(goal: Any) -> Any:
    if goal not in ("max", "min"):
        raise InvalidValue(f"goal must be 'max' or 'min', but got {goal!r}; say which scores are better")
    return goal


def _stop_record(stop: Stop) -> Json:
    body = dump(stop)
    return {key: value for key, value in body.items() if key != "$"} if isinstance(body, dict) else None


def _stop(record: Json) -> Stop:
    return Stop(**record) if isinstance(record, dict) else Stop()  # type: ignore[arg-type]


def _first_plan(settings: Settings, initial: Iterable[Mapping[str, Any]]) -> Plan:
    """The strategy's first assignments, with the user's own hyperparameters for the first members."""
    keys = Keys(seed=settings.seed, member=-1, interval=0)
    plan = settings.strategy.start(settings.space, settings.population, keys)
    given = [settings.space.check(values, field=f"initial[{i}]") for i, values in enumerate(initial)]
    if len(given) > settings.population:
        raise InvalidValue(f"initial has {len(given)} entries, but population={settings.population}")
    actions = tuple(
        replace(action, hyperparameters={**action.hyperparameters, **given[action.member]})
        if isinstance(action, Assign) and action.member < len(given)
        else action
        for action in plan.actions
    )
    return replace(plan, actions=actions)


def _warm_state(warm_start: Trained | Result | str | os.PathLike[str] | None) -> Tree | None:
    """The state that every member shall start from, or None."""
    if warm_start is None:
        return None
    if isinstance(warm_start, Result):
        warm_start = warm_start.best
    if isinstance(warm_start, Trained):
        return warm_start.state()
    try:
        return decode(bytearray(Path(warm_start).read_bytes()))
    except OSError as error:
        raise InvalidValue(f"warm_start={str(warm_start)!r} cannot be read: {error.strerror}") from None


def _warmed(plan: Plan, row: CheckpointRow) -> Plan:
    """The plan with every member starting from one checkpoint."""
    actions = tuple(
        replace(action, via="copy", sources=(row.name,)) if isinstance(action, Assign) else action
        for action in plan.actions
    )
    return replace(plan, actions=actions)


def _open(store: str | os.PathLike[str] | None, name: str, *, create: bool) -> _Opened:
    made: Store
    checkpoints: CheckpointStore
    if store is None:
        location, made, checkpoints = None, MemoryStore(), MemoryCheckpoints()
    else:
        from warren.stores.sqlite import SQLiteStore, folder_of

        location = Path(store).absolute()
        made = SQLiteStore(location, name, create=create)
        checkpoints = LocalCheckpoints(folder_of(location) / "checkpoints")
    states = States(made, checkpoints)
    made.on_dropped(states.forget)
    return _Opened(store=made, states=states, location=location, name=name)


def _config(opened: _Opened) -> dict[str, Json]:
    if not opened.store.exists():
        raise StoreError(f"there is no run {opened.name!r} in {opened.location}")
    config = opened.store.config()
    if not isinstance(config, dict):
        raise StoreError(f"the record of run {opened.name!r} in {opened.location} holds no settings")
    return config


def _resume(
    opened: _Opened,
    settings: Settings,
    config: dict[str, Json],
    entry: Entry,
    intervals: int,
    synchronous: bool,
    stop: Stop,
    plan: Plan,
) -> int:
    """Compare the call with the record, and set the run going again; gives the threads of the run."""
    old = _config(opened)
    different = differences(old, config)
    if different:
        raise RunMismatch(
            f"run {opened.name!r} in {opened.location} was made with other settings: {'; '.join(different)}. Use "
            "another store or name, or put the settings back"
        )
    known = Entry.load(old["entry"])
    if known.digest and entry.digest and known.digest != entry.digest:
        opened.store.note(
            EventRow(
                kind="warning",
                body=f"the code in {entry.file} has changed since the run was made; members go on with the new code",
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
    _set_going(opened, current, limit, Plan(actions=new), stop)
    threads = old["threads"]
    return threads if isinstance(threads, int) else 1


def _set_going(opened: _Opened, current: RunRow, limit: int, new: Plan, stop: Stop) -> None:
    record = _stop_record(stop)
    if record != current.stop:
        current = opened.store.update(stop=record)
    failed = current.status == "failed"
    if limit > current.limit or new.actions or failed:
        opened.store.extend(limit, new, revive=failed)  # a run that failed as a whole gets another chance
        current = opened.store.run()
    reason = stop.reason(current)
    if reason is None and current.status != "running":
        opened.store.update(status="running", reason=None)
    elif reason is not None and current.status == "running":
        opened.store.update(status="stopped", reason=reason)


def _recorded(store: str | os.PathLike[str], name: str) -> tuple[_Opened, dict[str, Json], Loaded, Settings]:
    _refuse_in_worker()
    opened = _open(store, name, create=False)
    config = _config(opened)
    entry = Entry.load(config["entry"])
    if entry.kind == "parcel":
        raise RunMismatch(
            f"the training function of run {name!r} was made in a notebook or inside another function, so only the "
            "program that made it can go on with it; define it at the top level of a file"
        )
    loaded = Loaded(entry)
    loaded.train()
    return opened, config, loaded, settings_of(config, loaded.find())


def _recorded_job(
    opened: _Opened, config: dict[str, Json], loaded: Loaded, settings: Settings, stop: Stop, workers: int
) -> Job:
    threads = config["threads"]
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
    )


def _engine(engine: Engine | str | None, workers: int) -> Engine:
    if engine is None:
        engine = "inline" if workers == 1 else "processes"
    if not isinstance(engine, str):
        return engine
    if engine not in ("inline", "processes"):
        raise InvalidValue(f"engine={engine!r} must be 'inline', 'processes' or an engine")
    if engine == "inline" and workers > 1:
        raise InvalidValue(f"engine='inline' trains one member at a time, but workers={workers}; leave one of them out")
    return Inline() if engine == "inline" else _processes()


def _processes() -> Engine:
    from warren.engines.processes import Processes

    return Processes()


def _work(
    opened: _Opened,
    settings: Settings,
    job: Job,
    engine: Engine,
    watch: Watch | None,
) -> Result:
    """Let the engine work, tell the user what happened meanwhile, and see how it ended."""
    teller = _Teller(opened.store)
    before = opened.store.run().total

    def observe() -> None:
        teller.tell()
        if watch is not None:
            watch(opened.result(goal=settings.goal, held_out=settings.held_out))

    if opened.store.run().status == "running":
        engine.run(replace(job, observe=observe))
    observe()
    current = opened.store.run()
    members = opened.store.members()
    if members and all(row.state == "quarantined" for row in members):
        current = opened.store.update(status="failed", reason="every member is quarantined")
        raise RunFailed(f"every member has failed too often; the last error was:\n{members[-1].error}")
    if current.status == "failed":
        raise RunFailed(current.reason or "the run failed")
    over = all(row.state in ("done", "quarantined") for row in members)
    if current.status == "running" and over:
        opened.store.update(status="done")
    result = opened.result(goal=settings.goal, held_out=settings.held_out)
    if watch is None and result.run.total > before:
        print(f"warren: {result.cost}", file=sys.stderr)
    return result


class _Teller:
    """Prints what the user must know, once, as it happens."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._revision = store.run().revision

    def tell(self) -> None:
        for event in self._store.events(self._revision):
            self._revision = max(self._revision, event.revision)
            message = _message(event)
            if message is not None:
                print(f"warren: {message}", file=sys.stderr)


def _message(event: EventRow) -> str | None:
    body = event.body
    if event.kind == "warning":
        return str(body)
    error = str(body.get("error", "")) if isinstance(body, dict) else ""
    last = error.strip().splitlines()[-1] if error.strip() else ""
    if event.kind == "failure":
        return f"member {event.member} failed: {last}"
    if event.kind == "lost":
        return f"member {event.member} lost its interval: {last}"
    if event.kind == "quarantine":
        return f"member {event.member} is quarantined after failing again and again: {last}"
    return None


def load_file(path: str | os.PathLike[str], name: str = "train") -> tuple[Loaded, Entry]:
    """Load a training file as workers do, for the command line.

    Args:
        path: The file.
        name: Name of the training function in it.
    """
    from warren.engines.entry import file_digest

    file = Path(path).absolute()
    entry = Entry(kind="file", name=name, file=str(file), path=str(file.parent), digest=file_digest(str(file)))
    return Loaded(entry), entry


__all__ = ["join", "load_file", "open_result", "resume", "run"]
