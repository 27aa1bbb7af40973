"""Generators of every framework from one key."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from warren.population import Keys

if TYPE_CHECKING:
    import torch


FRAMEWORKS = frozenset({"torch"})
"""Those with a global generator of their own, which can only be seeded once they are loaded."""


class Rng:
    """A key that gives a generator of whichever framework asks. Each purpose has its own stream.

    Args:
        keys: Whose draws these are.
        purpose: What for.
    """

    def __init__(self, keys: Keys, purpose: str) -> None:
        self._keys = keys
        self._purpose = purpose

    @property
    def seed(self) -> int:
        """A seed in ``[0, 2**31)``, which every framework accepts."""
        return self._keys.integer(self._purpose) >> 32

    def numpy(self) -> np.random.Generator:
        """A new NumPy generator at the start of this key's stream."""
        return self._keys.generator(self._purpose)

    def torch(self, device: Any = "cpu") -> torch.Generator:
        """A new torch generator at the start of this key's stream."""
        import torch

        return torch.Generator(device=device).manual_seed(self.seed)

    def jax(self) -> Any:
        """A JAX key."""
        import jax

        return jax.random.key(self.seed)


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy, and of torch where it is loaded.

    Args:
        seed: In ``[0, 2**31)``.
    """
    random.seed(seed)
    np.random.seed(seed)
    torch = sys.modules.get("torch")
    if torch is not None and getattr(torch, "default_generator", None) is not None:
        torch.default_generator.manual_seed(seed)  # a hundred times faster than torch.manual_seed
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(seed)
