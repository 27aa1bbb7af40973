from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warren.errors import InvalidType, InvalidValue, UnknownName, WarrenError
from warren.space import Choice, Float, Int, Space
from warren.space.space import flatten

NESTED: dict[str, Any] = {
    "optimizer": {"lr": Float(1e-4, 1.0, scale="log"), "betas": {"one": Float(0.5, 0.999, scale="one_minus")}},
    "layers": Int(1, 4, rebuild=True),
    "act": Choice(("relu", "tanh")),
}


def test_nested_names_have_dots() -> None:
    space = Space(NESTED)
    assert list(space) == ["optimizer.lr", "optimizer.betas.one", "layers", "act"]
    assert len(space) == 4
    assert space["optimizer.lr"] == Float(1e-4, 1.0, scale="log")
    assert "optimizer" not in space
    assert space.rebuild == {"layers"}


def test_nesting_and_dots_are_the_same() -> None:
    assert dict(Space({"a": {"b": Int(0, 1)}})) == dict(Space({"a.b": Int(0, 1)}))


def test_draws_do_not_depend_on_the_order_of_writing() -> None:
    turned = dict(reversed(list(NESTED.items())))
    one = Space(NESTED).sample(np.random.default_rng(3))
    two = Space(turned).sample(np.random.default_rng(3))
    assert one == two
    assert list(one) == list(Space(NESTED))
    assert list(two) == list(Space(turned))


def test_mutation_leaves_what_shapes_the_objects() -> None:
    space = Space(NESTED)
    values = space.sample(np.random.default_rng(0))
    asked: list[str] = []

    def move(dimension: Any, value: Any) -> str:
        asked.append(next(name for name in space if space[name] is dimension))
        return "moved"

    moved = space.mutate(values, move, np.random.default_rng(0))
    assert moved == {**dict.fromkeys(space, "moved"), "layers": values["layers"]}
    assert list(moved) == list(space)
    assert asked == ["act", "optimizer.betas.one", "optimizer.lr"]  # by name
    assert values == space.sample(np.random.default_rng(0))  # and the old ones are left alone


names = st.text("abc", min_size=1, max_size=2)


@settings(max_examples=50)
@given(st.recursive(st.just(0.5), lambda inside: st.dictionaries(names, inside, min_size=1, max_size=3), max_leaves=8))
def test_nested_values_are_checked_as_flat_ones(tree: Any) -> None:
    if not isinstance(tree, dict):
        tree = {"a": tree}

    def of(part: Any) -> Any:
        return {name: of(inside) for name, inside in part.items()} if isinstance(part, dict) else Float(0, 1)

    space = Space(of(tree))
    flat = flatten(tree)
    assert set(flat) == set(space)
    assert space.check(tree, field="x") == space.check(flat, field="x") == flat
    assert list(space.check(tree, field="x")) == list(space)


def test_a_part_may_be_given() -> None:
    space = Space(NESTED)
    assert space.check({"layers": 2.0, "optimizer": {"lr": 1}}, field="x") == {"optimizer.lr": 1.0, "layers": 2}
    assert space.check({}, field="x") == {}


def test_values_of_numpy_are_taken_for_those_of_python() -> None:
    """As configurations of other libraries have them."""
    space = Space({"on": Choice((True, False)), "n": Int(1, 4), "x": Float(0, 1), "s": Choice(("a", "b"))})
    given = {"on": np.True_, "n": np.int64(2), "x": np.float64(0.5), "s": np.str_("a")}
    found = space.check(given, field="x")
    assert found == {"on": True, "n": 2, "x": 0.5, "s": "a"}
    assert [type(value) for value in found.values()] == [bool, int, float, str]


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        ({"lr": 0.1}, UnknownName, ["initial[2]", "'lr'", "optimizer.lr, optimizer.betas.one, layers, act"]),
        ({"optimizer": {"lrs": 0.1}}, UnknownName, ["'optimizer.lrs'"]),
        ({"optimizer": 0.1}, UnknownName, ["'optimizer'"]),
        ({"layers": 9}, InvalidValue, ["initial[2]: layers=9", "[1, 4]"]),
        ({"layers": "two"}, InvalidType, ["initial[2]: layers", "'two'"]),
        ({"act": "gelu"}, InvalidValue, ["act='gelu'", "'relu', 'tanh'"]),
        ([("layers", 2)], InvalidType, ["initial[2]", "mapping"]),
        ({"layers": {}, "act": None}, InvalidValue, ["act=None"]),
    ],
)
def test_values_that_are_not_legal(values: Any, kind: type[Exception], words: list[str]) -> None:
    with pytest.raises(kind) as caught:
        Space(NESTED).check(values, field="initial[2]")
    assert isinstance(caught.value, WarrenError)
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("dimensions", "kind", "words"),
    [
        ({}, InvalidValue, ["empty"]),
        ({"a": {}}, InvalidValue, ["empty"]),
        ({"lr": 0.1}, InvalidType, ["space['lr']", "0.1", "training function"]),
        ({"a": {"b": [1, 2]}}, InvalidType, ["space['a.b']", "[1, 2]"]),
        ([Float(0, 1)], InvalidType, ["space must be"]),
        ({1: Float(0, 1)}, InvalidType, ["names must be strings", "1"]),
        ({"": Float(0, 1)}, InvalidValue, ["name must not be empty"]),
        ({"a.b": Float(0, 1), "a": {"b": Float(0, 1)}}, InvalidValue, ["'a.b'", "twice"]),
        ({"a": Float(0, 1), "a.b": Float(0, 1)}, InvalidValue, ["'a'", "'a.b'"]),
    ],
)
def test_a_space_that_cannot_be(dimensions: Any, kind: type[Exception], words: list[str]) -> None:
    with pytest.raises(kind) as caught:
        Space(dimensions)
    assert isinstance(caught.value, WarrenError)
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(UnknownName, match=r"'lr'.*optimizer\.lr"):
        Space(NESTED)["lr"]
    with pytest.raises(KeyError):
        Space(NESTED)["lr"]


def test_it_says_what_it_is() -> None:
    assert repr(Space({"a": Int(0, 1)})) == "Space({'a': Int(low=0, high=1, scale='linear', rebuild=False)})"
