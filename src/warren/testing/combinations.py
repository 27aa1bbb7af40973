"""What an engine promises about states that are made of several; a part of `EngineContract`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from warren.errors import UnknownName
from warren.population import Assign, Keys, Plan, View
from warren.space import Space
from warren.state import Tree
from warren.strategies.hooks import Combine, Combines, Draws, Hook, ShrinkAndPerturb
from warren.strategies.moves import begin
from warren.training import Rng, Slot, Task


def _init(seed: int, hyperparameters: dict[str, Any]) -> Any:
    return {"w": np.random.default_rng(seed).normal(size=3), "steps": 0}


def _count(state: Any, hyperparameters: dict[str, Any], rng: Rng) -> Any:
    return {**state, "steps": state["steps"] + 1}


def _sum(state: Any, rng: Rng) -> float:
    return float(np.sum(state["w"]))


STILL = Task(init=_init, train_interval=_count, evaluate=_sum)
"""Numbers that no training changes: what comes of a combination can be said beforehand."""


def doubled(states: Sequence[Tree], hyperparameters: dict[str, Any], rng: Draws) -> Tree:
    """Twice the first state, with a number that is drawn and a hyperparameter."""
    states[0]["state"]["w"] *= 2.0
    states[0]["state"]["w"] += rng.numpy().normal() + hyperparameters["lr"]
    return states[0]


@dataclass(frozen=True, kw_only=True)
class Mixing(Combines):
    """Each of four members goes on from the three others after its first interval, each in a way of its own.

    Args:
        mix: The hook of member 1.
        ways: What each member does.
    """

    mix: Combine = doubled
    ways: tuple[str, ...] = ("mean", "mix", "restart", "crossover")

    @property
    def hooks(self) -> Mapping[str, Hook]:
        """One that is a function of the user's, and one that needs a fresh state."""
        restart = Hook(combine=ShrinkAndPerturb(old=0.5, fresh=0.25), fresh=True)
        return {"mix": Hook(combine=self.mix), "restart": restart}

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """Every member afresh."""
        return Plan(actions=tuple(begin(space, member, keys) for member in range(size)))

    def decide(self, view: View, keys: Keys) -> Plan:
        """See the class."""
        if view.at != 1:
            return Plan()
        found = [view.source(member) for member in range(4) if member != view.due.member]
        sources = tuple(str(row.checkpoint) for row in found if row is not None)
        via, values = self.ways[view.due.member], view.due.hyperparameters
        return Plan(actions=(Assign(member=view.due.member, hyperparameters=values, sources=sources, via=via),))


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """Hands every member the newest states of all others."""

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """Every member afresh."""
        return Plan(actions=tuple(begin(space, member, keys) for member in range(size)))

    def decide(self, view: View, keys: Keys) -> Plan:
        """See the class."""
        found = [view.source(member) for member in range(view.size) if member != view.due.member]
        met = tuple(str(row.checkpoint) for row in found if row is not None)
        values = view.due.hyperparameters
        return Plan(actions=(Assign(member=view.due.member, hyperparameters=values, via="keep", opponents=met),))


def playing(slot: Slot) -> None:
    """Counts members' numbers and what opponents have counted; the results are the differences."""
    count = np.zeros(1)
    slot.track(count=count)
    for member in slot:
        theirs = {opponent: float(opponent.state()["count"][0]) for opponent in member.opponents}
        count += 1 + member.id + 0.001 * sum(theirs.values()) + 0 * (member["lr"] + member["bias"])
        member.report(float(count[0]), results={opponent: float(count[0]) - one for opponent, one in theirs.items()})


def born(member: int, birth: int = 0) -> NDArray[np.float64]:
    """The numbers that a member of `STILL` is made with in a run of seed 1."""
    seed = Rng(Keys(seed=1, member=member, interval=0, attempt=birth), "birth").seed
    return np.random.default_rng(seed).normal(size=3)


class CombinationContract:
    """States of several: the same on every engine, as the hooks say, and on record."""

    @pytest.mark.parametrize("workers", [1, 2])
    def test_states_are_made_of_several(self, go: Any, workers: int) -> None:
        """By a mean, a crossover, a hook of the strategy's, and one that needs a fresh state."""
        result = go(STILL, strategy=Mixing(), intervals=3, synchronous=True, workers=workers)
        w = [born(member) for member in range(4)]
        lr = {row.member: row.hyperparameters["lr"] for row in result.intervals}
        drawn = Rng(Keys(seed=1, member=1, interval=2), "combine").numpy().normal()
        chosen = int(Rng(Keys(seed=1, member=3, interval=2), "combine").numpy().integers(3))
        expected = [
            (w[1] + w[2] + w[3]) / 3,
            2.0 * w[0] + (drawn + lr[1]),
            0.5 * w[0] + 0.25 * born(2, birth=1),
            w[chosen],
        ]
        by_id = {row.id: row for row in result.intervals}
        for trained in result.final:
            state = trained.state()["state"]
            np.testing.assert_array_equal(state["w"], expected[trained.member])
            assert (state["steps"], trained.interval, trained.age) == (3, 3, 3)
            row = next(row for row in result.intervals if (row.member, row.interval) == (trained.member, 2))
            assert (row.origin, row.via) == ("exploit", Mixing().ways[trained.member])
            assert [by_id[parent].member for parent in row.parents] == [m for m in range(4) if m != trained.member]
        assert {row.via for row in result.intervals if row.interval != 2} == {None}
        scores = {row.member: row.score for row in result.intervals if row.interval == 1}
        assert scores == {member: float(np.sum(w[member])) for member in range(4)}

    def test_a_hook_that_nobody_has_ends_the_run(self, go: Any) -> None:
        """In one line, with the names of those that there are."""
        with pytest.raises(UnknownName, match=r"plans via='distil', which is none of .*'mean', .*'mix', 'restart'"):
            go(STILL, strategy=Mixing(ways=("distil",) * 4))


class OpponentContract:
    """Opponents, for engines that run loops."""

    @pytest.mark.parametrize("workers", [1, 2])
    def test_opponents_are_met(self, go: Any, workers: int) -> None:
        """Their states as they were saved; results come back by checkpoint."""
        result = go(playing, strategy=Meeting(), intervals=3, synchronous=True, workers=workers)
        by_name = {row.checkpoint: row for row in result.intervals}
        for row in result.intervals:
            met = [by_name[name] for name in row.opponents]
            others = [] if row.interval == 1 else [member for member in range(4) if member != row.member]
            assert [(one.member, one.interval) for one in met] == [(other, row.interval - 1) for other in others]
            scores = [float(one.score or 0.0) for one in met]
            before = next((r.score for r in result.intervals if r.id in row.parents), 0.0)
            assert row.score == pytest.approx((before or 0.0) + 1 + row.member + 0.001 * sum(scores), rel=1e-12)
            assert row.results == {
                str(one.checkpoint): float(row.score or 0.0) - score for one, score in zip(met, scores, strict=True)
            }
