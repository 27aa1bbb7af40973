"""Eight small GANs learn to draw handwritten digits, the learning rates of both networks tuned while they train."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warren.results import Result


def main(arguments: list[str], *, live: Callable[[], AbstractContextManager[Callable[[Result], None]]]) -> int:
    """Train the population and say what came out; see `warren.zoo.gan.command`.

    Args:
        arguments: Options as on the command line; ``--help`` lists them.
        live: Makes a live view of a run; what it yields is called with the result so far.

    Returns:
        The exit code.
    """
    from warren.zoo.gan.command import main

    return main(arguments, live=live)


__all__ = ["main"]
