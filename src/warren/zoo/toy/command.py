"""What ``warren demo toy`` does: the four panels over some seeds as a table, and one seed as a picture."""

from __future__ import annotations

import numpy as np

from warren.errors import InvalidValue, MissingExtra
from warren.zoo.options import Parser, positive
from warren.zoo.toy.figure2 import PANELS, run_panel
from warren.zoo.toy.picture import draw
from warren.zoo.toy.tasks import PEAK


def main(arguments: list[str]) -> int:
    """Print the table, and write the picture.

    Args:
        arguments: Options as on the command line.

    Returns:
        The exit code.

    Raises:
        InvalidValue: An option breaks a rule, or the picture cannot be written where it was asked for.
    """
    options = _parser().parse_args(arguments)
    outcomes = {
        panel: [run_panel(panel, seed, synchronous=options.synchronous) for seed in range(options.seeds)]
        for panel in PANELS
    }
    print(f"Figure 2 over {options.seeds} seeds; Q of the better member after 200 steps, regret = {PEAK} - Q\n")
    print(f"{'panel':<14}{'median Q':>10}{'lowest Q':>10}{'median regret':>15}")
    for panel, found in outcomes.items():
        best = np.array([outcome.best for outcome in found])
        print(f"{panel:<14}{np.median(best):>10.5f}{best.min():>10.5f}{PEAK - np.median(best):>15.2e}")
    try:
        draw({panel: found[0] for panel, found in outcomes.items()}, options.report)
        print(f"\nThe paths of seed 0: {options.report}")
    except MissingExtra as missing:
        print(f"\nNo picture: {missing}")
    except OSError as error:
        raise InvalidValue(f"--report {options.report} cannot be written: {error.strerror}") from None
    return 0


def _parser() -> Parser:
    parser = Parser(prog="warren demo toy", description="Figure 2 of the paper in four panels.")
    parser.add_argument("--seeds", type=positive, default=5, help="runs of each panel (default: %(default)s)")
    parser.add_argument("--synchronous", action="store_true", help="members wait for each other")
    parser.add_argument("--report", default="toy.html", help="file of the picture (default: %(default)s)")
    return parser
