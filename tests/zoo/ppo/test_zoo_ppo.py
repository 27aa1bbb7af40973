"""The agents as members: what a state holds, what is scored, and that a population of them is one program."""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("optax")
gymnax = pytest.importorskip("gymnax")

import jax.numpy as jnp  # noqa: E402
from tests.zoo.ppo.lever import Lever, Wage  # noqa: E402

import warren  # noqa: E402
from warren.errors import InvalidValue, MissingExtra  # noqa: E402
from warren.population import Keys  # noqa: E402
from warren.stacked.jax import JaxLift  # noqa: E402
from warren.testing.engines import decisions  # noqa: E402
from warren.training import Rng  # noqa: E402
from warren.zoo.ppo import command  # noqa: E402
from warren.zoo.ppo.agent import Ppo  # noqa: E402
from warren.zoo.ppo.environments import game  # noqa: E402
from warren.zoo.ppo.presets import PRESETS, USUAL, space  # noqa: E402

for one in (Lever, Wage):
    if f"{one.__name__}-warren" not in gymnax.registered_envs:
        gymnax.register(f"{one.__name__}-warren", one)

TINY = Ppo(env="Lever-warren", envs=4, steps=16, updates=2, minibatches=2, hidden=8, episodes=8)
SPACE = {**space(), "lr": warren.Float(3e-3, 3e-2, scale="log")}


def rng(interval=1):
    return Rng(Keys(seed=0, member=0, interval=interval), "test")


def run(task, **arguments):
    given = {
        "space": SPACE, "goal": "max", "population": 4, "intervals": 6, "engine": "vectorised", "held_out": "test",
        "synchronous": True, "watch": lambda result: None, **arguments,
    }  # fmt: skip
    return warren.run(task, **given)


# -- what is scored, and what a state holds ---------------------------------------------------------------------------


def test_episodes_count_whole_where_they_end():
    """Every episode of Wage returns 5. Intervals of 6 steps cut episodes in two, and must not count the halves."""
    wage = replace(TINY, env="Wage-warren", steps=3, epochs=1, minibatches=1)
    task, state = wage.task(), wage.init(0, USUAL)
    train = jax.jit(lambda state, seed: task.train_interval(state, USUAL, Seeded(seed)))
    for interval in range(1, 5):
        state = train(state, interval)
        assert float(state["score"]) == 5
        steps = 6 * interval % 5  # since the last episode began
        assert state["envs"]["time"].tolist() == [steps] * 4
        assert state["running"].tolist() == [steps] * 4
    assert wage.returns(state["params"], jax.random.key(0), 3).tolist() == [5, 5, 5]


class Seeded:
    """As the keys that a task is given, of a seed that may be traced."""

    def __init__(self, seed):
        self.seed = seed

    def jax(self):
        return jax.random.key(self.seed)


def test_what_is_seen_is_what_the_environment_showed():
    state = TINY.init(0, USUAL)
    after, seen = TINY.played(state, jax.random.key(1))
    assert seen["observation"].shape == (16, 4, 2) and seen["action"].shape == (16, 4)
    light = seen["observation"].argmax(-1)
    np.testing.assert_array_equal(seen["reward"], light == seen["action"])
    assert not seen["terminated"].any()
    assert seen["over"][:, 0].tolist() == [False, False, False, False, True] * 3 + [False]
    # What follows within an episode is shown next; where an episode was cut off, another begins.
    inside = ~np.asarray(seen["over"][:-1])
    np.testing.assert_array_equal(seen["next"][:-1][inside], seen["observation"][1:][inside])
    np.testing.assert_array_equal(after["seen"], seen["next"][-1])


def test_a_member_whose_weights_are_not_finite_scores_nan():
    state = TINY.init(0, USUAL)
    state["score"] = jnp.float32(3)
    assert float(TINY.evaluate(state, rng())[0]) == 3
    state["params"]["value"][0]["b"] = state["params"]["value"][0]["b"].at[1].set(jnp.inf)
    assert np.isnan(TINY.evaluate(state, rng())[0])


# -- a population -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def learned():
    lifts = []
    lift = JaxLift.__init__

    def kept(self, *args):
        lift(self, *args)
        lifts.append(self)

    with pytest.MonkeyPatch.context() as context:
        context.setattr(JaxLift, "__init__", kept)
        result = run(TINY.task(), intervals=12)
    return result, lifts


def test_the_levers_are_learned(learned):
    """Pulling at random returns 2.5 of 5."""
    result, _ = learned
    first = [row.metrics["test"] for row in result.intervals if row.interval == 1]
    assert np.mean(first) < 4
    assert result.final[0].score > 4.5
    assert result.final[0].held_out > 4.5


def test_mutations_compile_nothing(learned):
    result, lifts = learned
    assert len({tuple(row.hyperparameters.values()) for row in result.intervals}) > 6
    assert [one._program._cache_size() for one in lifts] == [1]


def test_the_inline_engine_decides_alike(learned):
    result = run(TINY.task(), population=2, intervals=3)
    alone = run(TINY.task(), population=2, intervals=3, engine="inline", workers=1)
    one, other = decisions(result), decisions(alone)
    assert [row[:5] for row in one] == [row[:5] for row in other]
    np.testing.assert_allclose([row[5] for row in one], [row[5] for row in other], atol=0.2)


def test_the_pre_flight_finds_nothing(tmp_path):
    findings = warren.check(TINY.task(), space=SPACE, goal="max", population=2, intervals=2)
    assert findings.ok, str(findings)


# -- presets and the command ------------------------------------------------------------------------------------------


def test_presets():
    small, study, paper = (PRESETS[name]() for name in ("small", "study", "paper"))
    assert (small.population, study.population, paper.population) == (32, 8, 40)
    task = paper.make(0).init.__self__
    assert task.env == "Breakout-MinAtar"
    assert 1_000_000 <= task.envs * task.steps * task.updates < 1_000_000 + task.envs * task.steps
    assert {name for name, one in paper.space.items() if one.low < one.high} == {"lr", "entropy"}
    assert paper.strategy == warren.PBT(warmup=0)  # so that the first decision comes after one interval too
    assert PRESETS["small"]("Breakout-MinAtar").population == 8
    assert set(USUAL) == set(small.space)
    # An interval holds the longest episode of each game.
    for env in ("Acrobot-v1", "Freeway-MinAtar", "MountainCar-v0"):
        task = PRESETS["study"](env).make(0).init.__self__
        assert task.steps * task.updates >= game(env, 0.0).limit


def test_the_pages_example_is_true():
    page = (Path(__file__).parents[3] / "docs" / "ppo.md").read_text()
    [block] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, object] = {}
    exec(block, names)
    assert isinstance(names["task"], warren.Task) and names["workload"].name == "ppo-breakout-minatar-study"
    # The steps of an interval that its table has.
    for preset, env, steps in (("small", "CartPole-v1", 4096), ("study", "Breakout-MinAtar", 8192)):
        task = PRESETS[preset](env).make(0).init.__self__
        assert task.envs * task.steps * task.updates == steps
    task = PRESETS["paper"]().make(0).init.__self__
    assert f"{task.envs * task.steps * task.updates:,}" in page


def test_the_papers_agent_trains_at_its_smallest():
    task = replace(PRESETS["paper"]().make(0).init.__self__, envs=2, steps=2, updates=1, minibatches=1)
    before = task.init(0, USUAL)
    assert before["seen"].shape == (2, 10, 10, 4)
    after = jax.jit(lambda state: task.train_interval(state, USUAL, Seeded(1)))(before)
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), before["params"], after["params"])
    assert all(jax.tree.leaves(moved))


@contextmanager
def live():
    yield lambda result: None


def test_the_demo(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["--population", "2", "--intervals", "2", "--env", "Lever-warren"]
    assert command.main(arguments, live=live) == 0
    said = capsys.readouterr().out
    assert "PPO agents learn Lever-warren" in said and "as one program" in said
    assert "best of the whole run" in said
    assert (tmp_path / "runs" / "ppo-lever-warren.db").exists()
    assert (tmp_path / "ppo-lever-warren.html").exists()


def test_what_is_wrong_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cases = {
        "Chess-v1": "env='Chess-v1' is none of gymnax's environments, which are .*CartPole-v1",
        "Pendulum-v1": "env='Pendulum-v1' is steered by Box.*discrete ones",
    }
    for env, message in cases.items():
        with pytest.raises(InvalidValue, match=message) as caught:
            command.main(["--env", env], live=live)
        assert "\n" not in str(caught.value)
    for wrong, message in (
        ({"minibatches": 3}, "minibatches=3 must divide envs x steps = 64"),
        ({"sticky": 1.0}, "sticky=1.0 must lie in"),
        ({"trace": -1.0}, "trace=-1.0 must lie in"),
        ({"envs": 0}, "envs=0 must be at least 1"),
    ):
        with pytest.raises(InvalidValue, match=message):
            replace(TINY, **wrong)
    with pytest.raises(InvalidValue, match=r"must be at least 500, the longest episode of CartPole-v1.*updates=4"):
        Ppo(updates=1).task()
    assert not list(tmp_path.iterdir())


def test_an_environment_whose_data_cannot_be_downloaded_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def offline(name):
        raise URLError("Name or service not known")

    monkeypatch.setattr(gymnax, "make", offline)
    with pytest.raises(InvalidValue, match=r"env='MNISTBandit-bsuite' could not be loaded.*Name or service") as caught:
        command.main(["--env", "MNISTBandit-bsuite"], live=live)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["jax", "optax", "gymnax"])
def test_what_is_missing_is_said(name, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=f'needs {name}: pip install "warren\\[ppo\\]"'):
        command.main([], live=live)


def test_gymnax_that_cannot_be_loaded_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnax", None)
    with pytest.raises(MissingExtra, match="the environments are gymnax's"):
        game.__wrapped__("CartPole-v1", 0.0)
