"""Spread learning rates with averaging: HDET (Cheng et al. 2026), where replicas of one model try rates beside it.

    python spread_rates.py             # some seconds

Eight replicas start from one state. For some intervals each trains with the shared learning rate times a factor of its
own, from 2/3 to 4/3; then all go on from the mean of their weights, and the shared rate moves to where the replicas did
better. So a rate is tuned within one training, and the mean takes the noise out of the steps.

It prints the shared rate as it moves, and the error at the end: of the members one by one and of the mean of their
weights, for the replicas and for eight members that train alone at the rate that the replicas began with.
"""

from __future__ import annotations

import numpy as np

import warren
from warren.strategies import Averaging

SIZE, STEPS = 50, 20
TRUTH = np.random.default_rng(0).normal(size=SIZE)
WIDE = np.linspace(0.1, 1.0, SIZE)  # deviations of the inputs: some directions are learned slowly
FIRST_RATE = 0.01


def error(weights):
    """The expected squared error: no data, no noise."""
    return float(np.sum((WIDE * (weights - TRUTH)) ** 2))


def train(slot: warren.Slot) -> None:
    weights = np.zeros(SIZE)
    slot.track(weights=weights)
    for member in slot:
        for _ in range(STEPS):
            inputs = WIDE * member.rng.normal(size=SIZE)
            wrong = inputs @ (weights - TRUTH) + member.rng.normal()
            weights -= member["lr"] * wrong * inputs
        member.report(error(weights))


def spread(strategy, population: int = 8, intervals: int = 60, seed: int = 0) -> warren.Result:
    space = {"lr": warren.Float(1e-3, 0.1, scale="log")}
    return warren.run(
        train, space=space, goal="min", population=population, intervals=intervals, strategy=strategy, seed=seed,
        initial=[{"lr": FIRST_RATE}] * population, synchronous=True,
    )  # fmt: skip


def hdet() -> Averaging:
    return Averaging(spread=1 / 3, every=3)


def rates(result: warren.Result) -> list[float]:
    """The mean learning rate of the members in each interval."""
    every = {row.interval: [] for row in result.intervals}
    for row in result.intervals:
        every[row.interval].append(row.hyperparameters["lr"])
    return [float(np.mean(some)) for _, some in sorted(every.items())]


if __name__ == "__main__":
    averaged, alone = spread(hdet()), spread(warren.RandomSearch())
    moved = rates(averaged)
    print("mean rate:", "  ".join(f"{moved[i]:.4f} ({i + 1})" for i in range(0, len(moved), 10)))
    print(f"{'':<26}{'one by one':>12}{'their mean':>12}")
    for name, result in {"averaged all along": averaged, "alone, at the first rate": alone}.items():
        together = np.mean([one.state()["weights"] for one in result.final], axis=0)
        print(f"{name:<26}{np.mean([one.score for one in result.final]):>12.3f}{error(together):>12.3f}")
