"""What ``warren demo rl`` does: trains a population of agents, and plays fresh episodes with the best."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from warren.zoo.demonstrate import Live, demonstrate, needs, parser, schedule_lines
from warren.zoo.options import Parser

if TYPE_CHECKING:
    from warren.results import Result, Trained
    from warren.zoo.rl.agent import Agent

FRESH = 100
"""Episodes that the best are measured on at the end; neither training nor selection has seen them."""

SOLVED = {"CartPole-v1": 475.0, "Acrobot-v1": -100.0}
"""Mean returns over 100 episodes from which on an environment counts as solved (Gymnasium's reward thresholds)."""


def main(arguments: list[str], *, live: Live) -> int:
    """Run the demo.

    Args:
        arguments: Options as on the command line.
        live: Makes the live view.

    Returns:
        The exit code.

    Raises:
        MissingExtra: PyTorch, Gymnasium or what the environment needs is not installed.
        InvalidValue: An option breaks a rule, or there is no such environment.
        RunMismatch: The store holds a run with other settings.
    """
    options = _parser().parse_args(arguments)
    needs("rl", "torch", "gymnasium")
    from warren.zoo.rl.environments import environment
    from warren.zoo.rl.presets import PRESETS

    make = PRESETS[options.preset]
    workload = make(options.env, options.agent)
    agent: Agent = workload.make(0)
    # Here as well as in the workers, so that what is missing is said before they start.
    with closing(environment(agent.env)) as env:
        agent.network(env)
    demonstrate(workload, options, live=live, summary=lambda result: summary(result, agent))
    return 0


def summary(result: Result, agent: Agent) -> str:
    """What came out, for the terminal.

    Args:
        result: The run.
        agent: Its training function.
    """
    schedule = result.schedule
    best = agent.returns(result.best.state()["net"], FRESH).mean()
    final = agent.returns(result.final[0].state()["net"], FRESH).mean()
    lines = [
        "",
        "Mean returns of episodes; all but the first column were never learned from or selected on:",
        f"{'':<26}{'learning':>10}{f'test, {agent.held_out} episodes':>22}{f'{FRESH} fresh ones':>20}",
        _line("best of the whole run", result.best, best),
        _line("best of the final states", result.final[0], final),
    ]
    goal = SOLVED.get(agent.env)
    if goal is not None:
        run, end = ("solves it" if fresh >= goal else "does not" for fresh in (best, final))
        lines.append(
            f"{agent.env} counts as solved from {goal:g} on: the best of the run {run}, of the final states {end}."
        )
    return "\n".join(
        [
            *lines,
            "",
            *schedule_lines(schedule),
            "",
            str(result.cost),
        ]
    )


def _line(name: str, trained: Trained, fresh: float) -> str:
    return f"{name:<26}{trained.score:>10.2f}{trained.metrics['test']:>22.2f}{fresh:>20.2f}"


def _parser() -> Parser:
    made = parser("rl", "Population Based Training of actor-critics.")
    add = made.add_argument
    add("--preset", choices=("small", "study", "paper"), default="small", help="its size (default: %(default)s)")
    add(
        "--env",
        help="an environment with discrete actions, such as Acrobot-v1, MiniGrid-Empty-5x5-v0 or ALE/Breakout-v5",
    )
    add("--agent", choices=("a2c", "unreal", "feudal"), default="a2c", help="what learns (default: %(default)s)")
    return made
