"""A space: named dimensions, nested as the user wrote them, flat inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from warren.errors import InvalidType, InvalidValue, UnknownName
from warren.space.dimension import Dimension

if TYPE_CHECKING:
    import numpy as np

Hyperparameters = Mapping[str, Any]


class Space(Mapping[str, Dimension]):
    """The set that a member's hyperparameters are drawn from.

    Args:
        dimensions: Names to `Float`, `Int`, `Choice`, or to another such mapping. A nested name is written with a
            dot from outside: ``{"optimizer": {"lr": Float(...)}}`` declares ``"optimizer.lr"``.

    Raises:
        InvalidType: A name is no string, or a value is no dimension.
        InvalidValue: The space is empty, a name is empty, declared twice, or lies inside another hyperparameter.
    """

    def __init__(self, dimensions: Mapping[str, Any]) -> None:
        self._dimensions: dict[str, Dimension] = {}
        self._collect(dimensions, "")
        if not self._dimensions:
            raise InvalidValue("space must name at least one hyperparameter, but it is empty")
        for name in self._dimensions:
            outer = next((other for other in self._dimensions if name.startswith(f"{other}.")), None)
            if outer is not None:
                raise InvalidValue(f"space: {outer!r} is a hyperparameter, so {name!r} cannot be inside it")
        # Draws go by name and not by the order of writing: a reordered space gives the same run.
        self._order = tuple(sorted(self._dimensions))
        self._rebuild = frozenset(name for name, dimension in self._dimensions.items() if dimension.rebuild)

    def _collect(self, dimensions: object, prefix: str) -> None:
        if not isinstance(dimensions, Mapping):
            raise InvalidType(
                f"space{f'[{prefix[:-1]!r}]' if prefix else ''} must be a Float, an Int, a Choice or a mapping of "
                f"names to them, but got {dimensions!r}; a fixed value belongs into the training function"
            )
        for name, dimension in dimensions.items():
            if not isinstance(name, str):
                raise InvalidType(f"space: names must be strings, but got {name!r}")
            if not name:
                raise InvalidValue("space: a name must not be empty")
            if isinstance(dimension, Dimension):
                self._add(prefix + name, dimension)
            else:
                self._collect(dimension, f"{prefix}{name}.")

    def _add(self, name: str, dimension: Dimension) -> None:
        if name in self._dimensions:
            raise InvalidValue(f"space: {name!r} is declared twice")
        self._dimensions[name] = dimension

    def __getitem__(self, name: str) -> Dimension:
        try:
            return self._dimensions[name]
        except KeyError:
            raise UnknownName(
                f"there is no hyperparameter {name!r}; the space has {', '.join(self._dimensions)}"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._dimensions)

    def __len__(self) -> int:
        return len(self._dimensions)

    def __repr__(self) -> str:
        return f"Space({self._dimensions!r})"

    @property
    def rebuild(self) -> frozenset[str]:
        """Names of the hyperparameters that shape a member's objects."""
        return self._rebuild

    def sample(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw every hyperparameter from its prior."""
        drawn = {name: self._dimensions[name].sample(rng) for name in self._order}
        return {name: drawn[name] for name in self._dimensions}

    def mutate(self, values: Hyperparameters, move: Callable[[Dimension, Any], Any]) -> dict[str, Any]:
        """Move every hyperparameter that may be mutated; those with ``rebuild=True`` stay.

        Args:
            values: The hyperparameters to start from.
            move: Gives the new value for a dimension and its old value; called in the order of the names.

        Returns:
            A new mapping, in the order of the space.
        """
        moved = {
            name: values[name] if self._dimensions[name].rebuild else move(self._dimensions[name], values[name])
            for name in self._order
        }
        return {name: moved[name] for name in self._dimensions}

    def check(self, values: Mapping[str, Any], *, field: str) -> dict[str, Any]:
        """Validate hyperparameters that a user or a record gives; nested mappings are accepted.

        Args:
            values: Hyperparameters by name; some may be left out.
            field: What is being checked, for the message, for example ``"initial[0]"``.

        Returns:
            The given values in a flat mapping, in declared types, in the order of the space.

        Raises:
            UnknownName: A name is not in the space.
            InvalidValue: A value is outside its range.
            InvalidType: A value is of the wrong kind.
        """
        if not isinstance(values, Mapping):
            raise InvalidType(f"{field} must be a mapping of hyperparameters to values, but got {values!r}")
        given = flatten(values)
        for name in given:
            if name not in self._dimensions:
                raise UnknownName(f"{field}: there is no hyperparameter {name!r}; the space has {', '.join(self)}")
        return {
            name: dimension.check(given[name], f"{field}: {name}")
            for name, dimension in self._dimensions.items()
            if name in given
        }


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one flat mapping with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat
