from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("gymnasium")

import torch

from warren.zoo.rl.environments import environment
from warren.zoo.rl.record import FRESH, HELD_OUT, Record, episodes
from warren.zoo.rl.stage import Stage, play

COUNTER = "tests.zoo.rl.envs:warren-test/Counter-v0"  # rewards 1, 2, 3, then a limit cuts it; action 1 terminates


def made(count, name=COUNTER):
    return [environment(name) for _ in range(count)]


def test_a_cut_episode_shows_what_it_ended_with_and_a_terminated_one_does_not():
    stage = Stage(made(2), [0, 1])
    assert stage.seen.begun.tolist() == [True, True] and stage.seen.observations.tolist() == [[0.0], [0.0]]
    first = stage.step(np.array([0, 1]))
    assert first.rewards.tolist() == [1.0, 1.0]
    assert first.terminated.tolist() == [False, True] and first.truncated.tolist() == [False, False]
    assert not first.finals and stage.seen.begun.tolist() == [False, True]
    assert stage.seen.observations.tolist() == [[1.0], [0.0]]  # the second has begun anew
    second = stage.step(np.array([0, 0]))
    assert second.rewards.tolist() == [2.0, 1.0] and stage.returns == [1.0]
    third = stage.step(np.array([0, 0]))
    assert third.truncated.tolist() == [True, False] and third.terminated.tolist() == [False, False]
    assert list(third.finals) == [0] and third.finals[0].tolist() == [3.0]  # not the 0 of the next episode
    assert stage.seen.observations.tolist() == [[0.0], [2.0]]
    assert stage.returns == [1.0, 6.0] and stage.unfinished == [0.0, 3.0]
    fourth = stage.step(np.array([0, 1]))  # terminates with the very step that the limit would cut
    assert fourth.terminated.tolist() == [False, True] and fourth.truncated.tolist() == [False, False]
    assert not fourth.finals and stage.returns == [1.0, 6.0, 6.0]


def test_rewards_are_clipped_to_learn_from_and_counted_as_they_are():
    stage = Stage(made(1), [0], limit=1.0)
    rewards = [float(stage.step(np.array([0])).rewards[0]) for _ in range(3)]
    assert rewards == [1.0, 1.0, 1.0]
    assert stage.returns == [6.0]


def test_play_gives_each_seed_one_episode_and_no_more():
    seen, told = [], []

    def player(now, generator):
        seen.append((now.observations[:, 0].tolist(), now.begun.tolist()))
        told.append((now.actions.tolist(), now.rewards.tolist()))
        return np.array([0, 1, 0])[: len(now.begun)]

    found = play(made(3), player, [1, 2, 3, 4], torch.Generator(), longest=100)
    assert found.tolist() == [6.0, 1.0, 6.0, 6.0]  # three at a time, then the one that is left
    assert [begun for _, begun in seen] == [[True] * 3, [False] * 3, [False] * 3, [True], [False], [False]]
    assert seen[2][0] == [2.0, 1.0, 2.0]
    assert told[:3] == [([0] * 3, [0.0] * 3), ([0, 1, 0], [1.0] * 3), ([0, 1, 0], [2.0, 0.0, 2.0])]


def test_the_pole_falls_the_same_for_the_same_seed():
    envs = made(2, "CartPole-v1")

    def player(now, generator):
        return (now.observations[:, 2] > 0).astype(np.int64)

    first, again = (play(envs, player, [5, 6, 7], torch.Generator(), longest=1000) for _ in range(2))
    assert first.tolist() == again.tolist()
    assert first.tolist() != play(envs, player, [8, 9, 10], torch.Generator(), longest=1000).tolist()


def test_an_episode_without_end_is_cut():
    """One environment ends with its second step, the other never does: 1 + 2, and 1 + 2 + 3 + 4 + 5; then one more."""
    endless = made(2, "tests.zoo.rl.envs:warren-test/Endless-v0")
    told = []

    def player(now, generator):
        told.append(len(now.begun))
        return np.array([now.observations[0, 0] == 1.0, 0], np.int64)[: len(now.begun)]

    assert play(endless, player, [1, 2, 3], torch.Generator(), longest=5).tolist() == [3.0, 15.0, 3.0]
    assert told == [2] * 5 + [1] * 2


def test_the_score_is_the_mean_of_the_last_ten():
    record = Record()
    record.add([1.0, 2.0], 80)
    assert record.score() == 1.5
    record.add([float(number) for number in range(3, 13)], 80)
    assert record.score() == 7.5 and record.last.tolist() == [float(number) for number in range(3, 13)]
    assert record.steps.tolist() == [160]


def test_episodes_that_measure_are_fixed_and_apart():
    assert episodes(0, HELD_OUT, 8) == episodes(0, HELD_OUT, 8)
    sets = [set(episodes(split, purpose, 100)) for split in (0, 1) for purpose in (HELD_OUT, FRESH)]
    assert len(set.union(*sets)) == 400
