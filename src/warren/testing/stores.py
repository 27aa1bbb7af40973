"""The contract of stores, as tests: subclass it, give it the fixture, let pytest collect it."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from warren.checkpoints import MemoryCheckpoints
from warren.errors import CheckpointMissing, InvalidValue, StaleLease, StaleView
from warren.population import (
    Action,
    Assign,
    CheckpointRow,
    EventRow,
    Hold,
    IntervalRow,
    MemberRow,
    Pin,
    Plan,
    Report,
    Retire,
    RunRow,
    Unpin,
    WorkerRow,
)
from warren.state import digest, encode
from warren.stores import Store
from warren.testing.check import check
from warren.testing.damage import DamageContract
from warren.testing.rounds import RoundContract
from warren.testing.workers import Workers, everything, random_step
from warren.training import States
from warren.values import Json

__all__ = ["StoreContract", "Workers", "everything", "random_step"]


class StoreContract(DamageContract, RoundContract):
    """What `warren.stores.Store` promises. Override the fixture `store`."""

    @pytest.fixture
    def store(self) -> Store | Iterator[Store]:
        """A fresh, empty store."""
        raise NotImplementedError("override the fixture `store` with one that gives a fresh, empty store")

    @pytest.fixture(autouse=True)
    def checked(self, store: Store) -> Iterator[None]:
        """CHECK after every test."""
        yield
        if store.exists():
            assert check(store, States(store, MemoryCheckpoints())) == []

    # -- the run ------------------------------------------------------------------------------------------------

    def test_a_run_is_made_once(self, store: Store) -> None:
        """The second call changes nothing."""
        assert not store.exists()
        Workers(store, population=3, limit=7, stretch=2, goal="min", stop={"score": 1.0})
        assert store.exists()
        before = everything(store)
        action = Assign(member=0, hyperparameters={"x": 9.0}, via="fresh")
        assert store.create(RunRow(limit=1), {"other": 1}, Plan(actions=(action,))) is False
        assert everything(store) == before
        assert store.config() == {"population": 3}
        run = store.run()
        assert (run.limit, run.goal, run.stop, run.status, run.total) == (7, "min", {"score": 1.0}, "running", 0)
        assert [(row.member, row.state, row.budget, row.due) for row in store.members()] == [
            (0, "waiting", 0, 2),
            (1, "waiting", 0, 2),
            (2, "waiting", 0, 2),
        ]
        assert store.member(1) == store.members()[1]
        assert store.member(1).hyperparameters == {"x": 1.0}

    def test_a_run_that_cannot_be_made_is_not_made(self, store: Store) -> None:
        """It happens whole or not at all."""
        good = Assign(member=0, hyperparameters={"x": 0.0}, via="fresh")
        bad = Assign(member=1, hyperparameters={"x": 1.0}, sources=("nowhere",))
        with pytest.raises(StaleView, match="nowhere"):
            store.create(RunRow(), {"old": True}, Plan(actions=(good, bad)))
        assert not store.exists()
        Workers(store, population=3)
        assert len(store.members()) == 3
        assert store.config() == {"population": 3}

    def test_a_warm_start(self, store: Store) -> None:
        """A checkpoint from outside the run is where members start, and is kept."""
        data = encode({"number": -1}).tobytes()
        row = CheckpointRow(name="warm.safetensors", digest=digest([data]), size=len(data), inline=data, age=5)
        actions = tuple(Assign(member=m, hyperparameters={}, sources=(row.name,)) for m in range(2))
        assert store.create(RunRow(limit=9), {}, Plan(actions=actions), [row])
        member = store.member(0)
        assert (member.start, member.origin, member.age, member.parents) == (row.name, "warm", 5, ())
        assert store.checkpoint(row.name).pinned
        assert store.checkpoint(row.name).inline == data
        self._run_through(store, 4)
        assert row.name in store.kept()

    @staticmethod
    def _run_through(store: Store, reports: int) -> None:
        for number in range(reports):
            row = store.claim("w", since=0).row
            assert row is not None
            data = encode({"step": number}).tobytes()
            name = digest([data])
            saved = CheckpointRow(name=f"{name}-{number}.safetensors", digest=name, size=len(data), inline=data)
            store.report(str(row.token), Report(score=1.0, checkpoint=saved), since=0, more=False)

    def test_the_configuration_is_replaced(self, store: Store) -> None:
        """JSON of any shape comes back as it was."""
        Workers(store)
        config: Json = {"a": [1, 2.5, None, True, "ü"], "b": {"c": {}}, "population": 3}
        store.configure(config)
        assert store.config() == config

    def test_fields_of_the_run_are_changed(self, store: Store) -> None:
        """A stop is an event with its reason."""
        Workers(store)
        before = store.run()
        run = store.update(limit=20, synchronous=True, elapsed=2.5, stop={"patience": 3})
        assert (run.limit, run.synchronous, run.elapsed, run.stop) == (20, True, 2.5, {"patience": 3})
        assert run.revision > before.revision
        assert store.run() == run
        assert store.events() == []
        store.update(status="stopped", reason="enough")
        assert [(event.kind, event.body) for event in store.events()] == [("stop", "enough")]

    def test_what_is_not_there(self, store: Store) -> None:
        """Asking for a row that there is not is an error that names it."""
        Workers(store)
        with pytest.raises(InvalidValue, match="99"):
            store.member(99)
        with pytest.raises(InvalidValue, match="77"):
            store.interval(77)
        with pytest.raises(CheckpointMissing, match="nothing-here"):
            store.checkpoint("nothing-here")

    # -- claims -------------------------------------------------------------------------------------------------

    def test_the_least_trained_comes_first(self, store: Store) -> None:
        """Then the lowest number."""
        workers = Workers(store, population=3)
        order = []
        for member in (0, 1, 2, 0, 1, 2):
            row = workers.claim()
            order.append((row.member, row.budget))
            workers.report(row, float(member))
        assert order == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]
        first, second, third = workers.claim(), workers.claim(), workers.claim()
        workers.report(third, 0.0)
        store.release(str(second.token))
        store.release(str(first.token))
        assert [workers.claim().member for _ in range(3)] == [0, 1, 2]

    def test_a_claim_is_a_lease(self, store: Store) -> None:
        """With a token that no other lease has had."""
        workers = Workers(store, population=1)
        tokens = set()
        for _ in range(5):
            row = workers.claim("somebody")
            assert (row.state, row.worker) == ("leased", "somebody")
            assert store.member(0) == row
            tokens.add(row.token)
            store.release(str(row.token))
        assert len(tokens) == 5

    def test_nothing_is_free(self, store: Store) -> None:
        """A worker may come back later; a run that is over says so."""
        workers = Workers(store, population=1, limit=1)
        row = workers.claim("a")
        turn = store.claim("b", since=0)
        assert (turn.row, turn.ended) == (None, None)
        workers.report(row, 1.0)
        turn = store.claim("b", since=0)
        assert (turn.row, turn.ended) == (None, "done")
        assert [one.score for one in turn.news] == [1.0]

    def test_a_run_that_is_stopped_hands_nothing_out(self, store: Store) -> None:
        """And says why."""
        workers = Workers(store)
        row = workers.claim()
        store.update(status="stopped", reason="enough")
        assert store.claim("w", since=0).ended == "enough"
        turn = workers.report(row, 1.0, more=True)
        assert (turn.row, turn.ended) == (None, "enough")
        assert store.member(0).state == "waiting"
        store.update(status="running", reason=None)
        assert workers.claim().member == 1

    def test_claims_exclude_each_other(self, store: Store) -> None:
        """No two threads ever hold one member."""
        Workers(store, population=100)
        start = threading.Barrier(8)

        def work(number: int) -> list[int]:
            start.wait()
            found = []
            while (row := store.claim(f"w{number}", since=0).row) is not None:
                found.append(row.member)
            return found

        with ThreadPoolExecutor(8) as pool:
            claimed = [member for found in pool.map(work, range(8)) for member in found]
        assert sorted(claimed) == list(range(100))

    def test_several_threads_finish_a_run(self, store: Store) -> None:
        """Every interval of every member is there once."""
        workers = Workers(store, population=5, limit=6)

        def work(number: int) -> None:
            turn = store.claim(f"w{number}", since=0)
            while turn.ended is None:
                turn = (
                    workers.report(turn.row, float(turn.row.budget), more=True)
                    if turn.row is not None
                    else store.claim(f"w{number}", since=0)
                )

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
        found = sorted((row.member, row.interval) for row in store.intervals())
        assert found == [(member, interval) for member in range(5) for interval in range(1, 7)]
        assert all(row.state == "done" for row in store.members())

    # -- stale tokens -------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("how", ["unknown", "released", "expired", "failed", "reported", "leased again"])
    def test_a_stale_token_is_refused(self, store: Store, how: str) -> None:
        """Whatever it wants to write, and nothing of it is written."""
        workers = Workers(store, population=2)
        workers.round(1.0, 2.0)
        row = workers.claim("zombie")
        token = str(row.token)
        if how == "unknown":
            token = "never"
        elif how == "failed":
            store.fail(token, "it broke")
        elif how == "reported":
            workers.report(row, 3.0)
        elif how == "released":
            store.release(token)
        else:
            assert store.expire(["zombie"], "silence", counts=False) == 1
        if how == "leased again":
            assert workers.claim("other").member == row.member
        before = everything(store)
        report = Report(score=9.0, checkpoint=workers.checkpoint())
        donor = Assign(member=row.member, hyperparameters={}, sources=(workers.start_of(1),))
        writes: list[Callable[[], object]] = [
            lambda: store.report(token, report, since=0),
            lambda: store.report(token, report, since=0, more=False),
            lambda: store.commit(token, Plan(), seen=1, memory_version=0),
            lambda: store.commit(token, Plan(actions=(donor,), memory=1), seen=1, memory_version=0),
            lambda: store.fail(token, "it broke"),
            lambda: store.release(token),
        ]
        for write in writes:
            with pytest.raises(StaleLease):
                write()
            assert everything(store) == before

    # -- reports ------------------------------------------------------------------------------------------------

    def test_a_member_stays_until_it_is_due(self, store: Store) -> None:
        """The lease is kept between the reports of a stretch; then another member's turn comes."""
        workers = Workers(store, population=2, stretch=3)
        row = workers.claim()
        token = row.token
        for budget in (1, 2):
            turn = workers.report(row, 1.0, more=True)
            assert turn.row is not None
            row = turn.row
            assert (row.member, row.budget, row.token, row.state) == (0, budget, token, "leased")
        turn = workers.report(row, 1.0, more=True)
        assert turn.row is not None
        assert (turn.row.member, turn.row.budget) == (1, 0)
        assert (store.member(0).state, store.member(0).budget, store.member(0).due) == ("waiting", 3, 3)

    def test_a_report_carries_the_next_decision(self, store: Store) -> None:
        """A decision to go on as before needs no transaction of its own."""
        workers = Workers(store, population=1)
        workers.round(1.0)
        turn = workers.report(workers.claim(), 2.0, more=True, due=3, seen=4)
        assert turn.row is not None
        assert (turn.row.budget, turn.row.due, turn.row.state) == (2, 3, "leased")
        assert store.intervals()[-1].seen == 4
        assert store.intervals()[-1].boundary is False
        workers.report(turn.row, 3.0)
        assert store.intervals()[-1].boundary is True

    def test_a_worker_that_leaves_keeps_nothing(self, store: Store) -> None:
        """Without `more` the member goes back, also inside a stretch."""
        workers = Workers(store, population=1, stretch=3)
        turn = workers.report(workers.claim(), 1.0, more=False)
        assert (turn.row, turn.ended) == (None, "left")
        assert store.member(0).state == "waiting"
        assert store.member(0).budget == 1

    def test_done_at_the_limit(self, store: Store) -> None:
        """Also where the next decision would come later."""
        workers = Workers(store, population=1, limit=3, stretch=5)
        row = workers.claim()
        for _ in range(2):
            turn = workers.report(row, 1.0, more=True)
            assert turn.row is not None
            row = turn.row
        turn = workers.report(row, 1.0, more=True)
        assert (turn.row, turn.ended) == (None, "done")
        assert (store.member(0).state, store.member(0).budget) == ("done", 3)
        assert [row.boundary for row in store.intervals()] == [False, False, True]

    def test_a_report_comes_back_whole(self, store: Store) -> None:
        """Every field, in its type."""
        workers = Workers(store, population=1)
        saved = workers.checkpoint()
        row = workers.claim("me")
        fields: dict[str, Any] = {
            "before": 0.25,
            "samples": (1.0, 2.0),
            "curve": ((0.5, 1.0), (1.0, 2.0)),
            "metrics": {"loss": 0.5, "big": 1e300, "inf": math.inf},
            "cost": 2.5,
            "results": {"someone": 1.0},
            "seconds": 1.5,
            "overhead": 0.125,
            "seen": 1,
        }
        workers.report(row, 0.1 + 0.2, checkpoint=saved, **fields)
        [found] = store.intervals()
        assert store.interval(found.id) == found
        expected = IntervalRow(
            id=found.id, member=0, interval=1, age=1, birth=0, parents=(), origin="fresh", hyperparameters={"x": 0.0},
            score=0.1 + 0.2, status="ok", checkpoint=saved.name, boundary=True, worker="me", group="", role="train",
            tag=None, revision=store.run().revision, scored=store.run().revision, voided=None, **fields,
        )  # fmt: skip
        assert found == expected
        assert asdict(found) == asdict(expected)
        assert found.boundary is True  # and not 1
        stored = store.checkpoint(saved.name)
        assert stored == replace(
            saved, member=0, interval=1, age=1, source=found.id, boundary=True, revision=found.revision
        )
        assert stored.pinned is False

    def test_a_member_goes_on_from_its_report(self, store: Store) -> None:
        """Start, parents and counters."""
        workers = Workers(store, population=1)
        workers.round(1.0)
        workers.round(2.0)
        first, second = store.intervals()
        assert (second.parents, second.origin, second.age, second.interval) == ((first.id,), "continue", 2, 2)
        row = store.member(0)
        assert (row.start, row.saved, row.parents, row.age, row.budget) == (second.checkpoint, 2, (second.id,), 2, 2)

    def test_news_since_a_revision(self, store: Store) -> None:
        """A turn brings what the worker does not know."""
        workers = Workers(store, population=2)
        row = workers.claim("a")
        other = workers.claim("b")
        known = workers.report(row, 1.0).run.revision
        turn = workers.report(other, 2.0, since=known)
        assert [one.score for one in turn.news] == [2.0]
        assert [one.score for one in store.claim("a", since=0).news] == [1.0, 2.0]
        assert list(store.claim("a", since=store.run().revision).news) == []

    def test_what_a_worker_that_begins_has_to_know(self, store: Store) -> None:
        """Of each member the last intervals, down to where the least-trained one looks back; and what can be copied."""
        workers = Workers(store, population=3, limit=30)
        workers.round(9.0, 0.0, 0.0)  # the best of all: its state stays
        for score in (1.0, 2.0, 3.0):
            workers.round(score, score, score)
        lagging = workers.claim_member(1, "slow")
        for _ in range(8):
            for row in (workers.claim(), workers.claim()):
                workers.report(row, 4.0)
        assert [row.budget for row in store.members()] == [12, 4, 12]
        whole, everything, some = store.changes(0), store.recent(None), store.recent(3)
        assert (everything.row, everything.run, list(everything.news)) == (None, whole.run, list(whole.news))
        assert (some.row, some.ended, some.run, some.aside) == (None, None, whole.run, whole.aside)
        assert [one.id for one in some.news] == sorted(one.id for one in some.news)
        intervals = {m: [one.interval for one in some.news if one.member == m] for m in range(3)}
        assert intervals == {0: list(range(1, 13)), 1: [2, 3, 4], 2: list(range(2, 13))}
        store.release(str(lagging.token))

    # -- synchronous --------------------------------------------------------------------------------------------

    def test_synchronous_members_wait_for_each_other(self, store: Store) -> None:
        """Nobody starts an interval before all have ended the one before."""
        workers = Workers(store, population=3, synchronous=True)
        first, second, third = workers.claim("a"), workers.claim("b"), workers.claim("c")
        workers.report(first, 1.0)
        workers.report(second, 1.0)
        turn = store.claim("a", since=0)
        assert (turn.row, turn.ended) == (None, None)
        assert workers.report(third, 1.0, more=True).row is not None
        assert workers.claim("a").member == 1

    def test_the_dead_do_not_hold_up_the_others(self, store: Store) -> None:
        """Quarantined and retired members are not waited for."""
        workers = Workers(store, population=3, synchronous=True, tries=1)
        rows = [workers.claim() for _ in range(3)]
        workers.report(rows[0], 1.0)
        store.fail(str(rows[1].token), "it broke")
        workers.decide(rows[2], Retire(member=2))
        assert [row.state for row in store.members()] == ["waiting", "quarantined", "done"]
        assert workers.claim().member == 0

    # -- decisions ----------------------------------------------------------------------------------------------

    def test_an_exploit(self, store: Store) -> None:
        """The recipient starts from the donor's state, with its age; its own is kept for what is not copied."""
        workers = Workers(store, population=2)
        workers.round(1.0, 2.0)
        workers.report(workers.claim_member(1), 3.0)
        donor = store.intervals()[-1]
        own = workers.start_of(0)
        row = workers.claim()
        seen = store.run().revision
        committed = workers.copy(row, 1, hyperparameters={"x": 7.0}, intervals=2, tag={"n": 1}, group="g")
        assert committed == store.member(0)
        assert (committed.token, committed.state) == (row.token, "leased")
        assert (committed.start, committed.kept, committed.parents) == (donor.checkpoint, own, (donor.id,))
        assert (committed.age, committed.budget, committed.saved, committed.due) == (2, 1, 1, 3)
        assert (committed.origin, committed.hyperparameters) == ("exploit", {"x": 7.0})
        assert (committed.tag, committed.group, committed.role) == ({"n": 1}, "g", "train")
        [event] = store.events()
        assert (event.kind, event.member, event.revision) == ("decision", 0, committed.revision)
        assert isinstance(event.body, dict)
        assert (event.body["interval"], event.body["seen"]) == (1, seen)
        turn = workers.report(committed, 4.0, more=True)
        row_, report = store.member(0), store.intervals()[-1]
        assert turn.row == row_
        assert (report.parents, report.origin, report.age, report.interval) == ((donor.id,), "exploit", 3, 2)
        assert (report.hyperparameters, report.tag, report.group) == ({"x": 7.0}, {"n": 1}, "g")
        assert (row_.start, row_.kept, row_.origin) == (report.checkpoint, None, "continue")

    def test_fresh_and_keep(self, store: Store) -> None:
        """A decision may start a member afresh, or change its hyperparameters only."""
        workers = Workers(store, population=1)
        workers.round(1.0)
        row = workers.claim()
        start = row.start
        kept = workers.decide(row, Assign(member=0, hyperparameters={"x": 5.0}, via="keep", intervals=3))
        assert (kept.start, kept.age, kept.hyperparameters, kept.due) == (start, 1, {"x": 5.0}, 4)
        fresh = workers.decide(kept, Assign(member=0, hyperparameters={"x": 6.0}, via="fresh"))
        assert (fresh.start, fresh.age, fresh.parents, fresh.budget) == (None, 0, (), 1)
        assert (fresh.origin, fresh.birth) == ("fresh", 1)
        workers.report(fresh, 2.0)
        report = store.intervals()[-1]
        assert (report.origin, report.age, report.interval, report.birth) == ("fresh", 1, 2, 1)

    def test_a_donor_that_was_given_up(self, store: Store) -> None:
        """The decision is refused whole, and can be taken again."""
        workers = Workers(store, population=2)
        workers.round(1.0, 2.0)
        gone = workers.start_of(1)
        row = workers.claim("slow")
        for score in (3.0, 4.0, 5.0):
            workers.report(workers.claim_member(1), score)
        assert gone not in store.kept()
        before = everything(store)
        good = Assign(member=0, hyperparameters={"x": 1.0}, via="keep")
        bad = Assign(member=0, hyperparameters={"x": 2.0}, sources=(workers.start_of(1), gone))
        with pytest.raises(StaleView, match="again"):
            workers.decide(row, good, bad, memory={"n": 1})
        assert everything(store) == before
        assert workers.copy(row, 1).origin == "exploit"

    def test_a_state_of_several(self, store: Store) -> None:
        """All sources are kept until it was trained and saved, and no longer; they are its parents, in order."""
        workers = Workers(store, population=3, stretch=2, limit=6)
        workers.round(1.0, 2.0, 3.0)
        workers.round(1.0, 2.0, 3.0)
        row = workers.claim()
        own, sources = row.start, (workers.start_of(2), workers.start_of(1))
        parents = tuple(store.checkpoint(name).source for name in sources)
        action = Assign(member=0, hyperparameters={}, sources=sources, via="mean", intervals=2)
        row = workers.decide(row, action)
        assert (row.sources, row.start, row.via, row.kept) == (sources, sources[0], "mean", own)
        assert (row.parents, row.age, row.origin, row.birth) == (parents, 2, "exploit", 1)
        for score in (3.0, 4.0, 5.0, 6.0):
            for member in (1, 2):
                workers.report(workers.claim_member(member), score)
        assert [store.member(member).state for member in (1, 2)] == ["done", "done"]
        assert set(sources) <= store.kept()
        store.release(str(row.token))
        row = workers.claim_member(0)
        assert (row.sources, row.via, row.parents) == (sources, "mean", parents)
        workers.report(row, 9.0, checkpoint=None)
        row = store.member(0)
        report = store.intervals()[-1]
        assert (report.parents, report.via, report.origin, report.age) == (parents, "mean", "exploit", 3)
        assert (row.sources, row.via, row.parents) == ((), "keep", (report.id,))
        assert not set(sources) & store.kept()

    def test_a_state_of_several_is_made_again_until_it_is_saved(self, store: Store) -> None:
        """What is reported and not saved is taken back with it; what comes after is no combination."""
        workers = Workers(store, population=2, save_every=9)
        workers.round(1.0, 2.0)
        row = workers.claim()
        own, sources = str(row.start), (workers.start_of(1), str(row.start))
        workers.decide(row, Assign(member=0, hyperparameters={}, sources=sources, via="mean", intervals=3))
        row = workers.report(store.member(0), 1.0, more=True).row or row
        assert (store.intervals()[-1].via, row.sources, row.last) == ("mean", sources, store.intervals()[-1].id)
        row = workers.report(row, 1.0, more=True).row or row
        assert (store.intervals()[-1].via, store.intervals()[-1].origin) == (None, "continue")
        store.fail(str(row.token), "it broke")
        row = workers.claim_member(0)
        assert (row.sources, row.via, row.budget, row.start) == (sources, "mean", 1, sources[0])
        kept = workers.decide(row, Assign(member=0, hyperparameters={"x": 1.0}, via="keep"))
        assert (kept.sources, kept.via, kept.origin, kept.hyperparameters) == (sources, "mean", "exploit", {"x": 1.0})
        copied = workers.decide(kept, Assign(member=0, hyperparameters={}, sources=(own,)))
        assert (copied.sources, copied.via, copied.start) == ((), "copy", own)

    def test_what_cannot_be_combined(self, store: Store) -> None:
        """Nothing, and what no interval of the run has made."""
        warm = Workers.over(store).checkpoint()
        start = Assign(member=0, hyperparameters={}, sources=(warm.name,))
        store.create(RunRow(limit=4), {"population": 1}, Plan(actions=(start,)), [warm])
        workers = Workers.over(store)
        row = workers.claim()
        before = everything(store)
        for sources, words in (((), "sources is empty"), ((warm.name,), "the run was started from")):
            with pytest.raises(InvalidValue, match=words):
                workers.decide(row, Assign(member=0, hyperparameters={}, sources=sources, via="mean"))
            assert everything(store) == before

    def test_a_damaged_source_of_several(self, store: Store) -> None:
        """The member falls back to its own state, and may choose again."""
        workers = Workers(store, population=3)
        workers.round(1.0, 2.0, 3.0)
        row = workers.claim()
        own, sources = row.start, (workers.start_of(1), workers.start_of(2))
        row = workers.decide(row, Assign(member=0, hyperparameters={}, sources=sources, via="mean", intervals=4))
        store.damaged({sources[1]: "cut short"}, str(row.token))
        after = store.member(0)
        assert (after.start, after.sources, after.origin, after.due) == (own, (), "fallback", 1)

    def test_opponents(self, store: Store) -> None:
        """They stay with the member until its next assignment, are kept so long, and stand in its reports."""
        workers = Workers(store, population=3, limit=5)
        workers.round(1.0, 2.0, 3.0)
        row = workers.claim()
        met = (workers.start_of(1), workers.start_of(2))
        row = workers.decide(row, Assign(member=0, hyperparameters={}, via="keep", opponents=met))
        for score in (3.0, 4.0, 5.0, 6.0):
            for member in (1, 2):
                workers.report(workers.claim_member(member), score)
        workers.report(row, 9.0, results={met[0]: 0.5})
        report = store.intervals()[-1]
        assert (report.opponents, report.results) == (met, {met[0]: 0.5})
        assert store.member(0).opponents == met
        assert set(met) <= store.kept()
        row = workers.decide(workers.claim_member(0), intervals=1)
        store.damaged({met[1]: "cut short"}, str(row.token))
        assert store.member(0).opponents == met[:1]  # it is no reason to fall back
        assert store.member(0).origin == "continue"
        row = workers.claim_member(0)
        with pytest.raises(StaleView, match="again"):
            workers.decide(row, Assign(member=0, hyperparameters={}, via="keep", opponents=met))
        workers.decide(row, Assign(member=0, hyperparameters={}, via="keep"))
        workers.report(store.member(0), 9.0)
        assert store.intervals()[-1].opponents == ()

    def test_going_on_as_before_is_a_decision(self, store: Store) -> None:
        """With nothing but the next time."""
        workers = Workers(store, population=1)
        workers.round(1.0)
        row = workers.decide(workers.claim(), intervals=4)
        assert (row.due, row.hyperparameters, row.origin) == (5, {"x": 0.0}, "continue")
        assert store.events()[-1].kind == "decision"

    def test_the_strategy_keeps_a_memory(self, store: Store) -> None:
        """A decision on an older memory is refused; one without leaves it."""
        workers = Workers(store, population=2)
        workers.round(1.0, 2.0)
        first, second = workers.claim("a"), workers.claim("b")
        version = store.run().memory_version
        plan = Plan(memory={"n": [1, None]})
        store.commit(str(first.token), plan, seen=store.run().revision, memory_version=version)
        run = store.run()
        assert (run.memory, run.memory_version) == ({"n": [1, None]}, version + 1)
        before = everything(store)
        with pytest.raises(StaleView, match="memory"):
            store.commit(str(second.token), plan, seen=run.revision, memory_version=version)
        assert everything(store) == before
        store.commit(str(second.token), Plan(), seen=run.revision, memory_version=version)
        assert store.run().memory_version == version + 1

    def test_an_action_on_a_waiting_member(self, store: Store) -> None:
        """Is carried out at once."""
        workers = Workers(store, population=2)
        workers.round(1.0, 2.0)
        row = workers.claim()
        donor = workers.start_of(0)
        workers.decide(row, Assign(member=1, hyperparameters={"x": 8.0}, sources=(donor,), role="eval"))
        other = store.member(1)
        assert (other.start, other.origin, other.role, other.state) == (donor, "exploit", "eval", "waiting")
        assert store.member(0).due == 2

    def test_an_action_on_a_member_that_has_changed(self, store: Store) -> None:
        """Is dropped and recorded; the rest of the plan is carried out."""
        workers = Workers(store, population=2)
        workers.round(1.0, 2.0)
        row = workers.claim()
        seen = store.run().revision
        workers.report(workers.claim_member(1), 3.0)
        before = store.member(1)
        own = Assign(member=0, hyperparameters={"x": 4.0}, via="keep")
        for action in (
            Assign(member=1, hyperparameters={"x": 8.0}, via="keep"),
            Hold(member=1, until=1),
            Retire(member=1),
        ):
            row = workers.decide(row, action, own, seen=seen)
            assert store.member(1) == before
            dropped = [event for event in store.events() if event.kind == "dropped"]
            assert dropped[-1].member == 1
            assert row.hyperparameters == {"x": 4.0}
        assert len(dropped) == 3

    @pytest.mark.parametrize("action", [Retire(member=0), Hold(member=0, until=1), "assign"])
    @pytest.mark.parametrize("how", ["done", "quarantined"])
    def test_an_action_on_a_member_that_is_over(self, store: Store, action: Action | str, how: str) -> None:
        """No view tells that it is; the action is dropped, and recorded."""
        workers = Workers(store, population=2, limit=30, tries=1)
        workers.round(1.0, 2.0)
        row = workers.claim_member(0)
        if how == "done":
            workers.decide(row, Retire(member=0))
        else:
            store.fail(str(row.token), "Boom")
        assert store.member(0).state == how
        before = store.member(0)
        given: Action = Assign(member=0, hyperparameters={"x": 9.0}, via="keep") if isinstance(action, str) else action
        workers.report(workers.decide(workers.claim_member(1), given), 4.0)
        assert store.member(0) == before
        (event,) = (event for event in store.events() if event.kind == "dropped")
        assert isinstance(event.body, dict)
        assert event.body["why"] == f"the member is {how}"

    def test_an_assignment_to_a_running_member_lands_at_its_next_boundary(self, store: Store) -> None:
        """Its present interval counts."""
        workers = Workers(store, population=2)
        workers.round(1.0, 2.0)
        row, running = workers.claim("a"), workers.claim("b")
        donor = workers.start_of(0)
        workers.decide(row, Assign(member=1, hyperparameters={"x": 8.0}, sources=(donor,), intervals=2))
        now = store.member(1)
        assert (now.token, now.start, now.hyperparameters) == (running.token, running.start, {"x": 1.0})
        workers.report(now, 5.0)
        landed = store.member(1)
        assert (landed.start, landed.hyperparameters, landed.next) == (donor, {"x": 8.0}, None)
        assert (landed.budget, landed.due, landed.origin, landed.age) == (2, 4, "exploit", 1)
        report = store.intervals()[-1]
        assert (report.score, report.hyperparameters) == (5.0, {"x": 1.0})
        assert landed.kept == report.checkpoint

    def test_what_cannot_land_is_dropped(self, store: Store) -> None:
        """Its source is gone by then."""
        workers = Workers(store, population=3)
        workers.round(1.0, 2.0, 3.0)
        row, running = workers.claim("a"), workers.claim("b")
        donor = workers.start_of(2)
        workers.decide(row, Assign(member=1, hyperparameters={"x": 8.0}, sources=(donor,)))
        for score in (4.0, 5.0, 6.0):
            workers.report(workers.claim_member(2), score)
        assert donor not in store.kept()
        workers.report(store.member(running.member), 5.0)
        assert store.member(1).hyperparameters == {"x": 1.0}
        assert store.member(1).next is None
        assert [event.member for event in store.events() if event.kind == "dropped"] == [1]

    def test_hold_is_a_barrier(self, store: Store) -> None:
        """The member waits until all active members of its group have the budget."""
        workers = Workers(store, population=4, tries=1)
        workers.round(1.0, 1.0, 1.0, 1.0)
        rows = [workers.claim() for _ in range(4)]
        workers.decide(rows[3], Assign(member=3, hyperparameters={}, via="keep", group="elsewhere"))
        store.release(str(rows[3].token))
        workers.report(rows[0], 2.0)
        row = workers.claim_member(0)
        held = workers.decide(row, Hold(member=0, until=2))
        assert (held.state, held.token, held.due <= held.budget) == ("waiting", None, True)
        assert workers.claim().member == 3  # another group's, and the only one that is free
        assert store.claim("w", since=0).row is None
        workers.report(rows[1], 2.0)
        assert workers.claim("x").member == 1
        assert store.claim("w", since=0).row is None
        store.fail(str(rows[2].token), "it broke")  # the dead count as arrived
        assert workers.claim().member == 0
        assert store.member(0).hold is None

    def test_retire(self, store: Store) -> None:
        """A retired member is done, keeps its place, and is not extended."""
        workers = Workers(store, population=2, limit=2)
        workers.round(1.0, 2.0)
        row = workers.claim()
        workers.decide(row, Retire(member=1))
        assert (store.member(1).state, store.member(1).role) == ("done", "retired")
        assert store.changes(0).aside == {1}
        retired = workers.decide(row, Retire(member=0))
        assert (retired.state, retired.token) == ("done", None)
        assert store.changes(0).aside == {0, 1}
        assert [(event.kind, event.member) for event in store.events() if event.kind != "decision"] == [
            ("retire", 1),
            ("retire", 0),
        ]
        with pytest.raises(StaleLease):
            workers.report(row, 3.0)
        store.extend(9, Plan())
        assert [row.state for row in store.members()] == ["done", "done"]

    @pytest.mark.parametrize("action", [Hold(member=1, until=1), Retire(member=1)], ids=["hold", "retire"])
    def test_a_running_member_is_held_or_retired_at_its_next_boundary(self, store: Store, action: Action) -> None:
        """No work is taken from a worker that trains."""
        workers = Workers(store, population=2)
        workers.round(1.0, 2.0)
        row, running = workers.claim("a"), workers.claim("b")
        workers.decide(row, action)
        workers.report(store.member(running.member), 5.0)
        assert store.intervals()[-1].score == 5.0
        assert (store.member(1).role == "retired") is isinstance(action, Retire)
        assert (store.changes(0).aside == {1}) is isinstance(action, Retire)
        told = [event.revision for event in store.events() if event.kind == "retire"]
        assert told == ([store.member(1).revision] if isinstance(action, Retire) else [])
        assert (store.member(1).hold == 1) is isinstance(action, Hold)

    def test_pins(self, store: Store) -> None:
        """A pinned checkpoint stays, whatever comes, and goes once it is let go."""
        workers = Workers(store, population=1, goal="min")
        workers.round(1.0)
        name = workers.start_of(0)
        workers.decide(workers.claim(), Pin(checkpoint=name))
        assert store.checkpoint(name).pinned is True
        store.release(str(store.member(0).token))
        for score in (0.5, 0.4, 0.3, 0.2):
            workers.round(score)
        assert name in store.kept()
        row = workers.claim()
        workers.decide(row, Unpin(checkpoint=name))
        workers.report(row, 0.1)
        assert name not in store.kept()
        with pytest.raises(StaleView, match="again"):
            workers.decide(workers.claim(), Pin(checkpoint=name))

    def test_an_assignment_to_nobody_makes_a_member(self, store: Store) -> None:
        """With the state that it is given."""
        workers = Workers(store, population=1)
        workers.round(1.0)
        row = workers.claim()
        source = workers.start_of(0)
        copy = Assign(member=1, hyperparameters={"x": 3.0}, sources=(source,), group="new", intervals=2)
        workers.decide(row, copy, Assign(member=2, hyperparameters={"x": 4.0}, via="fresh"))
        made, fresh = store.member(1), store.member(2)
        assert (made.start, made.age, made.budget, made.due, made.group) == (source, 1, 0, 2, "new")
        assert (fresh.start, fresh.age, fresh.state) == (None, 0, "waiting")
        assert workers.claim("w").member == 1

    # -- failures -----------------------------------------------------------------------------------------------

    def test_not_a_number(self, store: Store) -> None:
        """A divergence uses up its interval, is never the best, and leads to a decision at once."""
        workers = Workers(store, population=2, stretch=3)
        row = workers.claim()
        turn = workers.report(row, 1.0, more=True)
        assert turn.row is not None
        start = turn.row.start
        workers.report(turn.row, math.nan)
        report = store.intervals()[-1]
        assert (report.score, report.status, report.checkpoint, report.boundary) == (None, "diverged", None, True)
        row = store.member(0)
        assert (row.budget, row.age, row.failures, row.start, row.due) == (2, 1, 1, start, 2)
        assert row.error is not None
        run = store.run()
        assert (run.total, run.best_score) == (2, 1.0)
        workers.report(workers.claim_member(0), 0.5)
        assert (store.member(0).failures, store.member(0).age) == (0, 2)
        assert store.intervals()[-1].parents == (store.intervals()[0].id,)

    def test_failures_in_a_row(self, store: Store) -> None:
        """The first is tried again, the second leads to a decision, the third to quarantine."""
        workers = Workers(store, population=2, stretch=2, tries=3)
        row = store.fail(str(workers.claim_member(1).token), "Traceback ...\nBoom: one")
        assert (row.state, row.failures, row.due, row.token) == ("waiting", 1, 2, None)
        row = store.fail(str(workers.claim_member(1).token), "Boom: two")
        assert (row.state, row.failures, row.due, row.error) == ("waiting", 2, 0, "Boom: two")
        row = store.fail(str(workers.claim_member(1).token), "Boom: three")
        assert (row.state, row.failures) == ("quarantined", 3)
        assert row == store.member(1)
        kinds = [(event.kind, event.member) for event in store.events()]
        assert kinds == [("failure", 1)] * 3 + [("quarantine", 1)]
        assert store.intervals() == []
        assert workers.claim().member == 0

    def test_a_success_forgives(self, store: Store) -> None:
        """Only failures in a row count, and only those that are the member's."""
        workers = Workers(store, population=1, tries=2)
        for _ in range(3):
            store.fail(str(workers.claim().token), "Boom")
            workers.round(1.0)
            assert store.member(0).failures == 0
        for _ in range(4):
            store.fail(str(workers.claim().token), "the machine broke", counts=False)
        assert (store.member(0).failures, store.member(0).state) == (0, "waiting")

    def test_divergence_after_divergence(self, store: Store) -> None:
        """Leads to quarantine too."""
        workers = Workers(store, population=1, tries=3)
        for _ in range(3):
            workers.round(math.inf)
        assert store.member(0).state == "quarantined"
        assert store.claim("w", since=0).ended == "done"
        assert [event.kind for event in store.events()] == ["quarantine"]

    def test_a_rescue(self, store: Store) -> None:
        """A copy after a failure is called so."""
        workers = Workers(store, population=2)
        workers.round(math.nan, 2.0)
        row = workers.copy(workers.claim(), 1)
        assert (row.origin, row.failures, row.age) == ("rescue", 1, 1)
        workers.report(row, 1.0)
        assert (store.intervals()[-1].origin, store.member(0).failures) == ("rescue", 0)

    @pytest.mark.parametrize("how", ["fail", "release", "expire"])
    def test_provisional_reports_are_taken_back(self, store: Store, how: str) -> None:
        """What was never saved is lost with the lease; the numbers are given again."""
        workers = Workers(store, population=1, stretch=4, save_every=2)
        row = workers.claim("a")
        for score in (1.0, 2.0, 9.0):
            turn = workers.report(row, score, more=True)
            assert turn.row is not None
            row = turn.row
        assert (row.saved, row.budget, row.last) == (2, 3, store.intervals()[-1].id)
        assert store.run().best_score == 2.0  # a state that is not kept cannot be the best one
        known = store.run().revision
        if how == "fail":
            store.fail(str(row.token), "Boom")
        elif how == "release":
            store.release(str(row.token))
        else:
            store.expire(["a"], "silence", counts=False)
        lost = row.last
        row = store.member(0)
        assert (row.budget, row.age, row.last, row.state) == (2, 2, None, "waiting")
        assert [(one.interval, one.score) for one in store.intervals()] == [(1, 1.0), (2, 2.0)]
        assert store.run().total == 2
        assert [(one.id, one.voided is not None) for one in store.changes(known).news] == [(lost, True)]
        turn = workers.report(workers.claim("b"), 3.0, more=True)
        assert [(one.interval, one.score) for one in store.intervals()] == [(1, 1.0), (2, 2.0), (3, 3.0)]
        assert store.intervals()[-1].parents == (store.intervals()[1].id,)

    def test_provisional_work_of_a_stopped_run_is_taken_back_at_the_next_claim(self, store: Store) -> None:
        """It was let go without its state."""
        workers = Workers(store, population=1, stretch=4, save_every=4)
        turn = workers.report(workers.claim(), 1.0, more=False)
        assert turn.row is None
        assert [row.interval for row in store.intervals()] == [1]
        row = workers.claim()
        assert (row.budget, row.age, row.last, row.start) == (0, 0, None, None)
        assert store.intervals() == []
        assert store.run().total == 0

    def test_a_divergence_ends_a_stretch(self, store: Store) -> None:
        """Its provisional intervals are used up, and their state is gone."""
        workers = Workers(store, population=1, stretch=4, save_every=4)
        turn = workers.report(workers.claim(), 1.0, more=True)
        assert turn.row is not None
        workers.report(turn.row, math.nan)
        row = store.member(0)
        assert (row.budget, row.saved, row.age, row.last, row.start) == (2, 2, 0, None, None)
        assert [one.status for one in store.intervals()] == ["ok", "diverged"]
        assert store.run().best is None

    def test_expiry(self, store: Store) -> None:
        """Takes back what the named workers hold, and only that."""
        workers = Workers(store, population=4)
        for name in ("a", "b", "c"):
            store.register(WorkerRow(worker=name, host="h", pid=1))
        first, second, third = workers.claim("a"), workers.claim("a"), workers.claim("b")
        assert store.expire(["a", "nobody", "c"], "silence", counts=True) == 2
        assert [row.worker for row in store.workers()] == ["b"]
        assert [(row.state, row.failures) for row in store.members()] == [
            ("waiting", 1),
            ("waiting", 1),
            ("leased", 0),
            ("waiting", 0),
        ]
        assert [(event.kind, event.member) for event in store.events()] == [("lost", 0), ("lost", 1)]
        for row in (first, second):
            with pytest.raises(StaleLease):
                workers.report(row, 1.0)
        workers.report(third, 1.0)
        assert store.expire(["a"], "silence", counts=True) == 0

    # -- late scores --------------------------------------------------------------------------------------------

    def test_a_score_that_comes_later(self, store: Store) -> None:
        """Competes from then on."""
        workers = Workers(store, population=2)
        workers.round(None, 1.0)
        pending = store.intervals()[0]
        assert (pending.status, pending.score, pending.scored) == ("pending", None, None)
        assert store.run().best_score == 1.0
        known = store.changes(0).run.revision
        store.score(pending.id, 2.0)
        turn = store.changes(known)
        revision, news = turn.run.revision, turn.news
        assert [(one.id, one.score, one.status, one.scored) for one in news] == [(pending.id, 2.0, "ok", revision)]
        run = store.run()
        assert (run.best, run.best_score, run.best_checkpoint, run.total) == (pending.id, 2.0, pending.checkpoint, 2)
        for id in (pending.id, 99):
            with pytest.raises(InvalidValue, match="pending"):
                store.score(id, 3.0)

    def test_a_late_score_that_is_not_finite(self, store: Store) -> None:
        """Is a divergence."""
        workers = Workers(store, population=1)
        workers.round(None)
        store.score(store.intervals()[0].id, math.inf)
        assert (store.intervals()[0].status, store.intervals()[0].score) == ("diverged", None)
        assert store.run().best is None

    def test_a_late_score_of_a_state_that_is_gone(self, store: Store) -> None:
        """Is recorded, and is not the best: nobody could have it."""
        workers = Workers(store, population=1)
        workers.round(None)
        for score in (1.0, 2.0, 3.0):
            workers.round(score)
        pending = store.intervals()[0]
        assert pending.checkpoint not in store.kept()
        store.score(pending.id, 9.0)
        assert store.interval(pending.id).score == 9.0
        assert store.run().best_score == 3.0

    # -- checkpoints --------------------------------------------------------------------------------------------

    def test_checkpoints_are_kept_by_the_rule(self, store: Store) -> None:
        """The two newest at a boundary, the newest, two at least, and the best; the others are given up."""
        workers = Workers(store, population=1, limit=30, stretch=3)
        names: list[str] = []
        row = workers.claim()
        for interval, score in enumerate((1.0, 2.0, 0.0, 9.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0), start=1):
            turn = workers.report(row, score, more=True, due=row.budget + 3 if row.due <= row.budget else None)
            names.append(str(store.intervals()[-1].checkpoint))
            assert turn.row is not None
            row = turn.row
            wanted = {interval, *[i for i in range(1, interval + 1) if i % 3 == 0][-2:]}
            wanted |= {max(1, interval - 1)} if len(wanted) == 1 else set()
            best = 4 if interval >= 4 else min(interval, 2)
            assert store.kept() == {names[i - 1] for i in wanted | {best}}, interval
        with pytest.raises(CheckpointMissing, match=names[0]):
            store.checkpoint(names[0])

    def test_the_best_of_all_time_is_kept(self, store: Store) -> None:
        """Until there is a better one."""
        workers = Workers(store, population=2, limit=20, goal="min")
        workers.round(5.0, 1.0)
        best = workers.start_of(1)
        for _ in range(4):
            workers.round(2.0, 3.0)
        run = store.run()
        assert (run.best_score, run.best_checkpoint, store.interval(run.best or 0).member) == (1.0, best, 1)
        assert best in store.kept()
        workers.round(0.5, 3.0)
        assert store.run().best_score == 0.5
        assert best not in store.kept()

    def test_an_equal_score_is_not_better(self, store: Store) -> None:
        """The first stays the best."""
        workers = Workers(store, population=2)
        workers.round(1.0, 1.0)
        assert store.run().best == store.intervals()[0].id

    def test_what_a_member_starts_from_is_kept(self, store: Store) -> None:
        """However far its donor has gone on; and the recipient's own state until it has reported."""
        workers = Workers(store, population=2, limit=20)
        workers.round(1.0, 2.0)
        row = workers.claim()
        own, donor = workers.start_of(0), workers.start_of(1)
        row = workers.copy(row, 1)
        for score in (3.0, 4.0, 5.0):
            workers.report(workers.claim_member(1), score)
        assert {own, donor} <= store.kept()
        workers.report(row, 9.0)
        assert donor not in store.kept()

    def test_names_that_were_given_up(self, store: Store) -> None:
        """Are told after the commit, once each, where there are bytes outside the store."""
        told: list[str] = []
        known: list[bool] = []

        def call(names: Sequence[str]) -> None:
            told.extend(names)
            known.append(not set(names) & store.kept())  # what is told is no longer kept

        store.on_dropped(call)
        workers = Workers(store, population=2, limit=12, inline=False)
        made = set()
        for score in range(10):
            workers.round(float(score), 0.0)
            made |= store.kept()
        assert len(told) == len(set(told))
        assert set(told) == made - store.kept()
        assert len(told) > 10
        assert all(known)
        assert check(store) == []
        store.extend(12, Plan())
        for row in store.members():  # no bytes behind these, so that CHECK after the test must not load them
            assert row.start is not None
        self._make_inline(store, workers)

    @staticmethod
    def _make_inline(store: Store, workers: Workers) -> None:
        workers._inline = True
        for _ in range(2):
            workers.round(20.0, 21.0)
        assert all(store.checkpoint(name).inline is not None for name in store.kept())

    def test_inline_states_are_not_told(self, store: Store) -> None:
        """They are gone with their row."""
        told: list[str] = []
        store.on_dropped(told.extend)
        workers = Workers(store, population=1, limit=12)
        for score in range(10):
            workers.round(float(score))
        assert told == []
        assert len(store.kept()) == 2

    # -- more of a run ------------------------------------------------------------------------------------------

    def test_a_finished_run_goes_on(self, store: Store) -> None:
        """With more intervals and more members."""
        workers = Workers(store, population=2, limit=1, tries=1)
        workers.round(1.0, math.nan)
        assert [row.state for row in store.members()] == ["done", "quarantined"]
        store.update(status="done")
        new = Assign(member=2, hyperparameters={"x": 2.0}, via="fresh")
        store.extend(3, Plan(actions=(new,)))
        run = store.run()
        assert (run.limit, run.status, run.reason) == (3, "running", None)
        assert [row.state for row in store.members()] == ["waiting", "quarantined", "waiting"]
        assert store.events()[-1].kind == "extend"
        assert [workers.claim().member for _ in range(2)] == [2, 0]

    def test_quarantined_members_are_revived(self, store: Store) -> None:
        """Where that is asked for; never past the limit."""
        workers = Workers(store, population=1, limit=3, tries=1)
        workers.round(math.nan)
        store.extend(3, Plan(), revive=True)
        assert (store.member(0).state, store.member(0).failures) == ("waiting", 0)
        workers.round(1.0)
        workers.round(math.nan)
        assert (store.member(0).state, store.member(0).budget) == ("quarantined", 3)
        store.extend(3, Plan(), revive=True)
        while (row := store.claim("w", since=0).row) is not None:
            workers.report(row, 1.0)
        assert store.member(0).budget == 3

    @pytest.mark.parametrize(
        ("stop", "scores", "total"),
        [
            ({"score": 2.0}, (1.0, 0.0, 2.0, 9.0), 3),
            ({"intervals": 2}, (1.0, 2.0, 3.0), 2),
            ({"patience": 2}, (1.0, 2.0, 0.0, 1.0, 9.0), 4),
            ({"patience": 2, "min_delta": 0.5}, (1.0, 1.2, 1.4, 9.0), 3),
            ({"patience": 2, "min_delta": 0.5}, (1.0, 1.3, 1.6, 2.2, 2.3, 2.4, 9.0), 6),
        ],
    )
    @pytest.mark.parametrize("stretch", [1, 100])
    def test_the_run_stops_by_its_rule(
        self, store: Store, stop: dict[str, Any], scores: tuple[float, ...], total: int, stretch: int
    ) -> None:
        """With the report that meets it, and hands nothing more out, also inside a stretch."""
        workers = Workers(store, population=1, limit=100, stretch=stretch, stop=stop)
        turn = store.claim("w", since=0)
        given = iter(scores)
        while turn.row is not None:
            turn = workers.report(turn.row, next(given), more=True)
        run = store.run()
        assert (run.status, run.total) == ("stopped", total)
        assert turn.ended == run.reason
        assert run.reason

    # -- events and workers -------------------------------------------------------------------------------------

    def test_events(self, store: Store) -> None:
        """In order, since a revision; a warning is said once."""
        Workers(store)
        first = store.run().revision
        store.note(EventRow(kind="warning", body="careful"))
        second = store.run().revision
        assert second > first
        store.note(EventRow(kind="warning", body="careful"))
        assert store.run().revision == second
        store.note(EventRow(kind="warning", body={"other": [1]}))
        store.note(EventRow(kind="note", member=1, body="careful"))
        store.note(EventRow(kind="note", member=1, body="careful"))
        said = [(event.kind, event.member, event.body) for event in store.events()]
        note = ("note", 1, "careful")
        assert said == [("warning", None, "careful"), ("warning", None, {"other": [1]}), note, note]
        assert [event.revision for event in store.events()] == sorted({event.revision for event in store.events()})
        assert store.events(second) == store.events()[1:]
        assert store.events(store.run().revision) == []

    def test_workers(self, store: Store) -> None:
        """Signs of life are counted."""
        Workers(store)
        assert store.workers() == []
        rows = [WorkerRow(worker=name, host="here", pid=7, gpu=gpu) for name, gpu in (("a", None), ("b", "0,1"))]
        for row in rows:
            store.register(row)
        assert sorted(store.workers(), key=lambda row: row.worker) == rows
        store.beat(["a", "nobody"])
        store.beat(["a", "b"])
        assert {row.worker: row.beat for row in store.workers()} == {"a": 2, "b": 1}
        assert all(row.left is False for row in store.workers())

    # -- all of it ----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("seed", range(3))
    def test_changes_add_up_to_the_whole(self, store: Store, seed: int) -> None:
        """What a worker learns bit by bit is what it would read at once."""
        workers = Workers(store, population=3, limit=12, stretch=2, save_every=2)
        rng = np.random.default_rng(seed)
        held: dict[int, MemberRow] = {}
        known: dict[int, IntervalRow] = {}
        revision = 0
        for _ in range(150):
            random_step(workers, rng, held)
            if rng.integers(2):
                before = revision
                turn = store.changes(revision)
                revision, news = turn.run.revision, turn.news
                assert all(max(row.revision, row.scored or 0, row.voided or 0) > before for row in news)
                known.update({row.id: row for row in news})
        news = store.changes(revision).news
        known.update({row.id: row for row in news})
        whole = store.changes(0).news
        assert sorted(known.values(), key=lambda row: row.id) == list(whole)
        assert [row for row in whole if row.voided is None] == store.intervals()

    @pytest.mark.parametrize("seed", range(3))
    def test_a_long_run_stays_sound_and_bounded(self, store: Store, seed: int) -> None:
        """CHECK holds all along, and no more is kept than the rule says."""
        population = 4
        workers = Workers(store, population=population, limit=60, stretch=2, save_every=2, tries=50)
        rng = np.random.default_rng(seed)
        held: dict[int, MemberRow] = {}
        for step in range(400):
            what = random_step(workers, rng, held)
            assert {row.member: row for row in store.members() if row.state == "leased"} == held, (step, what)
            if step % 20 == 0:
                assert check(store) == [], (step, what)
                # Two newest at a boundary and the newest, what it starts from and keeps, and the best.
                assert len(store.kept()) <= 5 * population + 1, (step, what)
