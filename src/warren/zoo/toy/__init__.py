"""Figure 2 of the paper: two members climb a hill that neither sees whole, in four panels; takes some seconds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warren.results import Result


def main(arguments: list[str], *, live: Callable[[], AbstractContextManager[Callable[[Result], None]]]) -> int:
    """Run the four panels; see `warren.zoo.toy.command`.

    Args:
        arguments: Options as on the command line; ``--help`` lists them.
        live: Makes a live view of a run; not used, since each run takes a quarter of a second.

    Returns:
        The exit code.
    """
    from warren.zoo.toy.command import main

    return main(arguments)


__all__ = ["main"]
