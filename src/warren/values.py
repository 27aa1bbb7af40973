"""Settings as JSON and back: what the record keeps of a space, a strategy or a rule.

A setting is a frozen dataclass of settings, scalars, tuples and mappings, a function that can be found again by its
name, or a method of such a dataclass. Nothing is unpickled: a name is looked up among classes and modules that are
already trusted.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from types import MethodType, ModuleType
from typing import Any, Union

from warren.errors import InvalidType, InvalidValue

Json = Union[None, bool, int, float, str, "list[Json]", "dict[str, Json]"]

Lookup = Callable[[str, str], Any]
"""Gives the object of a module and a qualified name."""


def dump(value: Any) -> Json:
    """A setting as JSON.

    Args:
        value: A frozen dataclass or a method of one, a scalar, a tuple, list or mapping of settings, a named function.

    Raises:
        InvalidType: A part cannot be found again by its name (a lambda, a live object).
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [dump(part) for part in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        body: dict[str, Json] = {"$": _name(type(value))}
        body.update({f.name: dump(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init})
        return body
    if isinstance(value, Mapping):
        return {str(name): dump(part) for name, part in value.items()}
    owner = getattr(value, "__self__", None)
    if isinstance(value, MethodType) and is_value(owner):
        return {"$method": value.__name__, "of": dump(owner)}
    if callable(value):
        return {"$function": _name(value)}
    raise InvalidType(
        f"a setting must be made of frozen dataclasses, numbers, strings, tuples, mappings and named functions, "
        f"but got {value!r}"
    )


def load(value: Json, find: Lookup) -> Any:
    """The setting that `dump` wrote.

    Args:
        value: What `dump` returned, perhaps through a JSON text.
        find: Gives classes and functions by module and qualified name.
    """
    if isinstance(value, list):
        return tuple(load(part, find) for part in value)
    if not isinstance(value, dict):
        return value
    if "$function" in value:
        return find(*str(value["$function"]).split(":"))
    if "$method" in value:
        return getattr(load(value["of"], find), str(value["$method"]))
    parts = {name: load(part, find) for name, part in value.items() if name != "$"}
    if "$" not in value:
        return parts
    kind = find(*str(value["$"]).split(":"))
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise InvalidValue(f"the record names {value['$']!r}, which is no dataclass here")
    return kind(**parts)


def is_value(thing: Any) -> bool:
    """Whether it is an instance of a frozen dataclass, which its fields tell all about."""
    return dataclasses.is_dataclass(thing) and not isinstance(thing, type) and type(thing).__dataclass_params__.frozen  # type: ignore[attr-defined]


def _name(thing: Any) -> str:
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    owner = getattr(thing, "__self__", None)  # of a bound method, whose name leads elsewhere; a builtin has its module
    if not module or not name or "<" in name or not (owner is None or isinstance(owner, ModuleType)):
        raise InvalidType(
            f"{thing!r} cannot be found again by its name, so the record cannot keep it; define it at the top "
            "level of a module"
        )
    return f"{module}:{name}"


def canonical(value: Json) -> str:
    """JSON text with sorted names, so that equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def digest(value: Json) -> str:
    """A short digest of a JSON value, the same for the same value everywhere."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]
