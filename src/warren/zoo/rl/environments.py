"""Environments by name: Gymnasium's own and a user's, and Atari as the papers prepare it."""

from __future__ import annotations

import importlib
import math
import os
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

from warren.errors import InvalidValue, MissingExtra
from warren.zoo.rl.lab import Lab
from warren.zoo.rl.starcraft import MiniGame

if TYPE_CHECKING:
    import gymnasium as gym

STACK = 4
"""Frames that an observation of an Atari game is made of."""

LASTS = 4
"""Frames of an Atari game, or tics of ViZDoom, that an action lasts."""


def environment(name: str) -> gym.Env[Any, Any]:
    """Make an environment with discrete actions, whose observations are vectors or stacks of images.

    Observations come as float32 vectors of shape (n,), flattened where the environment has others, or as uint8 images
    of shape (channels, height, width).

    Args:
        name: As Gymnasium knows it, such as ``CartPole-v1`` or ``ALE/Breakout-v5``; ``module:Name-v0`` imports a module
            that registers the environment first; ``MiniGrid-NAME`` is one of MiniGrid's, ``lab/LEVEL`` a level of
            DeepMind Lab, ``SC2/GAME`` a mini-game of StarCraft II.

    Raises:
        MissingExtra: A package that the environment needs is not installed.
        InvalidValue: There is no environment of that name, its actions are not discrete, or its observations cannot be
            made vectors.
    """
    try:
        import gymnasium as gym
    except ImportError:
        raise MissingExtra('reinforcement learning needs Gymnasium: pip install "warren[rl]"') from None
    module, colon, _ = name.rpartition(":")
    if colon and (":" in module or "" in module.split(".")):
        raise InvalidValue(f"env={name!r} must be a name, or one module and a name: use module:Name-v0 for your own")
    try:
        env = _made(name)
    except gym.error.DependencyNotInstalled as error:
        raise MissingExtra(f"env={name!r}: {_line(error)}") from None
    except (gym.error.Error, ModuleNotFoundError) as error:
        raise InvalidValue(
            f"env={name!r} is none that Gymnasium can make: {_line(error)}. Use one such as CartPole-v1, "
            "ALE/Breakout-v5, or module:Name-v0 for your own"
        ) from None
    actions(env, name)
    return env


def longest(name: str) -> int | None:
    """Steps after which an environment cuts an episode, as it says itself; it is made to be asked.

    Args:
        name: As for `environment`.

    Returns:
        None where it has no such limit, and for Atari, DeepMind Lab and StarCraft II, which are not asked.

    Raises:
        MissingExtra: A package that the environment needs is not installed.
        InvalidValue: As for `environment`.
    """
    if is_atari(name) or is_lab(name) or is_starcraft(name):
        return None
    with closing(environment(name)) as env:
        inner: Any = env.unwrapped
        if is_doom(name):
            return -(-int(inner.game.get_episode_timeout()) // LASTS) or None  # its 0 is none
        if is_grid(name):
            return int(inner.max_steps)
        return None if env.spec is None else env.spec.max_episode_steps


def is_atari(name: str) -> bool:
    """Whether an environment is a game of the Arcade Learning Environment."""
    return name.startswith("ALE/")


def is_doom(name: str) -> bool:
    """Whether an environment is one of ViZDoom's."""
    return name.startswith("Vizdoom")


def is_lab(name: str) -> bool:
    """Whether an environment is a level of DeepMind Lab."""
    return name.startswith("lab/")


def is_grid(name: str) -> bool:
    """Whether an environment is one of MiniGrid's."""
    return name.startswith("MiniGrid-")


def is_starcraft(name: str) -> bool:
    """Whether an environment is a mini-game of StarCraft II."""
    return name.startswith("SC2/")


def actions(env: gym.Env[Any, Any], name: str) -> int:
    """How many actions there are.

    Args:
        env: The environment.
        name: What it was asked for as.

    Raises:
        InvalidValue: They are not discrete, counted from 0.
    """
    from gymnasium.spaces import Discrete

    space = env.action_space
    if not isinstance(space, Discrete) or space.start != 0:
        env.close()
        raise InvalidValue(
            f"env={name!r} takes actions {space}: these agents choose among discrete actions; use an environment with "
            "a Discrete action space"
        )
    return int(space.n)


def shape(env: gym.Env[Any, Any]) -> tuple[int, ...]:
    """The shape of an observation."""
    found = env.observation_space.shape
    assert found is not None  # `environment` makes no other
    return tuple(int(size) for size in found)


def _made(name: str) -> gym.Env[Any, Any]:
    if is_atari(name):
        return _atari(name)
    if is_doom(name):
        return _doom(name)
    if is_lab(name):
        return cast("gym.Env[Any, Any]", Lab(name))
    if is_starcraft(name):
        return cast("gym.Env[Any, Any]", MiniGame(name))
    if is_grid(name):
        return _grid(name)
    return _plain(name)


def _plain(name: str) -> gym.Env[Any, Any]:
    import gymnasium as gym
    import numpy as np
    from gymnasium.spaces import Box

    env: gym.Env[Any, Any] = gym.make(name, disable_env_checker=True)
    seen = env.observation_space
    image = isinstance(seen, Box) and len(seen.shape) == 3 and seen.dtype == np.uint8 and min(seen.shape[1:]) >= 20
    if image or (isinstance(seen, Box) and len(seen.shape) == 1 and seen.dtype == np.float32):
        return env  # as it has to be: each wrapper costs as much as a step of the pole
    return _flat(env, name)


def _flat(env: gym.Env[Any, Any], name: str) -> gym.Env[Any, Any]:
    import numpy as np
    from gymnasium.spaces import Box
    from gymnasium.spaces.utils import flatten_space
    from gymnasium.wrappers import FlattenObservation, TransformObservation

    try:
        flattened = flatten_space(env.observation_space)
    except NotImplementedError:  # a kind of space that is not Gymnasium's own
        flattened = None
    if not isinstance(flattened, Box):
        env.close()
        seen = " ".join(str(env.observation_space).split())
        raise InvalidValue(
            f"env={name!r} is seen as {seen}, which Gymnasium cannot flatten to a vector: use one with observations of "
            "one size, made of numbers; worlds of MiniGrid are MiniGrid-NAME, without a module"
        )
    flat: gym.Env[Any, Any] = FlattenObservation(env)
    wide = Box(-np.inf, np.inf, flat.observation_space.shape, np.float32)
    return TransformObservation(flat, lambda seen: seen.astype(np.float32), wide)


def _grid(name: str) -> gym.Env[Any, Any]:
    """A grid world of MiniGrid: the 7 x 7 cells before the agent, and its direction, both one-hot.

    A cell is 20 numbers: 11 kinds of things, 6 colours, 3 states of a door. What the mission says is left out.
    """
    import gymnasium as gym
    from gymnasium.wrappers import FilterObservation

    try:
        wrappers: Any = importlib.import_module("minigrid.wrappers")  # importing the package registers its worlds
    except ImportError:
        raise MissingExtra(f'env={name!r} needs MiniGrid: pip install "warren[grid]"') from None
    cells: gym.Env[Any, Any] = wrappers.OneHotPartialObsWrapper(gym.make(name, disable_env_checker=True))
    return _flat(FilterObservation(cells, ["direction", "image"]), name)


def _atari(name: str) -> gym.Env[Any, Any]:
    """A game as Mnih et al. (2015) prepare it, with Gymnasium's wrappers.

    An action is repeated for 4 frames; an observation is the last 4 of such steps, each the maximum of its last two
    frames, in 84 x 84 grey values; an episode begins with 1 to 30 no-ops. Actions are never repeated at random, which
    is the default of ``-v5`` and newer than the paper. An episode ends with the game and not with a life.
    """
    import gymnasium as gym
    from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation

    try:
        import ale_py
    except ImportError:
        raise MissingExtra(f'env={name!r} needs the Arcade Learning Environment: pip install "warren[atari]"') from None
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # else each environment begins with a banner
    gym.register_envs(ale_py)
    game: gym.Env[Any, Any] = gym.make(name, disable_env_checker=True, frameskip=1, repeat_action_probability=0.0)
    return FrameStackObservation(AtariPreprocessing(game, noop_max=30, frame_skip=LASTS, screen_size=84), STACK)


def _doom(name: str) -> gym.Env[Any, Any]:
    """A scenario of ViZDoom, seen as one colour image of 84 x 84 pixels; an action is repeated for 4 tics.

    ViZDoom shows a black image where an episode ends. Where its limit cuts one, it says both terminated and truncated,
    and the end is taken for an end of its own: a black image has no value to go on from.
    It keeps no settings of its own, but makes a folder ``_vizdoom`` where the process runs.
    """
    import gymnasium as gym
    import numpy as np
    from gymnasium.spaces import Box
    from gymnasium.wrappers import TransformObservation

    try:
        import cv2
        import vizdoom.gymnasium_wrapper  # noqa: F401, registers the scenarios
    except ImportError:
        raise MissingExtra(f'env={name!r} needs ViZDoom and OpenCV: pip install "warren[doom]"') from None
    settings: dict[str, Any] = {"frame_skip": LASTS, "doom_config_path": os.devnull}
    scenario: gym.Env[Any, Any] = gym.make(name, disable_env_checker=True, **settings)

    def image(seen: Any) -> Any:
        small = cv2.resize(seen["screen"], (84, 84), interpolation=cv2.INTER_AREA)
        return np.ascontiguousarray(np.moveaxis(small, -1, 0))

    return TransformObservation(scenario, image, Box(0, 255, (3, 84, 84), np.uint8))


def _line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


def clipped(reward: float, limit: float | None) -> float:
    """A reward as it is learned from: within ``[-limit, limit]``, or as it is.

    Mnih et al. (2015) clip to 1, so that one learning rate serves games whose points differ.
    """
    return reward if limit is None else math.copysign(min(abs(reward), limit), reward)
