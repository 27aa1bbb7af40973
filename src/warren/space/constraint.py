"""Rules that several hyperparameters keep together, and how values that break one are repaired."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from warren.errors import InvalidType, InvalidValue, UnknownName
from warren.space.dimension import Dimension, Float, Int


class Constraint(ABC):
    """What some hyperparameters must keep together. `Sum`, `Less` and `Rule` are the kinds that there are.

    A repair is a pure function of the values: it draws nothing, and leaves values that are legal as they are.
    """

    @property
    @abstractmethod
    def about(self) -> tuple[str, ...]:
        """Names of the hyperparameters, each once."""

    @property
    @abstractmethod
    def rule(self) -> str:
        """The rule in words, such as ``a + b <= 1``."""

    @abstractmethod
    def met(self, values: Mapping[str, Any]) -> bool:
        """Whether values keep it; names that do not exist beside the others are left out of `values`."""

    @abstractmethod
    def repaired(
        self, values: Mapping[str, Any], dimensions: Mapping[str, Dimension], fixed: frozenset[str]
    ) -> dict[str, Any]:
        """The values that have to change for it to be kept, as far as that can be.

        Args:
            values: Values that break it, each legal by itself.
            dimensions: All hyperparameters of the space.
            fixed: Names whose values must stay.
        """

    def impossible(self, dimensions: Mapping[str, Dimension], certain: frozenset[str]) -> bool:
        """Whether nothing can keep it, as far as the ranges tell; an error where it is on what has no number.

        Args:
            dimensions: All hyperparameters of the space.
            certain: Those of `about` that are known to exist together; others may.
        """
        return False


@dataclass(frozen=True)
class Sum(Constraint):
    """Numbers whose sum has an upper bound: ``a + b <= at_most``. What does not exist counts 0.

    Repair: what each has above its own lower bound is scaled down by one factor, so that the sum is `at_most`; whole
    numbers are rounded down.

    Args:
        names: Names of `Float` and `Int` hyperparameters, two at least.
        at_most: The bound; the values are added in the order of `names`.

    Raises:
        InvalidType: `names` are no names, or the bound is no number.
        InvalidValue: A name stands twice or alone, or the bound is not finite.
    """

    names: Sequence[str]
    at_most: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", _names("Sum", self.names, 2))
        bound: object = self.at_most
        if isinstance(bound, bool) or not isinstance(bound, (int, float)):
            raise InvalidType(f"Sum: at_most must be a number, but got {bound!r}")
        if not math.isfinite(bound):
            raise InvalidValue(f"Sum: at_most must be finite, but got {bound!r}")

    @property
    def about(self) -> tuple[str, ...]:
        return tuple(self.names)

    @property
    def rule(self) -> str:
        return f"{' + '.join(self.names)} <= {self.at_most!r}"

    def _total(self, values: Mapping[str, Any]) -> float:
        total: float = 0
        for name in self.names:  # as a user adds them up: `sum` corrects the last digit from Python 3.12 on
            total += values.get(name, 0)
        return total

    def met(self, values: Mapping[str, Any]) -> bool:
        return self._total(values) <= self.at_most

    def repaired(
        self, values: Mapping[str, Any], dimensions: Mapping[str, Dimension], fixed: frozenset[str]
    ) -> dict[str, Any]:
        low = {name: _range(name, dimensions)[0] for name in self.names if name in values and name not in fixed}
        least = self._total({**values, **low})
        above = sum(values[name] - low[name] for name in low)
        if above <= 0:
            return {}
        share = max(0.0, (self.at_most - least) / above)
        moved: dict[str, Any] = {}
        for name in low:
            value = low[name] + (values[name] - low[name]) * share
            moved[name] = math.floor(value) if isinstance(dimensions[name], Int) else value
        largest = max(moved, key=lambda name: float(moved[name] - low[name]))
        while not self.met({**values, **moved}) and moved[largest] > low[largest]:  # by a rounding of the last digit
            excess = self._total({**values, **moved}) - self.at_most
            if isinstance(dimensions[largest], Int):
                moved[largest] -= math.ceil(excess)
            else:
                next_lower = math.nextafter(moved[largest], -math.inf)
                moved[largest] = max(low[largest], min(moved[largest] - excess, next_lower))
        return moved

    def impossible(self, dimensions: Mapping[str, Dimension], certain: frozenset[str]) -> bool:
        low = {name: _range(name, dimensions)[0] for name in self.names}
        return self._total({name: low[name] if name in certain else min(0, low[name]) for name in low}) > self.at_most


@dataclass(frozen=True)
class Less(Constraint):
    """One number below another: whole numbers strictly, ``a < b``; otherwise ``a <= b``. Kept where one is absent.

    Repair: the smaller is lowered to the border; where its range ends above that, it stays at its lower bound and the
    greater one is raised to the border.

    Args:
        smaller: Name of a `Float` or `Int` hyperparameter.
        greater: Name of another.

    Raises:
        InvalidType: A name is no string.
        InvalidValue: The names are the same.
    """

    smaller: str
    greater: str

    def __post_init__(self) -> None:
        _names("Less", (self.smaller, self.greater), 2)

    @property
    def about(self) -> tuple[str, ...]:
        return self.smaller, self.greater

    @property
    def rule(self) -> str:
        return f"{self.smaller} < {self.greater}"

    @staticmethod
    def _below(a: float, b: float) -> bool:
        return a < b if isinstance(a, int) and isinstance(b, int) else a <= b

    def met(self, values: Mapping[str, Any]) -> bool:
        if self.smaller not in values or self.greater not in values:
            return True
        return self._below(values[self.smaller], values[self.greater])

    def repaired(
        self, values: Mapping[str, Any], dimensions: Mapping[str, Dimension], fixed: frozenset[str]
    ) -> dict[str, Any]:
        smaller, greater = dimensions[self.smaller], dimensions[self.greater]
        strict = int(isinstance(smaller, Int) and isinstance(greater, Int))
        moved: dict[str, Any] = {}
        a = values[self.smaller]
        if self.smaller not in fixed:
            border = values[self.greater] - strict
            a = max(
                _range(self.smaller, dimensions)[0], math.floor(border) if isinstance(smaller, Int) else float(border)
            )
            moved[self.smaller] = a
        if not self._below(a, values[self.greater]) and self.greater not in fixed:
            border = a + strict
            b = math.ceil(border) if isinstance(greater, Int) else float(border)
            moved[self.greater] = min(_range(self.greater, dimensions)[1], b)
        return moved

    def impossible(self, dimensions: Mapping[str, Dimension], certain: frozenset[str]) -> bool:
        low, high = _range(self.smaller, dimensions)[0], _range(self.greater, dimensions)[1]
        return len(certain) == 2 and not self._below(low, high)


@dataclass(frozen=True)
class Rule(Constraint):
    """A rule of the user's own. Kept where one of its hyperparameters is absent.

    Args:
        names: The hyperparameters that it is about.
        holds: ``holds(values) -> bool`` of these hyperparameters by name: whether they keep the rule.
        repair: ``repair(values) -> values``: some or all of them, changed so that they do; it must draw nothing. What
            must stay (``rebuild=True`` at a mutation) stays, whatever it says. A function at the top level of a
            module can be found again by `warren resume`; another one needs the script that has it.

    Raises:
        InvalidType: `names` are no names, or one of the functions cannot be called.
        InvalidValue: A name stands twice, or there is none.
    """

    names: Sequence[str]
    holds: Callable[[dict[str, Any]], bool]
    repair: Callable[[dict[str, Any]], Mapping[str, Any]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", _names("Rule", self.names, 1))
        for field, function in (("holds", self.holds), ("repair", self.repair)):
            given: object = function
            if not callable(given):
                raise InvalidType(f"Rule: {field} must be a function of a mapping of values, but got {given!r}")

    @property
    def about(self) -> tuple[str, ...]:
        return tuple(self.names)

    @property
    def rule(self) -> str:
        return f"{getattr(self.holds, '__name__', 'holds')}({', '.join(self.names)})"

    def met(self, values: Mapping[str, Any]) -> bool:
        return any(name not in values for name in self.names) or bool(
            self.holds({name: values[name] for name in self.names})
        )

    def repaired(
        self, values: Mapping[str, Any], dimensions: Mapping[str, Dimension], fixed: frozenset[str]
    ) -> dict[str, Any]:
        given: object = self.repair({name: values[name] for name in self.names})
        if not isinstance(given, Mapping):
            raise InvalidType(f"{self.rule}: repair must return a mapping of hyperparameters, but returned {given!r}")
        for name in given:
            if name not in self.names:
                raise UnknownName(f"{self.rule}: repair returned {name!r}, which is none of the rule's hyperparameters")
        return {
            name: dimensions[name].check(value, f"{self.rule}: repair returned {name}")
            for name, value in given.items()
            if name not in fixed
        }


def _names(kind: str, given: Any, least: int) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, (list, tuple)):
        raise InvalidType(f"{kind}: names must be a list of names of hyperparameters, but got {given!r}")
    for name in given:
        if not isinstance(name, str):
            raise InvalidType(f"{kind}: names must be strings, but got {name!r}")
        if given.count(name) > 1:
            raise InvalidValue(f"{kind}: each name must stand once, but {name!r} stands twice")
    if len(given) < least:
        raise InvalidValue(f"{kind}: at least {least} names are needed, but got {list(given)!r}")
    return tuple(given)


def _range(name: str, dimensions: Mapping[str, Dimension]) -> tuple[float, float]:
    """Lowest and highest value of a number."""
    dimension = dimensions[name]
    if not isinstance(dimension, (Float, Int)):
        raise InvalidType(
            f"space: a constraint is on {name!r}, which is a {type(dimension).__name__}; only a Float and an Int have "
            "a number: write a Rule"
        )
    return dimension.low, dimension.high
