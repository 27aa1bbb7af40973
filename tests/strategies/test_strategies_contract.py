from __future__ import annotations

from typing import Any

import pytest

from warren.population import IntervalRow, Keys, View
from warren.strategies import (
    PBT,
    Every,
    Noise,
    Perturb,
    RandomSearch,
    Resample,
    Strategy,
    Tournament,
    Truncation,
    TTest,
    compose,
)
from warren.testing.strategies import StrategyContract

STRATEGIES: dict[str, Strategy] = {
    "as published": PBT(),
    "tournament": PBT(exploit="tournament", explore="resample"),
    "t-test": PBT(exploit=TTest(p=0.5, last=2), explore="noise", every=3, warmup=0),
    "half": PBT(exploit=Truncation(fraction=0.5, donors=1), explore=Perturb(factors=(0.5, 2.0), resample=0.5)),
    "nothing": PBT(exploit=Truncation(fraction=0.0), explore="none"),
    "all explore": PBT(exploit="none", explore=Noise(deviation=3.0), explorers="ready"),
    "weights": PBT(copy="weights", drift_free=True),
    "hyperparameters": PBT(copy="hyperparameters", exploit=Tournament()),
    "composed": compose(ready=Every(every=2, warmup=0), explore=Resample(probability=1.0)),
    "random search": RandomSearch(),
}


class TestStrategies(StrategyContract):
    @pytest.fixture(params=STRATEGIES)
    def strategy(self, request: Any) -> Strategy:
        return STRATEGIES[request.param]


def first_other(view: View, fitness: Any, keys: Keys) -> IntervalRow | None:
    """A rule of one's own, as a function with a name."""
    others = [int(member) for member in view.facts.members[view.donors()]]
    return view.source(min(others)) if others else None


class TestARuleOfOnesOwn(StrategyContract):
    @pytest.fixture
    def strategy(self) -> Strategy:
        return PBT(exploit=first_other)


def test_the_contract_needs_a_fixture() -> None:
    with pytest.raises(NotImplementedError, match="override"):
        StrategyContract.strategy.__wrapped__(StrategyContract())  # type: ignore[attr-defined]
