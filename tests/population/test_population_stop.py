from __future__ import annotations

import math
from typing import Any

import pytest

from warren.errors import InvalidType, InvalidValue, WarrenError
from warren.population import RunRow, Stop, better


@pytest.mark.parametrize(
    ("stop", "run", "words"),
    [
        ({}, {"total": 10**9, "elapsed": 1e9}, None),
        ({"score": 0.9}, {"best_score": 0.9}, "target score 0.9"),
        ({"score": 0.9}, {"best_score": 0.95}, "target score"),
        ({"score": 0.9}, {"best_score": 0.89}, None),
        ({"score": 0.9}, {}, None),
        ({"score": 0.1}, {"best_score": 0.05, "goal": "min"}, "target score 0.1"),
        ({"score": 0.1}, {"best_score": 0.2, "goal": "min"}, None),
        ({"intervals": 5}, {"total": 4}, None),
        ({"intervals": 5}, {"total": 5}, "5 intervals"),
        ({"seconds": 2.5}, {"elapsed": 2.4}, None),
        ({"seconds": 2.5}, {"elapsed": 2.5}, "2.5 seconds"),
        ({"patience": 3}, {"total": 7, "improved": 5}, None),
        ({"patience": 3}, {"total": 8, "improved": 5}, "for 3 intervals"),
        ({"score": 5.0, "intervals": 9}, {"total": 9, "best_score": 1.0}, "9 intervals"),
    ],
)
def test_when_a_run_stops(stop: dict[str, Any], run: dict[str, Any], words: str | None) -> None:
    reason = Stop(**stop).reason(RunRow(**run))
    assert reason is None if words is None else words in str(reason)


@pytest.mark.parametrize(
    ("fields", "kind", "words"),
    [
        ({"seconds": 0}, InvalidValue, "seconds must be positive.*0"),
        ({"seconds": -1.0}, InvalidValue, "seconds"),
        ({"intervals": 0}, InvalidValue, "intervals"),
        ({"patience": -2}, InvalidValue, "patience"),
        ({"min_delta": -0.1}, InvalidValue, "min_delta"),
        ({"score": "high"}, InvalidType, "score must be a number.*'high'"),
        ({"patience": True}, InvalidType, "patience"),
        ({"score": math.nan}, InvalidValue, "score"),
        ({"seconds": math.nan}, InvalidValue, "seconds"),
    ],
)
def test_a_rule_that_cannot_be(fields: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        Stop(**fields)
    assert isinstance(caught.value, WarrenError)


def test_better() -> None:
    assert better(2.0, 1.0, "max")
    assert not better(1.0, 1.0, "max")
    assert better(1.0, 2.0, "min")
    assert not better(2.0, 2.0, "min")
