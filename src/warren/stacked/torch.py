"""PyTorch: a task's functions on one member, mapped over all by `torch.func.vmap`, and draws that differ per member."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from warren.errors import InvalidType, InvalidValue
from warren.stacked.arrays import Places
from warren.stacked.base import Arrays, Functions, Outcome, OutOfMemory, Round, Untraceable, nested, own_line, reported
from warren.stacked.picture import ListedPicture, Picture, StackedPicture
from warren.state import Hosted, Tree, hosted
from warren.state.tree import map_leaves, ordered

States = list[Tensor]
"""The tensors among the leaves of n members' states, each with a leading member axis."""


class Seeded(Protocol):
    """What can be drawn with: the `rng` of a task's functions, on any engine."""

    @property
    def seed(self) -> Any:
        """A seed in ``[0, 2**31)``: an int, or a tensor without axes where all members run at once."""
        ...


class MappedKey:
    """The key of one member inside the program for all: its seed is a tensor.

    Args:
        seed: Without axes of its own.
    """

    def __init__(self, seed: Tensor) -> None:
        self._seed = seed

    @property
    def seed(self) -> Any:
        """A tensor without axes."""
        return self._seed

    def torch(self, device: Any = "cpu") -> torch.Generator:
        """Refused: one generator cannot stand for all members."""
        raise Untraceable(
            "rng.torch() cannot be used in a program for all members at once; draw with warren.torch.Draws(rng), which "
            "gives the same numbers"
        )

    def numpy(self) -> np.random.Generator:
        """Refused, as `torch`."""
        raise Untraceable(
            "rng.numpy() cannot be used in a program for all members at once; draw with warren.torch.Draws(rng)"
        )

    def jax(self) -> Any:
        """Refused, as `torch`."""
        raise Untraceable("rng.jax() cannot be used in a program of torch; draw with warren.torch.Draws(rng)")


class Draws:
    """Random numbers of one member, which are the same on every engine, alone or among all members at once.

    The draws follow each other as from one ``rng.torch()``. Make it inside the function that draws.

    Args:
        rng: The key that the task's function was given.
        device: Where the numbers go; they are drawn on the host, so that they are the same on every device.
    """

    def __init__(self, rng: Seeded, device: torch.device | str | None = None) -> None:
        self._seed = torch.as_tensor(rng.seed, dtype=torch.int64)
        self._device = device
        self._generators: dict[int, torch.Generator] = {}

    def permutation(self, n: int) -> Tensor:
        """The numbers from 0 to n - 1 in some order, as `torch.randperm`."""
        return self._draw(lambda generator: torch.randperm(n, generator=generator))

    def normal(self, *size: int) -> Tensor:
        """Normal numbers, as `torch.randn`."""
        return self._draw(lambda generator: torch.randn(size, generator=generator))

    def uniform(self, *size: int) -> Tensor:
        """Numbers in ``[0, 1)``, as `torch.rand`."""
        return self._draw(lambda generator: torch.rand(size, generator=generator))

    def integers(self, low: int, high: int, *size: int) -> Tensor:
        """Whole numbers in ``[low, high)``, as `torch.randint`."""
        return self._draw(lambda generator: torch.randint(low, high, size, generator=generator))

    def _draw(self, make: Callable[[torch.Generator], Tensor]) -> Tensor:
        def one(seed: int) -> Tensor:
            if seed not in self._generators:
                self._generators[seed] = torch.Generator().manual_seed(seed)
            return make(self._generators[seed])

        drawn: Tensor = _Draw.apply(self._seed, one)  # type: ignore[no-untyped-call]
        return drawn if self._device is None else drawn.to(self._device)


class _Draw(torch.autograd.Function):
    """Numbers from a seed; mapped over members, it meets all their seeds at once."""

    @staticmethod
    def forward(seed: Tensor, one: Callable[[int], Tensor]) -> Tensor:
        return one(int(seed))

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        """Nothing is kept: a seed has no gradient."""

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[None, None]:
        return None, None

    @staticmethod
    def vmap(info: Any, dims: Any, seeds: Tensor, one: Callable[[int], Tensor]) -> tuple[Tensor, int]:
        return torch.stack([one(seed) for seed in seeds.tolist()]), 0


class TorchLift:
    """See `Lift`. Intervals of a stretch follow each other; there is nothing to compile.

    Args:
        task: The functions, on one member.
        sample: The state of some fresh member, which tells containers and types.
        device: As ``"cpu"`` or ``"cuda:1"``; None: the GPU where there is one, else where `init` makes each tensor.
    """

    fixed = False

    def __init__(self, task: Functions, sample: Tree, device: str | None = None) -> None:
        self._task = task
        self._form = _Form(sample, default_device() if device is None else find_device(device))

    def init(self, seeds: Sequence[int], hyperparameters: Sequence[Mapping[str, Any]]) -> States:
        """See `Lift`; one member after another, since what builds a net is rarely written to be mapped."""
        rows = []
        for seed, values in zip(seeds, hyperparameters, strict=True):
            torch.default_generator.manual_seed(seed)
            rows.append(self._form.split(self._task.init(seed, nested(values)), "init"))
        return self._stacked(rows)

    def train(self, state: States, hyperparameters: Arrays, keys: Round) -> tuple[States, Callable[[], Outcome]]:
        """See `Lift`."""
        device = state[0].device
        values = {name: member_values(column, device) for name, column in hyperparameters.items()}
        results = []
        for interval in keys:
            train, evaluate = (torch.tensor([pair[i].seed for pair in interval]) for i in (0, 1))
            seed_global(train.tolist())
            with torch.no_grad(), explained():
                state, score, metrics = vmap(self._one, randomness="different")(state, values, train, evaluate)
            results.append((score, metrics))
        return list(state), lambda: _outcome(results)

    def take(self, state: States, places: Places) -> States:
        """See `Lift`."""
        return [KIND.take(leaf, places) for leaf in state]

    def put(self, state: States, places: Places, part: States) -> States:
        """See `Lift`."""
        return [KIND.put(leaf, places, new) for leaf, new in zip(state, part, strict=True)]

    def stack(self, trees: Sequence[Tree]) -> States:
        """See `Lift`."""
        return self._stacked([self._form.split(tree, "the stored state") for tree in trees])

    def picture(self, state: States) -> Callable[[], Picture]:
        """See `Lift`."""
        pictures = [KIND.picture(leaf) for leaf in state]
        return lambda: self._form.picture([picture() for picture in pictures])

    def member(self, state: States, place: int) -> Tree:
        """See `Lift`."""
        return self._form.stored([KIND.member(leaf, place) for leaf in state])

    def adopt(self, state: States) -> States:
        """See `Lift`."""
        return [leaf.to(device) for leaf, device in zip(state, self._form.devices, strict=True)]

    def _stacked(self, rows: Sequence[States]) -> States:
        columns = zip(*rows, strict=True)
        return [torch.stack(column).to(device) for column, device in zip(columns, self._form.devices, strict=True)]

    def _one(
        self, state: States, hyperparameters: Mapping[str, Tensor], train: Tensor, evaluate: Tensor
    ) -> tuple[States, Tensor, dict[str, Tensor]]:
        tree = self._task.train_interval(self._form.joined(state), nested(hyperparameters), MappedKey(train))
        after = self._form.split(tree, "train_interval")
        score, metrics = reported(self._task.evaluate(tree, MappedKey(evaluate)))
        return after, _number(score, "the score"), {n: _number(v, f"the metric {n!r}") for n, v in metrics.items()}


class _Form:
    """How a state is made of tensors: which of its leaves are, and what is around them.

    Args:
        sample: A state.
        device: Where all tensors are; None: each where it is in the sample.
    """

    def __init__(self, sample: Tree, device: torch.device | None) -> None:
        self._sample = sample
        self._shape = map_leaves(lambda leaf: None, sample)
        self._leaves = _leaves(sample)
        self._tensors = [_is_number(leaf) for leaf in self._leaves]
        kept = [torch.as_tensor(_wide(leaf)) for leaf in self._leaves if _is_number(leaf)]
        if not kept:
            raise InvalidValue("init: the state holds no tensors; return a tree of tensors")
        self._types = [(leaf.dtype, tuple(leaf.shape)) for leaf in kept]
        self.devices = [leaf.device if device is None else device for leaf in kept]

    def split(self, tree: Tree, function: str) -> States:
        """The tensors of one member's state; numbers and NumPy arrays become tensors.

        Raises:
            InvalidValue: It has another form than the sample.
        """
        if map_leaves(lambda leaf: None, tree) != self._shape:
            raise InvalidValue(
                f"{function}: the state has changed its containers or their keys; one program keeps the form that init "
                "makes"
            )
        found: States = []
        for leaf, old, is_tensor in zip(_leaves(ordered(tree, self._sample)), self._leaves, self._tensors, strict=True):
            if is_tensor and _is_number(leaf):
                found.append(self._fit(torch.as_tensor(_wide(leaf)), len(found), function))
            elif is_tensor or type(leaf) is not type(old) or leaf != old:
                raise InvalidValue(
                    f"{function}: the state holds {leaf!r} where another member's or init's holds {old!r}; only "
                    "tensors and numbers may differ between members of one program"
                )
        return found

    def _fit(self, leaf: Tensor, place: int, function: str) -> Tensor:
        dtype, shape = self._types[place]
        if tuple(leaf.shape) != shape:
            raise InvalidValue(
                f"{function}: a tensor of the state has changed its shape from {shape} to {tuple(leaf.shape)}; one "
                "program keeps all shapes: shapes must not depend on hyperparameters, and init gives the final ones"
            )
        if leaf.dtype != dtype and leaf.dtype.is_floating_point != dtype.is_floating_point:
            raise InvalidValue(
                f"{function}: a tensor of the state has changed its type from {dtype} to {leaf.dtype}; one program "
                "keeps all types: convert it with .to(...), or let init make it of that type"
            )
        # A hyperparameter is a tensor here and not Python's number, which would not have widened a result.
        return leaf.detach().to(dtype)

    def joined(self, tensors: Sequence[Any]) -> Tree:
        """The state with these tensors."""
        rest = iter(tensors)
        leaves = iter(
            [next(rest) if is_tensor else leaf for leaf, is_tensor in zip(self._leaves, self._tensors, strict=True)]
        )
        return map_leaves(lambda leaf: next(leaves), self._sample)

    def picture(self, wholes: Sequence[Hosted]) -> Picture:
        """The states on the host, as other engines keep them."""
        kept = [leaf for leaf, is_tensor in zip(self._leaves, self._tensors, strict=True) if is_tensor]
        if all(isinstance(leaf, Tensor) for leaf in kept):
            return StackedPicture(self.joined(wholes))
        columns: list[list[Any]] = []
        for whole, leaf in zip(wholes, kept, strict=True):
            if isinstance(leaf, Tensor):
                columns.append([whole.at(place) for place in range(len(whole.array))])
            else:  # a number or a NumPy array, stored as what it was
                columns.append([_as(leaf, one) for one in torch.from_numpy(whole.array).unbind(0)])
        return ListedPicture([self.joined(list(row)) for row in zip(*columns, strict=True)])

    def stored(self, tensors: Sequence[Tensor]) -> Tree:
        """One member's state as other engines keep it."""
        kept = [leaf for leaf, is_tensor in zip(self._leaves, self._tensors, strict=True) if is_tensor]
        return self.joined([_as(leaf, tensor) for leaf, tensor in zip(kept, tensors, strict=True)])


class TorchKind:
    """Tensors with a leading member axis; see `warren.stacked.arrays.Kind`."""

    def take(self, leaf: Tensor, places: Places) -> Tensor:
        # Not index_select: on a CPU that others use as well, its threads wait for each other at every row.
        return leaf[torch.as_tensor(places, device=leaf.device)]

    def put(self, leaf: Tensor, places: Places, part: Tensor) -> Tensor:
        return leaf.index_copy_(0, torch.as_tensor(places, device=leaf.device), part.to(leaf.dtype))

    def stack(self, leaves: Sequence[Tensor], device: str | None) -> Tensor:
        stacked = torch.stack([leaf.detach() for leaf in leaves])
        return self.moved(stacked, device)

    def picture(self, leaf: Tensor) -> Callable[[], Hosted]:
        copy = leaf.detach().clone()
        if copy.device.type != "cuda":
            return lambda: _hosted(copy)
        taken = torch.cuda.Event()  # type: ignore[no-untyped-call]
        taken.record(torch.cuda.current_stream(copy.device))

        def brought() -> Hosted:
            # On a stream of its own: on that of the training it would wait for the next round.
            with torch.cuda.stream(torch.cuda.Stream(copy.device)):  # type: ignore[no-untyped-call]
                taken.wait()
                return _hosted(copy)

        return brought

    def member(self, leaf: Tensor, place: int) -> Tensor:
        return leaf[place].detach().clone()

    def moved(self, leaf: Tensor, device: str | None) -> Tensor:
        wanted = default_device() if device is None else find_device(device)
        return leaf if wanted is None else leaf.to(wanted)


KIND = TorchKind()


def default_device() -> torch.device | None:
    """The GPU where there is one; None: tensors stay where they are."""
    return torch.device("cuda") if torch.cuda.is_available() else None


def find_device(name: str) -> torch.device:
    """The device of a name such as ``"cpu"`` or ``"cuda:1"``.

    Raises:
        InvalidValue: It is not there.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        there = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        raise InvalidValue(f"device {name!r} is not there; torch has {', '.join(there)}") from None
    return device


def member_values(column: Any, device: torch.device) -> Tensor:
    """A hyperparameter of n members as a tensor: fractions in torch's default type."""
    array = np.asarray(column)
    values = torch.from_numpy(array.copy())
    return values.to(device, torch.get_default_dtype() if array.dtype.kind == "f" else None)


def seed_global(seeds: Sequence[int]) -> None:
    """Seed torch's global generators from all members' seeds, so that what draws from them repeats."""
    digest = hashlib.blake2b(np.array(seeds, dtype=np.int64).tobytes(), digest_size=8).digest()
    seed = int.from_bytes(digest, "little") >> 1
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(seed)


@contextmanager
def explained(remedy: str = "engine='processes' runs it as it is") -> Iterator[None]:
    """Turns what torch says of functions that cannot be mapped, and of full devices, into one line.

    Args:
        remedy: What else can be done.

    Raises:
        Untraceable: The functions cannot be mapped.
        OutOfMemory: The device cannot hold it.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise OutOfMemory(str(error).splitlines()[0]) from error
    except (RuntimeError, ValueError) as error:
        if isinstance(error, (Untraceable, OutOfMemory)):
            raise
        told = str(error)
        if "DefaultCPUAllocator: can't allocate memory" in told or "DefaultCPUAllocator: not enough memory" in told:
            raise OutOfMemory("the host's memory cannot hold it") from error
        rule = why_not(told)
        if rule is None:
            raise
        raise Untraceable(f"{own_line(error)}the members cannot be run all at once: {rule}; {remedy}") from error


_RULES = (
    (".item()", ".item(), float(...) or int(...) takes one number out of a tensor; keep it a tensor"),
    ("data-dependent control flow", "an if or while depends on a tensor's value; write it with torch.where"),
    ("dynamic shape", "the shape of a result depends on a tensor's values; use torch.where or a mask"),
    ("were not batched", "statistics are updated in place that all members share (BatchNorm's running ones); use "
     "GroupNorm or LayerNorm, or torch.func.replace_all_batch_norm_modules_(net)"),
    ("inplace arithmetic", "a tensor that all members share is written in place with values that differ; x = x + y"),
    ("in-place operation that would mutate a captured", "a tensor from outside is written in place; write x = x + y"),
    ("requires_grad_()", "x.requires_grad_() has no meaning here; take gradients with torch.func.grad"),
    ("backward() called inside", ".backward() has no meaning here; take gradients with torch.func.grad"),
    ("does not require grad", "gradients are taken with torch.func.grad, not with .backward() or torch.autograd.grad"),
    ("Batching rule not implemented", "torch has no rule to run one of its operations for all members at once"),
    ("vmap", ""),
)  # fmt: skip


_WRITTEN = re.compile(r"output with shape \[([\d, ]*)\] doesn't match the broadcast shape \[\d+(?:, )?([\d, ]*)\]")


def why_not(told: str) -> str | None:
    """In plain words, why torch cannot map a function; None where its message is about something else."""
    written = _WRITTEN.search(told)
    if written is not None and written[1] == written[2]:  # what was to be written has the member axis, and nothing else
        told = "inplace arithmetic"
    for part, rule in _RULES:
        if part in told:
            return rule or told.strip().splitlines()[0].rstrip(".")
    return None


def _hosted(tensor: Tensor) -> Hosted:
    brought = hosted(tensor.cpu())
    if not isinstance(brought, Hosted):
        raise InvalidType(f"a tensor cannot be brought to the host: {brought!r}")
    return brought


def _leaves(tree: Tree) -> list[Any]:
    found: list[Any] = []
    map_leaves(found.append, tree)
    return found


def _is_number(leaf: Any) -> bool:
    return isinstance(leaf, (Tensor, np.ndarray, np.generic, bool, int, float))


def _wide(leaf: Any) -> Any:
    """Python's fractions keep all their digits, so that they come back as they were."""
    if isinstance(leaf, float):
        return torch.tensor(leaf, dtype=torch.float64)
    if isinstance(leaf, (np.ndarray, np.generic)):
        return torch.from_numpy(np.array(leaf))
    return leaf


def _as(old: Any, tensor: Tensor) -> Any:
    """The tensor in the form that the sample's leaf has."""
    if isinstance(old, Tensor):
        return tensor
    if isinstance(old, np.ndarray):
        return tensor.cpu().numpy()
    if isinstance(old, np.generic):
        return tensor.cpu().numpy()[()]
    return type(old)(tensor.item())


def _number(value: Any, what: str) -> Tensor:
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise InvalidType(f"evaluate: {what} must be one number, but got {value!r}") from None
    if tensor.shape != ():
        raise InvalidType(
            f"evaluate: {what} must be one number, but got a tensor of shape {tuple(tensor.shape)}; reduce it, for "
            "example with .mean()"
        )
    return tensor.detach()


def _outcome(results: Sequence[tuple[Tensor, Mapping[str, Tensor]]]) -> Outcome:
    return Outcome(
        scores=np.stack([score.double().cpu().numpy() for score, _ in results]),
        metrics={
            name: np.stack([metrics[name].double().cpu().numpy() for _, metrics in results]) for name in results[0][1]
        },
    )
