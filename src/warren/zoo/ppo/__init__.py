"""Thirty-two agents learn CartPole as one program: PPO in JAX on gymnax's environments; some minutes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warren.results import Result


def main(arguments: list[str], *, live: Callable[[], AbstractContextManager[Callable[[Result], None]]]) -> int:
    """Train the population and say what came out; see `warren.zoo.ppo.command`.

    Args:
        arguments: Options as on the command line; ``--help`` lists them.
        live: Makes a live view of a run; what it yields is called with the result so far.

    Returns:
        The exit code.
    """
    from warren.zoo.ppo.command import main

    return main(arguments, live=live)


__all__ = ["main"]
