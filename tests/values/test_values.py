from __future__ import annotations

import functools
import hashlib
import importlib
import json
import math
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warren.errors import InvalidType, InvalidValue
from warren.population import Stop
from warren.space import Choice, Float, Int
from warren.strategies import PBT, Perturb, Truncation
from warren.values import canonical, digest, dump, load


@dataclass(frozen=True)
class Outer:
    """A setting with everything in it."""

    name: str
    parts: tuple[Any, ...] = ()
    table: Any = None
    rule: Any = None
    made: int = field(init=False, default=3)


def rule_of_ones_own(x: float) -> float:
    return x


class Plain:
    def method(self) -> None: ...


@dataclass(frozen=True)
class Rule:
    """A rule with numbers of its own."""

    limit: float

    def holds(self, x: float) -> bool:
        return x < self.limit


def find(module: str, name: str) -> Any:
    thing: Any = importlib.import_module(module)
    for part in name.split("."):
        thing = getattr(thing, part)
    return thing


def back(value: Any) -> Any:
    return load(json.loads(json.dumps(dump(value))), find)


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, 1.5, "text", (1, (2, "three")), {"a": {"b": (1,)}},
        Outer("x", parts=(Float(0, 1), Int(1, 2, scale="log")), table={"c": Choice(("a", 1))}, rule=rule_of_ones_own),
        PBT(exploit=Truncation(fraction=0.5), explore=Perturb(factors=(0.5, 2.0)), every=3),
        Stop(score=0.5, patience=2),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_is_dumped_comes_back(value: Any) -> None:
    assert back(value) == value
    assert type(back(value)) is type(value)


def test_a_method_of_a_value_comes_back_with_its_owner() -> None:
    method = back(Outer("x", rule=Rule(2.0).holds)).rule
    assert method.__func__ is Rule.holds
    assert method.__self__ == Rule(2.0)
    assert method(1.9)
    assert not method(2.0)


def test_what_json_holds() -> None:
    assert dump(Outer("x", parts=[1], rule=rule_of_ones_own)) == {  # type: ignore[arg-type]
        "$": f"{__name__}:Outer", "name": "x", "parts": [1], "table": None,
        "rule": {"$function": f"{__name__}:rule_of_ones_own"},
    }  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [
        lambda x: x,
        functools.partial(rule_of_ones_own, 1.0),
        object(),
        Plain(),
        {1, 2},
        b"bytes",
        (1, object()),
        Outer("x", rule=lambda x: x),
    ],
    ids=["lambda", "partial", "object", "instance", "set", "bytes", "inside a tuple", "inside a dataclass"],
)
def test_what_has_no_name_is_refused(value: Any) -> None:
    with pytest.raises(InvalidType):
        dump(value)


def test_a_method_of_an_object_is_refused() -> None:
    """Its name leads to the function of the class, which is another thing."""
    with pytest.raises(InvalidType):
        dump(Plain().method)


def test_functions_inside_functions_are_refused() -> None:
    def inner() -> None: ...

    with pytest.raises(InvalidType, match="top level"):
        dump(inner)


@pytest.mark.parametrize("name", [f"{__name__}:Plain", f"{__name__}:rule_of_ones_own", "builtins:eval", "os:system"])
def test_only_dataclasses_are_made(name: str) -> None:
    with pytest.raises(InvalidValue, match="no dataclass"):
        load({"$": name, "x": 1}, find)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=3), inside, max_size=3),
    max_leaves=8,
)


@settings(max_examples=80)
@given(json_values)
def test_equal_values_have_one_text(value: Any) -> None:
    text = canonical(value)
    assert json.loads(text) == value
    assert canonical(_turned(value)) == text
    assert digest(value) == hashlib.sha256(text.encode()).hexdigest()[:16]


def _turned(value: Any) -> Any:
    """The same with its names in another order."""
    if isinstance(value, dict):
        return {name: _turned(part) for name, part in reversed(list(value.items()))}
    return [_turned(part) for part in value] if isinstance(value, list) else value


def test_texts_by_hand() -> None:
    assert canonical({"b": [1, 2.5, None], "a": True}) == '{"a":true,"b":[1,2.5,null]}'
    assert canonical(math.pi) == "3.141592653589793"
    assert digest(None) == hashlib.sha256(b"null").hexdigest()[:16]
