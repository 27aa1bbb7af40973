"""Hooks on states: how one state is made of several, for strategies that combine what they copy."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from warren.errors import InvalidValue, StateError, UnknownName
from warren.population import Assign
from warren.state import Arrays, Path, Tree, combine_leaves


class Draws(Protocol):
    """A key that gives generators; `warren.training.Rng` is one."""

    @property
    def seed(self) -> int:
        """A seed in ``[0, 2**31)``."""
        ...

    def numpy(self) -> Any:
        """A new NumPy generator at the start of this key's stream."""
        ...

    def torch(self, device: Any = "cpu") -> Any:
        """A new torch generator at the start of this key's stream."""
        ...

    def jax(self) -> Any:
        """A JAX key."""
        ...


Combine: TypeAlias = Callable[[Sequence[Tree], dict[str, Any], Draws], Tree]
"""``combine(states, hyperparameters, rng) -> state``; see `Hook`."""


@dataclass(frozen=True, kw_only=True)
class Hook:
    """How one state is made of several.

    Attributes:
        combine: ``combine(states, hyperparameters, rng) -> state``. `states` has one tree for each source of the
            assignment, in its order, as they were saved: by tracked names, or ``{"state": ...}`` for a `warren.Task`
            and loops that keep ``member.state``. They may be written to. `hyperparameters` are those that the member
            trains with next, by their flat names; `rng` is keyed by the run's seed, member and interval. It must be
            pure: where a worker dies it is called again, and so it is when a lineage is trained again. What it gives
            has the same names.
        fresh: The state of a fresh member, made from a seed of the recipient's own, comes last among `states`.
    """

    combine: Combine
    fresh: bool = False


class Combines(ABC):
    """A strategy with hooks of its own derives from this.

    A function that it is given as a field reaches workers and the record as the strategy does: by its name, or, where
    it has none, by cloudpickle to the run's own workers.
    """

    @property
    @abstractmethod
    def hooks(self) -> Mapping[str, Hook]:
        """The hooks that ``Assign(via=...)`` may name, beside ``mean`` and ``crossover``."""


def hooks_of(strategy: object) -> Mapping[str, Hook]:
    """A strategy's own hooks; a strategy that wraps another one hands these on."""
    return strategy.hooks if isinstance(strategy, Combines) else {}


def hook_of(strategy: object, via: str) -> Hook:
    """The hook of a name.

    Args:
        strategy: Whose assignment names it.
        via: The name.

    Raises:
        UnknownName: Neither the strategy nor warren has such a hook.
    """
    own = hooks_of(strategy)
    hook = own.get(via) or _READY.get(via)
    if hook is None:
        known = ", ".join(map(repr, ("copy", "keep", "fresh", *_READY, *own)))
        raise UnknownName(
            f"the strategy {type(strategy).__name__} plans via={via!r}, which is none of {known}; a strategy with "
            "hooks of its own derives from warren.strategies.hooks.Combines"
        )
    return hook


def require_hooks(strategy: object, assign: Assign) -> None:
    """Refuse an assignment by a hook that is not there.

    Raises:
        UnknownName: See `hook_of`.
    """
    if assign.combines:
        hook_of(strategy, assign.via)


def mean(states: Sequence[Tree], hyperparameters: dict[str, Any], rng: Draws) -> Tree:
    """The mean of all floating arrays; what is none is the first state's, and so are steps that optimizers count.

    Computed in float64, and rounded once.

    Raises:
        StateError: The states are not of one form.
    """

    def middle(arrays: Arrays, path: Path) -> Any:
        if arrays[0].ndim == 0 and path[-1:] == ("step",):  # torch's optimizers count in floats
            return arrays[0]
        total = arrays[0]
        for other in arrays[1:]:
            total = total + other
        return total / len(arrays)

    return combine_leaves(middle, states)


def crossover(states: Sequence[Tree], hyperparameters: dict[str, Any], rng: Draws) -> Tree:
    """Each floating array from one of the states, drawn uniformly; what is none is the first state's.

    Raises:
        StateError: The states are not of one form.
    """
    generator = rng.numpy()
    return combine_leaves(lambda arrays, path: arrays[int(generator.integers(len(arrays)))], states)


@dataclass(frozen=True, kw_only=True)
class ShrinkAndPerturb:
    """``old`` times the source plus ``fresh`` times a fresh state (Ash and Adams 2020, arXiv 1910.08475).

    Goes with ``Hook(combine=ShrinkAndPerturb(...), fresh=True)``. Every floating array is combined, running statistics
    and moments too. A tracked part whose form is not that of the fresh one comes fresh: an optimizer that has no
    moments yet. What is no floating array is the source's.

    Args:
        old: Factor of the source's arrays.
        fresh: Factor of the fresh state's.

    Raises:
        InvalidValue: A factor is not finite.
    """

    old: float = 0.2
    fresh: float = 0.1

    def __post_init__(self) -> None:
        for name in ("old", "fresh"):
            if not math.isfinite(getattr(self, name)):
                raise InvalidValue(f"ShrinkAndPerturb: {name} must be finite, but got {getattr(self, name)!r}")

    def __call__(self, states: Sequence[Tree], hyperparameters: dict[str, Any], rng: Draws) -> Tree:
        """See the class; of several sources the first one is used."""
        source, new = states[0], states[-1]
        return {name: self._part(part, new[name]) for name, part in source.items()}

    def _part(self, source: Tree, new: Tree) -> Tree:
        try:
            return combine_leaves(lambda arrays, path: self.old * arrays[0] + self.fresh * arrays[1], [source, new])
        except StateError:
            return new


_READY: Mapping[str, Hook] = {"mean": Hook(combine=mean), "crossover": Hook(combine=crossover)}
