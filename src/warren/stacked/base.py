"""Members' states as one value with a leading member axis, and the functions that train all of them at once."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from warren.errors import InvalidType, InvalidValue
from warren.stacked.picture import Picture
from warren.state import Tree

Stacked: TypeAlias = Any
"""The states of n members as one value; only the lift that made it looks inside."""

Arrays: TypeAlias = Mapping[str, NDArray[Any]]
"""Hyperparameters by their flat names, one value a member: shape (n,)."""


class Key(Protocol):
    """The randomness of one member in one interval for one purpose; see `warren.training.Rng`."""

    @property
    def seed(self) -> int:
        """A seed in ``[0, 2**31)``, which every framework accepts."""
        ...

    def numpy(self) -> np.random.Generator:
        """A NumPy generator at the start of this key's stream."""
        ...

    def torch(self, device: Any = "cpu") -> Any:
        """A torch generator at the start of this key's stream."""
        ...

    def jax(self) -> Any:
        """A JAX key."""
        ...


Round: TypeAlias = Sequence[Sequence[tuple[Key, Key]]]
"""For each interval of a stretch and each member the keys of its training and of its evaluation."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Outcome:
    """What n members reported in a stretch of k intervals.

    Attributes:
        scores: Shape (k, n), float64.
        metrics: Other numbers by name, each of shape (k, n), float64.
        failures: Tracebacks by place, of members whose functions raised, where members are trained one by one.
    """

    scores: NDArray[np.float64]
    metrics: Mapping[str, NDArray[np.float64]]
    failures: Mapping[int, str] = field(default_factory=dict)


class Functions(Protocol):
    """What a task is made of, on one member (`warren.Task`) or on all (`warren.StackedTask`)."""

    @property
    def init(self) -> Callable[..., Any]:
        """Makes a fresh state."""
        ...

    @property
    def train_interval(self) -> Callable[..., Any]:
        """Trains one interval."""
        ...

    @property
    def evaluate(self) -> Callable[..., Any]:
        """Gives a score, or a score and metrics."""
        ...


class Lift(Protocol):
    """A task's functions on all members at once, on one device.

    A state that was given to `train` or `put` is not used again: it may have been written over.

    Attributes:
        fixed: Its program is compiled for one number of members, so those whose turn it is not are trained along, and
            put back.
    """

    @property
    def fixed(self) -> bool:
        """See the class."""
        ...

    def init(self, seeds: Sequence[int], hyperparameters: Sequence[Mapping[str, Any]]) -> Stacked:
        """Fresh states.

        Args:
            seeds: One a member, in ``[0, 2**31)``.
            hyperparameters: By their flat names, one mapping a member.
        """
        ...

    def train(self, state: Stacked, hyperparameters: Arrays, keys: Round) -> tuple[Stacked, Callable[[], Outcome]]:
        """Train all members one stretch.

        Returns:
            Their states, and what waits for the device and gives their reports.

        Raises:
            Untraceable: The functions cannot be run for all members at once; the message says why.
            OutOfMemory: The device cannot hold it.
        """
        ...

    def take(self, state: Stacked, places: NDArray[np.int64]) -> Stacked:
        """One state for each of `places`, gathered along the member axis on the device; `state` stays as it is."""
        ...

    def put(self, state: Stacked, places: NDArray[np.int64], part: Stacked) -> Stacked:
        """The states with those at `places` replaced."""
        ...

    def stack(self, trees: Sequence[Tree]) -> Stacked:
        """States as other engines keep them, brought to the device."""
        ...

    def picture(self, state: Stacked) -> Callable[[], Picture]:
        """Take a picture of the states; what is returned brings it to the host, once, from any thread."""
        ...

    def member(self, state: Stacked, place: int) -> Tree:
        """One member's state, in arrays of the framework."""
        ...

    def adopt(self, state: Stacked) -> Stacked:
        """States of another device's, on this one."""
        ...


class Untraceable(InvalidValue):
    """A task cannot be run for all members at once."""


class OutOfMemory(InvalidValue):
    """A device cannot hold as many members at a time."""


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Flat names with dots as nested dictionaries."""
    tree: dict[str, Any] = {}
    for name, value in values.items():
        *outer, last = name.split(".")
        inside = tree
        for part in outer:
            inside = inside.setdefault(part, {})
        inside[last] = value
    return tree


def columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
    """The hyperparameters of n members as arrays of shape (n,): float64, int64 or bool.

    Raises:
        InvalidType: One of them is not a number.
    """
    return {name: _column(name, [row[name] for row in rows]) for name in rows[0]}


def _column(name: str, values: Sequence[Any]) -> NDArray[Any]:
    if all(isinstance(value, bool) for value in values):
        return np.array(values, dtype=np.bool_)
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return np.array(values, dtype=np.int64)
    if all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return np.array(values, dtype=np.float64)
    other = next(value for value in values if isinstance(value, bool) or not isinstance(value, (int, float)))
    raise InvalidType(
        f"hyperparameter {name!r} has the value {other!r}: members of one program can only differ in numbers; use a "
        "Choice of numbers, or engine='processes'"
    )


def reported(result: Any) -> tuple[Any, dict[str, Any]]:
    """Score and metrics of what `evaluate` returned."""
    if isinstance(result, tuple):
        if len(result) != 2 or not isinstance(result[1], Mapping):
            raise InvalidType(f"evaluate must return a score, or (score, metrics by name), but got {result!r}")
        return result[0], dict(result[1])
    return result, {}


def own_line(error: BaseException) -> str:
    """The user's own line that an error comes from, with a colon after it; empty where there is none."""
    warren = Path(__file__).parents[1]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if "site-packages" not in path.parts and warren not in path.parents and path.exists():
            return f"{path.name}:{frame.lineno} in {frame.name}: "
    return ""
