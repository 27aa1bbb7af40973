from __future__ import annotations

import importlib.util
import sys
from contextlib import contextmanager
from dataclasses import replace

import pytest

pytest.importorskip("torch")
pytest.importorskip("gymnasium")

from warren.errors import InvalidValue, MissingExtra
from warren.zoo.rl import command, presets

CORRIDOR = "tests.zoo.rl.envs:warren-test/Corridor-v0"


@contextmanager
def unseen():
    yield lambda result: None


@pytest.fixture
def short(monkeypatch):
    """The demo on a corridor, with intervals of 200 steps."""
    agent = replace(presets.small(CORRIDOR).make(0), environments=2, steps=100, held_out=2)
    workload = replace(presets.small(CORRIDOR), make=lambda seed: agent)
    monkeypatch.setattr(presets, "PRESETS", {**presets.PRESETS, "small": lambda env, agent: workload})


def test_the_demo_trains_and_plays_fresh_episodes(short, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert (
        command.main(["--population", "2", "--intervals", "2", "--workers", "1", "--env", CORRIDOR], live=unseen) == 0
    )
    said = capsys.readouterr().out
    assert "Actor-critics learn" in said and "2 members, 2 intervals each" in said
    line = next(line for line in said.splitlines() if line.startswith("best of the whole run"))
    learning, test, fresh = (float(number) for number in line.split()[-3:])
    assert all(-2.0 <= number <= 0.7 for number in (learning, test, fresh))  # 20 steps at -0.1, the shortest way
    assert "counts as solved" not in said  # no threshold is known for a corridor
    assert list((tmp_path / "runs").glob("*corridor*.db"))


def test_solved_is_said_of_the_best_of_the_run(short, tmp_path, monkeypatch, capsys):
    from warren.zoo.rl import command

    monkeypatch.chdir(tmp_path)
    for threshold, wanted in ((-3.0, "solves it"), (0.8, "does not")):
        monkeypatch.setitem(command.SOLVED, CORRIDOR, threshold)
        command.main(["--population", "2", "--intervals", "1", "--workers", "1", "--env", CORRIDOR], live=unseen)
        said = f"counts as solved from {threshold:g} on: the best of the run {wanted}, of the final states {wanted}."
        assert said in capsys.readouterr().out


@pytest.mark.parametrize("module", ["torch", "gymnasium"])
def test_a_missing_package_is_one_line(module, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == module else find(name, *rest))
    with pytest.raises(MissingExtra, match=rf'{module}.*pip install "warren\[rl\]"') as caught:
        command.main([], live=unseen)
    assert "\n" not in str(caught.value)


def test_an_environment_that_cannot_be_learned_is_said_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    unseen_as_images = ["--agent", "unreal", "--env", "CartPole-v1"]
    wrong = [["--env", name] for name in ("NoSuchThing-v0", "Pendulum-v1", "a:b:c")]
    for options in (*wrong, ["--preset", "huge"], unseen_as_images):
        with pytest.raises(InvalidValue) as caught:
            command.main(options, live=unseen)
        assert "\n" not in str(caught.value)
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(MissingExtra, match=r"warren\[atari\]"):
        command.main(["--env", "ALE/Breakout-v5"], live=unseen)
    assert not list(tmp_path.iterdir())


def test_names_of_environments_become_names_of_files():
    assert presets.named("ALE/Breakout-v5") == "ale-breakout-v5"
    assert presets.small("Acrobot-v1").name == "rl-acrobot-v1"
