"""Any strategy on the hill of Figure 2, with a population that is large enough for it."""

from __future__ import annotations

from warren import runs
from warren.space import Float
from warren.strategies import Strategy
from warren.zoo.quiet import quiet
from warren.zoo.toy.tasks import HILL_BY_FOURS

POPULATION = 16
"""Members, where nothing else is said."""

PUBLISHED = {"PB2": 4, "PB2Mix": 4, "BGPBT": 8, "SEARL": 10, "FIREPBT": 22}
"""Members of strategies that were published with others; fits of Gaussian processes take long for more."""

INTERVALS = 50


def run_strategy(strategy: Strategy, seed: int, *, population: int = POPULATION, synchronous: bool = False) -> float:
    """Run a strategy for 200 steps with one worker, in memory; it decides after every fourth step.

    Members begin with h drawn from [0, 1]^2, since most strategies multiply, and two that begin at (1, 0) and (0, 1)
    could never leave their zeros.

    Args:
        strategy: Who decides.
        seed: Keys every draw.
        population: Members.
        synchronous: Members wait for each other.

    Returns:
        Q of the best member after the last step, of those that came to it.
    """
    result = runs.run(
        HILL_BY_FOURS,
        space={"h0": Float(0.0, 1.0), "h1": Float(0.0, 1.0)},
        goal="max",
        population=population,
        intervals=INTERVALS,
        strategy=strategy,
        seed=seed,
        synchronous=synchronous,
        watch=quiet,
    )
    return max(row.score for row in result.intervals if row.interval == INTERVALS and row.score is not None)
