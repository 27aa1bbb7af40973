"""The elitist anchor: who becomes it, who copies it, and that it never gets worse."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest

import warren
from warren.errors import InvalidValue
from warren.population import Pin, Plan, Unpin, View
from warren.strategies import PBT, Strategy, Unchanged
from warren.strategies.anchor import Anchored
from warren.testing.strategies import Population, StrategyContract, assigned, keys_of


class TestContract(StrategyContract):
    @pytest.fixture
    def strategy(self) -> Anchored:
        return Anchored()


class TestContractOfSeveralParents(StrategyContract):
    @pytest.fixture
    def strategy(self) -> Anchored:
        return Anchored(fraction=0.5, parents=3, every=2, warmup=0)


def decide(view: View, seed: int = 0, **options: Any) -> Plan:
    return Anchored(explore=Unchanged(), **options).decide(view, keys_of(view, seed))


def memory_of(people: Population, member: int, interval: int) -> dict[str, Any]:
    """What the strategy remembers of an anchor."""
    (row,) = (row for row in people.rows if (row.member, row.interval) == (member, interval))
    fields = ("id", "member", "interval", "age", "score", "checkpoint", "hyperparameters")
    return {field: getattr(row, field) for field in fields}


def test_the_best_pins_itself() -> None:
    """Nobody else does; and it goes on as it is."""
    people = Population([[1.0], [5.0], [3.0]])
    for member in range(3):
        plan = decide(people.view(member), fraction=0.0)
        if member == 1:
            assert plan.actions == (Pin(checkpoint="1@1"),)
            assert plan.memory == memory_of(people, 1, 1)
        else:
            assert plan == Plan()


@pytest.mark.parametrize(("goal", "better", "worse"), [("max", 6.0, 4.0), ("min", 4.0, 6.0)])
def test_only_a_better_one_takes_its_place(goal: Any, better: float, worse: float) -> None:
    """The anchor has 5: one that is as good or worse leaves it; a better one is pinned and the old one let go."""
    for score, moved in ((worse, False), (5.0, False), (better, True)):
        people = Population([[5.0, worse], [worse, score]], goal=goal)
        anchor = memory_of(people, 0, 1)
        plan = decide(people.view(1, memory=anchor), fraction=0.0)
        expected = (Pin(checkpoint="1@2"), Unpin(checkpoint="0@1")) if moved else ()
        assert plan.actions == expected
        assert plan.memory == (memory_of(people, 1, 2) if moved else None)


def test_who_is_the_anchor_already_does_not_pin_itself_again() -> None:
    """A decision is taken again where something changed meanwhile; letting go of what it pins would lose the anchor."""
    people = Population([[5.0], [1.0]])
    assert decide(people.view(0, memory=memory_of(people, 0, 1))) == Plan()


def test_one_of_the_best_of_all_time_is_a_parent_though_its_member_got_worse() -> None:
    """Ten members, two worst; parents are the anchor of long ago and the two best of now, uniformly."""
    people = Population([[float(m), float(m)] for m in range(10)])
    anchor = {**memory_of(people, 4, 1), "score": 99.0}
    drawn: Counter[str] = Counter()
    for seed in range(600):
        action = assigned(decide(people.view(0, memory=anchor), seed), 0)
        assert action is not None
        assert action.via == "copy"
        drawn[action.sources[0]] += 1
    assert set(drawn) == {"4@1", "9@2", "8@2"}
    assert min(drawn.values()) > 200 - 4 * math.sqrt(600 * 2 / 9)
    assert decide(people.view(5, memory=anchor)).actions == ()


def test_hyperparameters_come_with_the_anchor() -> None:
    people = Population([[1.0, 1.0], [2.0, 2.0]])
    anchor = {**memory_of(people, 1, 1), "score": 99.0, "hyperparameters": dict(people.values[0], lr=0.125)}
    found = set()
    for seed in range(20):
        action = assigned(decide(people.view(0, memory=anchor), seed), 0)
        assert action is not None
        found.add((action.sources, action.hyperparameters["lr"]))
    assert found == {(("1@1",), 0.125), (("1@2",), people.values[1]["lr"])}


def test_a_member_that_diverged_takes_the_anchor() -> None:
    """Also where nobody else is healthy; without an anchor it starts afresh."""
    people = Population([[2.0, math.nan], [1.0, math.nan]])
    action = assigned(decide(people.view(1, memory=memory_of(people, 0, 1))), 1)
    assert action is not None
    assert (action.via, action.sources) == ("copy", ("0@1",))
    fresh = assigned(decide(people.view(1)), 1)
    assert fresh is not None
    assert fresh.via == "fresh"


def test_a_damaged_anchor_is_given_up() -> None:
    """The best of now takes its place, though its score is lower; nothing that is gone is named."""
    people = Population([[9.0, 1.0], [2.0, 2.0]], fields={(0, 1): {"lost": 7}})
    plan = decide(people.view(1, memory=memory_of(people, 0, 1)))
    assert plan.actions == (Pin(checkpoint="1@2"),)
    action = assigned(decide(people.view(0, memory=memory_of(people, 0, 1))), 0)
    assert action is not None
    assert action.sources == ("1@2",)


def test_a_damaged_anchor_is_given_up_also_by_who_stands_at_less() -> None:
    """1@2 was found damaged; member 0, at interval 1, takes one of the best that it knows of instead."""
    people = Population([[1.0], [2.0, 9.0], [2.5]], fields={(1, 2): {"lost": 7}})
    view = people.view(0, memory=memory_of(people, 1, 2))
    for seed in range(10):
        action = assigned(decide(view, seed), 0)
        assert action is not None
        assert action.sources in (("2@1",), ("1@1",))


def test_kin_of_a_remembered_anchor_are_those_with_an_ancestor_of_its_own() -> None:
    """4@2, 10@2 and 11@2 all came out of 4@1, member 9 did not."""
    scores: list[list[float | None]] = [[float(m), float(m)] for m in range(12)]
    ids = {(row.member, row.interval): row.id for row in Population(scores).rows}
    people = Population(scores, fields={(m, 2): {"parents": (ids[4, 1],)} for m in (4, 10, 11)})
    anchor = {**memory_of(people, 4, 2), "score": 99.0}
    action = assigned(decide(people.view(0, memory=anchor), fraction=0.25, parents=4), 0)
    assert action is not None
    assert (action.sources[0], set(action.sources)) == ("4@2", {"4@2", "10@2", "11@2"})


def test_several_parents_are_averaged_if_they_are_kin() -> None:
    """Members 8 and 9 descend from the anchor, member 7 does not: with 25 % of twelve the three best are parents."""
    scores: list[list[float | None]] = [[float(m), float(m)] for m in range(12)]
    ids = {(row.member, row.interval): row.id for row in Population(scores).rows}
    fields = {(m, 2): {"parents": (ids[4 if m in (10, 11) else m, 1],)} for m in range(12)}
    people = Population(scores, fields=fields)
    anchor = {**memory_of(people, 4, 1), "score": 99.0}
    for seed in range(20):
        action = assigned(decide(people.view(0, memory=anchor), seed, fraction=0.25, parents=4), 0)
        assert action is not None
        assert action.via == "mean"
        assert action.sources[0] == "4@1"
        assert set(action.sources) == {"4@1", "10@2", "11@2"}
        two = assigned(decide(people.view(0, memory=anchor), seed, fraction=0.25, parents=2), 0)
        assert two is not None
        assert set(two.sources) <= {"4@1", "10@2", "11@2"}
        assert len(two.sources) <= 2


@pytest.mark.parametrize(("options", "words"), [({"fraction": 0.7}, "fraction"), ({"parents": 0}, "parents")])
def test_what_makes_no_sense_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        Anchored(**options)


def train(slot: warren.Slot) -> None:
    """The score grows by h; in the sixth interval every state is spoilt."""
    for member in slot:
        before = 0.0 if member.state is None else float(member.state["x"])
        after = -100.0 if member.budget == 5 else before + member["h"]
        member.state = {"x": np.array(after)}
        member.report(after)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_comes_back_to_its_anchor(workers: int, tmp_path: Any) -> None:
    """PBT's members are all spoilt together and stay so; anchored ones go on from the best of the fifth interval."""
    last = {}
    strategies: dict[str, Strategy] = {"anchored": Anchored(fraction=0.5), "pbt": PBT()}
    for name, strategy in strategies.items():
        result = warren.run(train, space={"h": warren.Float(0.5, 1.0)}, goal="max", population=4, intervals=12,
                            strategy=strategy, synchronous=True, workers=workers, store=tmp_path / f"{name}.db",
                            watch=lambda result: None)  # fmt: skip
        last[name] = max(row.score for row in result.intervals if row.interval == 12 and row.score is not None)
        pinned = [row.name for row in result.store.checkpoints() if row.pinned]
        assert len(pinned) == (name == "anchored")
    fifth = max(row.score for row in result.intervals if row.interval == 5 and row.score is not None)
    assert last["pbt"] < -90
    assert last["anchored"] > fifth > 2.5
