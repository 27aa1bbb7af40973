"""What a user calls: start, resume and join runs, and look at them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from warren.engines import Engine, Entry, Job, Loaded, Vectorised, entry_of
from warren.engines.devices import cores, default_workers, shares
from warren.engines.entry import file_digest
from warren.errors import InvalidType, InvalidValue
from warren.population import Plan, RunRow, Stop
from warren.results import Result, Trained
from warren.runs.opening import (
    config_of,
    open_store,
    reconcile,
    recorded,
    recorded_job,
    set_going,
    stop_of,
    stop_record,
    verified,
)
from warren.runs.request import (
    checked,
    devices_of,
    engine_of,
    first_plan,
    known_goal,
    known_hang,
    known_metric,
    processes,
    refuse_in_worker,
    warm_state,
    warmed,
    whole,
)
from warren.runs.working import Tell, Watch, told, work_on
from warren.space import Space
from warren.strategies import Strategy
from warren.training import Settings, Task
from warren.training.record import record_of
from warren.values import Json, dump


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
    engine: Engine | Literal["inline", "processes", "vectorised"] | None = None,
    lease: float = 60.0,
    hang: float | None = None,
    watch: Watch | None = None,
    tell: Tell | None = None,
) -> Result:
    """Train a population, and give back the best model with the schedule of hyperparameters that made it.

    The same call again resumes; with more `intervals` or a larger `population` a finished run goes on.

    Args:
        train: The training function, ``train(slot)``, or a `Task`.
        space: Hyperparameters by name: `Float`, `Int`, `Choice`, `When`, or mappings of them; or a `Space`.
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
            is ready, and at the end. Reports since the last one are provisional: they are trained again after a crash.
        gpus: Devices to use; default: all that this process may see.
        gpus_per_member: Devices for each worker. With more workers than shares, workers share devices.
        engine: Who runs the intervals: ``"inline"``, ``"processes"``, ``"vectorised"`` (a `Task` for the whole
            population at once), or an engine such as ``warren.Vectorised(chunk=64)``; default: as `workers` says.
        lease: Seconds without a sign of life after which a worker's members are given to others; at least 1.
        hang: Seconds without a report after which a worker that is alive is taken to hang: it is ended, and where it
            hung is the error of its member. Until the present call of the training function has reported, which builds
            and compiles, at least half an hour. Default: twenty times the longest interval so far, at least half an
            hour; six hours until the call has reported. A worker in this process is not ended, but told of.
        watch: Called about four times a second with the result so far. Without it, one line on standard error says
            at the end what the run cost.
        tell: Called with each line that the user is told meanwhile; default: it is printed on standard error.

    Returns:
        The result.

    Raises:
        InvalidValue: An argument breaks a rule.
        InvalidType: An argument is of the wrong kind.
        RunMismatch: The store has this run with another space, goal, seed or strategy.
        RunFailed: The run cannot go on, for example since no member is left that works.
        KeyboardInterrupt: Interrupted; the same call resumes.
    """
    refuse_in_worker()
    if not callable(train):
        raise InvalidType(f"train must be a function of a slot, or a warren.Task, but got {train!r}")
    strategy, stop = checked(strategy, stop, lease, hang, watch, store)
    if tell is not None and not callable(tell):
        raise InvalidType(f"tell must be a function of a line of text, but got {tell!r}")
    settings = Settings(
        space=space if isinstance(space, Space) else Space(space),
        strategy=strategy,
        goal=known_goal(goal),
        population=whole("population", population, 1),
        seed=whole("seed", seed, 0),
        held_out=None if held_out is None else known_metric(held_out),
        checkpoint_every=whole("checkpoint_every", checkpoint_every, 1),
    )
    intervals = whole("intervals", intervals, 1)
    if workers is not None:
        workers = whole("workers", workers, 1)
    devices = devices_of(gpus)
    per_member = whole("gpus_per_member", gpus_per_member, 1)
    if workers is None:
        alone = engine == "vectorised" or isinstance(engine, Vectorised)
        shared = (store is not None or engine is not None) and not alone
        workers = default_workers(population, len(devices), per_member, cores()) if shared else 1
    if workers > 1 and store is None:
        raise InvalidValue(f'workers={workers} need a store that they can share; give store="runs/{name}.db"')

    runs_on = engine_of(engine, workers, train)
    # All that the call itself can be wrong in is checked before a file is made.
    plan = first_plan(settings, initial)
    warm = warm_state(warm_start)
    sees = shares(workers, devices, per_member)
    entry = entry_of(train)
    opened = verified(open_store(store, name, create=True))
    threads = max(1, cores() // workers)
    config: dict[str, Json] = {
        **record_of(settings),
        "entry": dump(entry),
        "threads": threads,
        "intervals": intervals,
        "lease": lease,
        "hang": hang,
        "engine": runs_on.record() if isinstance(runs_on, Vectorised) else None,
    }
    if not opened.store.exists():
        checkpoints = [opened.states.save(warm)] if warm is not None else []
        opened.store.create(
            RunRow(goal=settings.goal, synchronous=synchronous, limit=intervals, stop=stop_record(stop)),
            config,
            warmed(plan, checkpoints[0]) if checkpoints else plan,
            checkpoints,
        )
    elif warm is not None:
        given = next((row for row in opened.store.checkpoints() if row.member is None), None)
        if given is None and settings.population > len(opened.store.members()):
            raise InvalidValue(
                "warm_start: the state that this run began with was damaged and given up, so new members would begin "
                "otherwise than the first; leave population as it is, or start another run"
            )
        plan = plan if given is None else warmed(plan, given)
    since = opened.store.run().revision
    threads = reconcile(opened, settings, config, entry, intervals, synchronous, stop, plan)
    return work_on(
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
            hang=hang,
        ),
        runs_on,
        watch,
        since=since,
        tell=told if tell is None else tell,
    )


def resume(
    store: str | os.PathLike[str],
    *,
    name: str = "default",
    workers: int | None = None,
    intervals: int | None = None,
    gpus: Iterable[int | str] | None = None,
    gpus_per_member: int = 1,
    engine: Engine | Literal["processes", "vectorised"] | None = None,
    hang: float | None = None,
    watch: Watch | None = None,
) -> Result:
    """Go on with a run from its store alone: the training function is loaded from the file that the run names.

    Args:
        store: The run's SQLite file.
        name: Name of the run in it.
        workers: As for `run`.
        intervals: Intervals for each member, where there shall be more than before.
        gpus: As for `run`.
        gpus_per_member: As for `run`.
        engine: Processes, or all members as one program as for `run`; default: as the run was made, unless there are
            `workers`.
        hang: As for `run`, from now on; None leaves what the run was given last.
        watch: As for `run`.

    Raises:
        StoreError: There is no such store or run.
        RunMismatch: The run's function was made in a notebook or inside another function.
    """
    known_hang(hang)
    if intervals is not None:
        whole("intervals", intervals, 1)
    if workers is not None:
        whole("workers", workers, 1)
    per_member = whole("gpus_per_member", gpus_per_member, 1)
    devices = devices_of(gpus)
    opened, config, loaded, settings = recorded(store, name)
    if engine is None:
        recorded_engine = config.get("engine") if workers is None else None
        engine = "processes" if recorded_engine is None else Vectorised.of(recorded_engine)
    alone = engine == "vectorised" or isinstance(engine, Vectorised)
    if workers is None:
        workers = 1 if alone else default_workers(settings.population, len(devices), per_member, cores())
    runs_on = engine_of(engine, workers, loaded.train() if alone else None)
    sees = shares(workers, devices, per_member)
    # What the call can be wrong in is checked before the run is changed.
    current = opened.store.run()
    stop = stop_of(current.stop)
    set_going(opened, current, max(current.limit, intervals or 0), Plan(), stop)
    job = recorded_job(opened, config, loaded, settings, stop, workers)
    job = replace(job, devices=sees if devices else ())
    if hang is not None:
        opened.store.configure({**config, "hang": hang})
        job = replace(job, hang=float(hang))
    return work_on(opened, settings, job, runs_on, watch)


def join(
    store: str | os.PathLike[str],
    *,
    name: str = "default",
    gpu: str | None = None,
    workers: int = 1,
    hang: float | None = None,
    watch: Watch | None = None,
) -> Result:
    """Work on a run that is going on elsewhere on this machine, and leave when it is over or on Ctrl-C.

    Args:
        store: The run's SQLite file.
        name: Name of the run in it.
        gpu: Devices that this worker shall see, as ``"1"`` or ``"0,1"``.
        workers: How many workers join.
        hang: As for `run`, for these workers; None takes what the run was given.
        watch: As for `run`.

    Raises:
        StoreError: There is no such store or run.
        RunMismatch: The run's function was made in a notebook or inside another function.
    """
    whole("workers", workers, 1)
    known_hang(hang)
    opened, config, loaded, settings = recorded(store, name)
    job = recorded_job(opened, config, loaded, settings, Stop(), workers)
    if hang is not None:
        job = replace(job, hang=float(hang))
    if gpu is not None:
        job = replace(job, devices=(tuple(part.strip() for part in gpu.split(",")),) * workers)
    return work_on(opened, settings, job, processes(), watch)


def open_result(store: str | os.PathLike[str], name: str = "default") -> Result:
    """The result of a run so far, for looking at.

    Raises:
        StoreError: There is no such store or run.
    """
    opened = open_store(store, name, create=False)
    config = config_of(opened)
    held_out = config["held_out"]
    return opened.result(goal=str(config["goal"]), held_out=None if held_out is None else str(held_out))


def load_file(path: str | os.PathLike[str], name: str = "train") -> tuple[Loaded, Entry]:
    """Load a training file as workers do, for the command line.

    Args:
        path: The file.
        name: Name of the training function in it.
    """
    file = Path(path).absolute()
    entry = Entry(kind="file", name=name, file=str(file), path=str(file.parent), digest=file_digest(str(file)))
    return Loaded(entry), entry
