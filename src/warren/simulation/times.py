"""How long simulated intervals take, and which of them fail: draws that are keyed, so that they can be paired."""

from __future__ import annotations

import math
from dataclasses import dataclass

from warren.errors import InvalidType, InvalidValue
from warren.population import Keys


@dataclass(frozen=True, kw_only=True)
class Durations:
    """How long intervals take, in units of a plain one.

    Both spreads are log-normal with the mean 1, so that they change who waits for whom and not the expected work.

    Args:
        interval: Of a plain interval, greater than 0.
        evaluation: Of the evaluation at its end, which comes on top of it; at least 0. It counts as cost as well.
        stragglers: Deviation of the logarithm, drawn for each interval; at least 0.
        slowness: Deviation of the logarithm, drawn once for each member; at least 0.

    Raises:
        InvalidType: A value is no number.
        InvalidValue: A value is out of its range.
    """

    interval: float = 1.0
    evaluation: float = 0.0
    stragglers: float = 0.0
    slowness: float = 0.0

    def __post_init__(self) -> None:
        for name in ("interval", "evaluation", "stragglers", "slowness"):
            _number("Durations", name, getattr(self, name), math.inf)
        if self.interval == 0:
            raise InvalidValue("Durations: interval must be greater than 0, but got 0")

    def of(self, keys: Keys) -> float:
        """How long the interval of a key takes, its evaluation included."""
        factor = 1.0
        if self.stragglers:
            factor *= _spread(keys, "stragglers", self.stragglers)
        if self.slowness:
            own = Keys(seed=keys.seed, member=keys.member, interval=0)
            factor *= _spread(own, "slowness", self.slowness)
        return self.interval * factor + self.evaluation


@dataclass(frozen=True, kw_only=True)
class Failures:
    """How often intervals come to nothing. The time until then is spent all the same.

    Args:
        crash: Probability that an interval fails at its end: its member is tried again from the state before it.
        diverge: Probability that a score is not finite: the interval counts, and its state is lost.

    Raises:
        InvalidType: A value is no number.
        InvalidValue: A value is no probability.
    """

    crash: float = 0.0
    diverge: float = 0.0

    def __post_init__(self) -> None:
        for name in ("crash", "diverge"):
            _number("Failures", name, getattr(self, name), 1.0)

    def crashes(self, keys: Keys) -> bool:
        """Whether the interval of a key fails."""
        return self.crash > 0 and keys.generator("simulated/crash").random() < self.crash

    def diverges(self, keys: Keys) -> bool:
        """Whether the score of the interval of a key is not finite."""
        return self.diverge > 0 and keys.generator("simulated/diverge").random() < self.diverge


def _spread(keys: Keys, purpose: str, deviation: float) -> float:
    drawn = float(keys.generator(f"simulated/{purpose}").standard_normal())
    return math.exp(deviation * drawn - 0.5 * deviation * deviation)


def _number(kind: str, name: str, value: object, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidType(f"{kind}: {name} must be a number, but got {value!r}")
    if not 0 <= value <= most or not math.isfinite(value):
        rule = "must lie in [0, 1]" if most == 1 else "must be finite and not negative"
        raise InvalidValue(f"{kind}: {name} {rule}, but got {value!r}")
