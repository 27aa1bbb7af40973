from __future__ import annotations

import sys

import numpy as np
import pytest

pytest.importorskip("gymnasium")

from warren.errors import InvalidValue, MissingExtra
from warren.zoo.rl.environments import actions, environment, longest, shape

EMPTY = "MiniGrid-Empty-5x5-v0"


def test_a_grid_world_without_its_package_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "minigrid.wrappers", None)
    with pytest.raises(
        MissingExtra, match=r'env=\'MiniGrid-Empty-5x5-v0\' needs .*pip install "warren\[grid\]"'
    ) as caught:
        environment(EMPTY)
    assert "\n" not in str(caught.value)


def test_a_grid_world_that_is_not_there_is_one_line():
    pytest.importorskip("minigrid")
    with pytest.raises(InvalidValue, match="env='MiniGrid-Nowhere-v0'") as caught:
        environment("MiniGrid-Nowhere-v0")
    assert "\n" not in str(caught.value)


def test_a_grid_world_by_its_module_is_one_line():
    """Its sentence is of a kind that cannot be flattened."""
    pytest.importorskip("minigrid")
    with pytest.raises(InvalidValue, match=r"env='minigrid:MiniGrid-Empty-5x5-v0' is seen as .*MissionSpace") as caught:
        environment("minigrid:" + EMPTY)
    assert "\n" not in str(caught.value) and "MiniGrid-NAME, without a module" in str(caught.value)


def test_a_grid_world_says_when_it_cuts_an_episode():
    pytest.importorskip("minigrid")
    assert [longest(name) for name in (EMPTY, "MiniGrid-DoorKey-8x8-v0")] == [100, 640]


def test_a_grid_world_is_seen_as_ones_and_zeros():
    """The agent stands in the upper left of 3 x 3 free cells and looks right; the goal is in the lower right.

    It sees itself in the middle of the last row, (3, 6) as column and row of 7 x 7, and the goal two cells ahead and
    two to the right: (5, 4). The numbers of a cell are 11 kinds (empty 1, goal 8), 6 colours (red 0, green 1) and 3
    states (open 0); those of the direction come first. Columns come before rows.
    """
    pytest.importorskip("minigrid")
    env = environment(EMPTY)
    assert (shape(env), actions(env, EMPTY)) == ((4 + 7 * 7 * 20,), 7)
    seen, _ = env.reset(seed=0)
    assert seen.dtype == np.float32 and set(seen) == {0.0, 1.0}
    assert seen[:4].tolist() == [1, 0, 0, 0]  # right
    cells = seen[4:].reshape(7, 7, 20)
    assert np.flatnonzero(cells[5, 4]).tolist() == [8, 11 + 1, 11 + 6 + 0]
    assert np.flatnonzero(cells[4, 5]).tolist() == [1, 11 + 0, 11 + 6 + 0]
    assert np.all(cells.sum(axis=2) == 3)
    turned = env.step(1)[0]
    assert turned[:4].tolist() == [0, 1, 0, 0]  # down
    # Two forward and two to the left now.
    assert np.flatnonzero(turned[4:].reshape(7, 7, 20)[1, 4]).tolist() == [8, 12, 17]
    env.close()


def test_it_learns_the_way_to_the_goal():
    """Five actions lead there, for 1 - 0.9 x 5 / 100 = 0.955 at the best (MiniGrid's rule; 100 steps are the limit)."""
    pytest.importorskip("minigrid")
    pytest.importorskip("torch")
    import warren
    from warren.zoo.rl.a2c import ActorCritic
    from warren.zoo.rl.presets import PRESETS

    assert PRESETS["small"](EMPTY).make(0).plays == "sampled"
    agent = ActorCritic(env=EMPTY, environments=4, steps=500, width=32, held_out=4, plays="sampled")
    held = {"lr": warren.Float(1e-3, 1e-3), "entropy_cost": warren.Float(3e-3, 3e-3), "unroll": warren.Int(10, 10)}
    result = warren.run(
        agent, space=held, goal="max", population=1, intervals=8, held_out="test", seed=1, watch=lambda result: None
    )
    random = agent.network(environment(EMPTY)).state_dict()
    assert agent.returns(random, 40).mean() < 0.35
    assert agent.returns(result.final[0].state()["net"], 40).mean() > 0.8
    assert result.final[0].score > 0.8
