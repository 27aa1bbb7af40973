from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warren.errors import InvalidType, InvalidValue, UnknownName, WarrenError
from warren.space import Choice, Dimension, Float, Int, Space, When
from warren.values import dump

FAST = settings(max_examples=60)

OPTIMIZERS: dict[str, Any] = {
    "optimizer": Choice(("sgd", "adam", "lion")),
    "lr": Float(1e-4, 1.0, scale="log"),
    "sgd": When("optimizer", "sgd", {"momentum": Float(0.5, 0.99), "nesterov": Choice((True, False))}),
    "beta2": When("optimizer", ["adam", "lion"], Float(0.9, 0.999, scale="one_minus")),
    "start": When("sgd.nesterov", True, Int(1, 5)),
}
"""`start` needs `sgd.nesterov`, which needs `optimizer`."""


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def draws(space: Space, count: int = 60) -> list[dict[str, Any]]:
    return [space.sample(rng(seed)) for seed in range(count)]


# -- what it is -----------------------------------------------------------------------------------------------------


def test_a_condition_may_be_around_a_group() -> None:
    space = Space(OPTIMIZERS)
    assert list(space) == ["optimizer", "lr", "sgd.momentum", "sgd.nesterov", "beta2", "start"]
    assert space["sgd.momentum"] == Float(0.5, 0.99)
    assert space.conditions == {
        "sgd.momentum": {"optimizer": ("sgd",)},
        "sgd.nesterov": {"optimizer": ("sgd",)},
        "beta2": {"optimizer": ("adam", "lion")},
        "start": {"sgd.nesterov": (True,)},
    }


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"optimizer": "adam"}, {"optimizer", "lr", "beta2"}),
        ({"optimizer": "sgd", "sgd.nesterov": False}, {"optimizer", "lr", "sgd.momentum", "sgd.nesterov"}),
        ({"optimizer": "sgd", "sgd.nesterov": True}, {"optimizer", "lr", "sgd.momentum", "sgd.nesterov", "start"}),
        # What is left over of another optimizer does not count.
        ({"optimizer": "lion", "sgd.nesterov": True}, {"optimizer", "lr", "beta2"}),
    ],
)
def test_what_exists_follows_from_the_values(values: dict[str, Any], names: set[str]) -> None:
    found = Space(OPTIMIZERS).active(values)
    assert set(found) == names
    assert list(found) == [name for name in Space(OPTIMIZERS) if name in names]


def test_two_conditions_must_both_be_met() -> None:
    space = Space(
        {"a": Choice((1, 2)), "b": Int(1, 4), "c": When("a", 1, When("b", [3, 4], When("b", (4, 1), Float(0, 1))))}
    )
    assert space.conditions == {"c": {"a": (1,), "b": (4,)}}
    assert "c" in space.active({"a": 1, "b": 4})
    assert "c" not in space.active({"a": 2, "b": 4})
    assert "c" not in space.active({"a": 1, "b": 3})


def test_true_is_not_one() -> None:
    space = Space({"a": Choice((1, True)), "b": When("a", True, Float(0, 1))})
    assert "b" in space.active({"a": True})
    assert "b" not in space.active({"a": 1})


def test_a_space_is_made_again_of_what_it_declares() -> None:
    space = Space(OPTIMIZERS)
    assert space.declared["start"] == When("sgd.nesterov", (True,), Int(1, 5))
    for again in (Space(space.declared), Space(space)):
        assert again == space
        assert list(again) == list(space)
        assert again.sample(rng(3)) == space.sample(rng(3))
    plain = Space({name: space[name] for name in space})
    assert plain != space
    assert "When(name='optimizer'" in repr(space)


def test_it_is_kept_as_json() -> None:
    record = json.loads(json.dumps(dump(Space(OPTIMIZERS).declared["beta2"])))
    assert record["$"] == "warren.space.condition:When"
    assert record["name"] == "optimizer"
    assert record["values"] == ["adam", "lion"]
    assert record["inside"]["$"] == "warren.space.dimension:Float"


# -- draws ----------------------------------------------------------------------------------------------------------


def test_a_draw_has_what_exists_and_nothing_else() -> None:
    found = draws(Space(OPTIMIZERS))
    for values in found:
        sgd, adaptive = values["optimizer"] == "sgd", values["optimizer"] in ("adam", "lion")
        assert ("sgd.momentum" in values, "sgd.nesterov" in values, "beta2" in values) == (sgd, sgd, adaptive)
        assert ("start" in values) == (sgd and values["sgd.nesterov"])
    assert {values["optimizer"] for values in found} == {"sgd", "adam", "lion"}


def test_a_condition_moves_no_other_draw() -> None:
    """What a member has it would have drawn without conditions, too."""
    plain = Space({name: Space(OPTIMIZERS)[name] for name in Space(OPTIMIZERS)})
    for seed, values in enumerate(draws(Space(OPTIMIZERS))):
        free = plain.sample(rng(seed))
        assert values == {name: free[name] for name in values}


# -- mutations ------------------------------------------------------------------------------------------------------


def turned(to: str) -> Any:
    """A move that sets the optimizer and leaves all else."""
    return lambda dimension, value: to if isinstance(dimension, Choice) and "adam" in dimension.values else value


def test_what_no_longer_exists_is_left_out() -> None:
    values = {"optimizer": "sgd", "lr": 0.1, "sgd.momentum": 0.9, "sgd.nesterov": True, "start": 2}
    moved = Space(OPTIMIZERS).mutate(values, turned("adam"), rng())
    assert set(moved) == {"optimizer", "lr", "beta2"}
    assert (moved["optimizer"], moved["lr"]) == ("adam", 0.1)


def test_what_newly_exists_is_drawn_from_its_prior() -> None:
    space = Space(OPTIMIZERS)
    values = {"optimizer": "adam", "lr": 0.1, "beta2": 0.99}
    found = [space.mutate(values, turned("sgd"), rng(seed)) for seed in range(200)]
    momenta = [moved["sgd.momentum"] for moved in found]
    assert min(momenta) < 0.55 and max(momenta) > 0.94  # uniform in [0.5, 0.99]: each fails with (9/10)^200
    assert {moved["sgd.nesterov"] for moved in found} == {True, False}
    assert all(("start" in moved) == moved["sgd.nesterov"] for moved in found)
    assert all("beta2" not in moved for moved in found)
    kept = [space.mutate(values, turned("lion"), rng(seed)) for seed in range(20)]
    assert all(moved == {**values, "optimizer": "lion"} for moved in kept)


def test_only_what_exists_is_moved() -> None:
    asked: list[Dimension] = []

    def move(dimension: Dimension, value: Any) -> Any:
        asked.append(dimension)
        return value

    space = Space(OPTIMIZERS)
    space.mutate({"optimizer": "adam", "lr": 0.1, "beta2": 0.99}, move, rng())
    assert asked == [space["beta2"], space["lr"], space["optimizer"]]


# -- two members' values together -----------------------------------------------------------------------------------

SHAPED: dict[str, Any] = {
    "layers": Int(1, 3, rebuild=True),
    "width": When("layers", [2, 3], Int(4, 64, rebuild=True)),
    "dropout": When("layers", [2, 3], Float(0.0, 0.9)),
    "optimizer": Choice(("sgd", "adam")),
    "momentum": When("optimizer", "sgd", Float(0.5, 0.99)),
}


def test_weights_bring_their_shape_and_what_it_needs() -> None:
    space = Space(SHAPED)
    deep = {"layers": 2, "width": 8, "dropout": 0.5, "optimizer": "adam"}
    flat = {"layers": 1, "optimizer": "sgd", "momentum": 0.9}
    assert space.merged(deep, flat, rng()) == {
        "layers": 2, "width": 8, "dropout": 0.5, "optimizer": "sgd", "momentum": 0.9,
    }  # fmt: skip
    assert space.merged(flat, deep, rng()) == {"layers": 1, "optimizer": "adam"}


def test_what_neither_has_is_drawn() -> None:
    space = Space(
        {
            "layers": Choice((1, 2), rebuild=True),
            "optimizer": Choice(("sgd", "adam")),
            "both": When("layers", 2, When("optimizer", "sgd", Float(0.25, 0.5))),
        }
    )
    one, two = {"layers": 2, "optimizer": "adam"}, {"layers": 1, "optimizer": "sgd"}
    merged = space.merged(one, two, rng())
    assert {name: merged[name] for name in ("layers", "optimizer")} == {"layers": 2, "optimizer": "sgd"}
    assert 0.25 <= merged["both"] <= 0.5


# -- what users give ------------------------------------------------------------------------------------------------


def test_values_that_exist_together_are_legal() -> None:
    space = Space(OPTIMIZERS)
    assert space.check({"sgd": {"momentum": 0.9}, "optimizer": "sgd"}, field="x") == {
        "optimizer": "sgd", "sgd.momentum": 0.9,
    }  # fmt: skip
    assert space.check({"lr": 0.1}, field="x") == {"lr": 0.1}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"beta2": 0.95}, ["'beta2' exists only with optimizer='adam' or 'lion', and 'optimizer' is not given"]),
        (
            {"optimizer": "adam", "sgd": {"momentum": 0.9}},
            ["'sgd.momentum' exists only with optimizer='sgd', and optimizer is 'adam'"],
        ),
        (
            {"optimizer": "adam", "start": 2},
            [
                "'start' exists only with sgd.nesterov=True",
                "and 'sgd.nesterov' exists only with optimizer='sgd', and optimizer is 'adam'",
            ],
        ),
    ],
)
def test_values_that_do_not_exist_together(values: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InvalidValue) as caught:
        Space(OPTIMIZERS).check(values, field="initial[0]")
    assert str(caught.value).startswith("initial[0]: ")
    assert [word for word in words if word not in str(caught.value)] == []
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("dimensions", "kind", "words"),
    [
        ({"a": When("b", 1, Float(0, 1))}, UnknownName, ["'a' depends on 'b'", "not in the space"]),
        ({"a": When("b", 1, Float(0, 1)), "b": Float(0, 1)}, InvalidType, ["'b'", "Float", "Choice or an Int"]),
        ({"a": When("b", 3, Float(0, 1)), "b": Int(0, 2)}, InvalidValue, ["'a' depends on b=3", "[0, 2]"]),
        ({"a": When("b", ["x", "z"], Float(0, 1)), "b": Choice(("x", "y"))}, InvalidValue, ["b='z'", "'x', 'y'"]),
        ({"a": When("a", 1, Int(0, 1))}, InvalidValue, ["circle", "'a' -> 'a'"]),
        (
            {"a": When("b", 1, Int(0, 1)), "b": When("c", 1, Int(0, 1)), "c": When("a", 1, Int(0, 1))},
            InvalidValue,
            ["circle", "'a' -> 'b' -> 'c' -> 'a'", "take one When out"],
        ),
        (
            {"a": When("b", 1, Int(0, 1, rebuild=True)), "b": Int(0, 1)},
            InvalidValue,
            ["'a'", "rebuild=True", "'b' with rebuild=True too"],
        ),
        ({"a": When("b", 1, When("b", 2, Float(0, 1))), "b": Int(1, 2)}, InvalidValue, ["'a' can never exist", "'b'"]),
        ({"a": When("b", 1, 0.5), "b": Int(1, 2)}, InvalidType, ["space['a']", "0.5"]),
    ],
)
def test_a_space_that_cannot_be(dimensions: Any, kind: type[Exception], words: list[str]) -> None:
    with pytest.raises(kind) as caught:
        Space(dimensions)
    assert isinstance(caught.value, WarrenError)
    assert [word for word in words if word not in str(caught.value)] == []
    assert "\n" not in str(caught.value)


def test_a_condition_without_values() -> None:
    with pytest.raises(InvalidValue, match=r"When\('a'\): values must not be empty"):
        When("a", [], Float(0, 1))  # type: ignore[arg-type]
    with pytest.raises(InvalidType, match="name must be the name of a hyperparameter"):
        When(1, 2, Float(0, 1))  # type: ignore[arg-type]


# -- any space ------------------------------------------------------------------------------------------------------


@st.composite
def conditioned(draw: st.DrawFn) -> dict[str, Any]:
    """Declarations in which each hyperparameter may depend on one that was declared before it."""
    found: dict[str, Any] = {}
    shaping: dict[str, bool] = {}
    for place in range(draw(st.integers(2, 8))):
        name = draw(st.permutations("abcdefgh"))[0] + str(place)
        rebuild = draw(st.booleans())
        kinds: list[Any] = [
            Choice(tuple("xyz"[: draw(st.integers(1, 3))]), rebuild=rebuild),
            Int(0, draw(st.integers(0, 3)), rebuild=rebuild),
            Float(0.0, 1.0, rebuild=rebuild),
        ]
        parents = [
            known
            for known, inside in found.items()
            if not isinstance(innermost(inside), Float) and (shaping[known] or not rebuild)
        ]
        inside = draw(st.sampled_from(kinds))
        if parents and draw(st.booleans()):
            parent = draw(st.sampled_from(parents))
            other = innermost(found[parent])
            legal = other.values if isinstance(other, Choice) else range(other.low, other.high + 1)
            inside = When(parent, draw(st.lists(st.sampled_from(list(legal)), min_size=1)), inside)
        found[name], shaping[name] = inside, rebuild
    return found


def innermost(declared: Any) -> Any:
    return innermost(declared.inside) if isinstance(declared, When) else declared


def complete(declared: dict[str, Any], values: dict[str, Any]) -> bool:
    """Whether values are exactly those that exist, each legal, without asking the space."""
    for name, one in declared.items():
        wanted = one.name in values and values[one.name] in one.values if isinstance(one, When) else True
        inside = innermost(one)
        if wanted != (name in values):
            return False
        if wanted and isinstance(inside, Choice) and values[name] not in inside.values:
            return False
        if wanted and not isinstance(inside, Choice) and not inside.low <= values[name] <= inside.high:
            return False
    return set(values) <= set(declared)


def anywhere(generator: np.random.Generator) -> Any:
    """A move that draws again."""
    return lambda dimension, value: dimension.sample(generator)


@FAST
@given(conditioned(), st.integers(0, 2**32))
def test_every_draw_and_mutation_is_complete_and_legal(declared: dict[str, Any], seed: int) -> None:
    space, generator = Space(declared), rng(seed)
    values = space.sample(generator)
    assert complete(declared, values)
    for _ in range(20):
        moved = space.mutate(values, anywhere(generator), generator)
        assert complete(declared, moved)
        assert {name: moved.get(name) for name in space.rebuild} == {name: values.get(name) for name in space.rebuild}
        assert space.check(moved, field="x") == moved
        assert list(moved) == list(space.active(moved))
        values = moved


@FAST
@given(conditioned(), st.integers(0, 2**32))
def test_a_repair_is_legal_and_repairs_once(declared: dict[str, Any], seed: int) -> None:
    """Values of all hyperparameters, whatever exists: some go, what stays keeps its value; again nothing happens."""
    space, generator = Space(declared), rng(seed)
    loose = {name: space[name].sample(generator) for name in space if generator.random() < 0.7}
    found = space.repaired(loose, generator)
    assert complete(declared, found)
    assert {name: value for name, value in found.items() if name in loose}.items() <= loose.items()
    before = generator.bit_generator.state
    assert space.repaired(found, generator) == found
    assert generator.bit_generator.state == before


@FAST
@given(conditioned(), st.integers(0, 2**32))
def test_draws_go_by_name(declared: dict[str, Any], seed: int) -> None:
    """Neither the order of writing nor conditions change what is drawn for a name."""
    turned_round = dict(reversed(list(declared.items())))
    values = Space(declared).sample(rng(seed))
    assert Space(turned_round).sample(rng(seed)) == values
    free = Space({name: innermost(one) for name, one in declared.items()}).sample(rng(seed))
    assert values.items() <= free.items()


@FAST
@given(conditioned(), st.integers(0, 2**32))
def test_merged_values_are_complete_and_shaped_as_the_weights(declared: dict[str, Any], seed: int) -> None:
    space, generator = Space(declared), rng(seed)
    one, two = space.sample(generator), space.sample(generator)
    merged = space.merged(one, two, generator)
    assert complete(declared, merged)
    assert {name: merged.get(name) for name in space.rebuild} == {name: one.get(name) for name in space.rebuild}
    roots = [name for name in space if not isinstance(declared[name], When) and name not in space.rebuild]
    assert all(merged[name] == two[name] for name in roots)
