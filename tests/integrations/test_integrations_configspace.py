from __future__ import annotations

import sys
from typing import Any

import ConfigSpace as CS
import numpy as np
import pytest
from ConfigSpace import (
    AndConjunction,
    Categorical,
    ConfigurationSpace,
    EqualsCondition,
    ForbiddenEqualsClause,
    GreaterThanCondition,
    InCondition,
    Integer,
    LessThanCondition,
    NotEqualsCondition,
    OrConjunction,
)

import warren
from warren.errors import InvalidType, InvalidValue, MissingExtra
from warren.space import Choice, Float, Int


def space() -> ConfigurationSpace:
    """Every kind of hyperparameter, without conditions."""
    found = ConfigurationSpace({"kind": ["sgd", "adam", "lion"], "decay": (0.0, 0.5), "steps": (1, 9), "name": "fixed"})
    found.add(
        CS.Float("lr", (1e-5, 1e-1), log=True, default=1e-3),
        Integer("width", (8, 512), log=True),
        Categorical("size", ["s", "m", "l"], ordered=True),
        Categorical("flag", [True, False]),
        CS.Float("momentum", (0.5, 0.9)),
        CS.Float("beta", (0.9, 0.999)),
    )
    return found


def test_each_kind_has_its_counterpart() -> None:
    found = warren.from_configspace(space())
    assert dict(found) == {
        "kind": Choice(("sgd", "adam", "lion")),
        "decay": Float(0.0, 0.5),
        "steps": Int(1, 9),
        "name": Choice(("fixed",)),
        "lr": Float(1e-5, 1e-1, scale="log"),
        "width": Int(8, 512, scale="log"),
        "size": Choice(("s", "m", "l"), ordered=True),
        "flag": Choice((True, False)),
        "momentum": Float(0.5, 0.9),
        "beta": Float(0.9, 0.999),
    }
    assert found.conditions == {}


@pytest.mark.parametrize(
    ("condition", "needs"),
    [
        (lambda s: EqualsCondition(s["momentum"], s["kind"], "sgd"), {"kind": ("sgd",)}),
        (lambda s: EqualsCondition(s["momentum"], s["flag"], True), {"flag": (True,)}),
        (lambda s: InCondition(s["momentum"], s["kind"], ["sgd", "lion"]), {"kind": ("sgd", "lion")}),
        (lambda s: NotEqualsCondition(s["momentum"], s["kind"], "adam"), {"kind": ("sgd", "lion")}),
        (lambda s: GreaterThanCondition(s["momentum"], s["size"], "s"), {"size": ("m", "l")}),
        (lambda s: LessThanCondition(s["momentum"], s["steps"], 4), {"steps": (1, 2, 3)}),
        (
            lambda s: AndConjunction(
                EqualsCondition(s["momentum"], s["kind"], "sgd"), GreaterThanCondition(s["momentum"], s["steps"], 7)
            ),
            {"kind": ("sgd",), "steps": (8, 9)},
        ),
        (
            lambda s: OrConjunction(
                EqualsCondition(s["momentum"], s["kind"], "sgd"), EqualsCondition(s["momentum"], s["kind"], "lion")
            ),
            {"kind": ("sgd", "lion")},
        ),
    ],
)
def test_each_condition_has_its_counterpart(condition: Any, needs: dict[str, tuple[Any, ...]]) -> None:
    given = space()
    given.add(condition(given))
    found = warren.from_configspace(given)
    assert found.conditions == {"momentum": needs}
    assert found["momentum"] == Float(0.5, 0.9)


def nested() -> ConfigurationSpace:
    given = space()
    given.add(EqualsCondition(given["momentum"], given["kind"], "sgd"))
    given.add(
        EqualsCondition(given["flag"], given["kind"], "adam"), EqualsCondition(given["beta"], given["flag"], True)
    )
    return given


def test_configurations_of_both_are_legal_in_the_other() -> None:
    """By each library's own rule, conditions upon conditions included."""
    given = nested()
    found = warren.from_configspace(given)
    for seed in range(100):
        values = found.sample(np.random.default_rng(seed))
        CS.Configuration(given, values=values).check_valid_configuration()
    given.seed(0)
    for configuration in given.sample_configuration(100):
        values = dict(configuration)
        checked = found.check(values, field="x")
        assert set(checked) == set(found.active(checked)) == set(values)


def test_the_default_configuration_is_a_first_member() -> None:
    given = nested()
    default = dict(given.get_default_configuration())
    assert default["lr"] == 1e-3
    result = warren.run(
        _task(), space=warren.from_configspace(given), goal="max", population=2, intervals=1, initial=[default]
    )
    [first] = [row for row in result.intervals if row.member == 0]
    assert first.hyperparameters == default


def _task() -> warren.Task:
    return warren.Task(
        init=lambda seed, values: {"x": np.zeros(1)},
        train_interval=lambda state, values, rng: state,
        evaluate=lambda state, rng: 0.0,
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.add(ForbiddenEqualsClause(s["kind"], "lion")), ["forbids values", "Rule", "constraints="]),
        (lambda s: s.add(Categorical("w", ["p", "q"], weights=[1, 4])), ["'w' has weights", "leave the weights out"]),
        (lambda s: s.add(CS.Float("n", (0, 1), distribution=CS.Normal(0.5, 0.1))), ["'n'", "NormalFloat", "uniform"]),
        (lambda s: s.add(Integer("b", (0, 9), distribution=CS.Beta(2, 3))), ["'b'", "BetaInteger"]),
        (lambda s: s.add(GreaterThanCondition(s["momentum"], s["decay"], 0.2)), ["'momentum' depends on 'decay'"]),
        (lambda s: s.add(EqualsCondition(s["momentum"], s["decay"], 0.2)), ["'momentum' depends on 'decay'", "Float"]),
        (
            lambda s: s.add(
                OrConjunction(
                    EqualsCondition(s["momentum"], s["kind"], "sgd"), EqualsCondition(s["momentum"], s["flag"], True)
                )
            ),
            ["'momentum' exists under one condition or another", "give it one condition"],
        ),
    ],
)  # fmt: skip
def test_what_has_no_counterpart(change: Any, words: list[str]) -> None:
    given = space()
    change(given)
    with pytest.raises((InvalidValue, InvalidType)) as caught:
        warren.from_configspace(given)
    assert [word for word in words if word not in str(caught.value)] == []
    assert "\n" not in str(caught.value)


def test_what_is_no_configuration_space() -> None:
    with pytest.raises(InvalidType, match="from_configspace: space must be a ConfigurationSpace, but got"):
        warren.from_configspace({"lr": (0, 1)})


def test_without_configspace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ConfigSpace", None)
    with pytest.raises(MissingExtra, match="install ConfigSpace"):
        warren.from_configspace(None)
