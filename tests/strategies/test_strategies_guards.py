"""A gap that must be clear, and members that stay as they were given."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import warren
from warren.errors import InvalidType, InvalidValue
from warren.strategies import PBT, Gap, Guarded, Noise, Reference, Tournament, Truncation, compose
from warren.testing.strategies import Population, StrategyContract, assigned, keys_of

RISING = [4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]
"""Mean 7, squared deviations 9 + 4 + 1 + 0 + 1 + 4 + 9 = 28 over 7: a standard deviation of 2."""


@pytest.mark.parametrize(("own", "clear"), [(2.9, True), (3.2, False)])
def test_ahead_by_half_a_deviation(own: float, clear: bool) -> None:
    """Of 8, the worst fifth is the recipient itself: half a deviation of the others is 1; 4 is ahead by 1.1, 0.8."""
    assert Gap(deviations=0.5).clear(np.array([own, *RISING]), 0, 1) is clear


def test_the_worst_are_left_out_of_the_deviation() -> None:
    """Of [8, 9, 10, 10] it is 0.83; with the crashed one 403."""
    fitness = np.array([-1000.0, 8.0, 9.0, 10.0, 10.0])
    assert Gap(deviations=0.5).clear(fitness, 1, 3)
    assert not Gap(deviations=0.5, trimmed=0.0).clear(fitness, 1, 3)


@pytest.mark.parametrize(("own", "clear"), [(94.0, True), (96.0, False)])
def test_ahead_by_a_share_of_the_donor(own: float, clear: bool) -> None:
    """5 % of 100 is 5; half a deviation is 1.5 or 1."""
    assert Gap(share=0.05).clear(np.array([own, 100.0]), 0, 1) is clear


def test_a_gap_with_members_that_are_not_healthy() -> None:
    fitness = np.array([-math.inf, 1.0, 2.0, 3.0])
    assert Gap().clear(fitness, 0, 3)
    assert not Gap().clear(fitness, 3, 0)
    assert not Gap().clear(np.array([-math.inf, -math.inf]), 0, 1)


def test_great_scores_have_gaps() -> None:
    assert Gap(share=0.05).clear(np.array([-1e308, 1e308]), 0, 1)
    assert not Gap().clear(np.array([0.0, 0.0]), 0, 1)
    assert not Gap().clear(np.array([5.0, 5.0]), 0, 1)


def test_a_guarded_exploit_waits_for_the_gap() -> None:
    """Worst copies best without it; with it, only where it lags by more than half a deviation of the others."""
    close = Population([[score] for score in (3.9, *RISING)])
    for seed in range(30):
        view = close.view(0)
        donor = Truncation(fraction=0.5)(view, view.facts.scores, keys_of(view, seed))
        assert donor is not None
        ahead = close.scores[donor.member][0] - 3.9  # type: ignore[operator]
        chosen = Guarded(exploit=Truncation(fraction=0.5), gap=Gap(deviations=2.3))(
            view, view.facts.scores, keys_of(view, seed)
        )
        assert (chosen == donor) if ahead > 4.6 else chosen is None


def test_a_guarded_exploit_copies_nobody_else() -> None:
    view = Population([[1.0], [2.0]]).view(1)
    assert Guarded(exploit=Tournament())(view, view.facts.scores, keys_of(view)) is None


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Gap(deviations=-1.0), "Gap: deviations must be finite and at least 0, but got -1.0"),
        (lambda: Gap(share=math.nan), "Gap: share must be finite"),
        (lambda: Gap(trimmed=1.0), "Gap: trimmed must lie in"),
        (lambda: Reference(members=0), "Reference: members must be at least 1, but got 0"),
        (lambda: Reference(members=1.0), "Reference: members must be a whole number"),  # type: ignore[arg-type]
    ],
)
def test_what_has_no_meaning_is_refused(make: Any, said: str) -> None:
    with pytest.raises((InvalidValue, InvalidType), match=said):
        make()


def test_a_reference_is_left_alone_and_may_be_copied() -> None:
    """The worst is a reference and stays; the best is one and is copied."""
    strategy = Reference(strategy=PBT(exploit=Truncation(fraction=0.5), every=3, warmup=0), members=2)
    population = Population([[0.0] * 3, [9.0] * 3, [1.0] * 3, [8.0] * 3])
    for seed in range(20):
        view = population.view(0)
        plan = strategy.decide(view, keys_of(view, seed))
        assert (plan.actions, plan.intervals) == ((), 3)
    sources: set[str] = set()
    for seed in range(20):
        view = population.view(2)
        action = assigned(strategy.decide(view, keys_of(view, seed)), 2)
        assert action is not None
        sources.update(action.sources)
    assert sources == {"1@3", "3@3"}


def test_a_reference_keeps_its_values_through_a_run() -> None:
    """Whoever else explores, members 0 and 1 end with what they were first given, on states of their own."""

    def begin(seed: int, hyperparameters: dict[str, Any]) -> dict[str, Any]:
        return {"x": np.zeros(1)}

    def train(state: dict[str, Any], hyperparameters: dict[str, Any], rng: Any) -> dict[str, Any]:
        return {"x": state["x"] + hyperparameters["lr"]}

    def measure(state: dict[str, Any], rng: Any) -> float:
        return float(state["x"][0])

    result = warren.run(
        warren.Task(init=begin, train_interval=train, evaluate=measure),
        space={"lr": warren.Float(0.0, 1.0)},
        goal="max",
        population=6,
        intervals=8,
        strategy=Reference(strategy=PBT(explore=Noise(deviation=0.3), explorers="ready"), members=2),
        initial=[{"lr": 0.01}, {"lr": 0.5}],
        watch=lambda result: None,
    )
    own = {member: [row for row in result.intervals if row.member == member] for member in range(6)}
    for member, lr in ((0, 0.01), (1, 0.5)):
        assert [row.hyperparameters["lr"] for row in own[member]] == [lr] * 8
        assert [row.origin for row in own[member]] == ["fresh", *["continue"] * 7]
        assert own[member][-1].score == pytest.approx(8 * lr)
    assert all(len({row.hyperparameters["lr"] for row in own[member]}) > 1 for member in range(2, 6))


class TestGuarded(StrategyContract):
    @pytest.fixture(params=[Guarded(), Guarded(exploit=Tournament(), gap=Gap(deviations=1.0, share=0.1, trimmed=0.5))])
    def strategy(self, request: Any) -> Any:
        return compose(exploit=request.param)


class TestReference(StrategyContract):
    @pytest.fixture(params=[Reference(), Reference(members=3)])
    def strategy(self, request: Any) -> Any:
        return request.param
