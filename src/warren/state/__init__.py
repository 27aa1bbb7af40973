"""A member's state as a tree of arrays: its encoding as bytes, and the adapters of the objects that hold it.

Importing this imports neither torch nor JAX; each is used only once an object of it is seen.
"""

from __future__ import annotations

from warren.state.adapters import Adapter, adapt
from warren.state.codec import Buffer, Chunk, Encoded, decode, digest, encode, encode_stacked
from warren.state.combine import Arrays, combine_leaves
from warren.state.leaves import Hosted, clone, hosted
from warren.state.tree import Path, Tree

__all__ = [
    "Adapter",
    "Arrays",
    "Buffer",
    "Chunk",
    "Encoded",
    "Hosted",
    "Path",
    "Tree",
    "adapt",
    "clone",
    "combine_leaves",
    "decode",
    "digest",
    "encode",
    "encode_stacked",
    "hosted",
]
