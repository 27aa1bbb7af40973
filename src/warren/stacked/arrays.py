"""Arrays with a leading member axis, of whichever framework."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from warren.errors import InvalidType
from warren.state.leaves import is_jax_array, is_torch

Places = NDArray[np.int64]


class Kind(Protocol):
    """What is done with the arrays of one framework. A leaf has the shape (n, ...)."""

    def take(self, leaf: Any, places: Places) -> Any:
        """A new array with the entries at `places`."""
        ...

    def put(self, leaf: Any, places: Places, part: Any) -> Any:
        """The array with the entries at `places` replaced; `leaf` may be written over."""
        ...

    def stack(self, leaves: Sequence[Any], device: str | None) -> Any:
        """One array of the leaves of n members, on a device; None is the default one."""
        ...

    def picture(self, leaf: Any) -> Callable[[], Any]:
        """What gives the array on the host (NumPy's or `Hosted`), as it is now, whatever happens to it meanwhile."""
        ...

    def member(self, leaf: Any, place: int) -> Any:
        """One member's leaf, with memory of its own."""
        ...

    def moved(self, leaf: Any, device: str | None) -> Any:
        """The array on a device."""
        ...


class NumPyKind:
    """See `Kind`."""

    def take(self, leaf: NDArray[Any], places: Places) -> NDArray[Any]:
        taken: NDArray[Any] = leaf[places]
        return taken

    def put(self, leaf: NDArray[Any], places: Places, part: NDArray[Any]) -> NDArray[Any]:
        leaf = leaf if leaf.flags.writeable else leaf.copy()
        leaf[places] = part
        return leaf

    def stack(self, leaves: Sequence[Any], device: str | None) -> NDArray[Any]:
        return np.stack(leaves)

    def picture(self, leaf: NDArray[Any]) -> Callable[[], NDArray[Any]]:
        copy = leaf.copy()
        return lambda: copy

    def member(self, leaf: NDArray[Any], place: int) -> NDArray[Any]:
        return np.array(leaf[place])

    def moved(self, leaf: NDArray[Any], device: str | None) -> NDArray[Any]:
        return leaf


def kind_of(leaf: Any, path: str) -> Kind:
    """What handles a leaf.

    Args:
        leaf: An array.
        path: Where it stands, for the message.

    Raises:
        InvalidType: It is no array.
    """
    if isinstance(leaf, (np.ndarray, np.generic)):
        return NumPyKind()
    room = "torch" if is_torch(leaf, "Tensor") else "jax" if is_jax_array(leaf) else None
    if room is None:
        raise InvalidType(
            f"the state at {path!r} is {leaf!r}, of type {type(leaf).__name__}: every leaf of a StackedTask's state "
            "must be an array with a leading member axis"
        )
    kind: Kind = importlib.import_module(f"warren.stacked.{room}").KIND
    return kind
