from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warren.population import IntervalRow, Log, MemberRow, View, retained
from warren.space import Float, Space

MEMBERS = 4
SCORES = [-1.0, 0.0, 0.5, 2.0]


def row(id: int, member: int, interval: int, **fields: Any) -> IntervalRow:
    fields.setdefault("status", "ok" if fields.get("score") is not None else "diverged")
    return IntervalRow(id=id, member=member, interval=interval, age=interval, hyperparameters={}, **fields)


# -- a second way to say what the log says --------------------------------------------------------------------------


def alive(rows: dict[int, IntervalRow], member: int) -> list[IntervalRow]:
    return sorted((r for r in rows.values() if r.member == member and r.voided is None), key=lambda r: r.interval)


def kept_by_the_rule(own: list[IntervalRow]) -> list[IntervalRow]:
    saved = [r for r in own if r.checkpoint is not None]
    wanted = {r.interval for r in saved[-1:]} | {r.interval for r in [r for r in saved if r.boundary][-2:]}
    wanted |= {r.interval for r in saved[-2:]} if len(wanted) == 1 else set()
    return [r for r in saved if r.interval in wanted and r.lost is None]


def assert_same(log: Log, rows: dict[int, IntervalRow], at: int, sign: float) -> None:
    facts = log.facts(at)
    expected = {}
    for member in range(MEMBERS):
        own = alive(rows, member)
        judged = [r for r in own if r.interval <= at and r.status != "pending"]
        if judged:
            expected[member] = judged[-1]
        assert log.newest(member, at) == (judged[-1] if judged else None)
        assert list(log.reports(member)) == own
        kept = kept_by_the_rule(own)
        assert retained(own) == kept
        before = [r for r in kept if r.interval <= at]
        assert log.loadable(member, at) == (before[-1] if before else kept[0] if kept else None)
    assert {int(m): facts.rows[place] for place, m in enumerate(facts.members)} == expected
    assert dict(facts.place) == {int(m): place for place, m in enumerate(facts.members)}
    for place, member in enumerate(facts.members):
        score = expected[int(member)].score
        assert facts.scores[place] == (-math.inf if score is None else sign * score)
        assert bool(facts.healthy[place]) is (score is not None)


@settings(max_examples=60)
@given(st.data(), st.sampled_from(["max", "min"]))
def test_facts_are_those_of_equal_progress(data: st.DataObject, goal: Any) -> None:
    """Whatever order reports come in, are taken back, or are scored late, and whenever one asks."""
    log = Log(goal)
    sign = 1.0 if goal == "max" else -1.0
    rows: dict[int, IntervalRow] = {}
    for revision in range(2, data.draw(st.integers(2, 40))):
        member = data.draw(st.integers(0, MEMBERS - 1))
        own = alive(rows, member)
        what = data.draw(st.sampled_from(["report", "report", "report", "void", "score"]))
        news = []
        if what == "report" or not own:
            status = data.draw(st.sampled_from(["ok", "ok", "ok", "pending", "diverged"]))
            saved = status != "diverged" and data.draw(st.booleans())
            score = data.draw(st.sampled_from(SCORES)) if status == "ok" else None
            id = len(rows) + 1
            news.append(
                row(
                    id, member, len(own) + 1, score=score, status=status, revision=revision,
                    checkpoint=f"c{id}" if saved else None, boundary=data.draw(st.booleans()),
                )
            )  # fmt: skip
        elif what == "void":  # a stretch's tail, without checkpoints
            tail = own[max((r.interval for r in own if r.checkpoint is not None), default=0) :]
            news += [replace(r, voided=revision) for r in tail]
        else:
            pending = [r for r in own if r.status == "pending"]
            if pending:
                news.append(replace(pending[0], status="ok", score=data.draw(st.sampled_from(SCORES)), scored=revision))
        rows.update({r.id: r for r in news})
        log.update(news, revision)
        assert log.revision == revision
        if data.draw(st.booleans()):
            assert_same(log, rows, data.draw(st.integers(0, 12)), sign)
    for at in range(12):
        assert_same(log, rows, at, sign)
    whole = Log(goal)  # and at once is as bit by bit
    whole.update(sorted(rows.values(), key=lambda r: r.id), 99)
    assert_same(whole, rows, 5, sign)


def test_a_population_that_grows() -> None:
    log = Log("max")
    log.update([row(1, 0, 1, score=1.0)], 2)
    assert list(log.facts(1).scores) == [1.0]
    log.update([row(m + 1, m, 1, score=float(m)) for m in range(1, 50)], 3)
    facts = log.facts(1)
    assert sorted(facts.members.tolist()) == list(range(50))
    assert all(facts.scores[facts.place[m]] == (m or 1.0) for m in range(50))


def test_facts_are_shared_until_something_changes() -> None:
    log = Log("max")
    log.update([row(m + 1, m, 1, score=1.0) for m in range(3)], 2)
    facts = log.facts(1)
    assert facts.once("a", lambda: [1]) is facts.once("a", lambda: [2])
    assert facts.once("b", lambda: [3]) == [3]
    log.update([], 3)
    assert log.facts(1) is facts
    assert log.facts(1, without=frozenset({2})) is not facts
    for change in (
        lambda: log.update([row(9, 2, 2, score=None, status="pending")], 4),
        lambda: log.update([row(3, 2, 1, score=5.0)], 5),
        lambda: log.prune(1),
    ):
        change()
        assert log.facts(1) is not facts
        facts = log.facts(1)
        assert facts.once("a", lambda: [2]) == [2]
        facts.once("a", lambda: [1])


def test_what_is_found_from_an_array_is_for_that_array() -> None:
    """Not for one that is equal, and not for another one that took its place in memory."""
    log = Log("max")
    log.update([row(1, 0, 1, score=1.0)], 2)
    facts = log.facts(1)
    for value in range(100):
        array = np.full(3, value)
        assert facts.once("sum", lambda array=array: int(array.sum()), given=array) == 3 * value  # type: ignore[misc]
        assert facts.once("sum", lambda: -1, given=array) == 3 * value
        del array


def test_many_intervals_are_asked_for() -> None:
    """More than the log keeps ready."""
    log = Log("max")
    for interval in range(1, 60):
        log.update([row(2 * interval + m, m, interval, score=float(interval + m)) for m in range(2)], interval)
        for at in range(1, interval + 1, 3):
            assert log.facts(at).scores.tolist() == [at, at + 1]


def test_an_old_part_is_forgotten() -> None:
    """Behind the least-trained member by the history, and not before."""
    log = Log("max", history=10)
    id = 0
    for interval in range(1, 1501):
        for member in range(3):
            id += 1
            log.update([row(id, member, interval, score=1.0, checkpoint=f"c{id}")], id)
    assert log.crowded
    log.prune(1400)  # somebody may still be trained from there on, who perhaps has not reported at all
    assert not log.crowded
    assert [log.reports(m)[0].interval for m in range(3)] == [1391] * 3
    assert log.facts(1400).scores.tolist() == [1.0] * 3
    log.prune(1500)
    assert [len(log.reports(m)) for m in range(3)] == [10] * 3
    log.update([row(9000, 3, 1, score=1.0)], 9000)
    log.prune(1600)
    assert [len(log.reports(m)) for m in range(4)] == [2, 2, 2, 1]  # the last of each stays
    whole = Log("max", history=None)
    whole.update([row(i, 0, i, score=1.0) for i in range(1, 5001)], 9)
    assert not whole.crowded
    whole.prune(5000)
    assert len(whole.reports(0)) == 5000


def test_many_members_are_gone_through_rarely() -> None:
    """Not after each round, which alone brings more reports than a small population has in a long time."""
    log = Log("max")
    for interval in range(1, 10):
        assert not log.crowded
        log.update([row(1000 * interval + m, m, interval, score=1.0) for m in range(1000)], interval)
    assert log.crowded
    log.prune(9)
    assert not log.crowded


def test_what_is_loadable_is_not_forgotten() -> None:
    """However long a stretch is: its checkpoints are there, and may be asked for."""
    log = Log("max", history=10)
    id = 0
    for interval in range(1, 2200):
        for member in range(2):
            id += 1
            ends = interval % 100 == 0
            saved = f"c{member}-{interval}" if ends else None
            log.update([row(id, member, interval, score=1.0, checkpoint=saved, boundary=ends)], id)
            if interval % 7 == 0:
                log.prune(interval - 1)
            if interval > 200:
                last = interval - interval % 100
                found = log.loadable(member, interval)
                assert found is not None, (member, interval)
                assert found.interval == last
                found = log.loadable(member, last - 1)  # for one that is to decide at the last boundary but one
                assert found is not None
                assert found.interval == last - 100, (member, interval)


# -- the rule of what is kept -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "kept"),
    [
        ("", []),
        ("b", [1]),
        ("s", [1]),
        ("bb", [1, 2]),
        ("bbb", [2, 3]),
        ("bsbs", [1, 3, 4]),
        ("bsss", [1, 4]),
        ("bssb", [1, 4]),
        ("bb..", [1, 2]),
        ("b.s.", [1, 3]),
        ("ss", [1, 2]),
        ("ssss", [3, 4]),
        ("sb", [1, 2]),
        ("bL", [1]),
        ("bbL", [2]),
        ("LL", []),
        ("bLb", [3]),
        ("bbbbs", [3, 4, 5]),
    ],
)
def test_retained(shape: str, kept: list[int]) -> None:
    """b: saved at a boundary; s: saved inside a stretch; .: not saved; L: saved at a boundary and found damaged."""
    reports = [
        row(
            i,
            0,
            i,
            score=1.0,
            checkpoint=None if letter == "." else f"c{i}",
            boundary=letter in "bL",
            lost=99 if letter == "L" else None,
        )
        for i, letter in enumerate(shape, start=1)
    ]
    assert [r.interval for r in retained(reports)] == kept


# -- the view -------------------------------------------------------------------------------------------------------


def view_of(log: Log, **due: Any) -> View:
    member = MemberRow(member=due.pop("member", 0), hyperparameters={"x": 0.0}, **due)
    return View(space=Space({"x": Float(0, 1)}), goal="max", due=member, log=log, size=3, limit=9)


def test_others_appear_at_the_deciders_interval() -> None:
    log = Log("max")
    log.update([row(i, 0, i, score=float(i)) for i in (1, 2)], 2)
    log.update([row(10 + i, 1, i, score=10.0 + i, checkpoint=f"c{i}") for i in (1, 2, 3)], 5)
    log.update([row(20, 2, 1, score=20.0)], 6)
    view = view_of(log, budget=2)
    assert view.at == 2
    assert view.revision == 6
    assert {int(m): s for m, s in zip(view.facts.members, view.facts.scores, strict=True)} == {
        0: 2.0, 1: 12.0, 2: 20.0,
    }  # fmt: skip
    assert view.report is not None
    assert view.report.interval == 2
    assert [r.interval for r in view.reports(1)] == [1, 2]
    source = view.source(1)
    assert source is not None
    assert source.checkpoint == "c2"
    assert view.source(2) is None
    fit = {int(m): bool(f) for m, f in zip(view.facts.members, view.donors(), strict=True)}
    assert fit == {0: False, 1: True, 2: True}
    assert view.facts.healthy.all()  # asking for donors writes nothing


def test_a_state_that_is_one_ahead_is_copied_where_the_older_one_is_gone() -> None:
    log = Log("max")
    log.update([row(i, 1, i, score=1.0, checkpoint=f"c{i}") for i in (4, 5)], 2)
    source = view_of(log, budget=3).source(1)
    assert source is not None
    assert source.interval == 4


def test_a_member_without_a_report() -> None:
    view = view_of(Log("max"), budget=0)
    assert view.report is None
    assert view.place is None
    assert len(view.donors()) == 0
    assert not view.failing


def test_who_cannot_go_on() -> None:
    """A member that diverged at its last interval, or that failed again when it was tried again."""
    assert not view_of(Log("max"), failures=1).failing
    assert view_of(Log("max"), failures=2).failing
    log = Log("max")
    log.update([row(1, 0, 1, score=None)], 2)
    assert view_of(log, budget=1, failures=1).failing
    log.update([row(2, 0, 2, score=1.0)], 3)
    assert not view_of(log, budget=2).failing


def test_nan_is_no_donor() -> None:
    log = Log("min")
    log.update([row(1, 0, 1, score=1.0), row(2, 1, 1, score=None), row(3, 2, 1, score=None, status="pending")], 2)
    view = view_of(log, budget=1)
    assert sorted(view.facts.members.tolist()) == [0, 1]
    assert not view.donors().any()
    assert np.isneginf(view.facts.scores[view.facts.place[1]])
    assert view.facts.scores[view.facts.place[0]] == -1.0


# -- lineage ----------------------------------------------------------------------------------------------------------


def chain(log: Log, row: IntervalRow) -> list[int]:
    return [one.id for one in log.lineage(row)]


def test_a_lineage_goes_over_members_along_the_first_parent() -> None:
    """1 and 2 are fresh, 3 goes on from 1, 4 is made of 3 and 2, 5 goes on from it, 6 from 2."""
    parents: dict[int, tuple[int, ...]] = {1: (), 2: (), 3: (1,), 4: (3, 2), 5: (4,), 6: (2,)}
    places = {1: (0, 1), 2: (1, 1), 3: (0, 2), 4: (1, 2), 5: (1, 3), 6: (2, 2)}
    rows = {id: row(id, *places[id], score=1.0, parents=parents[id]) for id in parents}
    log = Log("max")
    log.update(rows.values(), 7)
    assert chain(log, rows[5]) == [5, 4, 3, 1]
    assert chain(log, rows[6]) == [6, 2]
    assert chain(log, rows[1]) == [1]


def test_a_lineage_is_of_what_is_known_now() -> None:
    """A late score is in it; what was taken back ends it."""
    log = Log("max")
    first, second = row(1, 0, 1, score=None, status="pending"), row(2, 0, 2, score=2.0, parents=(1,))
    log.update([first, second], 3)
    log.update([replace(first, status="ok", score=9.0, scored=4)], 4)
    assert [one.score for one in log.lineage(second)] == [2.0, 9.0]
    third = row(3, 0, 3, score=3.0, parents=(2,))
    log.update([third], 5)
    log.update([replace(second, voided=6)], 6)
    assert chain(log, third) == [3]
    log.update([row(4, 0, 2, score=2.0, parents=(1,))], 7)
    assert chain(log, third) == [3]


def test_a_lineage_ends_where_the_log_does() -> None:
    """What is forgotten is forgotten here as well: of 30 intervals those that are still kept."""
    log = Log("max", history=8)
    rows = [row(i, 0, i, score=1.0, parents=(i - 1,) if i > 1 else ()) for i in range(1, 31)]
    log.update(rows, 31)
    assert len(log.lineage(rows[-1])) == 30
    log.prune(30)
    kept = [one.id for one in log.reports(0)]
    assert kept[0] > 1
    assert chain(log, rows[-1]) == kept[::-1]
    assert sorted(log._by_id) == kept


def test_a_view_shows_lineages() -> None:
    log = Log("max")
    rows = [row(1, 0, 1, score=1.0), row(2, 1, 1, score=2.0), row(3, 0, 2, score=3.0, parents=(2,))]
    log.update(rows, 4)
    due = MemberRow(member=0, hyperparameters={}, budget=2)
    view = View(space=Space({"lr": Float(0.0, 1.0)}), goal="max", due=due, log=log, size=2, limit=9)
    assert view.report is not None
    assert [(one.member, one.interval) for one in view.lineage(view.report)] == [(0, 2), (1, 1)]
