"""The regime-switching quadratic over 40 seeds: PBT against random search where the best learning rate changes."""

from __future__ import annotations

import argparse

import numpy as np
from _common import save

from warren.strategies import PBT, RandomSearch, Truncation
from warren.zoo.toy.quadratic import resampling, run_regimes


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=40)
    seeds = range(parser.parse_args().seeds)

    strategies = {
        "random search": RandomSearch(),
        "selection alone": PBT(exploit=Truncation(fraction=0.25), explore="none"),
        "PBT": PBT(exploit=Truncation(fraction=0.25), drift_free=True),
        "PBT, resampling": resampling(),
    }
    simulated = {"random search": 0.161, "selection alone": 0.130, "PBT": 0.053, "PBT, resampling": 0.037}
    losses = {name: np.array([run_regimes(seed, strategy) for seed in seeds]) for name, strategy in strategies.items()}
    control = losses["random search"]
    numbers: dict[str, dict[str, float]] = {}
    print(f"True loss at the end of the member that looks best, {len(seeds)} seeds, geometric means\n")
    print(f"{'':<18}{'loss':>8}{'of random search':>18}{'wins':>8}{'on the fact page':>18}")
    for name, found in losses.items():
        mean = float(np.exp(np.mean(np.log(found))))
        ratio = mean / float(np.exp(np.mean(np.log(control))))
        wins = float(np.mean(found < control))
        numbers[name] = {"geometric_mean": mean, "ratio": ratio, "wins": wins}
        print(f"{name:<18}{mean:>8.4f}{ratio:>18.3f}{100 * wins:>6.0f} %{simulated[name]:>18.3f}")
    ratio, wins = numbers["PBT, resampling"]["ratio"], numbers["PBT, resampling"]["wins"]
    holds = ratio <= 0.4 and wins >= 0.9
    print(
        f"\nPBT with resampling ends at {ratio:.3f} <= 0.4 times random search and wins {100 * wins:.0f} % >= 90 %: "
        f"{'holds' if holds else 'DOES NOT HOLD'}"
    )
    save("regimes", {"seeds": len(seeds), "holds": holds, **numbers})
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
