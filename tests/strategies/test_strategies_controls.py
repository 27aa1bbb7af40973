"""Controls: the cosine and its values, one schedule for all, halving at its rungs."""

from __future__ import annotations

import math
from typing import Any

import pytest

import warren
from warren.errors import InvalidType, InvalidValue, UnknownName
from warren.population import Assign, Keys, Retire
from warren.space import Choice, Float, Int, Space
from warren.strategies import PBT, RandomSearch, Strategy
from warren.strategies.controls import Cosine, Fixed, Follow, SuccessiveHalving, annealed
from warren.testing.strategies import SPACE, Population, StrategyContract, assigned, keys_of

START = Keys(seed=0, member=-1, interval=0)


class TestCosine(StrategyContract):
    @pytest.fixture(params=[Cosine(), Cosine(names=("net.dropout", "steps"), floor=0.1)], ids=["log", "named"])
    def strategy(self, request: pytest.FixtureRequest) -> Strategy:
        given: Strategy = request.param
        return given


class _SameForAll(StrategyContract):
    """What gives all members the same configuration keeps the contract but for the members' difference."""

    @pytest.mark.parametrize("size", [1, 2, 7])
    def test_start_gives_every_member_legal_hyperparameters(self, strategy: Strategy, size: int) -> None:
        plan = strategy.start(SPACE, size, START)
        starts = [action for action in plan.actions if isinstance(action, Assign)]
        assert sorted(action.member for action in starts) == list(range(size))
        for action in starts:
            assert SPACE.check(action.hyperparameters, field="start") == action.hyperparameters
            assert action.hyperparameters == starts[0].hyperparameters
            assert set(action.hyperparameters) == set(SPACE)
            assert (action.via, action.sources) == ("fresh", ())


class TestFixed(_SameForAll):
    @pytest.fixture(params=[Fixed(), Fixed(hyperparameters={"lr": 0.1, "net": {"layers": 2}})], ids=["drawn", "given"])
    def strategy(self, request: pytest.FixtureRequest) -> Strategy:
        given: Strategy = request.param
        return given


class TestFollow(_SameForAll):
    @pytest.fixture
    def strategy(self) -> Strategy:
        return Follow(schedule=[{"lr": 0.1, "act": True}, {"lr": 0.01, "act": None}, {"lr": 0.001}])


class TestSuccessiveHalving(StrategyContract):
    @pytest.fixture(params=[SuccessiveHalving(), SuccessiveHalving(reduction=2, first=2)], ids=["3", "2"])
    def strategy(self, request: pytest.FixtureRequest) -> Strategy:
        given: Strategy = request.param
        return given


# -- cosine ----------------------------------------------------------------------------------------------------------


def train(slot: Any) -> None:
    """Trains nothing; its runs are for their hyperparameters. Later is better, and so are greater numbers."""
    for member in slot:
        member.state = {"read": str(member.flat)}
        member.report(float(member.id + member.budget))


def _values(strategy: Strategy, *, intervals: int, name: str = "lr", member: int = 0, **more: Any) -> list[Any]:
    space = {"lr": Float(1e-3, 1.0, scale="log"), "batch": Int(1, 64), "momentum": Float(0.0, 0.9)}
    result = warren.run(
        train, space=space, goal="max", population=3, intervals=intervals, strategy=strategy, seed=5,
        watch=lambda result: None, **more,
    )  # fmt: skip
    return [row.hyperparameters[name] for row in result.intervals if row.member == member]


def test_cosine_goes_along_half_a_cosine_from_each_members_own_draw() -> None:
    """T = 4: the factors (1 + cos(pi t / 4)) / 2 are 1, 0.853553, 0.5, 0.146447; the draws are those of PBT."""
    drawn = _values(RandomSearch(), intervals=1)[0]
    found = _values(Cosine(), intervals=4)
    assert found == pytest.approx([drawn, drawn * 0.85355339, drawn * 0.5, drawn * 0.14644661], rel=1e-7)
    other = _values(Cosine(), intervals=4, member=1)
    assert other[0] == _values(RandomSearch(), intervals=1, member=1)[0] != drawn


def test_cosine_begins_with_what_the_user_gave() -> None:
    """`initial` replaces the first draw; the schedule must go down from it: 0.8, 0.8 * 0.853553, 0.4, ..."""
    found = _values(Cosine(), intervals=4, initial=[{"lr": 0.8}])
    assert found == pytest.approx([0.8, 0.68284271, 0.4, 0.11715729], rel=1e-7)


def test_cosine_stays_in_the_range_and_above_its_floor() -> None:
    """lr 0.004 * 0.146447 = 0.000586 is below the range's 0.001; with floor 0.5 it is 0.004 * 0.573223 = 0.0022929."""
    assert _values(Cosine(), intervals=4, initial=[{"lr": 0.004}])[3] == 0.001
    assert _values(Cosine(floor=0.5), intervals=4, initial=[{"lr": 0.004}])[3] == pytest.approx(0.0022928932)


def test_cosine_moves_what_is_named_and_nothing_else() -> None:
    """Of batch 40: 40, 34.14 -> 34, 20, 5.86 -> 6; lr stays."""
    strategy = Cosine(names=["batch"])
    assert _values(strategy, intervals=4, name="batch", initial=[{"batch": 40}]) == [40, 34, 20, 6]
    assert len(set(_values(strategy, intervals=4))) == 1
    assert len(set(_values(Cosine(), intervals=4, name="momentum"))) == 1


def test_cosine_goes_on_after_a_diverged_interval_without_being_rescued() -> None:
    """The next value is that of the interval, from its own h0; no state is copied."""
    population = Population([[1.0, math.nan], [2.0, 3.0]])
    population.values[0]["lr"] = 0.2
    view = population.view(0, tag={"lr": 0.4})
    action = assigned(Cosine().decide(view, keys_of(view)), 0)
    assert action is not None
    assert (action.via, action.sources, action.tag) == ("keep", (), {"lr": 0.4})
    share = (1 + math.cos(math.pi * 2 / 1000)) / 2
    assert action.hyperparameters["lr"] == pytest.approx(0.4 * share)


def test_what_is_annealed_by_default() -> None:
    """Floats on a log scale: not whole numbers, not one-minus, not what shapes the objects."""
    assert list(annealed(SPACE, ())) == ["lr"]
    shaped = Space({"lr": Float(0.1, 1.0, scale="log"), "width": Float(1.0, 9.0, scale="log", rebuild=True)})
    assert list(annealed(shaped, ())) == ["lr"]


@pytest.mark.parametrize(
    ("strategy", "space", "words"),
    [
        (Cosine(), {"a": Float(0.0, 1.0)}, "no Float on a log scale to anneal"),
        (Cosine(names=["act"]), {"act": Choice(("a", "b"))}, "'act'"),
        (Cosine(names=["n"]), {"n": Int(1, 4, rebuild=True)}, "rebuild=True"),
        (Cosine(names=["no"]), {"a": Float(0.0, 1.0)}, "no hyperparameter 'no'"),
    ],
)
def test_a_space_that_cosine_cannot_anneal_is_refused(strategy: Strategy, space: Any, words: str) -> None:
    with pytest.raises((InvalidValue, UnknownName), match=words):
        strategy.start(Space(space), 2, START)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Cosine(floor=1.5), InvalidValue, r"floor must lie in \[0, 1\], but got 1.5"),
        (lambda: Cosine(names="lr"), InvalidType, "must be a list"),
        (lambda: Follow(schedule=[]), InvalidValue, "at least one step"),
        (lambda: Follow(schedule={"lr": 1.0}), InvalidType, "must be a list"),
        (lambda: Follow(schedule=[3]), InvalidType, r"schedule\[0\]"),
        (lambda: Fixed(hyperparameters=3), InvalidType, "must be a mapping"),
        (lambda: SuccessiveHalving(reduction=1), InvalidValue, "reduction must be at least 2"),
        (lambda: SuccessiveHalving(first=0.5), InvalidType, "first must be a whole number"),
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()


# -- one schedule for all --------------------------------------------------------------------------------------------


def test_follow_gives_each_interval_its_step_and_then_the_last_one() -> None:
    """Three steps over five intervals; what a step leaves out stays as it was."""
    strategy = Follow(schedule=[{"lr": 0.1, "batch": 8}, {"lr": 0.2}, {"lr": 0.3, "batch": 16}])
    assert _values(strategy, intervals=5) == [0.1, 0.2, 0.3, 0.3, 0.3]
    assert _values(strategy, intervals=5, name="batch", member=2) == [8, 8, 16, 16, 16]
    assert len(set(_values(strategy, intervals=5, name="momentum"))) == 1


def test_follow_goes_by_the_age_of_the_state() -> None:
    """After an interval that diverged the state is one interval younger than the budget, and trains that step again."""
    population = Population([[1.0, math.nan]])
    view = population.view(0, age=1)
    action = assigned(Follow(schedule=[{"lr": 0.1}, {"lr": 0.2}, {"lr": 0.3}]).decide(view, keys_of(view)), 0)
    assert action is not None
    assert action.hyperparameters["lr"] == 0.2


def test_follow_takes_a_found_schedule() -> None:
    """PBT's own winner, as the page on comparing shows it."""
    space = {"lr": Float(1e-3, 1.0, scale="log")}
    found = warren.run(
        train, space=space, goal="max", population=5, intervals=6, strategy=PBT(), watch=lambda result: None
    ).schedule
    steps = [step.hyperparameters for step in found]
    again = warren.run(
        train, space=space, goal="max", population=2, intervals=6, strategy=Follow(schedule=steps), seed=9,
        watch=lambda result: None,
    )  # fmt: skip
    assert [row.hyperparameters for row in again.intervals if row.member == 1] == steps


def test_a_schedule_with_illegal_values_is_refused_at_the_start() -> None:
    with pytest.raises(InvalidValue, match=r"schedule\[1\]: lr=5.0 must lie in"):
        Follow(schedule=[{"lr": 0.1}, {"lr": 5.0}]).start(SPACE, 2, START)
    with pytest.raises(UnknownName, match="'rate'"):
        Fixed(hyperparameters={"rate": 0.1}).start(SPACE, 2, START)


def test_fixed_trains_every_member_alike_all_along() -> None:
    assert _values(Fixed(hyperparameters={"lr": 0.25}), intervals=3, member=2) == [0.25] * 3
    drawn = [_values(Fixed(), intervals=2, member=member) for member in range(3)]
    assert drawn[0] == drawn[1] == drawn[2]
    assert len(set(drawn[0])) == 1


# -- successive halving ----------------------------------------------------------------------------------------------


def _retires(scores: list[list[float | None]], member: int, strategy: SuccessiveHalving) -> bool:
    population = Population(scores)
    view = population.view(member)
    plan = strategy.decide(view, keys_of(view))
    return any(isinstance(action, Retire) and action.member == member for action in plan.actions)


def test_a_third_goes_on_at_each_rung() -> None:
    """Nine at rung 1 with reduction 3: the best three of nine, here members 2, 5 and 8 with scores 7, 9 and 8."""
    scores: list[list[float | None]] = [[1.0], [2.0], [7.0], [3.0], [0.0], [9.0], [4.0], [5.0], [8.0]]
    on = [member for member in range(9) if not _retires(scores, member, SuccessiveHalving())]
    assert on == [2, 5, 8]


def test_only_those_that_came_to_the_rung_are_counted() -> None:
    """At rung 3, three have come of nine: one goes on, whatever the others had at interval 1."""
    scores: list[list[float | None]] = [[9.0]] * 6 + [[1.0, 1.0, 3.0], [1.0, 1.0, 2.0], [1.0, 1.0, 1.0]]
    assert [_retires(scores, member, SuccessiveHalving()) for member in (6, 7, 8)] == [False, True, True]


def test_between_rungs_nobody_retires_and_the_next_decision_is_at_the_next_rung() -> None:
    """Rungs 2, 4, 8: after interval 2 the next is two on; at 5, after a failure, three on."""
    strategy = SuccessiveHalving(reduction=2, first=2)
    population = Population([[1.0, 5.0], [1.0, 4.0]])
    view = population.view(0)
    assert strategy.decide(view, keys_of(view)).intervals == 2
    later = Population([[1.0] * 4 + [math.nan], [1.0] * 5])
    view = later.view(0)
    plan = strategy.decide(view, keys_of(view))
    assert (plan.actions, plan.intervals) == ((), 3)


def test_who_diverged_at_a_rung_retires_and_whose_score_is_to_come_goes_on() -> None:
    """Who diverged has come to the rung all the same: a third of six are two."""
    scores: list[list[float | None]] = [[math.nan]] * 4 + [[1.0], [2.0]]
    assert [_retires(scores, member, SuccessiveHalving()) for member in range(6)] == [True] * 4 + [False] * 2
    assert not _retires([[None], [1.0], [2.0]], 0, SuccessiveHalving())


def test_those_that_diverged_try_on_where_nobody_would_be_left() -> None:
    """All three did at rung 1: they try on. Where one of them is still at interval 1 of 3, the two at rung 3 retire."""
    assert [_retires([[math.nan]] * 3, member, SuccessiveHalving()) for member in range(3)] == [False] * 3
    late = [[1.0, 1.0, math.nan], [1.0, 1.0, math.nan], [1.0]]
    assert [_retires([*late], member, SuccessiveHalving()) for member in (0, 1)] == [True, True]


def test_the_last_member_of_a_search_is_not_retired_where_it_diverges_at_a_rung() -> None:
    """Of three the best one, member 2, is alone from interval 2 on; its third score is NaN. It ends with a fourth."""

    def breaks(slot: Any) -> None:
        for member in slot:
            member.state = {"lr": str(member["lr"])}
            member.report(math.nan if member.budget == 2 else float(member.id))

    result = warren.run(
        breaks, space={"lr": Float(0.1, 1.0)}, goal="max", population=3, intervals=5, synchronous=True,
        strategy=SuccessiveHalving(), watch=lambda result: None,
    )  # fmt: skip
    assert [(row.member, row.interval) for row in result.intervals if row.interval > 1] == [(2, t) for t in range(2, 6)]
    assert [row.status for row in result.intervals if row.member == 2] == ["ok", "ok", "diverged", "ok", "ok"]


def test_of_equal_members_as_many_go_on() -> None:
    scores: list[list[float | None]] = [[1.0]] * 9
    assert sum(not _retires(scores, member, SuccessiveHalving()) for member in range(9)) == 3


def test_what_halving_spends_is_what_it_says() -> None:
    """9 members, rungs 1, 3, 9 of 9 intervals: 9 x 1 + 3 x 2 + 1 x 6 = 21. 20 over 5: 20 x 1 + 6 x 2 + 2 x 2 = 36."""
    assert SuccessiveHalving().spend(9, 9) == 21
    assert SuccessiveHalving().spend(20, 5) == 36
    result = warren.run(
        train, space={"lr": Float(0.1, 1.0)}, goal="max", population=20, intervals=5,
        strategy=SuccessiveHalving(), synchronous=True, watch=lambda result: None,
    )  # fmt: skip
    assert result.run.total == 36
    assert result.run.status == "done"
    assert sorted(row.member for row in result.intervals if row.interval == 5) == [18, 19]
