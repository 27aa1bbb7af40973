"""Whose arrays a state is made of."""

from __future__ import annotations

import sys
from typing import Literal

from warren.stacked.functions import leaves
from warren.state import Tree
from warren.state.leaves import is_jax_array, is_torch

Framework = Literal["numpy", "torch", "jax"]


def framework_of(state: Tree) -> Framework:
    """The framework of a state's arrays: that of the first that is not NumPy's."""
    found = [leaf for _, leaf in leaves(state)]
    if any(is_torch(leaf, "Tensor") for leaf in found):
        return "torch"
    jax = sys.modules.get("jax")
    if jax is not None:  # its states may be classes of their own (Equinox, Flax)
        found = jax.tree_util.tree_leaves(state)
    return "jax" if any(is_jax_array(leaf) for leaf in found) else "numpy"
