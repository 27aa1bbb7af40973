"""The catalogue: all strategies that there are, by name, each with a line of its own."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import subprocess
import sys

import pytest

import warren
from warren import strategies
from warren.errors import InvalidType, UnknownName
from warren.strategies import PBT, DexPBT, RandomSearch, named
from warren.strategies.catalogue import MODULES, entries, entry

IN_PARTS = {"Composed"}
"""Made by `compose` and not by name."""


def test_every_strategy_of_the_room_is_listed() -> None:
    """Whatever is public, and starts and decides."""
    found = set()
    for module in pkgutil.iter_modules(strategies.__path__):
        loaded = importlib.import_module(f"warren.strategies.{module.name}")
        for name, thing in vars(loaded).items():
            here = isinstance(thing, type) and thing.__module__ == loaded.__name__ and dataclasses.is_dataclass(thing)
            if here and {"start", "decide"} <= set(vars(thing)) and not name.startswith("_"):
                found.add(name)
    assert found - IN_PARTS == set(MODULES)


@pytest.mark.parametrize("one", entries(), ids=lambda one: str(one.name))
def test_each_says_in_a_line_what_it_is(one: strategies.catalogue.Entry) -> None:
    assert 20 < len(one.about) < 117
    assert not one.about.endswith(".") and "Args" not in one.about
    assert one.kind.__name__ == one.name
    assert getattr(strategies, one.name) is one.kind
    assert getattr(warren, one.name) is one.kind
    assert one.name in strategies.__all__
    assert {"start", "decide"} <= set(dir(one.kind))


def test_by_name() -> None:
    assert named("PBT") == PBT()
    assert named("random-search") == RandomSearch()
    assert named("dexpbt", worst=0.25) == DexPBT(worst=0.25)
    assert named("Dex_PBT") == DexPBT()
    assert [one.name for one in entries()] == list(MODULES)


def test_an_unknown_name_is_answered_with_all_that_there_are() -> None:
    with pytest.raises(UnknownName) as caught:
        named("PTB")
    assert str(caught.value) == f"there is no strategy 'PTB'; there is {', '.join(MODULES)}"
    with pytest.raises(UnknownName, match="there is no strategy ''"):
        entry("")


def test_an_unknown_option_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(UnknownName) as caught:
        named("DexPBT", wurst=0.25)
    assert str(caught.value).startswith("DexPBT has no option 'wurst'; it has worst, best, gap")


def test_what_needs_an_option_says_so() -> None:
    """`needed` is what a dataclass has no default for."""
    for one in entries():
        assert set(one.needed) <= set(one.options)
        if one.needed:
            with pytest.raises(InvalidType, match=f"{one.name} cannot be made without {one.needed[0]}"):
                named(one.name)
        else:
            assert isinstance(named(one.name), one.kind)


def test_a_strategy_is_loaded_when_it_is_used() -> None:
    """Workers start with the parts of PBT alone."""
    code = (
        "import sys, warren.strategies as s\n"
        "late = [name for name in ('dexpbt', 'pba', 'guards') if f'warren.strategies.{name}' in sys.modules]\n"
        "print(late, s.PBA().__class__.__module__, 'PBA' in dir(s))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] warren.strategies.pba True"


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'PTB'"):
        strategies.PTB  # noqa: B018
