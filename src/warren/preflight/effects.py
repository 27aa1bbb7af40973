"""Whether a hyperparameter does anything: other values to try, and what counts as an effect."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from warren.preflight.compare import Outcome, differences, is_array, part
from warren.space import Choice, Dimension, Float, Int
from warren.state.leaves import hosted, is_jax_array
from warren.training import Saver

_TRIES = 3
_LATER = {
    "clip", "warmup", "schedule", "threshold", "tolerance", "patience", "limit", "max", "min", "every", "after",
    "until", "start", "end", "delay", "gamma", "anneal", "annealing", "steps", "epochs", "period", "frequency", "eps",
    "epsilon", "milestone", "cap", "floor",
}  # fmt: skip


def variants(dimension: Dimension, value: Any, rng: np.random.Generator) -> list[Any]:
    """Other values of a hyperparameter: a moderate change, then the ends of its range."""
    if isinstance(dimension, Choice):
        others = [one for one in dimension.values if not _same(one, value)]
        return others[:_TRIES]
    if not isinstance(dimension, (Float, Int)):
        return []
    nudged = dimension.perturb(value, rng, factors=(1.25,), redraw=1.0)
    ends = sorted((dimension.low, dimension.high), key=lambda end: -abs(end - value))
    found: list[Any] = []
    for one in (nudged, *ends):
        if one != value and one not in found:
            found.append(one)
    return found[:_TRIES]


def comes_later(name: str) -> bool:
    """Whether a name says that the hyperparameter need not show in every interval: a limit, a schedule."""
    return bool(set(re.findall(r"[a-z]+", name.lower())) & _LATER)


def has_effect(
    reference: Outcome, changed: Outcome, value: Any, kinds: Mapping[str, str], states: Saver, tolerance: float
) -> bool:
    """Whether an interval with another value came to something else.

    A value that stands in the state itself is no effect: that an optimizer knows its learning rate moves no weight.

    Args:
        reference: The interval as it was.
        changed: The one with the other value.
        value: That value.
        kinds: What the tracked objects are, by name.
        states: Where the states are.
        tolerance: Distance that is no difference.
    """
    if reference.status != changed.status:
        return True
    if reference.score is not None and changed.score is not None:
        largest = max(abs(reference.score), abs(changed.score))
        if abs(reference.score - changed.score) > tolerance * largest:
            return True
    if reference.checkpoint is None or changed.checkpoint is None:
        return False
    before = part(states.load(reference.checkpoint.name))
    after = part(states.load(changed.checkpoint.name))
    return any(_counted(before, after, value, kinds, tolerance))


def _counted(
    before: dict[str, Any], after: dict[str, Any], value: Any, kinds: Mapping[str, str], tolerance: float
) -> Iterator[bool]:
    for path, distance, leaf in differences(before, after):
        settings = kinds.get(str(path[0])) in ("optimizer", "scheduler")
        if distance <= tolerance or (settings and ("param_groups" in path or not is_array(leaf))):
            continue
        yield not _is(leaf, value)


def _is(leaf: Any, value: Any) -> bool:
    """Whether a leaf is nothing but the value."""
    if is_jax_array(leaf):
        leaf = hosted(leaf).array  # of a random key, its data
    if is_array(leaf):
        if math.prod(leaf.shape) != 1:
            return False
        leaf = leaf.item()
    if isinstance(value, (int, float)) and isinstance(leaf, (int, float)):
        return math.isclose(leaf, value, rel_tol=1e-6)
    return bool(leaf == value)


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)
