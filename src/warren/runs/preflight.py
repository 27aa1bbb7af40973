"""The pre-flight as users call it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from warren.engines.devices import cores, default_workers, visible_gpus
from warren.engines.entry import WORKER_VARIABLE
from warren.engines.say import say
from warren.errors import InvalidType, InvalidValue
from warren.preflight import Findings, check_loop
from warren.runs.request import checked, first_plan, known_goal, whole
from warren.space import Space
from warren.strategies import Strategy
from warren.training import Settings, Task


def check(
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
    held_out: str | None = None,
    initial: Iterable[Mapping[str, Any]] = (),
    tell: Callable[[str], None] | None = None,
) -> Findings:
    """Find out, before a run, whether the training loop keeps state that would be lost or met by another member.

    Some intervals of the run's first members are trained in this process, in one slot and in others, and compared.
    Nothing is kept of them.

    Args:
        train: As for `run`.
        space: As for `run`.
        goal: As for `run`.
        population: As for `run`.
        intervals: As for `run`; for the estimates only.
        strategy: As for `run`; gives the first members their hyperparameters.
        workers: As for `run`; for the estimates only.
        seed: As for `run`.
        store: Where the run will be kept, to see whether there is room; nothing is written there.
        held_out: As for `run`.
        initial: As for `run`.
        tell: Called with a line where the check takes long; default: it is printed on standard error.

    Returns:
        The findings, faults first; printed, they are the report.

    Raises:
        InvalidValue: An argument breaks a rule.
        InvalidType: An argument is of the wrong kind.
    """
    if WORKER_VARIABLE in os.environ:
        raise InvalidValue(
            "warren.check(...) was called while a file is loaded for its training function; put it under "
            '`if __name__ == "__main__":`'
        )
    if not callable(train):
        raise InvalidType(f"train must be a function of a slot, or a warren.Task, but got {train!r}")
    if tell is not None and not callable(tell):
        raise InvalidType(f"tell must be a function of a line of text, but got {tell!r}")
    strategy, _ = checked(strategy, None, 60.0, None, None, store)
    settings = Settings(
        space=space if isinstance(space, Space) else Space(space),
        strategy=strategy,
        goal=known_goal(goal),
        population=whole("population", population, 1),
        seed=whole("seed", seed, 0),
        held_out=held_out,
    )
    intervals = whole("intervals", intervals, 1)
    if workers is None:
        workers = default_workers(population, len(visible_gpus(os.environ)), 1, cores())
    # A population of one has nobody to share its slot with; the check needs somebody.
    plan = first_plan(replace(settings, population=max(2, population)), initial)
    return check_loop(
        train,
        settings,
        plan,
        intervals=intervals,
        workers=min(whole("workers", workers, 1), population),
        disk=None if store is None else Path(store),
        clock=time.perf_counter,
        tell=(lambda line: say(f"warren: {line}")) if tell is None else tell,
    )
