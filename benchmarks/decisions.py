"""How long it takes to decide for a whole round: every member of the toy is due at once, and all have reported.

Beside it stands what a round costs before its first decision: its reports taken into the log, the old forgotten, and
the facts of the new interval. The last column is a decision that shares nothing, since a report came just before it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from _common import save, show

import warren
from warren.population import Assign, IntervalRow, Keys, Log, MemberRow, Plan, View, changed
from warren.strategies import decide

SPACE = warren.Space({"h0": warren.Float(0.0, 1.0), "h1": warren.Float(0.0, 1.0)})
STRATEGY = warren.PBT()
HISTORY = 64


class Toy:
    """A population that climbs the paper's hill in memory, in no time.

    Args:
        size: Members in it.
    """

    def __init__(self, size: int) -> None:
        start = STRATEGY.start(SPACE, size, Keys(seed=0, member=-1, interval=0))
        self.rows = [
            MemberRow(member=action.member, hyperparameters=action.hyperparameters)
            for action in start.actions
            if isinstance(action, Assign)
        ]
        self.thetas = np.full((size, 2), 0.9)
        self.log = Log("max", history=HISTORY)
        self.reported = 0

    def train(self) -> list[IntervalRow]:
        """One interval of every member: a step uphill on what its hyperparameters show of the hill."""
        shown = np.array([list(row.hyperparameters.values()) for row in self.rows])
        self.thetas -= 0.02 * shown * self.thetas
        scores = 1.2 - (self.thetas**2).sum(axis=1)
        self.rows = [changed(row, budget=row.budget + 1, age=row.age + 1) for row in self.rows]
        return [self.report(row, float(score)) for row, score in zip(self.rows, scores, strict=True)]

    def report(self, row: MemberRow, score: float) -> IntervalRow:
        """What a member reports after its last interval."""
        self.reported += 1
        return IntervalRow(
            id=self.reported, member=row.member, interval=row.budget, age=row.age, score=score,
            hyperparameters=row.hyperparameters, checkpoint=f"c{self.reported}", revision=self.reported,
        )  # fmt: skip

    def decide(self, row: MemberRow) -> Plan:
        """Decide for one member on what is known."""
        view = View(space=SPACE, goal="max", due=row, log=self.log, size=len(self.rows), limit=1 << 30)
        return decide(STRATEGY, view, seed=0)

    def carry_out(self, plans: Sequence[Plan]) -> int:
        """Give those that copy another one's place on the hill and their new hyperparameters; how many they are."""
        before, copies = self.thetas.copy(), 0
        for plan in plans:
            for action in plan.actions:
                assert isinstance(action, Assign)
                donor = (int(action.sources[0][1:]) - 1) % len(self.rows)  # members report in turn
                self.thetas[action.member] = before[donor]
                self.rows[action.member] = changed(self.rows[action.member], hyperparameters=action.hyperparameters)
                copies += 1
        return copies


def measure(size: int, rounds: int) -> dict[str, float]:
    """Median seconds of the parts of a round, and the least that a round was decided in."""
    toy = Toy(size)
    took: dict[str, list[float]] = defaultdict(list)
    copies = 0
    for _ in range(rounds):
        reports = toy.train()
        times = [time.perf_counter()]
        toy.log.update(reports, toy.reported)
        times.append(time.perf_counter())
        if toy.log.crowded:
            toy.log.prune(toy.rows[0].budget)
        times.append(time.perf_counter())
        toy.log.facts(toy.rows[0].budget)
        times.append(time.perf_counter())
        plans = [toy.decide(row) for row in toy.rows]
        times.append(time.perf_counter())
        for i, name in enumerate(("update", "prune", "facts", "decide")):
            took[name].append(times[i + 1] - times[i])
        copies = toy.carry_out(plans)
    reports = toy.train()
    toy.log.update(reports, toy.reported)
    for row, report in list(zip(toy.rows, reports, strict=True))[-200:]:
        toy.log.update([changed(report, interval=report.interval + 1, status="pending", score=None)], toy.reported)
        start = time.perf_counter()
        toy.decide(row)
        took["alone"].append(time.perf_counter() - start)
    return {
        **{name: statistics.median(times) for name, times in took.items()},
        "prune": statistics.mean(took["prune"]),  # it goes through the log in some of the rounds only
        "least": min(took["decide"]),
        "copies": copies,
        "rounds": rounds,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, nargs="+", default=[10, 1000, 10_000], help="sizes of the population")
    parser.add_argument("--rounds", type=int, default=100, help="rounds of each (default: %(default)s)")
    options = parser.parse_args()
    rows, results = [], {}
    for size in options.members:
        one = results[f"members_{size}"] = measure(size, options.rounds)
        rows.append(
            (
                f"{size:,}", f"{one['copies']:,.0f}", f"{1e3 * one['decide']:.2f} ms", f"{1e3 * one['least']:.2f} ms",
                f"{1e6 * one['decide'] / size:.1f} us", f"{1e3 * one['update']:.2f} ms", f"{1e3 * one['prune']:.2f} ms",
                f"{1e3 * one['facts']:.2f} ms", f"{1e3 * one['alone']:.2f} ms",
            )
        )  # fmt: skip
    show(
        "Deciding for a whole round of the toy, truncation and perturb, one thread; median of the rounds",
        ("members", "copies", "decided", "least", "a member", "reports in", "forgetting", "facts", "one alone"), rows,
    )  # fmt: skip
    save("decisions", results)


if __name__ == "__main__":
    main()
