"""Stretches of many members as workers write them, and the same taken one by one: what the contract of rounds needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from warren.population import Action, Assign, Hold, MemberRow, Pin, Plan, Report, boundary, changed
from warren.population.rows import Status
from warren.stores import Round, Store, Stretch
from warren.testing.workers import Workers, everything


def tell_the_same(store: Store, twin: Store) -> None:
    """Two stores have the same record, to the last field."""
    ours, its = everything(store), everything(twin)
    for part, found in ours.items():
        assert found == its[part], part
    assert [store.checkpoint(name) for name in ours["kept"]] == [twin.checkpoint(name) for name in ours["kept"]]


def claim_one_by_one(store: Store) -> None:
    """What `Store.claim_all` says that it is the same as."""
    while store.claim("w", since=0).row is not None:
        pass


def one_by_one(store: Store, stretches: Sequence[Stretch], *, more: bool) -> None:
    """What `Store.round` says that it is the same as."""
    for stretch in stretches:
        if stretch.plan is not None:
            version = store.run().memory_version
            store.commit(stretch.token, stretch.plan, seen=stretch.seen, memory_version=version)
    for stretch in stretches:
        for place, report in enumerate(stretch.reports):
            row = next(row for row in store.members() if row.token == stretch.token)
            stays = not boundary(row, report, store.run().limit) and (more or place + 1 < len(stretch.reports))
            store.report(stretch.token, report, since=0, more=stays)
    if more:
        claim_one_by_one(store)


def disturb(store: Store, twin: Store, rng: np.random.Generator, told: Round) -> None:
    """What comes between two rounds from elsewhere, the same in both."""
    pending = [one.id for one in store.intervals() if one.status == "pending"]
    what = str(rng.choice(["fail", "release", "expire", "score", "damage"]))
    for one in (store, twin):
        if what == "expire":
            one.expire(["w"], "silence", counts=False)
        elif what == "score" and pending:
            one.score(pending[0], 0.5)
        elif what == "damage":
            one.damaged({min(store.kept() | {"none"} if one is store else twin.kept() | {"none"}): "cut short"})
        elif told.rows:
            row = min(told.rows.values(), key=lambda row: row.budget)
            if what == "fail":
                one.fail(str(row.token), "it broke")
            elif what == "release":
                one.release(str(row.token))


def random_stretch(
    workers: Workers, rng: np.random.Generator, row: MemberRow, seen: int, longest: int, *, leaves: bool
) -> Stretch:
    """A decision where the member is due, and reports until it is due again or before."""
    plan, due, intervals = None, None, 1 + int(rng.integers(3))
    if row.due <= row.budget:
        plan = _random_plan(workers, rng, row, intervals)
        if plan is None:
            due = row.budget + intervals
        elif any(isinstance(action, Hold) for action in plan.actions):
            return Stretch(token=str(row.token), plan=plan, seen=seen)
        row = changed(row, due=row.budget + intervals)
    reports: list[Report] = []
    for place in range(min(longest, int(rng.integers(1, 4)), min(row.due, workers.store.run().limit) - row.budget)):
        drawn = float(rng.random())
        score = math.nan if drawn < 0.05 else None if drawn < 0.1 else float(rng.normal())
        reports.append(_report(workers, row, score, due=None if place else due, saves=leaves, seen=seen))
        row = changed(row, budget=row.budget + 1)
        if reports[-1].status == "diverged":
            break
    return Stretch(token=str(row.token), plan=plan, seen=seen, reports=tuple(reports))


def _random_plan(workers: Workers, rng: np.random.Generator, row: MemberRow, intervals: int) -> Plan | None:
    what = str(rng.choice(["copy", "keep", "hold", "other", "pin", "none"], p=(0.4, 0.1, 0.05, 0.1, 0.05, 0.3)))
    if what == "none" or row.last is not None:
        return None
    names, keep = sorted(workers.store.kept()), Assign(member=row.member, hyperparameters={"x": 0.25}, via="keep")
    action: Action = replace(keep, intervals=intervals)
    if what == "copy" and names:
        name = names[int(rng.integers(len(names)))]
        action = replace(keep, via="copy", sources=(name,), intervals=intervals)
    elif what == "hold":
        action = Hold(member=row.member, until=row.budget)
    elif what == "other":
        action = replace(keep, member=(row.member + 1) % 5)
    elif what == "pin" and names:
        action = Pin(checkpoint=names[0])
    return Plan(actions=(action,), memory={"n": row.budget} if rng.random() < 0.2 else None, intervals=intervals)


def _report(
    workers: Workers,
    row: MemberRow,
    score: float | None,
    *,
    due: int | None,
    saves: bool = False,
    seen: int | None = None,
) -> Report:
    """As a worker writes it, with a state where one is due."""
    status: Status = "pending" if score is None else "ok" if math.isfinite(score) else "diverged"
    report = Report(score=score if status == "ok" else None, status=status, due=due, seen=seen, metrics={"m": 0.5})
    if status != "diverged" and (saves or workers.saves(row, report)):
        report = replace(report, checkpoint=workers.checkpoint())
    return report


def stretch_of(
    workers: Workers, row: MemberRow, *scores: float, plan: Plan | None = None, seen: int = 0, due: int | None = None
) -> Stretch:
    """Reports on a member, of which the first carries a decision where it is due and there is no plan."""
    if plan is not None:
        row = changed(row, due=row.budget + plan.intervals)
    elif due is None and row.due <= row.budget:
        due = row.budget + len(scores)
    reports = []
    for score in scores:
        reports.append(_report(workers, row, score, due=due))
        row = changed(row, budget=row.budget + 1, due=row.due if due is None else due)
        due = None
    return Stretch(token=str(row.token), plan=plan, seen=seen, reports=tuple(reports))
