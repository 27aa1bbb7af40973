"""The advantage actor-critic of Mnih et al. (2016), in its synchronous form, as a training function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from warren.errors import InvalidValue
from warren.zoo.rl.agent import Agent, stepped
from warren.zoo.rl.environments import actions, shape
from warren.zoo.rl.losses import actor_critic_loss, n_step_returns
from warren.zoo.rl.networks import Greedy, Network, Sampled
from warren.zoo.rl.stage import Player
from warren.zoo.rl.unroll import Unroll, act, unrolled

if TYPE_CHECKING:
    from warren.training import Member
    from warren.zoo.rl.stage import Stage

PLAYERS: Mapping[str, Callable[[Network], Player]] = {"greedy": Greedy, "sampled": Sampled}
"""How held-out episodes can be played, by name."""


@dataclass(frozen=True, kw_only=True)
class ActorCritic(Agent):
    """Trains actor-critics without memory; hand it to `warren.run`.

    Tuned are ``lr``, ``entropy_cost`` and ``unroll``, the steps in each environment that a step of the optimizer learns
    from.

    Args:
        width: Units of a hidden layer, where observations are vectors; from 1 on.
        plays: How held-out episodes are played: ``greedy``, the most likely action, or ``sampled``, as while it learns.
        env: As for `Agent`, as are the other fields.
    """

    width: int = 64
    plays: str = "greedy"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._counts("width")
        if self.plays not in PLAYERS:
            raise InvalidValue(f"plays={self.plays!r} must be one of {', '.join(map(repr, PLAYERS))}")

    def network(self, env: Any) -> Network:
        return Network(shape(env), actions(env, self.env), self.width)

    def learner(self, net: Network, optimizer: torch.optim.Optimizer, member: Member) -> OnPolicy:
        return OnPolicy(
            agent=self, net=net, optimizer=optimizer, entropy_cost=member["entropy_cost"], unroll=member["unroll"]
        )

    def player(self, net: Network) -> Player:
        return PLAYERS[self.plays](net)


@dataclass(frozen=True, kw_only=True)
class OnPolicy:
    """Learns from each unroll once, when it has been acted; a `Learner`.

    Args:
        agent: The settings.
        net: Learns.
        optimizer: Its optimizer.
        entropy_cost: What a nat of entropy is worth.
        unroll: Steps to a step of the optimizer; the last unroll of an interval is as long as is left.
    """

    agent: ActorCritic
    net: Network
    optimizer: torch.optim.Optimizer
    entropy_cost: float
    unroll: int

    def train(self, stage: Stage, generator: torch.Generator, steps: int) -> bool:
        player = Sampled(self.net)
        for done in range(0, steps, self.unroll):
            moments = act(stage, player, generator, min(self.unroll, steps - done))
            if not stepped(self.net, self.optimizer, self.loss(unrolled(moments, stage.seen)), self.agent.clip):
                return False
        return True

    def loss(self, unroll: Unroll) -> Tensor:
        """Of an unroll; one number."""
        steps, n = unroll.actions.shape
        logits, values = self.net(unroll.observations[:-1].flatten(0, 1))
        with torch.no_grad():
            _, last = self.net(unroll.observations[-1])
            finals = torch.zeros(steps, n)
            if unroll.finals:
                _, found = self.net(torch.from_numpy(np.stack(list(unroll.finals.values()))))
                for (step, place), value in zip(unroll.finals, found, strict=True):
                    finals[step, place] = value
        returns = n_step_returns(unroll.rewards, unroll.terminated, unroll.truncated, finals, last, self.agent.discount)
        return actor_critic_loss(
            logits.view(steps, n, -1),
            values.view(steps, n),
            unroll.actions,
            returns,
            entropy_cost=self.entropy_cost,
            value_cost=self.agent.value_cost,
        ).total
