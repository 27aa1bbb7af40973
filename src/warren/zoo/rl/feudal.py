"""Feudal networks (Vezhnevets et al. 2017) as a training function: what the paper tuned on Atari."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from warren.errors import InvalidValue
from warren.zoo.rl.agent import Agent, stepped
from warren.zoo.rl.environments import actions, shape
from warren.zoo.rl.feudal_nets import HORIZON, FeudalNet, FeudalPlayer, Memory
from warren.zoo.rl.losses import actor_critic_loss, n_step_returns
from warren.zoo.rl.unroll import Unroll, act, unrolled

if TYPE_CHECKING:
    from warren.training import Member
    from warren.zoo.rl.stage import Player, Stage


@dataclass(frozen=True, kw_only=True)
class Feudal(Agent):
    """Trains agents whose manager sets goals for a worker.

    Tuned are ``lr``, ``entropy_cost`` and ``intrinsic_cost``, what following a goal is worth beside a reward (alpha of
    the paper), as in section 4.1 of Jaderberg et al. (2017).

    Args:
        unroll: Steps to a step of the optimizer, more than the 10 that a goal looks ahead.
        worker_discount: Of the worker's rewards, from 0 to 1; `discount` is the manager's.
        width: Of vectors inside, where observations are vectors; from 1 on.
        env: As for `Agent`, as are the other fields.
    """

    unroll: int = 40
    worker_discount: float = 0.95
    width: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        self._counts("width")
        self._discounts("worker_discount")
        if self.unroll <= HORIZON:
            raise InvalidValue(
                f"unroll={self.unroll!r} must be more than {HORIZON}, the steps that a goal looks ahead: use 40, say"
            )

    def network(self, env: Any) -> FeudalNet:
        return FeudalNet(shape(env), actions(env, self.env), self.width)

    def learner(self, net: FeudalNet, optimizer: torch.optim.Optimizer, member: Member) -> Hierarchy:
        return Hierarchy(
            agent=self,
            net=net,
            optimizer=optimizer,
            entropy_cost=member["entropy_cost"],
            intrinsic_cost=member["intrinsic_cost"],
        )

    def player(self, net: FeudalNet) -> Player:
        return FeudalPlayer(net)


@dataclass(frozen=True, kw_only=True)
class Hierarchy:
    """Manager and worker learn from each unroll once, when it has been acted; a `Learner`.

    Args:
        agent: The settings.
        net: Learns.
        optimizer: Its optimizer.
        entropy_cost: What a nat of entropy is worth.
        intrinsic_cost: What following the goals is worth.
    """

    agent: Feudal
    net: FeudalNet
    optimizer: torch.optim.Optimizer
    entropy_cost: float
    intrinsic_cost: float

    def train(self, stage: Stage, generator: torch.Generator, steps: int) -> bool:
        player = FeudalPlayer(self.net)
        memory = self.net.empty(len(stage.seen.begun))
        for done in range(0, steps, self.agent.unroll):
            moments = act(stage, player, generator, min(self.agent.unroll, steps - done))
            loss = self.loss(unrolled(moments, stage.seen), memory)
            if player.memory is not None:
                memory = player.memory
            if not stepped(self.net, self.optimizer, loss, self.agent.clip):
                return False
        return True

    def loss(self, unroll: Unroll, memory: Memory) -> Tensor:
        """Of an unroll; the memory is that from before it. One number."""
        agent = self.agent
        outs, memories = self.net.along(unroll.observations, unroll.begun, memory)
        manager = torch.stack([out.manager_value for out in outs])
        worker = torch.stack([out.worker_value for out in outs])
        intrinsic = torch.stack([out.intrinsic for out in outs[1:]]) * ~unroll.begun[1:]
        manager_finals, worker_finals = self._finals(unroll, memories)
        ends = (unroll.rewards, unroll.terminated, unroll.truncated)
        goals = n_step_returns(*ends, manager_finals, manager.detach()[-1], agent.discount)
        ends = (unroll.rewards + self.intrinsic_cost * intrinsic, unroll.terminated, unroll.truncated)
        returns = n_step_returns(*ends, worker_finals, worker.detach()[-1], agent.worker_discount)
        acted = actor_critic_loss(
            torch.stack([out.logits for out in outs[:-1]]),
            worker[:-1],
            unroll.actions,
            returns,
            entropy_cost=self.entropy_cost,
            value_cost=agent.value_cost,
        )
        led = transition_loss(
            torch.stack([out.state for out in outs]),
            torch.stack([out.goal for out in outs]),
            (goals - manager[:-1]).detach(),
            unroll.begun,
        )
        return acted.total + led + agent.value_cost * 0.5 * F.mse_loss(manager[:-1], goals)

    def _finals(self, unroll: Unroll, memories: list[Memory]) -> tuple[Tensor, Tensor]:
        """Values of the last observations of truncated episodes, the manager's and the worker's."""
        manager, worker = torch.zeros_like(unroll.rewards), torch.zeros_like(unroll.rewards)
        with torch.no_grad():
            for (step, place), final in unroll.finals.items():
                one = Memory(*(part[place : place + 1] for part in memories[step]))
                goes_on = torch.zeros(1, 1, dtype=torch.bool)
                (out,), _ = self.net.along(torch.from_numpy(final)[None, None], goes_on, one)
                manager[step, place], worker[step, place] = out.manager_value[0], out.worker_value[0]
        return manager, worker


def transition_loss(states: Tensor, goals: Tensor, advantages: Tensor, begun: Tensor) -> Tensor:
    """The manager's policy gradient over transitions: -A_t cos(s_{t+c} - s_t, g_t) (equation 7).

    The mean over the steps whose episode goes on for c = HORIZON more, as far as the unroll shows; 0 where none does.
    States are constants: only goals learn from it.

    Args:
        states: Shape (steps + 1, environments, width).
        goals: The same shape.
        advantages: Of the manager, constants; shape (steps, environments).
        begun: Where an observation is the first of an episode; shape (steps + 1, environments).
    """
    count = len(states) - HORIZON
    if count < 1:
        return torch.zeros(())
    moved = (states[HORIZON:] - states[:count]).detach()
    agreement = F.cosine_similarity(moved, goals[:count], dim=-1)
    episodes = begun.cumsum(0)
    together = episodes[HORIZON:] == episodes[:count]
    return -(agreement * advantages[:count] * together).sum() / together.sum().clamp(min=1)
