"""The functional form: a member's state as a value, and three functions on it or on all members at once."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Union

from warren.errors import InvalidType, WarrenError
from warren.space.space import flatten
from warren.stacked import Keyring, Lift, columns, nested, reported
from warren.stacked.functions import StackedLift
from warren.stacked.kinds import framework_of
from warren.stacked.loop import LoopLift
from warren.training.member import Member
from warren.training.rng import Rng
from warren.training.slot import Slot

Score = Union[float, "tuple[float, dict[str, float]]"]


class Liftable(Protocol):
    """A task whose functions can be run for all members at once."""

    def fresh(self, seed: int, hyperparameters: dict[str, Any]) -> Any:
        """The state of one fresh member.

        Args:
            seed: In ``[0, 2**31)``.
            hyperparameters: As the user nested them.
        """
        ...

    def lift(self, seed: int, hyperparameters: dict[str, Any], device: str | None = None) -> Lift:
        """The functions on all members.

        Args:
            seed: Of some member's fresh state, for a look at what `init` makes.
            hyperparameters: Of that member, by their flat names.
            device: Where the states are, as the framework names it; None is its default.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Task:
    """Training as functions on a state, any tree of arrays.

    Serves wherever a training function does. With ``engine="vectorised"`` the whole population is trained as one
    program: functions on JAX arrays are mapped by `jax.vmap` and compiled once (by the other engines they are compiled
    too, where they can be), those on torch tensors are mapped by `torch.func.vmap`, and those on NumPy arrays called
    for one member after another.

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
        _require_functions("Task", self)

    def fresh(self, seed: int, hyperparameters: dict[str, Any]) -> Any:
        """See `Liftable`."""
        return self.init(seed, hyperparameters)

    def lift(self, seed: int, hyperparameters: dict[str, Any], device: str | None = None) -> Lift:
        """See `Liftable`."""
        sample = self.init(seed, nested(hyperparameters))
        framework = framework_of(sample)
        if framework == "numpy":
            return LoopLift(self)
        room = importlib.import_module(f"warren.stacked.{framework}")
        if framework == "torch":
            torch: Lift = room.TorchLift(self, sample, device)
            return torch
        jax = room.JaxLift(self, sample, device)
        jax.settle(hyperparameters)  # before states that were stored are brought to it
        lift: Lift = jax
        return lift

    def __call__(self, slot: Slot) -> None:
        """The task as a training function."""
        slot.init(self.fresh)
        train: Callable[[Member], None] | None = None
        for member in slot:
            if train is None:
                train = self._trainer(member)
            train(member)

    def _trainer(self, member: Member) -> Callable[[Member], None]:
        """How members are trained one at a time: as the functions are written, or compiled where they are JAX's."""
        eager = _Eager(self)
        if member.state is None:
            eager.begin(member)
        if framework_of(member.state) != "jax":
            return eager
        values = member.flat
        lift = importlib.import_module("warren.stacked.jax").JaxLift(self, self.init(member.seed, nested(values)))
        try:
            lift.settle(values)
        except WarrenError:  # written with Python's own control flow, say: as it is, then
            return eager
        return _Lifted(lift)


@dataclass(frozen=True, kw_only=True)
class StackedTask:
    """Training as functions on the states of all members at once, which a program of one's own makes fast.

    Every leaf of the state is an array (NumPy, torch or JAX) with a leading axis of n members, and hyperparameters
    come as NumPy arrays of shape (n,), nested as in the space. `rng` is a `Keyring`: one key for each member. Serves
    wherever a training function does; engines that train members one by one call it with n = 1.

    Args:
        init: ``init(seeds, hyperparameters) -> state``; `seeds` of shape (n,).
        train_interval: ``train_interval(state, hyperparameters, rng) -> state``; it may write into the state.
        evaluate: ``evaluate(state, rng) -> scores`` or ``(scores, metrics)``, each of shape (n,).
    """

    init: Callable[[Any, dict[str, Any]], Any]
    train_interval: Callable[[Any, dict[str, Any], Keyring], Any]
    evaluate: Callable[[Any, Keyring], Any]

    def __post_init__(self) -> None:
        _require_functions("StackedTask", self)

    def fresh(self, seed: int, hyperparameters: dict[str, Any]) -> Any:
        """See `Liftable`."""
        lift = StackedLift(self)
        return lift.member(lift.init([seed], [flatten(hyperparameters)]), 0)

    def lift(self, seed: int, hyperparameters: dict[str, Any], device: str | None = None) -> Lift:
        """See `Liftable`."""
        return StackedLift(self, device)

    def __call__(self, slot: Slot) -> None:
        """The task as a training function."""
        slot.init(self.fresh)
        train = _Lifted(StackedLift(self))
        for member in slot:
            train(member)


class _Eager:
    """Trains a member with a task's functions as they are."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def begin(self, member: Member) -> None:
        member.state = self._task.init(member.seed, member.hyperparameters)

    def __call__(self, member: Member) -> None:
        if member.state is None:
            self.begin(member)
        member.state = self._task.train_interval(member.state, member.hyperparameters, member.key("train"))
        score, metrics = reported(self._task.evaluate(member.state, member.key("evaluate")))
        member.report(score, **metrics)


class _Lifted:
    """Trains a member as a population of one, as the vectorised engine does.

    Args:
        lift: The functions.
    """

    def __init__(self, lift: Lift) -> None:
        self._lift = lift

    def __call__(self, member: Member) -> None:
        values = member.flat
        state = self._lift.init([member.seed], [values]) if member.state is None else self._lift.stack([member.state])
        keys = [[(member.key("train"), member.key("evaluate"))]]
        state, pending = self._lift.train(state, columns([values]), keys)
        outcome = pending()
        member.state = self._lift.member(state, 0)
        member.report(float(outcome.scores[0, 0]), **{name: value[0, 0] for name, value in outcome.metrics.items()})


def _require_functions(kind: str, task: Task | StackedTask) -> None:
    for name in ("init", "train_interval", "evaluate"):
        if not callable(getattr(task, name)):
            raise InvalidType(f"{kind}: {name} must be a function, but got {getattr(task, name)!r}")
