"""PBT against random search on the digits with a small MLP, in 20 pairs that begin alike; whatever comes out."""

from __future__ import annotations

import argparse
import math

import numpy as np
import sklearn
from _common import save
from scipy import stats

from warren.strategies import PBT, RandomSearch
from warren.zoo.digits.mlp import run_mlp


def interval(differences: np.ndarray) -> tuple[float, float, float]:
    """Mean of paired differences with its 95 % interval by Student's t."""
    n, mean = len(differences), float(np.mean(differences))
    half = float(stats.t.ppf(0.975, n - 1)) * float(np.std(differences, ddof=1)) / math.sqrt(n)
    return mean, mean - half, mean + half


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--population", type=int, default=12)
    parser.add_argument("--intervals", type=int, default=30)
    options = parser.parse_args()

    print(
        f"{options.pairs} pairs with {options.population} members and {options.intervals} intervals each. Both of a "
        "pair have the same split of\nthe data, the same first hyperparameters and the same first weights. The last "
        "state with the lowest\nvalidation loss counts; the test part is used for nothing but these numbers.\n"
    )
    print(f"{'pair':>4}{'PBT loss':>12}{'random loss':>13}{'PBT test':>12}{'random test':>13}{'difference':>12}")
    rows = []
    for pair in range(options.pairs):
        row: list[float] = []
        for strategy in (PBT(), RandomSearch()):
            best = run_mlp(pair, strategy, population=options.population, intervals=options.intervals)
            row += [float("nan") if best.score is None else best.score, best.metrics["test"]]
        rows.append(row)
        print(f"{pair:>4}{row[0]:>12.4f}{row[2]:>13.4f}{row[1]:>12.4f}{row[3]:>13.4f}{row[1] - row[3]:>+12.4f}")
    table = np.array(rows)
    numbers = {}
    print()
    for name, difference in (
        ("test accuracy", table[:, 1] - table[:, 3]),
        ("validation loss", table[:, 0] - table[:, 2]),
    ):
        mean, low, high = interval(difference)
        better = int(np.sum(difference > 0 if name == "test accuracy" else difference < 0))
        same = int(np.sum(difference == 0))
        numbers[name.replace(" ", "_")] = {"mean": mean, "low": low, "high": high, "pbt_better": better, "same": same}
        print(
            f"{name}, PBT minus random search: {mean:+.4f}, 95 % interval [{low:+.4f}, {high:+.4f}]; "
            f"PBT better in {better}, alike in {same} of {len(difference)}"
        )
    save(
        "digits_pairs",
        {
            "scikit-learn": sklearn.__version__,
            "pairs": options.pairs,
            "population": options.population,
            "intervals": options.intervals,
            **numbers,
        },
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
