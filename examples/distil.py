"""Distillation on exploit: a member that falls behind keeps its own network and learns from its donor's outputs.

    python distil.py                   # some seconds

The form of proximal policy distillation and of BG-PBT's generations, for networks of different widths: a copy of
weights could not change a width, but a donor can teach. The strategy is one of a page. It plans `via="distil"` with two
sources, the donor's state and the member's own, and its hook trains the second one towards the first. The hook is
a pure function of the two states and of keyed draws, so that it is made again after a crash, and replayed.

It prints the loss of the population at the end without exploits, by PBT, which hands widths on with the weights, and by
distillation, which leaves every member its own; and how many widths there still are. The three are not of equal
compute: each trains for 10,800 gradient steps (12 members, 30 intervals, 30 steps), and distillation takes 5,400 more
(9 boundaries, 3 members at each, 200 steps).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

import warren
from warren.strategies import Perturb
from warren.strategies.explore import explored
from warren.strategies.hooks import Combines, Hook
from warren.strategies.moves import assign, begin_all, keep, rescue
from warren.strategies.standing import donor, worst

WIDTHS = [8, 16, 32, 64]


def answers(x):
    return np.sin(3 * x[:, :1]) * np.cos(2 * x[:, 1:])


def fresh(rng, width):
    return {"in": rng.normal(0, 1.5, (2, width)), "bias": rng.normal(size=width), "out": np.zeros((width, 1))}


def outputs(net, x):
    return np.tanh(x @ net["in"] + net["bias"]) @ net["out"]


def stepped(net, x, wanted, lr):
    """One step of gradient descent on the squared error, in place."""
    hidden = np.tanh(x @ net["in"] + net["bias"])
    wrong = 2 * (hidden @ net["out"] - wanted) / len(x)
    back = wrong @ net["out"].T * (1 - hidden**2)
    for name, slope in (("in", x.T @ back), ("bias", back.sum(0)), ("out", hidden.T @ wrong)):
        net[name] -= lr * slope


def train(slot: warren.Slot) -> None:
    net = fresh(np.random.default_rng(slot.seed), slot["width"])
    slot.track(**net)
    for member in slot:
        for _ in range(30):
            x = member.rng.uniform(-1, 1, (32, 2))
            stepped(net, x, answers(x) + 0.3 * member.rng.normal(size=(32, 1)), member["lr"])
        x = np.random.default_rng(0).uniform(-1, 1, (500, 2))
        member.report(float(np.mean((outputs(net, x) - answers(x)) ** 2)))


def distil(states, hyperparameters, rng):
    """The second state's network after it was trained on the first one's outputs; they have no noise."""
    teacher, student = states
    draws = rng.numpy()
    for _ in range(200):
        x = draws.uniform(-1, 1, (32, 2))
        stepped(student, x, outputs(teacher, x), 0.02)
    return student


@dataclass(frozen=True, kw_only=True)
class Taught(Combines):
    """The worst quarter learn from one of the best quarter, and go on with its hyperparameters, mutated."""

    explore: Perturb = field(default_factory=lambda: Perturb(factors=(0.8, 1.25)))
    every: int = 3

    @property
    def hooks(self):
        return {"distil": Hook(combine=distil)}

    def start(self, space, size, keys):
        return begin_all(space, size, keys, intervals=self.every)

    def decide(self, view, keys):
        scores, quarter = view.facts.scores, max(1, view.size // 4)
        if view.failing:
            return rescue(view, scores, self.explore, keys, intervals=self.every)
        own = view.source(view.due.member)
        if own is None or view.place is None or not worst(view, scores, keys, quarter)[view.place]:
            return keep(intervals=self.every)
        teacher = donor(view, scores, keys, quarter)
        if teacher is None:
            return keep(intervals=self.every)
        # What shapes the network stays the member's own; the rest is the teacher's.
        values = view.space.merged(own.hyperparameters, teacher.hyperparameters, keys.generator("merge"))
        values = explored(self.explore, view, values, keys)
        sources = (teacher.checkpoint, own.checkpoint)
        return assign(view, values, via="distil", sources=sources, intervals=self.every)


def teach(strategy, population: int = 12, intervals: int = 30, seed: int = 0) -> warren.Result:
    space = {"lr": warren.Float(1e-3, 0.03, scale="log"), "width": warren.Choice(WIDTHS, rebuild=True)}
    return warren.run(
        train, space=space, goal="min", population=population, intervals=intervals, strategy=strategy, seed=seed,
        synchronous=True,
    )  # fmt: skip


if __name__ == "__main__":
    for name, strategy in {"no exploit": warren.RandomSearch(), "PBT": warren.PBT(every=3), "taught": Taught()}.items():
        result = teach(strategy)
        losses = [one.score for one in result.final]
        widths = sorted({one.hyperparameters["width"] for one in result.final})
        told = f"{name:<11} loss: best {min(losses):.4f}, median {np.median(losses):.4f}, worst {max(losses):.3g}"
        print(f"{told}; widths {', '.join(map(str, widths))}")
