"""The network of feudal agents: a manager sets directions, a worker acts (Vezhnevets et al. 2017, section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from warren.zoo.rl.networks import convolutions, drawn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from warren.zoo.rl.stage import Seen

HORIZON = 10
"""Steps that a goal looks ahead, and cores of the manager's LSTM: c and r of the paper."""

EMBEDDING = 16
"""Size of a goal as the worker sees it: k of the paper."""


class Memory(NamedTuple):
    """What the agent remembers of its episode; the first axis of each is that of the environments.

    Attributes:
        worker_hidden: Shape (n, width).
        worker_cell: Shape (n, width).
        manager_hidden: One for each core; shape (n, HORIZON, width).
        manager_cell: The same shape.
        goals: The last ones, the newest last; shape (n, HORIZON, width).
        states: The manager's states at the same steps; the same shape.
        known: 1 where there were any, else 0; shape (n, HORIZON).
        ticks: Steps of the episode so far; shape (n,).
    """

    worker_hidden: Tensor
    worker_cell: Tensor
    manager_hidden: Tensor
    manager_cell: Tensor
    goals: Tensor
    states: Tensor
    known: Tensor
    ticks: Tensor


class Out(NamedTuple):
    """What one observation leads to, for n environments.

    Attributes:
        state: The manager's; shape (n, width).
        goal: A direction, of length 1; shape (n, width).
        logits: Of the worker's policy; shape (n, actions).
        manager_value: Shape (n,).
        worker_value: Shape (n,).
        intrinsic: The worker's reward for coming here; shape (n,), from -1 to 1, a constant.
    """

    state: Tensor
    goal: Tensor
    logits: Tensor
    manager_value: Tensor
    worker_value: Tensor
    intrinsic: Tensor


class FeudalNet(nn.Module):
    """Manager and worker on a shared perception.

    No gradient flows from the worker to the goals: the manager learns them from the transitions that they led to.

    Args:
        shape: Of an observation: (n,), or (channels, height, width) from 0 to 255.
        actions: How many there are.
        width: Of perception's vectors, goals and memories where observations are vectors; 256 for images.
    """

    def __init__(self, shape: tuple[int, ...], actions: int, width: int) -> None:
        super().__init__()
        self.body: nn.Module
        if len(shape) == 3:
            self.body, width = convolutions(shape), 256
        else:
            self.body = nn.Sequential(nn.Linear(shape[0], width), nn.ReLU())
        self.width, self.actions = width, actions
        self.space = nn.Sequential(nn.Linear(width, width), nn.ReLU())
        self.manager, self.worker = nn.LSTMCell(width, width), nn.LSTMCell(width, width)
        self.manager_value, self.worker_value = nn.Linear(width, 1), nn.Linear(width, 1)
        self.table = nn.Linear(width, actions * EMBEDDING)
        self.embed = nn.Linear(width, EMBEDDING, bias=False)  # without a bias, so that a goal cannot be ignored

    def empty(self, n: int) -> Memory:
        """The memory at the beginning of an episode, for n environments."""
        worker, manager, times = (n, self.width), (n, HORIZON, self.width), (n, HORIZON)
        return Memory(
            torch.zeros(worker),
            torch.zeros(worker),
            torch.zeros(manager),
            torch.zeros(manager),
            torch.zeros(manager),
            torch.zeros(manager),
            torch.zeros(times),
            torch.zeros(n, dtype=torch.int64),
        )

    def along(self, observations: Tensor, begun: Tensor, memory: Memory) -> tuple[list[Out], list[Memory]]:
        """What consecutive observations lead to, with the memory after each.

        Args:
            observations: Shape (steps, n, ...).
            begun: Where the memory is emptied first; shape (steps, n).
            memory: Before.
        """
        steps, n = begun.shape
        percepts = self.body(observations.flatten(0, 1)).view(steps, n, self.width)
        outs, memories = [], []
        for step in range(steps):
            out, memory = self._step(percepts[step], begun[step], memory)
            outs.append(out)
            memories.append(memory)
        return outs, memories

    def _step(self, percept: Tensor, begun: Tensor, memory: Memory) -> tuple[Out, Memory]:
        memory = Memory(*(torch.where(begun.view(-1, *[1] * (part.ndim - 1)), 0, part) for part in memory))
        state = self.space(percept)
        intrinsic = followed(state, memory)
        # One core after the other is stepped, so that each sees every tenth step; the output is the sum of all.
        core = F.one_hot(memory.ticks % HORIZON, HORIZON)[..., None]
        before = ((memory.manager_hidden * core).sum(1), (memory.manager_cell * core).sum(1))
        hidden, cell = self.manager(state, before)
        manager_hidden = torch.where(core.bool(), hidden[:, None], memory.manager_hidden)
        manager_cell = torch.where(core.bool(), cell[:, None], memory.manager_cell)
        output = manager_hidden.sum(1)
        goal = F.normalize(output, dim=-1)
        worker_hidden, worker_cell = self.worker(percept, (memory.worker_hidden, memory.worker_cell))
        direction = self.embed((memory.goals.sum(1) + goal).detach())
        table = self.table(worker_hidden).view(-1, self.actions, EMBEDDING)
        out = Out(
            state=state,
            goal=goal,
            logits=(table @ direction[..., None]).squeeze(-1),
            manager_value=self.manager_value(output).squeeze(-1),
            worker_value=self.worker_value(worker_hidden).squeeze(-1),
            intrinsic=intrinsic,
        )
        after = Memory(
            worker_hidden,
            worker_cell,
            manager_hidden,
            manager_cell,
            torch.cat([memory.goals[:, 1:], goal.detach()[:, None]], 1),
            torch.cat([memory.states[:, 1:], state.detach()[:, None]], 1),
            torch.cat([memory.known[:, 1:], torch.ones(len(state), 1)], 1),
            memory.ticks + 1,
        )
        return out, after


def followed(state: Tensor, memory: Memory) -> Tensor:
    """How well the last goals were followed: the mean of cos(s_t - s_{t-i}, g_{t-i}) over i from 1 to HORIZON (eq. 8).

    Args:
        state: The manager's; shape (n, width).
        memory: Before it; what is not known of it counts as 0.

    Returns:
        Shape (n,); a constant.
    """
    with torch.no_grad():
        agreement = F.cosine_similarity(state[:, None] - memory.states, memory.goals, dim=-1)
        return (agreement * memory.known).mean(1)


class FeudalPlayer:
    """Plays as the worker's policy draws; a `Player` with a memory.

    Args:
        net: Its policy is played.

    Attributes:
        memory: After what was seen last; None before anything was.
    """

    def __init__(self, net: FeudalNet) -> None:
        self._net = net
        self.memory: Memory | None = None

    def __call__(self, seen: Seen, generator: torch.Generator) -> NDArray[np.int64]:
        memory = self.memory
        if memory is None or len(memory.ticks) != len(seen.begun):
            memory = self._net.empty(len(seen.begun))
        with torch.no_grad():
            observations, begun = torch.from_numpy(seen.observations)[None], torch.from_numpy(seen.begun)[None]
            (out,), (self.memory,) = self._net.along(observations, begun, memory)
        return drawn(out.logits, generator)
