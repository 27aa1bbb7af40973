"""The deceptive toy over 50 seeds: what greed costs PBT, and what MF-PBT and FIRE PBT do about it."""

from __future__ import annotations

import argparse
from functools import partial

import numpy as np
from _common import save, show

from warren.simulation import deceptive, simulate
from warren.strategies import PBT, Perturb, RandomSearch, Strategy, Truncation
from warren.strategies.fire import FIREPBT
from warren.strategies.mfpbt import MFPBT

POPULATION = 22
TWO = Perturb(factors=(0.5, 2.0))
EVERY = (1, 2, 3, 5, 7, 10, 25)


def final(strategy: Strategy, seed: int) -> float:
    """The true score of the member that looks best at the end."""
    return simulate(deceptive(), strategy, population=POPULATION, seed=seed).true


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    seeds = range(parser.parse_args().seeds)

    pbt = partial(PBT, exploit=Truncation(fraction=0.25), explore=TWO)
    guarded = {
        "MF-PBT, f = (1, 5, 10)": MFPBT(frequencies=(1, 5, 10), explore=TWO),
        "MF-PBT, f = (1, 10, 25, 50)": MFPBT(frequencies=(1, 10, 25, 50), explore=TWO),
        "FIRE PBT, 8 + 8 + 6": FIREPBT(shares=(8, 8, 6), explore=TWO),
    }
    strategies: dict[str, Strategy] = {
        "random search": RandomSearch(),
        **{f"PBT, every {every}": pbt(every=every) for every in EVERY},
        **guarded,
    }
    simulated = {
        "random search": 1.047,
        "PBT, every 1": 0.905,
        "PBT, every 5": 1.183,
        "MF-PBT, f = (1, 5, 10)": 1.184,
        "FIRE PBT, 8 + 8 + 6": 1.170,
    }
    found = {name: np.array([final(strategy, seed) for seed in seeds]) for name, strategy in strategies.items()}
    control = found["random search"]
    numbers = {
        name: {
            "median": float(np.median(scores)),
            "percentile_10": float(np.percentile(scores, 10)),
            "lowest": float(scores.min()),
            "wins": float(np.mean(scores > control)),
        }
        for name, scores in found.items()
    }
    best = max((f"PBT, every {every}" for every in EVERY), key=lambda name: numbers[name]["median"])
    show(
        f"Deceptive toy, {POPULATION} members, {len(seeds)} seeds: score at the end, the best there is 1.2",
        ("strategy", "median", "10 %", "lowest", "beats random search", "on the fact page"),
        [
            (
                f"{name} (PBT's best)" if name == best else name,
                *(f"{one[part]:.4f}" for part in ("median", "percentile_10", "lowest")),
                f"{100 * one['wins']:.0f} %",
                f"{simulated[name]:.3f}" if name in simulated else "",
            )
            for name, one in numbers.items()
        ],
    )
    held = []
    print()
    for name in guarded:
        holds = numbers[name]["median"] >= 1.15 and numbers[name]["wins"] >= 0.95
        held.append(holds)
        print(f"{name}: median >= 1.15, and beats random search in >= 95 %: {'holds' if holds else 'DOES NOT HOLD'}")
    save("deceptive", {"seeds": len(seeds), "holds": all(held), "best_pbt": best, **numbers})
    return 0 if all(held) else 1


if __name__ == "__main__":
    raise SystemExit(main())
