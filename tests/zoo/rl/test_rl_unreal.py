from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("gymnasium")

import torch

import warren
from warren.errors import InvalidValue
from warren.zoo.rl.environments import environment
from warren.zoo.rl.presets import PRESETS
from warren.zoo.rl.replay import Replay
from warren.zoo.rl.stage import Seen, Stage, Step
from warren.zoo.rl.unreal import Unreal
from warren.zoo.rl.unreal_losses import pixel_change, pixel_control_loss
from warren.zoo.rl.unreal_nets import Remembering, UnrealNet
from warren.zoo.rl.unroll import Moment, act, unrolled

SIDES = Unreal(env="tests.zoo.rl.envs:warren-test/Sides-v0", environments=4, steps=200, held_out=8, replay=100)
FIXED = {"lr": warren.Float(1e-3, 1e-3), "entropy_cost": warren.Float(0.01, 0.01), "unroll": warren.Int(10, 10)}


def test_the_change_of_pixels_is_the_mean_of_each_cell_of_the_middle():
    before = torch.zeros(1, 2, 84, 84, dtype=torch.uint8)
    after = before.clone()
    after[0, :, 0, 0] = 255  # in the margin of 2, which is cut off
    after[0, 0, 2:6, 2:6] = 51  # the first cell in one of two channels: 51 / 255 / 2
    after[0, :, 81, 80] = 255  # a pixel of the last row of cells, last but one column: (80 - 2) // 4 = 19 -> see below
    change = pixel_change(before, after)
    assert change.shape == (1, 20, 20)
    assert change[0, 0, 0].item() == pytest.approx(0.1)
    assert change[0, 19, 19].item() == pytest.approx(1 / 16)  # rows (81 - 2) // 4 = 19, columns (80 - 2) // 4 = 19
    assert change.sum().item() == pytest.approx(0.1 + 1 / 16)


def test_pixel_control_is_q_learning_that_stops_at_the_end_of_an_episode():
    """Three steps, one cell, discount 1/2, by hand; the second environment's episode ends with its second step.

    The first: R2 = 1 + 4 / 2 = 3, R1 = 2 + 1.5 = 3.5, R0 = 3 + 1.75 = 4.75; Q of what was done is 1 everywhere, so that
    the errors are 3.75, 2.5, 2. The second: R2 = 3, its last step is left out, R0 = 3 + 0; errors 2, none, 2.
    """
    q = torch.zeros(3, 2, 2, 1, 1)
    q[:, :, 1] = 1.0
    q[:, :, 0] = 77.0  # not done
    changes = torch.tensor([3.0, 2.0, 1.0])[:, None, None, None].expand(3, 2, 1, 1)
    ended = torch.zeros(3, 2, dtype=torch.bool)
    ended[1, 1] = True
    last = torch.full((2, 1, 1), 4.0)
    loss = pixel_control_loss(q, last, torch.ones(3, 2, dtype=torch.int64), changes, ended, 0.5)
    assert loss.item() == pytest.approx((3.75**2 + 2.5**2 + 2**2 + 2**2 + 2**2) / 2 / 6)


def moment(number, *, begun=False, reward=0.0):
    seen = Seen(np.full((1, 1), number), np.array([begun]), np.zeros(1, np.int64), np.zeros(1, np.float32))
    no = np.zeros(1, np.bool_)
    return Moment(seen, np.zeros(1, np.int64), Step(np.array([reward], np.float32), no, no, {}))


def test_the_replay_forgets_and_gives_stretches_from_anywhere():
    replay, generator = Replay(6), torch.Generator().manual_seed(0)
    assert replay.window(3, generator) is None
    replay.extend([moment(number) for number in range(10)])
    firsts = set()
    for _ in range(60):
        window = replay.window(3, generator)
        assert window is not None
        numbers = window.observations[:, 0, 0].tolist()
        assert numbers == list(range(numbers[0], numbers[0] + 4)) and window.actions.shape == (3, 1)
        firsts.add(numbers[0])
    assert firsts == {4, 5, 6}


def test_rewards_to_foresee_are_half_of_them_some_and_within_an_episode():
    """Ten steps in two episodes of five; only the step after observation 3 brings 1, and the one after 8 brings -1."""
    replay, generator = Replay(100), torch.Generator().manual_seed(0)
    assert replay.ahead(1, generator) is None
    brought = {3: 1.0, 8: -1.0}
    replay.extend([moment(n, begun=n % 5 == 0, reward=brought.get(n, 0.0)) for n in range(10)])
    ahead = replay.ahead(400, generator)
    assert ahead is not None
    seen = {tuple(row) for row in ahead.observations[..., 0].tolist()}
    assert seen == {(n, n + 1, n + 2) for n in (0, 1, 2, 5, 6, 7)}  # none across the beginning of an episode
    for row, kind in zip(ahead.observations[:, 2, 0].tolist(), ahead.classes.tolist(), strict=True):
        assert kind == {3: 1, 8: 2}.get(row, 0)
    assert abs(np.mean(ahead.classes.numpy() != 0) - 0.5) < 0.1  # two of six without the balance


def test_rewards_to_foresee_are_half_of_them_uncommon_where_every_step_costs_something():
    """As in ViZDoom: 20 steps at -1, but one that brings 100 and one that brings nothing; both are among the others."""
    replay = Replay(100)
    replay.extend([moment(n, begun=n == 0, reward={7: 100.0, 12: 0.0}.get(n, -1.0)) for n in range(20)])
    ahead = replay.ahead(400, torch.Generator().manual_seed(0))
    assert ahead is not None
    for row, kind in zip(ahead.observations[:, 2, 0].tolist(), ahead.classes.tolist(), strict=True):
        assert kind == {7: 1, 12: 0}.get(row, 2)
    none, above, below = np.bincount(ahead.classes.numpy(), minlength=3) / 400
    assert abs(below - 0.5) < 0.1 and abs(above - 0.25) < 0.1 and abs(none - 0.25) < 0.1  # 16, 1 and 1 of 18 there are
    alike = Replay(100)
    alike.extend([moment(n, reward=-1.0) for n in range(5)])
    ahead = alike.ahead(4, torch.Generator())
    assert ahead is not None and ahead.classes.tolist() == [2] * 4  # where there is one class, it is all of them


def test_as_many_rewards_are_foreseen_as_there_are_environments(monkeypatch):
    asked, original = [], Replay.ahead

    def ahead(self, count, generator):
        asked.append(count)
        return original(self, count, generator)

    monkeypatch.setattr(Replay, "ahead", ahead)
    short = replace(SIDES, environments=3, steps=20, held_out=1)
    warren.run(short, space=FIXED, goal="max", population=1, intervals=1, seed=0, watch=lambda result: None)
    assert asked == [3, 3]


def test_what_was_acted_is_recalled_the_same_to_learn_from():
    """Over ten steps, in which episodes of four end: the memory that acted is that along the unroll."""
    net = UnrealNet((1, 84, 84), 2)
    stage = Stage([environment(SIDES.env) for _ in range(2)], [0, 1])
    player, generator = Remembering(net), torch.Generator().manual_seed(0)
    moments = act(stage, player, generator, 10)
    unroll = unrolled(moments, stage.seen)
    with torch.no_grad():
        along = net.along(unroll.observations, unroll.begun, unroll.actions_before, unroll.rewards_before, net.empty(2))
    assert player.memory is not None
    assert torch.allclose(along[9].hidden, player.memory.hidden, atol=1e-5)
    # The ninth observation begins an episode: what came before it is forgotten.
    assert unroll.begun[8].all()
    with torch.no_grad():
        alone = net.along(
            unroll.observations[8:],
            unroll.begun[8:],
            unroll.actions_before[8:],
            unroll.rewards_before[8:],
            net.empty(2),
        )
    assert torch.allclose(along[9].hidden, alone[1].hidden, atol=1e-5)
    assert not torch.allclose(along[7].hidden, along[8].hidden, atol=1e-3)


def test_it_learns_which_side_is_bright():
    result = warren.run(
        SIDES, space=FIXED, goal="max", population=1, intervals=2, held_out="test", seed=0, watch=lambda result: None
    )
    assert np.mean(result.intervals[0].samples[:8]) < 2.5  # a coin brings 0
    assert result.final[0].score > 3.0 and result.final[0].held_out > 3.0  # the best is 4


def test_check_finds_nothing_to_say():
    small = Unreal(env=SIDES.env, environments=2, steps=12, held_out=2, replay=60)
    space = {
        "lr": warren.Float(1e-4, 1e-2, scale="log"),
        "entropy_cost": warren.Float(1e-3, 1e-1, scale="log"),
        "unroll": warren.Int(3, 6),
    }
    findings = warren.check(small, space=space, goal="max", held_out="test")
    assert findings.ok, str(findings)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"replay": 50}, "replay=50 must be more than 50, the longest unroll"),
        ({"pixel_discount": 1.1}, r"pixel_discount=1.1 must lie in \[0, 1\]"),
        ({"reward_cost": -1.0}, "reward_cost=-1.0 must be at least 0 and finite"),
        ({"pixel_cost": float("inf")}, "pixel_cost=inf must be at least 0 and finite"),
        ({"replay_cost": float("nan")}, "replay_cost=nan must be at least 0 and finite"),
        ({"steps": 0}, "steps=0 must be at least 1"),
    ],
)
def test_fields_out_of_their_ranges_are_one_line(given, wanted):
    with pytest.raises(InvalidValue, match=wanted) as caught:
        Unreal(**given)
    assert "\n" not in str(caught.value)


def test_the_shortest_replay_has_a_stretch_of_the_presets_longest_unroll():
    longest = PRESETS["small"](SIDES.env, "unreal").space["unroll"].high
    replay = Replay(Unreal(replay=longest + 1).replay)
    replay.extend([moment(number) for number in range(60)])
    assert replay.window(longest, torch.Generator()) is not None


def test_vectors_are_refused_in_one_line():
    with pytest.raises(InvalidValue, match=r"env='CartPole-v1' is seen as \(4,\).*84 x 84") as caught:
        Unreal().network(environment("CartPole-v1"))
    assert "\n" not in str(caught.value)
