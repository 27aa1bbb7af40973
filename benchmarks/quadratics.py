"""Both noisy quadratics: strategies and controls beside each other, and beside the figures that are published of them.

Geometric means of the true loss at the end of the member that looks best, 16 members, simulated.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from _common import save, show

from warren.population import Keys, Plan, View
from warren.simulation import Quadratic, noisy, regimes
from warren.simulation.study import Case, study
from warren.space import Space
from warren.strategies import PBT, Perturb, RandomSearch, Strategy, Truncation
from warren.strategies.controls import Cosine
from warren.strategies.explore import explored
from warren.strategies.moves import begin_all, keep, train_on
from warren.strategies.standing import worst

QUARTER = Truncation(fraction=0.25)
STEPS = Perturb(factors=(0.8, 1.25))


@dataclass(frozen=True, kw_only=True)
class Drift:
    """The mutations of PBT without its copies: whoever would copy mutates what it has."""

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        return begin_all(space, size, keys)

    def decide(self, view: View, keys: Keys) -> Plan:
        place, fitness = view.place, view.facts.scores
        if view.failing or place is None or not worst(view, fitness, keys, max(1, len(fitness) // 4))[place]:
            return keep()
        return train_on(view, explored(STEPS, view, view.due.hyperparameters, keys))


STRATEGIES: Mapping[str, Strategy] = {
    "PBT, 25 % resampling": PBT(exploit=QUARTER, explore=Perturb(factors=(0.8, 1.25), resample=0.25)),
    "PBT": PBT(exploit=QUARTER, explore=STEPS),
    "hyperparameters only": PBT(exploit=QUARTER, explore=STEPS, copy="hyperparameters"),
    "weights only": PBT(exploit=QUARTER, explore=STEPS, copy="weights"),
    "selection alone": PBT(exploit=QUARTER, explore="none"),
    "drift": Drift(),
    "random search": RandomSearch(),
    "random search with cosine": Cosine(),
}
PUBLISHED: Mapping[str, Mapping[str, float]] = {
    "regimes": {
        "PBT, 25 % resampling": 0.037, "PBT": 0.053, "selection alone": 0.130, "random search": 0.161,
        "random search with cosine": 0.142,
    },
    "noisy": {
        "PBT": 0.021, "hyperparameters only": 0.025, "weights only": 0.047, "selection alone": 0.074, "drift": 0.086,
        "random search": 0.080, "random search with cosine": 0.022,
    },
}  # fmt: skip
"""Each over 40 seeds of its own."""


def selection(seed: int) -> float:
    """Selection alone on the regimes once more, in plain NumPy and by nothing of warren: its true final loss."""
    rng = np.random.default_rng([seed, 1])
    curvature = np.logspace(-1, 0, 20)
    theta, rates, centre = rng.normal(0, 3, (16, 20)), 10 ** rng.uniform(-3, 0, 16), np.zeros(20)
    jumps = rng.choice(np.arange(8, 48), 2, replace=False)
    for interval in range(60):
        if interval in jumps:
            centre = rng.normal(0, 3, 20)
        for _ in range(10):
            noise = np.sqrt(curvature) * rng.normal(size=(16, 20))
            theta = theta - rates[:, None] * (curvature * (theta - centre) + noise)
        loss = 0.5 * (curvature * (theta - centre) ** 2).sum(1)
        seen = loss * np.exp(0.1 * rng.normal(size=16))
        order = np.argsort(seen)
        if interval < 59:
            for worst in order[-4:]:
                donor = rng.choice(order[:4])
                theta[worst], rates[worst] = theta[donor], rates[donor]
    return float(loss[order[0]])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=40, help="of the comparison with the published figures")
    parser.add_argument("--more", type=int, default=200, help="seeds that tell what chance leaves of a difference")
    options = parser.parse_args()
    learners: Mapping[str, Callable[[int], Quadratic]] = {"regimes": regimes, "noisy": noisy}
    results = {
        name: _measured(name, learner, options.seeds, max(options.seeds, options.more))
        for name, learner in learners.items()
    }
    logs = np.log([selection(seed) for seed in range(options.more)])
    plainly = {
        "geometric_mean": float(np.exp(logs.mean())),
        "standard_error": float(logs.std(ddof=1) / len(logs) ** 0.5),
    }
    print(
        f"\nselection alone on the regimes, written anew in NumPy, {options.more} seeds: "
        f"{plainly['geometric_mean']:.4f}, error {100 * plainly['standard_error']:.0f} %"
    )
    save("quadratics", {"selection_in_numpy": plainly, "seeds": options.seeds, "more": options.more, **results})
    return 0


def _measured(name: str, learner: Callable[[int], Quadratic], seeds: int, more: int) -> dict[str, dict[str, float]]:
    lines = study(learner, {one: Case(strategy=strategy) for one, strategy in STRATEGIES.items()}, range(more))
    control = np.log(next(line.runs.regrets for line in lines if line.name == "random search"))
    found: dict[str, dict[str, float]] = {}
    rows = []
    for line in lines:
        logs = np.log(line.runs.regrets)
        published = PUBLISHED[name].get(line.name)
        error = float(logs.std(ddof=1))
        numbers = {
            "geometric_mean": float(np.exp(logs[:seeds].mean())),
            "geometric_mean_more": float(np.exp(logs.mean())),
            "standard_error": error / np.sqrt(seeds),
            "wins": float(np.mean(logs < control)),
        }
        row = [line.name, f"{numbers['geometric_mean']:.4f}", f"{100 * numbers['standard_error']:.0f} %"]
        row += [f"{numbers['geometric_mean_more']:.4f}", f"{100 * numbers['wins']:.0f} %"]
        if published is not None:
            # The published figure has the same error as one of as many seeds here.
            apart = (logs.mean() - np.log(published)) / (error * np.sqrt(1 / more + 1 / 40))
            numbers |= {"published": published, "ratio": numbers["geometric_mean"] / published, "apart": float(apart)}
            row += [f"{published:.3f}", f"{numbers['ratio']:.2f}", f"{apart:+.1f}"]
        found[line.name] = numbers
        rows.append(row + [""] * (8 - len(row)))
    header = [
        "strategy", f"{seeds} seeds", "error", f"{more} seeds", "beats random", "published", "ratio", "errors apart",
    ]  # fmt: skip
    show(f"{name}: geometric mean of the final loss", header, rows)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
