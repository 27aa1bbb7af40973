"""Three agents at three sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from warren.space import Float, Int
from warren.strategies import PBT
from warren.zoo.rl.a2c import ActorCritic
from warren.zoo.rl.agent import Agent
from warren.zoo.rl.environments import is_atari, is_doom, is_grid, is_lab, is_starcraft, longest
from warren.zoo.rl.feudal import Feudal
from warren.zoo.rl.unreal import UNROLL, Unreal
from warren.zoo.workload import Workload

CARTPOLE = "CartPole-v1"
BREAKOUT = "ALE/Breakout-v5"
DOOM = "VizdoomBasic-v1"

One = TypeVar("One", bound=Agent)

AGENT_STEPS = 1_000_000
"""Steps of an agent after which a member is ready in the paper, at the least."""

SPACE: Mapping[str, Any] = {"lr": Float(1e-5, 1e-2, scale="log"), "entropy_cost": Float(1e-4, 1e-1, scale="log")}
"""What is tuned of every agent. Ends of ranges are bad on purpose: finding the good part is the population's work."""

PAPER: Mapping[str, Any] = {"lr": Float(1e-5, 5e-3, scale="log"), "entropy_cost": Float(5e-4, 1e-2, scale="log")}
"""The same in the paper's preset."""

USUAL: Mapping[str, Any] = {"lr": 7e-4, "entropy_cost": 0.01}
"""As these are usually set by hand (the defaults of A2C in OpenAI's Baselines).

The same numbers under another optimizer: torch's RMSProp adds epsilon outside the root and begins with statistics of 0,
that of Baselines adds it inside and begins with 1, so that a learning rate makes larger steps here.
"""


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
        study: The most steps of an environment in an interval of the study's preset, where episodes are no longer.
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
    """Eight members without a memory, four with one.

    Intervals have 8,000 steps without a memory, 16,000 on images of Atari, ViZDoom and DeepMind Lab, 4,000 in a grid
    world or StarCraft II; 8,000 for feudal networks, 4,000 in StarCraft II; 2,000 for UNREAL. Each has more where an
    episode is longer.

    Args:
        env: As Gymnasium knows it; None: the agent's own.
        agent: One of `AGENTS`.

    Raises:
        MissingExtra: A package that the environment needs is not installed.
        InvalidValue: As for `environment`, which says how long an episode is.
    """
    kind = AGENTS[agent]
    return _workload("", kind, _lasting(kind.small(env)), population=kind.population, intervals=kind.intervals)


def study(env: str | None = None, agent: str = "a2c") -> Workload:
    """Eight members and half as many intervals; shorter ones where the agent has a memory and episodes are short.

    Args:
        env: As Gymnasium knows it; None: the agent's own.
        agent: One of `AGENTS`.

    Raises:
        MissingExtra: As for `small`.
        InvalidValue: As for `small`.
    """
    kind = AGENTS[agent]
    one = kind.small(env)
    one = _lasting(replace(one, steps=min(one.steps, kind.study)))
    return _workload("-study", kind, one, population=8, intervals=12)


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

    Raises:
        MissingExtra: As for `small`.
        InvalidValue: As for `small`.
    """
    kind = AGENTS[agent]
    one = _lasting(replace(kind.paper(env), environments=16, steps=AGENT_STEPS // 16, held_out=16))
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
    return _suited(ActorCritic(env=env, steps=2000 if _filmed(env) else 500 if is_grid(env) else 1000))


def _unreal(env: str | None) -> Agent:
    return _suited(Unreal(env=env or DOOM, environments=4, steps=500))


def _feudal(env: str | None) -> Feudal:
    return _suited(Feudal(env=env or CARTPOLE))


def _filmed(env: str) -> bool:
    return is_atari(env) or is_doom(env) or is_lab(env)


def _suited(agent: One) -> One:
    """With what its kind of environment asks of any agent: how many, how rewards are learned from, how it is played."""
    filmed, game = _filmed(agent.env), is_starcraft(agent.env)
    if game:  # each environment is a process of the game
        agent = replace(agent, environments=4, held_out=4)
    if filmed:
        agent = replace(agent, reward_limit=1.0)
    # Who sees a part of a world only, and remembers nothing, walks in circles if it never draws. Those with a memory
    # always draw.
    if isinstance(agent, ActorCritic) and (filmed or game or is_grid(agent.env)):
        agent = replace(agent, plays="sampled")
    return agent


def _lasting(agent: One) -> One:
    """With intervals that are no shorter than an episode can be, and held-out episodes that come to an end."""
    limit = longest(agent.env)
    if limit is not None:
        return replace(agent, steps=max(agent.steps, limit), longest=max(agent.longest, limit))
    if _filmed(agent.env) or is_starcraft(agent.env):
        return agent
    return replace(agent, longest=agent.steps)


AGENTS: Mapping[str, Kind] = {
    "a2c": Kind(
        small=_a2c, paper=lambda env: _a2c(env or BREAKOUT), population=8, intervals=25, study=1000, members=30,
        tuned={"unroll": Int(5, 50)}, usual={"unroll": 5},
    ),
    "unreal": Kind(
        small=_unreal, paper=lambda env: _unreal(env or "VizdoomMyWayHome-v1"),
        population=4, intervals=20, study=125, members=40,
        tuned={"unroll": Int(5, UNROLL)}, usual={"unroll": 20},
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
