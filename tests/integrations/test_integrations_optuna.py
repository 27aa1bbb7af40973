from __future__ import annotations

import sys
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

import warren
from warren.errors import InvalidType, InvalidValue, MissingExtra
from warren.space import Choice, Dimension, Float, Int, Space


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (FloatDistribution(0.0, 0.5), Float(0.0, 0.5)),
        (FloatDistribution(1e-5, 1e-1, log=True), Float(1e-5, 1e-1, scale="log")),
        (FloatDistribution(0.0, 1.0, step=0.25), Choice((0.0, 0.25, 0.5, 0.75, 1.0), ordered=True)),
        (FloatDistribution(0.5, 1.5, step=0.5), Choice((0.5, 1.0, 1.5), ordered=True)),
        (IntDistribution(1, 8), Int(1, 8)),
        (IntDistribution(1, 1024, log=True), Int(1, 1024, scale="log")),
        (IntDistribution(16, 64, step=16), Choice((16, 32, 48, 64), ordered=True)),
        (CategoricalDistribution(["relu", None, True, 2]), Choice(("relu", None, True, 2))),
    ],
)
def test_each_kind_has_its_counterpart(given: Any, expected: Dimension) -> None:
    space = warren.from_optuna({"x": given})
    assert isinstance(space, Space)
    assert space["x"] == expected
    if isinstance(expected, Choice):
        assert [type(value) for value in space["x"].values] == [type(value) for value in expected.values]  # type: ignore[attr-defined]


def test_a_bound_that_is_no_multiple_of_the_step_is_left_out() -> None:
    with pytest.warns(UserWarning, match="not divisible"):  # Optuna's own
        given = FloatDistribution(0.0, 1.0, step=0.4)
    assert warren.from_optuna({"x": given})["x"].values == pytest.approx((0.0, 0.4, 0.8))  # type: ignore[attr-defined]


def test_what_is_drawn_is_in_the_distribution() -> None:
    """By Optuna's own rule, also for what an objective suggested."""

    def objective(trial: Any) -> float:
        trial.suggest_float("lr", 1e-5, 1e-1, log=True)
        trial.suggest_float("dropout", 0.0, 0.9, step=0.1)
        trial.suggest_int("layers", 1, 9, step=2)
        trial.suggest_categorical("act", ["relu", "tanh"])
        return 0.0

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=30)
    distributions = study.best_trial.distributions
    space = warren.from_optuna(distributions)
    for trial in study.trials:
        assert space.check(trial.params, field="x") == trial.params
    for seed in range(50):
        for name, value in space.sample(np.random.default_rng(seed)).items():
            assert distributions[name]._contains(distributions[name].to_internal_repr(value))


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"x": FloatDistribution(0.0, 1.0, step=0.0001)}, InvalidValue, ["'x'", "10001 values", "leave the step out"]),
        ({"x": CategoricalDistribution([1, 1.0])}, InvalidValue, ["from_optuna: 'x'", "twice"]),
        ({"x": (0.0, 1.0)}, InvalidType, ["from_optuna: 'x' is (0.0, 1.0)", "FloatDistribution"]),
        ([FloatDistribution(0.0, 1.0)], InvalidType, ["from_optuna: distributions must be a mapping"]),
    ],
)
def test_what_has_no_counterpart(given: Any, kind: type[Exception], words: list[str]) -> None:
    with pytest.raises(kind) as caught:
        warren.from_optuna(given)
    assert [word for word in words if word not in str(caught.value)] == []
    assert "\n" not in str(caught.value)


def test_without_optuna(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna.distributions", None)
    with pytest.raises(MissingExtra, match=r"from_optuna reads the classes of optuna, .* install optuna"):
        warren.from_optuna({})
