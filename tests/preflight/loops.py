"""Training functions with one planted fault each, in NumPy; those without one are in `sound_loops`."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np

import warren

SPACE = {"lr": warren.Float(1e-2, 0.3, scale="log"), "momentum": warren.Float(0.5, 0.9, scale="one_minus")}
LR = {"lr": warren.Float(1e-2, 0.3, scale="log")}
NOISE = {"noise": warren.Float(0.1, 1.0)}


def gradient(weights: Any) -> Any:
    """Of a quadratic, with noise from the global generator."""
    return 2 * (weights - 1) + 0.1 * np.random.normal(size=weights.shape)


def score(weights: Any) -> float:
    return -float(((weights - 1) ** 2).sum())


class Momentum:
    """An optimizer that can give its state away."""

    def __init__(self, weights: Any) -> None:
        self.weights, self.velocity = weights, np.zeros_like(weights)
        self.lr, self.momentum = 0.1, 0.9

    def step(self) -> None:
        self.velocity = self.momentum * self.velocity - self.lr * gradient(self.weights)
        self.weights += self.velocity

    def state_dict(self) -> dict[str, Any]:
        return {"velocity": self.velocity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.velocity = np.array(state["velocity"])


class Closed:
    """An optimizer that cannot."""

    def __init__(self, weights: Any) -> None:
        self.weights, self.velocity = weights, np.zeros_like(weights)

    def step(self, member: warren.Member) -> None:
        self.velocity = member["momentum"] * self.velocity - member["lr"] * gradient(self.weights)
        self.weights += self.velocity


class Lossy(Momentum):
    """An optimizer that forgets its velocity when it gives its state away."""

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weights[:] = state["weights"]


class Remembering(Momentum):
    """An optimizer that knows a value, and does not use it."""

    rate = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"velocity": self.velocity, "rate": self.rate, "rates": np.array([self.rate])}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.rate = state["rate"]


class Deaf(Momentum):
    """An optimizer that gives its state away, and takes none."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class Walk:
    """An environment: a place on a line."""

    def __init__(self) -> None:
        self.place = 0.0

    def reset(self) -> float:
        self.place = 0.0
        return self.place

    def step(self, action: float) -> tuple[float, float]:
        self.place += float(action)
        return self.place, -abs(self.place - 3)


# -- faults -----------------------------------------------------------------------------------------------------------


def optimizer_untracked(slot: warren.Slot) -> None:
    weights = np.zeros(3)
    opt = Momentum(weights)
    slot.track(weights=weights)
    for member in slot:
        opt.lr, opt.momentum = member["lr"], member["momentum"]
        for _ in range(5):
            opt.step()
        member.report(score(weights))


def optimizer_closed(slot: warren.Slot) -> None:
    weights = np.zeros(3)
    opt = Closed(weights)
    slot.track(weights=weights)
    for member in slot:
        for _ in range(5):
            opt.step(member)
        member.report(score(weights))


def array_untracked(slot: warren.Slot) -> None:
    weights, velocity = np.zeros(3), np.zeros(3)
    slot.track(weights=weights)
    for member in slot:
        for _ in range(5):
            velocity = member["momentum"] * velocity - member["lr"] * gradient(weights)
            weights += velocity
        member.report(score(weights))


def array_rebound(slot: warren.Slot) -> None:
    weights = np.zeros(3)
    slot.track(weights=weights)
    for member in slot:
        weights = weights - member["lr"] * gradient(weights)
        member.report(score(weights))


def schedule_overwrites(slot: warren.Slot) -> None:
    weights, count = np.zeros(3), np.zeros(1)
    slot.track(weights=weights, count=count)
    for member in slot:
        lr = member["lr"]
        for _ in range(5):
            lr = 0.1 * 0.99 ** count[0]
            weights -= lr * gradient(weights)
            count += 1
        member.report(score(weights))


def average_local(slot: warren.Slot) -> None:
    weights, ema = np.zeros(3), None
    slot.track(weights=weights)
    for member in slot:
        for _ in range(5):
            weights -= member["lr"] * gradient(weights)
            ema = weights.copy() if ema is None else 0.9 * ema + 0.1 * weights
        member.report(score(ema))


def mean_local(slot: warren.Slot) -> None:
    weights, mean, loss, i = np.zeros(3), 0.0, 0.0, 0
    slot.track(weights=weights)
    for member in slot:
        for i in range(5):
            loss = float(gradient(weights).mean())
            mean = 0.9 * mean + 0.1 * loss
            weights -= member["lr"] * (gradient(weights) - mean) / (i + 1)
        member.report(score(weights))


def environment_survives(slot: warren.Slot) -> None:
    policy, walk = np.zeros(1), Walk()
    slot.track(policy=policy)
    for member in slot:
        for _ in range(5):
            place, reward = walk.step(policy[0] + member["noise"] * member.rng.normal())
        policy += 0.1 * np.sign(3 - place)
        member.report(reward)


def first_lr_stays(slot: warren.Slot) -> None:
    weights, lr = np.zeros(3), None
    slot.track(weights=weights)
    for member in slot:
        if lr is None:
            lr = member["lr"]
        weights -= lr * gradient(weights)
        member.report(score(weights))


def never_applied(slot: warren.Slot) -> None:
    weights = np.zeros(3)
    slot.track(weights=weights)
    for member in slot:
        momentum = member["momentum"]
        weights -= member["lr"] * gradient(weights)
        member.report(score(weights), momentum=momentum)


def only_remembered(slot: warren.Slot) -> None:
    weights = np.zeros(3)
    opt = Remembering(weights)
    slot.track(weights=weights, opt=opt)
    for member in slot:
        opt.rate = member["lr"]
        opt.step()
        member.report(score(weights))


def never_read(slot: warren.Slot) -> None:
    weights = np.zeros(3)
    slot.track(weights=weights)
    for member in slot:
        weights -= member["lr"] * gradient(weights)
        member.report(score(weights))


def validate(weights: Any) -> float:
    weights -= 0.01 * gradient(weights)
    return score(weights)


def evaluation_trains(slot: warren.Slot) -> None:
    weights = np.zeros(3)
    slot.track(weights=weights)
    for member in slot:
        weights -= member["lr"] * gradient(weights)
        member.report(validate(weights))


def generator_seeded(slot: warren.Slot) -> None:
    weights, rng = np.zeros(3), np.random.default_rng(slot.seed)
    slot.track(weights=weights)
    for member in slot:
        weights -= member["lr"] * (gradient(weights) + rng.normal(size=3))
        member.report(score(weights))


def generator_unseeded(slot: warren.Slot) -> None:
    weights, rng = np.zeros(3), random.Random()
    slot.track(weights=weights)
    for member in slot:
        weights -= member["lr"] * (gradient(weights) + rng.gauss(0, 1))
        member.report(score(weights))


SHARED = np.random.default_rng(0)


def generator_global(slot: warren.Slot) -> None:
    weights = np.zeros(3)
    slot.track(weights=weights)
    for member in slot:
        weights -= member["lr"] * (gradient(weights) + SHARED.normal(size=3))
        member.report(score(weights))


def start_unseeded(slot: warren.Slot) -> None:
    weights = np.random.default_rng().normal(size=3)
    slot.track(weights=weights)
    for member in slot:
        weights -= member["lr"] * gradient(weights)
        member.report(score(weights))


class Whole(Momentum):
    """An optimizer that gives away its weights too."""

    def state_dict(self) -> dict[str, Any]:
        return {"velocity": self.velocity, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.weights = np.array(state["weights"])


def object_unseeded(slot: warren.Slot) -> None:
    opt = Whole(np.random.default_rng().normal(size=3))
    slot.track(opt=opt)
    for member in slot:
        opt.lr, opt.momentum = member["lr"], 0.9
        opt.step()
        member.report(score(opt.weights))


STREAM = iter([float(number) for number in range(1, 1000)])


def data_global(slot: warren.Slot) -> None:
    weights = np.zeros(3)
    slot.track(weights=weights)
    for member in slot:
        weights -= member["lr"] * gradient(weights) / next(STREAM)
        member.report(score(weights))


WALK = Walk()


def environment_global(slot: warren.Slot) -> None:
    policy = np.zeros(1)
    slot.track(policy=policy)
    for member in slot:
        place, reward = WALK.step(policy[0] + member["noise"] * member.rng.normal())
        policy += 0.1 * np.sign(3 - place)
        member.report(reward)


COUNTS = {"steps": 0}


def count_global(slot: warren.Slot) -> None:
    weights = np.zeros(3)
    slot.track(weights=weights)
    for member in slot:
        COUNTS["steps"] += 1
        weights -= member["lr"] / COUNTS["steps"] * gradient(weights)
        member.report(score(weights))


WEIGHTS = np.zeros(3)


def built_outside(slot: warren.Slot) -> None:
    slot.track(weights=WEIGHTS)
    for member in slot:
        WEIGHTS[:] -= member["lr"] * gradient(WEIGHTS)
        member.report(score(WEIGHTS))


class Stiff(Walk):
    """An environment that cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = numbers()


def environment_cannot_be_carried(slot: warren.Slot) -> None:
    policy, walk = np.zeros(1), Stiff()
    slot.track(policy=policy)
    for member in slot:
        for _ in range(5):
            place, reward = walk.step(policy[0] + member["noise"] * member.rng.normal())
        policy += 0.1 * np.sign(3 - place)
        member.report(reward)


def numbers() -> Iterator[float]:
    value = 0.0
    while True:
        value += 1.0
        yield value


def data_keeps_its_place(slot: warren.Slot) -> None:
    weights, data = np.zeros(3), numbers()
    slot.track(weights=weights)
    for member in slot:
        weights -= member["lr"] * gradient(weights) / next(data)
        member.report(score(weights))


def state_lossy(slot: warren.Slot) -> None:
    opt = Lossy(np.zeros(3))
    slot.track(opt=opt)
    for member in slot:
        opt.lr, opt.momentum = member["lr"], member["momentum"]
        for _ in range(5):
            opt.step()
        member.report(score(opt.weights))


def state_deaf(slot: warren.Slot) -> None:
    weights = np.zeros(3)
    opt = Deaf(weights)
    slot.track(weights=weights, opt=opt)
    for member in slot:
        opt.lr, opt.momentum = member["lr"], member["momentum"]
        for _ in range(5):
            opt.step()
        member.report(score(weights))


def score_nan(slot: warren.Slot) -> None:
    weights = np.zeros(3)
    slot.track(weights=weights)
    for member in slot:
        weights -= member["lr"]
        member.report(float("nan"))


def raises(slot: warren.Slot) -> None:
    weights = np.zeros(3)
    slot.track(weights=weights)
    for member in slot:
        weights -= member["lr"]
        if member.budget == 1:
            raise ValueError("boo")
        member.report(score(weights))


def no_report(slot: warren.Slot) -> None:
    weights = np.zeros(3)
    slot.track(weights=weights)
    for member in slot:
        weights -= member["lr"]


def two_untracked(slot: warren.Slot) -> None:
    weights, mean = np.zeros(3), 0.0
    opt = Momentum(weights)
    slot.track(weights=weights)
    for member in slot:
        opt.lr, opt.momentum = member["lr"], member["momentum"]
        for _ in range(5):
            opt.step()
            mean = 0.9 * mean + 0.1 * float(weights.mean())
        member.report(score(weights) + mean)


def shape_ignored(slot: warren.Slot) -> None:
    weights, _ = np.zeros(4), slot["width"]
    slot.track(weights=weights)
    for member in slot:
        weights -= member["lr"] * gradient(weights)
        member.report(score(weights))


def init(seed: int, hyperparameters: dict[str, Any]) -> Any:
    return {"weights": np.random.default_rng(seed).normal(size=3)}


def train_interval(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
    return {"weights": state["weights"] * (1 - hyperparameters["lr"]) + 1e-3 * rng.numpy().normal(size=3)}


def evaluate_and_train(state: Any, rng: Any) -> float:
    state["weights"] *= 0.9
    return score(state["weights"])


TASK_THAT_TRAINS = warren.Task(init=init, train_interval=train_interval, evaluate=evaluate_and_train)
