"""Networks of actor-critics that have no memory."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from warren.zoo.rl.stage import Seen


class Network(nn.Module):
    """A policy and a value of one observation.

    Images go through the two convolutions and 256 units of Mnih et al. (2016), which policy and value share. Vectors of
    numbers go through two hidden layers of each its own: there is little to share, and large values of a task whose
    returns are in the hundreds would move the policy's layers too.

    Args:
        shape: Of an observation: (n,), or (channels, height, width) from 0 to 255.
        actions: How many there are.
        width: Units of a hidden layer for vectors.
    """

    def __init__(self, shape: tuple[int, ...], actions: int, width: int) -> None:
        super().__init__()
        self.policy_body: nn.Module
        self.value_body: nn.Module
        if len(shape) == 3:
            self.shared: nn.Module = convolutions(shape)
            self.policy_body = self.value_body = nn.Identity()
            features = 256
        else:
            self.shared = nn.Identity()
            self.policy_body, self.value_body = (_layers(shape[0], width) for _ in range(2))
            features = width
        self.policy, self.value = nn.Linear(features, actions), nn.Linear(features, 1)
        with torch.no_grad():
            self.policy.weight *= 0.01  # all actions are about as likely at first

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of shape (n, actions) and values of shape (n,) for observations of shape (n, ...)."""
        seen = self.shared(observations)
        return self.policy(self.policy_body(seen)), self.value(self.value_body(seen)).squeeze(-1)

    def logits(self, observations: Tensor) -> Tensor:
        """As the first of `forward`, for acting, without the price of values."""
        found: Tensor = self.policy(self.policy_body(self.shared(observations)))
        return found


def convolutions(shape: tuple[int, ...]) -> nn.Sequential:
    """The body of Mnih et al. (2016) for images: 16 filters of 8 x 8, 32 of 4 x 4, 256 units.

    Args:
        shape: Channels, height and width; each side at least 20 pixels.
    """
    channels, height, width = shape
    sides = [((side - 8) // 4 + 1 - 4) // 2 + 1 for side in (height, width)]
    return nn.Sequential(
        Pixels(),
        nn.Conv2d(channels, 16, 8, stride=4), nn.ReLU(),
        nn.Conv2d(16, 32, 4, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * math.prod(sides), 256), nn.ReLU(),
    )  # fmt: skip


class Pixels(nn.Module):
    """Grey values or colours from 0 to 255 as numbers from 0 to 1."""

    def forward(self, images: Tensor) -> Tensor:
        """Images of any integer type."""
        return images.float() / 255.0


def _layers(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())


class Sampled:
    """Plays as the policy draws; a `Player` without memory.

    Args:
        net: Its policy is played.
    """

    def __init__(self, net: Network) -> None:
        self._net = net

    def __call__(self, seen: Seen, generator: torch.Generator) -> NDArray[np.int64]:
        with torch.no_grad():
            return drawn(self._net.logits(torch.from_numpy(seen.observations)), generator)


class Greedy:
    """Plays the most likely action; a `Player` without memory or draws.

    Args:
        net: Its policy is played.
    """

    def __init__(self, net: Network) -> None:
        self._net = net

    def __call__(self, seen: Seen, generator: torch.Generator) -> NDArray[np.int64]:
        with torch.no_grad():
            found: NDArray[np.int64] = self._net.logits(torch.from_numpy(seen.observations)).argmax(-1).numpy()
        return found


def drawn(logits: Tensor, generator: torch.Generator) -> NDArray[np.int64]:
    """One action from each policy.

    Args:
        logits: Shape (n, actions).
        generator: Of the draws.

    Returns:
        Shape (n,).
    """
    # The first of exponential clocks at the rates exp(logit) rings with the policy's probabilities: the same draws as
    # torch.multinomial's, without its checks, which cost more than a small network.
    clocks = torch.empty_like(logits).exponential_(generator=generator)
    found: NDArray[np.int64] = (logits - clocks.log()).argmax(-1).numpy()
    return found
