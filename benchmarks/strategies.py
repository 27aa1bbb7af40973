"""Every strategy on every small task: the table in docs/strategies.md, which this command writes.

Synthetic tasks run on simulated time, the digits as real runs in memory. Each run is kept in the file of results when
it is over, so that the command goes on where it was stopped. Strategies have their published settings; where the
explore is free it is the task's: factors 0.5 / 2 on the toys, 0.8 / 1.25 elsewhere. All have the same members and
intervals, but for successive halving, which begins with as many members as make up for those that retire.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _common import RESULTS, machine, markdown, put

from warren.comparison.statistics import t_interval
from warren.simulation import Hill, Learner, deceptive, noisy, plain, regimes, simulate
from warren.strategies import PBT, Perturb, Strategy, SuccessiveHalving, Truncation
from warren.strategies.catalogue import entries, named
from warren.zoo.digits.mlp import run_mlp

FILE = RESULTS / "strategies.json"
PAGE = Path(__file__).parents[1] / "docs" / "strategies.md"
TWO, MILD = Perturb(factors=(0.5, 2.0)), Perturb(factors=(0.8, 1.25))
LEFT_OUT = {
    "EloPBT": "rates by games",
    "Follow": "needs a schedule",
    "Reference": "wraps another",
    "Fixed": "needs a configuration",
    "PB2Mix": "is PB2 where there are no choices",
}
"""Strategies of the catalogue that these tasks say nothing about, and why."""
OWN_EXPLORE = ("DexPBT", "PBA")
"""Whose explore is part of what was published."""


@dataclass(frozen=True, kw_only=True)
class Ground:
    """One task.

    Attributes:
        learner: Makes it for a seed; None for the digits.
        members: Size of the population.
        intervals: For each member.
        explore: Where a strategy leaves it open.
        seeds: Runs of each strategy.
        told: What its column shows.
        without: Strategies that it cannot show.
    """

    learner: Callable[[int], Learner] | None
    members: int
    intervals: int
    explore: Perturb
    seeds: int
    told: str
    without: tuple[str, ...] = ()


NO_RATE = ("Cosine",)
"""The toys have no learning rate to anneal."""
GROUNDS = {
    "hill": Ground(
        learner=lambda seed: Hill(), members=16, intervals=50, explore=TWO, seeds=20, told="regret", without=NO_RATE
    ),
    "plain": Ground(
        learner=lambda seed: plain(), members=22, intervals=50, explore=TWO, seeds=20, told="regret", without=NO_RATE
    ),
    "deceptive": Ground(
        learner=lambda seed: deceptive(),
        members=22,
        intervals=50,
        explore=TWO,
        seeds=20,
        told="regret",
        without=NO_RATE,
    ),
    "regimes": Ground(
        learner=lambda seed: regimes(seed=seed), members=16, intervals=60, explore=MILD, seeds=20, told="loss"
    ),
    "noisy": Ground(
        learner=lambda seed: noisy(seed=seed), members=16, intervals=50, explore=MILD, seeds=20, told="loss"
    ),
    "digits": Ground(learner=None, members=12, intervals=20, explore=MILD, seeds=10, told="test error, %"),
}
PEAK = 1.2


def contenders(ground: Ground) -> dict[str, tuple[Strategy, int]]:
    """Strategies with the size of their population."""
    found: dict[str, tuple[Strategy, int]] = {}
    for one in entries():
        if one.name in (*LEFT_OUT, *ground.without):
            continue
        options: dict[str, Any] = {}
        if "explore" in one.options and one.name not in OWN_EXPLORE:
            options["explore"] = ground.explore
        if one.name == "SuccessiveHalving":
            found[one.name] = halving(ground)
            continue
        found[one.name] = (named(one.name, **options), ground.members)
        if one.name == "BGPBT":
            found["BGPBT, best of now"] = (named("BGPBT", best="now"), ground.members)
        if one.name == "PBT":
            for every in (5, 10):
                found[f"PBT, every {every}"] = (PBT(explore=ground.explore, every=every), ground.members)
            resampling = dataclasses.replace(ground.explore, resample=0.25)
            quarter = Truncation(fraction=0.25)
            found["PBT, a quarter, resampling"] = (PBT(exploit=quarter, explore=resampling), ground.members)
            found["PBT, no explore"] = (PBT(explore="none"), ground.members)
            found["PBT, no exploit"] = (
                PBT(exploit="none", explore=ground.explore, explorers="ready"),
                ground.members,
            )
    return found


def halving(ground: Ground) -> tuple[Strategy, int]:
    """Successive halving with as many members as the budget gives."""
    strategy, budget = SuccessiveHalving(), ground.members * ground.intervals
    size = ground.members
    while strategy.spend(size + 1, ground.intervals) <= budget:
        size += 1
    return strategy, size


def outcome(ground: Ground, strategy: Strategy, members: int, seed: int) -> float:
    """What the column tells of one run: of the member that looks best at the end, on what selection did not see."""
    if ground.learner is None:
        trained = run_mlp(seed, strategy, population=members, intervals=ground.intervals)
        return 100.0 * (1.0 - trained.metrics["test"])
    run = simulate(
        ground.learner(seed), strategy, population=members, intervals=ground.intervals, seed=seed, synchronous=True
    )
    return PEAK - run.true if ground.told == "regret" else run.true


def summary(values: np.ndarray, told: str) -> tuple[float, float, float]:
    """Geometric mean with its 95 % interval by Student's t on logarithms; of errors the mean."""
    if told.startswith("test"):
        low, high = t_interval(values)
        return float(np.mean(values)), low, high
    logs = np.log(np.maximum(values, 1e-12))
    low, high = t_interval(logs)
    return math.exp(float(np.mean(logs))), math.exp(low), math.exp(high)


def number(value: float) -> str:
    """Three digits."""
    if not math.isfinite(value):
        return "inf"
    return f"{value:.3g}" if 1e-3 <= abs(value) < 1e4 else f"{value:.1e}"


def table(kept: Mapping[str, Mapping[str, list[float]]]) -> str:
    """The results as Markdown; the best geometric mean of each column, and those that share its interval, are bold."""
    names = list(dict.fromkeys(name for column in kept.values() for name in column))
    columns = {
        ground: {n: summary(np.array(v), GROUNDS[ground].told) for n, v in kept[ground].items()} for ground in kept
    }
    best = {ground: min(found.values(), key=lambda one: one[0]) for ground, found in columns.items() if found}
    rows = []
    for name in names:
        cells = []
        for ground, found in columns.items():
            if name not in found:
                cells.append("-")
                continue
            middle, low, high = found[name]
            text = f"{number(middle)} [{number(low)}, {number(high)}]"
            cells.append(f"**{text}**" if low <= best[ground][2] and middle <= best[ground][2] else text)
        rows.append([name, *cells])
    return markdown(["strategy", *(f"{ground}: {GROUNDS[ground].told}" for ground in columns)], rows)


def told(kept: Mapping[str, Mapping[str, list[float]]]) -> str:
    """The section of the page: how it was made, and the table."""
    versions = machine()["versions"]
    sizes = "; ".join(
        f"{name} {one.members} x {one.intervals}, {one.seeds} seeds" for name, one in GROUNDS.items() if name in kept
    )
    left = ", ".join(f"`{name}` ({why})" for name, why in LEFT_OUT.items())
    return f"""## How they compare

`python benchmarks/strategies.py` made this table, with Python {versions["python"]} and NumPy {versions["numpy"]}.

Members x intervals: {sizes}.

Shown is what the member that looks best at the end is truly worth, smaller is better: the geometric mean over the seeds
of the regret (1.2 - Q) or the loss, the mean of the test error, each with its 95 % interval by Student's t. Bold is the
best of a column, and what lies within its interval; - where it has nothing to act on.

Not in it: {left}.

{table(kept)}

What to know before reading it:

- No strategy is best everywhere. The one that decides most often wins where the good value jumps (regimes) and loses
  where what pays now costs later (deceptive), and the other way round.
- `IPBT` shrinks weights when it restarts, and on hill, plain, deceptive and noisy the optimum is where all weights
  are 0: there it gains what no tuning gave. Where the optimum moves away (regimes) it is no better than random search.
- On the digits, ten seeds tell hardly anything apart: random search and successive halving do as well as the best, as
  they should on so small and stationary a task.
- `BGPBT` copies the best state of the whole run, which in regimes is of a task that is no more; `best="now"` does not.
- `Averaging` averages members that diverge as well, since it is made for replicas of one model at rates close to each
  other, and these spaces are wide."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", choices=list(GROUNDS), default=list(GROUNDS))
    parser.add_argument("--only", nargs="+", help="names of strategies as in the table; default: all")
    parser.add_argument("--again", action="store_true", help="forget what was measured before")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long; the next call goes on")
    options = parser.parse_args()

    began = time.monotonic()
    kept: dict[str, dict[str, list[float]]] = {}
    if FILE.exists() and not options.again:
        kept = json.loads(FILE.read_text())["results"]
    for task in options.tasks:
        ground = GROUNDS[task]
        for name, (strategy, members) in contenders(ground).items():
            if options.only and name not in options.only:
                continue
            values = kept.setdefault(task, {}).setdefault(name, [])
            since = time.monotonic()
            while len(values) < ground.seeds:
                values.append(outcome(ground, strategy, members, seed=len(values)))
                FILE.write_text(json.dumps({"machine": machine(), "results": kept}, indent=1) + "\n")
                if time.monotonic() - began > 60 * options.minutes:
                    break
            if len(values) < ground.seeds:
                print("stopped; the same command goes on")
                return 0
            middle, low, high = summary(np.array(values), ground.told)
            print(f"{task:<10}{name:<28}{middle:>10.4g} [{low:.4g}, {high:.4g}] {time.monotonic() - since:6.1f} s")
            sys.stdout.flush()
    put(PAGE, "the table of benchmarks/strategies.py", told(kept))
    print(f"\n{table(kept)}\n\nwritten to {FILE.name} and {PAGE.name}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
