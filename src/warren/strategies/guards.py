"""Guards against selection by chance: a gap that must be clear, and a member that stays as it was given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from warren.errors import InvalidType, InvalidValue
from warren.population import Assign, IntervalRow, Keys, Plan, View
from warren.space import Space
from warren.strategies.base import Strategy
from warren.strategies.compose import PBT
from warren.strategies.exploit import Exploit, Truncation
from warren.strategies.hooks import Combines, Hook, hooks_of
from warren.strategies.moves import keep

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Gap:
    """How far a donor must be ahead of a recipient, as DexPBT's public code asks (Petrenko et al. 2023).

    Ahead by more than `deviations` standard deviations of the population's fitness, and by more than `share` of the
    donor's own absolute fitness. The worst members are left out of the deviation: one that has crashed would widen it
    so much that nobody is replaced any more.

    Args:
        deviations: Standard deviations (of the population, not of a sample), at least 0.
        share: Share of the donor's absolute fitness, at least 0. It has a meaning only where 0 is a bad score.
        trimmed: Share of the healthy members, the worst ones, that the deviation leaves out, rounded down; from 0 and
            below 1.

    Raises:
        InvalidValue: A number is out of its range.
    """

    deviations: float = 0.5
    share: float = 0.0
    trimmed: float = 0.2

    def __post_init__(self) -> None:
        for name in ("deviations", "share"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InvalidValue(f"Gap: {name} must be finite and at least 0, but got {value!r}")
        if not 0 <= self.trimmed < 1:
            raise InvalidValue(f"Gap: trimmed must lie in [0, 1), but got {self.trimmed!r}")

    def clear(self, fitness: NDArray[np.float64], recipient: int, donor: int) -> bool:
        """Whether the donor is far enough ahead.

        Args:
            fitness: Of the population, greater is better; -inf for members that are not healthy. Shape (n,).
            recipient: Place in `fitness`.
            donor: Place in `fitness`.
        """
        if not np.isfinite(fitness[donor]):
            return False
        if not np.isfinite(fitness[recipient]):
            return True
        healthy = np.sort(fitness[np.isfinite(fitness)])
        unit = float(np.abs(healthy).max()) or 1.0  # differences of great scores are beyond a float
        ahead = float(fitness[donor] / unit - fitness[recipient] / unit)
        kept = healthy[math.floor(self.trimmed * len(healthy) + 1e-9) :] / unit
        return ahead > self.deviations * float(kept.std()) and ahead > self.share * abs(float(fitness[donor] / unit))


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """Any exploit, carried out only where the donor is ahead by a clear gap; else the member goes on as it is.

    Args:
        exploit: Who would be copied.
        gap: How far that one must be ahead.
    """

    exploit: Exploit = field(default_factory=Truncation)
    gap: Gap = Gap()

    def __call__(self, view: View, fitness: NDArray[np.float64], keys: Keys) -> IntervalRow | None:
        chosen = self.exploit(view, fitness, keys)
        if chosen is None or view.place is None:
            return None
        return chosen if self.gap.clear(fitness, view.place, view.facts.place[chosen.member]) else None


@dataclass(frozen=True, kw_only=True)
class Reference(Combines):
    """Any strategy, with members that keep what they were first given: they never copy and are never mutated.

    What the population has gained over them is what the strategy is worth on this run. They may be donors, so the
    population cannot do much worse than they. Give them their values with ``warren.run(initial=[...])``, which goes to
    the first members.

    A reference that diverges is not rescued: it tries on, and is set aside after too many failures in a row. It takes
    no part in the strategy's memory, and barriers of the strategy do not hold it.

    Args:
        strategy: Decides for all others.
        members: How many references there are: the first ones. At least 1.

    Raises:
        InvalidType: `members` is no whole number.
        InvalidValue: `members` is below 1.
    """

    strategy: Strategy = field(default_factory=PBT)
    members: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.members, bool) or not isinstance(self.members, int):
            raise InvalidType(f"Reference: members must be a whole number, but got {self.members!r}")
        if self.members < 1:
            raise InvalidValue(f"Reference: members must be at least 1, but got {self.members!r}")

    @property
    def hooks(self) -> Mapping[str, Hook]:
        """Those of the strategy."""
        return hooks_of(self.strategy)

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """As the strategy does."""
        return self.strategy.start(space, size, keys)

    def decide(self, view: View, keys: Keys) -> Plan:
        """Keep a reference until the strategy would decide for it again; leave all others to the strategy."""
        plan = self.strategy.decide(view, keys)
        if view.due.member >= self.members:
            return plan
        own = [action for action in plan.actions if isinstance(action, Assign) and action.member == view.due.member]
        return keep(intervals=own[-1].intervals if own else plan.intervals)
