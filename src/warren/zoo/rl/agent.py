"""What the agents have in common: how their training functions go through intervals."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import nn

from warren.errors import InvalidValue
from warren.zoo.rl.environments import environment
from warren.zoo.rl.record import FRESH, HELD_OUT, Record, episodes, seeds
from warren.zoo.rl.stage import Player, Stage, play

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from warren.training import Member, Slot


class Learner(Protocol):
    """One member's network while it learns, with the hyperparameters of an interval."""

    def train(self, stage: Stage, generator: torch.Generator, steps: int) -> bool:
        """Act and learn for some steps in each environment.

        Args:
            stage: The environments, at the beginning of episodes.
            generator: Of all draws.
            steps: In each environment.

        Returns:
            Whether losses and gradients stayed finite; where they did not, the rest is left out.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Agent(ABC):
    """A training function for `warren.run`; a value, so that other processes make it anew from its fields.

    A3C steps environments in threads that share weights and the statistics of RMSProp; here one process steps all of
    them and one RMSProp learns from the mean of their gradients, so that an interval can be repeated to the bit.
    RMSProp and not Adam, as in the paper: the learning rate is tuned for it.

    Environments cannot be saved, so that each interval begins new episodes, seeded from `member.rng`, and breaks off
    those that have not ended when it is over. It should be several times as long as an episode: the shorter it is, the
    more of the long episodes are missing among the last that ended, whose mean is the score. Where none ended in an
    interval, those that were broken off stand in their place, so that the score says how its policy did.

    Args:
        env: As Gymnasium knows it, such as ``CartPole-v1`` or ``ALE/Breakout-v5``.
        environments: Stepped together, from 1 on.
        steps: Actions in each environment in an interval, from 1 on.
        discount: Of rewards, from 0 to 1.
        value_cost: Weight of the values' loss, from 0 on.
        clip: Largest norm of a gradient, above 0.
        reward_limit: Rewards are learned from within this distance of 0, above 0; None: as they are.
        held_out: Episodes that are played after each interval and that selection never sees, from 1 on.
        longest: Steps after which a held-out episode is cut, from 1 on: 108,000 frames of an Atari game.
        split: Seed of the held-out episodes.

    Raises:
        InvalidValue: A field is out of its range.
    """

    env: str = "CartPole-v1"
    environments: int = 8
    steps: int = 1000
    discount: float = 0.99
    value_cost: float = 0.5
    clip: float = 0.5
    reward_limit: float | None = None
    held_out: int = 8
    longest: int = 27_000
    split: int = 0

    def __post_init__(self) -> None:
        self._counts("environments", "steps", "held_out", "longest")
        self._discounts("discount")
        self._weights("value_cost")
        if not self.clip > 0:
            raise InvalidValue(f"clip={self.clip!r} must be above 0: use 0.5, say")
        if self.reward_limit is not None and not self.reward_limit > 0:
            raise InvalidValue(
                f"reward_limit={self.reward_limit!r} must be above 0: use 1.0, or None to learn from them as they are"
            )

    def _counts(self, *names: str) -> None:
        for name in names:
            if getattr(self, name) < 1:
                raise InvalidValue(f"{name}={getattr(self, name)!r} must be at least 1")

    def _discounts(self, *names: str) -> None:
        for name in names:
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidValue(f"{name}={getattr(self, name)!r} must lie in [0, 1]")

    def _weights(self, *names: str) -> None:
        for name in names:
            if not 0 <= getattr(self, name) < math.inf:
                raise InvalidValue(
                    f"{name}={getattr(self, name)!r} must be at least 0 and finite: use 0 to leave its loss out"
                )

    @abstractmethod
    def network(self, env: Any) -> Any:
        """A fresh network for an environment like this one."""

    @abstractmethod
    def learner(self, net: Any, optimizer: torch.optim.Optimizer, member: Member) -> Learner:
        """What trains the network for an interval of a member."""

    @abstractmethod
    def player(self, net: Any) -> Player:
        """What plays held-out episodes; its memory is empty."""

    def __call__(self, slot: Slot) -> None:
        """Train members; see `warren.run`."""
        torch.set_num_threads(1)  # threads that meet after every layer of so small a net cost more than they save
        with ExitStack() as closing:
            envs = self._open(self.environments, closing)
            torch.manual_seed(slot.seed)
            net = self.network(envs[0])
            optimizer = torch.optim.RMSprop(net.parameters(), lr=1e-3, alpha=0.99, eps=1e-5)
            record = Record()
            slot.track(net=net, optimizer=optimizer, **record.tracked())
            slot.bind(optimizer, "lr")
            for member in slot:
                stage = Stage(envs, seeds(member.rng, self.environments), limit=self.reward_limit)
                learner = self.learner(net, optimizer, member)
                finite = learner.train(stage, member.key("actions").torch(), self.steps)
                found = stage.returns or stage.unfinished
                record.add(found, self.environments * self.steps)
                if not finite:
                    member.report(np.nan, test=np.nan)
                    continue
                member.report(
                    record.score(),
                    samples=found,  # of this interval; what was before it, the t-test finds in the record
                    test=float(self._played(envs, net, HELD_OUT, self.held_out).mean()),
                    episodes=len(stage.returns),
                )

    def returns(self, state: Mapping[str, Any], count: int) -> NDArray[np.float64]:
        """Play fresh episodes with a trained network, for after a run.

        Args:
            state: The network's, as it was tracked.
            count: How many episodes; training, selection and the held-out metric have seen none of them.

        Returns:
            Sums of rewards, up to `longest` steps; shape (count,).
        """
        with ExitStack() as closing:
            envs = self._open(min(count, self.environments), closing)
            net = self.network(envs[0])
            net.load_state_dict(dict(state))
            return self._played(envs, net, FRESH, count)

    def _open(self, count: int, closing: ExitStack) -> list[Any]:
        envs = [environment(self.env) for _ in range(count)]
        for env in envs:
            closing.callback(env.close)
        return envs

    def _played(self, envs: Sequence[Any], net: nn.Module, purpose: int, count: int) -> NDArray[np.float64]:
        generator = torch.Generator().manual_seed(self.split)
        return play(
            envs,
            self.player(net),
            episodes(self.split, purpose, count),
            generator,
            longest=self.longest,
            limit=self.reward_limit,
        )


def stepped(net: nn.Module, optimizer: torch.optim.Optimizer, loss: torch.Tensor, clip: float) -> bool:
    """One step down a loss.

    Args:
        net: Learns.
        optimizer: Its optimizer.
        loss: One number.
        clip: Largest norm of the gradient.

    Returns:
        Whether the loss and its gradient were finite; where not, nothing was changed.
    """
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(net.parameters(), clip)
    if not (torch.isfinite(loss) and torch.isfinite(norm)):
        return False
    optimizer.step()
    return True
