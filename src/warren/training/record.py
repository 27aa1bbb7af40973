"""A run's settings in its record, and what differs when it is resumed with others."""

from __future__ import annotations

from typing import Any

from warren.errors import InvalidValue, WarrenError
from warren.space import Space
from warren.space.space import flatten
from warren.training.settings import Settings
from warren.values import Json, Lookup, canonical, dump, load

FIXED = ("goal", "seed", "held_out", "strategy")
"""What a run keeps for good, beside its space."""


def record_of(settings: Settings) -> dict[str, Json]:
    """The settings as JSON.

    A part that cannot be found again by name (a function inside a function) is recorded by its description only:
    such a run is resumed from the script that has it.
    """
    return {
        "space": {name: dump(declared) for name, declared in settings.space.declared.items()},
        "constraints": [_described(constraint) for constraint in settings.space.constraints],
        "strategy": _described(settings.strategy),
        "goal": settings.goal,
        "population": settings.population,
        "seed": settings.seed,
        "held_out": settings.held_out,
        "checkpoint_every": settings.checkpoint_every,
        "history": settings.history,
    }


def _described(value: Any) -> Json:
    try:
        return dump(value)
    except WarrenError:
        return {"unnamed": type(value).__name__}


def named(settings: Settings) -> bool:
    """Whether all parts can be found again by their names, so that a record is enough to have them."""
    record: dict[str, Any] = record_of(settings)
    return all("unnamed" not in part for part in (record["strategy"], *record["constraints"]))


def settings_of(config: Json, find: Lookup) -> Settings:
    """The settings that a record keeps.

    Args:
        config: What `record_of` gave, perhaps with more beside it.
        find: Gives classes and functions by module and name.

    Raises:
        InvalidValue: A part was recorded by its description only.
    """
    if not isinstance(config, dict) or not isinstance(config.get("space"), dict):
        raise InvalidValue("the record holds no settings; was the store made by another program?")
    strategy = config["strategy"]
    if isinstance(strategy, dict) and "unnamed" in strategy:
        raise InvalidValue(
            f"the run's strategy {strategy['unnamed']} has no name that it can be found by; resume the run from "
            "the script that made it"
        )
    parts: dict[str, Any] = config
    constraints = parts.get("constraints", [])  # a store of before has none
    for constraint in constraints:
        if "unnamed" in constraint:
            raise InvalidValue(
                f"a {constraint['unnamed']} of the run's space has a function without a name that it can be found by; "
                "resume the run from the script that made it"
            )
    return Settings(
        space=Space(load(parts["space"], find), constraints=load(constraints, find)),
        strategy=load(strategy, find),
        goal=parts["goal"],
        population=parts["population"],
        seed=parts["seed"],
        held_out=parts["held_out"],
        checkpoint_every=parts["checkpoint_every"],
        history=parts["history"],
    )


def differences(old: Json, new: Json) -> list[str]:
    """What a run was made with against what it is resumed with, one line each; empty where it may be resumed.

    Args:
        old: The record.
        new: The record that the new call would make.
    """
    if not isinstance(old, dict) or not isinstance(new, dict):
        return ["the record holds no settings"]
    found = []
    old_space, new_space = _shown(old.get("space")), _shown(new.get("space"))
    for name in sorted(old_space.keys() | new_space.keys()):
        if name not in new_space:
            found.append(f"space: {name} was {old_space[name]} and is not there now")
        elif name not in old_space:
            found.append(f"space: {name} was not there and is {new_space[name]} now")
        elif old_space[name] != new_space[name]:
            found.append(f"space: {name} was {old_space[name]} and is {new_space[name]} now")
    kept, wanted = old.get("constraints") or [], new.get("constraints") or []
    if canonical(kept) != canonical(wanted):
        found.append(f"space: the constraints were {_listed(kept)} and are {_listed(wanted)} now")
    for name in FIXED:
        if canonical(old.get(name)) != canonical(new.get(name)):
            before, after = old.get(name), new.get(name)
            if isinstance(before, dict) and isinstance(after, dict) and before.get("$") == after.get("$"):
                flat = flatten(before), flatten(after)
                parts = [part for part in flat[0] if flat[0][part] != flat[1].get(part)]
                found += [f"{name}: {part} was {flat[0][part]!r} and is {flat[1].get(part)!r} now" for part in parts]
            else:
                found.append(f"{name} was {short(before)} and is {short(after)} now")
    return found


def _shown(space: Json) -> dict[str, str]:
    if not isinstance(space, dict):
        return {}
    return {name: short(dimension) for name, dimension in space.items()}


def _listed(constraints: Json) -> str:
    return ", ".join(map(short, constraints)) if isinstance(constraints, list) and constraints else "none"


def short(value: Json) -> str:
    """A recorded value as a person would write it."""
    if isinstance(value, dict) and "$" in value:
        inside = ", ".join(f"{name}={short(part)}" for name, part in sorted(value.items()) if name != "$")
        return f"{str(value['$']).rpartition(':')[2]}({inside})"
    return repr(value)
