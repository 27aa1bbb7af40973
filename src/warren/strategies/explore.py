"""How hyperparameters change: the paper's two rules, and additive noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from warren.errors import InvalidType, InvalidValue
from warren.population import Keys, View
from warren.space import Dimension, Float


class Explore(Protocol):
    """Gives new hyperparameters for old ones."""

    def __call__(self, view: View, hyperparameters: dict[str, Any], keys: Keys) -> dict[str, Any]:
        """Mutate.

        Args:
            view: Facts at equal progress, with the space.
            hyperparameters: What to start from: the donor's after a copy, else the member's own.
            keys: The key of the member that is due.

        Returns:
            Legal hyperparameters, complete.
        """
        ...


def explored(explore: Explore, view: View, hyperparameters: Mapping[str, Any], keys: Keys) -> dict[str, Any]:
    """What an explore gives, checked: it may be a user's own, and what it says goes into the record.

    Args:
        explore: What becomes of the hyperparameters.
        view: Facts at equal progress, with the space.
        hyperparameters: What to start from; the explore gets a copy, which it may write to.
        keys: The key of the member that is due.

    Raises:
        InvalidValue: A value is outside its range, is missing, or shapes the objects and was changed.
        InvalidType: A value is of the wrong kind.
        UnknownName: A name is not in the space.
    """
    given = view.space.check(explore(view, dict(hyperparameters), keys), field="explore")
    for name in view.space.active(given):
        if name not in given:
            raise InvalidValue(f"explore: {name} is missing; it has to give all hyperparameters, changed or not")
        value = hyperparameters.get(name)
        if name in view.space.rebuild and given[name] != value:
            raise InvalidValue(
                f"explore: {name}={given[name]!r} must stay {value!r}, since it shapes the objects (rebuild=True) and "
                "comes with the weights"
            )
    return given


def _probability(owner: str, name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise InvalidValue(f"{owner}: {name} must lie in [0, 1], but got {value!r}")


@dataclass(frozen=True, kw_only=True)
class Perturb:
    """Each hyperparameter moves by one of the factors, drawn independently (section 4.1.2 of the paper).

    On linear and log scales ``v * f``, on a one-minus scale ``1 - (1 - v) * f``; whole numbers always move; ordered
    choices move to a neighbour; unordered ones are drawn again with probability `redraw`. 0.8 / 1.2 drifts by -2 %
    a mutation; 0.8 / 1.25 does not.

    Args:
        factors: The factors to draw from, each positive.
        redraw: Probability with which an unordered choice is drawn again.
        resample: Probability with which a hyperparameter is drawn from its prior instead of moved.
    """

    factors: tuple[float, ...] = (0.8, 1.2)
    redraw: float = 0.25
    resample: float = 0.0

    def __post_init__(self) -> None:
        factors = tuple(self.factors) if isinstance(self.factors, (tuple, list)) else (self.factors,)
        object.__setattr__(self, "factors", factors)
        if not factors:
            raise InvalidValue("Perturb: factors must not be empty; the paper's are (0.8, 1.2)")
        for factor in factors:
            if isinstance(factor, bool) or not isinstance(factor, (int, float)):
                raise InvalidType(f"Perturb: factors must be numbers, but got {factor!r}")
            if not (math.isfinite(factor) and factor > 0):
                raise InvalidValue(f"Perturb: factors must be positive and finite, but got {factor!r}")
        _probability("Perturb", "redraw", self.redraw)
        _probability("Perturb", "resample", self.resample)

    def __call__(self, view: View, hyperparameters: dict[str, Any], keys: Keys) -> dict[str, Any]:
        rng = keys.generator("explore")

        def move(dimension: Any, value: Any) -> Any:
            if self.resample and float(rng.random()) < self.resample:
                return dimension.sample(rng)
            return dimension.perturb(value, rng, factors=self.factors, redraw=self.redraw)

        return view.space.mutate(hyperparameters, move, rng)


@dataclass(frozen=True, kw_only=True)
class Resample:
    """Each hyperparameter is drawn again from its prior with some probability (section 4.1.2 of the paper).

    Args:
        probability: Of drawing again, for each hyperparameter independently.
    """

    probability: float = 0.25

    def __post_init__(self) -> None:
        _probability("Resample", "probability", self.probability)

    def __call__(self, view: View, hyperparameters: dict[str, Any], keys: Keys) -> dict[str, Any]:
        rng = keys.generator("explore")
        return view.space.mutate(
            hyperparameters,
            lambda dimension, value: dimension.sample(rng) if float(rng.random()) < self.probability else value,
            rng,
        )


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Each hyperparameter moves by Gaussian noise in units of its scale, reflected at its bounds.

    Args:
        deviation: Standard deviation: of the value on a linear scale, of its natural logarithm on a log scale, of
            ``-ln(1 - v)`` on a one-minus scale.
        redraw: Probability with which an unordered choice is drawn again.
    """

    deviation: float = 0.1
    redraw: float = 0.25

    def __post_init__(self) -> None:
        if not (math.isfinite(self.deviation) and self.deviation > 0):
            raise InvalidValue(f"Noise: deviation must be positive and finite, but got {self.deviation!r}")
        _probability("Noise", "redraw", self.redraw)

    def __call__(self, view: View, hyperparameters: dict[str, Any], keys: Keys) -> dict[str, Any]:
        rng = keys.generator("explore")
        return view.space.mutate(
            hyperparameters,
            lambda dimension, value: dimension.shift(value, rng, deviation=self.deviation, redraw=self.redraw),
            rng,
        )


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Each hyperparameter is, with some probability, multiplied or divided by a factor drawn from a range.

    Up and down are equally likely and undo each other, so values do not drift. On a one-minus scale it is ``1 - v``
    that is moved, by a range of its own: a discount of 0.99 must not be moved as a learning rate is. Whole numbers
    always move; ordered choices move to a neighbour; unordered ones are drawn again.

    Args:
        probability: Of a move, for each hyperparameter independently.
        factors: The range that the factor is drawn from, uniformly; both at least 1.
        one_minus: The range on a one-minus scale.

    Raises:
        InvalidValue: A number is out of its range, or a range is the wrong way round.
    """

    probability: float = 0.15
    factors: tuple[float, float] = (1.1, 1.5)
    one_minus: tuple[float, float] = (1.1, 1.2)

    def __post_init__(self) -> None:
        _probability("Stretch", "probability", self.probability)
        for name in ("factors", "one_minus"):
            given = getattr(self, name)
            if not isinstance(given, (tuple, list)) or len(given) != 2:
                raise InvalidType(f"Stretch: {name} must be a range of two numbers, but got {given!r}")
            low, high = given
            if not 1 <= low <= high < math.inf:
                raise InvalidValue(f"Stretch: {name} must be a range from 1 on, low first, but got {given!r}")
            object.__setattr__(self, name, (low, high))

    def __call__(self, view: View, hyperparameters: dict[str, Any], keys: Keys) -> dict[str, Any]:
        rng = keys.generator("explore")

        def move(dimension: Dimension, value: Any) -> Any:
            if float(rng.random()) >= self.probability:
                return value
            one_minus = isinstance(dimension, Float) and dimension.scale == "one_minus"
            factor = float(rng.uniform(*(self.one_minus if one_minus else self.factors)))
            up = float(rng.random()) < 0.5
            return dimension.perturb(value, rng, factors=(factor if up else 1 / factor,), redraw=1.0)

        return view.space.mutate(hyperparameters, move, rng)


@dataclass(frozen=True, kw_only=True)
class Unchanged:
    """No explore: hyperparameters stay as they are."""

    def __call__(self, view: View, hyperparameters: dict[str, Any], keys: Keys) -> dict[str, Any]:
        return dict(hyperparameters)
