"""Whether two intervals did the same: their states leaf by leaf, and their scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from warren.population import CheckpointRow, Report
from warren.population.rows import Status
from warren.state import Tree, encode
from warren.state.leaves import hosted, is_jax_array, is_torch, recognise
from warren.training import Saver

Path = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an interval came to.

    Attributes:
        score: As reported, or None.
        status: Whether it was finite, or is still to come.
        checkpoint: The state, or None where it diverged.
        seconds: In user code.
    """

    score: float | None
    status: Status
    checkpoint: CheckpointRow | None
    seconds: float

    @classmethod
    def of(cls, report: Report | None) -> Outcome:
        """The outcome that a play is sent."""
        if report is None:
            raise RuntimeError("a play was sent no report for a member that it had yielded")
        return cls(score=report.score, status=report.status, checkpoint=report.checkpoint, seconds=report.seconds)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How two outcomes differ.

    Attributes:
        parts: Names of the tracked parts that differ, in the order of tracking.
        distance: Of all differing numbers the greatest, relative to their size; infinite where shapes differ.
        scores: Both scores.
    """

    parts: tuple[str, ...]
    distance: float
    scores: tuple[float | None, float | None]

    def __str__(self) -> str:
        seen = []
        if self.parts:
            names = ", ".join("member.state" if part == "state" else part for part in self.parts[:3])
            seen.append(f"state of {names} differs")
        first, second = self.scores
        if first != second:
            seen.append(f"score {_number(first, second)} -> {_number(second, first)}")
        return ", ".join(seen)


def compare(a: Outcome, b: Outcome, states: Saver, tolerance: float = 0.0) -> Difference | None:
    """How one interval differs from another, or None where they are the same.

    Args:
        a: The one.
        b: The other.
        states: Where their states are.
        tolerance: Distance that is no difference; above 0 where the arithmetic itself is not repeatable.
    """
    parts: dict[str, float] = {}
    distance = 0.0 if a.score == b.score and a.status == b.status else _apart(a.score, b.score)
    if (a.checkpoint is None) != (b.checkpoint is None):
        distance = math.inf
    elif a.checkpoint is not None and b.checkpoint is not None and a.checkpoint.digest != b.checkpoint.digest:
        one, other = part(states.load(a.checkpoint.name)), part(states.load(b.checkpoint.name))
        for path, apart, _ in differences(one, other):
            parts[str(path[0])] = max(apart, parts.get(str(path[0]), 0.0))
        distance = max([distance, *parts.values()])
    if distance <= tolerance:
        return None
    differing = tuple(name for name, apart in parts.items() if apart > tolerance)
    return Difference(parts=differing, distance=distance, scores=(a.score, b.score))


def part(tree: dict[str, Any]) -> dict[str, Any]:
    """A state without warren's own part."""
    return {name: value for name, value in tree.items() if name != "warren"}


def differences(a: Tree, b: Tree, path: Path = ()) -> Iterator[tuple[Path, float, Any]]:
    """Each leaf that differs: where it is, how far apart the two are, and what it is in the second tree.

    The order of a dictionary's keys does not count: a load may change it.
    """
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in [*a, *(key for key in b if key not in a)]:
            if key in a and key in b:
                yield from differences(a[key], b[key], (*path, key))
            else:
                yield (*path, key), math.inf, b.get(key)
    elif isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        for place, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from differences(one, other, (*path, place))
    elif (apart := _distance(a, b)) > 0:
        yield path, apart, b


def is_array(value: Any) -> bool:
    """Whether a leaf is an array of some framework."""
    return isinstance(value, np.ndarray) or is_torch(value, "Tensor") or is_jax_array(value)


def _distance(a: Any, b: Any) -> float:
    if a is b:  # also what JAX traces, which has no value yet
        return 0.0
    try:
        if is_array(a) and is_array(b):
            return _arrays(hosted(a).array, hosted(b).array) if is_jax_array(a) and is_jax_array(b) else _arrays(a, b)
        if type(a) is type(b) and encode({"": a}).tobytes() == encode({"": b}).tobytes():
            return 0.0
        return _apart(a, b)
    except Exception:  # whatever the two are, they are not known to be equal
        return math.inf


def _arrays(a: Any, b: Any) -> float:
    one, other = recognise(a), recognise(b)
    if one is None or other is None or one[1].dtype != other[1].dtype or one[1].shape != other[1].shape:
        return math.inf
    if bytes(one[1].read()) == bytes(other[1].read()):
        return 0.0
    norm: Callable[[Any], float]
    if is_torch(a, "Tensor"):
        if a.is_complex():
            return math.inf
        a, b = a.double(), b.double()
        norm = lambda value: float(value.norm())  # noqa: E731
    elif a.dtype.kind in "biuf":
        a, b = a.astype(np.float64), b.astype(np.float64)
        norm = lambda value: float(np.linalg.norm(value))  # noqa: E731
    else:
        return math.inf
    top, bottom = norm(a - b), norm(a) + norm(b)
    found = top / bottom if bottom > 0 else 0.0
    return found if math.isfinite(found) and found > 0 else math.inf


def _apart(a: Any, b: Any) -> float:
    if a == b:
        return 0.0
    if a is None or b is None or isinstance(a, str) or isinstance(b, str):
        return math.inf
    found = abs(float(a) - float(b)) / (abs(float(a)) + abs(float(b)))
    return found if math.isfinite(found) else math.inf


def _number(value: float | None, beside: float | None) -> str:
    """A score, with as many digits as tell it from the other one."""
    if value is None or beside is None:
        return "none" if value is None else f"{value:.4g}"
    for digits in range(4, 17):
        if f"{value:.{digits}g}" != f"{beside:.{digits}g}":
            return f"{value:.{digits}g}"
    return repr(value)
