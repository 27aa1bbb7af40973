"""States averaged: what members that descend from one another can be combined to, and HDET, which does it all along."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from warren.errors import InvalidValue
from warren.population import IntervalRow, Keys, Plan, View
from warren.space import Float, Space
from warren.strategies.explore import Unchanged
from warren.strategies.moves import assign, begin, keep, rescue, train_on
from warren.strategies.ready import Every
from warren.strategies.standing import ranked

if TYPE_CHECKING:
    from warren.values import Json

DEPTH = 64
"""Intervals that ancestors are looked for: as many as a log keeps for certain."""


def kin(view: View, rows: Sequence[IntervalRow]) -> tuple[IntervalRow, ...]:
    """Those of some reports whose states have an ancestor in common with that of the first one.

    The mean of networks that were made from different seeds is worth nothing; that of networks that went apart a while
    ago mostly is. Ancestors are looked for in the last 64 intervals.

    Args:
        view: Facts at equal progress.
        rows: At least one report.

    Returns:
        Some of `rows`, in their order; the first one always.
    """

    def line(row: IntervalRow) -> set[int]:
        return {known.id for known in view.lineage(row) if known.interval > view.at - DEPTH}

    first = line(rows[0])
    return (rows[0], *(row for row in rows[1:] if not first.isdisjoint(line(row))))


def combine(
    view: View, rows: Sequence[IntervalRow], hyperparameters: dict[str, Any], *, intervals: int = 1, tag: Json = None
) -> Plan:
    """The member that is due goes on from the mean of states; a copy where it is one, its own where that is its own.

    Args:
        view: Facts at equal progress.
        rows: The reports whose states are averaged, at least one, of the same shape. What is no floating array comes
            from the first.
        hyperparameters: What it trains with from now on; those that shape the objects must be those of `rows`.
        intervals: Until its next decision.
        tag: A note that comes back with the member and in its reports.
    """
    own = view.report is not None and rows[0].id == view.report.id and not view.failing
    if len(rows) == 1 and own:
        return train_on(view, hyperparameters, intervals=intervals, tag=tag)
    sources = tuple(row.checkpoint for row in rows if row.checkpoint is not None)
    via = "copy" if len(sources) == 1 else "mean"
    return assign(view, hyperparameters, via=via, sources=sources, intervals=intervals, tag=tag)


@dataclass(frozen=True, kw_only=True)
class Averaging:
    """Hyperparameter-divergent ensemble training, HDET (Cheng, Huang, Zhu and Alonso 2026, arXiv 2604.24708).

    Fan out: member r of N trains with the shared base b of a hyperparameter times
    rho_r = 1 + a (r - (N - 1) / 2) / max((N - 1) / 2, 1/2) (equation 1), dealt out anew at each turn, for each
    hyperparameter on its own. Converge: every T intervals all members go on from the mean of all states. The base then
    moves to where members did better: with weights w_r = softmax(s_r / t), s_r the scores,
    d = sum_r w_r b_r - mean_r b_r; v <- m v + (1 - m) d; b <- mean_r b_r (1 - g) + l v.

    Decided here: s_r are scores in standard deviations over the members, so that t needs no unit (the paper has
    differences of training losses, and t = 0.002). Members do not share gradients. The first turn is a copy of the
    best, since states from different seeds have no mean, and so it goes for whoever was made afresh since. Until then
    positions are radical inverses, the same whatever the population. All floating arrays are averaged, an optimizer's
    moments too; counters are the best member's. Values are held in their range.

    In a synchronous run all members take the very same mean. In an asynchronous one nobody waits: each takes the mean
    of what the others had reported at its own interval, or before.

    Traps: what diverged is left out of the mean and takes it over. Each member reads all states: N x N reads at a turn.

    Args:
        names: The hyperparameters that are spread, Floats that may change; none: every one with ``scale="log"``.
        spread: a, from 0 to below 1; the paper's is 1/9.
        every: T, in intervals.
        temperature: t, positive.
        momentum: m, from 0 to below 1.
        rate: l; 0 leaves the base where it is.
        decay: g, from 0 to below 1: the share of the base that is lost at each turn.

    Raises:
        InvalidValue: A number is out of its range; at the start, a hyperparameter cannot be spread.
    """

    names: tuple[str, ...] = ()
    spread: float = 1 / 9
    every: int = 1
    temperature: float = 1.0
    momentum: float = 0.9
    rate: float = 0.5
    decay: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        if Every(every=self.every).every >= DEPTH:
            raise InvalidValue(
                f"Averaging: every must be below {DEPTH}, but got {self.every}: no ancestor is known for longer, and "
                "states without a common one are not averaged"
            )
        for field, positive in (("spread", False), ("momentum", False), ("decay", False), ("temperature", True)):
            value = getattr(self, field)
            if positive and not (math.isfinite(value) and value > 0):
                raise InvalidValue(f"Averaging: {field} must be positive and finite, but got {value!r}")
            if not positive and not 0 <= value < 1:
                raise InvalidValue(f"Averaging: {field} must lie in [0, 1), but got {value!r}")
        if not (math.isfinite(self.rate) and self.rate >= 0):
            raise InvalidValue(f"Averaging: rate must be at least 0 and finite, but got {self.rate!r}")

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """Every member with the same draw from the prior, fanned out, and a state made from its own seed."""
        first = begin(space, 0, keys, intervals=self.every)
        actions = []
        for member in range(size):
            values = dict(first.hyperparameters)
            factor = 1.0 + self.spread * (2.0 * _radical_inverse(member + 1) - 1.0)
            for name, dimension in self._spread(space, values):
                values[name] = _held(dimension, _amount(dimension, values[name]) * factor)
            legal = space.repaired(values, keys.shared("repair"), fixed=space.rebuild)
            actions.append(replace(first, member=member, hyperparameters=legal))
        return Plan(actions=tuple(actions))

    def decide(self, view: View, keys: Keys) -> Plan:
        """Converge and fan out, for the member that is due."""
        intervals = Every(every=self.every, warmup=0).after(view.at) - view.at
        report = view.report
        if not view.failing and (report is None or report.interval != view.at):
            return keep(intervals=intervals)  # its own score is still to come
        best_first = ranked(view, keys)
        if not best_first:
            return rescue(view, view.facts.scores, Unchanged(), keys, intervals=intervals)
        sources = view.once(("kin", keys.seed, keys.interval), lambda: kin(view, best_first))
        values = dict(sources[0].hyperparameters)
        velocity: dict[str, Json] = {}
        for name, dimension in self._spread(view.space, values):
            base, pace = self._base(view, name, dimension, sources[0].tag)
            velocity[name] = pace
            place = int(keys.shared(f"spread/{name}").permutation(max(view.size, view.due.member + 1))[view.due.member])
            values[name] = _held(dimension, base * self.factor(place, view.size))
        values = view.space.repaired(values, keys.shared("repair"), fixed=view.space.rebuild)
        return combine(view, sources, values, intervals=intervals, tag={"velocity": velocity})

    def factor(self, place: int, size: int) -> float:
        """rho of equation 1.

        Args:
            place: From 0.
            size: N.
        """
        middle = (size - 1) / 2
        return 1.0 + self.spread * (place - middle) / max(middle, 0.5)

    def _base(self, view: View, name: str, dimension: Float, tag: Json) -> tuple[float, float]:
        """The base that members are fanned out around from now on, and its velocity."""
        facts = view.facts
        having = [fit and name in row.hyperparameters for row, fit in zip(facts.rows, facts.healthy, strict=True)]
        fit = np.flatnonzero(having)
        values = np.array([_amount(dimension, facts.rows[place].hyperparameters[name]) for place in fit.tolist()])
        mean = float(values.mean())
        scores = facts.scores[fit] / max(1.0, float(np.abs(facts.scores[fit]).max()))  # 1e308 has no square
        deviation = float(scores.std())
        weights = (
            np.exp((scores - scores.max()) / (deviation * self.temperature)) if deviation > 0 else np.ones(len(fit))
        )
        signal = float(weights @ values / weights.sum()) - mean
        velocity = self.momentum * _velocity(tag, name) + (1.0 - self.momentum) * signal
        return mean * (1.0 - self.decay) + self.rate * velocity, velocity

    def _spread(self, space: Space, values: Mapping[str, Any]) -> list[tuple[str, Float]]:
        """The dimensions that are spread, by name; those that do not exist beside the others are left out."""
        found = []
        for name in self.names or sorted(space):
            dimension = space[name]
            if isinstance(dimension, Float) and not dimension.rebuild:
                if name in values and (self.names or dimension.scale == "log"):
                    found.append((name, dimension))
            elif self.names:
                raise InvalidValue(f"Averaging: names has {name!r}, which must be a Float without rebuild=True")
        return found


def _amount(dimension: Float, value: float) -> float:
    """What is multiplied: the value, or its distance to 1 on a one-minus scale."""
    return 1.0 - value if dimension.scale == "one_minus" else value


def _held(dimension: Float, amount: float) -> float:
    value = 1.0 - amount if dimension.scale == "one_minus" else amount
    return min(max(value, dimension.low), dimension.high)


def _velocity(tag: Json, name: str) -> float:
    velocity = tag.get("velocity") if isinstance(tag, dict) else None
    value = velocity.get(name, 0.0) if isinstance(velocity, dict) else 0.0
    return float(value) if isinstance(value, (int, float)) else 0.0


def _radical_inverse(n: int) -> float:
    """1/2, 1/4, 3/4, 1/8, ...: the digits of n in base 2, mirrored at the point (van der Corput 1935)."""
    found, part = 0.0, 0.5
    while n:
        found += part * (n % 2)
        n, part = n // 2, part / 2
    return found
