"""What a store promises about who may work on a member; a part of `StoreContract`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from warren.errors import StaleLease
from warren.population import Assign, Plan, Report
from warren.stores import Store
from warren.testing.workers import Workers, everything


class ClaimContract:
    """One holder at a time: a claim is a lease, and what a stale one carries is refused."""

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
