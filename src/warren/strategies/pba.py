"""PBA: augmentation schedules, whose probabilities and magnitudes are whole numbers that move by a few steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from warren.errors import InvalidValue
from warren.population import Keys, Plan, View
from warren.space import Choice, Dimension, Int, Space
from warren.strategies.checks import check_counts
from warren.strategies.compose import Composed
from warren.strategies.exploit import Truncation
from warren.strategies.explore import Explore
from warren.strategies.fitness import Fitness, LastScore
from warren.strategies.ready import Every


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Each hyperparameter is drawn again with some probability, else moves by a few steps of its grid, up or down.

    The explore of PBA (algorithm 1 of its paper): the number of steps is drawn uniformly from 0 to `steps`, then
    the direction; a move past the end stops there. A step is 1 for whole numbers on a linear scale, the neighbour for
    ordered choices, and for all other numbers ``1 / levels`` of their range on their scale. Unordered choices have no
    steps: they are only drawn again.

    Args:
        resample: Probability with which a hyperparameter is drawn from its prior.
        steps: The most steps of one move, at least 1.
        levels: Steps from one end to the other where the dimension has no grid of its own, at least 1.

    Raises:
        InvalidType: `steps` or `levels` is no whole number.
        InvalidValue: A number is out of its range.
    """

    resample: float = 0.2
    steps: int = 3
    levels: int = 10

    def __post_init__(self) -> None:
        if not 0 <= self.resample <= 1:
            raise InvalidValue(f"Grid: resample must lie in [0, 1], but got {self.resample!r}")
        check_counts("Grid", steps=self.steps, levels=self.levels)

    def __call__(self, view: View, hyperparameters: dict[str, Any], keys: Keys) -> dict[str, Any]:
        rng = keys.generator("explore")

        def move(dimension: Dimension, value: Any) -> Any:
            if float(rng.random()) < self.resample:
                return dimension.sample(rng)
            amount = int(rng.integers(self.steps, endpoint=True))
            return self._moved(dimension, value, amount if float(rng.random()) < 0.5 else -amount)

        return view.space.mutate(hyperparameters, move, rng)

    def _moved(self, dimension: Dimension, value: Any, steps: int) -> Any:
        between = self._between(dimension)
        if not dimension.ordered or not between or not steps:
            return value
        return dimension.at(dimension.unit(value) + steps / between)

    def _between(self, dimension: Dimension) -> int:
        """Steps from one end of a dimension to the other."""
        if isinstance(dimension, Choice):
            return len(dimension.values) - 1
        if isinstance(dimension, Int) and dimension.scale == "linear":
            return dimension.high - dimension.low
        return self.levels


@dataclass(frozen=True, kw_only=True)
class PBA:
    """Population Based Augmentation: a search for schedules of data augmentation (Ho et al. 2019, arXiv 1905.05393).

    Truncation at 25 %, and explore on grids (`Grid`). Declare each operation as two whole numbers, its probability in
    tenths and its magnitude, as the paper does::

        space = {"rotate": {"probability": warren.Int(0, 10), "magnitude": warren.Int(0, 9)}, ...}

    What comes out is the schedule and not the model: `result.best.schedule` is exported and followed in a full
    training, which may be of a larger model; see `Follow`.

    The paper begins with no augmentation, all zeros, and explores from there; here members begin with draws from the
    prior, unless ``warren.run(initial=[...])`` says otherwise for each of them. Its population is 16, its interval 3
    epochs.

    Trap: a schedule that was found for short trainings has to be stretched with care; what it does early matters most.

    Args:
        fraction: Share of the population that is worst, and that is best; from 0 to 0.5.
        explore: How hyperparameters change after a copy.
        fitness: What is compared; default: the last score.
        every: Intervals between two decisions for a member.
        warmup: Intervals before the first decision can come.

    Raises:
        InvalidValue: A number is out of its range.
    """

    fraction: float = 0.25
    explore: Explore = Grid()
    fitness: Fitness = field(default_factory=LastScore)
    every: int = 1
    warmup: int = 1
    _composed: Composed = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        composed = Composed(
            ready=Every(every=self.every, warmup=self.warmup),
            fitness=self.fitness,
            exploit=Truncation(fraction=self.fraction),
            explore=self.explore,
        )
        object.__setattr__(self, "_composed", composed)

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """As `PBT`, with the same draws for the same seed."""
        return self._composed.start(space, size, keys)

    def decide(self, view: View, keys: Keys) -> Plan:
        """Exploit and explore for the member that is due."""
        return self._composed.decide(view, keys)
