"""Pairwise learning: a member that copies does not jump to the better one's hyperparameters, it moves towards them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from warren.errors import InvalidValue
from warren.population import IntervalRow, Keys, Plan, View
from warren.space import Choice, Space
from warren.strategies.exploit import Exploit, Truncation
from warren.strategies.explore import Perturb
from warren.strategies.fitness import Fitness, LastScore
from warren.strategies.moves import begin_all, keep, rescue, take_over
from warren.strategies.ready import Every

if TYPE_CHECKING:
    import numpy as np

    from warren.values import Json


@dataclass(frozen=True, kw_only=True)
class PairwisePBT:
    """Generalized PBT with pairwise learning, GPBT-PL (Bai and Cheng 2024, arXiv 2404.08233).

    The worse of a pair copies the weights of the better one, and learns from its hyperparameters with a momentum::

        v = U1 * v_old + U2 * (h_better - h_worse),    h = clip(h_worse + v)

    with U1 and U2 uniform in [0, 1], drawn for each hyperparameter. The velocity v belongs to the member and is kept in
    its tag; it is 0 at first. With probability `resample` a number is drawn from its prior instead; its velocity then
    becomes 0. Choices have no difference: they are taken from the better one, and then an ordered one moves to a
    neighbour, an unordered one is drawn again with probability `resample`.

    Numbers move on their own scale, from 0 at the lower end to 1 at the upper one: on a linear scale these are the
    paper's equations, on a log scale it is the logarithm that learns.

    The paper draws pairs at random, which is ``pair=Tournament()``; its public code pairs a member of the worst quarter
    with one of the best quarter, which is the default.

    Traps: the population contracts where `resample` is small, as h stays between the pair but for the momentum. A
    member that is rescued loses its velocity.

    Args:
        pair: Who learns from whom.
        resample: Probability of drawing a hyperparameter again.
        inertia: Scales the share of the old velocity, as a factor of U1; at least 0.
        pull: Scales the share of the difference, as a factor of U2; at least 0.
        fitness: What is compared; default: the last score.
        every: Intervals between two decisions for a member.
        warmup: Intervals before the first decision can come.

    Raises:
        InvalidValue: A number is out of its range.
    """

    pair: Exploit = field(default_factory=lambda: Truncation(fraction=0.25))
    resample: float = 0.25
    inertia: float = 1.0
    pull: float = 1.0
    fitness: Fitness = field(default_factory=LastScore)
    every: int = 1
    warmup: int = 1
    _ready: Every = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.resample <= 1:
            raise InvalidValue(f"PairwisePBT: resample must lie in [0, 1], but got {self.resample!r}")
        for name in ("inertia", "pull"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise InvalidValue(f"PairwisePBT: {name} must be finite and at least 0, but got {value!r}")
        object.__setattr__(self, "_ready", Every(every=self.every, warmup=self.warmup))

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """As `PBT`, with the same draws for the same seed."""
        first = self._ready.after(0)
        return begin_all(space, size, keys, intervals=first)

    def decide(self, view: View, keys: Keys) -> Plan:
        """Learn from a better member, where the member that is due has met one."""
        intervals = self._ready.after(view.at) - view.at
        fitness = self.fitness(view)
        if view.failing:
            return rescue(view, fitness, Perturb(), keys, intervals=intervals)
        if view.report is None or view.report.interval != view.at:
            return keep(intervals=intervals)  # its own score is still to come
        better = self.pair(view, fitness, keys)
        if better is None:
            return keep(intervals=intervals)
        learned, velocity = self.learn(view, better, keys)
        tag: Json = {"velocity": {**velocity}}
        return take_over(view, better, lambda *_: learned, keys, intervals=intervals, tag=tag)

    def learn(self, view: View, better: IntervalRow, keys: Keys) -> tuple[dict[str, Any], dict[str, float]]:
        """The hyperparameters of the member that is due, moved towards a better one's, and its velocities.

        Args:
            view: Facts at equal progress.
            better: The report that is learned from.
            keys: The key of the member that is due.

        Returns:
            Hyperparameters, complete, and for each number its velocity in shares of its range on its scale.
        """
        rng = keys.generator("learn")
        own, old = view.due.hyperparameters, velocities(view)
        learned, velocity = dict(better.hyperparameters), {}
        for name in sorted(set(learned) - view.space.rebuild):
            dimension = view.space[name]
            if isinstance(dimension, Choice):
                learned[name] = dimension.perturb(learned[name], rng, factors=(1.0,), redraw=self.resample)
            elif float(rng.random()) < self.resample or name not in own:
                learned[name], velocity[name] = dimension.sample(rng), 0.0
            else:
                here = dimension.unit(own[name])
                ahead = dimension.unit(learned[name]) - here
                velocity[name] = self._velocity(old.get(name, 0.0), ahead, rng)
                learned[name] = dimension.at(here + velocity[name])
        return view.space.merged(better.hyperparameters, learned, rng), velocity

    def _velocity(self, old: float, ahead: float, rng: np.random.Generator) -> float:
        u1, u2 = rng.random(2).tolist()
        # No more than the whole range: a great inertia would otherwise let it grow without end.
        return float(min(max(self.inertia * u1 * old + self.pull * u2 * ahead, -1.0), 1.0))


def velocities(view: View) -> Mapping[str, float]:
    """What the tag of the member that is due says of its velocities; empty where it has none yet."""
    tag = view.due.tag
    kept = tag.get("velocity") if isinstance(tag, dict) else None
    return {name: float(v) for name, v in kept.items() if isinstance(v, (int, float))} if isinstance(kept, dict) else {}
