"""The randomness of all members of an interval in one value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warren.errors import MissingExtra
from warren.stacked.base import Key


class Keyring:
    """What a `warren.StackedTask` draws with: one key a member, in the order of the member axis.

    Args:
        keys: One a member.
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def seeds(self) -> NDArray[np.int64]:
        """Seeds in ``[0, 2**31)``, shape (n,)."""
        return np.array([key.seed for key in self._keys], dtype=np.int64)

    def numpy(self) -> list[np.random.Generator]:
        """A NumPy generator for each member, the one that it draws from on every other engine."""
        return [key.numpy() for key in self._keys]

    def torch(self, device: Any = "cpu") -> list[Any]:
        """A torch generator for each member."""
        return [key.torch(device) for key in self._keys]

    def jax(self) -> Any:
        """JAX keys, shape (n,)."""
        try:
            import jax
        except ImportError:
            raise MissingExtra("rng.jax() needs JAX, which is not installed; pip install jax") from None
        return jax.vmap(jax.random.key)(self.seeds.astype(np.uint32))
