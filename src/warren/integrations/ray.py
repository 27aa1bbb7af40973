"""Ray Tune's parameter space as a space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from warren.errors import InvalidType, InvalidValue
from warren.integrations.values import choice, finite, module, steps
from warren.space import Dimension, Float, Int, Space
from warren.space.scale import ScaleName


def from_ray(param_space: Mapping[str, Any]) -> Space:
    """A space of Ray Tune's ``param_space``, with its nesting.

    ``loguniform`` and ``lograndint`` become ``scale="log"``; the upper bound of whole numbers, which Ray leaves out,
    becomes an included one; ``quniform`` and ``qrandint`` become an ordered `Choice` of their values, and a constant a
    `Choice` of one value.

    Args:
        param_space: Names to what ``ray.tune`` gives, to constants, or to another such mapping.

    Raises:
        InvalidType: It is no such mapping, or a constant or a choice is of other than scalars.
        InvalidValue: Something has no counterpart: a normal distribution, which has no bounds; a grid search; a
            function to sample from; steps on a log scale; more than a thousand steps.
        MissingExtra: Ray is not installed.
    """
    kinds = module("ray.tune.search.sample", "from_ray")
    if not isinstance(param_space, Mapping):
        raise InvalidType(f"from_ray: param_space must be a mapping such as {{'lr': ...}}, but got {param_space!r}")
    return Space(_nested(param_space, "", kinds))


def _nested(given: Mapping[str, Any], prefix: str, kinds: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, one in given.items():
        where = f"from_ray: {f'{prefix}{name}'!r}"
        if isinstance(one, Mapping) and set(one) == {"grid_search"}:
            raise InvalidValue(
                f"{where} is a grid search, which tries each value once; a member draws one: write tune.choice(...)"
            )
        if isinstance(one, Mapping):
            found[name] = _nested(one, f"{prefix}{name}.", kinds)
        elif isinstance(one, kinds.Domain):
            found[name] = _dimension(where, one, kinds)
        else:
            found[name] = choice(where, (one,))
    return found


def _dimension(where: str, one: Any, kinds: Any) -> Dimension:
    if isinstance(one, kinds.Function):
        raise InvalidValue(f"{where} is sampled by a function, whose range is not known; give a range or a choice")
    sampler, step = one.get_sampler(), None
    if isinstance(sampler, kinds.Quantized):
        sampler, step = sampler.get_sampler(), sampler.q
    if isinstance(sampler, kinds.Normal):
        raise InvalidValue(
            f"{where} is drawn from a normal distribution, which has no bounds; write tune.uniform(low, high)"
        )
    if isinstance(one, kinds.Categorical):
        if isinstance(sampler, kinds.Grid):
            raise InvalidValue(f"{where} is a grid, which tries each value once; write tune.choice(...)")
        return choice(where, one.categories)
    if not isinstance(sampler, (kinds.Uniform, kinds.LogUniform)) or not isinstance(one, (kinds.Float, kinds.Integer)):
        raise InvalidType(f"{where} is {one!r} with {sampler!r}, which is no kind that is known of Ray Tune")
    finite(where, one.lower, one.upper)
    log = isinstance(sampler, kinds.LogUniform)
    whole = isinstance(one, kinds.Integer)
    if step is None or (whole and step == 1):
        scale: ScaleName = "log" if log else "linear"
        return Int(one.lower, one.upper - 1, scale=scale) if whole else Float(one.lower, one.upper, scale=scale)
    if log:
        raise InvalidValue(
            f"{where} has steps of {step!r} on a log scale, which no range has here; write tune.loguniform or "
            "tune.lograndint, without q"
        )
    if whole:
        return steps(where, 0, step, range(-(-one.lower // step), one.upper // step + 1))
    return steps(where, 0.0, step, range(round(one.lower / step), round(one.upper / step) + 1))
