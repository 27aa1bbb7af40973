"""Gymnax's environments, many at once: what the agent needs to know of one, and how its episodes begin and go on."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from warren.errors import InvalidValue, MissingExtra

jax: Any = importlib.import_module("jax")  # by name, because type checkers find JAX on few machines

Array = Any


@dataclass(frozen=True, kw_only=True, eq=False)
class Game:
    """One environment with its parameters.

    Attributes:
        env: As `gymnax.make` gives it.
        params: Its parameters, the default ones.
        actions: How many there are to choose from.
        shape: Of an observation: (n,) for vectors, (height, width, channels) for images.
        limit: Steps after which an episode is cut off.
    """

    env: Any
    params: Any
    actions: int
    shape: tuple[int, ...]
    limit: int

    def begin(self, key: Array, n: int) -> tuple[Array, Any]:
        """The first observations and states of n episodes."""
        reset = jax.vmap(self.env.reset, in_axes=(0, None))
        observations, states = reset(jax.random.split(key, n), self.params)
        return self._flat(observations), states

    def step(self, keys: Array, states: Any, actions: Array) -> tuple[Array, Any, dict[str, Array]]:
        """One step of n episodes; those that end begin anew at once.

        Args:
            keys: For what is random in the environments and in their beginnings, shape (n,).
            states: Of n environments.
            actions: Whole numbers below `actions`, shape (n,).

        Returns:
            The observations and states to go on from, and what the step brought, each of shape (n,) but for the
            observations: ``reward``, ``terminated`` (lost or reached: nothing follows), ``over`` (terminated, or cut
            off at the limit) and ``next``, the observation before anything begins anew.
        """
        steps = jax.vmap(self.env.step, in_axes=(0, 0, 0, None))
        observations, states, reward, terminated, truncated, info = steps(keys, states, actions, self.params)
        found = {
            "reward": reward.astype("float32"),
            "terminated": terminated.astype(bool),
            "over": terminated.astype(bool) | truncated.astype(bool),
            "next": self._flat(info["final_observation"]),
        }
        return self._flat(observations), states, found

    def _flat(self, observations: Array) -> Array:
        return observations.reshape(len(observations), *self.shape).astype("float32")


@lru_cache(maxsize=16)  # made once a process, not once a member
def game(name: str, sticky: float) -> Game:
    """The environment of a name.

    Args:
        name: As gymnax knows it.
        sticky: The chance that the action before is repeated in place of the one that was chosen, in [0, 1).

    Raises:
        MissingExtra: Gymnax is not installed.
        InvalidValue: There is no such environment, it could not be loaded, or its actions cannot be counted.
    """
    try:
        gymnax: Any = importlib.import_module("gymnax")
    except ImportError as error:
        raise MissingExtra(f'the environments are gymnax\'s ({error}): pip install "warren[ppo]"') from None
    if name not in gymnax.registered_envs:
        raise InvalidValue(
            f"env={name!r} is none of gymnax's environments, which are {', '.join(gymnax.registered_envs)}"
        )
    with jax.ensure_compile_time_eval():  # what environments keep is values, wherever the first call comes from
        try:
            env, params = gymnax.make(name)
        except OSError as error:  # URLError is one
            raise InvalidValue(
                f"env={name!r} could not be loaded by gymnax, which downloads what it shows ({_line(error)}): take "
                "another such as CartPole-v1, or try again where there is a network"
            ) from None
        actions = env.action_space(params)
        if not isinstance(actions, gymnax.environments.spaces.Discrete):
            raise InvalidValue(
                f"env={name!r} is steered by {actions!r}, and this agent chooses one of several actions; take an "
                "environment with discrete ones, such as CartPole-v1 or Breakout-MinAtar"
            )
        if sticky:
            env = importlib.import_module("gymnax.wrappers").StickyActionWrapper(env, sticky)
        seen, _ = jax.eval_shape(env.reset, jax.random.key(0), params)
        shape = seen.shape if len(seen.shape) == 3 else (seen.size,)
    return Game(env=env, params=params, actions=int(actions.n), shape=shape, limit=int(params.max_steps_in_episode))


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")
