"""What members are trained on: minibatches of tensors, in an order of each member's own or in one for all."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from warren.errors import InvalidType, InvalidValue
from warren.stacked import Keyring


@runtime_checkable
class Feed(Protocol):
    """Gives the minibatches of an interval. One of your own may make batches in any way.

    Attributes:
        shared: Whether all members get the same batches, which then have no member axis.
    """

    @property
    def shared(self) -> bool:
        """See the class."""
        ...

    def to(self, device: torch.device) -> Feed:
        """The same feed with its data on a device."""
        ...

    def batches(self, rng: Keyring, interval: int) -> Iterator[tuple[Tensor, ...]]:
        """The minibatches of one interval, in order.

        Args:
            rng: One key a member; what is drawn from it is the same on every engine.
            interval: How many intervals the first member's state has behind it.

        Returns:
            Tuples of tensors, of shape (n, size, ...), or (size, ...) where they are shared. Their shapes depend on
            nothing but n and the place in the interval.
        """
        ...


class _Data:
    """Tensors with a common first axis, and how many of their rows go into a batch and an interval.

    Args:
        tensors: The data, as torch tensors or NumPy arrays.
        size: Rows of a minibatch.
        steps: Minibatches of an interval, all full; None: one pass over the data, whose last batch may be smaller.
    """

    def __init__(self, *tensors: Any, size: int, steps: int | None = None) -> None:
        kind = type(self).__name__
        self._tensors = tuple(torch.as_tensor(tensor) for tensor in tensors)
        if not self._tensors or any(tensor.dim() == 0 for tensor in self._tensors):
            raise InvalidType(f"{kind}(...): it needs tensors with a first axis of examples, such as images and labels")
        self._rows = len(self._tensors[0])
        if any(len(tensor) != self._rows for tensor in self._tensors):
            lengths = ", ".join(str(len(tensor)) for tensor in self._tensors)
            raise InvalidValue(f"{kind}(...): all tensors must have as many rows, but they have {lengths}")
        for name, value in (("size", size), ("steps", steps)):
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise InvalidValue(f"{kind}({name}={value!r}): it must be a whole number of at least 1")
        if self._rows == 0:
            raise InvalidValue(f"{kind}(...): the tensors have no rows")
        self._size = size
        self._steps = steps

    def to(self, device: torch.device) -> Any:
        """See `Feed`."""
        return type(self)(*(one.to(device) for one in self._tensors), size=self._size, steps=self._steps)

    def _order(self, generator: torch.Generator) -> Tensor:
        """Numbers of the rows that an interval goes through."""
        passes = 1 if self._steps is None else math.ceil(self._steps * self._size / self._rows)
        order = torch.cat([torch.randperm(self._rows, generator=generator) for _ in range(passes)])
        return order if self._steps is None else order[: self._steps * self._size]

    def _parts(self, order: Tensor) -> Iterator[Tensor]:
        """The order, shape (..., rows), on the device in minibatches."""
        order = order.to(self._tensors[0].device)
        for begin in range(0, order.shape[-1], self._size):
            yield order[..., begin : begin + self._size]


class Batches(_Data):
    """Minibatches in an order of each member's own, drawn anew for each interval from the member's key.

    The order is ``torch.randperm(rows, generator=rng.torch())``, the same on every engine.
    """

    shared = False

    def batches(self, rng: Keyring, interval: int) -> Iterator[tuple[Tensor, ...]]:
        """See `Feed`."""
        orders = torch.stack([self._order(generator) for generator in rng.torch()])
        for part in self._parts(orders):
            rows = part.reshape(-1)
            # index_select is some times faster than data[part].
            yield tuple(one.index_select(0, rows).view(*part.shape, *one.shape[1:]) for one in self._tensors)


class SharedBatches(_Data):
    """Minibatches that all members see in the same order, which saves gathering them for each.

    The order is keyed by the number of the interval in the history of the members' states.
    """

    shared = True

    def batches(self, rng: Keyring, interval: int) -> Iterator[tuple[Tensor, ...]]:
        """See `Feed`."""
        for part in self._parts(self._order(torch.Generator().manual_seed(interval))):
            yield tuple(one.index_select(0, part) for one in self._tensors)
