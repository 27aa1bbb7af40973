"""The scales that numbers move in: a scale is a monotone map to the line on which steps are even."""

from __future__ import annotations

import math
from typing import Literal, Protocol

from warren.errors import InvalidValue

ScaleName = Literal["linear", "log", "one_minus"]


class Scale(Protocol):
    """A monotone increasing map between values and positions on an even line."""

    def to_line(self, value: float) -> float:
        """The position of a value."""
        ...

    def from_line(self, position: float) -> float:
        """The value at a position."""
        ...

    def times(self, value: float, factor: float) -> float:
        """The value moved by the multiplicative step of this scale, not yet held in bounds."""
        ...

    def check(self, low: float, high: float) -> str | None:
        """The rule that the bounds break on this scale, or None."""
        ...


class Linear:
    """Values as they are; a multiplicative step is ``v * f``."""

    def to_line(self, value: float) -> float:
        return value

    def from_line(self, position: float) -> float:
        return position

    def times(self, value: float, factor: float) -> float:
        return value * factor

    def check(self, low: float, high: float) -> str | None:
        return None


class Log:
    """Natural logarithm of the value; a multiplicative step is ``v * f``."""

    def to_line(self, value: float) -> float:
        return math.log(value)

    def from_line(self, position: float) -> float:
        return math.exp(position)

    def times(self, value: float, factor: float) -> float:
        return value * factor

    def check(self, low: float, high: float) -> str | None:
        return None if low > 0 else "scale='log' needs low > 0; raise low, or use scale='linear'"


class OneMinus:
    """Logarithm of the distance to 1, for momenta and discounts; a step is ``1 - (1 - v) * f``."""

    def to_line(self, value: float) -> float:
        return -math.log(1.0 - value)

    def from_line(self, position: float) -> float:
        return 1.0 - math.exp(-position)

    def times(self, value: float, factor: float) -> float:
        return 1.0 - (1.0 - value) * factor

    def check(self, low: float, high: float) -> str | None:
        return None if high < 1 else "scale='one_minus' needs high < 1; lower high, for example to 0.999"


_SCALES: dict[ScaleName, Scale] = {"linear": Linear(), "log": Log(), "one_minus": OneMinus()}


def scale_named(name: str) -> Scale:
    """The scale of a name.

    Raises:
        InvalidValue: There is no scale of that name.
    """
    for known, scale in _SCALES.items():
        if known == name:
            return scale
    raise InvalidValue(f"scale={name!r} is not known; use one of {', '.join(map(repr, _SCALES))}")
