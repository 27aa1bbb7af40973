"""MO-PBT: fronts, distances inside a front, truncation on both; against points worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import warren
from warren.errors import InvalidType, InvalidValue
from warren.population import Assign, View
from warren.strategies.mopbt import MOPBT, Fronts, fronts, scattered, shares
from warren.testing import strategies as contract
from warren.testing.strategies import Population, StrategyContract, keys_of

A, B, C, D, E = (4.0, 1.0), (3.0, 5.0), (1.0, 6.0), (2.0, 4.0), (2.0, 0.0)


def population(points: Sequence[tuple[float, ...]], names: tuple[str, ...] = ("m",), **options: Any) -> Population:
    """Members with one report each: the first number is the score, the others are metrics."""
    fields = {(i, 1): {"metrics": dict(zip(names, point[1:], strict=True))} for i, point in enumerate(points)}
    return Population([[point[0]] for point in points], fields=fields, **options)


def order_of(view: View, fitness: Fronts) -> list[int]:
    """Members, best first."""
    order = np.argsort(-fitness(view), kind="stable")
    return [int(member) for member in view.facts.members[order]]


class TestContract(StrategyContract):
    @pytest.fixture
    def strategy(self) -> MOPBT:
        return MOPBT()


class Measured(Population):
    """As `Population`, and every report has metrics."""

    def __init__(self, scores: Any, **options: Any) -> None:
        made = {
            (m, k): {"metrics": {"a": float(m % 3), "b": float(k)}} for m in range(len(scores)) for k in range(1, 4)
        }
        super().__init__(scores, fields=made, **options)


class TestContractWithMetrics(StrategyContract):
    @pytest.fixture
    def strategy(self, monkeypatch: pytest.MonkeyPatch) -> MOPBT:
        monkeypatch.setattr(contract, "Population", Measured)
        return MOPBT(metrics=("a", "-b"), fraction=0.5, every=2, warmup=0)


def test_fronts_by_hand() -> None:
    """A, B and C lead in one objective each; D is below B in both; E is below A, B and D."""
    assert fronts(np.array([A, B, C, D, E])).tolist() == [0, 0, 0, 1, 2]
    assert fronts(np.array([E, D, C, B, A])).tolist() == [2, 1, 0, 0, 0]
    assert fronts(np.zeros((0, 2))).tolist() == []


def test_equal_points_share_a_front() -> None:
    """Neither is better than the other in anything."""
    assert fronts(np.array([B, B, D, D])).tolist() == [0, 0, 1, 1]


def test_points_equal_in_one_objective() -> None:
    """(1, 2) dominates (1, 1): as good in the first, better in the second."""
    assert fronts(np.array([(1.0, 1.0), (1.0, 2.0)])).tolist() == [1, 0]


def test_the_farthest_of_a_front_comes_next() -> None:
    """On the line y = 10 - x from x = 10: distances are sqrt(2) times those of x.

    First x = 10 (best first objective). Farthest from it: 0 (10 away, against 6 for 4 and 1 for 9). Then min distances
    are 4 for x = 4 (to 0) and 1 for x = 9 (to 10): 4, then 9.
    """
    points = np.array([(x, 10.0 - x) for x in (4.0, 9.0, 0.0, 10.0)])
    assert scattered(points) == [3, 2, 0, 1]


def test_points_of_better_fronts_count_for_the_distance() -> None:
    """(6, y) is the first front, (5, 0) and (0, 5) are the second.

    y = 6: 1 + 36 = 37 to either, so the better score comes first. y = 5.5: 1 + 30.25 to (5, 0), 36 + 0.25 to (0, 5).
    """
    assert scattered(np.array([(5.0, 0.0), (0.0, 5.0), (6.0, 6.0)])) == [2, 0, 1]
    assert scattered(np.array([(5.0, 0.0), (0.0, 5.0), (6.0, 5.5)])) == [2, 1, 0]


def test_shares_of_the_range() -> None:
    """Columns to [0, 1], also where the range is beyond a float; a column without a range is 0."""
    assert shares(np.array([(1.0, 7.0), (3.0, 7.0), (2.0, 7.0)])).tolist() == [[0.0, 0.0], [1.0, 0.0], [0.5, 0.0]]
    assert shares(np.array([(-1e308,), (1e308,), (0.0,)])).tolist() == [[0.0], [1.0], [0.5]]


def test_units_decide_who_is_far() -> None:
    """Score 0 to 1, metric 0 to 1000, all on one front: first the best score, then the other end.

    In shares of the range (0.5, 0.9) is sqrt(0.25 + 0.01) = 0.510 from (0, 1), and (0.95, 0.5) is
    sqrt(0.0025 + 0.25) = 0.502 from (1, 0). In own units the metric decides: 100 against 500.
    """
    view = population([(1.0, 0.0), (0.0, 1000.0), (0.5, 900.0), (0.95, 500.0)]).view(0)
    assert order_of(view, Fronts(metrics=("m",))) == [0, 1, 2, 3]
    assert order_of(view, Fronts(metrics=("m",), units="own")) == [0, 1, 3, 2]


def test_a_minus_turns_a_metric_round_and_the_goal_turns_the_score() -> None:
    """Goal min: score 1 is better than 2. Latency 5 is better than 9."""
    view = population([(1.0, 9.0), (2.0, 5.0), (2.0, 9.0), (1.0, 5.0)], goal="min").view(0)
    # Member 3 dominates all; 0 and 1 are on the second front; 2 is dominated by both.
    fitness = Fronts(metrics=("-m",))(view)
    place = view.facts.place
    assert fitness[place[3]] == 4
    assert fitness[place[2]] == 1
    assert sorted([fitness[place[0]], fitness[place[1]]]) == [2, 3]
    assert order_of(view, Fronts(metrics=("m",)))[0] == 0  # greater latency better: (1, 9) dominates all


def test_equal_members_have_equal_fitness() -> None:
    """The lottery of the interval settles between them, not their numbers: of 8 equals, each is worst at some seed."""
    same = population([(1.0, 2.0)] * 8)
    assert set(Fronts(metrics=("m",))(same.view(0))) == {8.0}
    copied: set[int] = set()
    for seed in range(40):
        for member in range(8):
            view = same.view(member)
            if MOPBT(metrics=("m",)).decide(view, keys_of(view, seed)).actions:
                copied.add(member)
    assert copied == set(range(8))


def test_a_member_without_the_metric_is_worst() -> None:
    """Also one whose metric is not finite, and one that diverged."""
    people = population([(1.0, 1.0), (9.0, math.nan), (math.nan, 9.0), (2.0, 0.0)])
    fitness = Fronts(metrics=("m",))(people.view(0))
    assert np.isneginf(fitness[[1, 2]]).all()
    assert np.isfinite(fitness[[0, 3]]).all()


def test_a_metric_that_nobody_reports_is_refused() -> None:
    with pytest.raises(InvalidValue, match=r"metrics names 'laten', but no member reported it; reported were m$"):
        Fronts(metrics=("laten",))(population([(1.0, 2.0)]).view(0))


def test_the_worst_quarter_copies_the_best_quarter() -> None:
    """Eight on three fronts: 6 and 7 are dominated by all others; the two best are the ends of the first front."""
    points = [(10.0, 0.0), (0.0, 10.0), (5.0, 5.0), (6.0, 4.0), (4.0, 6.0), (5.5, 4.5), (-1.0, -1.0), (-2.0, -2.0)]
    people = population(points)
    for seed in range(20):
        for member in range(8):
            view = people.view(member)
            plan = MOPBT(metrics=("m",), explore=warren.strategies.Unchanged()).decide(view, keys_of(view, seed))
            if member < 6:
                assert plan.actions == ()
            else:
                (action,) = plan.actions
                assert isinstance(action, Assign)
                assert action.sources[0] in ("0@1", "1@1")


def test_selection_by_the_score_alone_loses_the_front() -> None:
    """By the score, the end with the best metric is among the worst quarter; with the metric it is a donor."""
    people = population([(float(10 - i), float(i)) for i in range(8)])
    view = people.view(7)
    assert MOPBT().decide(view, keys_of(view)).actions
    assert not MOPBT(metrics=("m",)).decide(view, keys_of(view)).actions


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"metrics": "recall"}, InvalidType, "a list of names"),
        ({"metrics": ("-",)}, InvalidType, "names of metrics"),
        ({"metrics": ("a", "-a")}, InvalidValue, "stand once"),
        ({"units": "metres"}, InvalidValue, "'range' or 'own'"),
        ({"fraction": 0.6}, InvalidValue, "fraction"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        MOPBT(**options)


def init(seed: int, hyperparameters: dict[str, Any]) -> np.ndarray[Any, Any]:
    return np.zeros(1)


def step(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
    return state + hyperparameters["h"]


def two_scores(state: Any, rng: Any) -> tuple[float, dict[str, float]]:
    """The farther, the better the one score and the worse the other."""
    return float(state[0]), {"size": float(state[0]) ** 2}


def test_a_run_keeps_both_ends() -> None:
    """Score x against size x^2: nobody dominates anybody, so PBT's climb to the largest x does not come about.

    By the score alone the smallest are replaced until all are alike.
    """
    task = warren.Task(init=init, train_interval=step, evaluate=two_scores)
    space = {"h": warren.Float(0.1, 1.0)}
    spread = {}
    for name, strategy in {"front": MOPBT(metrics=("-size",)), "score": MOPBT()}.items():
        result = warren.run(task, space=space, goal="max", population=8, intervals=12, strategy=strategy,
                            synchronous=True, watch=lambda result: None)  # fmt: skip
        last = [row.score for row in result.intervals if row.interval == 12 and row.score is not None]
        spread[name] = min(last) / max(last)
    assert spread["front"] < 0.5 < spread["score"]
