from __future__ import annotations

import importlib
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("gymnasium")

from tests.zoo.rl.starcraft import LaunchError, installed

from warren.errors import InvalidValue, MissingExtra
from warren.zoo.rl.environments import actions, environment, shape

BEACON = "SC2/MoveToBeacon"


def test_a_mini_game_is_seen_as_planes_of_units(monkeypatch, tmp_path):
    installed(monkeypatch, tmp_path)
    env = environment(BEACON)
    assert (shape(env), actions(env, BEACON)) == ((4, 84, 84), 129)  # nothing, 64 moves and 64 attacks
    image, _ = env.reset(seed=3)
    x, y = env._game.beacon
    assert image.dtype == np.uint8
    assert image[:, 40, 11].tolist() == [255, 0, 0, 45]  # the marine
    assert image[:, y, x].tolist() == [0, 255, 0, 0] and image[1].sum() == 255 * 7 * 7  # the beacon
    assert image[:, 80, 80].tolist() == [0, 0, 255, 255] and image[2].sum() == 255  # the enemy
    assert env.observation_space.contains(image)


def test_actions_are_orders_to_the_whole_army(monkeypatch, tmp_path):
    game = installed(monkeypatch, tmp_path)
    env = environment(BEACON)
    env.reset(seed=3)
    env.step(0)
    env.step(1)
    env.step(1 + 8 * 2 + 7)  # a move to row 2, column 7
    env.step(1 + 64 + 63)  # an attack on the lower right
    made, *steps = game.said
    assert made == {
        "map_name": "MoveToBeacon", "players": [("agent", "terran")], "random_seed": 3, "step_mul": 8,
        "agent_interface_format": {"feature_dimensions": {"screen": 84, "minimap": 84}},
    }  # fmt: skip
    # The middles of cells of 10.5 pixels, without their fractions: 5.25, 26.25 and 78.75; x comes before y.
    assert steps == [
        (("select_army", "select"), 1),
        (("no_op",), 8),
        (("Move_screen", "now", (5, 5)), 8),
        (("Move_screen", "now", (78, 26)), 8),
        (("Attack_screen", "now", (78, 78)), 8),
    ]


def test_new_units_are_selected_before_the_next_order(monkeypatch, tmp_path):
    game = installed(monkeypatch, tmp_path)
    env = environment(BEACON)
    env.reset(seed=3)
    env.step(1)
    whole = env._now.observation["feature_screen"]
    whole["player_relative"][60, 60] = 1  # one more marine than is selected
    env.step(1)
    assert [call[0] for call, _ in game.said[1:]] == ["select_army", "Move_screen", "select_army", "Move_screen"]


def test_without_an_army_nothing_is_ordered(monkeypatch, tmp_path):
    game = installed(monkeypatch, tmp_path)
    env = environment(BEACON)
    env.reset(seed=3)
    env._game.army = 0
    env._game.said.clear()
    (env._now,) = env._game.reset()
    env.step(5)
    assert game.said == [(("no_op",), 8)]


@pytest.mark.parametrize("cut", [False, True])
def test_an_end_is_the_games_or_that_of_a_limit(cut, monkeypatch, tmp_path):
    game = installed(monkeypatch, tmp_path, cut=cut, length=9)
    env = environment(BEACON)
    env.reset(seed=3)
    assert env.step(0)[2:4] == (not cut, cut)  # 1 + 8 steps of the game
    game.length = 1  # the selection itself is the end
    env.reset()
    game.said.clear()
    assert env.step(1)[2:4] == (not cut, cut)
    assert game.said == [(("select_army", "select"), 1)]


def test_rewards_are_the_games(monkeypatch, tmp_path):
    installed(monkeypatch, tmp_path, bonus=5)
    env = environment(BEACON)
    env.reset(seed=3)
    rewards = []
    for _ in range(3):
        x, y = env._game.beacon
        rewards.append(env.step(1 + 8 * (y * 8 // 84) + x * 8 // 84)[1])
    assert rewards == [5.0 + 1.0, 1.0, 1.0]  # the first with what came while the army was selected


def test_a_seed_starts_the_game_anew(monkeypatch, tmp_path):
    game = installed(monkeypatch, tmp_path)
    env = environment(BEACON)
    assert not game.said  # so that nothing runs before it is used
    first, again, other = (env.reset(seed=seed)[0] for seed in (5, 5, 6))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    env.reset()  # goes on in the same
    env.close()
    assert [one if one == "closed" else one["random_seed"] for one in game.said] == [
        5,
        "closed",
        5,
        "closed",
        6,
        "closed",
    ]


def test_what_is_missing_is_one_line(monkeypatch, tmp_path):
    folder = tmp_path / "game"
    folder.mkdir()
    installed(monkeypatch, folder)

    def said(name=BEACON, kind=MissingExtra):
        with pytest.raises(kind) as caught:
            environment(name)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "Map DefeatRoaches.SC2Map not found" in said("SC2/DefeatRoaches") and "SC2PATH" in said("SC2/DefeatRoaches")
    shutil.rmtree(folder)
    assert "needs StarCraft II" in said() and "SC2PATH" in said()

    def refused():
        raise LaunchError("No SC2 Versions found in there\nindeed")

    monkeypatch.setattr(sys.modules["pysc2.run_configs"], "get", refused)
    assert "No SC2 Versions found in there)" in said()
    monkeypatch.setitem(sys.modules, "pysc2.env.sc2_env", None)
    assert said().endswith('needs PySC2: pip install "warren[starcraft]"')
    other = said("SC2/BuildMarines", InvalidValue)
    assert "env='SC2/BuildMarines'" in other and other.endswith("SC2/DefeatZerglingsAndBanelings")


def test_a_package_that_fails_to_load_says_what_it_needs(monkeypatch, tmp_path):
    installed(monkeypatch, tmp_path)

    load = importlib.import_module

    def loaded(name):
        if name == "pysc2.env.sc2_env":
            raise TypeError("Random.shuffle() takes 2 positional arguments but 3 were given\nand so on")
        return load(name)

    monkeypatch.setattr(importlib, "import_module", loaded)
    wanted = r"Random.shuffle\(\) takes 2 .* given\); .* Python 3.10 .* protobuf<3.21"
    with pytest.raises(MissingExtra, match=wanted) as caught:
        environment(BEACON)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:The .random. parameter to shuffle:DeprecationWarning")  # by PySC2 as it loads
@pytest.mark.filterwarnings("ignore:scipy.misc is deprecated:DeprecationWarning")
def test_pysc2s_own_mock_game_is_played(monkeypatch):
    """Where PySC2 can be loaded, against the environment that it has for tests, with its own functions and forms."""
    try:
        from absl import flags
        from pysc2 import maps, run_configs
        from pysc2.env import mock_sc2_env, sc2_env
    except (ImportError, TypeError):
        pytest.skip("PySC2 is not installed, or not made for this Python")
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    said = []

    class Mock(mock_sc2_env.SC2TestEnv):
        def _default_observation(self, obs_spec, agent_index):
            seen = super()._default_observation(obs_spec, agent_index)
            if moving:
                seen["available_actions"] = np.append(seen["available_actions"], [12, 331])
            return seen

        def step(self, actions, step_mul=None):
            said.extend(actions)
            return super().step(actions, step_mul)

    monkeypatch.setattr(run_configs, "get", lambda: None)
    monkeypatch.setattr(maps.lib.Map, "data", lambda self, config: b"")
    monkeypatch.setattr(sc2_env, "SC2Env", Mock)
    env = environment(BEACON)
    moving = False  # so that the army is selected, and nothing can be ordered
    image, _ = env.reset(seed=3)
    assert image.shape == (4, 84, 84) and image.dtype == np.uint8
    env.step(1)
    moving = True
    env.reset(seed=3)
    ends = [env.step(1 + place)[2:4] for place in range(10)]
    assert ends[-1] == (True, False) and not any(any(end) for end in ends[:-1])  # it ends after ten steps
    calls = [(call.function.name, [list(map(int, one)) for one in call.arguments]) for call in said if call]
    assert calls[:4] == [
        ("select_army", [[0]]), ("no_op", []), ("Move_screen", [[0], [5, 5]]), ("Move_screen", [[0], [15, 5]]),
    ]  # fmt: skip
    assert [name for name, _ in calls[2:]] == ["Move_screen"] * 10
    env.close()


def test_the_papers_population_tunes_the_learning_rate_alone(monkeypatch, tmp_path):
    pytest.importorskip("torch")
    import warren
    from warren.zoo.rl.presets import PRESETS

    installed(monkeypatch, tmp_path)
    paper = PRESETS["paper"](BEACON)
    one = paper.make(0)
    assert paper.population == 30 and one.environments * one.steps == 1_000_000 and one.plays == "sampled"
    result = warren.run(
        replace(one, environments=2, steps=20, held_out=1), space=paper.space, strategy=paper.strategy, goal="max",
        population=3, intervals=1, held_out="test", seed=0, watch=lambda result: None,
    )  # fmt: skip
    assert [row.status for row in result.intervals] == ["ok"] * 3
    assert len({row.hyperparameters["lr"] for row in result.intervals}) == 3
    held = [{name: value for name, value in row.hyperparameters.items() if name != "lr"} for row in result.intervals]
    assert held == [{name: value for name, value in paper.usual.items() if name != "lr"}] * 3
    other = PRESETS["paper"](BEACON, "feudal").space
    assert other["entropy_cost"].low < other["entropy_cost"].high  # of the other agents all is tuned
