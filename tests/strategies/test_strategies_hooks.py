from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from warren.errors import InvalidValue, StateError, UnknownName
from warren.population import Assign, Keys, Plan, View
from warren.space import Space
from warren.strategies import PBT
from warren.strategies.base import decide
from warren.strategies.hooks import Combines, Hook, ShrinkAndPerturb, crossover, hook_of, hooks_of, mean
from warren.testing.strategies import Population
from warren.training import Rng

RNG = Rng(Keys(seed=1, member=2, interval=3), "combine")


def test_mean() -> None:
    """(1 + 2 + 6) / 3 = 3; numbers that are no arrays, and steps that are counted, are the first one's."""
    states = [
        {
            "net": {"w": np.array([w, -w], np.float32)},
            "optimizer": {"step": np.array(s), "lr": w},
            "seen": np.array([s]),
        }
        for w, s in ((1.0, 10.0), (2.0, 20.0), (6.0, 60.0))
    ]
    made = mean(states, {}, RNG)
    assert made["net"]["w"].tolist() == [3.0, -3.0]
    assert made["net"]["w"].dtype == np.float32
    assert made["optimizer"] == {"step": np.array(10.0), "lr": 1.0}
    assert made["seen"].tolist() == [30.0]


def test_the_mean_of_one_is_that_one() -> None:
    assert mean([{"w": np.array([0.1, 1e300])}], {}, RNG)["w"].tolist() == [0.1, 1e300]


def test_crossover_draws_a_parent_for_each_array() -> None:
    """The draws are those of the key, one for each array, in the order of the state."""
    names = [f"layer {n}" for n in range(40)]
    states = [{name: np.full(2, float(parent)) for name in names} for parent in range(3)]
    made = crossover(states, {}, RNG)
    generator = RNG.numpy()
    drawn = [int(generator.integers(3)) for _ in names]
    assert [made[name].tolist() for name in names] == [[float(parent)] * 2 for parent in drawn]
    assert set(drawn) == {0, 1, 2}
    other = crossover(states, {}, Rng(Keys(seed=1, member=2, interval=4), "combine"))
    assert any(other[name][0] != made[name][0] for name in names)


def test_shrink_and_perturb() -> None:
    """0.5 * 4 + 0.25 * 8 = 4; what is no array is the source's."""
    source = {"net": {"w": np.array([4.0])}, "count": 7}
    fresh = {"net": {"w": np.array([8.0])}, "count": 0}
    made = ShrinkAndPerturb(old=0.5, fresh=0.25)([source, {"net": {"w": np.array([99.0])}}, fresh], {}, RNG)
    assert (made["net"]["w"].tolist(), made["count"]) == ([4.0], 7)


def test_a_part_that_a_fresh_member_has_in_another_form_comes_fresh() -> None:
    """An optimizer without moments yet."""
    source = {"net": np.array([4.0]), "optimizer": {"state": {0: {"moment": np.array([1.0])}}, "lr": 0.1}}
    fresh = {"net": np.array([8.0]), "optimizer": {"state": {}, "lr": 0.3}}
    made = ShrinkAndPerturb()([source, fresh], {}, RNG)
    assert made["net"][0] == pytest.approx(0.2 * 4 + 0.1 * 8)
    assert made["optimizer"] == {"state": {}, "lr": 0.3}


@pytest.mark.parametrize("name", ["old", "fresh"])
def test_factors_that_are_no_numbers(name: str) -> None:
    with pytest.raises(InvalidValue, match=f"ShrinkAndPerturb: {name} must be finite, but got inf"):
        ShrinkAndPerturb(**{name: float("inf")})


@pytest.mark.parametrize("hook", [mean, crossover])
def test_states_of_other_shapes_are_refused(hook: Any) -> None:
    with pytest.raises(StateError, match=r"at 'w' one has an array of shape \(1,\), and another"):
        hook([{"w": np.zeros(1)}, {"w": np.zeros(2)}], {}, RNG)


def first(states: Any, hyperparameters: Any, rng: Any) -> Any:
    return states[0]


@dataclass(frozen=True, kw_only=True)
class Own(Combines):
    via: str = "first"

    @property
    def hooks(self) -> Mapping[str, Hook]:
        return {"first": Hook(combine=first), "mean": Hook(combine=first, fresh=True)}

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        return PBT().start(space, size, keys)

    def decide(self, view: View, keys: Keys) -> Plan:
        action = Assign(member=view.due.member, hyperparameters={}, sources=("1@1",), via=self.via)
        return Plan(actions=(action,))


def test_a_strategys_own_hooks_come_first() -> None:
    assert hook_of(Own(), "first") == Hook(combine=first)
    assert hook_of(Own(), "mean").fresh
    assert hook_of(Own(), "crossover").combine is crossover
    assert hook_of(PBT(), "mean") == Hook(combine=mean)
    assert (sorted(hooks_of(Own())), dict(hooks_of(PBT()))) == (["first", "mean"], {})


def test_a_decision_by_a_hook_that_nobody_has_is_refused() -> None:
    view = Population([[1.0], [2.0]]).view(0)
    assert decide(Own(), view, 0).actions
    with pytest.raises(UnknownName, match=r"Own plans via='second', which is none of 'copy', .*'first', 'mean'"):
        decide(Own(via="second"), view, 0)
