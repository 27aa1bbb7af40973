"""Ray Tune's spaces: of its own classes where it is installed, of stand-ins for them where it is not."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

import pytest
from tests.integrations import ray_sample

import warren
from warren.errors import InvalidType, InvalidValue, MissingExtra
from warren.space import Choice, Dimension, Float, Int

WHERE = "ray.tune.search.sample"


@pytest.fixture
def tune(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if importlib.util.find_spec("ray") is not None:
        return importlib.import_module(WHERE)
    for place in range(1, WHERE.count(".") + 1):
        name = ".".join(WHERE.split(".")[:place])
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, WHERE, ray_sample)
    return ray_sample


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda tune: tune.uniform(0.0, 0.5), Float(0.0, 0.5)),
        (lambda tune: tune.loguniform(1e-5, 1e-1), Float(1e-5, 1e-1, scale="log")),
        (lambda tune: tune.quniform(0.25, 1.0, 0.25), Choice((0.25, 0.5, 0.75, 1.0), ordered=True)),
        (lambda tune: tune.quniform(0.1, 0.3, 0.1), Choice((0.1, 0.2, 3 * 0.1), ordered=True)),  # as Ray's sums
        (lambda tune: tune.randint(1, 9), Int(1, 8)),  # Ray leaves the upper bound out
        (lambda tune: tune.lograndint(1, 100), Int(1, 99, scale="log")),
        (lambda tune: tune.qrandint(4, 12, 4), Choice((4, 8, 12), ordered=True)),  # here it does not
        (lambda tune: tune.qrandint(3, 14, 4), Choice((4, 8, 12), ordered=True)),  # multiples of the step
        (lambda tune: tune.qrandint(1, 9, 1), Int(1, 8)),  # with a step of 1 it does
        (lambda tune: tune.qlograndint(1, 9, 1), Int(1, 8, scale="log")),
        (lambda tune: tune.choice(["relu", None, True]), Choice(("relu", None, True))),
        (lambda tune: 10, Choice((10,))),
        (lambda tune: "adam", Choice(("adam",))),
    ],
)
def test_each_kind_has_its_counterpart(tune: Any, make: Any, expected: Dimension) -> None:
    assert dict(warren.from_ray({"x": make(tune)})) == {"x": expected}


def test_nesting_is_kept(tune: Any) -> None:
    space = warren.from_ray({"lr": tune.loguniform(1e-4, 1.0), "net": {"width": tune.choice([8, 16]), "depth": 2}})
    assert list(space) == ["lr", "net.width", "net.depth"]


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda tune: tune.randn(), InvalidValue, ["'net.x'", "normal distribution", "no bounds", "tune.uniform"]),
        (lambda tune: tune.qrandn(0, 1, 0.1), InvalidValue, ["normal distribution"]),
        (lambda tune: {"grid_search": [1, 2]}, InvalidValue, ["'net.x' is a grid search", "tune.choice"]),
        (lambda tune: tune.sample_from(print), InvalidValue, ["'net.x' is sampled by a function"]),
        (lambda tune: tune.qloguniform(0.1, 1.0, 0.1), InvalidValue, ["steps of 0.1 on a log scale", "without q"]),
        (lambda tune: tune.qrandint(5, 7, 4), InvalidValue, ["0 values in steps of 4"]),
        (lambda tune: tune.qlograndint(2, 64, 2), InvalidValue, ["steps of 2 on a log scale"]),
        (lambda tune: tune.quniform(0.0, 100.0, 0.01), InvalidValue, ["10001 values", "leave the step out"]),
        (lambda tune: tune.choice([[1], [2]]), InvalidType, ["from_ray: 'net.x'", "[1]"]),
        (lambda tune: [1, 2], InvalidType, ["from_ray: 'net.x'", "[1, 2]"]),
    ],
)
def test_what_has_no_counterpart(tune: Any, make: Any, kind: type[Exception], words: list[str]) -> None:
    with pytest.raises(kind) as caught:
        warren.from_ray({"net": {"x": make(tune)}})
    assert [word for word in words if word not in str(caught.value)] == []
    assert "\n" not in str(caught.value)


def test_what_is_no_parameter_space(tune: Any) -> None:
    with pytest.raises(InvalidType, match="from_ray: param_space must be a mapping"):
        warren.from_ray([1])  # type: ignore[arg-type]


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, WHERE, None)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"from_ray reads the classes of ray, .* install ray"):
        warren.from_ray({})
