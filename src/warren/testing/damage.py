"""What a store promises about checkpoints that turn out to be damaged; a part of `StoreContract`."""

from __future__ import annotations

import pytest

from warren.errors import CheckpointMissing, StaleLease, StaleView
from warren.population import Assign, CheckpointRow, Log, Plan, RunRow
from warren.state import digest, encode
from warren.stores import Store
from warren.testing.check import check
from warren.testing.workers import Workers, everything


class DamageContract:
    """Falling back: to the member's own newest state that is left, with an event, and never silently to zero."""

    def test_a_member_falls_back_to_the_state_before(self, store: Store) -> None:
        """Its budget stays, its age and hyperparameters are those of the older state."""
        workers = Workers(store, population=2)
        workers.round(1.0, 2.0)
        older = workers.start_of(0)
        row = workers.claim_member(0)
        workers.report(workers.decide(row, Assign(member=0, hyperparameters={"x": 7.0}, via="keep")), 3.0)
        newest = workers.start_of(0)
        row = workers.claim_member(0)
        store.damaged({newest: "its bytes have changed"}, row.token)
        after = store.member(0)
        assert (after.state, after.token, after.worker) == ("waiting", None, None)
        assert (after.start, after.origin, after.budget, after.saved, after.age) == (older, "fallback", 2, 2, 1)
        assert after.hyperparameters == {"x": 0.0}  # of the moment that the state is of
        assert after.failures == 0
        with pytest.raises(CheckpointMissing):
            store.checkpoint(newest)
        lost = [one for one in store.intervals() if one.lost is not None]
        assert [(one.member, one.interval, one.checkpoint) for one in lost] == [(0, 2, newest)]
        (event,) = (event for event in store.events() if event.kind == "damaged")
        assert event.member == 0
        assert event.body == {
            "checkpoint": newest, "interval": 2, "error": "its bytes have changed",
            "fell_back": [{"member": 0, "to": 1}], "bare": [],
        }  # fmt: skip
        assert store.run().total == 3  # what was trained is on record
        row = workers.claim_member(0)
        workers.report(row, 4.0)
        (again,) = (one for one in store.intervals() if (one.member, one.interval) == (0, 3))
        first = next(one for one in store.intervals() if (one.member, one.interval) == (0, 1))
        assert (again.origin, again.parents, again.age) == ("fallback", (first.id,), 2)

    def test_a_donor_that_is_damaged_is_no_donor(self, store: Store) -> None:
        """The recipient goes back to its own state and may choose again; the log no longer offers the lost one."""
        workers = Workers(store, population=2)
        workers.round(1.0, 2.0)
        workers.round(1.0, 3.0)
        own, donor = workers.start_of(0), workers.start_of(1)
        row = workers.copy(workers.claim_member(0), 1, intervals=4)
        assert row.start == donor
        store.damaged({donor: "cut short"}, row.token)
        after = store.member(0)
        assert (after.start, after.due, after.hyperparameters) == (own, 2, {"x": 0.0})
        other = store.member(1)
        assert (other.state, other.origin, other.age) == ("waiting", "fallback", 1)
        log = Log("max")
        turn = store.changes(0)
        log.update(turn.news, turn.run.revision)
        source = log.loadable(1, 2)
        assert source is not None
        assert source.interval == 1
        row = workers.claim_member(0)
        with pytest.raises(StaleView):
            workers.decide(row, Assign(member=0, hyperparameters={}, sources=(donor,)))

    def test_a_state_of_its_own_that_was_set_aside_is_damaged(self, store: Store) -> None:
        """What stays with its member at a copy is gone; the copy itself is whole."""
        workers = Workers(store, population=2)
        workers.round(1.0, 2.0)
        own, donor = workers.start_of(0), workers.start_of(1)
        row = workers.copy(workers.claim_member(0), 1)
        assert row.kept == own
        store.damaged({own: "cut short"}, row.token)
        after = store.member(0)
        assert (after.state, after.start, after.kept, after.origin) == ("waiting", donor, None, "exploit")
        (event,) = (event for event in store.events() if event.kind == "damaged")
        assert isinstance(event.body, dict)
        assert (event.body["fell_back"], event.body["bare"]) == ([], [0])

    def test_a_member_with_no_state_left(self, store: Store) -> None:
        """It is failing, so that a strategy gives it a donor's; else it starts again from its own seed."""
        workers = Workers(store, population=2)
        workers.round(1.0, 2.0)
        row = workers.claim_member(0)
        store.damaged({workers.start_of(0): "gone"}, row.token)
        after = store.member(0)
        assert (after.start, after.origin, after.age, after.parents, after.budget) == (None, "fallback", 0, (), 1)
        assert after.due <= after.budget
        row = workers.copy(workers.claim_member(0), 1)
        assert (row.origin, row.age) == ("rescue", 1)
        workers.report(row, 3.0)
        row = workers.claim_member(1)
        store.damaged({workers.start_of(1): "gone"}, row.token)
        row = workers.decide(workers.claim_member(1))
        workers.report(row, 3.0)
        newest = [one for one in store.intervals() if one.member == 1][-1]
        assert (newest.origin, newest.age, newest.parents) == ("fallback", 1, ())

    def test_the_warm_start_is_what_is_left(self, store: Store) -> None:
        """A run that began with a given state does not fall back to less than that."""
        data = encode({"number": -1}).tobytes()
        warm = CheckpointRow(name="warm.safetensors", digest=digest([data]), size=len(data), inline=data, age=5)
        plan = Plan(actions=(Assign(member=0, hyperparameters={"x": 0.0}, sources=(warm.name,)),))
        assert store.create(RunRow(limit=9), {}, plan, [warm])
        workers = Workers.over(store)
        workers.report(workers.claim(), 1.0)
        row = workers.claim()
        store.damaged({str(row.start): "gone"}, row.token)
        after = store.member(0)
        assert (after.start, after.origin, after.age) == (warm.name, "warm", 5)

    def test_the_best_is_damaged(self, store: Store) -> None:
        """The best of what is left takes its place; there may be none."""
        workers = Workers(store, population=3)
        workers.round(5.0, 2.0, 4.0)
        best = workers.start_of(0)
        store.damaged({best: "cut short"})
        run = store.run()
        assert (run.best_score, run.best_checkpoint) == (4.0, workers.start_of(2))
        store.damaged({workers.start_of(1): "gone", workers.start_of(2): "gone"})
        run = store.run()
        assert (run.best, run.best_score, run.best_checkpoint) == (None, None, None)
        assert all(row.start is None for row in store.members())
        workers.round(0.5, 0.25, 0.125)
        assert store.run().best_score == 0.5

    def test_what_another_worker_holds_stays_with_it(self, store: Store) -> None:
        """It has loaded the state already, or will say itself that it cannot."""
        workers = Workers(store, population=2)
        workers.round(1.0, 2.0)
        held = workers.claim_member(0, "other")
        store.damaged({str(held.start): "cut short"})
        assert store.member(0) == held
        workers.report(held, 3.0)
        after = store.member(0)
        assert (after.budget, after.origin) == (2, "continue")

    def test_an_opponent_is_damaged_while_a_worker_has_the_member(self, store: Store) -> None:
        """The worker has loaded it already; nobody else will."""
        workers = Workers(store, population=2)
        workers.round(1.0, 2.0)
        met = workers.start_of(1)
        held = workers.decide(
            workers.claim_member(0), Assign(member=0, hyperparameters={}, via="keep", opponents=(met,)), intervals=1
        )
        store.damaged({met: "cut short"})
        assert store.member(0).opponents == (met,)
        workers.report(held, 3.0)
        assert store.intervals()[-1].opponents == (met,)
        assert (store.member(0).state, store.member(0).opponents) == ("waiting", ())
        assert check(store) == []

    def test_a_member_that_was_let_go_unsaved_is_mended_when_it_is_claimed(self, store: Store) -> None:
        """What it reported since is taken back with that: nobody has its state."""
        workers = Workers(store, population=1, limit=10, save_every=100)
        workers.round(1.0)
        workers.round(2.0)
        workers.report(workers.decide(workers.claim(), intervals=4), 3.0, more=True)
        held = store.member(0)
        assert held.last is not None
        store.damaged({workers.start_of(0): "cut short"})
        workers.report(held, 4.0)
        row = workers.claim()
        assert (row.budget, row.last, row.origin, store.run().total) == (2, None, "fallback", 2)
        assert check(store) == []
        workers.report(row, 5.0)
        assert [one.interval for one in store.intervals() if one.voided is None] == [1, 2, 3]

    def test_a_worker_finds_another_state_damaged_when_its_start_was_already(self, store: Store) -> None:
        """It had loaded its start before that was lost, and then met an opponent."""
        workers = Workers(store, population=2)
        workers.round(1.0, 2.0)
        start, met = workers.start_of(0), workers.start_of(1)
        held = workers.decide(
            workers.claim_member(0), Assign(member=0, hyperparameters={}, via="keep", opponents=(met,)), intervals=1
        )
        store.damaged({start: "cut short"})
        store.damaged({met: "cut short"}, str(held.token))
        row = store.member(0)
        assert (row.state, row.budget, row.start, row.opponents) == ("waiting", 1, None, ())
        assert check(store) == []

    def test_what_was_collected_was_not_damaged(self, store: Store) -> None:
        """A name that is gone already, and that nobody needs, is not told of."""
        workers = Workers(store, population=1, limit=30)
        names = []
        for score in range(5):
            workers.round(float(score))
            names.append(workers.start_of(0))
        assert names[0] not in store.kept()
        before = everything(store)
        store.damaged({names[0]: "not there", "never.safetensors": "not there"})
        after = everything(store)
        assert after["events"] == before["events"]
        assert after["members"] == before["members"]

    def test_nothing_is_given_up_without_the_lease(self, store: Store) -> None:
        """A worker that lost its member cannot know whether its checkpoint was collected or damaged."""
        workers = Workers(store, population=1)
        workers.round(1.0)
        row = workers.claim()
        store.expire(["w"], "silence", counts=False)
        before = everything(store)
        with pytest.raises(StaleLease):
            store.damaged({str(row.start): "missing"}, row.token)
        assert everything(store) == before
