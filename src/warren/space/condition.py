"""Hyperparameters that exist only where another one has a certain value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from warren.errors import InvalidType, InvalidValue, UnknownName
from warren.space.dimension import Choice, Dimension, Int, Scalar

Needs = Mapping[str, Mapping[str, tuple[Scalar, ...]]]
"""For each hyperparameter with conditions: the others that it depends on, and the values that they must have."""


@dataclass(frozen=True)
class When:
    """A hyperparameter, or a mapping of several, that exists only where another one has one of some values.

    Args:
        name: The other one, a `Choice` or an `Int`, as it is called from outside: nested names with dots.
        values: The value that it must have, or a list of such values.
        inside: What then exists: a `Float`, an `Int`, a `Choice`, a mapping of names to them, or another `When`: then
            both conditions must be met.

    Raises:
        InvalidType: The name is no string.
        InvalidValue: There are no values.
    """

    name: str
    values: Scalar | Sequence[Scalar]
    inside: Any

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise InvalidType(f"When: name must be the name of a hyperparameter, but got {self.name!r}")
        given: object = self.values
        values = tuple(given) if isinstance(given, (list, tuple, range)) else (self.values,)
        if not values:
            raise InvalidValue(f"When({self.name!r}): values must not be empty; give at least one value")
        object.__setattr__(self, "values", values)

    @property
    def any_of(self) -> tuple[Scalar, ...]:
        """The values, also where one was given alone."""
        return self.values if isinstance(self.values, tuple) else ()


def among(value: object, values: tuple[Scalar, ...]) -> bool:
    """Whether a value is one of some: 1 and 1.0 are equal, and True is neither."""
    return any(known == value and isinstance(known, bool) == isinstance(value, bool) for known in values)


def checked(dimensions: Mapping[str, Dimension], conditions: Mapping[str, tuple[When, ...]]) -> Needs:
    """The conditions of a space, or an error that says which cannot be.

    Args:
        dimensions: All hyperparameters.
        conditions: For each with conditions, these, the outermost first.

    Raises:
        UnknownName: A condition names a hyperparameter that is not in the space.
        InvalidType: It names a `Float`.
        InvalidValue: A value is none that the other one can have; two conditions exclude each other; what shapes the
            objects depends on what does not.
    """
    needs: dict[str, dict[str, tuple[Scalar, ...]]] = {}
    for name, whens in conditions.items():
        for when in whens:
            other = dimensions.get(when.name)
            if other is None:
                raise UnknownName(
                    f"space: {name!r} depends on {when.name!r}, which is not in the space; it has "
                    f"{', '.join(dimensions)}"
                )
            if not isinstance(other, (Choice, Int)):
                raise InvalidType(
                    f"space: {name!r} depends on {when.name!r}, which is a {type(other).__name__}; a condition is on a "
                    "Choice or an Int"
                )
            if dimensions[name].rebuild and not other.rebuild:
                raise InvalidValue(
                    f"space: {name!r} is declared with rebuild=True, but it depends on {when.name!r}, which changes "
                    f"without a rebuild; declare {when.name!r} with rebuild=True too"
                )
            values = tuple(other.check(value, f"space: {name!r} depends on {when.name}") for value in when.any_of)
            own = needs.setdefault(name, {})
            both = tuple(value for value in values if among(value, own.get(when.name, values)))
            if not both:
                raise InvalidValue(f"space: {name!r} can never exist: its conditions on {when.name!r} share no value")
            own[when.name] = both
    return needs


def downwards(names: Iterator[str] | tuple[str, ...], needs: Needs) -> tuple[str, ...]:
    """The names in an order in which each stands after those that it depends on.

    Raises:
        InvalidValue: They depend on each other in a circle.
    """
    order: dict[str, None] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            circle = " -> ".join(map(repr, (*path[path.index(name) :], name)))
            raise InvalidValue(f"space: hyperparameters depend on each other in a circle: {circle}; take one When out")
        if name not in order:
            for other in needs.get(name, ()):
                visit(other, (*path, name))
            order[name] = None

    for name in names:
        visit(name, ())
    return tuple(order)


def implies(name: str, other: str, needs: Needs) -> bool:
    """Whether `other` is known to exist wherever `name` does."""
    theirs = _all(name, needs)
    return all(
        parent in theirs and all(among(value, values) for value in theirs[parent])
        for parent, values in _all(other, needs).items()
    )


def _all(name: str, needs: Needs) -> dict[str, tuple[Scalar, ...]]:
    """What a hyperparameter needs, with what that needs in turn."""
    found: dict[str, tuple[Scalar, ...]] = {}
    for parent, values in needs.get(name, {}).items():
        found.update({**_all(parent, needs), parent: values})
    return found


def reason(name: str, values: Mapping[str, Any], needs: Needs) -> str:
    """Why a hyperparameter does not exist beside some values, in words."""
    for parent, allowed in needs.get(name, {}).items():
        if parent in values and among(values[parent], allowed):
            continue
        if parent in values:
            why = f"{parent} is {values[parent]!r}"
        else:
            why = reason(parent, values, needs) or f"{parent!r} is not given"
        return f"{name!r} exists only with {parent}={' or '.join(map(repr, allowed))}, and {why}"
    return ""
