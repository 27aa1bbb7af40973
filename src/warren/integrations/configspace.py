"""ConfigSpace's configuration spaces as a space, with their conditions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from warren.errors import InvalidType, InvalidValue
from warren.integrations.values import MOST, choice, module
from warren.space import Dimension, Float, Int, Space, When

Needs = list[tuple[str, tuple[Any, ...]]]


def from_configspace(space: Any) -> Space:
    """A space of a ``ConfigurationSpace`` (ConfigSpace >= 1.0), with its conditions.

    ``log=True`` becomes ``scale="log"``, an ordinal an ordered `Choice`, a constant a `Choice` of one value; conditions
    on categoricals, ordinals, constants and whole numbers become `When`, a conjunction one inside another. The default
    configuration is a member's first one by ``warren.run(..., initial=[dict(space.get_default_configuration())])``.

    Args:
        space: The ``ConfigurationSpace``.

    Raises:
        InvalidType: It is none, or a choice is of other than scalars.
        InvalidValue: Something has no counterpart: a forbidden clause; weights; a normal or beta distribution; a
            condition on a float; a disjunction over several hyperparameters.
        MissingExtra: ConfigSpace is not installed.
    """
    kinds = module("ConfigSpace", "from_configspace")
    if not isinstance(space, kinds.ConfigurationSpace):
        raise InvalidType(f"from_configspace: space must be a ConfigurationSpace, but got {space!r}")
    for clause in space.forbidden_clauses:
        raise InvalidValue(
            f"from_configspace: the clause ({clause}) forbids values; take it out of the space, and write a Rule, a "
            "Less or a Sum into warren.Space(..., constraints=[...])"
        )
    found: dict[str, Any] = {name: _dimension(name, one, kinds) for name, one in space.items()}
    for condition in space.conditions:
        name = _child(condition, kinds).name
        for parent, values in _needs(name, condition, kinds):
            found[name] = When(parent, values, found[name])
    return Space(found)


def _dimension(name: str, one: Any, kinds: Any) -> Dimension:
    where = f"from_configspace: {name!r}"
    if isinstance(one, kinds.Constant):
        return choice(where, (one.value,))
    if isinstance(one, kinds.OrdinalHyperparameter):
        return choice(where, one.sequence, ordered=True)
    if isinstance(one, kinds.CategoricalHyperparameter):
        if len(set(one.probabilities.tolist())) > 1:
            raise InvalidValue(f"{where} has weights, and a Choice draws each value alike; leave the weights out")
        return choice(where, one.choices)
    if isinstance(one, kinds.UniformFloatHyperparameter):
        return Float(float(one.lower), float(one.upper), scale="log" if one.log else "linear")
    if isinstance(one, kinds.UniformIntegerHyperparameter):
        return Int(int(one.lower), int(one.upper), scale="log" if one.log else "linear")
    raise InvalidValue(
        f"{where} is a {type(one).__name__}, and draws are uniform on a scale here; make it uniform, or log=True"
    )


def _child(condition: Any, kinds: Any) -> Any:
    """The hyperparameter that a condition is for; all parts of a conjunction are for the same."""
    while isinstance(condition, (kinds.AndConjunction, kinds.OrConjunction)):
        condition = condition.components[0]
    return condition.child


def _needs(name: str, condition: Any, kinds: Any) -> Needs:
    """What must hold for a hyperparameter to exist: each parent with its values."""
    where = f"from_configspace: {name!r}"
    if isinstance(condition, kinds.AndConjunction):
        return [need for part in condition.components for need in _needs(name, part, kinds)]
    if isinstance(condition, kinds.OrConjunction):
        parts = [_needs(name, part, kinds) for part in condition.components]
        parents = {parent for part in parts for parent, _ in part}
        if len(parents) > 1 or any(len(part) > 1 for part in parts):
            raise InvalidValue(
                f"{where} exists under one condition or another ({condition}); give it one condition, or leave it out "
                "of the conditions and let the training function ignore it"
            )
        return [(parents.pop(), tuple(dict.fromkeys(value for part in parts for _, own in part for value in own)))]
    parent = condition.parent
    if isinstance(condition, kinds.InCondition):
        return [(parent.name, tuple(condition.values))]
    if isinstance(condition, kinds.EqualsCondition):
        return [(parent.name, (condition.value,))]
    tests: dict[type, Callable[[int, int], bool]] = {
        kinds.NotEqualsCondition: lambda place, at: place != at,
        kinds.LessThanCondition: lambda place, at: place < at,
        kinds.GreaterThanCondition: lambda place, at: place > at,
    }
    test = next((one for kind, one in tests.items() if isinstance(condition, kind)), None)
    if test is None:
        raise InvalidType(f"{where}: the condition {condition!r} is of no kind that is known of ConfigSpace")
    values = _values(where, parent, kinds)
    at = values.index(condition.value)
    met = tuple(value for place, value in enumerate(values) if test(place, at))
    if not met:
        raise InvalidValue(f"{where}: nothing meets the condition {condition!r}; take it out of the space")
    return [(parent.name, met)]


def _values(where: str, parent: Any, kinds: Any) -> list[Any]:
    """All values of a hyperparameter that a condition is on, in order."""
    if isinstance(parent, kinds.CategoricalHyperparameter):
        return list(parent.choices)
    if isinstance(parent, kinds.OrdinalHyperparameter):
        return list(parent.sequence)
    if isinstance(parent, kinds.UniformIntegerHyperparameter) and parent.upper - parent.lower < MOST:
        return list(range(int(parent.lower), int(parent.upper) + 1))
    raise InvalidValue(
        f"{where} depends on {parent.name!r}, a {type(parent).__name__}; a condition like this is on a categorical, an "
        f"ordinal or an integer of at most {MOST} values"
    )
