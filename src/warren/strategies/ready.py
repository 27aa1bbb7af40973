"""When a member may exploit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from warren.errors import InvalidType, InvalidValue


class Ready(Protocol):
    """Gives the intervals at which members are due for a decision."""

    def after(self, budget: int) -> int:
        """The first budget greater than `budget` at which a decision is due."""
        ...


@dataclass(frozen=True, kw_only=True)
class Every:
    """Ready every `every` intervals, once `warmup` intervals are over.

    Decisions fall on a common grid, so that members meet at equal progress also after one was rescued in between.

    Args:
        every: Intervals between two decisions.
        warmup: Intervals before which nothing is decided.
    """

    every: int = 1
    warmup: int = 1

    def __post_init__(self) -> None:
        for name, least in (("every", 1), ("warmup", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise InvalidType(f"ready: {name} must be a whole number, but got {value!r}")
            if value < least:
                raise InvalidValue(f"ready: {name} must be at least {least}, but got {value!r}")

    def after(self, budget: int) -> int:
        steps = max(0, budget - self.warmup) // self.every + 1
        return self.warmup + steps * self.every


@dataclass(frozen=True, kw_only=True)
class Never:
    """No decisions: members train on by themselves. A member that failed is still looked at."""

    def after(self, budget: int) -> int:
        return 1 << 62
