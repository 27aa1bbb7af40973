"""Where nothing differs, how often a comparison says so: nominally in 95 of 100; whatever the noise looks like."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from _common import save, show

import warren
from warren.comparison import Compared, Design, Reached, Replicate, compare
from warren.comparison import statistics as of
from warren.space import Space
from warren.strategies import PBT, RandomSearch
from warren.strategies.controls import Cosine, SuccessiveHalving

SPACE = {"lr": warren.Float(1e-3, 1.0, scale="log")}
STRATEGIES = {
    "pbt": PBT(),
    "cosine": Cosine(),
    "random": RandomSearch(),
    "no-explore": PBT(explore="none"),
    "no-exploit": PBT(exploit="none", explorers="ready"),
    "halving": SuccessiveHalving(),
}

NOISES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "heavy tails (Student's t, 3)": lambda rng, n: rng.standard_t(3, size=n),
    "skewed (exponential)": lambda rng, n: rng.exponential(size=n),
    "accuracies of 360 images": lambda rng, n: rng.binomial(360, 0.92, size=n) / 360,
    "one run in ten fails": lambda rng, n: np.where(rng.random(n) < 0.1, -8.0, 0.0) + rng.normal(size=n),
}


def synthetic(
    noise: Callable[[np.random.Generator, int], np.ndarray], seeds: int, rng: np.random.Generator
) -> Compared:
    """A comparison whose runs differ by noise alone: a part that a seed's runs share, and one of each run's own."""
    shared = noise(rng, seeds)
    arms = {name: warren.comparison.Arm(strategy=strategy) for name, strategy in STRATEGIES.items()}
    design = Design(
        arms=arms, candidate="pbt", primary="cosine", population=8, intervals=10, budget=80.0, seeds=seeds,
        seed=int(rng.integers(2**31)), goal="max", held_out="test", held_out_goal="max", retrain=0, space=Space(SPACE),
    )  # fmt: skip
    runs = {
        name: [
            Replicate(
                arm=name, seed=seed, final=Reached(score=value, held_out=value), best=None, members=(), cost=80.0,
                beyond=0.0, intervals=80, seconds=0.0, wall=0.0, course=(), schedule=(), uneven=False,
            )
            for seed, value in enumerate((shared + noise(rng, seeds)).tolist())
        ]
        for name in arms
    }  # fmt: skip
    return Compared(design, runs)


def init(seed: int, hyperparameters: dict[str, float]) -> dict[str, np.ndarray]:
    return {"nothing": np.zeros(1)}


def train_interval(state: dict[str, np.ndarray], hyperparameters: dict[str, float], rng: object) -> object:
    return state


def evaluate(state: dict[str, np.ndarray], rng: warren.training.Rng) -> tuple[float, dict[str, float]]:
    score, test = rng.numpy().normal(size=2).tolist()
    return score, {"test": test}


TASK = warren.Task(init=init, train_interval=train_interval, evaluate=evaluate)


def real(seed: int, seeds: int) -> Compared:
    """A comparison that is carried out, on a task in which nothing that a strategy does matters."""
    return compare(
        TASK,
        space=SPACE,
        goal="max",
        held_out="test",
        strategies={name: STRATEGIES[name] for name in ("pbt", "cosine", "random")},
        population=4,
        intervals=4,
        seeds=seeds,
        seed=seed,
        retrain=0,
        tell=lambda line: None,
    )


def told(compared: list[Compared]) -> dict[str, float]:
    """How often the verdict is that there is no evidence, and how often no other contrast is flagged either."""
    return {
        "no_evidence": float(np.mean([one.verdict == "no evidence" for one in compared])),
        "others_quiet": float(
            np.mean([all(c.verdict == "no evidence" for c in one.contrasts[1:]) for one in compared])
        ),
        "comparisons": len(compared),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--comparisons", type=int, default=1000)
    parser.add_argument("--real", type=int, default=500)
    options = parser.parse_args()

    results: dict[str, dict[str, float]] = {}
    for name, noise in NOISES.items():
        for seeds in (10, 15, 20, 30):
            rng = np.random.default_rng([seeds, len(name)])
            results[f"{name}, {seeds} seeds"] = told([synthetic(noise, seeds, rng) for _ in range(options.comparisons)])
    carried_out = [real(seed * 1000, 10) for seed in range(options.real)]
    results["runs of a task that is noise, 10 seeds"] = told(carried_out)
    show(
        "Comparisons in which nothing differs",
        ["noise", "comparisons", "no evidence", "no other flagged"],
        [
            [name, f"{one['comparisons']:.0f}", f"{one['no_evidence']:.1%}", f"{one['others_quiet']:.1%}"]
            for name, one in results.items()
        ],
    )
    holds = all(one["no_evidence"] >= 0.93 for one in results.values())
    print(f"\nNo evidence in at least 93 % of each: {'holds' if holds else 'DOES NOT HOLD'}")
    save("null", {"holds": holds, "resampled_from": of.RESAMPLED_FROM, **results})
    return 0 if holds else 1


if __name__ == "__main__":
    raise SystemExit(main())
