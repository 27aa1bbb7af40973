"""What the conversions have in common: choices, constants and numbers in steps."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from warren.errors import InvalidType, InvalidValue, MissingExtra
from warren.space import Choice

MOST = 1000
"""Values that a number in steps, or a condition on a whole number, may come to."""


def module(name: str, function: str) -> ModuleType:
    """A module of the library whose space is converted.

    Args:
        name: Of the module.
        function: Who needs it, for the message.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        library = name.partition(".")[0]
        raise MissingExtra(
            f"{function} reads the classes of {library}, which cannot be imported ({error}); install {library}"
        ) from None


def choice(where: str, values: Sequence[Any], *, ordered: bool = False) -> Choice:
    """A choice, or an error that says where it stands.

    Args:
        where: The function and the hyperparameter, for the message.
        values: The values; NumPy's scalars become Python's.
        ordered: As for `Choice`.
    """
    plain = [value.item() if isinstance(value, np.generic) else value for value in values]
    try:
        return Choice(tuple(plain), ordered=ordered)
    except InvalidType as error:
        raise InvalidType(f"{where}: {error}") from None
    except InvalidValue as error:
        raise InvalidValue(f"{where}: {error}") from None


def steps(where: str, origin: float, step: float, places: range) -> Choice:
    """The numbers ``origin + place * step`` as an ordered choice: a mutation moves by one step.

    The sums are those of the other libraries, so that what they drew is found again, to the last digit.

    Args:
        where: The function and the hyperparameter, for the message.
        origin: Where place 0 is.
        step: Distance of two neighbours.
        places: Those of the values.

    Raises:
        InvalidValue: There would be none, or more than `MOST` of them.
    """
    if not 0 < len(places) <= MOST:
        raise InvalidValue(
            f"{where}: it has {len(places)} values in steps of {step!r}, and 1 to {MOST} can be; leave the step out"
        )
    return choice(where, [origin + place * step for place in places], ordered=True)


def finite(where: str, low: float, high: float) -> None:
    """Refuse a range without ends."""
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InvalidValue(f"{where}: its range is ({low}, {high}), and values need both bounds; give it some")
