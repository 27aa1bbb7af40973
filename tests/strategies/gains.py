"""The contract where there is something to fit: for strategies that learn what intervals have gained."""

from __future__ import annotations

from typing import Any

import pytest

from warren.strategies import Strategy
from warren.testing.strategies import Population, StrategyContract, assigned, keys_of


class Measured(Population):
    """A population whose members measured a score before each interval, so that every interval has gained something."""

    def __init__(self, scores: Any, *, fields: Any = None, **options: Any) -> None:
        before = {
            (member, interval): {"before": 0.1 * (member % 3), **(fields or {}).get((member, interval), {})}
            for member, own in enumerate(scores)
            for interval in range(1, len(own) + 1)
        }
        super().__init__(scores, fields=before, **options)


class GainsContract(StrategyContract):
    """`StrategyContract` on populations that have gained something."""

    @pytest.fixture(autouse=True)
    def measured(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("warren.testing.strategies.Population", Measured)

    def test_hyperparameters_stay_legal_for_ever(self, strategy: Strategy) -> None:
        """Twenty decisions in a row, each from what the last one gave: fewer than elsewhere, a fit takes time."""
        population = Measured([[float(member)] for member in range(4)])
        for seed in range(20):
            view = population.view(0)
            action = assigned(strategy.decide(view, keys_of(view, seed)), 0)
            assert action is not None
            assert population.space.check(action.hyperparameters, field="plan") == action.hyperparameters
            population = Measured([[float(member)] for member in range(4)])
            population.values[0] = action.hyperparameters
