"""Training functions whose members do not all have the same hyperparameters, at the top level of a module."""

from __future__ import annotations

from typing import Any

import numpy as np

import warren


def small(values: dict[str, Any]) -> bool:
    """A rule: the clip is at most a hundred times the learning rate."""
    return bool(values["clip"] <= 100.0 * values["lr"])


def lowered(values: dict[str, Any]) -> dict[str, Any]:
    """Its repair."""
    return {"clip": 100.0 * values["lr"]}


SPACE = warren.Space(
    {
        "optimizer": warren.Choice(["plain", "momentum"]),
        "lr": warren.Float(1e-3, 0.5, scale="log"),
        "momentum": warren.When("optimizer", "momentum", warren.Float(0.5, 0.95)),
        "clip": warren.Float(0.01, 10.0, scale="log"),
        "warmup": warren.Int(0, 4),
        "total": warren.Int(2, 6),
    },
    constraints=[warren.Less("warmup", "total"), warren.Rule(["clip", "lr"], holds=small, repair=lowered)],
)


def descend(slot: warren.Slot) -> None:
    """Three steps on x^2 from 3 in each interval, with momentum where there is some."""
    x = np.array([3.0, 0.0])
    slot.track(x=x)
    for member in slot:
        momentum = member["momentum"] if member["optimizer"] == "momentum" else 0.0
        for step in range(3):
            rate = member["lr"] * min(1.0, (step + 1) / (member["warmup"] + 1)) * member["total"] / 6
            gradient = np.clip(2 * x[0] + 0.01 * np.random.normal(), -member["clip"], member["clip"])
            x[1] = momentum * x[1] - rate * gradient
            x[0] += x[1]
        member.report(-float(x[0] ** 2))


def legal(values: dict[str, Any]) -> bool:
    """Whether hyperparameters are complete and keep the constraints, without asking the space."""
    names = {"optimizer", "lr", "clip", "warmup", "total"} | (
        {"momentum"} if values["optimizer"] == "momentum" else set()
    )
    return set(values) == names and values["warmup"] < values["total"] and values["clip"] <= 100.0 * values["lr"]
