"""Environments whose best returns are known, for tests; importing this registers them with Gymnasium."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete


class Corridor(gym.Env):
    """Three places; the second action goes right, and from the last one out, for a reward of 1. Each step costs 0.1.

    The best return is 1 - 3 * 0.1 = 0.7.
    """

    observation_space = Box(0.0, 1.0, (3,), np.float32)
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0
        return self._seen(), {}

    def step(self, action):
        self.place = max(0, self.place + (1 if action == 1 else -1))
        out = self.place == 3
        return self._seen(), (1.0 if out else 0.0) - 0.1, out, False, {}

    def _seen(self):
        return np.eye(4, dtype=np.float32)[self.place, :3]


class Counter(gym.Env):
    """Counts its steps: the observation is the number of steps so far, the reward that number, from 1 on.

    The first action goes on, the second terminates. Unnoticed by it, a limit may cut it. As `Endless` it has none.
    """

    observation_space = Box(-np.inf, np.inf, (1,), np.float32)
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.count += 1
        return np.full(1, self.count, np.float32), float(self.count), bool(action == 1), False, {}


class Tuples(Counter):
    """As `Counter`, with an observation that is no vector, and is seen as the 3 + 1 numbers that it is made of."""

    observation_space = gym.spaces.Dict({"cell": Discrete(3), "count": Box(-np.inf, np.inf, (1,), np.float64)})

    def reset(self, *, seed=None, options=None):
        count, info = super().reset(seed=seed)
        return {"cell": 0, "count": count.astype(np.float64)}, info

    def step(self, action):
        count, *rest = super().step(action)
        return {"cell": self.count % 3, "count": count.astype(np.float64)}, *rest


class Pairs(Counter):
    """As `Counter`, with an observation whose length changes."""

    observation_space = gym.spaces.Dict({"found": gym.spaces.Sequence(Discrete(3))})


class Sides(gym.Env):
    """An image that is bright on one side; the action of that side, 0 left and 1 right, brings 1, the other -1.

    Episodes have four such images, so that 4 is the best return, and 0 that of a coin.
    """

    observation_space = Box(0, 255, (1, 84, 84), np.uint8)
    action_space = Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self._seen(), {}

    def step(self, action):
        self.count += 1
        reward = 1.0 if int(action) == self.side else -1.0
        return self._seen(), reward, self.count == 4, False, {}

    def _seen(self):
        self.side = int(self.np_random.integers(2))
        image = np.zeros((1, 84, 84), np.uint8)
        image[..., 42 * self.side : 42 * self.side + 42] = 255
        return image


for name, made, limit in (
    ("Sides", Sides, 20),
    ("Corridor", Corridor, 20),
    ("Counter", Counter, 3),
    ("Tuples", Tuples, 3),
    ("Endless", Counter, None),
    ("Long", Counter, 3000),
    ("Longer", Counter, 30_000),
    ("Pairs", Pairs, 3),
):
    gym.register(f"warren-test/{name}-v0", entry_point=made, max_episode_steps=limit)
