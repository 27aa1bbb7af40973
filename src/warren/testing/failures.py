"""What a store promises about work that fails; a part of `StoreContract`."""

from __future__ import annotations

import math

import pytest

from warren.errors import StaleLease
from warren.population import WorkerRow
from warren.stores import Store
from warren.testing.workers import Workers


class FailureContract:
    """Failures, divergences and lost workers cost an interval each, and end in quarantine, not in a loop."""

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
