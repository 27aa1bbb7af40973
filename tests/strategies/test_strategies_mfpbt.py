"""MF-PBT: groups, quarters, pairs and migrants, on populations whose ranking is worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import warren
from warren.errors import InvalidType, InvalidValue
from warren.population import Assign, Keys, View
from warren.runs.audits import replay
from warren.simulation import deceptive, simulate
from warren.strategies import PBT, Perturb, RandomSearch, Truncation, Unchanged
from warren.strategies.mfpbt import MFPBT
from warren.testing import strategies as contract
from warren.testing.strategies import SPACE, Population, StrategyContract, assigned, keys_of

FAST, SLOW = "every 1", "every 2"
PLAIN = MFPBT(frequencies=(1, 2), explore=Unchanged())


class Grouped(Population):
    """As `Population`, in two groups: the first half is fast, the second slow."""

    def __init__(self, scores: Sequence[Sequence[float | None]], **options: Any) -> None:
        self.groups = [FAST if 2 * member < len(scores) else SLOW for member in range(len(scores))]
        fields = {(m, i): {"group": group} for m, group in enumerate(self.groups) for i in range(1, 5)}
        super().__init__(scores, fields=fields, **options)

    def view(self, member: int, **due: Any) -> View:
        return super().view(member, **{"group": self.groups[member], **due})


class TestContract(StrategyContract):
    @pytest.fixture
    def strategy(self) -> MFPBT:
        return MFPBT()


class TestContractWithGroups(StrategyContract):
    @pytest.fixture
    def strategy(self, monkeypatch: pytest.MonkeyPatch) -> MFPBT:
        monkeypatch.setattr(contract, "Population", Grouped)
        return MFPBT(frequencies=(1, 2))


def sixteen(fast: list[float], slow: list[float], *, intervals: int = 2, **options: Any) -> Grouped:
    """Eight fast members and eight slow ones, whose last scores are these; before, all had 0."""
    return Grouped([[0.0] * (intervals - 1) + [score] for score in (*fast, *slow)], **options)


def moves(people: Grouped, strategy: MFPBT = PLAIN, seed: int = 0) -> dict[int, Assign]:
    """What each member that changes does."""
    found = {}
    for member in range(len(people.scores)):
        view = people.view(member)
        action = assigned(strategy.decide(view, keys_of(view, seed)), member)
        if action is not None:
            found[member] = action
    return found


def from_whom(people: Grouped, found: dict[int, Assign]) -> dict[int, tuple[int, list[int]]]:
    """For each of them whose weights it takes, and who has its new hyperparameters."""
    return {
        member: (
            people.owner(action.sources[0]).member,
            [m for m, values in enumerate(people.values) if values == action.hyperparameters],
        )
        for member, action in found.items()
    }


NO_SHAPES = warren.Space({"lr": warren.Float(1e-5, 1.0, scale="log"), "act": warren.Choice(("relu", "tanh"))})


def test_both_groups_evolve_by_quarters() -> None:
    """At interval 2 both evolve. A quarter of eight is two; members 0 to 7 and 8 to 15 are in the order of rank.

    Worst quarters: 6 and 7 copy 0 and 1; 14 and 15 copy 8 and 9. Third quarters: 4 (6) faces the best slow one, 8 (7.5)
    and 5 (5) the next, 9 (5.5); both come from a slower group with their hyperparameters. 12 and 13 face 0 and 1, whose
    group is faster: weights from there, hyperparameters of 8, the best slow one.
    """
    people = sixteen(
        [10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0], [7.5, 5.5, 2.0, 1.5, 1.0, 0.9, 0.8, 0.7], space=NO_SHAPES
    )
    assert from_whom(people, moves(people)) == {
        4: (8, [8]), 5: (9, [9]), 6: (0, [0]), 7: (1, [1]),
        12: (0, [8]), 13: (1, [8]), 14: (8, [8]), 15: (9, [9]),
    }  # fmt: skip


def test_the_goal_turns_the_order_round() -> None:
    """The same with the signs turned."""
    people = sixteen(
        [-10.0, -9.0, -8.0, -7.0, -6.0, -5.0, -4.0, -3.0],
        [-7.5, -5.5, -2.0, -1.5, -1.0, -0.9, -0.8, -0.7],
        space=NO_SHAPES,
        goal="min",
    )
    assert {m: donor for m, (donor, _) in from_whom(people, moves(people)).items()} == {
        4: 8, 5: 9, 6: 0, 7: 1, 12: 0, 13: 1, 14: 8, 15: 9,
    }  # fmt: skip


def test_a_slow_group_rests_in_between() -> None:
    """At interval 1 only the fast group evolves; the slow one's best are still outsiders to it."""
    people = sixteen([10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0], [7.5] + [0.0] * 7, intervals=1, space=NO_SHAPES)
    assert from_whom(people, moves(people)) == {4: (8, [8]), 6: (0, [0]), 7: (1, [1])}


def test_an_outsider_is_used_once_and_only_where_it_is_better() -> None:
    """Outsiders 5.5 and less: 4 (6) is better than the first, who is left for 5 (5)."""
    people = sixteen([10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0], [5.5, 1.0] + [0.0] * 6, space=NO_SHAPES)
    assert {m: donor for m, (donor, _) in from_whom(people, moves(people)).items() if m in (4, 5)} == {5: 8}


def test_an_outsider_that_ties_is_not_better() -> None:
    """5 has 5.0, as the best outsider has."""
    people = sixteen([10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0], [5.0] + [0.0] * 7)
    assert not {4, 5} & set(moves(people))


def test_only_copies_inside_the_group_explore() -> None:
    """By 0.5 or 2, as no value is near an end of the range; migrants have exactly what they were given."""
    space = warren.Space({"lr": warren.Float(1e-99, 1e99, scale="log")})
    people = sixteen([10.0, 9, 8, 7, 6, 5, 4, 3], [7.5, 5.5, 2, 1.5, 1.0, 0.9, 0.8, 0.7], space=space)
    found = moves(people, MFPBT(frequencies=(1, 2), explore=Perturb(factors=(0.5, 2.0))))
    lr = [values["lr"] for values in people.values]
    for member, donor in {6: 0, 7: 1, 14: 8, 15: 9}.items():
        assert found[member].hyperparameters["lr"] / lr[donor] in (pytest.approx(0.5), pytest.approx(2.0))
    for member, giver in {4: 8, 5: 9, 12: 8, 13: 8}.items():
        assert found[member].hyperparameters["lr"] == lr[giver]


def test_the_published_factors_do_not_drift() -> None:
    """0.8 * 1.25 = 1."""
    assert MFPBT().explore == Perturb(factors=(0.8, 1.25))
    assert MFPBT().frequencies == (1, 10, 25, 50)


def test_the_shape_comes_with_the_weights() -> None:
    """12 takes the weights of 0 and the hyperparameters of 8, but for the number of layers."""
    people = sixteen([10.0, 9, 8, 7, 6, 5, 4, 3], [7.5, 5.5, 2, 1.5, 1.0, 0.9, 0.8, 0.7])
    assert people.values[0]["net.layers"] != people.values[8]["net.layers"]
    assert moves(people)[12].hyperparameters == {**people.values[8], "net.layers": people.values[0]["net.layers"]}


def test_ties_are_settled_for_all_alike() -> None:
    """Of eight that tie two are worst and copy two others, one-to-one; nobody is better outside."""
    people = sixteen([1.0] * 8, [1.0] * 8)
    seen: set[int] = set()
    for seed in range(20):
        found = from_whom(people, moves(people, seed=seed))
        inside = {member: donor for member, (donor, _) in found.items() if member < 8}
        assert len(inside) == len(set(inside.values())) == 2
        assert not set(inside) & set(inside.values())
        assert all(donor < 8 for donor in inside.values())
        seen |= set(inside)
    assert len(seen) > 4


def test_whoever_fails_copies_from_the_best_of_its_own_group() -> None:
    """Though the slow group is better throughout."""
    people = sixteen([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, math.nan], [10.0] * 8)
    donors = set()
    for seed in range(20):
        view = people.view(7)
        action = assigned(MFPBT(frequencies=(1, 2)).decide(view, keys_of(view, seed)), 7)
        assert action is not None
        donors.add(people.owner(action.sources[0]).member)
    assert donors == {6, 5}


def test_a_group_without_anybody_healthy_is_helped_by_others() -> None:
    """All fast members diverged: each takes over somebody else's state."""
    people = sixteen([math.nan] * 8, [10.0] * 8)
    action = moves(people)[3]
    assert people.owner(action.sources[0]).member >= 8


def test_a_score_that_is_still_to_come_is_waited_for() -> None:
    """The member goes on, whatever it had before."""
    people = sixteen([10.0, 9, 8, 7, 6, 5, 4, 3], [0.0] * 8)
    assert 7 in moves(people)
    people = Grouped([*people.scores[:7], [-5.0, None], *people.scores[8:]])
    assert 7 not in moves(people)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (1, [1]),
        (2, [2]),
        (7, [7]),
        (8, [4, 4]),
        (12, [4, 4, 4]),
        (16, [4, 4, 4, 4]),
        (22, [6, 5, 6, 5]),
        (24, [6, 6, 6, 6]),
    ],
)
def test_groups(size: int, expected: list[int]) -> None:
    """Equal but for one member; as many as have four members each, of the first frequencies. 22 / 4 = 5.5."""
    plan = MFPBT().start(SPACE, size, Keys(seed=0, member=-1, interval=0))
    groups = [action.group for action in plan.actions if isinstance(action, Assign)]
    names = [f"every {frequency}" for frequency in (1, 10, 25, 50)[: len(expected)]]
    assert [groups.count(name) for name in names] == expected
    assert groups == sorted(groups, key=lambda group: names.index(str(group)))


@pytest.mark.parametrize(("size", "expected"), [(1, {}), (2, {1: 0}), (3, {2: 0}), (5, {4: 0}), (8, {6: 0, 7: 1})])
def test_small_groups_have_small_quarters(size: int, expected: dict[int, int]) -> None:
    """One group, ranked by number: a quarter is n // 4, 1 for two or three members, 0 for one."""
    people = Population([[float(-member)] for member in range(size)])
    found = {}
    for member in range(size):
        view = people.view(member)
        action = assigned(MFPBT(frequencies=(1,)).decide(view, keys_of(view)), member)
        if action is not None:
            found[member] = people.owner(action.sources[0]).member
    assert found == expected


def test_members_stop_where_any_group_evolves() -> None:
    """With 2 and 5: at 2, 4, 5, 6, 8, 10."""
    strategy = MFPBT(frequencies=(2, 5))
    first = strategy.start(SPACE, 8, Keys(seed=0, member=-1, interval=0)).actions
    assert {action.intervals for action in first if isinstance(action, Assign)} == {2}
    stops = [2]
    while stops[-1] < 10:
        people = Population([[0.0] * stops[-1]])
        stops.append(stops[-1] + strategy.decide(people.view(0), keys_of(people.view(0))).intervals)
    assert stops == [2, 4, 5, 6, 8, 10]


@pytest.mark.parametrize(
    ("frequencies", "error", "said"),
    [
        ((), InvalidValue, "must rise from 1"),
        ((0, 1), InvalidValue, "must rise from 1"),
        ((5, 1), InvalidValue, r"such as \(1, 10, 25, 50\), but got \(5, 1\)"),
        ((1, 1), InvalidValue, "must rise"),
        ((1, 2.5), InvalidType, "but got 2.5"),
        ((True,), InvalidType, "but got True"),
        ("1", InvalidType, "but got '1'"),
        (5, InvalidType, "but got 5"),
    ],
)
def test_frequencies_that_make_no_sense(frequencies: Any, error: type[Exception], said: str) -> None:
    """One line that names the field and the value."""
    with pytest.raises(error, match=said):
        MFPBT(frequencies=frequencies)


def test_it_is_spared_where_greed_costs() -> None:
    """Seeds 0 to 2 of the deceptive toy: greedy PBT ends below random search, MF-PBT far above."""
    two = Perturb(factors=(0.5, 2.0))
    for seed in range(3):
        greedy, random, spared = (
            simulate(deceptive(), strategy, population=22, seed=seed).true
            for strategy in (
                PBT(exploit=Truncation(fraction=0.25), explore=two),
                RandomSearch(),
                MFPBT(frequencies=(1, 5, 10), explore=two),
            )
        )
        assert greedy < 0.95 < 1.02 < random < 1.06 < 1.11 < spared


def test_it_runs_on_digits_inline_and_in_processes(tmp_path: Path) -> None:
    """Members wait for each other, so the history is the same; the record stands up to its audit."""
    pytest.importorskip("sklearn")
    from warren.zoo.digits.mlp import Mlp, space

    def run(store: Path, **engine: Any) -> list[Any]:
        result = warren.run(
            Mlp(hidden=16, batch=90).task(), space=space(), goal="min", population=8, intervals=5, synchronous=True,
            store=store, strategy=MFPBT(frequencies=(1, 2)), **engine,
        )  # fmt: skip
        assert replay(store).different == ()
        rows = sorted(result.intervals, key=lambda row: (row.interval, row.member))
        assert {row.group for row in rows} == {FAST, SLOW}
        assert any(row.origin == "exploit" and row.group == SLOW for row in rows)
        return [(row.member, row.interval, row.origin, row.hyperparameters, row.score) for row in rows]

    inline = run(tmp_path / "a.db", engine="inline", workers=1)
    assert run(tmp_path / "b.db", engine="processes", workers=2) == inline
