from __future__ import annotations

import functools
import json
import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warren.errors import InvalidType, InvalidValue, UnknownName, WarrenError
from warren.space import Choice, Constraint, Float, Int, Less, Rule, Space, Sum, When
from warren.values import dump, load

FAST = settings(max_examples=60)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def repaired(dimensions: dict[str, Any], constraint: Constraint, values: dict[str, Any], *fixed: str) -> dict[str, Any]:
    return Space(dimensions, constraints=[constraint]).repaired(values, rng(), fixed=fixed)


# -- the repairs by hand --------------------------------------------------------------------------------------------

UNIT = Float(0.0, 1.0)


@pytest.mark.parametrize(
    ("dimensions", "at_most", "values", "fixed", "expected"),
    [
        # 0.9 + 0.6 = 1.5, of which 1 is 2/3: 0.6 and 0.4.
        ({"a": UNIT, "b": UNIT}, 1.0, {"a": 0.9, "b": 0.6}, (), {"a": 0.6, "b": 0.4}),
        ({"a": UNIT, "b": UNIT}, 1.0, {"a": 0.5, "b": 0.5}, (), {"a": 0.5, "b": 0.5}),
        # Above the lower bounds 0.2 and 0.3 are 0.6 and 0.6; 1 leaves 0.5 for both: a factor of 5/12, 0.25 each.
        ({"a": Float(0.2, 1), "b": Float(0.3, 1)}, 1.0, {"a": 0.8, "b": 0.9}, (), {"a": 0.45, "b": 0.55}),
        # b stays at 0.6, so a has 0.4.
        ({"a": UNIT, "b": UNIT}, 1.0, {"a": 0.9, "b": 0.6}, ("b",), {"a": 0.4, "b": 0.6}),
        # 5 + 9 = 14 to 10: factors of 10/14; 3.57 and 6.43 are rounded down.
        ({"a": Int(0, 9), "b": Int(0, 9)}, 10, {"a": 5, "b": 9}, (), {"a": 3, "b": 6}),
        # From -1 on: 2 and 2 above the bounds, -1 - 1 + 4f = 1 where f = 3/4.
        ({"a": Float(-1, 1), "b": Float(-1, 1)}, 1.0, {"a": 1.0, "b": 1.0}, (), {"a": 0.5, "b": 0.5}),
    ],
)
def test_a_sum_is_scaled_down(
    dimensions: dict[str, Any], at_most: float, values: dict[str, Any], fixed: tuple[str, ...], expected: dict[str, Any]
) -> None:
    found = repaired(dimensions, Sum(["a", "b"], at_most=at_most), values, *fixed)
    assert found == pytest.approx(expected, abs=1e-12)
    assert found["a"] + found["b"] <= at_most
    assert [type(value) for value in found.values()] == [type(value) for value in values.values()]


@pytest.mark.parametrize(
    ("smaller", "greater", "values", "fixed", "expected"),
    [
        (Int(0, 9), Int(0, 9), (7, 5), (), (4, 5)),  # whole numbers strictly: the smaller goes below
        (Int(0, 9), Int(0, 9), (5, 5), (), (4, 5)),
        (Int(0, 9), Int(0, 9), (4, 5), (), (4, 5)),
        (Int(3, 9), Int(0, 9), (7, 2), (), (3, 4)),  # its range ends at 3, so the greater goes above that
        (Int(0, 9), Int(0, 9), (7, 5), ("a",), (7, 8)),
        (UNIT, UNIT, (0.7, 0.5), (), (0.5, 0.5)),
        (Float(0.6, 1), UNIT, (0.7, 0.5), (), (0.6, 0.6)),
        (UNIT, UNIT, (0.7, 0.5), ("a",), (0.7, 0.7)),
        (Int(0, 9), Float(0, 9), (7, 5.5), (), (5, 5.5)),  # the next whole number that is not above 5.5
        (Float(0, 9), Int(0, 9), (7.5, 5), ("a",), (7.5, 8)),
        (Float(5.5, 9), Int(0, 9), (7.5, 5), (), (5.5, 6)),
    ],
)
def test_an_order_is_restored_at_the_border(
    smaller: Any, greater: Any, values: tuple[Any, Any], fixed: tuple[str, ...], expected: tuple[Any, Any]
) -> None:
    found = repaired({"a": smaller, "b": greater}, Less("a", "b"), dict(zip("ab", values, strict=True)), *fixed)
    assert (found["a"], found["b"]) == expected
    assert [type(value) for value in found.values()] == [type(value) for value in values]


def even(values: dict[str, Any]) -> bool:
    return bool((values["heads"] * values["size"]) % 4 == 0)


def next_even(values: dict[str, Any]) -> dict[str, Any]:
    return {"size": values["size"] // 4 * 4 or 4}


HEADS: dict[str, Any] = {"heads": Int(1, 8), "size": Int(1, 64), "other": UNIT}


def test_a_rule_of_ones_own() -> None:
    space = Space(HEADS, constraints=[Rule(["heads", "size"], holds=even, repair=next_even)])
    assert space.repaired({"heads": 3, "size": 7, "other": 0.5}, rng()) == {"heads": 3, "size": 4, "other": 0.5}
    assert space.repaired({"heads": 3, "size": 8, "other": 0.5}, rng()) == {"heads": 3, "size": 8, "other": 0.5}
    for seed in range(50):
        values = space.sample(rng(seed))
        assert values["heads"] * values["size"] % 4 == 0
    with pytest.raises(InvalidValue, match=r"x: heads=3, size=7 must keep even\(heads, size\)"):
        space.check({"heads": 3, "size": 7}, field="x")


# -- in a space -----------------------------------------------------------------------------------------------------


def test_draws_and_mutations_keep_constraints() -> None:
    space = Space({"a": UNIT, "b": UNIT, "c": UNIT}, constraints=[Sum(["a", "b", "c"], at_most=1.0)])
    generator = rng()
    values, on_border = space.sample(generator), 0
    for _ in range(300):
        values = space.mutate(values, lambda dimension, value: dimension.sample(generator), generator)
        total = values["a"] + values["b"] + values["c"]
        assert total <= 1.0
        on_border += total > 0.999999
    assert on_border > 200  # three uniform numbers sum to more than 1 with probability 5/6


def test_what_shapes_the_objects_is_not_repaired_at_a_mutation() -> None:
    space = Space({"layers": Int(0, 9, rebuild=True), "skip": Int(0, 9)}, constraints=[Less("layers", "skip")])
    assert space.mutate({"layers": 5, "skip": 7}, lambda dimension, value: 2, rng()) == {"layers": 5, "skip": 6}
    # Where the range has no room for a repair, the values stay as they were.
    tight = Space({"layers": Int(0, 9, rebuild=True), "skip": Int(0, 9)}, constraints=[Less("skip", "layers")])
    assert tight.mutate({"layers": 1, "skip": 0}, lambda dimension, value: 9, rng()) == {"layers": 1, "skip": 0}
    shut = Space(
        {"wide": Float(0, 1, rebuild=True), "a": Float(0.4, 1), "b": Choice((0, 1))},
        constraints=[Rule(["wide", "a"], holds=_fits, repair=_never)],
    )
    before = {"wide": 0.6, "a": 0.5, "b": 0}  # 0.6 + 1 > 1.5, and only `wide` would be repaired
    assert shut.mutate(before, lambda dimension, value: 1, rng()) == before


def _fits(values: dict[str, Any]) -> bool:
    return bool(values["wide"] + values["a"] <= 1.5)


def _never(values: dict[str, Any]) -> dict[str, Any]:
    return {"wide": 0.0}


def test_merged_values_keep_constraints_on_the_weights_shape() -> None:
    space = Space({"layers": Int(0, 9, rebuild=True), "skip": Int(0, 9)}, constraints=[Less("layers", "skip")])
    assert space.merged({"layers": 5, "skip": 7}, {"layers": 0, "skip": 1}, rng()) == {"layers": 5, "skip": 6}


def test_what_does_not_exist_breaks_nothing() -> None:
    space = Space(
        {"on": Choice((True, False)), "a": UNIT, "b": When("on", True, UNIT), "c": When("on", False, Float(2, 3))},
        constraints=[Sum(["a", "b"], at_most=1.0), Less("b", "a"), Less("c", "b")],
    )
    assert space.repaired({"on": False, "a": 0.9, "c": 2.5}, rng()) == {"on": False, "a": 0.9, "c": 2.5}
    assert space.check({"on": False, "a": 0.9}, field="x") == {"on": False, "a": 0.9}
    with pytest.raises(InvalidValue, match=r"x: a=0.2, b=0.7 must keep b < a|x: b=0.7, a=0.2 must keep b < a"):
        space.check({"on": True, "a": 0.2, "b": 0.7}, field="x")
    with pytest.raises(InvalidValue, match=r"a=0.8, b=0.7 must keep a \+ b <= 1.0"):
        space.check({"on": True, "a": 0.8, "b": 0.7}, field="x")


def test_a_repair_that_changes_what_others_depend_on() -> None:
    """Lowering `n` takes `extra` away, raising it would bring it."""
    space = Space(
        {"n": Int(0, 5), "limit": Int(1, 3), "extra": When("n", [4, 5], UNIT)}, constraints=[Less("n", "limit")]
    )
    assert space.repaired({"n": 5, "limit": 2, "extra": 0.5}, rng()) == {"n": 1, "limit": 2}


def test_values_that_are_given_in_part_are_checked_as_far_as_they_go() -> None:
    space = Space({"a": UNIT, "b": UNIT}, constraints=[Sum(["a", "b"], at_most=1.0)])
    assert space.check({"a": 0.9}, field="x") == {"a": 0.9}
    assert space.repaired({"a": 0.9, "b": 0.9}, rng(), fixed=["a"]) == pytest.approx({"a": 0.9, "b": 0.1})
    with pytest.raises(InvalidValue, match=r"a=0.9, b=0.9 cannot be repaired to keep a \+ b <= 1.0"):
        space.repaired({"a": 0.9, "b": 0.9}, rng(), fixed=["a", "b"])


def test_a_constraint_moves_no_draw_of_others() -> None:
    free = Space({"a": UNIT, "b": UNIT, "z": UNIT})
    bound = Space({"a": UNIT, "b": UNIT, "z": UNIT}, constraints=[Sum(["a", "b"], at_most=1.0)])
    assert [free.sample(rng(seed))["z"] for seed in range(9)] == [bound.sample(rng(seed))["z"] for seed in range(9)]


def test_constraints_are_kept_as_json() -> None:
    given = [Sum(["a", "b"], at_most=1.0), Less("a", "b"), Rule(["a"], holds=even, repair=next_even)]
    here = {"Sum": Sum, "Less": Less, "Rule": Rule, "even": even, "next_even": next_even}
    assert [load(json.loads(json.dumps(dump(one))), lambda module, name: here[name]) for one in given] == given


def test_a_space_says_what_it_is_with_its_constraints() -> None:
    space = Space({"a": UNIT, "b": UNIT}, constraints=[Less("a", "b")])
    assert repr(space).endswith("constraints=[Less(smaller='a', greater='b')])")
    assert space == Space({"a": UNIT, "b": UNIT}, constraints=[Less("a", "b")])
    assert space != Space({"a": UNIT, "b": UNIT})
    assert Space(space).constraints == space.constraints


# -- what cannot be -------------------------------------------------------------------------------------------------


def never(values: dict[str, Any]) -> bool:
    return False


def gives(answer: Any) -> Constraint:
    """A rule that nothing keeps, whose repair always gives the same."""
    return Rule(["a"], holds=never, repair=lambda values: answer)


DIGITS = Int(0, 9)


@pytest.mark.parametrize(
    ("dimensions", "constraints", "kind", "words"),
    [
        # 0.6 + 0.6 > 1
        (
            {"a": Float(0.6, 1), "b": Float(0.6, 1)},
            [Sum(["a", "b"], 1.0)],
            InvalidValue,
            ["no values keep a + b <= 1.0"],
        ),
        ({"a": Int(5, 9), "b": Int(0, 5)}, [Less("a", "b")], InvalidValue, ["no values keep a < b", "low=5"]),
        (
            {"on": Choice((True, False)), "a": Float(0.6, 1), "b": When("on", True, Float(0.6, 1))},
            [Sum(["a", "b"], 1.0)],
            InvalidValue,
            ["no values keep"],
        ),
        # Each can be kept alone.
        ({"a": DIGITS, "b": DIGITS}, [Less("a", "b"), Less("b", "a")], InvalidValue, ["100 draws", "a < b and b < a"]),
        ({"a": UNIT}, [gives({})], InvalidValue, ["100 draws"]),
        ({"a": UNIT}, [gives({"a": 2})], InvalidValue, ["never(a): repair returned a=2", "[0.0, 1.0]"]),
        ({"a": UNIT}, [gives(None)], InvalidType, ["must return a mapping", "None"]),
        ({"a": UNIT}, [gives({"b": 1})], UnknownName, ["repair returned 'b'"]),
        ({"a": UNIT}, [Less("a", "b")], UnknownName, ["'b'", "not in the space"]),
        ({"a": UNIT, "b": Choice((1, 2))}, [Less("a", "b")], InvalidType, ["'b'", "Choice", "write a Rule"]),
        ({"a": UNIT, "b": Choice((1, 2))}, [Sum(["a", "b"], 1)], InvalidType, ["'b'", "Choice"]),
        ({"a": UNIT}, [UNIT], InvalidType, ["Sum, Less and Rule"]),
        ({"a": UNIT}, Less("a", "b"), InvalidType, ["constraints must be a list"]),
    ],
)
def test_a_space_that_cannot_be(dimensions: Any, constraints: Any, kind: type[Exception], words: list[str]) -> None:
    with pytest.raises(kind) as caught:
        Space(dimensions, constraints=constraints)
    assert isinstance(caught.value, WarrenError)
    assert [word for word in words if word not in str(caught.value)] == []
    assert "\n" not in str(caught.value)


def test_a_space_with_constraints_is_not_nested() -> None:
    inner = Space({"a": UNIT, "b": UNIT}, constraints=[Less("a", "b")])
    with pytest.raises(InvalidValue, match=r"space\['inner'\] is a Space with constraints"):
        Space({"inner": inner})


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: Sum("ab", 1.0), InvalidType, "names must be a list"),
        (lambda: Sum(["a"], 1.0), InvalidValue, "at least 2 names"),
        (lambda: Sum(["a", "a"], 1.0), InvalidValue, "'a' stands twice"),
        (lambda: Sum(["a", 1], 1.0), InvalidType, "must be strings"),
        (lambda: Sum(["a", "b"], "1"), InvalidType, "at_most must be a number"),
        (lambda: Sum(["a", "b"], float("nan")), InvalidValue, "at_most must be finite"),
        (lambda: Less("a", "a"), InvalidValue, "'a' stands twice"),
        (lambda: Rule([], even, next_even), InvalidValue, "at least 1 names"),
        (lambda: Rule(["a"], True, next_even), InvalidType, "holds must be a function"),
        (lambda: Rule(["a"], even, None), InvalidType, "repair must be a function"),
    ],
)
def test_a_constraint_that_cannot_be(make: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        make()


# -- any values -----------------------------------------------------------------------------------------------------


@st.composite
def summed(draw: st.DrawFn) -> tuple[dict[str, Any], float]:
    """Numbers, and a bound that their lower ends keep."""
    dimensions: dict[str, Any] = {}
    for name in "abcd"[: draw(st.integers(2, 4))]:
        low, width = draw(st.integers(-5, 5)), draw(st.integers(0, 10))
        unit = draw(st.sampled_from([1e-3, 0.1, 1.0]))
        dimensions[name] = Int(low, low + width) if draw(st.booleans()) else Float(low * unit, (low + width) * unit)
    least = sum(one.low for one in dimensions.values())
    return dimensions, least + draw(st.floats(0.001, 10))


def in_range(dimensions: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    return all(
        one.low <= values[name] <= one.high and type(values[name]) is type(one.low) for name, one in dimensions.items()
    )


def added(values: dict[str, Any]) -> float:
    """One after the other: `sum` corrects the last digit from Python 3.12 on."""
    return functools.reduce(operator.add, values.values())


@FAST
@given(summed(), st.integers(0, 2**32))
def test_sums_are_kept_to_the_last_digit(given: tuple[dict[str, Any], float], seed: int) -> None:
    dimensions, at_most = given
    space, generator = Space(dimensions, constraints=[Sum(list(dimensions), at_most=at_most)]), rng(seed)
    for _ in range(5):
        values = {name: one.sample(generator) for name, one in dimensions.items()}
        found = space.repaired(values, generator)
        assert in_range(dimensions, found)
        assert added(found) <= at_most
        assert all(found[name] <= values[name] for name in values)
        assert space.repaired(found, generator) == found
        if added({name: values[name] for name in dimensions}) <= at_most:
            assert found == values
        elif all(isinstance(one, Float) for one in dimensions.values()):
            assert sum(found.values()) == pytest.approx(at_most, abs=1e-9)


@FAST
@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, 9), st.booleans(), st.booleans(), st.integers(0, 2**32))
def test_orders_are_kept(low: int, width: int, gap: int, one: bool, two: bool, seed: int) -> None:
    dimensions: dict[str, Any] = {
        "a": Int(low, low + width) if one else Float(low, low + width),
        "b": Int(low, low + gap) if two else Float(low, low + gap),
    }
    space, generator = Space(dimensions, constraints=[Less("a", "b")]), rng(seed)
    for _ in range(5):
        values = {name: dimension.sample(generator) for name, dimension in dimensions.items()}
        found = space.repaired(values, generator)
        assert in_range(dimensions, found)
        assert found["a"] < found["b"] if one and two else found["a"] <= found["b"]
        assert space.repaired(found, generator) == found
        moved = space.mutate(found, lambda dimension, value: dimension.sample(generator), generator)
        assert in_range(dimensions, moved)
        assert moved["a"] < moved["b"] if one and two else moved["a"] <= moved["b"]
