"""IPBT: when the curve stops, who begins again with what, and what is remembered; against cases worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import warren
from warren.errors import InvalidType, InvalidValue
from warren.population import Assign, Keys, View
from warren.space import Choice, Float, Int, Space
from warren.strategies import Unchanged
from warren.strategies.ipbt import IPBT, Note, note_of
from warren.strategies.ipbt_models import Outcome, crawls, points, proposed, rises, smoothed, standardised
from warren.testing import strategies as contract
from warren.testing.strategies import Population, StrategyContract, assigned, keys_of

LINE = Space({"h": Float(0.0, 1.0)})


class TestContract(StrategyContract):
    @pytest.fixture
    def strategy(self) -> IPBT:
        return IPBT()


class Stale(Population):
    """As `Population`, and the next step without improvement ends the first iteration."""

    def __init__(self, scores: Any, **options: Any) -> None:
        super().__init__(scores, **options)
        fields = {}
        for row in self.rows:
            note = Note(source=row.member, start=row.hyperparameters, curve=(1e308, 1e307), stale=2, reached=0.5)
            fields[row.member, row.interval] = {"tag": note.tag()}
        super().__init__(scores, fields=fields, **options)

    def view(self, member: int, **due: Any) -> View:
        note = Note(source=member, start=self.values[member], curve=(1e308, 1e307), stale=2, reached=0.5)
        return super().view(member, **{"tag": note.tag(), **due})


class TestContractOfRestarts(StrategyContract):
    @pytest.fixture
    def strategy(self, monkeypatch: pytest.MonkeyPatch) -> IPBT:
        monkeypatch.setattr(contract, "Population", Stale)
        return IPBT()


def people_of(scores: list[float], notes: dict[int, Note] | None = None, at: int = 4, **options: Any) -> Population:
    """Members whose last report is at `at`, each with its note; by default in the first iteration since 0."""
    curves: list[list[float | None]] = [[score] * at for score in scores]
    first = Population(curves, **options)
    fields = {}
    for member, values in enumerate(first.values):
        note = (notes or {}).get(member, Note(source=member, start=values, curve=(1.0, 2.0, 3.0)))
        fields[member, at] = {"tag": note.tag()}
    return Population(curves, fields=fields, **options)


def decided(people: Population, member: int, strategy: IPBT, at: int = 4, seed: int = 0, limit: int = 1000) -> Assign:
    tag = next(row.tag for row in people.rows if (row.member, row.interval) == (member, at))
    view = people.view(member, tag=tag)
    view.limit = limit
    action = assigned(strategy.decide(view, keys_of(view, seed)), member)
    assert action is not None
    return action


# -- the curve --------------------------------------------------------------------------------------------------------


def test_standardised_by_hand() -> None:
    """1, 2, 3 have the mean 2 and the sample deviation 1; 1e308 must not overflow."""
    assert standardised([1.0, 2.0, 3.0]).tolist() == pytest.approx([-1.0, 0.0, 1.0])
    assert standardised([1e308, -1e308]).tolist() == pytest.approx([math.sqrt(0.5), -math.sqrt(0.5)])
    assert standardised([7.0, 7.0]).tolist() == [0.0, 0.0]


def test_the_smoothed_curve_is_the_likeliest_of_the_grid() -> None:
    """Solved once more for two points with a plain inverse, over the same 5 x 4 length scales and noises."""
    y = np.array([-math.sqrt(0.5), math.sqrt(0.5)])
    found = []
    for length in (0.05, 0.1, 0.2, 0.5, 1.0):
        s = math.sqrt(5.0) / length
        k = (1 + s + s * s / 3) * math.exp(-s)
        for noise in (0.01, 0.1, 0.3, 1.0):
            covariance = np.array([[1 + noise, k], [k, 1 + noise]])
            inverse = np.linalg.inv(covariance)
            likelihood = -0.5 * y @ inverse @ y - 0.5 * math.log(np.linalg.det(covariance))
            found.append((likelihood, np.array([[1, k], [k, 1]]) @ inverse @ y))
    best = max(found, key=lambda one: one[0])[1]
    assert smoothed([0.0, 1.0]).tolist() == pytest.approx(best.tolist())


def test_a_small_dip_at_the_end_of_a_rise_is_noise() -> None:
    """The last value alone says that it fell; the smoothed curve still rises. A fall is a fall."""
    rise = [0.1 * k for k in range(12)]
    assert rises(rise)
    assert rises([*rise[:-1], rise[-2] - 0.005])
    assert not rises(rise[::-1])
    assert not rises([1.0, 1.0, 1.0])
    assert rises([1.0])
    assert not rises([0.0, 1.0, 1.5, 1.5, 1.2, 0.9])


def test_a_curve_that_crawls() -> None:
    """0, 10, 10.1, 10.1 has the deviation 5.03, and rose by 0.1 since the second value. 0, 1, 2, 10: 9 of 4.57."""
    assert crawls([0.0, 10.0, 10.1, 10.1], 3)
    assert not crawls([0.0, 1.0, 2.0, 10.0], 3)
    assert not crawls([0.0, 10.0, 10.1, 10.1], 5)


# -- beginnings -------------------------------------------------------------------------------------------------------


def test_points_of_hyperparameters() -> None:
    """Numbers on their scale: 0.1 is in the middle of 0.01 to 1; the choice without order is a label."""
    space = Space({"lr": Float(0.01, 1.0, scale="log"), "n": Int(1, 5), "act": Choice(("a", "b", "c"))})
    found = points(space, [{"lr": 0.1, "n": 2, "act": "c"}], [3])
    assert found.numbers.tolist() == [pytest.approx([0.5, 0.25])]
    assert (found.labels.tolist(), found.times.tolist()) == ([[2]], [3.0])


def test_what_did_well_is_begun_with_again() -> None:
    """Beginnings above 0.5 reached 1, those below 0: whatever the seed, the next one is near the former."""
    outcomes = [Outcome(iteration=0, hyperparameters={"h": k / 10}, reached=float(k > 5)) for k in range(11)]
    for seed in range(10):
        rng = np.random.default_rng(seed)
        assert proposed(LINE, outcomes, 1, rng, forget=0.0, draws=64)["h"] > 0.5


def test_what_was_long_ago_counts_less() -> None:
    """In iteration 0 low values did well, in iteration 3 high ones; what is nearer in time is believed."""
    outcomes = [
        Outcome(iteration=i, hyperparameters={"h": k / 10}, reached=float((k > 5) == (i == 3)))
        for i in (0, 3)
        for k in range(11)
    ]
    rng = np.random.default_rng(0)
    assert proposed(LINE, outcomes, 4, rng, forget=0.9, draws=64)["h"] > 0.5
    mirrored = [replace(one, iteration=3 - one.iteration) for one in outcomes]
    rng = np.random.default_rng(0)
    assert proposed(LINE, mirrored, 4, rng, forget=0.9, draws=64)["h"] < 0.5


def test_without_two_outcomes_it_is_a_draw() -> None:
    one = [Outcome(iteration=0, hyperparameters={"h": 0.5}, reached=1.0)]
    drawn = proposed(LINE, one, 1, np.random.default_rng(5), forget=0.0, draws=64)
    assert drawn == LINE.sample(np.random.default_rng(5))


# -- steps and restarts -----------------------------------------------------------------------------------------------


def test_steps_double() -> None:
    rule = IPBT(every=3)
    assert [rule.step(i) for i in range(4)] == [3, 6, 12, 24]


def test_the_curve_is_carried_along() -> None:
    """The best of this step is put to the three before; it rises, so nothing is stale. All note the same."""
    people = people_of([4.0, 1.0, 2.0, 3.0])
    for member in range(4):
        action = decided(people, member, IPBT())
        note = note_of(member, {}, action.tag)
        assert (note.iteration, note.since, note.curve, note.stale) == (0, 0, (1.0, 2.0, 3.0, 4.0), 0)
        assert action.intervals == 1


def test_no_improvement_is_counted() -> None:
    """The fourth value is below the third: stale is 1; with patience 1 that is the end."""
    people = people_of([2.0, 1.0, 2.0, 1.0])
    note = note_of(0, {}, decided(people, 0, IPBT()).tag)
    assert (note.curve, note.stale, note.iteration) == ((1.0, 2.0, 3.0, 2.0), 1, 0)
    ended = note_of(0, {}, decided(people, 0, IPBT(patience=1)).tag)
    assert (ended.curve, ended.stale, ended.iteration, ended.since) == ((), 0, 1, 4)


def test_all_begin_again_together() -> None:
    """Of eight, four start from fresh weights and four from shrunk ones of the best two, a best one from its own."""
    people = people_of([float(m % 3) for m in range(8)])
    best = {"2@4", "5@4"}
    for seed in range(10):
        actions = {m: decided(people, m, IPBT(patience=1), seed=seed) for m in range(8)}
        assert sorted(action.via for action in actions.values()) == ["fresh"] * 4 + ["shrink"] * 4
        for member, action in actions.items():
            note = note_of(member, {}, action.tag)
            assert action.intervals == 2
            assert (note.iteration, note.since, note.curve, note.source) == (1, 4, (), member)
            assert note.start == action.hyperparameters
            assert note.past == ((0, people.values[member], float(member % 3)),)
            if action.via == "shrink":
                assert set(action.sources) <= best
                assert len(action.sources) == 1
                layers = people.owner(action.sources[0]).hyperparameters["net.layers"]
                assert action.hyperparameters["net.layers"] == layers
                if member in (2, 5):
                    assert action.sources == (f"{member}@4",)


def test_half_of_the_configurations_are_draws() -> None:
    """Those are the member's own draws from the prior; the others are what the model proposes."""
    people = people_of([float(m % 3) for m in range(8)], space=LINE)
    drawn = 0
    for member in range(8):
        action = decided(people, member, IPBT(patience=1))
        keys = Keys(seed=0, member=member, interval=4)
        outcomes = [Outcome(iteration=0, hyperparameters=people.values[m], reached=float(m % 3)) for m in range(8)]
        model = proposed(LINE, outcomes, 1, keys.generator("restart"), forget=0.1, draws=100)
        prior = LINE.sample(keys.generator("restart"))
        drawn += action.hyperparameters == prior
        assert action.hyperparameters in (model, prior)
    assert drawn == 4


def test_what_descendants_reached_belongs_to_the_beginning() -> None:
    """Members 1 and 2 carry states that began with member 0; member 0's own line came from member 3.

    Member 0's beginning reached the better of theirs, 5, or what it had noted, 4.5. Member 3's reached 1 through member
    0, and 2 by its note. Nobody carries member 1's any more: what it noted stays.
    """
    notes = {
        0: Note(source=3, start={"h": 0.0}, curve=(9.0,), reached=4.5),
        1: Note(source=0, start={"h": 0.1}, curve=(9.0,), reached=3.0),
        2: Note(source=0, start={"h": 0.2}, curve=(9.0,)),
        3: Note(source=3, start={"h": 0.3}, curve=(9.0,), reached=2.0),
    }
    people = people_of([1.0, 3.5, 5.0, 0.5], notes, space=LINE)
    standing = IPBT()._standing(people.view(0))
    assert standing is not None
    assert standing.reached == {0: 5.0, 1: 3.0, 3: 2.0}
    assert [(one.hyperparameters["h"], one.reached) for one in standing.outcomes] == [
        (0.0, 5.0),
        (0.1, 3.0),
        (0.3, 2.0),
    ]
    past = [note_of(m, {}, decided(people, m, IPBT(patience=1)).tag).past for m in range(4)]
    assert past == [((0, {"h": 0.0}, 5.0),), ((0, {"h": 0.1}, 3.0),), (), ((0, {"h": 0.3}, 2.0),)]


def test_a_copy_carries_the_source_of_its_donor() -> None:
    """The worst of four copies one of the best two, and keeps its own beginning."""
    notes = {m: Note(source=7 + m, start={"h": m / 10}, curve=(1.0,)) for m in range(4)}
    people = people_of([1.0, 5.0, 4.0, 3.0], notes, space=LINE)
    action = decided(people, 0, IPBT(explore=Unchanged()))
    note = note_of(0, {}, action.tag)
    assert action.via == "copy"
    assert note.source == {"1@4": 8, "2@4": 9}[action.sources[0]]
    assert note.start == {"h": 0.0}


def test_no_restart_where_less_than_two_steps_would_be_left() -> None:
    """At interval 4 the next step is 2 long: with 8 intervals two fit, with 7 they do not."""
    people = people_of([1.0, 1.0, 1.0, 1.0])
    assert note_of(0, {}, decided(people, 0, IPBT(patience=1), limit=8).tag).iteration == 1
    assert note_of(0, {}, decided(people, 0, IPBT(patience=1), limit=7).tag).iteration == 0


def test_between_two_steps_nothing_is_added() -> None:
    """In the second iteration, since 1 with a step of 2, interval 4 is inside a step: 1 more until 5."""
    notes = {m: Note(iteration=1, since=1, source=m, start={"h": 0.5}, curve=(1.0,)) for m in range(4)}
    people = people_of([1.0, 1.0, 1.0, math.nan], notes, space=LINE)
    action = decided(people, 3, IPBT(patience=1))
    note = note_of(3, {}, action.tag)
    assert (note.iteration, note.curve, action.intervals) == (1, (1.0,), 1)
    assert action.via == "copy"
    assert note.source == people.owner(action.sources[0]).member


def test_whoever_meets_a_later_iteration_joins_it() -> None:
    """Member 0 is in the first; others began the second after interval 3, whose steps end at 5, 7 and so on."""
    notes = {m: Note(iteration=1, since=3, source=m, start={"h": 0.5}) for m in range(1, 4)}
    notes[0] = Note(source=0, start={"h": 0.1}, curve=(1.0, 2.0, 3.0))
    people = people_of([9.0, 1.0, 1.0, 1.0], notes, space=LINE)
    action = decided(people, 0, IPBT())
    note = note_of(0, {}, action.tag)
    assert (note.iteration, note.since, action.intervals) == (1, 3, 1)
    assert action.via in ("fresh", "shrink")


def test_what_a_member_notes_is_what_it_reads() -> None:
    note = Note(
        iteration=2, since=9, curve=(1.0, 2.0), stale=1, source=4, start={"h": 0.5}, reached=3.0,
        past=((0, {"h": 0.1}, 1.0),),
    )  # fmt: skip
    assert note_of(0, {}, note.tag()) == note


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"growth": 0}, InvalidValue, "growth"),
        ({"patience": 1.5}, InvalidType, "patience"),
        ({"crawl": 1}, InvalidValue, "crawl"),
        ({"old": math.nan}, InvalidValue, "old"),
        ({"fresh_weights": 1.5}, InvalidValue, "fresh_weights"),
        ({"forget": 1.0}, InvalidValue, "forget"),
        ({"fraction": 0.7}, InvalidValue, "fraction"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        IPBT(**options)


# -- runs -------------------------------------------------------------------------------------------------------------


def init(seed: int, hyperparameters: dict[str, Any]) -> np.ndarray[Any, Any]:
    return np.array([10.0, float(seed % 89)])


def step(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
    """The first number halves its distance to h, whatever the second is, which tells where a state came from."""
    return np.array([(state[0] + hyperparameters["h"]) / 2, state[1]])


def evaluate(state: Any, rng: Any) -> float:
    return -float(abs(state[0]))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_restarts_when_it_does_not_get_better(workers: int, tmp_path: Any) -> None:
    """All members at once; shrunk states are 0.2 of the best's plus 0.1 of a fresh one; later steps are longer."""
    result = warren.run(
        warren.Task(init=init, train_interval=step, evaluate=evaluate), space={"h": Float(0.0, 1.0)}, goal="max",
        population=4, intervals=40, strategy=IPBT(patience=2), synchronous=True, workers=workers,
        store=tmp_path / "run.db", watch=lambda result: None,
    )  # fmt: skip
    rows = {(row.member, row.interval): row for row in result.intervals}
    iterations = {key: note_of(key[0], {}, row.tag).iteration for key, row in rows.items()}
    for k in range(1, 41):
        assert len({iterations[m, k] for m in range(4)}) == 1
    assert iterations[0, 40] >= 1
    first = next(k for k in range(1, 41) if iterations[0, k] == 1)
    assert sorted(rows[m, first].origin for m in range(4)) == ["exploit", "exploit", "fresh", "fresh"]
    assert all(note_of(m, {}, rows[m, first].tag).since == first - 1 for m in range(4))
    for m in range(4):
        boundaries = [k for k in range(first, 41) if rows[m, k].boundary and iterations[m, k] == 1]
        assert {b - a for a, b in pairwise(boundaries)} <= {2}
        if rows[m, first].origin == "exploit":
            (parent,) = (row for row in result.intervals if row.id == rows[m, first].parents[0])
            before = -(parent.score or 0.0)
            after = (0.2 * before + 0.1 * 10.0 + rows[m, first].hyperparameters["h"]) / 2
            assert rows[m, first].score == pytest.approx(-after)
