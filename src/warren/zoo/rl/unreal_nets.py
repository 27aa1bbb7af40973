"""The network of UNREAL: convolutions and an LSTM, with heads for the auxiliary tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from warren.zoo.rl.networks import convolutions, drawn
from warren.zoo.rl.replay import FRAMES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from warren.zoo.rl.stage import Seen

FEATURES = 256
CLASSES = 3


class Memory(NamedTuple):
    """State of the LSTM; each of shape (environments, 256)."""

    hidden: Tensor
    cell: Tensor


class UnrealNet(nn.Module):
    """Policy, value, the values of changing pixels, and predictions of rewards.

    The convolutions and 256 units of Mnih et al. (2016), an LSTM of 256 that also sees the action and the reward
    before, and on top of it policy and value; a dueling deconvolution to 20 x 20 cells for each action; and, from the
    features of three images without the LSTM, 128 units and three classes of reward (Jaderberg et al. 2016, section 4
    and appendix A).

    Args:
        shape: Of an observation: (channels, 84, 84), from 0 to 255.
        actions: How many there are.
    """

    def __init__(self, shape: tuple[int, ...], actions: int) -> None:
        super().__init__()
        self.actions = actions
        self.body = convolutions(shape)
        self.lstm = nn.LSTMCell(FEATURES + actions + 1, FEATURES)
        self.policy, self.value = nn.Linear(FEATURES, actions), nn.Linear(FEATURES, 1)
        self.spread = nn.Linear(FEATURES, 32 * 9 * 9)
        self.cell_value = nn.ConvTranspose2d(32, 1, 4, stride=2)
        self.cell_advantage = nn.ConvTranspose2d(32, actions, 4, stride=2)
        self.reward = nn.Sequential(nn.Linear(FRAMES * FEATURES, 128), nn.ReLU(), nn.Linear(128, CLASSES))
        with torch.no_grad():
            self.policy.weight *= 0.01  # all actions are about as likely at first

    def empty(self, environments: int) -> Memory:
        """The memory at the beginning of an episode."""
        return Memory(torch.zeros(environments, FEATURES), torch.zeros(environments, FEATURES))

    def recall(self, observations: Tensor, begun: Tensor, actions: Tensor, rewards: Tensor, memory: Memory) -> Memory:
        """One step of the memory, for what was seen; it is emptied first where an episode has begun.

        Args:
            observations: Shape (environments, ...).
            begun: Shape (environments,).
            actions: The ones before; shape (environments,).
            rewards: What they brought; shape (environments,).
            memory: Before.
        """
        return self._recalled(self.body(observations), begun, actions, rewards, memory)

    def along(
        self, observations: Tensor, begun: Tensor, actions: Tensor, rewards: Tensor, memory: Memory
    ) -> list[Memory]:
        """The memory after each of consecutive observations; all arguments with a leading axis of steps."""
        features = self.body(observations.flatten(0, 1)).view(*observations.shape[:2], FEATURES)
        found = []
        for step in range(len(observations)):
            memory = self._recalled(features[step], begun[step], actions[step], rewards[step], memory)
            found.append(memory)
        return found

    def _recalled(self, features: Tensor, begun: Tensor, actions: Tensor, rewards: Tensor, memory: Memory) -> Memory:
        keep = (~begun).float()[:, None]
        before = F.one_hot(actions, self.actions).float() * keep
        inputs = torch.cat([features, before, rewards[:, None]], -1)
        return Memory(*self.lstm(inputs, (memory.hidden * keep, memory.cell * keep)))

    def heads(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of shape (..., actions) and values of shape (...)."""
        return self.policy(hidden), self.value(hidden).squeeze(-1)

    def cells(self, hidden: Tensor) -> Tensor:
        """Values of changing each cell by each action; shape (n, actions, 20, 20) for (n, 256)."""
        spread = F.relu(self.spread(hidden)).view(-1, 32, 9, 9)
        advantage = F.relu(self.cell_advantage(spread))
        found: Tensor = F.relu(self.cell_value(spread)) + advantage - advantage.mean(1, keepdim=True)
        return found

    def rewards(self, observations: Tensor) -> Tensor:
        """Logits of the classes of the next reward; shape (n, CLASSES) for (n, FRAMES, ...)."""
        features: Tensor = self.body(observations.flatten(0, 1))
        found: Tensor = self.reward(features.view(len(observations), FRAMES * FEATURES))
        return found


class Remembering:
    """Plays as the policy draws; a `Player` with a memory.

    Args:
        net: Its policy is played.

    Attributes:
        memory: After what was seen last; None before anything was.
    """

    def __init__(self, net: UnrealNet) -> None:
        self._net = net
        self.memory: Memory | None = None

    def __call__(self, seen: Seen, generator: torch.Generator) -> NDArray[np.int64]:
        if self.memory is None or len(self.memory.hidden) != len(seen.begun):
            self.memory = self._net.empty(len(seen.begun))
        with torch.no_grad():
            self.memory = self._net.recall(
                torch.from_numpy(seen.observations),
                torch.from_numpy(seen.begun),
                torch.from_numpy(seen.actions),
                torch.from_numpy(seen.rewards),
                self.memory,
            )
            logits, _ = self._net.heads(self.memory.hidden)
        return drawn(logits, generator)
