from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from warren.errors import StaleLease, StaleView
from warren.population import Assign, Hold, MemberRow, Plan, Report, WorkerRow
from warren.stores import MemoryStore, Store
from warren.stores.sqlite import SQLiteStore
from warren.testing.check import check
from warren.testing.stretches import tell_the_same
from warren.testing.workers import Workers, everything

Make = Callable[[], Store]


@pytest.fixture(params=["memory", "sqlite"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    names = itertools.count()
    with ExitStack() as opened:

        def made() -> Store:
            if request.param == "memory":
                return MemoryStore()
            store = SQLiteStore(tmp_path / f"{next(names)}.db")
            opened.callback(store.close)
            return store

        yield made


def plan_for(row: MemberRow, *sources: str, via: str = "copy", memory: int | None = None) -> Plan:
    action = Assign(member=row.member, hyperparameters={"x": -1.0}, sources=sources, via=via)
    return Plan(actions=(action,), memory=memory)


@pytest.mark.parametrize("more", [True, False])
@pytest.mark.parametrize("how", ["copy", "keep", "fresh", "memory"])
def test_a_report_with_a_plan_leaves_the_record_of_both_one_after_another(make: Make, how: str, more: bool) -> None:
    stores = [make(), make()]
    for joined, store in zip((True, False), stores, strict=True):
        workers = Workers(store)
        for score in (1.0, 2.0, 3.0, 4.0):
            workers.round(score, 2 * score, 3 * score)
            row = workers.claim()
            sources = (workers.start_of(2),) if how in ("copy", "memory") else ()
            via = "copy" if how == "memory" else how
            plan = plan_for(row, *sources, via=via, memory=int(score) if how == "memory" else None)
            report = Report(score=score / 2, checkpoint=workers.checkpoint())
            run = store.run()
            seen, version, token = run.revision, run.memory_version, str(row.token)
            if joined:
                turn = store.report(
                    token, report, since=seen, more=more, plan=plan, seen=seen, memory_version=version
                )  # fmt: skip
            else:
                store.commit(token, plan, seen=seen, memory_version=version)
                turn = store.report(token, report, since=seen, more=more)
            assert turn.run.revision == seen + 2 + more
            if turn.row is not None:
                store.release(str(turn.row.token))
            for other in (1, 2):
                workers.report(workers.claim_member(other), score)
        assert check(store) == []
    tell_the_same(*stores)


def test_a_plan_whose_source_is_gone_leaves_nothing_of_the_report(make: Make) -> None:
    store = make()
    workers = Workers(store)
    workers.round(1.0, 2.0, 3.0)
    row, gone = workers.claim(), workers.start_of(2)
    store.damaged({gone: "cut short"})
    before = everything(store)
    report = Report(score=1.0, checkpoint=workers.checkpoint())
    with pytest.raises(StaleView, match="can no longer be loaded"):
        store.report(str(row.token), report, since=0, plan=plan_for(row, gone))
    assert everything(store) == before
    assert store.report(str(row.token), report, since=0).news[-1].origin == "continue"


def test_a_plan_on_another_version_of_the_memory_is_refused_with_its_report(make: Make) -> None:
    store = make()
    workers = Workers(store)
    workers.round(1.0, 2.0, 3.0)
    row = workers.claim()
    before = everything(store)
    report = Report(score=1.0, checkpoint=workers.checkpoint())
    with pytest.raises(StaleView, match="the strategy's memory is at version 0, not 7"):
        store.report(str(row.token), report, since=0, plan=Plan(memory=1), memory_version=7)
    assert everything(store) == before


def test_a_lost_lease_refuses_plan_and_report_alike(make: Make) -> None:
    store = make()
    workers = Workers(store)
    workers.round(1.0, 2.0, 3.0)
    row = workers.claim()
    store.register(WorkerRow(worker="w", host="h", pid=1))
    store.expire(["w"], "silent", counts=False)
    before = everything(store)
    report = Report(score=1.0, checkpoint=workers.checkpoint())
    with pytest.raises(StaleLease):
        store.report(str(row.token), report, since=0, plan=plan_for(row, workers.start_of(2)))
    assert everything(store) == before


def test_a_plan_that_takes_the_member_away_leaves_nothing_of_the_report(make: Make) -> None:
    store = make()
    workers = Workers(store)
    workers.round(1.0, 2.0, 3.0)
    row = workers.claim()
    before = everything(store)
    report = Report(score=1.0, checkpoint=workers.checkpoint())
    with pytest.raises(StaleLease):
        store.report(str(row.token), report, since=0, plan=Plan(actions=(Hold(member=row.member, until=1),)))
    assert everything(store) == before
