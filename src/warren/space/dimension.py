"""One hyperparameter's range: a number on a scale, or a choice.

All moves end inside the range and are of the declared type, whatever they start from and whatever the step. Positions
past a bound are reflected on the scale's own line, so that a value at a bound is not stuck there.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from warren.errors import InvalidType, InvalidValue
from warren.space.scale import ScaleName, scale_named

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

Scalar: TypeAlias = bool | int | float | str | None


def reflect(position: float, low: float, high: float) -> float:
    """Fold a position on the line into ``[low, high]`` by reflection at both ends.

    Args:
        position: Where a move led to; any finite number or infinity.
        low: Lower end.
        high: Upper end, at least `low`.

    Returns:
        The folded position, in ``[low, high]``. Infinities end at the end that they point to.
    """
    if low <= position <= high:
        return position
    width = high - low
    if width <= 0:
        return low
    if not math.isfinite(position):
        return high if position > 0 else low
    offset = math.fmod(position - low, 2 * width)
    if offset < 0:
        offset += 2 * width
    return low + (offset if offset <= width else 2 * width - offset)


class Dimension(ABC):
    """What a hyperparameter may be. `Float`, `Int` and `Choice` are the kinds that there are."""

    rebuild: bool

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> Any:
        """Draw a value from the prior: uniform on the scale."""

    @abstractmethod
    def perturb(self, value: Any, rng: np.random.Generator, *, factors: Sequence[float], redraw: float) -> Any:
        """Move a value by one mutation, as the paper's *perturb*.

        Args:
            value: The value to start from.
            rng: Where the draws come from.
            factors: Numbers move by one of these, drawn uniformly, on their scale.
            redraw: The probability with which an unordered choice is drawn again.

        Returns:
            A value inside the range, of the declared type.
        """

    @abstractmethod
    def shift(self, value: Any, rng: np.random.Generator, *, deviation: float, redraw: float) -> Any:
        """Move a value by additive Gaussian noise.

        Args:
            value: The value to start from.
            rng: Where the draws come from.
            deviation: Standard deviation in units of the scale: of the value itself on a linear scale, of its
                natural logarithm on a log scale, of ``-ln(1 - v)`` on a one-minus scale.
            redraw: The probability with which an unordered choice is drawn again.

        Returns:
            A value inside the range, of the declared type.
        """

    @abstractmethod
    def check(self, value: Any, name: str) -> Any:
        """The value in its declared type, or an error that says why it is not legal.

        Args:
            value: What a user or a record gives.
            name: The hyperparameter's name, for the message.

        Raises:
            InvalidType: The value is of another kind.
            InvalidValue: The value is outside the range.
        """

    @property
    def ordered(self) -> bool:
        """Whether its values have an order, which `unit` and `at` need."""
        return True

    @abstractmethod
    def unit(self, value: Any) -> float:
        """Where a value lies in the range: from 0 for the lowest to 1 for the highest, even on the scale.

        Ordered choices lie evenly by their places. Where there is only one value, it lies at 0.

        Args:
            value: A legal one.

        Raises:
            InvalidValue: The choice is not ordered.
        """

    @abstractmethod
    def at(self, unit: float) -> Any:
        """The value at a position, or the one nearest to it; ``at(unit(value))`` is `value`, but for a rounding.

        Args:
            unit: The position, from 0 to 1; past an end it is held at that end.

        Raises:
            InvalidValue: The choice is not ordered.
        """


def _share(position: float, low: float, high: float) -> float:
    return min(max((position - low) / (high - low), 0.0), 1.0) if high > low else 0.0


def _number(value: Any, name: str, owner: str) -> float:
    if isinstance(value, (bool, str)) or value is None:
        raise InvalidType(f"{owner}{name} must be a number, but got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        raise InvalidValue(f"{owner}{name} must be finite, but got a whole number beyond every float") from None
    except (TypeError, ValueError):
        raise InvalidType(f"{owner}{name} must be a number, but got {value!r}") from None
    if not math.isfinite(number):
        raise InvalidValue(f"{owner}{name} must be finite, but got {value!r}")
    return number


def _check_bounds(kind: str, low: float, high: float, scale: ScaleName) -> None:
    if not low <= high:
        raise InvalidValue(f"{kind}: low <= high must hold, but got low={low!r}, high={high!r}; swap them?")
    broken = scale_named(scale).check(low, high)
    if broken is not None:
        raise InvalidValue(f"{kind}(low={low!r}, high={high!r}): {broken}")


@dataclass(frozen=True)
class Float(Dimension):
    """A real number in ``[low, high]``.

    Args:
        low: Smallest value.
        high: Largest value.
        scale: ``"linear"``; ``"log"`` for learning rates (needs low > 0); ``"one_minus"`` for momenta and
            discounts (needs high < 1), which moves ``1 - v`` as ``"log"`` moves ``v``.
        rebuild: The value shapes the objects (a width, a number of layers): it is copied with the weights, never
            mutated, and a slot builds its objects again for it.

    Raises:
        InvalidType: A bound is no number.
        InvalidValue: The bounds are the wrong way round, not finite, or break the scale's rule.
    """

    low: float
    high: float
    scale: ScaleName = "linear"
    rebuild: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", _number(self.low, "low", "Float: "))
        object.__setattr__(self, "high", _number(self.high, "high", "Float: "))
        _check_bounds("Float", self.low, self.high, self.scale)

    def _hold(self, position: float) -> float:
        scale = scale_named(self.scale)
        value = scale.from_line(reflect(position, scale.to_line(self.low), scale.to_line(self.high)))
        return min(max(value, self.low), self.high)  # exp(log(v)) may miss a bound by one rounding

    def sample(self, rng: np.random.Generator) -> float:
        scale = scale_named(self.scale)
        return self._hold(float(rng.uniform(scale.to_line(self.low), scale.to_line(self.high))))

    def perturb(self, value: Any, rng: np.random.Generator, *, factors: Sequence[float], redraw: float) -> float:
        scale = scale_named(self.scale)
        moved = scale.times(float(value), factors[int(rng.integers(len(factors)))])
        if self.low <= moved <= self.high:
            return moved
        # Reflecting needs the position on the line, which is not defined past 0 or 1: f >= 0 keeps within them.
        try:
            return self._hold(scale.to_line(moved))
        except (ValueError, OverflowError):
            return self.low if moved < self.low else self.high

    def shift(self, value: Any, rng: np.random.Generator, *, deviation: float, redraw: float) -> float:
        return self._hold(scale_named(self.scale).to_line(float(value)) + float(rng.normal(0.0, deviation)))

    def check(self, value: Any, name: str) -> float:
        number = _number(value, name, "")
        if not self.low <= number <= self.high:
            raise InvalidValue(f"{name}={value!r} must lie in [{self.low!r}, {self.high!r}]")
        return number

    def unit(self, value: Any) -> float:
        scale = scale_named(self.scale)
        return _share(scale.to_line(float(value)), scale.to_line(self.low), scale.to_line(self.high))

    def at(self, unit: float) -> float:
        scale, share = scale_named(self.scale), min(max(unit, 0.0), 1.0)
        if share in (0.0, 1.0):
            return self.high if share else self.low
        return self._hold((1 - share) * scale.to_line(self.low) + share * scale.to_line(self.high))


@dataclass(frozen=True)
class Int(Dimension):
    """A whole number in ``[low, high]``, both ends included. A mutation always moves it where it can.

    Args:
        low: Smallest value.
        high: Largest value.
        scale: As for `Float`: ``"linear"`` or ``"log"``.
        rebuild: As for `Float`.

    Raises:
        InvalidType: A bound is no whole number.
        InvalidValue: The bounds are the wrong way round or break the scale's rule.
    """

    low: int
    high: int
    scale: ScaleName = "linear"
    rebuild: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", self._whole(self.low, "low", "Int: "))
        object.__setattr__(self, "high", self._whole(self.high, "high", "Int: "))
        if self.scale == "one_minus":
            raise InvalidValue("Int: scale='one_minus' has no meaning for whole numbers; use Float")
        _check_bounds("Int", self.low, self.high, self.scale)

    @staticmethod
    def _whole(value: Any, name: str, owner: str) -> int:
        number = _number(value, name, owner)
        if number != int(number):
            raise InvalidType(f"{owner}{name} must be a whole number, but got {value!r}")
        return int(value)

    def _move(self, value: int, moved: float, upwards: bool) -> int:
        """Round a moved value, make sure that it moved, and hold it in bounds."""
        if self.low == self.high:
            return self.low
        scale = scale_named(self.scale)
        try:
            held = reflect(scale.to_line(moved), scale.to_line(self.low), scale.to_line(self.high))
            whole = min(max(round(scale.from_line(held)), self.low), self.high)
        except (ValueError, OverflowError):
            whole = self.low if moved < self.low else self.high
        if whole != value:
            return whole
        step = 1 if upwards else -1
        return value + step if self.low <= value + step <= self.high else value - step

    def sample(self, rng: np.random.Generator) -> int:
        if self.scale == "linear":
            return int(rng.integers(self.low, self.high, endpoint=True))
        # Half a unit on both sides gives the end values their full share of the log scale.
        low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)
        return min(max(round(math.exp(float(rng.uniform(low, high)))), self.low), self.high)

    def perturb(self, value: Any, rng: np.random.Generator, *, factors: Sequence[float], redraw: float) -> int:
        factor = factors[int(rng.integers(len(factors)))]
        return self._move(int(value), value * factor, upwards=(factor >= 1) == (value >= 0))

    def shift(self, value: Any, rng: np.random.Generator, *, deviation: float, redraw: float) -> int:
        scale = scale_named(self.scale)
        noise = float(rng.normal(0.0, deviation))
        position = reflect(scale.to_line(value) + noise, scale.to_line(self.low), scale.to_line(self.high))
        return self._move(int(value), scale.from_line(position), upwards=noise >= 0)

    def check(self, value: Any, name: str) -> int:
        whole = self._whole(value, name, "")
        if not self.low <= whole <= self.high:
            raise InvalidValue(f"{name}={value!r} must lie in [{self.low}, {self.high}]")
        return whole

    def unit(self, value: Any) -> float:
        scale = scale_named(self.scale)
        return _share(scale.to_line(value), scale.to_line(self.low), scale.to_line(self.high))

    def at(self, unit: float) -> int:
        scale, share = scale_named(self.scale), min(max(unit, 0.0), 1.0)
        position = (1 - share) * scale.to_line(self.low) + share * scale.to_line(self.high)
        return min(max(round(scale.from_line(position)), self.low), self.high)


@dataclass(frozen=True)
class Choice(Dimension):
    """One of several values.

    Args:
        values: The values: strings, numbers, booleans or None, each once. Anything else (a class, a function)
            is named by a string here and looked up in the training function.
        ordered: The values have an order: a mutation moves to a neighbour. Otherwise it draws again with some
            probability.
        rebuild: As for `Float`.

    Raises:
        InvalidType: A value is of another kind.
        InvalidValue: There are no values, or one stands twice.
    """

    values: tuple[Scalar, ...]
    ordered: bool = False
    rebuild: bool = False

    def __post_init__(self) -> None:
        given: object = self.values
        if isinstance(given, str):
            raise InvalidType(f"Choice: values must be a list of values, but got the string {self.values!r}")
        if isinstance(given, (set, frozenset)) or not isinstance(given, Iterable):
            raise InvalidType(f"Choice: values must be a list, which has an order, but got {given!r}")
        object.__setattr__(self, "values", tuple(self.values))
        if not self.values:
            raise InvalidValue("Choice: values must not be empty; give at least one value")
        for i, value in enumerate(self.values):
            if not (value is None or isinstance(value, (bool, int, float, str))):
                raise InvalidType(
                    f"Choice: values must be strings, numbers, booleans or None, but got {value!r}; give it a name "
                    "here and look the name up in the training function"
                )
            if isinstance(value, float) and math.isnan(value):
                raise InvalidValue("Choice: nan equals nothing, not even itself; name it by a string or None")
            if self._find(value, self.values[:i]) is not None:
                raise InvalidValue(f"Choice: each value must stand once, but {value!r} stands twice")

    @staticmethod
    def _find(value: Any, values: Sequence[Scalar]) -> int | None:
        for i, known in enumerate(values):  # 1, 1.0 and True are equal in Python and not the same choice
            if known == value and isinstance(known, bool) == isinstance(value, bool):
                return i
        return None

    def sample(self, rng: np.random.Generator) -> Scalar:
        return self.values[int(rng.integers(len(self.values)))]

    def perturb(self, value: Any, rng: np.random.Generator, *, factors: Sequence[float], redraw: float) -> Scalar:
        return self._move(value, rng, redraw)

    def shift(self, value: Any, rng: np.random.Generator, *, deviation: float, redraw: float) -> Scalar:
        return self._move(value, rng, redraw)

    def _move(self, value: Any, rng: np.random.Generator, redraw: float) -> Scalar:
        if not self.ordered:
            return self.sample(rng) if float(rng.random()) < redraw else value
        place = self._find(value, self.values)
        last = len(self.values) - 1
        if place is None or last == 0:
            return self.values[0]
        step = 1 if rng.integers(2) else -1
        return self.values[place + step if 0 <= place + step <= last else place - step]

    def check(self, value: Any, name: str) -> Scalar:
        place = self.place(value)
        if place is None:
            raise InvalidValue(f"{name}={value!r} must be one of {', '.join(map(repr, self.values))}")
        return self.values[place]

    def place(self, value: Any) -> int | None:
        """Which of the values it is, from 0, or None where it is none of them."""
        return self._find(value, self.values)

    def unit(self, value: Any) -> float:
        self._check_ordered("unit")
        return _share(self.place(value) or 0, 0, len(self.values) - 1)

    def at(self, unit: float) -> Scalar:
        self._check_ordered("at")
        return self.values[round(min(max(unit, 0.0), 1.0) * (len(self.values) - 1))]

    def _check_ordered(self, method: str) -> None:
        if not self.ordered:
            raise InvalidValue(
                f"Choice: {method} needs an order, but {', '.join(map(repr, self.values))} have none; declare "
                "ordered=True where they have one"
            )
