"""The contract of stores, as tests: subclass it, give it the fixture, let pytest collect it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest

from warren.checkpoints import MemoryCheckpoints
from warren.errors import CheckpointMissing, InvalidValue, StaleView
from warren.population import (
    Assign,
    CheckpointRow,
    EventRow,
    IntervalRow,
    MemberRow,
    Plan,
    Report,
    Retire,
    RunRow,
    WorkerRow,
)
from warren.state import digest, encode
from warren.stores import Store
from warren.testing.check import check
from warren.testing.claims import ClaimContract
from warren.testing.damage import DamageContract
from warren.testing.decisions import DecisionContract
from warren.testing.failures import FailureContract
from warren.testing.retention import RetentionContract
from warren.testing.rounds import RoundContract
from warren.testing.workers import Workers, everything, random_step
from warren.training import States
from warren.values import Json

__all__ = ["StoreContract", "Workers", "everything", "random_step"]


class StoreContract(ClaimContract, DamageContract, DecisionContract, FailureContract, RetentionContract, RoundContract):
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
