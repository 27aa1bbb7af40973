"""States of many members described at once are to the byte what each would be by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from warren.errors import StateError
from warren.state import Hosted, encode, encode_stacked

BESIDE = [
    {"warren": {"hyperparameters": {"lr": 0.1 * place, "näme": float("inf")}, "age": place}} for place in range(5)
]


def own(tree: Any, place: int) -> Any:
    """One member's part of a tree."""
    if isinstance(tree, dict):
        return {key: own(value, place) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(own(value, place) for value in tree)
    if isinstance(tree, Hosted):
        return tree.at(place)
    return tree[place, ...] if isinstance(tree, np.ndarray) else tree


RNG = np.random.default_rng(0)
SHARED = RNG.normal(size=(5, 3, 2))
TREES = [
    {"w": RNG.normal(size=(5, 4)), "n": np.arange(5)},
    {"a": [RNG.normal(size=(5, 2, 3)).astype(np.float32), (np.ones((5, 7), dtype=np.int8), None, 1.5, "word")]},
    {"empty": np.zeros((5, 0)), "complex": RNG.normal(size=(5, 2)) + 1j, "big": RNG.normal(size=(5, 3)).astype(">f8")},
    {"tied": SHARED, "again": SHARED, "turned": np.asfortranarray(SHARED), "part": SHARED[:, 1:, ::2]},
    {"j": Hosted("j", RNG.normal(size=(5, 3)).astype(np.float32)), "t": Hosted("t", np.arange(5))},
    {"k": Hosted("k", np.arange(10, dtype=np.uint32).reshape(5, 2), "threefry2x32"), "none": {}},
    RNG.normal(size=(5, 4)),
]


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("places", [range(5), [3, 0], []])
def test_each_is_what_it_would_be_by_itself(tree: Any, places: Any) -> None:
    found = encode_stacked(tree, [BESIDE[place] for place in places], places)
    for one, place in zip(found, places, strict=True):
        alone = encode({"state": own(tree, place), **BESIDE[place]})
        assert one.tobytes() == alone.tobytes()
        assert one.size == alone.size == len(one.tobytes())


def test_what_cannot_be_stored_is_told_with_its_path() -> None:
    with pytest.raises(StateError, match=r"state at 'state.w.f'.*a function cannot be stored"):
        encode_stacked({"w": {"f": len}}, BESIDE, range(5))
    with pytest.raises(StateError, match=r"'state\.o'"):
        encode_stacked({"o": np.array([object()] * 5)}, BESIDE, range(5))
