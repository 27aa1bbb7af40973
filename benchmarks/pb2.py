"""PB2 against PBT on small slopes where it wins and where it loses, on paired seeds and simulated time.

A member's theta shrinks towards 0 at a speed that its hyperparameters set, the best being the smallest ones: the plain
slope of `warren.simulation`, in one or four dimensions, with noise on the scores, or with an optimum that moves.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one process a core

import numpy as np
from _common import save, show

from warren.population import Goal
from warren.simulation import Measured, simulate
from warren.space import Float, Space
from warren.strategies import PBT, Perturb, Strategy, Truncation
from warren.strategies.pb2 import PB2
from warren.training import Rng

PEAK, MEMBERS, STEPS = 1.2, 4, 20
EXPLOIT = Truncation(fraction=0.25, donors=1)
STRATEGIES: dict[str, Strategy] = {
    "PB2": PB2(warmup=0),
    "PBT 0.8/1.2": PBT(exploit=EXPLOIT, warmup=0),
    "PBT 0.5/2": PBT(exploit=EXPLOIT, explore=Perturb(factors=(0.5, 2.0)), warmup=0),
}


@dataclass(frozen=True, kw_only=True)
class Slopes:
    """Q = 1.2 - mean(theta^2); a step takes 0.002 (2 - abs(h - c)) of each theta; h starts in U(0.9, 1.1).

    Args:
        dimensions: Coordinates of theta, each with an h of its own.
        moving: The optimum c goes from 0 to 1.1 and back in 25 intervals; else it stays at 0.
    """

    dimensions: int = 1
    moving: bool = False
    intervals: int = 50
    goal: Goal = "max"
    optimum: float = PEAK

    @property
    def space(self) -> Space:
        return Space({f"h{i}": Float(1e-4, 1.1) for i in range(self.dimensions)})

    def initial(self, population: int, seed: int) -> Sequence[Mapping[str, Any]]:
        drawn = np.random.default_rng(seed).uniform(0.9, 1.1, (population, self.dimensions))
        return [{f"h{i}": float(h) for i, h in enumerate(row)} for row in drawn]

    def begin(self, seed: int) -> dict[str, Any]:
        return {"theta": np.full(self.dimensions, 0.9)}

    def train(
        self, state: dict[str, Any], hyperparameters: Mapping[str, Any], interval: int, rng: Rng
    ) -> dict[str, Any]:
        h = np.array([hyperparameters[f"h{i}"] for i in range(self.dimensions)])
        centre = 0.55 * (1.0 - math.cos(2.0 * math.pi * interval / 25)) if self.moving else 0.0
        return {"theta": state["theta"] * (1.0 - 0.002 * (2.0 - np.abs(h - centre))) ** STEPS}

    def score(self, state: dict[str, Any], interval: int, rng: Rng) -> Measured:
        score = PEAK - float(np.mean(state["theta"] ** 2))
        return Measured(observed=score, true=score)


CASES: dict[str, tuple[Slopes, float]] = {
    "plain": (Slopes(), 0.0),
    "score noise 0.01": (Slopes(), 0.01),
    "four dimensions": (Slopes(dimensions=4), 0.0),
    "four dimensions, noise": (Slopes(dimensions=4), 0.01),
    "moving optimum": (Slopes(moving=True), 0.0),
}


def regret(job: tuple[str, str, int]) -> float:
    """What the member that looks best at the end is below the peak."""
    case, strategy, seed = job
    learner, noise = CASES[case]
    return PEAK - simulate(learner, STRATEGIES[strategy], population=MEMBERS, seed=seed, noise=noise).true


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    seeds = range(parser.parse_args().seeds)

    jobs = [(case, strategy, seed) for case in CASES for strategy in STRATEGIES for seed in seeds]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found = dict(zip(jobs, pool.map(regret, jobs), strict=True))
    numbers: dict[str, dict[str, dict[str, float]]] = {}
    for case in CASES:
        own = np.array([found[case, "PB2", seed] for seed in seeds])
        for strategy in STRATEGIES:
            regrets = np.array([found[case, strategy, seed] for seed in seeds])
            numbers.setdefault(case, {})[strategy] = {
                "median_regret": float(np.median(regrets)),
                "pb2_is_better": float(np.mean(own < regrets)),
            }
    show(
        f"Median regret after {CASES['plain'][0].intervals} intervals of {STEPS} steps, {MEMBERS} members, seeds 0 to "
        f"{len(seeds) - 1}; share of seeds in which PB2's is smaller",
        ["slope", *STRATEGIES, *(f"PB2 better than {name}" for name in list(STRATEGIES)[1:])],
        [
            [
                case,
                *(f"{one['median_regret']:.2e}" for one in rows.values()),
                *(f"{100 * one['pb2_is_better']:.0f} %" for one in list(rows.values())[1:]),
            ]
            for case, rows in numbers.items()
        ],
    )
    holds = numbers["plain"]["PBT 0.8/1.2"]["pb2_is_better"] >= 0.8
    print(f"\nplain: PB2 beats PBT 0.8/1.2 in at least 80 % of seeds: {'holds' if holds else 'DOES NOT HOLD'}")
    save("pb2", {"seeds": len(seeds), "holds": holds, "cases": numbers})
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
