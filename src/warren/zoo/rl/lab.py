"""DeepMind Lab's levels as environments, where the package `deepmind_lab` is installed (it is built from source)."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from warren.errors import MissingExtra

SIDE = 84
"""Of an image, in pixels."""

FRAMES = 4
"""Frames that an action lasts (Jaderberg et al. 2016)."""

ACTIONS = (
    (0, 0, 0, 1, 0, 0, 0),  # forward
    (0, 0, 0, -1, 0, 0, 0),  # backward
    (0, 0, -1, 0, 0, 0, 0),  # strafe left
    (0, 0, 1, 0, 0, 0, 0),  # strafe right
    (-20, 0, 0, 0, 0, 0, 0),  # look left
    (20, 0, 0, 0, 0, 0, 0),  # look right
    (-20, 0, 0, 1, 0, 0, 0),  # look left and forward
    (20, 0, 0, 1, 0, 0, 0),  # look right and forward
    (0, 0, 0, 0, 1, 0, 0),  # fire
)
"""Look right, look down, strafe right, forward, fire, jump, crouch: the nine of Espeholt et al. (2018)."""


class Lab:
    """A level, with the methods and spaces of Gymnasium's environments that the agents use.

    An episode ends with the level's time. That is taken for an end of its own: what would follow is never seen.

    Args:
        name: ``lab/LEVEL``, such as ``lab/nav_maze_static_01``.

    Raises:
        MissingExtra: `deepmind_lab` is not installed.
    """

    def __init__(self, name: str) -> None:
        from gymnasium.spaces import Box, Discrete

        try:
            lab: Any = importlib.import_module("deepmind_lab")
        except ImportError:
            raise MissingExtra(
                f"env={name!r} needs the package deepmind_lab, which is built from github.com/google-deepmind/lab"
            ) from None
        config = {"width": str(SIDE), "height": str(SIDE)}
        self._lab = lab.Lab(name.partition("/")[2], ["RGB_INTERLEAVED"], config=config)
        self._rng = np.random.default_rng(0)
        self.observation_space = Box(0, 255, (3, SIDE, SIDE), np.uint8)
        self.action_space: Any = Discrete(len(ACTIONS))

    def reset(self, *, seed: int | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; its seed follows from the last one that was given."""
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self._lab.reset(seed=int(self._rng.integers(2**31)))
        self._image = self._seen()
        return self._image, {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take one of `ACTIONS`."""
        reward = float(self._lab.step(np.array(ACTIONS[action], dtype=np.intc), num_steps=FRAMES))
        over = not self._lab.is_running()
        if not over:  # a level that is over shows nothing
            self._image = self._seen()
        return self._image, reward, over, False, {}

    def close(self) -> None:
        """Give its memory back."""
        self._lab.close()

    def _seen(self) -> Any:
        return np.ascontiguousarray(np.moveaxis(self._lab.observations()["RGB_INTERLEAVED"], -1, 0))
