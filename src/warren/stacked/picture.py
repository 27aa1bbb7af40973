"""States as they were at some moment, brought to the host to be stored one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from warren.state import Encoded, Tree, encode, encode_stacked


class Picture(Protocol):
    """The states of n members."""

    def encoded(self, places: Sequence[int], beside: Sequence[Mapping[str, Tree]]) -> list[Encoded]:
        """What is stored of some members: ``{"state": its own, **beside}``, as other engines store it.

        Args:
            places: Where they are.
            beside: For each of them what is stored beside its state, without arrays.
        """
        ...


class StackedPicture:
    """States as one tree of host arrays with a leading member axis.

    Args:
        tree: Its arrays are NumPy's or `Hosted`.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def encoded(self, places: Sequence[int], beside: Sequence[Mapping[str, Tree]]) -> list[Encoded]:
        """See `Picture`."""
        return encode_stacked(self._tree, beside, places)


class ListedPicture:
    """States as one tree each.

    Args:
        trees: Of all members.
    """

    def __init__(self, trees: Sequence[Tree]) -> None:
        self._trees = trees

    def encoded(self, places: Sequence[int], beside: Sequence[Mapping[str, Tree]]) -> list[Encoded]:
        """See `Picture`."""
        return [encode({"state": self._trees[place], **rest}) for place, rest in zip(places, beside, strict=True)]


class JoinedPicture:
    """The pictures of several parts of a population.

    Args:
        parts: For each the places of the population that it has, and its picture.
    """

    def __init__(self, parts: Sequence[tuple[range, Picture]]) -> None:
        self._parts = parts

    def encoded(self, places: Sequence[int], beside: Sequence[Mapping[str, Tree]]) -> list[Encoded]:
        """See `Picture`."""
        found: dict[int, Encoded] = {}
        for part, picture in self._parts:
            own = [(place, rest) for place, rest in zip(places, beside, strict=True) if place in part]
            made = picture.encoded([place - part.start for place, _ in own], [rest for _, rest in own])
            found.update(zip((place for place, _ in own), made, strict=True))
        return [found[place] for place in places]
