"""PPO at three sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from warren.space import Float
from warren.strategies import PBT
from warren.zoo.ppo.agent import Ppo
from warren.zoo.ppo.environments import game
from warren.zoo.workload import Workload

CARTPOLE = "CartPole-v1"

VECTORS = Ppo(envs=8, steps=128, updates=4, hidden=64)
"""The task where observations are vectors."""

IMAGES = Ppo(envs=8, steps=128, updates=8, hidden=128, episodes=8, sticky=0.1)
"""The task where they are images: the network and the sticky actions of MinAtar."""

USUAL = {"lr": 2.5e-4, "entropy": 0.01, "clip": 0.2, "discount": 0.99}
"""As PPO is usually set where actions are counted (clip: Schulman et al. 2017, table 3; the rest by custom)."""

AGENT_STEPS = 1_000_000
"""Steps after which a member is ready in the paper, at the least."""


def space() -> dict[str, Float]:
    """What is tuned. The ends of each range are bad on purpose: finding the good part is the population's work."""
    return {
        "lr": Float(1e-5, 1e-2, scale="log"),
        "entropy": Float(1e-4, 1e-1, scale="log"),
        "clip": Float(0.05, 0.4),
        "discount": Float(0.9, 0.999, scale="one_minus"),
    }


def small(env: str = CARTPOLE) -> Workload:
    """Thirty-two members on vectors, eight on images.

    Args:
        env: As gymnax knows it.
    """
    task = _task(env)
    images = _images(env)
    return _workload(f"ppo-{env}", task, population=8 if images else 32, intervals=20 if images else 25)


def study(env: str = CARTPOLE) -> Workload:
    """Eight members.

    Args:
        env: As gymnax knows it.
    """
    return _workload(f"ppo-{env}-study", _task(env), population=8, intervals=20 if _images(env) else 10)


def paper(env: str = "Breakout-MinAtar") -> Workload:
    """As the paper set its agents for DeepMind Lab (Jaderberg et al. 2017, section 4.1), as far as it carries over.

    Forty members, ready after 10^6 steps, truncation, x 0.8 or x 1.2, learning rate and entropy cost. The paper's
    agent is UNREAL, which also has an unroll length; environment, agent, ranges and the number of intervals are
    warren's own, and the rest is held at `USUAL`.

    Args:
        env: As gymnax knows it.
    """
    task = replace(_task(env), envs=64, steps=128, minibatches=8, episodes=64)
    task = replace(task, updates=max(task.updates, -(-AGENT_STEPS // (task.envs * task.steps))))
    ranges: dict[str, Any] = {
        **space(),
        **{name: Float(USUAL[name], USUAL[name]) for name in ("clip", "discount")},
    }
    strategy = PBT(exploit="truncation", explore="perturb", warmup=0)
    return replace(_workload(f"ppo-{env}-paper", task, population=40, intervals=20), strategy=strategy, space=ranges)


PRESETS: Mapping[str, Callable[..., Workload]] = {"small": small, "study": study, "paper": paper}
"""Workloads by name; each takes the name of an environment."""


def _images(env: str) -> bool:
    return len(game(env, 0.0).shape) == 3


def _task(env: str) -> Ppo:
    """With intervals that are at least as long as an episode."""
    one = replace(IMAGES if _images(env) else VECTORS, env=env)
    return replace(one, updates=max(one.updates, -(-game(env, 0.0).limit // one.steps)))


def _workload(name: str, ppo: Ppo, *, population: int, intervals: int) -> Workload:
    task = ppo.task()
    return Workload(
        name=name.lower(),
        told=f"PPO agents learn {ppo.env}, {ppo.envs * ppo.steps * ppo.updates:,} steps each in an interval.",
        make=lambda seed: task,  # there is no data to split: all draws are the run's
        space=space(),
        goal="max",
        held_out="test",
        held_out_goal="max",
        population=population,
        intervals=intervals,
        strategy=PBT(),
        usual=USUAL,
        engine="vectorised",
    )
