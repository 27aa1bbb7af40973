"""A population of low-rank adapters with crossover: the form of PopuLoRA, on a network small enough for NumPy.

    python adapters.py                 # some seconds

The base network is frozen and shared; a member's state is its adapters alone (LoRA, Hu et al. 2021: each layer's
matrix W becomes W + B A, with B and A of a low rank), so that checkpoints are small. The strategy is one of
a page: the worse half of the members go on from a crossover of two of the better half. A hook of its own
takes each layer's pair B, A from one parent or the other as a whole, since half of a product is worth nothing.

It prints the error of the frozen network, of the best adapters without selection, by PBT and with crossover (median and
range over three seeds), and what a state holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

import warren
from warren.strategies import Perturb
from warren.strategies.hooks import Combines, Hook
from warren.strategies.moves import assign, begin_all, keep, rescue
from warren.strategies.standing import ranked

RANK, SIZES = 2, (16, 32, 4)
_rng = np.random.default_rng(0)
BASE = [_rng.normal(0, into**-0.5, (out, into)) for into, out in pairwise(SIZES)]
# What the adapters have to find: the base network, changed in two directions a layer.
TARGET = [w + 0.8 * _rng.normal(size=(len(w), RANK)) @ _rng.normal(size=(RANK, w.shape[1])) / w.shape[1] for w in BASE]
INPUTS = _rng.normal(size=(600, SIZES[0]))
ANSWERS = np.tanh(INPUTS @ TARGET[0].T) @ TARGET[1].T


def adapted(adapters):
    return [w + pair["b"] @ pair["a"] for w, pair in zip(BASE, adapters, strict=True)]


def error(weights, rows):
    return float(np.mean((np.tanh(INPUTS[rows] @ weights[0].T) @ weights[1].T - ANSWERS[rows]) ** 2))


def train(slot: warren.Slot) -> None:
    for member in slot:
        adapters = (member.state or {}).get("adapters") or [
            {"a": member.rng.normal(0, 0.3, (RANK, w.shape[1])), "b": np.zeros((len(w), RANK))} for w in BASE
        ]
        for _ in range(10):
            rows = member.rng.integers(0, 400, 32)
            first, second = adapted(adapters)
            hidden = np.tanh(INPUTS[rows] @ first.T)
            wrong = 2 * (hidden @ second.T - ANSWERS[rows]) / len(rows)
            back = (wrong @ second) * (1 - hidden**2)
            for pair, slope in zip(adapters, (back.T @ INPUTS[rows], wrong.T @ hidden), strict=True):
                down, up = pair["b"].T @ slope, slope @ pair["a"].T
                pair["a"] = pair["a"] - member["lr"] * down
                pair["b"] = pair["b"] - member["lr"] * up
        member.state = {"adapters": adapters}
        weights = adapted(adapters)
        member.report(error(weights, slice(400, 500)), test=error(weights, slice(500, 600)))


def layers(states, hyperparameters, rng):
    """Each layer's pair from one of the parents."""
    draws = rng.numpy()
    parents = [state["state"]["adapters"] for state in states]
    return {"state": {"adapters": [pairs[int(draws.integers(len(pairs)))] for pairs in zip(*parents, strict=True)]}}


@dataclass(frozen=True, kw_only=True)
class Crossed(Combines):
    """The worse half go on from a crossover of two of the better half, with the first one's mutated hyperparameters."""

    explore: Perturb = field(default_factory=lambda: Perturb(factors=(0.8, 1.25)))
    every: int = 2

    @property
    def hooks(self):
        return {"layers": Hook(combine=layers)}

    def start(self, space, size, keys):
        return begin_all(space, size, keys, intervals=self.every)

    def decide(self, view, keys):
        if view.failing:
            return rescue(view, view.facts.scores, self.explore, keys, intervals=self.every)
        best = ranked(view, keys)
        better = best[: max(2, len(best) // 2)]
        if len(better) < 2 or view.due.member in [row.member for row in better]:
            return keep(intervals=self.every)
        drawn = keys.generator("parents").choice(len(better), 2, replace=False)
        one, other = (better[int(place)] for place in drawn)
        values = self.explore(view, dict(one.hyperparameters), keys)
        sources = (one.checkpoint, other.checkpoint)
        return assign(view, values, via="layers", sources=sources, intervals=self.every)


def adapt(strategy, population: int = 8, intervals: int = 60, seed: int = 0) -> warren.Result:
    space = {"lr": warren.Float(1e-3, 1.0, scale="log")}
    return warren.run(
        train, space=space, goal="min", population=population, intervals=intervals, strategy=strategy, seed=seed,
        synchronous=True, held_out="test",
    )  # fmt: skip


if __name__ == "__main__":
    print(f"the frozen network            test error {error(BASE, slice(500, 600)):.4f}")
    for name, strategy in {"no selection": warren.RandomSearch(), "PBT": warren.PBT(), "crossover": Crossed()}.items():
        runs = [adapt(strategy, seed=seed) for seed in range(3)]
        errors = [result.final[0].held_out for result in runs]
        print(f"adapters, {name:<18}  test error {np.median(errors):.4f} ({min(errors):.4f} to {max(errors):.4f})")
    result = runs[0]
    made = [row for row in result.intervals if len(row.parents) > 1]
    kept = sum(array.size for pair in result.best.state()["state"]["adapters"] for array in pair.values())
    print(f"{len(made)} crossovers; a state holds {kept} numbers, the network has {sum(w.size for w in BASE)}")
