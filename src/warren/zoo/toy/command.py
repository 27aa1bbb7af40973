"""What ``warren demo toy`` does: the four panels as a table and a picture, or another strategy on the same hill."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import numpy as np

from warren.errors import InvalidValue, MissingExtra
from warren.strategies import Strategy, named
from warren.zoo.demonstrate import Live
from warren.zoo.options import Parser, positive
from warren.zoo.toy.figure2 import PANELS, run_panel
from warren.zoo.toy.others import POPULATION, PUBLISHED, run_strategy
from warren.zoo.toy.picture import draw
from warren.zoo.toy.tasks import PEAK


def main(arguments: list[str], *, live: Live) -> int:
    """Print the table, and write the picture.

    Args:
        arguments: Options as on the command line.
        live: Makes a live view; not used, since each run takes a quarter of a second.

    Returns:
        The exit code.

    Raises:
        UnknownName: There is no strategy of that name.
        InvalidValue: An option breaks a rule, or the picture cannot be written where it was asked for.
    """
    options = _parser().parse_args(arguments)
    if options.strategy is not None:
        _print_strategy(named(options.strategy), options)
        return 0
    outcomes = {
        panel: [run_panel(panel, seed, synchronous=options.synchronous) for seed in range(options.seeds)]
        for panel in PANELS
    }
    print(f"Figure 2 over {options.seeds} seeds; Q of the better member after 200 steps, regret = {PEAK} - Q\n")
    _print_table("panel", {panel: [outcome.best for outcome in found] for panel, found in outcomes.items()})
    try:
        draw({panel: found[0] for panel, found in outcomes.items()}, options.report)
        print(f"\nThe paths of seed 0: {options.report}")
    except MissingExtra as missing:
        print(f"\nNo picture: {missing}")
    except OSError as error:
        raise InvalidValue(f"--report {options.report} cannot be written: {error.strerror}") from None
    return 0


def _print_strategy(strategy: Strategy, options: argparse.Namespace) -> None:
    name = type(strategy).__name__
    population = options.population or PUBLISHED.get(name, POPULATION)
    best = [
        run_strategy(strategy, seed, population=population, synchronous=options.synchronous)
        for seed in range(options.seeds)
    ]
    print(
        f"The hill of Figure 2 over {options.seeds} seeds, {population} members that begin with h in [0, 1]; Q of the "
        f"best after 200 steps, regret = {PEAK} - Q\n"
    )
    _print_table("strategy", {name: best})


def _print_table(title: str, outcomes: Mapping[str, Sequence[float]]) -> None:
    width = max(14, *(len(name) + 2 for name in outcomes))
    print(f"{title:<{width}}{'median Q':>10}{'lowest Q':>10}{'median regret':>15}")
    for name, best in outcomes.items():
        print(f"{name:<{width}}{np.median(best):>10.5f}{min(best):>10.5f}{PEAK - np.median(best):>15.2e}")


def _parser() -> Parser:
    parser = Parser(prog="warren demo toy", description="Figure 2 of the paper in four panels.")
    parser.add_argument("--seeds", type=positive, default=5, help="runs of each panel (default: %(default)s)")
    parser.add_argument("--synchronous", action="store_true", help="members wait for each other")
    parser.add_argument("--strategy", metavar="NAME", help="run this one instead; warren strategies lists them")
    parser.add_argument(
        "--population", type=positive, help=f"members, with --strategy (default: {POPULATION}, or as published)"
    )
    parser.add_argument("--report", default="toy.html", help="file of the picture (default: %(default)s)")
    return parser
