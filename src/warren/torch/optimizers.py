"""Optimizers whose options are one value a member, written into all members' parameters in place.

Each does to each member what torch's optimizer of that name does to it alone, and also where options change between
intervals. An option is a number, or the name of a hyperparameter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from warren.errors import InvalidType, InvalidValue, UnknownName

Option: TypeAlias = float | str
"""A number for all members, or the name of a hyperparameter (with dots where it is nested)."""

Tensors: TypeAlias = Mapping[str, Tensor]
"""By the parameters' names, each with a leading member axis."""

Gradients: TypeAlias = "Sequence[Tensor | None]"
"""None for a parameter that the loss does not use, which then stays as it is."""

Update: TypeAlias = Callable[[int, Sequence[Tensor], Gradients], None]
"""``update(step, parameters, gradients)``: one step of all members, in place; steps count from 0."""

_Column: TypeAlias = "NDArray[np.float64]"

_BLOCK = 64


@runtime_checkable
class Optimizer(Protocol):
    """What `warren.torch.population` needs of an optimizer."""

    def init(self, parameters: Tensors, n: int) -> dict[str, Any]:
        """The optimizer's part of the state of n fresh members."""
        ...

    def begin(self, state: dict[str, Any], hyperparameters: Mapping[str, NDArray[Any]], n: int) -> Update:
        """Take the options of an interval.

        Args:
            state: What `init` made; the update writes into its tensors.
            hyperparameters: By their flat names, shape (n,).
            n: Members.

        Raises:
            UnknownName: An option names a hyperparameter that is not in the space.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class SGD:
    """As `torch.optim.SGD`.

    Args:
        lr: Learning rate.
        momentum: Of the velocity.
        dampening: Of the gradient where it enters the velocity.
        weight_decay: L2 penalty.
        nesterov: Whether momentum is Nesterov's; needs ``dampening=0``.
    """

    lr: Option
    momentum: Option = 0.0
    dampening: Option = 0.0
    weight_decay: Option = 0.0
    nesterov: bool | str = False

    def __post_init__(self) -> None:
        _check(self)
        if self.nesterov is not False and self.dampening != 0:
            raise InvalidValue(f"SGD(dampening={self.dampening!r}): it must be 0 where nesterov is set")

    def init(self, parameters: Tensors, n: int) -> dict[str, Any]:
        """See `Optimizer`."""
        if self.momentum == 0:
            return {}
        device = next(iter(parameters.values())).device if parameters else "cpu"
        return {
            "started": torch.zeros(n, dtype=torch.bool, device=device),
            "velocity": {name: torch.zeros_like(parameter) for name, parameter in parameters.items()},
        }

    def begin(self, state: dict[str, Any], hyperparameters: Mapping[str, NDArray[Any]], n: int) -> Update:
        """See `Optimizer`."""
        options = _options(self, hyperparameters, n)
        lr, momentum, decay = options["lr"], options["momentum"], options["weight_decay"]
        velocities: list[Tensor] = list(state["velocity"].values()) if state else []
        moving = momentum != 0
        # What torch's branches do, as factors: velocity = keep * velocity + enter * gradient, and
        # parameter -= own * gradient + by * velocity.
        nesterov = moving & (options["nesterov"] != 0)
        own = -lr * np.where(nesterov | ~moving, 1.0, 0.0)
        by = -lr * np.where(nesterov, momentum, np.where(moving, 1.0, 0.0))
        keep = np.where(moving, momentum, 1.0)
        enter = np.where(moving, 1.0 - options["dampening"], 0.0)
        first = (keep, enter)
        if state:
            fresh = moving & ~state["started"].cpu().numpy()
            first = (np.where(fresh, 0.0, keep), np.where(fresh, 1.0, enter))  # the velocity begins as the gradient
            state["started"] |= torch.from_numpy(moving).to(state["started"].device)
        decays, owns, bys = _Factor(decay), _Factor(own), _Factor(by)
        begins = (_Factor(first[0]), _Factor(first[1]))
        goes_on = (_Factor(keep), _Factor(enter))

        def update(step: int, parameters: Sequence[Tensor], gradients: Gradients) -> None:
            keeps, enters = begins if step == 0 else goes_on
            for place, (parameter, gradient) in enumerate(zip(parameters, gradients, strict=True)):
                if gradient is None:
                    continue
                if decays.any:
                    gradient = torch.addcmul(gradient, parameter, decays.of(parameter))
                if velocities:
                    velocity = velocities[place]
                    if enters.ones:
                        torch.addcmul(gradient, velocity, keeps.of(parameter), out=velocity)
                    else:
                        velocity.mul_(keeps.of(parameter)).addcmul_(gradient, enters.of(parameter))
                    if bys.any:
                        parameter.addcmul_(velocity, bys.of(parameter))
                if owns.any:
                    parameter.addcmul_(gradient, owns.of(parameter))

        return update


@dataclass(frozen=True, kw_only=True)
class Adam:
    """As `torch.optim.Adam`.

    Args:
        lr: Learning rate.
        betas: Of the running averages of the gradient and of its square.
        eps: Added to the denominator.
        weight_decay: L2 penalty.
        amsgrad: Whether the denominator only grows.
    """

    lr: Option = 1e-3
    betas: tuple[Option, Option] = (0.9, 0.999)
    eps: Option = 1e-8
    weight_decay: Option = 0.0
    amsgrad: bool = False

    def __post_init__(self) -> None:
        _check(self)

    def init(self, parameters: Tensors, n: int) -> dict[str, Any]:
        """See `Optimizer`."""
        device = next(iter(parameters.values())).device if parameters else "cpu"
        names = ("mean", "square", "largest") if self.amsgrad else ("mean", "square")
        averages = {name: {one: torch.zeros_like(value) for one, value in parameters.items()} for name in names}
        return {"step": torch.zeros(n, dtype=torch.int64, device=device), **averages}

    def begin(self, state: dict[str, Any], hyperparameters: Mapping[str, NDArray[Any]], n: int) -> Update:
        """See `Optimizer`."""
        return _adam(self, state, hyperparameters, n, decoupled=False)


@dataclass(frozen=True, kw_only=True)
class AdamW(Adam):
    """As `torch.optim.AdamW`: weight decay apart from the gradient, 0.01 unless it is given.

    Args:
        lr: Learning rate.
        betas: Of the running averages of the gradient and of its square.
        eps: Added to the denominator.
        weight_decay: What share of a parameter goes at a step, times the learning rate.
        amsgrad: Whether the denominator only grows.
    """

    weight_decay: Option = 1e-2

    def begin(self, state: dict[str, Any], hyperparameters: Mapping[str, NDArray[Any]], n: int) -> Update:
        """See `Optimizer`."""
        return _adam(self, state, hyperparameters, n, decoupled=True)


def _adam(
    optimizer: Adam,
    state: dict[str, Any],
    hyperparameters: Mapping[str, NDArray[Any]],
    n: int,
    *,
    decoupled: bool,
) -> Update:
    options = _options(optimizer, hyperparameters, n)
    lr, first, second, decay = options["lr"], options["betas[0]"], options["betas[1]"], options["weight_decay"]
    before = state["step"].cpu().numpy().copy()
    means, squares = list(state["mean"].values()), list(state["square"].values())
    largest = list(state["largest"].values()) if optimizer.amsgrad else squares
    keep_mean, enter_mean = _Factor(first), _Factor(1.0 - first)
    keep_square, enter_square, eps = _Factor(second), _Factor(1.0 - second), _Factor(options["eps"])
    decays = _Factor(1.0 - lr * decay if decoupled else decay)
    apart, inside = decoupled and bool((decay != 0).any()), not decoupled and decays.any
    block: list[tuple[_Factor, _Factor]] = []

    def corrections(step: int) -> tuple[_Factor, _Factor]:
        """Of the averages, which begin at 0; made for many steps at a time."""
        if step % _BLOCK == 0:
            counts = before + step + np.arange(1, _BLOCK + 1)[:, None]
            sizes, scales = -lr / (1.0 - first**counts), 1.0 / np.sqrt(1.0 - second**counts)
            block[:] = zip(_rows(sizes), _rows(scales), strict=True)
        return block[step % _BLOCK]

    def update(step: int, parameters: Sequence[Tensor], gradients: Gradients) -> None:
        state["step"] += 1
        size, scale = corrections(step)
        for place, (parameter, gradient) in enumerate(zip(parameters, gradients, strict=True)):
            if gradient is None:
                continue
            if apart:
                parameter.mul_(decays.of(parameter))
            elif inside:
                gradient = torch.addcmul(gradient, parameter, decays.of(parameter))
            mean, square = means[place], squares[place]
            mean.mul_(keep_mean.of(parameter)).addcmul_(gradient, enter_mean.of(parameter))
            square.mul_(keep_square.of(parameter)).addcmul_(gradient * enter_square.of(parameter), gradient)
            if optimizer.amsgrad:
                torch.maximum(largest[place], square, out=largest[place])
            bottom = largest[place].sqrt().mul_(scale.of(parameter)).add_(eps.of(parameter))
            parameter.addcmul_(torch.div(mean, bottom, out=bottom), size.of(parameter))

    return update


class _Factor:
    """One number a member, in the form that multiplies a tensor with a leading member axis.

    Args:
        values: Shape (n,).
    """

    def __init__(self, values: _Column) -> None:
        self.any = bool((values != 0).any())
        self.ones = bool((values == 1).all())
        self._values = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64))
        self._made: dict[tuple[int, torch.dtype, torch.device], Tensor] = {}

    def of(self, other: Tensor) -> Tensor:
        key = (other.dim(), other.dtype, other.device)
        made = self._made.get(key)
        if made is None:
            dtype = torch.float64 if other.dtype in (torch.float64, torch.complex128) else torch.float32
            made = self._values.view(-1, *(1,) * (other.dim() - 1)).to(other.device, dtype)
            self._made[key] = made
        return made


def _rows(values: _Column) -> list[_Factor]:
    return [_Factor(row) for row in values]


def _options(optimizer: Any, hyperparameters: Mapping[str, NDArray[Any]], n: int) -> dict[str, _Column]:
    """Every option as one number a member."""
    found = {}
    for name, value in _named(optimizer):
        if isinstance(value, str):
            if value not in hyperparameters:
                raise UnknownName(
                    f"{type(optimizer).__name__}({name}={value!r}): there is no hyperparameter {value!r}; the space "
                    f"has {', '.join(hyperparameters) or 'none'}"
                )
            found[name] = np.asarray(hyperparameters[value], dtype=np.float64)
        else:
            found[name] = np.full(n, float(value))
    return found


def _named(optimizer: Any) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for field in fields(optimizer):
        value = getattr(optimizer, field.name)
        parts = [(f"{field.name}[{i}]", one) for i, one in enumerate(value)] if isinstance(value, tuple) else None
        found += parts or [(field.name, value)]
    return found


def _check(optimizer: Any) -> None:
    kind = type(optimizer).__name__
    betas = getattr(optimizer, "betas", (0.0, 0.0))
    if not isinstance(betas, tuple) or len(betas) != 2:
        raise InvalidType(f"{kind}(betas={betas!r}): it must be a pair, such as (0.9, 0.999) or ('beta1', 0.999)")
    for name, value in _named(optimizer):
        if isinstance(value, (str, bool)):
            continue
        if not isinstance(value, (int, float)):
            raise InvalidType(f"{kind}({name}={value!r}): it must be a number or the name of a hyperparameter")
        if not math.isfinite(value) or value < 0 or (name.startswith("betas") and value >= 1):
            below = " and below 1" if name.startswith("betas") else ""
            raise InvalidValue(f"{kind}({name}={value!r}): it must be a finite number of at least 0{below}")
