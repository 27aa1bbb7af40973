"""UNREAL (Jaderberg et al. 2016): an actor-critic with memory and auxiliary tasks, as a training function."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from warren.errors import InvalidValue
from warren.zoo.rl.agent import Agent, stepped
from warren.zoo.rl.environments import actions, shape
from warren.zoo.rl.losses import actor_critic_loss, n_step_returns
from warren.zoo.rl.replay import Replay
from warren.zoo.rl.unreal_losses import pixel_change, pixel_control_loss
from warren.zoo.rl.unreal_nets import Memory, Remembering, UnrealNet
from warren.zoo.rl.unroll import Unroll, act, unrolled

if TYPE_CHECKING:
    from warren.training import Member
    from warren.zoo.rl.stage import Player, Stage

UNROLL = 50
"""The longest unroll that presets draw."""


@dataclass(frozen=True, kw_only=True)
class Unreal(Agent):
    """Trains agents that also learn to change pixels, to foresee rewards, and values from a replay.

    Tuned are ``lr``, ``entropy_cost`` and ``unroll``, as in section 4.1 of Jaderberg et al. (2017).

    The replay is empty at the beginning of each interval: in the paper's preset it holds 85 MB of images, beside 16 MB
    of network and optimizer.

    Args:
        replay: Steps of each environment that are kept, more than `UNROLL`. An unroll of a space of one's own that is
            as long as the replay or longer finds no stretch of its length there, and learns without pixel control and
            value replay.
        pixel_cost: Weight of pixel control, from 0 on.
        pixel_discount: Of the changes of pixels, from 0 to 1.
        reward_cost: Weight of reward prediction, from 0 on.
        replay_cost: Weight of value replay, from 0 on.
        env: As for `Agent`, as are the other fields; one whose observations are images of 84 x 84 pixels.
    """

    replay: int = 250
    pixel_cost: float = 0.05
    pixel_discount: float = 0.9
    reward_cost: float = 1.0
    replay_cost: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._discounts("pixel_discount")
        self._weights("pixel_cost", "reward_cost", "replay_cost")
        if self.replay <= UNROLL:
            raise InvalidValue(
                f"replay={self.replay!r} must be more than {UNROLL}, the longest unroll of the presets' space, so that "
                "a stretch of that length is found: use 250, say"
            )

    def network(self, env: Any) -> UnrealNet:
        seen = shape(env)
        if len(seen) != 3 or seen[1:] != (84, 84):
            raise InvalidValue(
                f"env={self.env!r} is seen as {seen}, and UNREAL learns from images of 84 x 84 pixels; use one such as "
                "ALE/Breakout-v5, or the plain actor-critic"
            )
        return UnrealNet(seen, actions(env, self.env))

    def learner(self, net: UnrealNet, optimizer: torch.optim.Optimizer, member: Member) -> Auxiliary:
        return Auxiliary(
            agent=self,
            net=net,
            optimizer=optimizer,
            entropy_cost=member["entropy_cost"],
            unroll=member["unroll"],
            replay=Replay(self.replay),
        )

    def player(self, net: UnrealNet) -> Player:
        return Remembering(net)


@dataclass(frozen=True, kw_only=True)
class Auxiliary:
    """Learns from each unroll when it has been acted, and from the replay at the same time; a `Learner`.

    Args:
        agent: The settings.
        net: Learns.
        optimizer: Its optimizer.
        entropy_cost: What a nat of entropy is worth.
        unroll: Steps to a step of the optimizer; the last unroll of an interval is as long as is left.
        replay: What was acted in this interval.
    """

    agent: Unreal
    net: UnrealNet
    optimizer: torch.optim.Optimizer
    entropy_cost: float
    unroll: int
    replay: Replay = field(compare=False)

    def train(self, stage: Stage, generator: torch.Generator, steps: int) -> bool:
        player = Remembering(self.net)
        memory = self.net.empty(len(stage.seen.begun))
        for done in range(0, steps, self.unroll):
            moments = act(stage, player, generator, min(self.unroll, steps - done))
            loss = self.base_loss(unrolled(moments, stage.seen), memory)
            self.replay.extend(moments)
            loss = loss + self.auxiliary_loss(len(moments), generator)
            if player.memory is not None:
                memory = player.memory
            if not stepped(self.net, self.optimizer, loss, self.agent.clip):
                return False
        return True

    def base_loss(self, unroll: Unroll, memory: Memory) -> Tensor:
        """Of policy and values, as the plain actor-critic's; the memory is that from before the unroll."""
        along = self._along(unroll, memory)
        logits, values = self.net.heads(torch.stack([one.hidden for one in along]))
        returns = self._returns(unroll, along, values.detach()[-1])
        return actor_critic_loss(
            logits[:-1],
            values[:-1],
            unroll.actions,
            returns,
            entropy_cost=self.entropy_cost,
            value_cost=self.agent.value_cost,
        ).total

    def auxiliary_loss(self, steps: int, generator: torch.Generator) -> Tensor:
        """Of what is learned from the replay: 0 until it has enough."""
        agent, loss = self.agent, torch.zeros(())
        window = self.replay.window(steps, generator)
        if window is not None:
            along = self._along(window, self.net.empty(window.actions.shape[1]))
            hidden = torch.stack([one.hidden for one in along])
            _, values = self.net.heads(hidden)
            returns = self._returns(window, along, values.detach()[-1])
            loss = loss + agent.replay_cost * 0.5 * F.mse_loss(values[:-1], returns)
            loss = loss + agent.pixel_cost * self._pixel_loss(window, hidden)
        ahead = self.replay.ahead(agent.environments, generator)
        if ahead is not None:
            loss = loss + agent.reward_cost * F.cross_entropy(self.net.rewards(ahead.observations), ahead.classes)
        return loss

    def _along(self, unroll: Unroll, memory: Memory) -> list[Memory]:
        return self.net.along(unroll.observations, unroll.begun, unroll.actions_before, unroll.rewards_before, memory)

    def _returns(self, unroll: Unroll, along: list[Memory], last: Tensor) -> Tensor:
        finals = torch.zeros_like(unroll.rewards)
        with torch.no_grad():
            for (step, place), final in unroll.finals.items():
                one = slice(place, place + 1)
                after = self.net.recall(
                    torch.from_numpy(np.array(final))[None],
                    torch.zeros(1, dtype=torch.bool),
                    unroll.actions[step, one],
                    unroll.rewards[step, one],
                    Memory(along[step].hidden[one], along[step].cell[one]),
                )
                finals[step, place] = self.net.heads(after.hidden)[1][0]
        return n_step_returns(unroll.rewards, unroll.terminated, unroll.truncated, finals, last, self.agent.discount)

    def _pixel_loss(self, window: Unroll, hidden: Tensor) -> Tensor:
        steps, n = window.actions.shape
        q = self.net.cells(hidden.flatten(0, 1))
        q = q.view(steps + 1, n, *q.shape[1:])
        changes = pixel_change(window.observations[:-1].flatten(0, 1), window.observations[1:].flatten(0, 1))
        return pixel_control_loss(
            q[:-1],
            q[-1].detach().max(1).values,
            window.actions,
            changes.view(steps, n, *changes.shape[1:]),
            window.terminated | window.truncated,
            self.agent.pixel_discount,
        )
