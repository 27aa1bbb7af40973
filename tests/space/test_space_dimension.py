from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from warren.errors import InvalidType, InvalidValue, WarrenError
from warren.space import Choice, Dimension, Float, Int
from warren.space.dimension import reflect

FAST = settings(max_examples=80)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


class Fixed(np.random.Generator):
    """Gives the normal deviate that it is told."""

    def __init__(self, normal: float) -> None:
        super().__init__(np.random.PCG64(0))
        self._normal = normal

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        return loc + scale * self._normal


# -- what there is to draw ----------------------------------------------------------------------------------------

reals = st.floats(-1e6, 1e6, allow_nan=False)


@st.composite
def floats(draw: st.DrawFn) -> Float:
    scale = draw(st.sampled_from(["linear", "log", "one_minus"]))
    if scale == "linear":
        low, high = sorted((draw(reals), draw(reals)))
    elif scale == "log":
        low, high = sorted(10.0 ** draw(st.floats(-9, 9)) for _ in range(2))
    else:
        low, high = sorted(1.0 - 10.0 ** draw(st.floats(-9, 3)) for _ in range(2))
    return Float(low, high, scale=scale)


@st.composite
def ints(draw: st.DrawFn) -> Int:
    scale = draw(st.sampled_from(["linear", "log"]))
    least = 1 if scale == "log" else -1000
    low, high = sorted((draw(st.integers(least, 1000)), draw(st.integers(least, 1000))))
    return Int(low, high, scale=scale)


scalars = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([0.5, 2.25]), st.text(max_size=3))
choices = st.builds(
    Choice,
    st.lists(scalars, min_size=1, max_size=6, unique_by=lambda value: (isinstance(value, bool), value)),
    ordered=st.booleans(),
)
dimensions: st.SearchStrategy[Dimension] = st.one_of(floats(), ints(), choices)
factors = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=3)


def legal(dimension: Dimension, value: Any) -> bool:
    """Inside and of the declared type, without asking the dimension's own check."""
    if isinstance(dimension, Float):
        return type(value) is float and dimension.low <= value <= dimension.high
    if isinstance(dimension, Int):
        return type(value) is int and dimension.low <= value <= dimension.high
    assert isinstance(dimension, Choice)
    return any(type(value) is type(known) and value == known for known in dimension.values)


@FAST
@given(dimensions, factors, st.floats(1e-3, 1e3), st.floats(0, 1), st.integers(0, 2**32))
def test_all_draws_and_moves_are_legal(
    dimension: Dimension, by: list[float], deviation: float, redraw: float, seed: int
) -> None:
    draws = rng(seed)
    value = dimension.sample(draws)
    for _ in range(30):
        assert legal(dimension, value)
        assert type(dimension.check(value, "x")) is type(value)
        moved = dimension.perturb(value, draws, factors=by, redraw=redraw)
        assert legal(dimension, moved)
        value = dimension.shift(moved, draws, deviation=deviation, redraw=redraw)


@pytest.mark.parametrize(
    "dimension",
    [
        Float(1e-5, 1.0, scale="log"), Float(0.5, 0.999, scale="one_minus"), Float(-1, 1), Float(0, 0),
        Int(1, 1000, scale="log"), Int(-3, 3), Int(2, 2), Int(0, 1), Choice((1, 2, 3), ordered=True), Choice(("a",)),
    ],
    ids=repr,
)  # fmt: skip
def test_ten_thousand_moves_stay_legal(dimension: Dimension) -> None:
    draws = rng()
    value = dimension.sample(draws)
    for step in range(10_000):
        if step % 2:
            value = dimension.perturb(value, draws, factors=(0.8, 1.2), redraw=0.25)
        else:
            value = dimension.shift(value, draws, deviation=0.1, redraw=0.25)
        assert legal(dimension, value)


@pytest.mark.parametrize("normal", [-1e6, 1e6])
@pytest.mark.parametrize(
    "dimension",
    [
        Float(1e-5, 1.0, scale="log"),
        Float(0.5, 0.999, scale="one_minus"),
        Float(-1, 1),
        Int(1, 99, scale="log"),
        Int(1, 9),
    ],
    ids=repr,
)
def test_a_step_may_be_of_any_size(dimension: Dimension, normal: float) -> None:
    value = dimension.sample(rng())
    assert legal(dimension, dimension.shift(value, Fixed(normal), deviation=1.0, redraw=0))


# -- reflection ---------------------------------------------------------------------------------------------------


def triangle(position: float, low: float, high: float) -> float:
    """Reflection at both ends as a triangle wave: the distance to the nearest even multiple of the width."""
    width = high - low
    u = (position - low) / width
    return low + width * abs(u - 2.0 * round(u / 2.0))


@FAST
@given(st.floats(-100, 100), st.floats(1e-2, 100), st.floats(-1000, 1000))
def test_reflection_is_a_triangle_wave(low: float, width: float, position: float) -> None:
    high = low + width
    found = reflect(position, low, high)
    assert low <= found <= high
    assert found == pytest.approx(triangle(position, low, high), abs=1e-9)


@pytest.mark.parametrize(
    ("position", "expected"),
    [(0.3, 0.3), (0.0, 0.0), (1.0, 1.0), (1.25, 0.75), (-0.25, 0.25), (2.5, 0.5), (3.25, 0.75), (-1.75, 0.25)]
    + [(math.inf, 1.0), (-math.inf, 0.0)],
)
def test_reflection_in_the_unit_interval(position: float, expected: float) -> None:
    assert reflect(position, 0.0, 1.0) == expected


def test_reflection_in_a_point() -> None:
    assert reflect(7.0, 2.0, 2.0) == 2.0


# -- floats -------------------------------------------------------------------------------------------------------


@FAST
@given(st.floats(0.0, 1.0), st.floats(0.1, 10))
def test_linear_multiplies_and_reflects_the_value(v: float, f: float) -> None:
    moved = Float(-2.0, 3.0).perturb(5 * v - 2, rng(), factors=(f,), redraw=0)
    raw = (5 * v - 2) * f
    assert moved == pytest.approx(raw if -2 <= raw <= 3 else triangle(raw, -2, 3), abs=1e-9)


@FAST
@given(st.floats(0.0, 1.0), st.floats(0.1, 10))
def test_log_multiplies_and_reflects_the_logarithm(v: float, f: float) -> None:
    low, high = 1e-4, 1.0
    value = min(max(10 ** (4 * v - 4), low), high)
    moved = Float(low, high, scale="log").perturb(value, rng(), factors=(f,), redraw=0)
    assert math.log10(moved) == pytest.approx(triangle(math.log10(value) + math.log10(f), -4, 0), abs=1e-9)


@FAST
@given(st.floats(0.0, 1.0), st.floats(0.1, 10))
def test_one_minus_multiplies_the_distance_to_one(v: float, f: float) -> None:
    low, high = 0.5, 0.999
    value = min(max(1 - 0.5 * 0.002**v, low), high)
    moved = Float(low, high, scale="one_minus").perturb(value, rng(), factors=(f,), redraw=0)
    raw = 1 - (1 - value) * f
    if low <= raw <= high:
        assert moved == raw
    else:
        assert math.log10(1 - moved) == pytest.approx(
            triangle(math.log10((1 - value) * f), math.log10(0.001), math.log10(0.5)), abs=1e-9
        )


def test_one_minus_by_hand() -> None:
    momentum = Float(0.5, 0.999, scale="one_minus")
    assert momentum.perturb(0.9, rng(), factors=(1.2,), redraw=0) == pytest.approx(0.88, abs=1e-15)
    assert momentum.perturb(0.9, rng(), factors=(0.8,), redraw=0) == pytest.approx(0.92, abs=1e-15)
    # 1 - 0.5 * 1.2 = 0.4 is below 0.5; its distance to 1 is 1.2 times too great, so 0.5 / 1.2 comes back.
    assert momentum.perturb(0.5, rng(), factors=(1.2,), redraw=0) == pytest.approx(1 - 0.5 / 1.2, abs=1e-12)


def test_a_value_at_a_bound_is_not_stuck_there() -> None:
    assert Float(0.1, 1.0, scale="log").perturb(1.0, rng(), factors=(1.2,), redraw=0) == pytest.approx(1 / 1.2)
    assert Float(0.0, 1.0).perturb(1.0, rng(), factors=(1.2,), redraw=0) == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("scale", "value", "expected"),
    [
        ("linear", 0.5, 0.5 + 0.1 * 2),
        ("log", 0.5, 0.5 * math.exp(-0.1 * 2)),
        ("one_minus", 0.5, 1 - 0.5 * math.exp(-0.1 * 2)),
    ],
)
def test_noise_is_in_units_of_the_scale(scale: Any, value: float, expected: float) -> None:
    normal = -2.0 if scale == "log" else 2.0
    moved = Float(0.1, 0.9, scale=scale).shift(value, Fixed(normal), deviation=0.1, redraw=0)
    assert moved == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("dimension", "line"),
    [
        (Float(-2, 3), lambda v: (v + 2) / 5),
        (Float(1e-4, 1.0, scale="log"), lambda v: math.log10(v) / 4 + 1),
        (Float(0.5, 0.999, scale="one_minus"), lambda v: math.log10((1 - v) / 0.5) / math.log10(0.002)),
    ],
)
def test_samples_are_uniform_on_the_scale(dimension: Float, line: Callable[[float], float]) -> None:
    draws = rng()
    places = [line(dimension.sample(draws)) for _ in range(2000)]
    assert stats.kstest(places, "uniform").pvalue > 1e-3


# -- whole numbers ------------------------------------------------------------------------------------------------


@FAST
@given(ints(), st.data())
def test_whole_numbers_always_move(dimension: Int, data: st.DataObject) -> None:
    assume(dimension.low < dimension.high)
    value = data.draw(st.integers(dimension.low, dimension.high))
    for f in (0.8, 1.0, 1.2, 1e-3, 1e3):
        assert dimension.perturb(value, rng(), factors=(f,), redraw=0) != value
    for noise in (-1e-6, 0.0, 1e-6, 40.0):
        assert dimension.shift(value, Fixed(noise), deviation=1.0, redraw=0) != value


@pytest.mark.parametrize(
    ("dimension", "value", "factor", "expected"),
    [
        (Int(1, 100), 10, 1.2, 12), (Int(1, 100), 10, 0.8, 8), (Int(1, 100), 1, 1.2, 2), (Int(1, 100), 2, 0.8, 1),
        (Int(1, 100), 1, 0.8, 2), (Int(1, 100), 100, 1.2, 80), (Int(1, 4), 4, 1.2, 3), (Int(0, 5), 0, 1.2, 1),
        (Int(-5, 5), -2, 1.2, -3), (Int(-5, 5), -2, 0.8, -1), (Int(7, 7), 7, 1.2, 7),
        (Int(1, 100, scale="log"), 100, 1.25, 80), (Int(1, 100, scale="log"), 4, 1.2, 5),
    ],
)  # fmt: skip
def test_whole_numbers_by_hand(dimension: Int, value: int, factor: float, expected: int) -> None:
    moved = dimension.perturb(value, rng(), factors=(factor,), redraw=0)
    assert moved == expected
    assert type(moved) is int


def test_every_whole_number_is_drawn_alike() -> None:
    counts = Counter(Int(-1, 2).sample(draws) for draws in [rng()] for _ in range(4000))
    assert sorted(counts) == [-1, 0, 1, 2]
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_whole_numbers_on_a_log_scale() -> None:
    """Each has the share of the line between its two rounding borders."""
    draws = rng()
    counts = Counter(Int(1, 8, scale="log").sample(draws) for _ in range(8000))
    shares = [math.log((k + 0.5) / (k - 0.5)) / math.log(8.5 / 0.5) for k in range(1, 9)]
    assert stats.chisquare([counts[k] for k in range(1, 9)], [8000 * share for share in shares]).pvalue > 1e-3


# -- choices ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 3, 5])
def test_ordered_choices_move_to_a_neighbour(size: int) -> None:
    dimension = Choice(tuple(range(size)), ordered=True)
    draws = rng()
    for place in range(size):
        reached = {dimension.perturb(place, draws, factors=(0.8, 1.2), redraw=0) for _ in range(60)}
        reached |= {dimension.shift(place, draws, deviation=0.1, redraw=0) for _ in range(60)}
        assert reached == {p for p in (place - 1, place + 1) if 0 <= p < size}


def test_an_unordered_choice_is_drawn_again_with_the_probability() -> None:
    dimension = Choice(("a", "b", "c", "d"))
    draws = rng()
    assert all(dimension.perturb("b", draws, factors=(1.2,), redraw=0.0) == "b" for _ in range(100))
    counts = Counter(dimension.perturb("b", draws, factors=(1.2,), redraw=0.25) for _ in range(8000))
    # A quarter is drawn again, a quarter of that is "b" once more.
    assert stats.chisquare([counts[k] for k in "abcd"], [500, 6500, 500, 500]).pvalue > 1e-3
    counts = Counter(dimension.shift("b", draws, deviation=1, redraw=1.0) for _ in range(4000))
    assert stats.chisquare([counts[k] for k in "abcd"]).pvalue > 1e-3


def test_true_is_not_one() -> None:
    dimension = Choice((1, True, 0, False, None), ordered=True)
    for place, value in enumerate(dimension.values):
        assert dimension.check(value, "x") is value
        expected = [dimension.values[p] for p in (place - 1, place + 1) if 0 <= p < 5]
        for _ in range(20):
            moved = dimension.perturb(value, rng(), factors=(1.2,), redraw=0)
            assert any(moved is one for one in expected)
    with pytest.raises(InvalidValue):
        Choice((1, 2)).check(True, "x")
    with pytest.raises(InvalidValue):
        Choice((True, False)).check(1, "x")


def test_a_choice_of_one_stays() -> None:
    for ordered in (True, False):
        assert Choice(("only",), ordered=ordered).perturb("only", rng(), factors=(0.8,), redraw=1.0) == "only"


# -- checks -------------------------------------------------------------------------------------------------------


def test_values_in_their_declared_type() -> None:
    assert type(Float(0, 10).check(3, "x")) is float
    assert type(Int(0, 10).check(3.0, "x")) is int
    assert type(Int(0, 10).check(np.int64(3), "x")) is int
    assert type(Float(0, 10).check(np.float32(0.5), "x")) is float
    assert Choice(("a", 1)).check("a", "x") == "a"


@pytest.mark.parametrize(
    ("dimension", "value", "kind", "words"),
    [
        (Float(0, 1), 2, InvalidValue, ["x=2", "[0.0, 1.0]"]),
        (Float(0, 1), -1e-9, InvalidValue, ["x=-1e-09"]),
        (Float(0, 1), "0.5", InvalidType, ["x", "number", "'0.5'"]),
        (Float(0, 1), None, InvalidType, ["None"]),
        (Float(0, 1), True, InvalidType, ["True"]),
        (Float(0, 1), math.nan, InvalidValue, ["finite", "nan"]),
        (Float(0, 1), [1, 2], InvalidType, ["number"]),
        (Int(0, 5), 6, InvalidValue, ["x=6", "[0, 5]"]),
        (Int(0, 5), 1.5, InvalidType, ["whole number", "1.5"]),
        (Int(0, 5), "1", InvalidType, ["number"]),
        (Int(0, 5), math.inf, InvalidValue, ["finite"]),
        (Choice(("a", "b")), "c", InvalidValue, ["x='c'", "'a', 'b'"]),
    ],
)
def test_a_value_that_is_not_legal(dimension: Dimension, value: Any, kind: type[Exception], words: list[str]) -> None:
    with pytest.raises(kind) as caught:
        dimension.check(value, "x")
    assert isinstance(caught.value, WarrenError)
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: Float(1, 0), InvalidValue, ["low <= high", "low=1", "high=0", "swap"]),
        (lambda: Float(0, 1, scale="log"), InvalidValue, ["low=0", "'log'", "low > 0"]),
        (lambda: Float(-1, 1, scale="log"), InvalidValue, ["low > 0"]),
        (lambda: Float(0.5, 1.0, scale="one_minus"), InvalidValue, ["high < 1", "high=1"]),
        (lambda: Float(0, 1, scale="cubic"), InvalidValue, ["'cubic'", "'linear', 'log', 'one_minus'"]),  # type: ignore[arg-type]
        (lambda: Float("a", 1), InvalidType, ["low", "number", "'a'"]),  # type: ignore[arg-type]
        (lambda: Float(0, None), InvalidType, ["high", "None"]),  # type: ignore[arg-type]
        (lambda: Float(math.nan, 1), InvalidValue, ["low", "finite"]),
        (lambda: Float(0, math.inf), InvalidValue, ["high", "finite"]),
        (lambda: Int(5, 1), InvalidValue, ["low <= high", "low=5"]),
        (lambda: Int(0, 5, scale="log"), InvalidValue, ["low > 0"]),
        (lambda: Int(0, 5, scale="one_minus"), InvalidValue, ["one_minus", "Float"]),
        (lambda: Int(0.5, 5), InvalidType, ["low", "whole", "0.5"]),  # type: ignore[arg-type]
        (lambda: Int(0, True), InvalidType, ["high", "True"]),
        (lambda: Choice(()), InvalidValue, ["empty"]),
        (lambda: Choice("abc"), InvalidType, ["list", "'abc'"]),  # type: ignore[arg-type]
        (lambda: Choice((1, 2, 1)), InvalidValue, ["1", "twice"]),
        (lambda: Choice((min, max)), InvalidType, ["built-in function min", "name"]),  # type: ignore[arg-type]
        (lambda: Choice(5), InvalidType, ["values", "5"]),  # type: ignore[arg-type]
        (lambda: Choice({"a", "b"}), InvalidType, ["order"]),  # type: ignore[arg-type]
        (lambda: Choice((0.5, math.nan)), InvalidValue, ["nan"]),
        (lambda: Float(0, 10**400), InvalidValue, ["high"]),
    ],
)  # fmt: skip
def test_a_dimension_that_cannot_be(make: Callable[[], Dimension], kind: type[Exception], words: list[str]) -> None:
    with pytest.raises(kind) as caught:
        make()
    assert isinstance(caught.value, WarrenError)
    assert [word for word in words if word not in str(caught.value)] == []


# -- positions in [0, 1] ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dimension", "value", "unit"),
    [
        (Float(-1, 3), 0.0, 0.25),
        (Float(1e-4, 1.0, scale="log"), 1e-3, 0.25),
        (Float(0.9, 0.999, scale="one_minus"), 0.99, 0.5),
        (Float(2, 2), 2.0, 0.0),
        (Int(1, 5), 4, 0.75),
        (Int(1, 64, scale="log"), 8, 0.5),
        (Choice((16, 32, 64), ordered=True), 32, 0.5),
        (Choice(("a",), ordered=True), "a", 0.0),
    ],
    ids=repr,
)
def test_positions_by_hand(dimension: Dimension, value: Any, unit: float) -> None:
    """Even on the scale: 1e-3 is a quarter of the way from 1e-4 to 1, and 1 - 0.99 halfway from 0.1 to 0.001."""
    assert dimension.ordered
    assert dimension.unit(value) == pytest.approx(unit)
    assert dimension.at(unit) == pytest.approx(value)


@FAST
@given(dimensions, st.floats(-1, 2), st.integers(0, 2**32))
def test_positions_and_values(dimension: Dimension, unit: float, seed: int) -> None:
    """Every position has a legal value; every value a position in [0, 1] that leads back to it; ends are the bounds."""
    assume(dimension.ordered)
    assert legal(dimension, dimension.at(unit))
    value = dimension.sample(rng(seed))
    position = dimension.unit(value)
    assert 0 <= position <= 1
    back = dimension.at(position)
    if isinstance(dimension, Float):
        width = dimension.high - dimension.low
        assert abs(back - value) <= 1e-9 * max(width, abs(value))
        assert (dimension.at(0), dimension.at(1)) == (dimension.low, dimension.high if width else dimension.low)
    else:
        assert back == value
        assert type(back) is type(value)


@FAST
@given(dimensions, st.floats(0, 1), st.floats(0, 1))
def test_positions_keep_the_order(dimension: Dimension, one: float, other: float) -> None:
    assume(dimension.ordered and one <= other)
    assert dimension.unit(dimension.at(one)) <= dimension.unit(dimension.at(other)) + 1e-9


def test_whole_numbers_take_the_nearest_position() -> None:
    """Of 0, 1, 2, a position of 0.7 is 1.4, which is nearest to 1; of three choices it is the second."""
    assert Int(0, 2).at(0.7) == 1
    assert Choice(("a", "b", "c"), ordered=True).at(0.7) == "b"
    assert Choice(("a", "b", "c"), ordered=True).at(0.8) == "c"


def test_choices_without_an_order_have_no_position() -> None:
    choice = Choice((1, True))
    assert not choice.ordered
    assert (choice.place(1), choice.place(True), choice.place(1.0), choice.place("a")) == (0, 1, 0, None)
    with pytest.raises(InvalidValue, match="ordered=True"):
        choice.unit(1)
    with pytest.raises(InvalidValue, match="ordered=True"):
        choice.at(0.5)
