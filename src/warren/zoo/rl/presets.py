"""Three agents at three sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from warren.space import Float, Int
from warren.strategies import PBT
from warren.zoo.rl.a2c import ActorCritic
from warren.zoo.rl.agent import Agent
from warren.zoo.rl.environments import is_atari, is_doom, is_grid, is_starcraft
from warren.zoo.rl.feudal import Feudal
from warren.zoo.rl.unreal import Unreal
from warren.zoo.workload import Workload

CARTPOLE = "CartPole-v1"
BREAKOUT = "ALE/Breakout-v5"
DOOM = "VizdoomBasic-v1"

AGENT_STEPS = 1_000_000
"""Steps of an agent after which a member is ready in the paper, at the least."""

SPACE: Mapping[str, Any] = {"lr": Float(1e-5, 1e-2, scale="log"), "entropy_cost": Float(1e-4, 1e-1, scale="log")}
"""What is tuned of every agent. Ends of ranges are bad on purpose: finding the good part is the population's work."""

PAPER: Mapping[str, Any] = {"lr": Float(1e-5, 5e-3, scale="log"), "entropy_cost": Float(5e-4, 1e-2, scale="log")}
"""The same in the paper's preset."""

USUAL: Mapping[str, Any] = {"lr": 7e-4, "entropy_cost": 0.01}
"""As these are usually set by hand (the defaults of A2C in OpenAI's Baselines)."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """An agent, and how large its populations are.

    Attributes:
        small: The agent for an environment, or for its own where None is given.
        paper: The same as the paper had it.
        tuned: What is tuned of it alone.
        usual: The same set by hand.
        population: Members of the small preset.
        intervals: Of that.
        study: Steps of an environment in an interval of the study's preset.
        members: Members of the paper's.
    """

    small: Callable[[str | None], Agent]
    paper: Callable[[str | None], Agent]
    tuned: Mapping[str, Any]
    usual: Mapping[str, Any]
    population: int
    intervals: int
    study: int
    members: int


def small(env: str | None = None, agent: str = "a2c") -> Workload:
    """Eight members and intervals of 8,000 steps, 4,000 in a grid world or StarCraft; four members with a memory.

    Args:
        env: As Gymnasium knows it; None: the agent's own.
        agent: One of `AGENTS`.
    """
    kind = AGENTS[agent]
    return _workload("", kind, kind.small(env), population=kind.population, intervals=kind.intervals)


def study(env: str | None = None, agent: str = "a2c") -> Workload:
    """Eight members and half as many intervals; shorter ones where the agent has a memory.

    Args:
        env: As Gymnasium knows it; None: the agent's own.
        agent: One of `AGENTS`.
    """
    kind = AGENTS[agent]
    one = kind.small(env)
    return _workload("-study", kind, replace(one, steps=min(one.steps, kind.study)), population=8, intervals=12)


def paper(env: str | None = None, agent: str = "a2c") -> Workload:
    """As the paper set its agents, as far as it carries over (Jaderberg et al. 2017, section 4.1).

    Ready after 10^6 steps, the t-test on the last ten episodes, x 0.8 or x 1.2. UNREAL: forty members; learning rate,
    entropy cost, unroll length; ViZDoom in the place of DeepMind Lab, which needs ``lab/LEVEL``. Feudal networks:
    eighty members on Atari; learning rate, entropy cost, intrinsic cost. The plain actor-critic: thirty members, and on
    StarCraft II the learning rate alone, with the others held as they are usually set by hand. Ranges and the number
    of intervals are warren's own.

    Args:
        env: As Gymnasium knows it, or ``SC2/GAME``; None: Breakout, or for UNREAL a scenario of ViZDoom.
        agent: One of `AGENTS`.
    """
    kind = AGENTS[agent]
    one = replace(kind.paper(env), environments=16, steps=AGENT_STEPS // 16, held_out=16)
    made = _workload("-paper", kind, one, population=kind.members, intervals=250)
    space = {**PAPER, **kind.tuned}
    if agent == "a2c" and is_starcraft(one.env):
        space |= {"entropy_cost": Float(0.01, 0.01), "unroll": Int(5, 5)}
    return replace(made, space=space, strategy=PBT(exploit="ttest", explore="perturb", warmup=0))


PRESETS: Mapping[str, Callable[..., Workload]] = {"small": small, "study": study, "paper": paper}
"""Workloads by name; each takes the names of an environment and of an agent."""


def named(env: str) -> str:
    """An environment's name as a part of a file's."""
    return "".join(letter if letter.isalnum() else "-" for letter in env).strip("-").lower()


def _a2c(env: str | None) -> Agent:
    env = env or CARTPOLE
    if is_atari(env) or is_doom(env):
        return ActorCritic(env=env, reward_limit=1.0, steps=2000, plays="sampled")
    if is_starcraft(env):  # each environment is a process of the game
        return ActorCritic(env=env, environments=4, held_out=4, plays="sampled")
    if is_grid(env):  # who sees a part of a world only, and remembers nothing, walks in circles if it never draws
        return ActorCritic(env=env, steps=500, plays="sampled")
    return ActorCritic(env=env)


def _unreal(env: str | None) -> Agent:
    return Unreal(env=env or DOOM, environments=4, steps=500, reward_limit=1.0)


def _feudal(env: str | None) -> Feudal:
    env = env or CARTPOLE
    return Feudal(env=env, reward_limit=1.0 if is_atari(env) or is_doom(env) else None)


AGENTS: Mapping[str, Kind] = {
    "a2c": Kind(
        small=_a2c, paper=lambda env: _a2c(env or BREAKOUT), population=8, intervals=25, study=1000, members=30,
        tuned={"unroll": Int(5, 50)}, usual={"unroll": 5},
    ),
    "unreal": Kind(
        small=_unreal, paper=lambda env: _unreal(env or "VizdoomMyWayHome-v1"),
        population=4, intervals=20, study=125, members=40,
        tuned={"unroll": Int(5, 50)}, usual={"unroll": 20},
    ),
    "feudal": Kind(
        small=_feudal, paper=lambda env: replace(_feudal(env or BREAKOUT), unroll=400),
        population=4, intervals=20, study=250, members=80,
        tuned={"intrinsic_cost": Float(0.01, 1.0)}, usual={"intrinsic_cost": 0.5},
    ),
}  # fmt: skip
"""Agents by name."""


def _workload(suffix: str, kind: Kind, agent: Agent, *, population: int, intervals: int) -> Workload:
    family = next(name for name, one in AGENTS.items() if one is kind)
    return Workload(
        name="rl-" + ("" if family == "a2c" else f"{family}-") + named(agent.env) + suffix,
        told=f"Actor-critics learn {agent.env}, {agent.environments * agent.steps:,} steps each in an interval.",
        make=lambda seed: replace(agent, split=seed),
        space={**SPACE, **kind.tuned},
        goal="max",
        held_out="test",
        held_out_goal="max",
        population=population,
        intervals=intervals,
        strategy=PBT(),
        usual={**USUAL, **kind.usual},
    )
