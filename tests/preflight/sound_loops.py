"""Training functions without a fault, in NumPy."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from tests.preflight.loops import Momentum, Walk, gradient, init, score, train_interval

import warren


def clipped(slot: warren.Slot) -> None:
    """No fault: the limit is not reached."""
    weights = np.zeros(3)
    slot.track(weights=weights)
    for member in slot:
        weights -= member["lr"] * np.clip(gradient(weights), -member["clip"], member["clip"])
        member.report(score(weights))


def inexact(slot: warren.Slot) -> None:
    """No fault: as arithmetic on a GPU, whose sums have an order of their own each time."""
    weights = np.zeros(3)
    slot.track(weights=weights)
    for member in slot:
        for _ in range(5):
            weights -= member["lr"] * gradient(weights) * (1 + 1e-12 * int.from_bytes(os.urandom(2), "little"))
        member.report(score(weights))


def sound(slot: warren.Slot) -> None:
    weights = np.random.normal(size=3)
    opt = Momentum(weights)
    slot.track(weights=weights, opt=opt)
    best, losses, total = None, [], 0.0
    for member in slot:
        opt.lr, opt.momentum = member["lr"], member["momentum"]
        total = 0.0
        for i in range(5):
            opt.step()
            total += score(weights) * i
        losses.append(total)
        best = total if best is None else max(best, total)
        member.report(score(weights))


def resets(slot: warren.Slot) -> None:
    policy, walk = np.zeros(1), Walk()
    slot.track(policy=policy)
    for member in slot:
        if member.arrival != "same":
            place = walk.reset()
        for _ in range(5):
            place, reward = walk.step(policy[0] + member["noise"] * member.rng.normal())
        policy += 0.1 * np.sign(3 - place)
        member.report(reward)


def value(slot: warren.Slot) -> None:
    for member in slot:
        state = member.state or {"weights": member.rng.normal(size=3), "step": 0}
        weights = state["weights"] * (1 - member["lr"])
        member.state = {"weights": weights, "step": state["step"] + 1}
        member.report(score(weights))


def keeps(slot: warren.Slot) -> None:
    policy, replay, returns = np.zeros(1), np.zeros(6), np.zeros(1)
    slot.track(policy=policy)
    slot.track(on_exploit="keep", replay=replay)
    slot.track(on_exploit="clear", returns=returns)
    for member in slot:
        policy += member["lr"]
        replay[member.budget] = policy[0]
        returns += replay.sum()
        member.report(policy[0])


def shaped(slot: warren.Slot) -> None:
    weights = np.zeros(slot["width"])
    slot.track(weights=weights)
    for member in slot:
        weights += member["lr"]
        member.report(weights.sum())


def generator_tracked(slot: warren.Slot) -> None:
    weights, rng = np.zeros(3), np.random.default_rng(slot.seed)
    slot.track(weights=weights, rng=rng)
    for member in slot:
        weights -= member["lr"] * (gradient(weights) + rng.normal(size=3))
        member.report(score(weights))


def sometimes_diverges(slot: warren.Slot) -> None:
    weights = np.zeros(3)
    slot.track(weights=weights)
    for member in slot:
        weights -= member["lr"] * gradient(weights)
        member.report(float("inf") if member.id == 0 else score(weights))


def branches(slot: warren.Slot) -> None:
    weights = np.zeros(3)
    slot.track(weights=weights)
    for member in slot:
        weights -= (member["slow"] if member["kind"] == "slow" else member["fast"]) * gradient(weights)
        member.report(score(weights))


class Trainer:
    """Owns the loop."""

    def fit(self, weights: Any, on_epoch_end: Any) -> None:
        self.stop = False
        while not self.stop:
            weights *= 1 - self.lr
            on_epoch_end(self)


def owned(slot: warren.Slot) -> None:
    weights, trainer = np.ones(3), Trainer()
    slot.track(weights=weights)

    def on_epoch_end(trainer: Any) -> None:
        member = slot.advance(score(weights))
        trainer.stop = member is None
        if member is not None:
            trainer.lr = member["lr"]

    member = slot.next()
    trainer.lr = member["lr"]
    trainer.fit(weights, on_epoch_end)


def evaluate(state: Any, rng: Any) -> float:
    return score(state["weights"])


TASK = warren.Task(init=init, train_interval=train_interval, evaluate=evaluate)
