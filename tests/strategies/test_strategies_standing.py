from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from warren.population import IntervalRow, Keys, Log, MemberRow, Plan, View
from warren.space import Float, Space
from warren.strategies import PBT, LastScore, Perturb, Strategy, Tournament, Truncation, TTest, compose, decide
from warren.strategies.standing import donor, lottery, opponent_of, worst
from warren.testing.strategies import Population

SPACE = Space({"lr": Float(1e-5, 1.0, scale="log"), "momentum": Float(0.5, 0.999, scale="one_minus")})
FAST = settings(max_examples=80)
STRATEGIES: dict[str, Strategy] = {
    "truncation": PBT(),
    "half": PBT(exploit=Truncation(fraction=0.5, donors=1), explore=Perturb(resample=0.5)),
    "tournament": PBT(exploit=Tournament(), explorers="ready"),
    "t-test": PBT(exploit=TTest(p=0.9, last=3)),
}
LOST = st.sampled_from([None, None, None, None, 3])
SCORE = st.sampled_from([0.0, -0.0, 1.0, 1.0, 2.0, 3.0, math.nan, None])


def row(id: int, member: int, interval: int, score: float | None, **fields: Any) -> IntervalRow:
    """A report: NaN where it diverged, None where its score is still to come."""
    status = "pending" if score is None else "diverged" if math.isnan(score) else "ok"
    values = SPACE.sample(np.random.default_rng(member))
    fields.setdefault("checkpoint", None if status == "diverged" else f"{member}@{interval}")
    return IntervalRow(
        id=id, member=member, interval=interval, age=interval, hyperparameters=values, status=status,  # type: ignore[arg-type]
        score=score if status == "ok" else None, **fields,
    )  # fmt: skip


def log_of(rows: Iterable[IntervalRow]) -> Log:
    log = Log("max", history=None)
    log.update(rows, 1)
    return log


def plan_of(
    strategy: Strategy, log: Log, member: int, at: int, *, aside: frozenset[int] = frozenset(), failures: int = 0
) -> Plan:
    """What a strategy decides for a member that has come to an interval."""
    values = SPACE.sample(np.random.default_rng(member))
    due = MemberRow(member=member, hyperparameters=values, budget=at, age=at, due=at, failures=failures)
    view = View(space=SPACE, goal="max", due=due, log=log, size=12, limit=99, aside=aside)
    return decide(strategy, view, seed=5)


# -- shared or each on its own ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STRATEGIES)
@FAST
@given(data=st.data())
def test_a_round_decides_as_each_member_alone(name: str, data: st.DataObject) -> None:
    """Ties, members that diverged, wait for a score, have no report, lost a state, are ahead or set aside."""
    strategy = STRATEGIES[name]
    paces = data.draw(st.lists(st.lists(SCORE, max_size=4), min_size=1, max_size=12))
    rows = [
        row(100 * member + i, member, i, score, boundary=data.draw(st.booleans()), lost=data.draw(LOST))
        for member, own in enumerate(paces)
        for i, score in enumerate(own, start=1)
    ]
    shared = log_of(rows)
    aside = frozenset(data.draw(st.sets(st.integers(0, len(paces)), max_size=2)))
    for member in data.draw(st.permutations(range(len(paces)))):
        at = data.draw(st.integers(0, 4))
        failures = data.draw(st.sampled_from([0, 0, 0, 2]))
        plans = [plan_of(strategy, log, member, at, aside=aside, failures=failures) for log in (shared, log_of(rows))]
        assert plans[0] == plans[1]


@settings(FAST, phases=[Phase.generate])  # to shrink what fails would take minutes
@given(data=st.data())
def test_nothing_that_has_changed_is_remembered(data: st.DataObject) -> None:
    """A log that everybody has decided on, after any news, decides as one that has only seen how things are now."""
    strategies = list(STRATEGIES.values())
    size = data.draw(st.integers(2, 7))
    known = {
        (member, interval): row(10 * member + interval, member, interval, data.draw(SCORE))
        for member in range(size)
        for interval in (1, 2)
    }
    log = log_of(known.values())
    for revision in range(2, data.draw(st.integers(3, 9))):
        strategy = data.draw(st.sampled_from(strategies))
        for at in (1, 2):
            for member in range(size):
                fresh = log_of(known.values())
                assert plan_of(strategy, log, member, at) == plan_of(strategy, fresh, member, at)
        member, interval = data.draw(st.sampled_from(sorted(known)))
        old = known[member, interval]
        what = data.draw(st.sampled_from(["report", "score", "lost", "void", "prune"]))
        if what == "report":
            last = max((i for m, i in known if m == member), default=0)
            new = row(1000 * revision, member, last + 1, data.draw(SCORE))
        elif what == "score":
            new = replace(old, status="ok", score=data.draw(st.sampled_from([0.0, 1.0, 9.0])), scored=revision)
        elif what == "lost":
            new = replace(old, lost=revision)
        elif what == "void":
            new = replace(old, voided=revision)
        else:
            log.prune(0)
            continue
        known[member, new.interval] = new
        if what == "void":
            del known[member, interval]
        log.update([new], revision)


def test_a_score_that_comes_late_makes_another_the_worst() -> None:
    rows = [row(m + 1, m, 1, float(m)) for m in range(5)]
    log = log_of(rows)
    assert [bool(plan_of(PBT(), log, m, 1).actions) for m in range(5)] == [True, False, False, False, False]
    log.update([replace(rows[4], score=-1.0, scored=2)], 2)
    assert [bool(plan_of(PBT(), log, m, 1).actions) for m in range(5)] == [False, False, False, False, True]


def donors_of(log: Log, member: int = 0, at: int = 1) -> set[str]:
    """The states that a member could be given."""
    view = view_of(log, member, at)
    found = [donor(view, LastScore()(view), Keys(seed=s, member=member, interval=at), 2) for s in range(60)]
    return {str(one.checkpoint) for one in found if one is not None}


def view_of(log: Log, member: int = 0, at: int = 1) -> View:
    due = MemberRow(member=member, hyperparameters={}, budget=at, due=at)
    return View(space=SPACE, goal="max", due=due, log=log, size=9, limit=9)


@pytest.mark.parametrize(
    ("news", "after"),
    [
        (lambda rows: [replace(rows[3], lost=2)], {"2@1", "1@1"}),
        (lambda rows: [replace(rows[3], voided=2)], {"2@1", "1@1"}),
        # Those that no decision at interval 1 is about, but that move what is kept of member 3.
        (lambda rows: [row(50, 3, 2, None), row(51, 3, 3, None)], {"3@2", "2@1"}),
        (lambda rows: [row(50, 3, 2, 0.0, checkpoint=None)], {"3@1", "2@1"}),
    ],
    ids=["lost", "voided", "two more reports that are pending", "one more without a state"],
)
def test_donors_are_those_of_now(news: Any, after: set[str]) -> None:
    rows = [row(m + 1, m, 1, float(m)) for m in range(4)]
    log = log_of(rows)
    assert donors_of(log) == {"3@1", "2@1"}
    log.update(news(rows), 2)
    assert donors_of(log) == after == donors_of(log_of([*rows, *news(rows)]))


# -- against what they mean -------------------------------------------------------------------------------------------


def best_first(view: View, fitness: Any, keys: Keys) -> list[int]:
    """All members but the one that is due, healthy and loadable, by rank."""
    lots = lottery(view, keys)
    order = sorted(range(len(fitness)), key=lambda place: (-fitness[place], -lots[place]))
    members = [int(view.facts.members[place]) for place in order if view.facts.healthy[place]]
    return [member for member in members if member != view.due.member and view.source(member) is not None]


@FAST
@given(
    st.lists(st.sampled_from([0.0, -0.0, 1.0, 2.0, -math.inf, math.inf, 5e-324]), min_size=1, max_size=14), st.data()
)
def test_the_worst_are_counted_from_below(fitness: Sequence[float], data: st.DataObject) -> None:
    n = len(fitness)
    count = data.draw(st.integers(1, n))
    view = view_of(log_of(row(m + 1, m, 1, 0.0) for m in range(n)))
    keys = Keys(seed=data.draw(st.integers(0, 5)), member=0, interval=1)
    lots = lottery(view, keys)
    ranked = sorted(range(n), key=lambda place: (fitness[place], lots[place]))
    expected = [place in ranked[:count] for place in range(n)]
    assert worst(view, np.array(fitness), keys, count).tolist() == expected


def test_a_fitness_that_is_no_number_counts_for_nobody() -> None:
    """It is below nobody, and nobody is below it."""
    view = view_of(log_of(row(m + 1, m, 1, 0.0) for m in range(4)))
    keys = Keys(seed=0, member=0, interval=1)
    fitness = np.array([math.nan, 1.0, 2.0, 3.0])
    assert worst(view, fitness, keys, 1).tolist() == [True, True, False, False]
    assert worst(view, fitness, keys, 4).tolist() == [True] * 4


@FAST
@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, math.nan]), min_size=1, max_size=9), st.integers(1, 6), st.data())
def test_donors_are_the_best_of_the_others(scores: Sequence[float], size: int, data: st.DataObject) -> None:
    """Drawn by the member's own key from among them by rank, whoever asked before."""
    unsaved = data.draw(st.sets(st.integers(0, len(scores) - 1)))
    rows = [row(m + 1, m, 1, score, **({"checkpoint": None} if m in unsaved else {})) for m, score in enumerate(scores)]
    log = log_of(rows)
    for member in data.draw(st.permutations(range(len(scores) + 1))):  # the last one has no report
        view, keys = view_of(log, member), Keys(seed=1, member=member, interval=1)
        fitness = LastScore()(view)
        found = donor(view, fitness, keys, size)
        pool = best_first(view, fitness, keys)[:size]
        if not pool:
            assert found is None
        else:
            assert found is not None
            assert found.member == pool[int(keys.generator("donor").integers(len(pool)))]


@pytest.mark.parametrize("members", [[0], [0, 1], [3, 1, 7], [8, 2, 0, 5, 4]])
def test_an_opponent_is_drawn_from_the_others_by_number(members: list[int]) -> None:
    """Whatever order they have reported in; also for one that has not reported itself."""
    log = log_of(row(m + 1, m, 1, 0.0) for m in members)
    log.facts(1)
    log.update([row(99, 6, 1, 0.0)], 2)
    for member in [*members, 6, 9]:
        for seed in range(20):
            view, keys = view_of(log, member), Keys(seed=seed, member=member, interval=1)
            others = sorted({*members, 6} - {member})
            place = opponent_of(view, keys)
            assert place is not None
            assert int(view.facts.members[place]) == others[int(keys.generator("opponent").integers(len(others)))]
    assert opponent_of(view_of(log_of([])), keys) is None


# -- once for all -----------------------------------------------------------------------------------------------------


def test_a_round_is_ranked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many decide: one lottery, and each donor is looked up once."""
    asked: Counter[str] = Counter()
    loadable, common = Log.loadable, Keys.shared
    monkeypatch.setattr(Log, "loadable", lambda self, member, at: asked.update(["state"]) or loadable(self, member, at))
    monkeypatch.setattr(Keys, "shared", lambda self, what: asked.update([what]) or common(self, what))
    log = log_of(row(m + 1, m, 1, float(m // 3)) for m in range(200))
    copies = sum(bool(plan_of(PBT(), log, m, 1).actions) for m in range(200))
    assert copies == 40
    assert asked == {"ties": 1, "state": 41}
    log.update([row(500, 0, 2, 1.0)], 2)
    plan_of(PBT(), log, 0, 1)
    assert asked == {"ties": 2, "state": 82}


def relative(view: View) -> Any:
    """A fitness that is another one for each member that decides: nearness to its own score."""
    own = view.facts.scores[view.place] if view.place is not None else 0.0
    return -np.abs(view.facts.scores - own)


def test_a_fitness_of_ones_own_is_ranked_for_each() -> None:
    strategy = compose(fitness=relative, exploit=Truncation(fraction=0.4))
    rows = [row(m + 1, m, 1, float(m * m)) for m in range(6)]
    shared = log_of(rows)
    for member in (3, 0, 5, 1, 2, 4):
        assert plan_of(strategy, shared, member, 1) == plan_of(strategy, log_of(rows), member, 1)
    view = view_of(shared, 2)
    keys = Keys(seed=0, member=2, interval=1)
    assert np.flatnonzero(worst(view, relative(view), keys, 1)).tolist() == [5]
    view = view_of(shared, 5)
    assert np.flatnonzero(worst(view, relative(view), keys, 1)).tolist() == [0]


def test_rules_with_other_settings_do_not_share() -> None:
    """Nor do other seeds."""
    view = view_of(log_of(row(m + 1, m, 1, 1.0) for m in range(10)))
    fitness = LastScore()(view)
    found = {
        tuple(np.flatnonzero(worst(view, fitness, Keys(seed=seed, member=0, interval=1), count)))
        for seed in range(5)
        for count in (1, 4)
    }
    assert {len(places) for places in found} == {1, 4}
    assert len([places for places in found if len(places) == 4]) > 1
    sizes = {
        size: {donor(view, fitness, Keys(seed=0, member=0, interval=1, attempt=a), size).member for a in range(50)}
        for size in (1, 3)
    }  # type: ignore[union-attr]
    assert [len(members) for members in sizes.values()] == [1, 3]


def test_shared_facts_cannot_be_written_to() -> None:
    population = Population([[1.0], [2.0]])
    facts = population.view(0).facts
    assert facts is population.view(1).facts
    for array in (facts.members, facts.scores, facts.healthy):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
