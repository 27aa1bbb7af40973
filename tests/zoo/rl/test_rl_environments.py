from __future__ import annotations

import sys

import numpy as np
import pytest

pytest.importorskip("gymnasium")

import gymnasium as gym

from warren.errors import InvalidValue, MissingExtra
from warren.zoo.rl.environments import actions, clipped, environment, longest, shape


def test_vectors_come_as_they_are():
    env = environment("CartPole-v1")
    assert (shape(env), actions(env, "CartPole-v1")) == ((4,), 2)
    assert env.reset(seed=0)[0].dtype == np.float32


def test_what_is_no_vector_is_made_one():
    env = environment("tests.zoo.rl.envs:warren-test/Tuples-v0")
    assert shape(env) == (4,)
    env.reset(seed=0)
    observation = env.step(0)[0]
    assert observation.dtype == np.float32
    assert observation.tolist() == [0.0, 1.0, 0.0, 1.0]  # cell 1 of 3 as one-hot, then the count


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("NoSuchThing-v0", "env='NoSuchThing-v0' is none that Gymnasium can make.*CartPole-v1"),
        ("no_such_module:Thing-v0", "no_such_module"),
        ("a:b:c", "env='a:b:c' must be a name, or one module and a name: use module:Name-v0"),
        ("MiniGrid-a:b:c", "env='MiniGrid-a:b:c' must be a name, or one module and a name"),
        (":CartPole-v1", "env=':CartPole-v1' must be a name, or one module and a name"),
        ("tests.zoo.rl.envs:warren-test/Pairs-v0", r"Pairs-v0' is seen as Dict\(.*Sequence.*use one with"),
        ("Pendulum-v1", "env='Pendulum-v1' takes actions Box.*Discrete action space"),
    ],
)
def test_what_cannot_be_learned_is_said_in_one_line(name, wanted):
    with pytest.raises(InvalidValue, match=wanted) as caught:
        environment(name)
    assert "\n" not in str(caught.value)


def test_missing_packages_are_said_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(MissingExtra, match=r'env=\'ALE/Pong-v5\' needs .*pip install "warren\[atari\]"'):
        environment("ALE/Pong-v5")
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(MissingExtra, match=r'needs Gymnasium: pip install "warren\[rl\]"'):
        environment("CartPole-v1")


def test_a_package_that_an_environment_needs_is_said_in_one_line():
    if "LunarLander-v3" not in gym.registry:
        pytest.skip("this Gymnasium has no LunarLander-v3")
    try:
        import Box2D  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtra, match=r"LunarLander-v3.*install") as caught:
            environment("LunarLander-v3")
        assert "\n" not in str(caught.value)
    else:
        assert shape(environment("LunarLander-v3")) == (8,)


def test_an_environment_says_when_it_cuts_an_episode(monkeypatch):
    assert longest("CartPole-v1") == 500
    assert longest("tests.zoo.rl.envs:warren-test/Tuples-v0") == 3  # under what makes it a vector
    assert longest("tests.zoo.rl.envs:warren-test/Endless-v0") is None
    monkeypatch.setitem(sys.modules, "ale_py", None)
    monkeypatch.setitem(sys.modules, "deepmind_lab", None)
    assert [longest(name) for name in ("ALE/Pong-v5", "lab/nav_maze_static_01", "SC2/MoveToBeacon")] == [None] * 3
    with pytest.raises(InvalidValue, match="NoSuchThing"):
        longest("NoSuchThing-v0")


def test_doom_says_it_in_tics(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # it leaves a folder where it runs
    pytest.importorskip("vizdoom")
    pytest.importorskip("cv2")
    assert longest("VizdoomBasic-v1") == 75  # 300 tics
    assert longest("VizdoomTakeCover-v1") is None
    env = environment("VizdoomBasic-v1")
    env.reset(seed=0)
    steps = next(steps for steps in range(1, 100) if env.step(0)[2])
    env.close()
    assert steps == 75
    for package, wanted in (("cv2", r"warren\[doom\]"), ("gymnasium", r"warren\[rl\]")):
        with monkeypatch.context() as gone:
            gone.setitem(sys.modules, package, None)
            with pytest.raises(MissingExtra, match=wanted):
                longest("VizdoomBasic-v1")


def test_rewards_are_clipped_on_both_sides():
    assert [clipped(reward, 1.0) for reward in (-21.0, -0.5, 0.0, 0.5, 400.0)] == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert clipped(-21.0, None) == -21.0


def test_a_game_is_seen_as_four_grey_images():
    pytest.importorskip("ale_py")
    pytest.importorskip("cv2")
    env = environment("ALE/Pong-v5")
    assert (shape(env), actions(env, "ALE/Pong-v5")) == ((4, 84, 84), 6)
    first, _ = env.reset(seed=3)
    assert first.dtype == np.uint8 and np.array_equal(first[0], first[3])  # the first frame, four times
    frame = env.unwrapped.ale.getEpisodeFrameNumber()
    second = env.step(2)[0]
    assert env.unwrapped.ale.getEpisodeFrameNumber() == frame + 4  # an action is repeated
    assert np.array_equal(second[:3], first[1:])  # the newest is the last
    assert np.array_equal(first, env.reset(seed=3)[0])  # no-ops are drawn from the seed too
    assert 1 <= frame <= 30
    env.close()


def test_lab_is_one_line_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "deepmind_lab", None)
    with pytest.raises(MissingExtra, match=r"env='lab/nav_maze_static_01' needs the package deepmind_lab") as caught:
        environment("lab/nav_maze_static_01")
    assert "\n" not in str(caught.value)


def test_lab_is_spoken_to_as_it_documents(monkeypatch):
    """A stand-in with the methods of docs/users/python_api.md of DeepMind Lab; the level is over after two actions."""
    said: list[object] = []

    class Level:
        def __init__(self, level, observations, config):
            said.append((level, observations, config))

        def reset(self, seed):
            said.append(seed)
            self.left = 2

        def is_running(self):
            return self.left > 0

        def observations(self):
            assert self.is_running()
            return {"RGB_INTERLEAVED": np.full((84, 84, 3), [1, 2, 3 + self.left], np.uint8)}

        def step(self, action, num_steps):
            assert action.dtype == np.intc
            said.append((action.tolist(), num_steps))
            self.left -= 1
            return 10.0

        def close(self):
            said.append("closed")

    module = type(sys)("deepmind_lab")
    module.Lab = Level
    monkeypatch.setitem(sys.modules, "deepmind_lab", module)
    env = environment("lab/nav_maze_static_01")
    assert (shape(env), actions(env, "lab")) == ((3, 84, 84), 9)
    image, _ = env.reset(seed=1)
    assert image[:, 0, 0].tolist() == [1, 2, 5] and image.dtype == np.uint8
    image, reward, terminated, truncated, _ = env.step(0)
    assert (image[:, 7, 9].tolist(), reward, terminated, truncated) == ([1, 2, 4], 10.0, False, False)
    assert env.step(5)[1:4] == (10.0, True, False)  # the level shows nothing any more
    env.reset()
    env.reset(seed=1)
    env.close()
    asked, first, forward, right, second, again, closed = said
    assert asked == ("nav_maze_static_01", ["RGB_INTERLEAVED"], {"width": "84", "height": "84"})
    assert (forward, right) == (([0, 0, 0, 1, 0, 0, 0], 4), ([20, 0, 0, 0, 0, 0, 0], 4))
    assert first == again != second and closed == "closed"


def test_doom_is_seen_in_colour(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # it leaves a folder where it runs
    pytest.importorskip("vizdoom")
    pytest.importorskip("cv2")
    env = environment("VizdoomBasic-v1")
    assert (shape(env), actions(env, "VizdoomBasic-v1")) == ((3, 84, 84), 4)
    first, _ = env.reset(seed=3)
    assert first.dtype == np.uint8 and first.max() > 0
    assert np.array_equal(first, env.reset(seed=3)[0])
    env.close()
