"""PBT against random search and against selection alone on digits whose labels are noisy and change their meaning."""

from __future__ import annotations

import argparse
from pathlib import Path

import sklearn
from _common import save, show

from warren.comparison import Seeded, compare
from warren.comparison.telling import compute_table, differences_table, record, sentence, values_table
from warren.strategies import PBT, RandomSearch
from warren.zoo.digits.mlp import space
from warren.zoo.digits.noisy import Shifting

STRATEGIES = {
    "pbt": PBT(drift_free=True),
    "random": RandomSearch(),
    "selection": PBT(explore="none"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--population", type=int, default=12)
    parser.add_argument("--intervals", type=int, default=30)
    parser.add_argument("--store", type=Path, default=None, help="keep the runs there, and go on with them")
    options = parser.parse_args()

    compared = compare(
        Seeded(make=lambda seed: Shifting(seed=seed).task()),
        space=space(),
        goal="min",
        held_out="test",
        held_out_goal="max",
        strategies=STRATEGIES,
        primary="random",
        population=options.population,
        intervals=options.intervals,
        seeds=options.seeds,
        retrain=0,
        store=options.store,
        workers=1,
    )
    print(
        f"Digits, 30 % of the labels wrong where it trains and selects, classes renamed before intervals 9 and 21; "
        f"{options.population} members, {options.intervals} intervals, {options.seeds} paired seeds. Test accuracy of "
        "the member with the lowest validation loss at the end.\n"
    )
    print(sentence(compared))
    show("The difference", *differences_table(compared))
    show("Test accuracy", *values_table(compared))
    show("Compute", *compute_table(compared))
    random, selection = compared.contrasts
    holds = random.verdict == "better" and selection.verdict == "no evidence"
    print(
        f"\nPBT beats random search ({random.verdict}), and selection alone does as well ({selection.verdict}): "
        f"{'holds' if holds else 'DOES NOT HOLD'}"
    )
    save("noisy_digits", {"scikit-learn": sklearn.__version__, "holds": holds, **record(compared)})
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
