"""What a call asks for, checked before anything is made."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from warren.engines import Engine, Inline, Vectorised
from warren.engines.devices import visible_gpus
from warren.engines.entry import WORKER_VARIABLE
from warren.engines.vectorised import liftable
from warren.errors import InvalidType, InvalidValue
from warren.population import Assign, CheckpointRow, Goal, Keys, Plan, Stop
from warren.results import Result, Trained
from warren.state import Tree, decode
from warren.strategies import PBT, Strategy
from warren.training import Settings


def refuse_in_worker() -> None:
    """Refuse to start a run while a worker loads the user's file.

    Raises:
        InvalidValue: This process is a worker.
    """
    if WORKER_VARIABLE in os.environ:
        raise InvalidValue(
            "warren.run(...) was called while a worker loads your file; put it under "
            '`if __name__ == "__main__":` so that only the first process starts a run'
        )


def whole(field: str, value: Any, least: int) -> int:
    """A whole number of at least `least`, or an error that names the field."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidType(f"{field} must be a whole number, but got {value!r}")
    if value < least:
        raise InvalidValue(f"{field} must be at least {least}, but got {value}")
    return value


def seconds(field: str, value: Any, least: float) -> float:
    """A length of time of at least `least` seconds, or an error that names the field."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidType(f"{field} must be a number of seconds, but got {value!r}")
    if not least <= value < float("inf"):
        raise InvalidValue(f"{field} must be at least {least:g} s and finite, but got {value!r}")
    return float(value)


def known_hang(hang: Any) -> float | None:
    """The seconds after which a worker is taken to hang, or None for the rule, or an error."""
    return None if hang is None else seconds("hang", hang, 1.0)


def known_goal(goal: Any) -> Goal:
    """The goal, or an error."""
    if goal not in ("max", "min"):
        raise InvalidValue(f"goal must be 'max' or 'min', but got {goal!r}; say which scores are better")
    known: Goal = goal
    return known


NOT_METRICS = ("score", "samples", "cost", "results")
"""What `Member.report` takes that is no metric."""


def known_metric(held_out: Any) -> str:
    """The name of a metric that is held out, or an error."""
    if not isinstance(held_out, str) or not held_out:
        raise InvalidType(f"held_out must be the name of a reported metric, but got {held_out!r}")
    if held_out in NOT_METRICS:
        raise InvalidValue(
            f"held_out={held_out!r} is no metric: member.report({held_out}=...) has a meaning of its own; report the "
            "metric under another name"
        )
    return held_out


def first_plan(settings: Settings, initial: Iterable[Mapping[str, Any]]) -> Plan:
    """The strategy's first assignments, with the user's own hyperparameters for the first members."""
    keys = Keys(seed=settings.seed, member=-1, interval=0)
    plan = settings.strategy.start(settings.space, settings.population, keys)
    if isinstance(initial, Mapping) or not isinstance(initial, Iterable):
        raise InvalidType(f"initial must be a list of hyperparameters such as [{{...}}], but got {initial!r}")
    given = [settings.space.check(values, field=f"initial[{i}]") for i, values in enumerate(initial)]
    if len(given) > settings.population:
        raise InvalidValue(f"initial has {len(given)} entries, but population={settings.population}")
    actions = tuple(
        replace(action, hyperparameters=_with(given[action.member], action, settings))
        if isinstance(action, Assign) and action.member < len(given)
        else action
        for action in plan.actions
    )
    return replace(plan, actions=actions)


def _with(given: Mapping[str, Any], action: Assign, settings: Settings) -> dict[str, Any]:
    """A first assignment's hyperparameters with the user's own among them, which stay as they are."""
    rng = Keys(seed=settings.seed, member=action.member, interval=0).generator("initial")
    try:
        return settings.space.repaired({**action.hyperparameters, **given}, rng, fixed=given)
    except InvalidValue as error:
        raise InvalidValue(f"initial[{action.member}]: {error}") from None


def warm_state(warm_start: Trained | Result | str | os.PathLike[str] | None) -> Tree | None:
    """The state that every member shall start from, or None."""
    if warm_start is None:
        return None
    if isinstance(warm_start, Result):
        warm_start = warm_start.best
    if isinstance(warm_start, Trained):
        return warm_start.state()
    if not isinstance(warm_start, (str, os.PathLike)):
        raise InvalidType(f"warm_start must be a trained state, a result or a saved file, but got {warm_start!r}")
    try:
        return decode(bytearray(Path(warm_start).read_bytes()))
    except OSError as error:
        raise InvalidValue(f"warm_start={str(warm_start)!r} cannot be read: {error.strerror}") from None


def warmed(plan: Plan, row: CheckpointRow) -> Plan:
    """The plan with every member starting from one checkpoint."""
    actions = tuple(
        replace(action, via="copy", sources=(row.name,)) if isinstance(action, Assign) else action
        for action in plan.actions
    )
    return replace(plan, actions=actions)


def checked(
    strategy: Strategy | None, stop: Stop | None, lease: float, hang: float | None, watch: object, store: object
) -> tuple[Strategy, Stop]:
    """The strategy and the stopping rule, or their defaults; refuses arguments of the wrong kind."""
    strategy = PBT() if strategy is None else strategy
    if isinstance(strategy, type) or not (
        callable(getattr(strategy, "start", None)) and callable(getattr(strategy, "decide", None))
    ):
        raise InvalidType(f"strategy must be a strategy such as warren.PBT(), but got {strategy!r}")
    given: object = Stop() if stop is None else stop
    if not isinstance(given, Stop):
        raise InvalidType(f"stop must be a warren.Stop(...), but got {given!r}")
    # Each beat is a transaction on the disk, six in a lease: in less than a second a slow disk would look like a death.
    seconds("lease", lease, 1.0)
    known_hang(hang)
    if watch is not None and not callable(watch):
        raise InvalidType(f"watch must be a function of a result, but got {watch!r}")
    if store is not None and not isinstance(store, (str, os.PathLike)):
        raise InvalidType(f"store must be the path of a SQLite file, but got {store!r}")
    return strategy, given


def devices_of(gpus: Iterable[int | str] | str | None) -> tuple[str, ...]:
    """The devices that the user names, as ``[0, 1]`` or ``"0,1"``, or all that this process may see."""
    if gpus is None:
        return visible_gpus(os.environ)
    given: object = gpus.split(",") if isinstance(gpus, str) else gpus
    if not isinstance(given, Iterable):
        raise InvalidType(f"gpus must be a list of devices such as [0, 1], but got {gpus!r}")
    return tuple(str(gpu).strip() for gpu in given)


def engine_of(engine: Engine | str | None, workers: int, train: object) -> Engine:
    """The engine of a name, or the one that the number of workers calls for."""
    if engine is None:
        engine = "inline" if workers == 1 else "processes"
    if engine == "vectorised" and workers > 1:
        raise InvalidValue(
            f"engine='vectorised' is one worker that trains all members, but workers={workers}; leave one of them out"
        )
    if engine == "vectorised":
        engine = Vectorised()
    if isinstance(engine, Vectorised):
        liftable(train)
    if not isinstance(engine, str):
        return engine
    if engine not in ("inline", "processes"):
        raise InvalidValue(f"engine={engine!r} must be 'inline', 'processes', 'vectorised' or an engine")
    if engine == "inline" and workers > 1:
        raise InvalidValue(f"engine='inline' trains one member at a time, but workers={workers}; leave one of them out")
    return Inline() if engine == "inline" else processes()


def processes() -> Engine:
    """The engine with worker processes; imported only where it is needed."""
    from warren.engines.processes import Processes

    return Processes()
