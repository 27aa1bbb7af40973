"""CHECK: what must hold of a run's record, whatever happened to it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

from warren.errors import CheckpointDamaged, CheckpointMissing, WarrenError
from warren.population import CheckpointRow, EventRow, IntervalRow, MemberRow, RunRow, better, retained
from warren.stores import Store
from warren.training import States


def check(store: Store, states: States | None = None) -> list[str]:
    """What is wrong with the record of a run; empty where all is well.

    Read it while nothing is writing. At most one lease a member, dense intervals, members that are the fold of their
    intervals, references that can be loaded, the best that is the best.

    Args:
        store: The run.
        states: Loads every checkpoint that is referred to and compares its digest, where given.

    Returns:
        One line for each thing that is wrong.
    """
    return list(_problems(store, states))


def damaged_checkpoints(store: Store, states: States) -> dict[str, str]:
    """Checkpoints that are kept and cannot be loaded whole, each with what is wrong with it."""
    found = {}
    for row in store.checkpoints():
        try:
            states.load(row.name)
        except (CheckpointDamaged, CheckpointMissing) as error:
            found[row.name] = str(error)
    left = store.kept() if found else set()  # a run that goes on may have collected some meanwhile
    return {name: error for name, error in found.items() if name in left}


def _problems(store: Store, states: States | None) -> Iterator[str]:
    run, members, kept = store.run(), store.members(), store.kept()
    by_id = {row.id: row for row in store.intervals()}
    own: dict[int, list[IntervalRow]] = {row.member: [] for row in members}
    for row in by_id.values():
        own.setdefault(row.member, []).append(row)

    yield from _population(store, members)
    yield from _leases(members)
    if run.total != len(by_id):
        yield f"run: total is {run.total}, and there are {len(by_id)} intervals"
    if run.status == "done" and any(row.state in ("waiting", "leased") for row in members):
        yield "run: it is done, and not all of its members are"
    for row in by_id.values():
        yield from _interval(row, by_id)
    rows: dict[str, CheckpointRow] = {}
    for name in sorted(kept):
        try:
            rows[name] = store.checkpoint(name)
            if states is not None:
                states.load(name)
        except WarrenError as error:
            yield f"checkpoint {name} is kept and cannot be loaded: {error}"
    for name, checkpoint in rows.items():
        source = by_id.get(checkpoint.source or 0)
        if checkpoint.member is None:
            continue
        if source is None or source.checkpoint != name or source.age != checkpoint.age:
            yield f"checkpoint {name} does not belong to its interval: {checkpoint!r} of {source!r}"
    events = store.events()
    lost = {str(row.checkpoint) for row in by_id.values() if row.lost is not None}
    lost |= {str(_body(event)["checkpoint"]) for event in events if event.kind == "damaged"}
    yield from _copies(by_id, events)
    for member in members:
        yield from _member(member, own[member.member], rows, run, lost)
    yield from _best(run, by_id, kept)


def _population(store: Store, members: list[MemberRow]) -> Iterator[str]:
    if [row.member for row in members] != list(range(len(members))):
        yield f"members are not numbered from 0: {[row.member for row in members]}"
    config = store.config()
    size = config.get("population") if isinstance(config, dict) else None
    if isinstance(size, int) and len(members) < size:
        yield f"the population has {len(members)} members, and {size} were asked for"


def _leases(members: list[MemberRow]) -> Iterator[str]:
    tokens: set[str] = set()
    for row in members:
        if (row.state == "leased") != (row.token is not None) or (row.token is None) != (row.worker is None):
            yield f"member {row.member}: it is {row.state}, with token {row.token!r} of worker {row.worker!r}"
        if row.token is not None and row.token in tokens:
            yield f"member {row.member}: its token {row.token} is another member's too"
        tokens |= {row.token} if row.token is not None else set()


def _interval(row: IntervalRow, by_id: Mapping[int, IntervalRow]) -> Iterator[str]:
    where = f"interval {row.id} (member {row.member}, {row.interval})"
    if (row.status == "ok") != (row.score is not None) or (row.score is not None and not math.isfinite(row.score)):
        yield f"{where}: its status is {row.status} with score {row.score}"
    if (row.scored is None) != (row.status == "pending"):
        yield f"{where}: its status is {row.status}, scored at {row.scored}"
    for parent in row.parents:
        if parent not in by_id or parent >= row.id:
            yield f"{where}: its parent {parent} is not an earlier interval"
    first = by_id.get(row.parents[0]) if row.parents else None
    if first is not None and row.age != first.age + 1:
        yield f"{where}: its age is {row.age}, and its parent's {first.age}"
    if row.origin == "fresh" and (row.parents or row.age != 1):
        yield f"{where}: it is fresh, with age {row.age} and parents {row.parents}"
    if row.origin in ("exploit", "rescue") and not row.parents:
        yield f"{where}: it is a copy of nothing"
    if row.via is not None and row.origin not in ("exploit", "rescue"):
        yield f"{where}: it is combined by {row.via}, and its origin is {row.origin}"


def _member(
    row: MemberRow,
    reports: list[IntervalRow],
    checkpoints: Mapping[str, CheckpointRow],
    run: RunRow,
    lost: Set[str],
) -> Iterator[str]:
    where = f"member {row.member}"
    numbers = [report.interval for report in reports]
    if numbers != list(range(1, len(reports) + 1)):
        yield f"{where}: its intervals are not dense: {numbers}"
        return
    if row.budget != len(reports) or row.budget > run.limit:
        yield f"{where}: its budget is {row.budget} of {run.limit}, and it has {len(reports)} intervals"
        return
    if row.sources and row.sources[0] != row.start:
        yield f"{where}: it starts from {row.start}, and combines {row.sources}"
    for name in (row.start, row.kept, *row.sources, *row.opponents):
        if row.state == "leased" and name in lost:
            continue  # its worker loaded it before it was found damaged, or will find out when it does
        if name is not None and name not in checkpoints:
            yield f"{where}: it refers to checkpoint {name}, which cannot be loaded"
    for report in retained(reports):
        if report.checkpoint not in checkpoints:
            yield f"{where}: the checkpoint of its interval {report.interval} was given up"
    yield from _state(row, reports, checkpoints)


def _state(row: MemberRow, reports: list[IntervalRow], checkpoints: Mapping[str, CheckpointRow]) -> Iterator[str]:
    """Whether the member's present state is what its intervals lead to."""
    where = f"member {row.member}"
    provisional = reports[row.saved :]
    if row.last is None:
        # A divergence uses up an interval and takes the work of its stretch with it.
        if provisional:
            yield f"{where}: it is saved at {row.saved}, and {len(provisional)} intervals came after"
    elif not provisional or provisional[-1].id != row.last:
        yield f"{where}: its last interval is {row.last}, and not {provisional[-1].id if provisional else 'any'}"
    if any(report.checkpoint is not None for report in provisional):
        yield f"{where}: it is saved at {row.saved}, and there is a newer checkpoint of its own"
    start = checkpoints.get(row.start) if row.start is not None else None
    age = (0 if start is None else start.age) + len(provisional)
    if (row.start is None or start is not None) and row.age != age:
        yield f"{where}: its age is {row.age}, and its state's {age}"
    made_of = [checkpoints.get(name) for name in row.sources] or [start]
    parents = tuple(one.source for one in made_of if one is not None and one.source is not None)
    known = row.start is None or None not in made_of
    if known and row.parents != parents:
        yield f"{where}: its parents are {row.parents}, and its state's {parents}"
    newest = max((report for report in reports if report.checkpoint is not None), default=None, key=_number)
    if row.origin == "continue" and (newest is None or row.start != newest.checkpoint):
        yield f"{where}: it goes on from {row.start}, and not from its newest checkpoint"


def _copies(by_id: Mapping[int, IntervalRow], events: Iterable[EventRow]) -> Iterator[str]:
    """Whether somebody decided each copy."""
    decided = {
        (action["member"], source)
        for event in events
        if event.kind == "decision"
        for action in _body(event)["actions"]
        for source in action.get("sources", ())
    }
    for row in by_id.values():
        donor = by_id.get(row.parents[0]) if row.parents else None
        if row.origin in ("exploit", "rescue") and donor is not None and (row.member, donor.checkpoint) not in decided:
            yield f"interval {row.id} (member {row.member}, {row.interval}): it starts from a copy that nobody decided"


def _body(event: EventRow) -> dict[str, Any]:
    return event.body if isinstance(event.body, dict) else {}


def _number(report: IntervalRow) -> int:
    return report.interval


def _best(run: RunRow, by_id: Mapping[int, IntervalRow], kept: set[str]) -> Iterator[str]:
    # A score that came late competes only where its state was still there then, which the record does not say; and
    # where the best was found damaged, only what was kept beside it took its place.
    fallen = any(row.lost is not None for row in by_id.values())
    rivals = [row for row in by_id.values() if row.score is not None and row.checkpoint is not None]
    if run.best is None:
        if not fallen and any(row.scored == row.revision for row in rivals):
            yield "run: it has no best interval, and there are scores"
        return
    best = by_id.get(run.best)
    if best is None or best.score != run.best_score or best.checkpoint != run.best_checkpoint:
        yield f"run: its best interval {run.best} with {run.best_score} in {run.best_checkpoint} is {best!r}"
        return
    if run.best_checkpoint not in kept:
        yield f"run: its best checkpoint {run.best_checkpoint} was given up"
    for row in rivals:
        if row.score is None or best.score is None or not better(row.score, best.score, run.goal):
            continue
        if (row.scored == row.revision and not fallen) or row.checkpoint in kept:
            yield f"run: its best score is {best.score}, and interval {row.id} has {row.score}"
