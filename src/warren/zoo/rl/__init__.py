"""Actor-critics learn to balance a pole, or an Atari game, while they are tuned; a minute or two."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warren.results import Result


def main(arguments: list[str], *, live: Callable[[], AbstractContextManager[Callable[[Result], None]]]) -> int:
    """Train the population and say what came out; see `warren.zoo.rl.command`.

    Args:
        arguments: Options as on the command line; ``--help`` lists them.
        live: Makes a live view of a run; what it yields is called with the result so far.

    Returns:
        The exit code.
    """
    from warren.zoo.rl.command import main

    return main(arguments, live=live)


__all__ = ["main"]
