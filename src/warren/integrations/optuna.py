"""Optuna's distributions as a space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from warren.errors import InvalidType
from warren.integrations.values import choice, module, steps
from warren.space import Dimension, Float, Int, Space


def from_optuna(distributions: Mapping[str, Any]) -> Space:
    """A space of Optuna's distributions (optuna >= 3.0).

    ``log=True`` becomes ``scale="log"``; a float with a step, and a whole number with one above 1, an ordered `Choice`
    of its values. Conditions are not in distributions, but in the code of an objective: put them around the result
    with `When`.

    Args:
        distributions: Names to distributions, as in ``study.best_trial.distributions`` or written by hand:
            ``{"lr": FloatDistribution(1e-5, 1e-1, log=True)}``.

    Raises:
        InvalidType: It is no such mapping, has another kind of distribution, or a choice of other than scalars.
        InvalidValue: A step leaves more than a thousand values.
        MissingExtra: Optuna is not installed.
    """
    kinds = module("optuna.distributions", "from_optuna")
    if not isinstance(distributions, Mapping):
        raise InvalidType(
            f"from_optuna: distributions must be a mapping of names to distributions such as trial.distributions, but "
            f"got {distributions!r}"
        )
    return Space({name: _dimension(name, one, kinds) for name, one in distributions.items()})


def _dimension(name: str, one: Any, kinds: Any) -> Dimension:
    where = f"from_optuna: {name!r}"
    if isinstance(one, kinds.CategoricalDistribution):
        return choice(where, one.choices)
    if isinstance(one, kinds.FloatDistribution):
        if one.step is not None:
            return steps(where, one.low, one.step, range(round((one.high - one.low) / one.step) + 1))
        return Float(one.low, one.high, scale="log" if one.log else "linear")
    if isinstance(one, kinds.IntDistribution):
        if one.step != 1:
            return steps(where, one.low, one.step, range((one.high - one.low) // one.step + 1))
        return Int(one.low, one.high, scale="log" if one.log else "linear")
    raise InvalidType(
        f"{where} is {one!r}; known are FloatDistribution, IntDistribution and CategoricalDistribution of Optuna 3.0 on"
    )
