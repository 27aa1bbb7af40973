"""FIRE PBT: curves by hand arithmetic; who is evaluated, succeeds, stops and copies, on hand-made populations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import warren
from warren.errors import InvalidType, InvalidValue
from warren.population import Assign, Keys, View
from warren.runs.audits import replay
from warren.simulation import Loop, deceptive, simulate
from warren.simulation.learner import Learner
from warren.strategies import PBT, Perturb, RandomSearch, Truncation, Unchanged
from warren.strategies.fire import FIREPBT
from warren.strategies.fire_curves import Curve, binomial, improvement, overlap, sign_test, smooth
from warren.strategies.fire_round import EVALUATORS, P1, P2, Pair, curve_of
from warren.testing import strategies as contract
from warren.testing.strategies import SPACE, Population, StrategyContract, assigned, keys_of
from warren.training import Rng, Task

# -- curves -------------------------------------------------------------------------------------------------------


def curve(*values: float, window: int = 1) -> Curve:
    """A curve, not smoothed unless it is said."""
    return Curve(values=np.array(values, dtype=np.float64), window=window)


def test_smoothing_by_hand() -> None:
    """Inside, means of three. At the ends the line through three: (0, 0, 3) has mean 1 and slope (3 - 0) / 2 = 1.5, so
    1 - 1.5 at its first point."""
    assert smooth(np.array([0.0, 0.0, 3.0, 0.0, 0.0]), 3).tolist() == [-0.5, 1.0, 1.0, 1.0, -0.5]


def test_a_straight_line_stays_as_it_is() -> None:
    """Also at its ends, which a mean over fewer points would bend."""
    line = np.arange(12.0) * 3 - 4
    assert smooth(line, 5) == pytest.approx(line)


@pytest.mark.parametrize(("points", "window"), [(1, 5), (2, 5), (7, 1)])
def test_too_few_points_are_not_smoothed(points: int, window: int) -> None:
    values = np.arange(points) ** 2.0
    assert smooth(values, window).tolist() == values.tolist()


def test_four_points_are_smoothed_over_three() -> None:
    """Means of (0, 3, 0) and (3, 0, 3); lines with means 1 and 2 and no slope at the ends."""
    assert smooth(np.array([0.0, 3.0, 0.0, 3.0]), 5).tolist() == [1.0, 1.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((1, 2, 3, 4), (3, 5), (2, 0, 2)),  # the first comes to 3 at its third point
        ((3, 5), (1, 2, 3, 4), (0, 2, 2)),
        ((1, 4, 4, 4), (3, 5), (1, 0, 2)),  # or past it
        ((3, 1, 1), (3, 9), (0, 0, 2)),  # both begin equal
        ((1, 2), (3, 4), None),
        ((3, 4), (1, 2), None),
    ],
)
def test_where_curves_overlap(first: Any, second: Any, expected: Any) -> None:
    """The lower one is followed until it has come to where the other begins."""
    assert overlap(np.array(first, float), np.array(second, float)) == expected


def test_improvement_on_the_overlap() -> None:
    """(3, 6) against (3, 5): 6 - 5."""
    assert improvement(curve(1, 2, 3, 6), curve(3, 5)) == 1.0
    assert improvement(curve(3, 5), curve(1, 2, 3, 6)) == -1.0


def test_improvement_is_of_the_best_scores() -> None:
    """Overlap (3, 6, 1) and (3, 5, 5): 6 - 5, though the first ends below."""
    assert improvement(curve(3, 6, 1), curve(3, 5, 5)) == 1.0


def test_smoothed_curves_say_where_and_scores_say_how_much() -> None:
    """(0, 3, 0, 3, 6) over three: means 1, 2 and 3 inside; at the ends lines of mean 1, flat, and mean 3, slope 3.

    So it comes to 2 at its third point, and not at its second: (0, 3, 6) against (2, 2, 2), and not the 9 after it.
    """
    first, second = curve(0, 3, 0, 3, 6, window=3), curve(2, 2, 2, 9)
    assert first.smoothed.tolist() == [1.0, 1.0, 2.0, 3.0, 6.0]
    assert overlap(first.smoothed, second.smoothed) == (2, 0, 3)
    assert improvement(first, second) == 4.0
    # Above (2, 2, 2) at two of three points: (3 + 1) / 8.
    assert sign_test(first, second) == 0.5


def test_a_curve_above_all_of_another_is_moved_down() -> None:
    """(5, 9) against (1, 2, 2): shifts from 5 - 2 = 3 on. By 3: (2, 6) against (2, 2), 4 better; others give less."""
    assert improvement(curve(5, 9), curve(1, 2, 2)) == 4.0
    assert improvement(curve(1, 2, 2), curve(5, 9)) == 0.0
    # (5, 5) against (1, 2): by 3, (2,) against (2,); by s > 3, 5 - s < 2 against 2. Nothing is better, so 0.
    assert improvement(curve(5, 5), curve(1, 2)) == 0.0


@pytest.mark.parametrize(
    ("successes", "trials", "ways"),
    [(7, 7, 1), (6, 7, 8), (0, 5, 32), (8, 10, 45 + 10 + 1), (0, 0, 1), (3, 3, 1)],
)
def test_binomial_by_hand(successes: int, trials: int, ways: int) -> None:
    """C(7, 6) + C(7, 7) = 8 of 128 ways, and so on."""
    assert binomial(successes, trials) == ways / 2**trials


def test_many_trials_are_exact() -> None:
    """At least half of 1001: one half."""
    assert binomial(501, 1001) == 0.5


def test_the_sign_test_counts_on_the_overlap() -> None:
    """The first comes to 3 at its third point; then (3, 4, 5) are above (3, 3, 3) twice of three: (3 + 1) / 8."""
    assert sign_test(curve(1, 2, 3, 4, 5), curve(3, 3, 3, 3)) == 0.5
    # Above all of the other: as many points as both have, 2^-3. Below all of it: nothing speaks for it.
    assert sign_test(curve(5, 6, 7), curve(1, 1, 1, 1)) == 0.125
    assert sign_test(curve(1, 1, 1, 1), curve(5, 6, 7)) == 1.0


# -- populations --------------------------------------------------------------------------------------------------


class Subpopulations(Population):
    """As `Population`: members 0 to 3 are P1, 4 to 7 P2, all others evaluators, at equal shares where fewer.

    Args:
        scores: As for `Population`.
        tags: By evaluator.
        fields: Further fields of the reports.
    """

    def __init__(
        self,
        scores: Sequence[Sequence[float | None]],
        *,
        tags: Mapping[int, Any] | None = None,
        fields: Mapping[tuple[int, int], Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        cut = 4 if len(scores) >= 9 else max(1, len(scores) // 3)
        self.groups = [P1 if m < cut else P2 if m < 2 * cut else EVALUATORS for m in range(len(scores))]
        self.tags = dict(tags or {})
        longest = max(map(len, scores), default=0)
        made: dict[tuple[int, int], dict[str, Any]] = {}
        numbers: dict[tuple[int, int], int] = {}
        for interval in range(1, longest + 1):
            for m, own in enumerate(scores):
                if interval > len(own):
                    continue
                numbers[m, interval] = len(numbers) + 1
                made[m, interval] = {"group": self.groups[m], "tag": self.tags.get(m)}
                if interval > 1:
                    made[m, interval]["parents"] = (numbers[m, interval - 1],)
                made[m, interval].update((fields or {}).get((m, interval), {}))
        super().__init__(scores, fields=made, **options)

    def view(self, member: int, **due: Any) -> View:
        return super().view(member, **{"group": self.groups[member], "tag": self.tags.get(member), **due})


class Linked(Subpopulations):
    """As `Subpopulations`, and every evaluator is at work on the first of both."""

    def __init__(self, scores: Sequence[Sequence[float | None]], **options: Any) -> None:
        cut = 4 if len(scores) >= 9 else max(1, len(scores) // 3)
        tags = {m: {"parent": cut, "child": 0, "since": 0} for m in range(2 * cut, len(scores))}
        fields = {(m, i): {"origin": "continue"} for m in range(len(scores)) for i in range(1, 5)}
        super().__init__(scores, tags=tags, fields=fields, **options)


class TestContract(StrategyContract):
    @pytest.fixture
    def strategy(self) -> FIREPBT:
        return FIREPBT()


class TestContractWithSubpopulations(StrategyContract):
    @pytest.fixture
    def strategy(self, monkeypatch: pytest.MonkeyPatch) -> FIREPBT:
        monkeypatch.setattr(contract, "Population", Subpopulations)
        return FIREPBT(shares=(1, 1, 1), fraction=0.5)


class TestContractWithEvaluations(StrategyContract):
    @pytest.fixture
    def strategy(self, monkeypatch: pytest.MonkeyPatch) -> FIREPBT:
        monkeypatch.setattr(contract, "Population", Linked)
        return FIREPBT(p=0.9, patience=1, window=1)


P1_SCORES = [0.9, 0.3, 0.2, 0.1]
P2_SCORES = [0.01, 0.02, 0.03, 0.04]
Points = Sequence[float]


def two_intervals(
    curves: Mapping[int, tuple[Points, Points]],
    parents: Mapping[int, int],
    *,
    evaluators: int = 2,
    fields: Mapping[tuple[int, int], Mapping[str, Any]] | None = None,
    **options: Any,
) -> Subpopulations:
    """Two reports of each member; evaluators took over their parents' weights after the first, and have child 0.

    Args:
        curves: By member, inside the first and the second interval; the scores are their last points. Others have no
            curve, and `P1_SCORES`, `P2_SCORES` and 0.
        parents: By evaluator; others are idle.
        evaluators: How many.
        fields: Further fields of the reports.
        **options: As for `Population`.
    """
    scores = [[last, last] for last in (*P1_SCORES, *P2_SCORES, *([0.0] * evaluators))]
    made: dict[tuple[int, int], dict[str, Any]] = {(m, 2): {"origin": "exploit"} for m in parents}
    for member, both in curves.items():
        for interval, points in enumerate(both, 1):
            scores[member][interval - 1] = points[-1]
            made.setdefault((member, interval), {})["curve"] = tuple((float(i), y) for i, y in enumerate(points))
    for place, more in (fields or {}).items():
        made.setdefault(place, {}).update(more)
    tags = {evaluator: Pair(parent=parent, child=0, since=1).tag() for evaluator, parent in parents.items()}
    return Subpopulations(scores, tags=tags, fields=made, **options)


def rising(step: float, points: int, start: float = 1.0) -> list[float]:
    """A straight line."""
    return [start + step * i for i in range(points)]


CHILD = (rising(0.1, 12), rising(0.1, 12, 2.2))
"""24 points from 1 on, in two intervals."""
STRATEGY = FIREPBT(explore=Unchanged(), window=1, patience=4)


def moves(people: Population, strategy: FIREPBT = STRATEGY, seed: int = 0) -> dict[int, Assign]:
    """What each member that changes does."""
    found = {}
    for member in range(len(people.scores)):
        view = people.view(member)
        action = assigned(strategy.decide(view, keys_of(view, seed)), member)
        if action is not None:
            found[member] = action
    return found


def test_an_evaluator_begins_with_its_parents_weights_and_its_childs_hyperparameters() -> None:
    """The best of P1 is 0. Nobody was evaluated, so P2's best go first: 7, then 6. The shape comes with the weights.

    P1 is PBT: 3, the worst of four, copies 0. P2 has no fitness yet, and goes on.
    """
    people = two_intervals({}, {})
    for member, layers in {0: 1, 7: 2, 6: 3}.items():
        people.values[member]["net.layers"] = layers  # the reports' own
    found = moves(people)
    assert set(found) == {3, 8, 9}
    assert found[3].sources == ("0@2",)
    for evaluator, parent in {8: 7, 9: 6}.items():
        action = found[evaluator]
        assert action.sources == (f"{parent}@2",)
        assert action.tag == {"parent": parent, "child": 0, "since": 2}
        assert action.hyperparameters == {**people.values[0], "net.layers": people.values[parent]["net.layers"]}


@pytest.mark.parametrize(("points", "succeeds"), [(8, False), (10, False), (11, True)])
def test_an_evaluator_succeeds_beyond_chance(points: int, succeeds: bool) -> None:
    """The child's curve rises from 1, the evaluator's twice as fast: above at all points of n but the first.

    Of n + 1 ways in 2^n, 9 / 256 = 0.035 and 11 / 1024 = 0.0107 are not below 0.01, 12 / 2048 = 0.0059 is.
    """
    people = two_intervals({0: CHILD, 8: ([0.0], rising(0.2, points))}, {8: 4})
    found = moves(people)
    assert (0 in found) == succeeds
    assert (8 in found) == succeeds  # it begins anew, or goes on
    if succeeds:
        assert found[0].sources == ("8@2",)
        assert found[0].hyperparameters == people.values[8]
        assert found[8].tag == {"parent": 7, "child": 0, "since": 2}


def test_it_succeeds_where_smaller_is_better() -> None:
    """The same, with all signs turned."""
    people = two_intervals({0: CHILD, 8: ([0.0], rising(0.2, 11))}, {8: 4})
    fields = {
        (row.member, row.interval): {
            "origin": row.origin, "curve": row.curve and tuple((x, -y) for x, y in row.curve),
        }
        for row in people.rows
    }  # fmt: skip
    scores = [[-score for score in own if score is not None] for own in people.scores]
    turned = Subpopulations(scores, tags=people.tags, fields=fields, goal="min")
    assert moves(turned)[0].sources == ("8@2",)


def test_no_success_without_an_improvement() -> None:
    """Above at 14 of 16 points, 137 / 65536 = 0.002, but the child's best score on the overlap is far above."""
    spiked = ([*rising(0.1, 11), 99.0], CHILD[1])
    people = two_intervals({0: spiked, 8: ([0.0], rising(0.2, 16))}, {8: 4})
    assert 0 not in moves(people)
    people = two_intervals({0: CHILD, 8: ([0.0], rising(0.2, 16))}, {8: 4})
    assert 0 in moves(people)


def test_an_evaluator_that_is_worse_stops() -> None:
    """Half as fast as its child: above at no point, p = 1. After 1 of 4 intervals, 0.01 + 0.75 is the limit.

    It begins with the best of P2 that was never evaluated.
    """
    people = two_intervals({0: CHILD, 8: ([0.0], rising(0.05, 8))}, {8: 4})
    assert moves(people)[8].tag == {"parent": 7, "child": 0, "since": 2}


def test_patience_ends() -> None:
    """9 / 256 = 0.035 is enough after 1 of 4 intervals, not after 1 of 1, where the limit is 0.01."""
    people = two_intervals({0: CHILD, 8: ([0.0], rising(0.2, 8))}, {8: 4})
    assert 8 not in moves(people)
    assert 8 in moves(people, FIREPBT(window=1, patience=1))


def test_an_evaluator_without_an_overlap_has_its_patience() -> None:
    """It never comes to where its child begins."""
    people = two_intervals({0: CHILD, 8: ([0.0], rising(0.1, 8, -5.0))}, {8: 4})
    assert 8 not in moves(people)
    assert 8 in moves(people, FIREPBT(window=1, patience=1))


@pytest.mark.parametrize("replaced", [0, 4])
def test_an_evaluator_stops_where_its_parent_or_child_was_replaced(replaced: int) -> None:
    """Though it had succeeded otherwise."""
    fields = {(replaced, 2): {"origin": "exploit"}}
    people = two_intervals({0: CHILD, 8: ([0.0], rising(0.2, 11))}, {8: 4}, fields=fields)
    found = moves(people)
    assert 0 not in found
    assert found[8].tag == {"parent": 7, "child": 0, "since": 2}


def test_a_child_that_is_replaced_now_does_not_succeed() -> None:
    """It is the worst of P1: it copies the best there, and the evaluator begins with another child."""
    people = two_intervals({0: CHILD, 8: ([0.0], rising(0.2, 11))}, {8: 4})
    scores = [list(own) for own in people.scores]
    for other in (1, 2, 3):
        scores[other][1] = 10.0 + other
    fields = {(row.member, row.interval): {"origin": row.origin, "curve": row.curve} for row in people.rows}
    found = moves(Subpopulations(scores, tags=people.tags, fields=fields))
    assert found[0].sources == ("3@2",)
    assert found[8].tag == {"parent": 7, "child": 3, "since": 2}


def test_p2_is_selected_by_its_evaluators_curves() -> None:
    """Evaluator 8 improves on 9's curve, so 5 copies 4, which has the lowest score of all of P2.

    9 stops, as its parent is replaced. It is not begun with 5, which has nothing of its own, nor with 4, at work still.
    """
    people = two_intervals({8: ([0.0], rising(0.2, 7)), 9: ([0.0], rising(0.1, 7))}, {8: 4, 9: 5})
    found = moves(people)
    assert found[5].sources == ("4@2",)
    assert found[9].tag == {"parent": 7, "child": 0, "since": 2}
    assert not {4, 6, 7, 8} & set(found)


def test_nobody_is_evaluated_who_is_replaced_or_under_evaluation() -> None:
    """As before, with two more evaluators: 7 and 6 are free, 4 is at work and 5 replaced, so the last one goes on."""
    people = two_intervals({8: ([0.0], rising(0.2, 7)), 9: ([0.0], rising(0.1, 7))}, {8: 4, 9: 5}, evaluators=4)
    found = moves(people)
    begun = {member: found[member].sources for member in (8, 9, 10, 11) if member in found}
    assert begun == {9: ("7@2",), 10: ("6@2",)}


def test_who_was_longest_without_an_evaluation_comes_next() -> None:
    """7 is the best of P2, and was evaluated until now, 6 until the first interval; then 5, then 4, then 6, then 7."""
    first = {(9, 1): {"tag": Pair(parent=6, child=0, since=0).tag()}}
    people = two_intervals({0: CHILD, 8: ([0.0], rising(0.05, 8))}, {8: 7}, evaluators=4, fields=first)
    found = moves(people)
    assert {member: found[member].sources for member in (8, 9, 10, 11)} == {
        8: ("5@2",), 9: ("4@2",), 10: ("6@2",), 11: ("7@2",),
    }  # fmt: skip


def test_p2_is_not_judged_by_too_few_points() -> None:
    """Six prove nothing at 0.01, since 1 / 64 is more."""
    people = two_intervals({8: ([0.0], rising(0.2, 6)), 9: ([0.0], rising(0.1, 6))}, {8: 4, 9: 5})
    assert not {4, 5, 6, 7} & set(moves(people))


@pytest.mark.parametrize(("steps", "winner"), [((0.2, 0.3), 9), ((0.3, 0.2), 8)])
def test_of_two_that_outdo_the_same_child_the_better_one_counts(steps: tuple[float, float], winner: int) -> None:
    """The second has to outdo the first as well; both parents stay, since a third one improves least."""
    first, second = (([0.0], rising(step, 11)) for step in steps)
    people = two_intervals(
        {0: CHILD, 8: first, 9: second, 10: ([0.0], rising(0.11, 11))}, {8: 4, 9: 5, 10: 6}, evaluators=3
    )
    found = moves(people)
    assert found[0].sources == (f"{winner}@2",)
    assert not {4, 5} & set(found)
    assert {8, 9, 10} <= set(found)


def took_over() -> dict[tuple[int, int], dict[str, Any]]:
    """Member 0 took over the first report of evaluator 9, which is the tenth row."""
    return {(0, 2): {"origin": "exploit", "parents": (10,)}}


def test_a_child_that_succeeded_goes_on_with_its_evaluators_curve() -> None:
    """And stays the child of others, who are held against it."""
    nine = rising(0.1, 12)
    people = two_intervals(
        {0: ([0.0], CHILD[1]), 8: ([0.0], rising(0.2, 11)), 9: (nine, [0.0])}, {8: 4}, fields=took_over()
    )
    view = people.view(0)
    found = curve_of(view, view.report, 1)
    assert found is not None
    assert found.values.tolist() == [*nine, *CHILD[1]]
    assert moves(people)[0].sources == ("8@2",)


def test_a_copy_begins_a_curve() -> None:
    """Of a member of its own sub-population; and scores stand for intervals without a curve."""
    people = two_intervals({}, {}, fields={(0, 2): {"origin": "exploit", "parents": (2,)}})
    view = people.view(0)
    copied, own = curve_of(view, view.report, 1), curve_of(view, view.facts.rows[view.facts.place[1]], 1)
    assert copied is not None
    assert own is not None
    assert copied.values.tolist() == [0.9]
    assert own.values.tolist() == [0.3, 0.3]


@pytest.mark.parametrize(("failing", "expected"), [(0, {1}), (7, {4, 5, 6})])
def test_whoever_fails_copies_one_of_its_own(failing: int, expected: set[int]) -> None:
    """P1 its best; P2, of which nobody is judged yet, anybody."""
    people = two_intervals({}, {})
    people = Subpopulations([[0.0, math.nan] if m == failing else own for m, own in enumerate(people.scores)])
    donors = {people.owner(moves(people, seed=seed)[failing].sources[0]).member for seed in range(30)}
    assert donors <= expected
    assert len(donors) == len(expected) or failing == 7


def test_an_evaluator_that_fails_begins_anew() -> None:
    people = two_intervals({}, {8: 4, 9: 5})
    scores = [[0.0, math.nan] if m == 8 else own for m, own in enumerate(people.scores)]
    people = Subpopulations(scores, tags=people.tags, fields={(9, 2): {"origin": "exploit"}})
    assert moves(people)[8].tag == {"parent": 7, "child": 0, "since": 2}
    assert 9 not in moves(people)


def test_a_score_that_is_still_to_come_is_waited_for() -> None:
    """Member 3 is the worst of P1, and goes on until it is known how it does."""
    people = two_intervals({}, {})
    people = Subpopulations([[0.0, None] if m == 3 else own for m, own in enumerate(people.scores)])
    assert 3 not in moves(people)


@pytest.mark.parametrize(
    ("population", "expected"),
    [
        (22, (8, 8, 6)),
        (44, (16, 16, 12)),
        (7, (3, 2, 2)),
        (11, (4, 4, 3)),
        (3, (1, 1, 1)),
        (2, (2, 0, 0)),
        (1, (1, 0, 0)),
    ],
)
def test_sizes(population: int, expected: tuple[int, int, int]) -> None:
    """7 * 8 / 22 = 2.55, 2.55 and 1.91: two each at least, one more for the evaluators, one for P1."""
    assert FIREPBT().sizes(population) == expected
    plan = FIREPBT().start(SPACE, population, Keys(seed=0, member=-1, interval=0))
    starts = [action for action in plan.actions if isinstance(action, Assign)]
    assert tuple([action.group for action in starts].count(group) for group in (P1, P2, EVALUATORS)) == expected
    assert {action.role for action in starts if action.group == EVALUATORS} <= {"evaluator"}


def test_there_are_never_more_evaluators_than_parents() -> None:
    """Whatever the rounding."""
    for shares in ((8, 8, 6), (1, 1, 1), (5, 3, 2.9), (1, 7, 7)):
        for population in range(1, 60):
            sizes = FIREPBT(shares=shares).sizes(population)
            assert sum(sizes) == population
            assert sizes[2] <= sizes[1]


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"shares": (8, 8)}, InvalidType, r"three positive numbers.*such as \(8, 8, 6\), but got \(8, 8\)"),
        ({"shares": (8, 8, 0)}, InvalidType, "three positive numbers"),
        ({"shares": 22}, InvalidType, "but got 22"),
        ({"shares": (8, 4, 6)}, InvalidValue, "at least as many parents"),
        ({"fraction": 0.0}, InvalidValue, "fraction must lie above 0, to 0.5, but got 0.0"),
        ({"p": 1.0}, InvalidValue, "p must lie between 0 and 1"),
        ({"patience": 0}, InvalidValue, "patience must be at least 1"),
        ({"patience": 2.5}, InvalidType, "patience must be a whole number"),
        ({"window": 4}, InvalidValue, "window must be odd"),
        ({"every": 0}, InvalidValue, "every must be at least 1"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], error: type[Exception], said: str) -> None:
    """One line that names the field and the value."""
    with pytest.raises(error, match=said):
        FIREPBT(**settings)


# -- runs ---------------------------------------------------------------------------------------------------------

TWO = Perturb(factors=(0.5, 2.0))


def test_it_is_spared_where_greed_costs() -> None:
    """Seeds 0 and 1 of the deceptive toy: greedy PBT ends below random search, FIRE PBT far above."""
    for seed in range(2):
        greedy, random, spared = (
            simulate(deceptive(), strategy, population=22, seed=seed).true
            for strategy in (PBT(exploit=Truncation(fraction=0.25), explore=TWO), RandomSearch(), FIREPBT(explore=TWO))
        )
        assert greedy < 0.95 < 1.02 < random < 1.06 < 1.15 < spared


History = list[tuple[Any, ...]]


def history(rows: Sequence[Any]) -> History:
    """What must be the same wherever it ran."""
    ordered = sorted(rows, key=lambda row: (row.interval, row.member))
    return [(r.member, r.interval, r.group, r.origin, r.hyperparameters, r.score, r.tag) for r in ordered]


def successes(rows: Sequence[Any]) -> int:
    """How many members of P1 took over an evaluator."""
    groups = {row.id: row.group for row in rows}
    return sum(row.group == P1 and row.origin == "exploit" and groups[row.parents[0]] == EVALUATORS for row in rows)


def test_it_succeeds_in_real_runs_wherever_they_run(tmp_path: Path) -> None:
    """In simulated time, inline and in processes, with curves; the record stands up to its audit."""
    learner: Learner = deceptive()
    strategy = FIREPBT(explore=TWO)

    def run(store: Path, **engine: Any) -> History:
        result = warren.run(
            Loop(learner=learner), space=learner.space, goal="max", population=11, intervals=12, synchronous=True,
            strategy=strategy, initial=learner.initial(11, 1), seed=1, store=store, **engine,
        )  # fmt: skip
        assert replay(store).different == ()
        assert successes(result.intervals) > 0
        return history(result.intervals)

    simulated = simulate(learner, strategy, population=11, seed=1, intervals=12)
    assert run(tmp_path / "a.db", engine="inline", workers=1) == history(simulated.intervals)
    assert run(tmp_path / "b.db", engine="processes", workers=2) == history(simulated.intervals)


def begin_at(seed: int, hyperparameters: dict[str, Any]) -> dict[str, Any]:
    return deceptive().begin(seed)


def train(state: dict[str, Any], hyperparameters: dict[str, Any], rng: Rng) -> dict[str, Any]:
    return deceptive().train(state, hyperparameters, 1, rng)


def score(state: dict[str, Any], rng: Rng) -> float:
    return deceptive().score(state, 1, rng).true


def test_it_runs_vectorised_as_inline(tmp_path: Path) -> None:
    """Without curves, so that the ends of intervals are the points, and with a p that three of these can beat."""
    task = Task(init=begin_at, train_interval=train, evaluate=score)

    def run(store: Path, engine: Any) -> History:
        result = warren.run(
            task, space=deceptive().space, goal="max", population=22, intervals=20, initial=deceptive().initial(22, 0),
            synchronous=True, strategy=FIREPBT(explore=TWO, p=0.2, window=1), store=store, engine=engine, workers=1,
        )  # fmt: skip
        assert replay(store).different == ()
        assert successes(result.intervals) > 0
        return history(result.intervals)

    assert run(tmp_path / "v.db", "vectorised") == run(tmp_path / "i.db", "inline")


def test_it_runs_on_digits(tmp_path: Path) -> None:
    """Inline and in processes alike."""
    pytest.importorskip("sklearn")
    from warren.zoo.digits.mlp import Mlp, space

    def run(store: Path, **engine: Any) -> History:
        result = warren.run(
            Mlp(hidden=16, batch=90).task(), space=space(), goal="min", population=7, intervals=4, synchronous=True,
            store=store, strategy=FIREPBT(), **engine,
        )  # fmt: skip
        assert {row.role for row in result.intervals} == {"train", "evaluator"}
        assert any(row.origin == "exploit" and row.group == EVALUATORS for row in result.intervals)
        return history(result.intervals)

    inline = run(tmp_path / "a.db", engine="inline", workers=1)
    assert run(tmp_path / "b.db", engine="processes", workers=2) == inline
