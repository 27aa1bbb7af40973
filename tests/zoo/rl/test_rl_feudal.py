from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("gymnasium")

import torch

import warren
from warren.errors import InvalidValue
from warren.zoo.rl.environments import environment
from warren.zoo.rl.feudal import Feudal, transition_loss
from warren.zoo.rl.feudal_nets import FeudalNet, FeudalPlayer, Memory, followed
from warren.zoo.rl.stage import Stage
from warren.zoo.rl.unroll import act, unrolled

CORRIDOR = Feudal(
    env="tests.zoo.rl.envs:warren-test/Corridor-v0", environments=4, steps=320, width=16, held_out=8, unroll=16
)
FIXED = {
    name: warren.Float(value, value)
    for name, value in {"lr": 3e-3, "entropy_cost": 0.01, "intrinsic_cost": 0.1}.items()
}
LOOKS = 10  # steps that a goal looks ahead


def test_a_goal_is_judged_by_where_the_state_was_ten_steps_later():
    """Two environments, 12 observations of 2 numbers, so that t = 0 and 1 have a state ten steps later.

    The state goes right by one a step. Goals are right (cosine 1), or up (0): the first environment has right at t = 0
    and up at t = 1. In the second an episode begins at observation 11, so that only t = 0 counts: left (-1).
    Advantages 2, 3 and 5: -(2 * 1 + 3 * 0 + 5 * -1) / 3 = 1.
    """
    states = torch.zeros(12, 2, 2)
    states[..., 0] = torch.arange(12.0)[:, None]
    goals = torch.zeros(12, 2, 2)
    goals[0, 0], goals[1, 0] = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    goals[0, 1], goals[1, 1] = torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 0.0])
    advantages = torch.tensor([[2.0, 5.0], [3.0, 7.0]] + [[100.0, 100.0]] * 9)
    begun = torch.zeros(12, 2, dtype=torch.bool)
    begun[0], begun[11, 1] = True, True
    assert transition_loss(states, goals, advantages, begun).item() == pytest.approx(1.0)
    assert transition_loss(states[:10], goals[:10], advantages[:9], begun[:10]).item() == 0.0


def test_the_workers_own_reward_is_the_mean_cosine_of_ten_goals():
    """Two steps are known: from (0, 0) with the goal right, from (1, 1) with the goal up; now at (1, 0).

    Cosines of (1, 0) with right, 1, and of (0, -1) with up, -1; with weights of ten: (1 - 1) / 10 = 0. With the second
    unknown it is 1 / 10.
    """
    net = FeudalNet((3,), 2, 2)
    memory = net.empty(1)
    memory.states[0, 9], memory.goals[0, 9] = torch.tensor([1.0, 1.0]), torch.tensor([0.0, 1.0])
    memory.goals[0, 8] = torch.tensor([1.0, 0.0])
    state = torch.tensor([[1.0, 0.0]])
    memory.known[0, 8:] = 1.0
    assert followed(state, memory).item() == pytest.approx(0.0, abs=1e-6)
    memory.known[0, 9] = 0.0
    assert followed(state, memory).item() == pytest.approx(0.1)


def test_each_core_of_the_manager_sees_every_tenth_step():
    net = FeudalNet((3,), 2, 4)
    observations, begun = torch.randn(13, 1, 3), torch.zeros(13, 1, dtype=torch.bool)
    begun[0] = True
    with torch.no_grad():
        _, memories = net.along(observations, begun, net.empty(1))
    for step in range(1, 13):
        changed = (memories[step].manager_hidden != memories[step - 1].manager_hidden).any(-1)[0]
        assert changed.tolist() == [core == step % LOOKS for core in range(LOOKS)]
    assert memories[-1].ticks.tolist() == [13] and memories[4].known[0].tolist() == [0.0] * 5 + [1.0] * 5


def test_what_was_acted_is_recalled_the_same_to_learn_from():
    """Over thirty steps, in which episodes of twenty or fewer end."""
    net = FeudalNet((3,), 2, 8)
    stage = Stage([environment(CORRIDOR.env) for _ in range(2)], [0, 1])
    player = FeudalPlayer(net)
    moments = act(stage, player, torch.Generator().manual_seed(0), 30)
    unroll = unrolled(moments, stage.seen)
    with torch.no_grad():
        _, memories = net.along(unroll.observations, unroll.begun, net.empty(2))
        assert player.memory is not None
        for part, acted in zip(memories[29], player.memory, strict=True):
            assert torch.allclose(part, acted, atol=1e-5)
        last = int(unroll.begun[:30, 0].nonzero().max())
        assert last > 0
        _, alone = net.along(unroll.observations[last:], unroll.begun[last:], net.empty(2))
    for part, other in zip(memories[last], alone[0], strict=True):
        assert torch.allclose(part[0], other[0], atol=1e-5)  # nothing of the episode before is left
    assert not torch.allclose(memories[last - 1].goals[0], memories[last].goals[0])


def test_the_manager_learns_from_transitions_alone():
    """The worker's policy has no gradient in what sets the goals."""
    net = FeudalNet((3,), 2, 8)
    outs, _ = net.along(torch.randn(4, 1, 3), torch.zeros(4, 1, dtype=torch.bool), net.empty(1))
    torch.stack([out.logits for out in outs]).sum().backward()
    assert all(part.grad is None for part in net.manager.parameters())
    assert net.embed.weight.grad is not None and net.worker.weight_ih.grad is not None


def test_it_learns_the_way_through_a_corridor():
    result = warren.run(
        CORRIDOR, space=FIXED, goal="max", population=1, intervals=4, held_out="test", seed=0, watch=lambda result: None
    )
    assert result.final[0].score > 0.6 and result.final[0].held_out > 0.5  # the best is 0.7, a random walk's -0.2
    fresh = CORRIDOR.network(environment(CORRIDOR.env)).state_dict()
    assert CORRIDOR.returns(fresh, 40).mean() < 0.2


def test_check_finds_nothing_to_say():
    small = Feudal(env=CORRIDOR.env, environments=2, steps=40, width=8, held_out=2, unroll=12)
    space = {
        "lr": warren.Float(1e-4, 1e-2, scale="log"),
        "entropy_cost": warren.Float(1e-3, 1e-1, scale="log"),
        "intrinsic_cost": warren.Float(0.01, 1.0),
    }
    findings = warren.check(small, space=space, goal="max", held_out="test")
    assert findings.ok, str(findings)


def test_an_unroll_has_to_show_where_a_goal_led():
    with pytest.raises(InvalidValue, match=r"unroll=10 must be more than 10") as caught:
        Feudal(unroll=10)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"worker_discount": 1.5}, r"worker_discount=1.5 must lie in \[0, 1\]"),
        ({"width": 0}, "width=0 must be at least 1"),
        ({"held_out": 0}, "held_out=0 must be at least 1"),
    ],
)
def test_fields_out_of_their_ranges_are_one_line(given, wanted):
    with pytest.raises(InvalidValue, match=wanted) as caught:
        Feudal(**given)
    assert "\n" not in str(caught.value)


def test_images_are_seen_by_convolutions():
    net = FeudalNet((4, 84, 84), 6, 64)
    with torch.no_grad():
        outs, memories = net.along(
            torch.zeros(2, 3, 4, 84, 84, dtype=torch.uint8), torch.zeros(2, 3, dtype=torch.bool), net.empty(3)
        )
    assert outs[0].logits.shape == (3, 6) and outs[0].goal.shape == (3, 256)
    assert np.allclose(outs[0].goal.norm(dim=-1).numpy(), 1.0, atol=1e-5)
    assert isinstance(memories[0], Memory)
