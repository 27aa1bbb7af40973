"""What actor-critics learn from: n-step returns and the loss of Mnih et al. (2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from torch import Tensor


class Loss(NamedTuple):
    """A loss and its parts; each is one number.

    Attributes:
        total: What is minimised.
        policy: Of the policy gradient.
        value: Half the mean squared error of the values.
        entropy: Mean entropy of the policy, in nats.
    """

    total: Tensor
    policy: Tensor
    value: Tensor
    entropy: Tensor


def n_step_returns(
    rewards: Tensor, terminated: Tensor, truncated: Tensor, finals: Tensor, last: Tensor, discount: float
) -> Tensor:
    """Discounted returns along an unroll, continued by values where it stops.

    R_t = r_t + discount * R_{t+1}, with R_T the value of what follows the unroll (Mnih et al. 2016, algorithm S3).
    Where an episode terminates nothing follows; where it is truncated, the value of its last observation does.

    Args:
        rewards: Shape (steps, environments).
        terminated: Whether the episode terminated with this step; the same shape.
        truncated: Whether it was cut after this step, and did not terminate; the same shape.
        finals: Values of the last observations of truncated episodes; the same shape, read only there.
        last: Values of what follows the unroll; shape (environments,).
        discount: From 0 to 1.

    Returns:
        The same shape as the rewards.
    """
    found = torch.empty_like(rewards)
    following = last
    for step in range(len(rewards) - 1, -1, -1):
        following = torch.where(truncated[step], finals[step], following)
        following = rewards[step] + discount * following.masked_fill(terminated[step], 0.0)
        found[step] = following
    return found


def actor_critic_loss(
    logits: Tensor, values: Tensor, actions: Tensor, returns: Tensor, *, entropy_cost: float, value_cost: float
) -> Loss:
    """The loss of the advantage actor-critic (Mnih et al. 2016, section 4 and algorithm S3).

    -log pi(a) (R - V) - entropy_cost * H(pi) + value_cost * (R - V)^2 / 2, the mean over all steps. The advantage
    R - V is a constant to the policy. A mean, and not the paper's sum: else an unroll twice as long would also double
    the step.

    Args:
        logits: Of the policy; shape (..., actions).
        values: Shape (...).
        actions: That were taken; shape (...), integers.
        returns: Shape (...); constants.
        entropy_cost: What a nat of entropy is worth, from 0 on.
        value_cost: Weight of the values' error, from 0 on.
    """
    log_policy = F.log_softmax(logits, dim=-1)
    taken = log_policy.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
    policy = -(taken * (returns - values).detach()).mean()
    entropy = -(log_policy.exp() * log_policy).sum(-1).mean()
    value = 0.5 * F.mse_loss(values, returns)
    return Loss(policy - entropy_cost * entropy + value_cost * value, policy, value, entropy)
