"""What a store promises about carrying decisions out; a part of `StoreContract`."""

from __future__ import annotations

import pytest

from warren.errors import InvalidValue, StaleLease, StaleView
from warren.population import Action, Assign, Hold, Pin, Plan, Retire, RunRow, Unpin
from warren.stores import Store
from warren.testing.workers import Workers, everything


class DecisionContract:
    """Every action of a plan, in the transaction that its member is held in, or not at all."""

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
