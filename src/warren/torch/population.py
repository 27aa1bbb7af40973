"""A torch module, a loss and an optimizer, as one member has them, made a task that trains all members at once."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.parameter import is_lazy

from warren.errors import InvalidType, InvalidValue, UnknownName
from warren.stacked import Keyring, Untraceable, reported
from warren.stacked.base import own_line
from warren.stacked.torch import explained, find_device, member_values, seed_global, why_not
from warren.state.tree import map_leaves
from warren.torch.feeds import Feed
from warren.torch.memory import keep_freed_memory
from warren.torch.optimizers import Optimizer
from warren.torch.program import MODES, Mode, Programs
from warren.training import StackedTask

_REMEDY = "engine='processes' trains a loop of one member as it is"


class Net:
    """One member's net, as `loss` and `evaluate` get it: call it as the module is called.

    ``net["smoothing"]`` reads a hyperparameter in `loss`, a tensor without axes.
    """

    def __init__(self, module: nn.Module, tensors: dict[str, Tensor], values: Mapping[str, Tensor] | None) -> None:
        self._module = module
        self._tensors = tensors
        self._values = values

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The module's output for this member."""
        return functional_call(self._module, self._tensors, args, kwargs)

    def __getitem__(self, name: str) -> Tensor:
        """A hyperparameter of this member, by its flat name.

        Raises:
            UnknownName: There is none of that name, or `evaluate` asks.
        """
        if self._values is None:
            raise UnknownName(f"net[{name!r}]: hyperparameters are for loss(net, batch); evaluate judges the net alone")
        if name not in self._values:
            raise UnknownName(
                f"net[{name!r}]: there is no hyperparameter {name!r}; the space has {', '.join(self._values) or 'none'}"
            )
        return self._values[name]


def population(
    build: Callable[[], nn.Module],
    loss: Callable[..., Tensor],
    *,
    optimizer: Optimizer,
    batches: Feed,
    evaluate: Callable[[Net], Any],
    device: str | None = None,
    mode: Mode = "traced",
) -> StackedTask:
    """A task for ``engine="vectorised"`` from what a training loop of one member has.

    ::

        def loss(net, batch):
            images, labels = batch
            return F.cross_entropy(net(images), labels)

        def evaluate(net):
            return F.cross_entropy(net(held_images), held_labels)

        task = warren.torch.population(
            Net, loss,
            optimizer=warren.torch.SGD(lr="lr", momentum="momentum"),
            batches=warren.torch.Batches(images, labels, size=64),
            evaluate=evaluate,
        )
        warren.run(task, space=..., engine="vectorised")

    All of it is written for one member and run for all: parameters and buffers are stacked, forward and backward are
    one pass, the optimizer writes in place. Dropout draws differently for each member. BatchNorm's running statistics
    are each member's own. An interval is what `batches` gives for one. On a CPU under Linux the process keeps up to a
    gigabyte of memory that is freed, since giving it back at each step costs a quarter of the time.

    Args:
        build: Makes the module of a fresh member; torch's generator is seeded by the member's key before.
        loss: ``loss(net, batch) -> tensor``: of one member on one minibatch.
        optimizer: `SGD`, `Adam` or `AdamW` of `warren.torch`, whose options may be names of hyperparameters.
        batches: `Batches` or `SharedBatches` of `warren.torch`, or a feed of your own.
        evaluate: ``evaluate(net) -> score`` or ``(score, metrics)``: of one member, without gradients, in eval mode.
        device: Where the population is trained, as torch names it; None: where the engine keeps its state.
        mode: ``"traced"``: `loss` runs once for each shape of batch, and the operations that it did are repeated;
            Python's own ``if``, counters and draws in it are not. ``"eager"``: it runs at each step, slower where nets
            are small. ``"compiled"``: what was traced goes through `torch.compile`, which takes a while at the start.

    Returns:
        The task. It trains on every engine; on those that train members one by one, a population of one.

    Raises:
        InvalidType: A part is not what it must be.
        InvalidValue: The mode or the device does not exist.
    """
    for name, part in (("build", build), ("loss", loss), ("evaluate", evaluate)):
        if not callable(part):
            raise InvalidType(f"population: {name} must be a function, but got {part!r}")
    if not isinstance(optimizer, Optimizer):
        raise InvalidType(
            f"population: optimizer must be one of warren.torch's (SGD, Adam, AdamW), since torch's have one value "
            f"of each option for all members, but got {type(optimizer).__name__}"
        )
    if not isinstance(batches, Feed):
        raise InvalidType(
            "population: batches must be warren.torch.Batches, SharedBatches or a feed of your own, but got "
            f"{type(batches).__name__}"
        )
    if mode not in MODES:
        raise InvalidValue(f"population(mode={mode!r}): it must be one of {', '.join(map(repr, MODES))}")
    if device is not None:
        find_device(device)
    whole = _Population(build, loss, optimizer, batches, evaluate, device, mode)
    return StackedTask(init=whole.init, train_interval=whole.train_interval, evaluate=whole.measure)


class _Population:
    """The functions of the task; travels to other processes as what it was made of."""

    def __init__(
        self,
        build: Callable[[], nn.Module],
        loss: Callable[..., Tensor],
        optimizer: Optimizer,
        batches: Feed,
        evaluate: Callable[[Net], Any],
        device: str | None,
        mode: Mode,
    ) -> None:
        self._parts = (build, loss, optimizer, batches, evaluate, device, mode)
        self._build = build
        self._loss = loss
        self._optimizer = optimizer
        self._batches = batches
        self._evaluate = evaluate
        self._device = device
        self._mode: Mode = mode
        self._live: dict[torch.device, _Live] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _Population, self._parts

    def init(self, seeds: NDArray[np.int64], hyperparameters: dict[str, Any]) -> dict[str, Any]:
        """See `StackedTask`."""
        modules = [self._fresh(int(seed)) for seed in seeds]
        live = self._ready(torch.device("cpu"), modules[0])
        n = len(modules)
        parameters = _stacked([dict(module.named_parameters()) for module in modules], live.device)
        return {
            "parameters": parameters,
            "buffers": _stacked([dict(module.named_buffers()) for module in modules], live.device),
            "optimizer": self._optimizer.init({name: parameters[name] for name in live.trained}, n),
            "interval": torch.zeros(n, dtype=torch.int64, device=live.device),
        }

    def train_interval(self, state: dict[str, Any], hyperparameters: dict[str, Any], rng: Keyring) -> dict[str, Any]:
        """See `StackedTask`."""
        live = self._ready(state["interval"].device)
        state = map_leaves(lambda leaf: leaf.to(live.device).contiguous(), state)
        columns = _flat(hyperparameters)
        trainer = live.trainer(self._loss, list(columns), self._mode)
        trained = [state["parameters"][name] for name in live.trained]
        frozen = [state["parameters"][name] for name in live.frozen]
        buffers = list(state["buffers"].values())
        values = [member_values(column, live.device) for column in columns.values()]
        update = self._optimizer.begin(state["optimizer"], columns, len(rng))
        seed_global(rng.seeds.tolist())
        with torch.no_grad(), explained(_REMEDY):
            for step, batch in enumerate(live.feed.batches(rng, int(state["interval"][0]))):
                after, gradients = trainer(trained, frozen, buffers, values, batch)
                for held, new in zip(buffers, after, strict=True):
                    if new.data_ptr() != held.data_ptr():
                        held.copy_(new)  # the module has bound it anew instead of writing into it
                update(step, trained, gradients)
            state["interval"] += 1
        return state

    def measure(self, state: dict[str, Any], rng: Keyring) -> Any:
        """See `StackedTask`."""
        live = self._ready(state["interval"].device)
        tensors = map_leaves(lambda leaf: leaf.to(live.device), {**state["parameters"], **state["buffers"]})

        def one(tensors: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
            score, metrics = reported(self._evaluate(Net(live.judged, dict(tensors), None)))
            return torch.as_tensor(score), {name: torch.as_tensor(value) for name, value in metrics.items()}

        def judged() -> Any:
            return vmap(one, randomness="different")(tensors)

        seed_global(rng.seeds.tolist())
        with torch.no_grad(), explained(_REMEDY), located(live.judged, judged):
            return judged()

    def _fresh(self, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            module = self._build()
        if not isinstance(module, nn.Module):
            raise InvalidType(f"population: build must return a torch.nn.Module, but got {module!r}")
        for name, parameter in module.named_parameters():
            if is_lazy(parameter):
                raise InvalidType(
                    f"population: the module's {name!r} has no shape yet; let build run one batch through the module"
                )
        return module

    def _ready(self, device: torch.device, module: nn.Module | None = None) -> _Live:
        """What stays the same through a run; made when it is first needed, in the process that trains."""
        device = device if self._device is None else find_device(self._device)
        live = self._live.get(device)
        if live is None:
            live = _Live(self._fresh(0) if module is None else module, self._batches, device)
            self._live[device] = live
        return live


class _Live:
    """A module to call, with its tensors replaced, and data on the device.

    Args:
        module: Of some member.
        feed: The data.
        device: Where to.
    """

    def __init__(self, module: nn.Module, feed: Feed, device: torch.device) -> None:
        if device.type == "cpu":
            keep_freed_memory()
        self.device = device
        self.feed = feed.to(device)
        self.template = copy.deepcopy(module).to(device)
        self.judged = copy.deepcopy(self.template).eval()
        parameters = dict(module.named_parameters())
        self.trained = [name for name, parameter in parameters.items() if parameter.requires_grad]
        self.frozen = [name for name, parameter in parameters.items() if not parameter.requires_grad]
        self.buffers = [name for name, _ in module.named_buffers()]
        self._trainer: _Trainer | None = None
        if not self.trained:
            raise InvalidValue("population: the module that build makes has no parameters to train")

    def trainer(self, loss: Callable[..., Tensor], names: Sequence[str], mode: Mode) -> _Trainer:
        """What gives gradients; its arguments are the same in every call."""
        if self._trainer is None:
            self._trainer = _Trainer(self, loss, names, mode)
        return self._trainer


class _Trainer:
    """The gradients of all members on one minibatch.

    Args:
        live: What is called.
        loss: See `population`.
        names: Of the hyperparameters.
        mode: See `population`.
    """

    def __init__(self, live: _Live, loss: Callable[..., Tensor], names: Sequence[str], mode: Mode) -> None:
        self._live = live
        self._loss = loss
        self._names = names
        self._sizes = (len(live.trained), len(live.frozen), len(live.buffers), len(names))
        self._programs = Programs(self._pass, mode, live.template)

    def __call__(self, *groups: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor | None]]:
        """Buffers afterwards, and gradients.

        Args:
            *groups: Trained parameters, frozen ones, buffers, hyperparameters, batch.
        """
        arguments = [tensor for group in groups for tensor in group]
        with located(self._live.template, lambda: self._pass(*[one.clone() for one in arguments])):
            found = self._programs(*arguments)
        return found[: self._sizes[2]], found[self._sizes[2] :]  # type: ignore[return-value]

    def _pass(self, *arguments: Tensor) -> list[Any]:
        rest = iter(arguments)
        trained, frozen, buffers, values = ([next(rest) for _ in range(size)] for size in self._sizes)
        batch = tuple(rest)
        trained = [one.detach().requires_grad_() for one in trained]
        axes = (0, 0, 0, 0, None if self._live.feed.shared else 0)
        mapped = vmap(self._one, in_dims=axes, randomness="different")
        with torch.enable_grad():
            losses, after = mapped(trained, frozen, buffers, values, batch)
            gradients = torch.autograd.grad(losses.sum(), trained, allow_unused=True)
        return [*(one.detach() for one in after), *gradients]

    def _one(
        self, trained: list[Tensor], frozen: list[Tensor], buffers: list[Tensor], values: list[Tensor], batch: Any
    ) -> tuple[Tensor, list[Tensor]]:
        live = self._live
        names = [*live.trained, *live.frozen, *live.buffers]
        tensors = dict(zip(names, [*trained, *frozen, *buffers], strict=True))
        result = self._loss(Net(live.template, tensors, dict(zip(self._names, values, strict=True))), batch)
        if not isinstance(result, Tensor) or result.shape != ():
            shape = f"a tensor of shape {tuple(result.shape)}" if isinstance(result, Tensor) else repr(result)
            raise InvalidType(f"loss(net, batch) must return one number, a tensor without axes, but got {shape}")
        return result, [tensors[name] for name in live.buffers]


@contextmanager
def located(module: nn.Module, again: Callable[[], Any]) -> Iterator[None]:
    """Says which part of a module cannot be run for all members at once.

    Args:
        module: What was called.
        again: Does the same once more, and may fail in the same way.

    Raises:
        Untraceable: With the part's path.
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:
        rule = None if isinstance(error, Untraceable) else why_not(str(error))
        path = None if rule is None else _failing(module, again)
        if path is None:
            raise
        kind = type(module.get_submodule(path)).__name__
        raise Untraceable(
            f"{own_line(error)}the module {path or 'itself'!r} ({kind}) cannot be run for all members at once: {rule}; "
            f"or {_REMEDY}"
        ) from error


def _failing(module: nn.Module, again: Callable[[], Any]) -> str | None:
    """The innermost part of a module that fails; None where it is outside."""
    inside: list[str] = []
    handles = []
    for path, part in module.named_modules():
        handles.append(part.register_forward_pre_hook(lambda *_, path=path: inside.append(path)))
        handles.append(part.register_forward_hook(lambda *_: inside.pop() and None))
    try:
        again()
    except Exception:
        return inside[-1] if inside else None
    finally:
        for handle in handles:
            handle.remove()
    return None


def _stacked(rows: Sequence[Mapping[str, Tensor]], device: torch.device) -> dict[str, Tensor]:
    """One tensor a name, with a leading member axis."""
    for row in rows:
        for name, one in rows[0].items():
            if name not in row or row[name].shape != one.shape or row[name].dtype != one.dtype:
                raise InvalidValue(
                    f"population: build makes {name!r} in another shape or type for another member; all members must "
                    "be alike"
                )
    return {name: torch.stack([row[name].detach() for row in rows]).to(device) for name in rows[0]}


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, NDArray[Any]]:
    """Nested hyperparameters by their flat names."""
    found: dict[str, NDArray[Any]] = {}
    for name, value in values.items():
        found.update(_flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value})
    return found
