"""All strategies by name, each with the line that it says of itself."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from dataclasses import dataclass
from typing import Any

from warren.errors import InvalidType, UnknownName
from warren.strategies.base import Strategy

MODULES = {
    "PBT": "compose",
    "GeneralisedPBT": "generalised",
    "PairwisePBT": "pairwise",
    "DexPBT": "dexpbt",
    "PBA": "pba",
    "PB2": "pb2",
    "PB2Mix": "pb2_mix",
    "BGPBT": "bgpbt",
    "FIREPBT": "fire",
    "MFPBT": "mfpbt",
    "IPBT": "ipbt",
    "MOPBT": "mopbt",
    "SEARL": "searl",
    "EloPBT": "elo",
    "Anchored": "anchor",
    "Averaging": "averaging",
    "Reference": "guards",
    "RandomSearch": "compose",
    "Cosine": "controls",
    "Fixed": "controls",
    "SuccessiveHalving": "controls",
    "Follow": "controls",
}
"""The classes, in the order that they are listed in, with the modules of this room that they are in."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One strategy of the catalogue.

    Attributes:
        name: Its class's name, which is what `named` and the command know it by.
        kind: Its class.
        about: The first line of its docstring.
        options: What it can be made with, by name.
        needed: Those of them that have no default; empty for one that runs as it is.
    """

    name: str
    kind: type[Strategy]
    about: str
    options: tuple[str, ...]
    needed: tuple[str, ...]


def entries() -> tuple[Entry, ...]:
    """All strategies, in the order that they are listed in."""
    return tuple(_entry(name) for name in MODULES)


def entry(name: str) -> Entry:
    """One strategy of the catalogue.

    Args:
        name: Its class's name; case, ``-`` and ``_`` do not matter.

    Raises:
        UnknownName: There is no strategy of that name.
    """
    known = {_plain(one): one for one in MODULES}
    if _plain(name) not in known:
        raise UnknownName(f"there is no strategy {name!r}; there is {', '.join(MODULES)}")
    return _entry(known[_plain(name)])


def named(name: str, **options: Any) -> Strategy:
    """A strategy by its name.

    Args:
        name: As for `entry`.
        **options: What to make it with; the rest has its default.

    Raises:
        UnknownName: There is no strategy of that name, or it has no such option.
        InvalidType: It cannot be made without an option that is not given.
        InvalidValue: An option is out of its range.
    """
    found = entry(name)
    for option in options:
        if option not in found.options:
            raise UnknownName(f"{found.name} has no option {option!r}; it has {', '.join(found.options) or 'none'}")
    missing = [option for option in found.needed if option not in options]
    if missing:
        raise InvalidType(f"{found.name} cannot be made without {', '.join(missing)}; make it in Python")
    made: Strategy = found.kind(**options)
    return made


def _plain(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()


def _entry(name: str) -> Entry:
    kind = getattr(importlib.import_module(f"warren.strategies.{MODULES[name]}"), name)
    fields = [one for one in dataclasses.fields(kind) if one.init]
    return Entry(
        name=name,
        kind=kind,
        about=(inspect.getdoc(kind) or "").partition("\n")[0].rstrip("."),
        options=tuple(one.name for one in fields),
        needed=tuple(one.name for one in fields if _bare(one)),
    )


def _bare(one: dataclasses.Field[Any]) -> bool:
    return one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
