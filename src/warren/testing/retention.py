"""What a store promises about scores that come later, and about what is kept; a part of `StoreContract`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from warren.errors import CheckpointMissing, InvalidValue
from warren.population import Plan
from warren.stores import Store
from warren.testing.check import check
from warren.testing.workers import Workers


class RetentionContract:
    """What somebody may still need is kept, and what nobody needs is given up."""

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
