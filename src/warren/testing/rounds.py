"""What a store promises about rounds: many members in one transaction; a part of `StoreContract`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from warren.errors import InvalidValue, StaleLease, StaleView
from warren.population import Action, Assign, Hold, Plan, Report, Retire
from warren.stores import MemoryStore, Store, Stretch
from warren.testing.stretches import claim_one_by_one, disturb, one_by_one, random_stretch, stretch_of, tell_the_same
from warren.testing.workers import Workers, everything


class RoundContract:
    """A round is the same as its parts one by one, and happens whole or not at all."""

    @pytest.fixture
    def twin(self) -> Store | Iterator[Store]:
        """A fresh, empty store that numbers its reports as `store` does: override it where that does not begin at 1."""
        return MemoryStore()

    # -- claiming all -------------------------------------------------------------------------------------------

    def test_all_that_wait_are_claimed(self, store: Store) -> None:
        """By one worker, each under a lease of its own; others keep theirs."""
        workers = Workers(store, population=5)
        other = workers.claim("other")
        told = store.claim_all("w", since=0)
        assert list(told.rows) == [1, 2, 3, 4]
        assert all(store.member(number) == row for number, row in told.rows.items())
        assert {row.worker for row in told.rows.values()} == {"w"}
        assert len({row.token for row in told.rows.values()} | {other.token}) == 5
        assert (told.ended, told.run, list(told.news)) == (None, store.run(), [])
        again = store.claim_all("w", since=0)
        assert again.rows == told.rows  # what it holds already
        nothing = store.claim_all("third", since=0)
        assert (dict(nothing.rows), nothing.ended) == ({}, None)

    def test_a_synchronous_run_hands_out_its_least_trained(self, store: Store) -> None:
        """One that failed is handed out alone, as by single claims."""
        workers = Workers(store, population=4, synchronous=True)
        rows = store.claim_all("w", since=0).rows
        workers.report(rows[0], 1.0)
        workers.report(rows[1], 1.0)
        store.release(str(rows[2].token))
        store.fail(str(rows[3].token), "it broke")
        first = store.claim_all("w", since=0).rows
        assert list(first) == [2]
        workers.report(first[2], 1.0)
        second = store.claim_all("w", since=0).rows
        assert list(second) == [3]
        workers.report(second[3], 1.0)
        assert list(store.claim_all("w", since=0).rows) == [0, 1, 2, 3]

    def test_members_that_are_held_back_are_not_claimed(self, store: Store) -> None:
        """Until their group has come so far."""
        workers = Workers(store, population=3)
        workers.round(1.0, 1.0, 1.0)
        row, slow = workers.claim_member(0), workers.claim_member(1, "slow")
        workers.report(row, 2.0)
        row = workers.claim_member(0)
        workers.decide(row, Hold(member=0, until=2))
        rows = store.claim_all("w", since=0).rows
        assert list(rows) == [2]
        workers.report(rows[2], 1.0)
        workers.report(slow, 1.0)
        assert list(store.claim_all("w", since=0).rows) == [0, 1, 2]

    def test_what_was_never_saved_is_taken_back_when_all_are_claimed(self, store: Store) -> None:
        """It was let go when the run stopped."""
        workers = Workers(store, population=3, stretch=4, save_every=4)
        workers.report(workers.claim(), 1.0, more=False)
        workers.report(workers.claim_member(1), 1.0, more=False)
        told = store.claim_all("w", since=store.run().revision)
        assert [(row.budget, row.last, row.start) for row in told.rows.values()] == [(0, None, None)] * 3
        assert [(one.member, one.voided is None) for one in told.news] == [(0, False), (1, False)]
        assert store.intervals() == []
        assert store.run().total == 0

    def test_what_a_round_did_not_save_is_taken_back_when_its_member_is_claimed_again(self, store: Store) -> None:
        """A member that is due and has no state of that moment: its report is on record, and void."""
        Workers(store, population=2)
        rows = store.claim_all("w", since=0).rows
        report = Report(score=1.0)
        told = store.round("w", [Stretch(token=str(row.token), reports=(report,)) for row in rows.values()], since=0)
        assert [(row.budget, row.last) for row in told.rows.values()] == [(0, None)] * 2
        assert [(one.member, one.interval, one.voided is None) for one in told.news] == [(0, 1, False), (1, 1, False)]
        assert list(store.changes(0).news) == list(told.news)
        assert (store.intervals(), store.run().total) == ([], 0)

    # -- rounds -------------------------------------------------------------------------------------------------

    def test_a_round_stores_reports_and_goes_on(self, store: Store) -> None:
        """Members that are due are let go and claimed again at once; their decisions come with the next round."""
        workers = Workers(store, population=3)
        rows = store.claim_all("w", since=0).rows
        told = store.round("w", [stretch_of(workers, row, 1.0 + number) for number, row in rows.items()], since=0)
        assert [(one.member, one.interval, one.score) for one in told.news] == [(0, 1, 1.0), (1, 1, 2.0), (2, 1, 3.0)]
        assert told.news == store.intervals()
        assert {number: store.member(number) for number in range(3)} == dict(told.rows)
        assert all(row.state == "leased" and row.budget == row.due == 1 for row in told.rows.values())
        assert not {row.token for row in rows.values()} & {row.token for row in told.rows.values()}
        assert (told.run.total, told.run.best_score, told.ended) == (3, 3.0, None)
        known, rows = told.run.revision, told.rows
        donor = rows[2].start
        plan = Plan(actions=(Assign(member=0, hyperparameters={"x": 9.0}, sources=(str(donor),)),))
        stretches = [
            stretch_of(workers, rows[0], 4.0, plan=plan, seen=known),
            stretch_of(workers, rows[1], 5.0, due=3, seen=known),
            Stretch(token=str(rows[2].token), plan=Plan(intervals=4), seen=known),
        ]
        told = store.round("w", stretches, since=known)
        assert [(one.member, one.interval, one.origin) for one in told.news] == [(0, 2, "exploit"), (1, 2, "continue")]
        assert told.news[0].hyperparameters == {"x": 9.0}
        assert [(row.budget, row.due) for row in told.rows.values()] == [(2, 2), (2, 3), (1, 5)]
        assert told.rows[1].token == rows[1].token  # it is not due, and stays under its lease
        assert told.rows[2].token == rows[2].token

    def test_a_worker_that_leaves_with_a_round_keeps_nothing(self, store: Store) -> None:
        """And nothing that it reported is lost."""
        workers = Workers(store, population=3, stretch=5)
        rows = store.claim_all("w", since=0).rows
        told = store.round("w", [stretch_of(workers, row, 1.0) for row in rows.values()], since=0, more=False)
        assert (dict(told.rows), told.ended) == ({}, "left")
        assert [(row.state, row.budget) for row in store.members()] == [("waiting", 1)] * 3

    def test_a_stretch_of_several_reports(self, store: Store) -> None:
        """Each is an interval; the lease ends where the member is due."""
        workers = Workers(store, population=2, stretch=3, save_every=3)
        rows = store.claim_all("w", since=0).rows
        stretches = [stretch_of(workers, row, 1.0, 3.0, 2.0) for row in rows.values()]
        assert [one.checkpoint is None for one in stretches[0].reports] == [True, True, False]
        told = store.round("w", stretches, since=0)
        ids = [one.id for one in told.news]
        assert ids == sorted(ids)
        found = [(one.member, one.interval, one.parents, one.boundary) for one in told.news]
        assert found == [
            (0, 1, (), False), (0, 2, (ids[0],), False), (0, 3, (ids[1],), True),
            (1, 1, (), False), (1, 2, (ids[3],), False), (1, 3, (ids[4],), True),
        ]  # fmt: skip
        rows = told.rows
        assert [(row.budget, row.saved, row.parents) for row in rows.values()] == [(3, 3, (ids[2],)), (3, 3, (ids[5],))]
        assert told.run.best_score == 2.0  # that of a state that is kept

    def test_more_reports_than_the_member_has_time_for(self, store: Store) -> None:
        """It is due, or diverged, before the last of them: its lease is over, and nothing is written."""
        workers = Workers(store, population=2, stretch=3)
        rows = store.claim_all("w", since=0).rows
        before = everything(store)
        late = Report(score=1.0, checkpoint=workers.checkpoint())
        due = stretch_of(workers, rows[0], 1.0, 2.0, 3.0)
        diverged = stretch_of(workers, rows[0], 1.0, math.nan)
        for stretch in (due, diverged):
            with pytest.raises(StaleLease):
                store.round("w", [replace(stretch, reports=(*stretch.reports, late))], since=0)
            assert everything(store) == before
        assert store.round("w", [due], since=0).run.total == 3

    def test_the_end_of_a_run(self, store: Store) -> None:
        """All members have had their intervals, and none is handed out."""
        workers = Workers(store, population=3, limit=1)
        rows = store.claim_all("w", since=0).rows
        told = store.round("w", [stretch_of(workers, rows[0], 1.0)], since=0)
        assert (list(told.rows), told.ended) == ([1, 2], None)
        told = store.round("w", [stretch_of(workers, rows[1], 1.0), stretch_of(workers, rows[2], 1.0)], since=0)
        assert (dict(told.rows), told.ended) == ({}, "done")

    @pytest.mark.parametrize("stretch", [1, 5])
    def test_the_rule_stops_the_run_in_the_middle_of_a_round(self, store: Store, stretch: int) -> None:
        """What was trained beside it and after it is stored all the same, and nothing is handed out."""
        workers = Workers(store, population=4, limit=20, stretch=stretch, stop={"score": 2.0})
        rows = store.claim_all("w", since=0).rows
        scores = ((1.0,), (2.0, 0.5), (3.0, 0.25), (0.0, 0.5, 1.0))
        given = [stretch_of(workers, row, *scores[m][: 1 if stretch == 1 else 3]) for m, row in rows.items()]
        told = store.round("w", given, since=0)
        assert (told.run.status, told.run.best_score) == ("stopped", 3.0)
        assert [one.score for one in told.news] == [
            s for stretch_ in given for s in (r.score for r in stretch_.reports)
        ]
        # The first one was not due when the run still went on, and stays with the worker; it lets the others go.
        assert list(told.rows) == ([] if stretch == 1 else [0])
        assert (told.ended is None) is (stretch == 5)
        for row in told.rows.values():
            told = store.round("w", [stretch_of(workers, row, 1.0)], since=0)
        assert (dict(told.rows), told.ended) == ({}, told.run.reason)

    def test_a_run_that_stopped_leaves_a_worker_what_is_not_saved(self, store: Store) -> None:
        """It goes on with those members until their state is."""
        workers = Workers(store, population=2, limit=20, stretch=5, save_every=2)
        rows = store.claim_all("w", since=0).rows
        store.update(status="stopped", reason="enough")
        told = store.round("w", [stretch_of(workers, rows[0], 1.0), stretch_of(workers, rows[1], 1.0, 1.0)], since=0)
        assert (list(told.rows), told.ended) == ([0], None)
        told = store.round("w", [stretch_of(workers, told.rows[0], 1.0)], since=0)
        assert (dict(told.rows), told.ended) == ({}, "enough")
        assert store.run().total == 4

    def test_diverged_members_in_a_round(self, store: Store) -> None:
        """One uses up its interval and is due; after too many it is quarantined, and told of."""
        workers = Workers(store, population=3, stretch=4, tries=2)
        rows = store.claim_all("w", since=0).rows
        told = store.round("w", [stretch_of(workers, row, 1.0) for row in rows.values()], since=0)
        rows, started = told.rows, told.rows[0].start
        stretches = [stretch_of(workers, row, math.nan if number == 0 else 1.0) for number, row in rows.items()]
        told = store.round("w", stretches, since=0)
        row = told.rows[0]
        assert (row.budget, row.age, row.failures, row.start, row.due) == (2, 1, 1, started, 2)
        assert told.aside == frozenset()
        stretches = [stretch_of(workers, row, math.nan if number == 0 else 1.0) for number, row in told.rows.items()]
        told = store.round("w", stretches, since=0)
        assert (list(told.rows), told.aside) == ([1, 2], frozenset({0}))
        assert store.member(0).state == "quarantined"
        assert [event.kind for event in store.events()] == ["quarantine"]

    def test_what_a_decision_has_for_another_member_lands_in_the_same_round(self, store: Store) -> None:
        """After its report, as it does one by one; and a decision may let its member wait or end it."""
        workers = Workers(store, population=3)
        rows = store.claim_all("w", since=0).rows
        told = store.round("w", [stretch_of(workers, row, 1.0) for row in rows.values()], since=0)
        rows, seen = told.rows, told.run.revision
        copy = Assign(member=1, hyperparameters={"x": 8.0}, sources=(str(rows[0].start),))
        plan = Plan(actions=(copy, Retire(member=2)))
        given = [stretch_of(workers, row, 2.0, plan=plan if m == 0 else None, seen=seen) for m, row in rows.items()]
        told = store.round("w", given, since=seen)
        assert [one.hyperparameters for one in told.news] == [{"x": 0.0}, {"x": 1.0}, {"x": 2.0}]
        assert (told.rows[1].hyperparameters, told.rows[1].origin) == ({"x": 8.0}, "exploit")
        assert list(told.rows) == [0, 1]
        assert store.member(2).role == "retired"

    # -- all or nothing -----------------------------------------------------------------------------------------

    @pytest.mark.parametrize("what", ["lease lost", "no lease", "source gone", "no such member", "reported twice"])
    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_a_round_happens_whole_or_not_at_all(self, store: Store, what: str, place: int) -> None:
        """One stale part anywhere in it, and nothing of it is left; told is nobody."""
        dropped: list[str] = []
        workers = Workers(store, population=3, limit=30)
        rows = store.claim_all("w", since=0).rows
        for score in range(4):
            told = store.round("w", [stretch_of(workers, row, float(score)) for row in rows.values()], since=0)
            rows = told.rows
        store.on_dropped(dropped.extend)
        if what == "lease lost":
            store.fail(str(rows[place].token), "it broke")
        before = everything(store)
        own = [Assign(member=m, hyperparameters={"x": 5.0}, via="keep") for m in range(3)]
        bad: list[Action] = [own[place]]
        if what == "source gone":
            bad.append(Assign(member=place, hyperparameters={}, sources=("gone",)))
        elif what == "no such member":
            bad.append(Retire(member=99))
        stretches = [
            stretch_of(workers, row, 9.0, plan=Plan(actions=tuple(bad) if m == place else (own[m],), memory={"n": m}))
            for m, row in rows.items()
        ]
        if what == "no lease":
            stretches[place] = replace(stretches[place], token="never", plan=None)
        elif what == "reported twice":
            stretches.insert(place, replace(stretches[place], plan=None))
        error = {"source gone": StaleView, "no such member": InvalidValue}.get(what, StaleLease)
        with pytest.raises(error):
            store.round("w", stretches, since=0)
        assert everything(store) == before
        assert dropped == []
        for row in rows.values():  # and it can be gone on from there
            if what != "lease lost" or row.member != place:
                workers.report(row, 1.0)

    def test_names_that_a_round_gave_up(self, store: Store) -> None:
        """Are told once, together, after the commit; also of states that came and went within one round."""
        told: list[list[str]] = []
        known: list[bool] = []

        def call(names: Sequence[str]) -> None:
            told.append(list(names))
            known.append(not set(names) & store.kept())

        store.on_dropped(call)
        workers = Workers(store, population=3, limit=9, stretch=3, inline=False)
        rows, made = store.claim_all("w", since=0).rows, set[str]()
        for _ in range(3):
            stretches = [
                stretch_of(workers, row, 0.0, 0.0, 0.0, due=row.budget + 3) for row in rows.values()
            ]  # each saves three states
            made |= {str(one.checkpoint.name) for s in stretches for one in s.reports if one.checkpoint}
            rows = store.round("w", stretches, since=0).rows
        assert len(made) == 27
        flat = [name for names in told for name in names]
        assert len(told) == 3
        assert len(flat) == len(set(flat))
        assert set(flat) == made - store.kept()
        assert all(known)
        self._forget_files(store)

    @staticmethod
    def _forget_files(store: Store) -> None:
        """No bytes are behind the names, and CHECK must not load them."""
        store.extend(12, Plan())
        workers = Workers.over(store)
        for score in (1.0, 2.0, 3.0):
            rows = store.claim_all("w", since=0).rows
            store.round("w", [stretch_of(workers, row, score) for row in rows.values()], since=0, more=False)
        assert all(store.checkpoint(name).inline is not None for name in store.kept())

    # -- the same as one by one ---------------------------------------------------------------------------------

    @pytest.mark.parametrize("synchronous", [False, True])
    @pytest.mark.parametrize("seed", range(4))
    def test_a_round_is_what_its_parts_are_one_by_one(
        self, store: Store, twin: Store, seed: int, synchronous: bool
    ) -> None:
        """To the last field of the record, over a random run beside a twin that takes the parts one at a time."""
        dropped: tuple[list[str], list[str]] = ([], [])
        store.on_dropped(dropped[0].extend)
        twin.on_dropped(dropped[1].extend)
        fields: dict[str, Any] = {
            "population": 5, "limit": 14, "stretch": 2, "save_every": 2, "tries": 3, "synchronous": synchronous,
            "goal": "min" if seed % 2 else "max", "stop": {"patience": 40} if seed == 3 else None,
        }  # fmt: skip
        both = Workers(store, **fields)
        Workers(twin, **fields)
        rng = np.random.default_rng(seed)
        told, rounds = store.claim_all("w", since=0), 0
        claim_one_by_one(twin)
        while told.ended is None or told.ended == "left":
            rounds += 1
            tell_the_same(store, twin)
            assert sorted(dropped[0]) == sorted(dropped[1])
            assert list(told.rows.values()) == [row for row in twin.members() if row.worker == "w"]
            known = told.run.revision
            if told.ended == "left" or not told.rows or rng.random() < 0.2:
                disturb(store, twin, rng, told)
                told = store.claim_all("w", since=known)
                claim_one_by_one(twin)
                continue
            more = bool(rng.random() < 0.9)
            longest = 1 if fields["stop"] else 3  # a single worker would not go on in a run that has stopped
            stretches = [
                random_stretch(both, rng, row, known, longest, leaves=not more)
                for row in told.rows.values()
                if rng.random() < 0.8
            ]
            told = store.round("w", stretches, since=known, more=more)
            one_by_one(twin, stretches, more=more)
            assert list(told.news) == list(store.changes(known).news)
        tell_the_same(store, twin)
        assert rounds > 10
