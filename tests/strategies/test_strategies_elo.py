"""Elo ratings from results, matchmaking and copying by expected wins; against ratings worked out by hand."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest

import warren
from warren.errors import InvalidType, InvalidValue
from warren.population import Assign
from warren.strategies.elo import Challenge, Elo, EloPBT, expected, matched
from warren.testing import strategies as contract
from warren.testing.strategies import Population, StrategyContract, assigned, keys_of

K = 32.0


def chain(scores: list[list[float | None]], **fields: dict[str, Any]) -> Population:
    """Members whose reports follow each other; further fields by ``m<member>i<interval>``."""
    first = Population(scores)
    ids = {(row.member, row.interval): row.id for row in first.rows}
    made: dict[tuple[int, int], dict[str, Any]] = {}
    for (member, interval), _ in ids.items():
        made[member, interval] = {"parents": (ids[member, interval - 1],) if interval > 1 else ()}
        given = dict(fields.get(f"m{member}i{interval}", {}))
        if "parent" in given:
            given["parents"] = (ids[given.pop("parent")],)
        made[member, interval].update(given)
    return Population(scores, fields=made)


class Playing(Population):
    """As `Population`, and every member won against member 0's state before, or lost against member 1's."""

    def __init__(self, scores: Any, **options: Any) -> None:
        made = {
            (m, k): {"results": {"0@1": 1.0} if m % 2 else {"1@1": 0.25}, "parents": (1 + m,)}
            for m in range(2, len(scores))
            for k in range(2, 4)
        }
        super().__init__(scores, fields=made, **options)


class TestContract(StrategyContract):
    @pytest.fixture
    def strategy(self) -> EloPBT:
        return EloPBT()


class TestContractOfPlayers(StrategyContract):
    @pytest.fixture
    def strategy(self, monkeypatch: pytest.MonkeyPatch) -> EloPBT:
        monkeypatch.setattr(contract, "Population", Playing)
        return EloPBT(share=0.5, step=400.0, opponents=2, every=2, warmup=0)


def test_expected_shares() -> None:
    """400 points are ten to one, 800 a hundred to one; both sides make 1."""
    assert expected(1500.0, 1500.0) == 0.5
    assert expected(1900.0, 1500.0) == pytest.approx(10 / 11)
    assert expected(1500.0, 2300.0) == pytest.approx(1 / 101)
    assert expected(0.0, 70.0) + expected(70.0, 0.0) == pytest.approx(1.0)
    assert expected(-math.inf, 0.0) < 1e-200


def test_a_win_between_equals_moves_both() -> None:
    """K (1 - 1/2) = 16 up for the winner; the loser trained on from the state that was beaten, and loses 16."""
    people = chain([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]], m0i2={"results": {"1@1": 1.0}})
    view = people.view(0)
    assert dict(zip(view.facts.members.tolist(), Elo()(view), strict=True)) == {0: 16.0, 1: -16.0, 2: 0.0}


def test_the_next_win_is_expected() -> None:
    """From 16 and -16 the winner is expected to win 1 / (1 + 10^(-32/400)) = 0.545922: a second win brings 14.5305."""
    people = chain([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]], m0i2={"results": {"1@1": 1.0}}, m0i3={"results": {"1@2": 1.0}})
    share = 1 / (1 + 10 ** (-0.08))
    assert share == pytest.approx(0.545922, abs=1e-6)
    ratings = Elo()(people.view(0))
    assert ratings.tolist() == pytest.approx([16 + K * (1 - share), -16 - K * (1 - share)])
    assert ratings[0] == pytest.approx(30.5305, abs=1e-4)


def test_all_matches_of_an_interval_are_of_the_ratings_before() -> None:
    """Two wins and a draw of equals: 16 + 16 + 0, whatever the order; the others lose 16, 16 and 0."""
    people = chain([[1.0, 1.0]] * 4, m0i2={"results": {"1@1": 1.0, "2@1": 1.0, "3@1": 0.5}})
    assert Elo()(people.view(0)).tolist() == [32.0, -16.0, -16.0, 0.0]


def test_a_match_against_an_old_state_does_not_touch_what_it_has_become() -> None:
    """In interval 3 member 0 beats member 1 as it was after interval 1; member 1 trained on from its second."""
    people = chain([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]], m0i3={"results": {"1@1": 1.0}})
    assert Elo()(people.view(0)).tolist() == [16.0, 0.0]


def test_a_copy_brings_the_rating() -> None:
    """Member 2 copies member 0 after its win: it is worth 16 as well, and member 1's loss stays member 1's."""
    people = chain([[1.0, 1.0, 1.0]] * 3, m0i2={"results": {"1@1": 1.0}}, m2i3={"parent": (0, 2), "origin": "exploit"})
    assert Elo()(people.view(0)).tolist() == [16.0, -16.0, 16.0]


def test_a_loser_that_copied_meanwhile_keeps_what_it_copied() -> None:
    """Member 1's state was beaten in interval 2, in which member 1 trained a copy of member 2's."""
    people = chain([[1.0, 1.0]] * 3, m0i2={"results": {"1@1": 1.0}}, m1i2={"parent": (2, 1), "origin": "exploit"})
    assert Elo()(people.view(0)).tolist() == [16.0, 0.0, 0.0]


def test_who_copied_the_beaten_state_did_not_lose() -> None:
    """Member 2 trains a copy of member 1's first state in interval 2, in which member 0 beats that state."""
    people = chain([[1.0, 1.0]] * 3, m0i2={"results": {"1@1": 1.0}}, m2i2={"parent": (1, 1), "origin": "exploit"})
    assert Elo()(people.view(0)).tolist() == [16.0, -16.0, 0.0]


def test_only_the_window_counts() -> None:
    """Seen from interval 3, a window of 3 begins with interval 1, where the state is from that was beaten in 2."""
    people = chain([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]], m0i2={"results": {"1@1": 1.0}})
    assert Elo(window=3)(people.view(0)).tolist() == [16.0, -16.0]
    assert Elo(window=2)(people.view(0)).tolist() == [0.0, 0.0]


def test_the_goal_does_not_matter_and_the_sick_are_last() -> None:
    """Results are shares of points whatever the score's goal; a member that diverged has no rating."""
    people = chain([[1.0, 1.0], [9.0, 1.0], [1.0, math.nan]], m0i2={"results": {"1@1": 1.0}})
    people.goal = "min"
    assert Elo()(people.view(0)).tolist() == [16.0, -16.0, -math.inf]


def test_results_must_be_shares() -> None:
    people = chain([[1.0, 1.0], [1.0, 1.0]], m0i2={"results": {"1@1": 3.0}})
    with pytest.raises(InvalidValue, match=r"member 0 reported 3.0 against 1@1 in interval 2"):
        Elo()(people.view(1))


def test_a_challenge_is_lost_above_the_share() -> None:
    """147.2 points are 70 %: 400 log10(7/3) = 147.19."""
    people = Population([[1.0], [1.0]])
    view = people.view(0)
    rule = Challenge()
    assert rule(view, np.array([0.0, 147.0]), keys_of(view)) is None
    assert rule(view, np.array([0.0, 147.4]), keys_of(view)) == people.rows[1]
    assert rule(view, np.array([147.4, 0.0]), keys_of(view)) is None
    assert rule(view, np.array([0.0, -math.inf]), keys_of(view)) is None


def test_even_matches_are_likelier() -> None:
    """Weights exp(-18 (P - 1/2)^2): 1 for an equal, exp(-18 * 0.1681) = 0.0485 for one at ten to one (P = 10/11)."""
    people = Population([[1.0]] * 3)
    ratings = np.array([0.0, 0.0, -400.0])
    drawn: Counter[int] = Counter()
    for seed in range(4000):
        view = people.view(0)
        (row,) = matched(view, ratings, keys_of(view, seed), count=1, deviation=1 / 6)
        drawn[row.member] += 1
    weight = math.exp(-18 * (10 / 11 - 0.5) ** 2)
    share = weight / (1 + weight)
    assert share == pytest.approx(0.0469, abs=3e-4)
    assert drawn[0] == 0
    assert drawn[2] / 4000 == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 4000))


def test_opponents_are_others_and_each_once() -> None:
    """All that there are, where more are asked for; also the hopeless."""
    people = Population([[1.0]] * 4 + [[math.nan]])
    view = people.view(2)
    met = matched(view, np.array([0.0, 1e4, 0.0, -1e4, -math.inf]), keys_of(view), count=9, deviation=0.01)
    assert sorted(row.member for row in met) == [0, 1, 3]


def test_whoever_goes_on_meets_new_opponents() -> None:
    """A plan to keep carries them, with the state and the hyperparameters left as they are."""
    people = Population([[1.0]] * 5)
    view = people.view(1)
    action = assigned(EloPBT(opponents=2).decide(view, keys_of(view)), 1)
    assert isinstance(action, Assign)
    assert (action.via, action.hyperparameters) == ("keep", people.values[1])
    assert len(set(action.opponents)) == 2
    assert "1@1" not in action.opponents


def test_the_weaker_copies_the_stronger_and_meets_its_equals() -> None:
    """Members 1 to 4 lost all against member 0 for 20 intervals: they copy it as soon as they meet it."""
    results = {f"m0i{k}": {"results": {f"{m}@{k - 1}": 1.0 for m in range(1, 5)}} for k in range(2, 21)}
    people = chain([[1.0] * 20 for _ in range(5)], **results)
    copies = 0
    for seed in range(30):
        view = people.view(3)
        action = assigned(EloPBT(opponents=1).decide(view, keys_of(view, seed)), 3)
        assert action is not None
        assert len(action.opponents) == 1
        if action.via == "copy":
            copies += 1
            assert action.sources == ("0@20",)
    assert 1 <= copies < 20  # one in four is met


def test_alone_there_is_nobody_to_meet() -> None:
    view = Population([[1.0]]).view(0)
    assert EloPBT().decide(view, keys_of(view)).actions == ()


def test_nobody_copies_without_results() -> None:
    """All are equal, and nobody is expected to win more than half of the points."""
    people = Population([[float(m)] for m in range(8)])
    for member in range(8):
        view = people.view(member)
        action = assigned(EloPBT(share=0.5).decide(view, keys_of(view)), member)
        assert action is not None
        assert action.via == "keep"


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"step": 0.0}, InvalidValue, "step"),
        ({"window": 65}, InvalidValue, r"\[1, 64\]"),
        ({"window": 2.5}, InvalidType, "whole number"),
        ({"share": 0.4}, InvalidValue, "share"),
        ({"deviation": 0.0}, InvalidValue, "deviation"),
        ({"opponents": 0}, InvalidValue, "opponents"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        EloPBT(**options)


def play(slot: warren.Slot) -> None:
    """Strength grows by h; the stronger wins."""
    for member in slot:
        strength = member["h"] + (0.0 if member.state is None else float(member.state["x"]))
        member.state = {"x": np.array(strength)}
        results: dict[Any, float] = {}
        for opponent in member.opponents:
            theirs = float(opponent.state()["state"]["x"])
            results[opponent] = 0.5 if theirs == strength else float(strength > theirs)
        member.report(strength, results=results)


@pytest.mark.parametrize("workers", [1, 2])
def test_players_are_handed_each_other(workers: int, tmp_path: Any) -> None:
    """From the first decision on, after interval 2, all play; three in four copies and more are of a stronger one."""
    result = warren.run(
        play, space={"h": warren.Float(0.0, 1.0)}, goal="max", population=5, intervals=12, synchronous=True,
        strategy=EloPBT(opponents=3, step=64.0), workers=workers, store=tmp_path / "run.db", watch=lambda result: None,
    )  # fmt: skip
    rows = {(row.member, row.interval): row for row in result.intervals}
    by_id = {row.id: row for row in result.intervals}
    stronger = []
    for (member, interval), row in rows.items():
        assert len(row.results or {}) == (0 if interval <= 2 else 3)
        if row.origin == "exploit":
            stronger.append((by_id[row.parents[0]].score or 0.0) > (rows[member, interval - 1].score or 0.0))
    assert len(stronger) > 4
    assert sum(stronger) / len(stronger) >= 0.75
