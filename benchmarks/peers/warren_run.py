"""One run of warren's PBT: ``warren_run.py JOB MODE OUT``, in warren's own environment.

The toy's MODE is ``sqlite`` (a durable transaction for each report), ``memory`` or ``vectorised`` (one a round); that
of the digits is ``late`` or ``early``: whether PyTorch is imported by the training function, hence in the workers
alone, or at the top of the file as most write it, hence in the process that starts the workers too, before them.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import digits_job
import toy_job

import warren
from warren.errors import InvalidValue

if "early" in sys.argv:
    import torch  # noqa: F401


def strategy(fraction: float, resample: float) -> warren.PBT:
    from warren.strategies import Perturb, Truncation

    return warren.PBT(exploit=Truncation(fraction=fraction), explore=Perturb(resample=resample))


def start(seed: int, hyperparameters: dict[str, Any]) -> dict[str, Any]:
    return {"theta": toy_job.start()}


def climb(state: dict[str, Any], hyperparameters: dict[str, Any], rng: Any) -> dict[str, Any]:
    return {"theta": toy_job.climb(state["theta"], hyperparameters["h0"], hyperparameters["h1"])}


def score(state: dict[str, Any], rng: Any) -> float:
    return toy_job.score(state["theta"])


HILL = warren.Task(init=start, train_interval=climb, evaluate=score)


def digits(slot: warren.Slot) -> None:
    net, optimizer = digits_job.build(slot.seed, 0.1, 0.9)
    slot.track(net=net, optimizer=optimizer)
    slot.bind(optimizer, "lr", "momentum")
    for member in slot:
        digits_job.epoch(net, optimizer, member.id, member.budget)
        loss, accuracy = digits_job.evaluate(net)
        member.report(-loss, accuracy=accuracy)


def main() -> None:
    name, mode, out = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        store = None if mode == "memory" else Path(folder) / "run.db"
        if name == "toy":
            result = warren.run(
                HILL,
                space={h: warren.Float(toy_job.LOW, toy_job.HIGH) for h in ("h0", "h1")},
                goal="max",
                population=toy_job.MEMBERS,
                intervals=toy_job.REPORTS,
                strategy=strategy(toy_job.FRACTION, toy_job.RESAMPLE),
                workers=1,
                store=store,
                engine="vectorised" if mode == "vectorised" else "inline",
            )
        else:
            result = warren.run(
                digits,
                space={
                    "lr": warren.Float(*digits_job.LR, scale="log"),
                    "momentum": warren.Float(*digits_job.MOMENTUM),
                },
                goal="max",
                population=digits_job.MEMBERS,
                intervals=digits_job.EPOCHS,
                strategy=strategy(digits_job.FRACTION, digits_job.RESAMPLE),
                workers=digits_job.WORKERS,
                store=store,
                engine="processes",
            )
        best = result.best
        cost = result.cost
        Path(out).write_text(
            json.dumps(
                {
                    "reports": cost.intervals,
                    "exploits": cost.copies,
                    "score": best.score,
                    "accuracy": best.metrics.get("accuracy"),
                    "overhead": cost.overhead,
                    "training": cost.training,
                    "run": cost.wall,
                }
            )
        )


if __name__ == "__main__":
    try:
        main()
    except InvalidValue as error:
        if not str(error).startswith("engine="):
            raise
        sys.exit(4)  # an engine that this version does not have
