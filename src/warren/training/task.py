"""The functional form: a member's state as a value, and three functions on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Union, cast

from warren.errors import InvalidType
from warren.training.rng import Rng
from warren.training.slot import Slot

Score = Union[float, "tuple[float, dict[str, float]]"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """Training as functions on a state, any tree of arrays.

    Serves wherever a training function does; a task whose functions are pure can also be vectorised.

    Args:
        init: ``init(seed, hyperparameters) -> state``: the state of a fresh member.
        train_interval: ``train_interval(state, hyperparameters, rng) -> state``: one interval of training.
        evaluate: ``evaluate(state, rng) -> score`` or ``(score, metrics)``.

    `rng` is a key: ``rng.numpy()``, ``rng.torch()`` and ``rng.jax()`` give generators of the framework.
    """

    init: Callable[[int, dict[str, Any]], Any]
    train_interval: Callable[[Any, dict[str, Any], Rng], Any]
    evaluate: Callable[[Any, Rng], Score]

    def __post_init__(self) -> None:
        for name in ("init", "train_interval", "evaluate"):
            if not callable(getattr(self, name)):
                raise InvalidType(f"Task: {name} must be a function, but got {getattr(self, name)!r}")

    def __call__(self, slot: Slot) -> None:
        """The task as a training function."""
        for member in slot:
            hyperparameters = member.hyperparameters
            state = member.state if member.state is not None else self.init(member.seed, hyperparameters)
            member.state = self.train_interval(state, hyperparameters, member.key("train"))
            result = self.evaluate(member.state, member.key("evaluate"))
            score, metrics = result if isinstance(result, tuple) else (result, {})
            member.report(score, **cast("dict[str, Any]", metrics))
