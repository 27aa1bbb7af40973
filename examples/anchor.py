"""An anchor that never degrades: the form of ESGD with anchors (Cui and Picheny 2019).

    python anchor.py                   # some seconds

Training here goes wrong now and then: a step throws the weights far off, as a bad batch or a spike of the
loss does. A small population then loses what it had, because the donors of PBT are members as they are *now*.
`Anchored` pins the best state that any member ever reported, and it stays a donor for ever: members that fall behind
can always go back to it.

It prints how good the best member was in the last third of the run, by each strategy, over some seeds; and how
often a member went on from the anchor.
"""

from __future__ import annotations

import numpy as np

import warren
from warren.strategies import Anchored, Truncation

SIZE = 20
CHANCE = 0.2  # that an interval goes wrong


def train(slot: warren.Slot) -> None:
    weights = np.full(SIZE, 3.0)
    slot.track(weights=weights)
    for member in slot:
        for _ in range(10):
            weights -= member["lr"] * (weights + 0.3 * member.rng.normal(size=SIZE))
        if member.rng.random() < CHANCE:
            weights += 2.0 * member.rng.normal(size=SIZE)
        member.report(float(np.mean(weights**2)))


def loss_of_best(result: warren.Result) -> list[float]:
    """The lowest loss among the members in each interval."""
    best: dict[int, float] = {}
    for row in result.intervals:
        best[row.interval] = min(best.get(row.interval, np.inf), row.score)
    return [best[interval] for interval in sorted(best)]


def back_to_anchor(result: warren.Result) -> int:
    """How often a copy was of a report that was the best of the run until then, and not of its last interval."""
    rows = {row.id: row for row in result.intervals}
    found = 0
    for row in result.intervals:
        for parent in (rows[one] for one in row.parents if row.origin == "exploit"):
            known = [other.score for other in result.intervals if other.interval < row.interval]
            found += parent.interval < row.interval - 1 and parent.score == min(known)
    return found


def descend(strategy, population: int = 4, intervals: int = 45, seed: int = 0) -> warren.Result:
    return warren.run(
        train, space={"lr": warren.Float(1e-3, 0.3, scale="log")}, goal="min", population=population,
        intervals=intervals, strategy=strategy, seed=seed, synchronous=True,
    )  # fmt: skip


if __name__ == "__main__":
    for strategy in (warren.PBT(exploit=Truncation(fraction=0.5)), Anchored(fraction=0.5)):
        runs = [descend(strategy, seed=seed) for seed in range(8)]
        late = [np.mean(loss_of_best(result)[-15:]) for result in runs]
        told = (
            f"{type(strategy).__name__:<10} loss of the best member in the last 15 intervals: mean {np.mean(late):.4f}"
        )
        print(f"{told}, worst seed {max(late):.4f}; back to the anchor {sum(map(back_to_anchor, runs))} times")
