"""What a comparison was to be before its first run: named then, on record, and held to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from warren.comparison.arms import Arm
from warren.engines import Entry
from warren.errors import InvalidValue, RunMismatch, WarrenError
from warren.population import Goal, Plan, RunRow
from warren.runs.opening import Opened, altered
from warren.space import Space
from warren.training.record import short
from warren.values import Json, canonical, dump

RECORD = "comparison"
"""Name of the run that keeps the design: one without members, in the store of all the others."""

FRESH = 1_000_000
"""What is added to seeds on which found schedules are trained again: no search has seen these."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """What is compared with what, on what, and at what price.

    Attributes:
        arms: What is compared, by name.
        candidate: The strategy in question.
        primary: The control that the verdict is about.
        population: Members of an arm that says nothing else.
        intervals: For each of them.
        budget: Units of compute that each arm may spend on one seed.
        seeds: Replicates: seeds `seed`, `seed` + 1, ...
        seed: The first of them.
        goal: Which scores are better.
        held_out: The metric that is compared, and that no selection sees.
        held_out_goal: Which values of it are better.
        retrain: Fresh seeds on which the schedules that were found are trained again.
        space: What hyperparameters may be.
        raised: Numbers of seeds of earlier calls, where a later one asked for more.
    """

    arms: Mapping[str, Arm]
    candidate: str
    primary: str
    population: int
    intervals: int
    budget: float
    seeds: int
    seed: int
    goal: Goal
    held_out: str
    held_out_goal: Goal
    retrain: int
    space: Space
    raised: tuple[int, ...] = field(default=())

    def __post_init__(self) -> None:
        for what, name in (("candidate", self.candidate), ("primary", self.primary)):
            if name not in self.arms:
                raise InvalidValue(f"{what}={name!r} must be one of the strategies: {', '.join(self.arms)}")
        if self.candidate == self.primary:
            raise InvalidValue(f"primary={self.primary!r} is the candidate itself; name what it is compared with")

    @property
    def sign(self) -> float:
        """What turns held-out values so that greater is better."""
        return 1.0 if self.held_out_goal == "max" else -1.0

    @property
    def replicates(self) -> range:
        """The seeds of the runs."""
        return range(self.seed, self.seed + self.seeds)

    @property
    def others(self) -> tuple[str, ...]:
        """All arms but the candidate, the primary one first."""
        rest = [name for name in self.arms if name not in (self.candidate, self.primary)]
        return (self.primary, *rest)

    def record(self) -> dict[str, Json]:
        """As JSON."""
        apart = ("arms", "space")
        found: dict[str, Json] = {
            one.name: dump(getattr(self, one.name)) for one in fields(self) if one.name not in apart
        }
        found["arms"] = {name: _recorded(arm) for name, arm in self.arms.items()}
        return found


def _recorded(arm: Arm) -> Json:
    try:
        return dump(arm)
    except WarrenError:  # a rule of the user's own that has no name
        return {"unnamed": type(arm.strategy).__name__, "population": arm.population, "intervals": arm.intervals}


def declared(opened: Opened, design: Design, settings: Mapping[str, Json], tell: Callable[[str], None]) -> Design:
    """Put the design on record before anything is trained, or hold it against the one that is there.

    Args:
        opened: The run that keeps it.
        design: What the call asks for.
        settings: Of the candidate's runs, so that other commands can look at the record as at any run.
        tell: Takes a line that the user should see.

    Returns:
        The design, with the numbers of seeds that earlier calls asked for.

    Raises:
        RunMismatch: The store holds another comparison, or one of another task.
    """
    space = {name: settings[name] for name in ("space", "constraints")}
    config = {**settings, RECORD: {**design.record(), **space}}
    if opened.store.create(RunRow(status="done", goal=design.goal, limit=design.intervals), config, Plan()):
        return design
    kept = opened.store.config()
    before = kept.get(RECORD) if isinstance(kept, dict) else None
    if not isinstance(kept, dict) or not isinstance(before, dict):
        raise RunMismatch(f"the run {RECORD!r} in {opened.location} is no comparison's; use another store")
    seeds: Any = before["seeds"]
    raised: Any = before["raised"]
    more = design.seeds > seeds
    design = replace(design, raised=(*raised, seeds) if more else tuple(raised))
    now = {**design.record(), **space}
    free = {"raised", "retrain"} | ({"seeds"} if more else set())
    different = [name for name in now if name not in free and canonical(now[name]) != canonical(before.get(name))]
    if different:
        name, was, wanted = _innermost(different[0], before.get(different[0]), now[different[0]])
        raise RunMismatch(
            f"the comparison in {opened.location} was declared with {name} = {_shown(was)}, and the call has "
            f"{_shown(wanted)}; what is compared is settled before the first run: put it back, or use another store"
        )
    _same_task(opened, Entry.load(kept["entry"]), Entry.load(settings["entry"]), tell)
    if more:
        opened.store.configure({**kept, RECORD: {**before, "seeds": design.seeds, "raised": list(design.raised)}})
    return design


def _same_task(opened: Opened, known: Entry, entry: Entry, tell: Callable[[str], None]) -> None:
    """Runs that are over are not carried out anew, so none may be of another task."""
    other = known.name and entry.name and known.name != entry.name
    changed = [f"{known.name}, now {entry.name}"] if other else altered(known.value, entry.value)
    if changed:
        raise RunMismatch(
            f"the comparison in {opened.location} was begun with another task: {', '.join(changed)}; put it back, or "
            "use another store"
        )
    if known.digest and entry.digest and known.digest != entry.digest:
        tell(f"the code in {entry.file} has changed since the comparison began; runs that are over stay as they are")


def _innermost(name: str, kept: Json, wanted: Json) -> tuple[str, Json, Json]:
    """The first part of two values that differ in which they do, and what it is in each; None where it is not there."""
    while isinstance(kept, dict) and isinstance(wanted, dict) and kept.get("$") == wanted.get("$"):
        both = [*kept, *(key for key in wanted if key not in kept)]
        # As text: 1 and 1.0 are equal, and differ on record.
        one, other = ({key: canonical(value) for key, value in each.items()} for each in (kept, wanted))
        key = next(key for key in both if one.get(key) != other.get(key))
        name, kept, wanted = f"{name}.{key}", kept.get(key), wanted.get(key)
    return name, kept, wanted


def _shown(value: Json) -> str:
    return "nothing" if value is None else short(value)
