"""What ``warren demo ppo`` does: trains a population of agents, and plays fresh episodes with the best."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warren.results import Schedule
from warren.zoo.demonstrate import Live, demonstrate, needs, parser, schedule_lines
from warren.zoo.options import Parser

if TYPE_CHECKING:
    from warren.results import Result, Trained
    from warren.zoo.ppo.agent import Ppo

FRESH = 100
"""Episodes that the best are measured on at the end; neither training nor selection has seen them."""

SOLVED = {"CartPole-v1": 475.0}
"""Mean returns from which on an environment counts as solved (CartPole-v1: Gymnasium's reward threshold)."""


def main(arguments: list[str], *, live: Live) -> int:
    """Run the demo.

    Args:
        arguments: Options as on the command line.
        live: Makes the live view.

    Returns:
        The exit code.

    Raises:
        MissingExtra: JAX, optax or gymnax is not installed.
        InvalidValue: An option breaks a rule, or there is no such environment.
        RunMismatch: The store holds a run with other settings.
    """
    options = _parser().parse_args(arguments)
    needs("ppo", "jax", "optax", "gymnax")
    from warren.zoo.ppo.agent import Ppo
    from warren.zoo.ppo.presets import PRESETS

    make = PRESETS[options.preset]
    workload = make() if options.env is None else make(options.env)
    ppo = workload.make(0).init.__self__
    assert isinstance(ppo, Ppo)
    demonstrate(workload, options, live=live, summary=lambda result: summary(result, ppo))
    return 0


def summary(result: Result, ppo: Ppo) -> str:
    """What came out, for the terminal.

    Args:
        result: The run.
        ppo: Its task.
    """
    import jax

    # Of the final states, since many a state scores the most there is, and the first that did was lucky.
    schedule = Schedule.of(result.lineage(result.final[0]))
    play = jax.jit(lambda params, key: ppo.returns(params, key, FRESH))

    def line(name: str, trained: Trained, key: int) -> tuple[str, float]:
        params = trained.state()["state"]["params"]
        fresh = float(play(params, jax.random.key(key)).mean())
        return f"{name:<26}{trained.score:>10.1f}{trained.metrics['test']:>22.1f}{fresh:>20.1f}", fresh

    final, fresh = line("best of the final states", result.final[0], 1)
    best, _ = line("best of the whole run", result.best, 2)
    lines = [
        "",
        "Mean returns of episodes; all but the first column were never learned from or selected on:",
        f"{'':<26}{'learning':>10}{f'test, {ppo.episodes} episodes':>22}{f'{FRESH} fresh ones':>20}",
        final,
        best,
    ]
    goal = SOLVED.get(ppo.env)
    if goal is not None:
        solved = "is" if fresh >= goal else "is not"
        lines += [f"{ppo.env} {solved} solved by the best of the final states: that takes {goal:g} in fresh episodes."]
    return "\n".join(
        [
            *lines,
            "",
            *schedule_lines(schedule, "the best of the final states"),
            "",
            str(result.cost),
        ]
    )


def _parser() -> Parser:
    made = parser("ppo", "Population Based Training of PPO agents, all of them as one program in JAX.")
    add = made.add_argument
    add("--preset", choices=("small", "study", "paper"), default="small", help="its size (default: %(default)s)")
    add("--env", help="an environment of gymnax with counted actions, such as Acrobot-v1 or Breakout-MinAtar")
    return made
