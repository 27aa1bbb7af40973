"""What numbers strategies may be made with, and the errors that say so."""

from __future__ import annotations

from warren.errors import InvalidType, InvalidValue


def check_share(owner: str, fraction: float) -> None:
    """Refuse a share of the population that cannot be both the worst and the best.

    Raises:
        InvalidValue: It is not in [0, 0.5].
    """
    if not 0 <= fraction <= 0.5:
        raise InvalidValue(f"{owner}: fraction must lie in [0, 0.5], but got {fraction!r}")


def check_counts(owner: str, **counts: int) -> None:
    """Refuse what is no number of things.

    Raises:
        InvalidType: One is no whole number.
        InvalidValue: One is below 1.
    """
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidType(f"{owner}: {name} must be a whole number, but got {value!r}")
        if value < 1:
            raise InvalidValue(f"{owner}: {name} must be at least 1, but got {value!r}")
