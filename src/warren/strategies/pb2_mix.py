"""PB2-Mix: PB2 where hyperparameters without an order are chosen by a bandit of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from warren.errors import InvalidType, InvalidValue
from warren.population import Keys, Plan, View
from warren.space import Choice, Space
from warren.strategies.pb2 import PB2

if TYPE_CHECKING:
    from warren.space.dimension import Scalar
    from warren.strategies.bandit import Known
    from warren.strategies.gp import Array


@dataclass(frozen=True, kw_only=True)
class Exp3:
    """Choices are drawn by EXP3.M (Uchiya, Nakamura and Kudo 2010), made to forget: TV.EXP3.M of PB2-Mix.

    Each interval is a round in which all members play, each the value that it trained with; what is gained in a round
    is scaled to [0, 1] among all that is known. `played` says how often each value is expected to be played, `rewarded`
    what a round makes of the weights. The rounds are played over again from what is known at each decision.

    Args:
        mixing: Share of the plays that are uniform, above 0 and at most 1. None takes that of the public code: 0.2
            where there are at least as many members B as values C, else ``sqrt(C ln(C / B) / ((e - 1) B T / 10))``,
            at most 1, with T intervals.
        forgetting: Share of the weights that is spread over all values after a round, divided by e; from 0 to 1. None
            takes that of the public code, ``1 / (10 T)``.

    Raises:
        InvalidValue: A number is out of its range.
    """

    mixing: float | None = None
    forgetting: float | None = None

    def __post_init__(self) -> None:
        if self.mixing is not None and not 0 < self.mixing <= 1:
            raise InvalidValue(f"Exp3: mixing must lie above 0 and at most at 1, but got {self.mixing!r}")
        if self.forgetting is not None and not 0 <= self.forgetting <= 1:
            raise InvalidValue(f"Exp3: forgetting must lie in [0, 1], but got {self.forgetting!r}")

    @property
    def learned(self) -> bool:
        return True

    def __call__(self, view: View, name: str, value: Scalar, known: Known, rng: np.random.Generator) -> Scalar:
        choice = view.space[name]
        if not isinstance(choice, Choice):
            raise InvalidType(f"Exp3: {name} must be a Choice, but it is a {type(choice).__name__}")
        members, values = len(view.facts.members), choice.values
        mixing = exploration(len(values), members, view.limit) if self.mixing is None else self.mixing
        forgetting = 0.1 / view.limit if self.forgetting is None else self.forgetting
        halves = known.gains / 2  # since the whole range may be beyond a float
        low, high = float(halves.min()), float(halves.max())
        rewards = (halves - low) / (high - low) if high > low else np.zeros(len(halves))
        plays = [
            (trial.begun, place, float(reward))
            for trial, reward in zip(known.trials, rewards, strict=True)
            if (place := choice.place(trial.hyperparameters.get(name, _ABSENT))) is not None
        ]
        weights = np.full(len(values), 1 / len(values))
        for _, group in groupby(plays, key=lambda play: play[0]):
            _, places, gains = zip(*group, strict=True)
            weights = rewarded(weights, places, gains, mixing=mixing, forgetting=forgetting)
        share = played(weights, members, mixing) / members
        return values[int(rng.choice(len(values), p=share / share.sum()))]


_ABSENT = object()
"""Equals no value of a choice, not even None."""


def exploration(values: int, members: int, intervals: int) -> float:
    """The share of plays that are uniform; see `Exp3`."""
    if members >= values:
        return 0.2
    return min(1.0, math.sqrt(values * math.log(values / members) / ((math.e - 1) * members * intervals / 10)))


def played(weights: Array, plays: int, mixing: float) -> Array:
    """How often each value is expected to be played in a round (Uchiya et al. 2010, algorithm EXP3.M).

    ``B ((1 - g) w / sum(w) + g / C)``. Where there are more values than plays, none is played twice: weights are capped
    so that this is at most 1.

    Args:
        weights: Positive. Shape (C,).
        plays: B, at least 1.
        mixing: g, in (0, 1].

    Returns:
        Shape (C,), with the sum B.
    """
    capped = np.minimum(weights, _cap(weights, plays, mixing))
    count: Array = plays * ((1 - mixing) * capped / capped.sum() + mixing / len(weights))
    return count


def _cap(weights: Array, plays: int, mixing: float) -> float:
    """The weight above which a value would be played more than once: ``a / sum(min(w, a)) = (1/B - g/C) / (1 - g)``."""
    values = len(weights)
    if plays >= values or mixing >= 1:
        return math.inf
    most = (1 / plays - mixing / values) / (1 - mixing)
    if weights.max() < most * weights.sum():
        return math.inf
    falling = np.sort(weights)[::-1]
    for count in range(1, values):
        cap = most * float(falling[count:].sum()) / (1 - count * most)
        if falling[count] < cap:
            return cap
    return float(falling[-1])


def rewarded(
    weights: Array, places: Sequence[int], rewards: Sequence[float], *, mixing: float, forgetting: float
) -> Array:
    """The weights after a round.

    ``w exp(B g x / C) + e f / C sum(w)`` with the estimate x: the rewards of a value over how often it was expected to
    be played. What was capped in `played` is not multiplied.

    Args:
        weights: Positive. Shape (C,).
        places: Which values were played, B of them.
        rewards: What each play brought, in [0, 1].
        mixing: g, in (0, 1].
        forgetting: f.

    Returns:
        Shape (C,), with the sum 1.
    """
    plays, values = len(places), len(weights)
    estimates = np.bincount(places, weights=rewards, minlength=values) / played(weights, plays, mixing)
    growth = np.where(weights >= _cap(weights, plays, mixing), 0.0, plays * mixing / values * estimates)
    most = float(growth.max())  # all are divided by its exponential, which may be beyond a float
    grown = weights * np.exp(growth - most) + math.e * forgetting / values * weights.sum() * math.exp(-most)
    shares: Array = np.maximum(grown / grown.sum(), 1e-300)
    return shares


@dataclass(frozen=True, kw_only=True)
class PB2Mix:
    """PB2 for spaces with choices (Parker-Holder et al. 2021, arXiv 2106.15883): those first, by EXP3.M; then the GP.

    As `PB2`, but each `Choice` without an order is first drawn by `Exp3`, and the Gaussian process for the numbers sees
    which: its kernel is half the sum and half the product of the numbers' kernel and the share of choices that are
    equal. Ordered choices are numbers. Without unordered choices it is `PB2`.

    Decided here: the two kernels share a variance and a time kernel, which the public code fits for each. What the
    public code does for choices that are still to be played is left out: each copy draws by itself.

    Traps: those of `PB2`. Only the last 64 intervals are played over, and an interval tells of all hyperparameters at
    once: where numbers matter more than a choice, its bandit learns from noise.

    Args:
        fraction: As for `PB2`.
        every: As for `PB2`.
        warmup: As for `PB2`.
        window: As for `PB2`; the rounds of the bandits are those in it.
        restarts: As for `PB2`.
        choices: How hyperparameters without an order are chosen.

    Raises:
        InvalidType: As for `PB2`.
        InvalidValue: As for `PB2`.
    """

    fraction: float = 0.25
    every: int = 1
    warmup: int = 1
    window: int = 200
    restarts: int = 10
    choices: Exp3 = Exp3()
    _pb2: PB2 = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        made = PB2(
            fraction=self.fraction,
            every=self.every,
            warmup=self.warmup,
            window=self.window,
            restarts=self.restarts,
            choices=self.choices,
        )
        object.__setattr__(self, "_pb2", made)

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """As `PBT`, with the same draws for the same seed.

        Raises:
            MissingExtra: SciPy is not installed.
        """
        return self._pb2.start(space, size, keys)

    def decide(self, view: View, keys: Keys) -> Plan:
        """Copy one of the best and train on with hyperparameters that promise much, or go on."""
        return self._pb2.decide(view, keys)
