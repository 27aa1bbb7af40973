from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from warren.zoo.rl.losses import actor_critic_loss, n_step_returns


def test_returns_stop_where_an_episode_terminates_and_go_on_from_a_value_where_it_is_cut():
    """Four steps in three environments, discount 1/2, by hand.

    The first never ends: R3 = 4 + 8/2 = 8, R2 = 3 + 4 = 7, R1 = 2 + 3.5 = 5.5, R0 = 1 + 2.75 = 3.75.
    The second terminates with its second step: R1 = 2 and R0 = 1 + 1 = 2 know nothing of what follows it.
    The third is cut after its third step, whose last observation is worth 10: R2 = 3 + 5 = 8, R1 = 2 + 4 = 6, R0 = 4.
    """
    rewards = torch.tensor([[1.0] * 3, [2.0] * 3, [3.0] * 3, [4.0] * 3])
    terminated, truncated = torch.zeros(4, 3, dtype=torch.bool), torch.zeros(4, 3, dtype=torch.bool)
    terminated[1, 1], truncated[2, 2] = True, True
    finals = torch.full((4, 3), 1e6)  # read only where an episode was cut
    finals[2, 2] = 10.0
    found = n_step_returns(rewards, terminated, truncated, finals, torch.tensor([8.0, 8.0, 8.0]), 0.5)
    assert found.tolist() == [[3.75, 2.0, 4.0], [5.5, 2.0, 6.0], [7.0, 7.0, 8.0], [8.0, 8.0, 8.0]]


def test_the_loss_is_the_published_one():
    """Two steps of two actions, by hand: policies (1/2, 1/2) and (3/4, 1/4), both actions the second.

    Advantages R - V are 3 - 1 = 2 and 0 - 1 = -1; -log pi is log 2 and log 4, so that the policy's part is
    (2 log 2 - log 4) / 2 = 0. The entropies are log 2 and log 4 - 3/4 log 3. The values' part is (4 + 1) / 4.
    """
    logits = torch.log(torch.tensor([[0.5, 0.5], [0.75, 0.25]])) + 7.0  # whatever is added to logits
    values, returns = torch.tensor([1.0, 1.0]), torch.tensor([3.0, 0.0])
    loss = actor_critic_loss(logits, values, torch.tensor([1, 1]), returns, entropy_cost=0.1, value_cost=0.5)
    entropy = (math.log(2) + math.log(4) - 0.75 * math.log(3)) / 2
    assert float(loss.policy) == pytest.approx(0.0, abs=1e-6)
    assert float(loss.entropy) == pytest.approx(entropy, rel=1e-6)
    assert float(loss.value) == pytest.approx(1.25)
    assert float(loss.total) == pytest.approx(0.625 - 0.1 * entropy, rel=1e-6)


def test_its_gradient_is_that_of_the_policy_and_of_the_values_alone():
    """By hand, for one step: d/dlogits of -A log pi(a) is A (pi - onehot(a)), of -c H is c pi (log pi + H).

    d/dV is value_cost (V - R): the advantage is a constant to the policy's part.
    """
    generator = np.random.default_rng(0)
    raw = generator.normal(size=4)
    logits = torch.tensor(raw[None], requires_grad=True)
    values = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    returns, action = torch.tensor([2.0], dtype=torch.float64), torch.tensor([2])
    actor_critic_loss(logits, values, action, returns, entropy_cost=0.2, value_cost=0.5).total.backward()
    policy = np.exp(raw) / np.exp(raw).sum()
    entropy = -(policy * np.log(policy)).sum()
    wanted = 1.7 * (policy - np.eye(4)[2]) + 0.2 * policy * (np.log(policy) + entropy)
    assert logits.grad is not None and np.allclose(logits.grad[0].numpy(), wanted)
    assert values.grad is not None and values.grad.item() == pytest.approx(0.5 * (0.3 - 2.0))
