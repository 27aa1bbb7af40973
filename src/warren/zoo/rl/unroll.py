"""Some steps in a few environments, as an agent acts and as it learns from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from warren.zoo.rl.stage import Player, Seen, Stage, Step

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Moment(NamedTuple):
    """One action in each environment.

    Attributes:
        seen: What was known before.
        actions: What was done; shape (environments,).
        step: What it led to.
    """

    seen: Seen
    actions: NDArray[np.int64]
    step: Step


@dataclass(frozen=True, kw_only=True)
class Unroll:
    """Consecutive moments.

    Attributes:
        observations: With what follows the last step; shape (steps + 1, environments, ...).
        begun: Where an observation is the first of an episode; shape (steps + 1, environments).
        actions_before: As `Seen.actions`; shape (steps + 1, environments).
        rewards_before: As `Seen.rewards`; shape (steps + 1, environments).
        actions: Shape (steps, environments), as all that follow.
        rewards: As they are learned from.
        terminated: Whether the episode terminated with the step.
        truncated: Whether it was cut after the step, and did not terminate.
        finals: The last observations of truncated episodes, by step and environment.
    """

    observations: Tensor
    begun: Tensor
    actions_before: Tensor
    rewards_before: Tensor
    actions: Tensor
    rewards: Tensor
    terminated: Tensor
    truncated: Tensor
    finals: dict[tuple[int, int], NDArray[Any]]


def act(stage: Stage, player: Player, generator: torch.Generator, steps: int) -> list[Moment]:
    """Act for some steps in every environment.

    Args:
        stage: The environments.
        player: Chooses.
        generator: Of its draws.
        steps: In each environment.
    """
    moments = []
    for _ in range(steps):
        seen = stage.seen
        actions = player(seen, generator)
        moments.append(Moment(seen, actions, stage.step(actions)))
    return moments


def unrolled(moments: Sequence[Moment], following: Seen) -> Unroll:
    """Consecutive moments as tensors.

    Args:
        moments: One or more.
        following: What is known after the last.
    """
    seen = [*(moment.seen for moment in moments), following]
    steps = [moment.step for moment in moments]
    return Unroll(
        observations=_stacked([one.observations for one in seen]),
        begun=_stacked([one.begun for one in seen]),
        actions_before=_stacked([one.actions for one in seen]),
        rewards_before=_stacked([one.rewards for one in seen]),
        actions=_stacked([moment.actions for moment in moments]),
        rewards=_stacked([one.rewards for one in steps]),
        terminated=_stacked([one.terminated for one in steps]),
        truncated=_stacked([one.truncated for one in steps]),
        finals={(place, env): final for place, one in enumerate(steps) for env, final in one.finals.items()},
    )


def _stacked(arrays: Sequence[NDArray[Any]]) -> Tensor:
    return torch.from_numpy(np.stack(arrays))
