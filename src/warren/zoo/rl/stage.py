"""Some environments that are stepped together, and what their episodes returned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from warren.zoo.rl.environments import clipped

if TYPE_CHECKING:
    import gymnasium as gym
    import torch
    from numpy.typing import NDArray


class Seen(NamedTuple):
    """What is known before actions are chosen.

    Attributes:
        observations: Shape (environments, ...).
        begun: Whose observation is the first of an episode, so that a memory is empty; shape (environments,).
        actions: The ones before, 0 where an episode has begun; shape (environments,).
        rewards: What they brought, as it is learned from, 0 where an episode has begun; shape (environments,).
    """

    observations: NDArray[Any]
    begun: NDArray[np.bool_]
    actions: NDArray[np.int64]
    rewards: NDArray[np.float32]


class Player(Protocol):
    """Chooses actions, for as many environments as there are observations."""

    def __call__(self, seen: Seen, generator: torch.Generator) -> NDArray[np.int64]:
        """Choose.

        Args:
            seen: What is known.
            generator: Of the draws.

        Returns:
            Actions; shape (environments,).
        """
        ...


class Step(NamedTuple):
    """What one action in each environment led to.

    Attributes:
        rewards: As they are learned from; shape (environments,), float32.
        terminated: Whose episode came to an end of its own: nothing can follow; shape (environments,).
        truncated: Whose episode was cut by a limit: what would have followed has a value; shape (environments,).
        finals: What a truncated episode ended with, by environment: the next observation is of another one.
    """

    rewards: NDArray[np.float32]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    finals: Mapping[int, NDArray[Any]]


class Stage:
    """Environments that begin anew wherever an episode ends.

    A loop over single environments, and not Gymnasium's vector environments: those differ from version to version in
    which step shows the last observation of a truncated episode, and whether the action after it counts.

    Args:
        envs: The environments; they are the stage's while it steps them.
        seeds: Of their draws, one each.
        limit: Rewards are learned from within this distance of 0; None: as they are.

    Attributes:
        seen: What is known now.
        returns: Sums of the rewards, not clipped, of each episode that ended so far, in order.
    """

    def __init__(self, envs: Sequence[gym.Env[Any, Any]], seeds: Sequence[int], *, limit: float | None = None) -> None:
        self._envs, self._limit = envs, limit
        self.seen = _first(envs, seeds)
        self.returns: list[float] = []
        self._sums = np.zeros(len(envs))

    @property
    def unfinished(self) -> list[float]:
        """What the episodes that have not ended returned so far, one for each environment."""
        return [float(total) for total in self._sums]

    def step(self, actions: NDArray[np.int64]) -> Step:
        """Take one action in each environment.

        Args:
            actions: Shape (environments,).
        """
        n = len(self._envs)
        rewards = np.zeros(n, np.float32)
        terminated, truncated = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
        following, finals = [], {}
        for place, env in enumerate(self._envs):
            observation, reward, terminated[place], truncated[place], _ = env.step(int(actions[place]))
            rewards[place] = clipped(float(reward), self._limit)
            self._sums[place] += float(reward)
            if terminated[place] or truncated[place]:
                truncated[place] &= not terminated[place]  # the limit does not matter to what is over
                if truncated[place]:
                    finals[place] = np.array(observation)
                self.returns.append(float(self._sums[place]))
                self._sums[place] = 0.0
                observation, _ = env.reset()
            following.append(observation)
        begun = terminated | truncated
        self.seen = Seen(
            np.stack(following), begun, np.where(begun, 0, actions), np.where(begun, np.float32(0), rewards)
        )
        return Step(rewards, terminated, truncated, finals)


def play(
    envs: Sequence[gym.Env[Any, Any]],
    player: Player,
    seeds: Sequence[int],
    generator: torch.Generator,
    *,
    longest: int,
    limit: float | None = None,
) -> NDArray[np.float64]:
    """Play one episode for each seed.

    Args:
        envs: Environments to play in; seeds are taken in turns of as many.
        player: Chooses actions.
        seeds: Of the episodes.
        generator: Of the player's draws.
        longest: Steps after which an episode is cut, from 1 on: a policy may never come to an end of its own.
        limit: The player is told of rewards as `Stage` tells it.

    Returns:
        Sums of the rewards, not clipped; shape (seeds,).
    """
    returns: list[float] = []
    for first in range(0, len(seeds), len(envs)):
        some = seeds[first : first + len(envs)]
        here = envs[: len(some)]
        seen, playing, sums = _first(here, some), np.ones(len(some), np.bool_), np.zeros(len(some))
        for _ in range(longest):
            actions = player(seen, generator)
            # Where an episode is over, its last observation stands still, and what is chosen there has no effect.
            observations, rewards = seen.observations.copy(), np.zeros(len(some), np.float32)
            for place in np.flatnonzero(playing):
                observations[place], reward, terminated, truncated, _ = here[int(place)].step(int(actions[place]))
                rewards[place] = clipped(float(reward), limit)
                sums[place] += float(reward)
                playing[place] = not (terminated or truncated)
            if not playing.any():
                break
            seen = Seen(observations, np.zeros(len(some), np.bool_), actions, rewards)
        returns.extend(sums.tolist())
    return np.array(returns)


def _first(envs: Sequence[gym.Env[Any, Any]], seeds: Sequence[int]) -> Seen:
    """The beginnings of episodes."""
    n = len(envs)
    observations = np.stack([env.reset(seed=seed)[0] for env, seed in zip(envs, seeds, strict=True)])
    return Seen(observations, np.ones(n, np.bool_), np.zeros(n, np.int64), np.zeros(n, np.float32))
