"""One run of Syne Tune's PBT: ``syne.py JOB MODE OUT``, in an environment with syne-tune[basic].

MODE is ``slots`` (as many trials at a time as the job has workers) or ``all`` (as many as it has members).
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import digits_job
import toy_job
from syne_tune import StoppingCriterion, Tuner
from syne_tune.backend import LocalBackend
from syne_tune.config_space import loguniform, uniform
from syne_tune.optimizer.schedulers.pbt import PopulationBasedTraining

POLL = 0.02  # seconds; the default of 5 would be all that is measured


class Counting(PopulationBasedTraining):
    """Syne Tune's scheduler, which also counts the reports that it gets and keeps the best one."""

    reports = 0
    best: dict[str, Any] | None = None

    def on_trial_result(self, trial: Any, result: dict[str, Any]) -> str:
        self.reports += 1
        if self.best is None or result["score"] > self.best["score"]:
            self.best = result
        return super().on_trial_result(trial, result)


def main() -> None:
    name, mode, out = sys.argv[1:]
    logging.getLogger().setLevel(logging.ERROR)
    if name == "toy":
        job: Any = toy_job
        space: dict[str, Any] = {h: uniform(toy_job.LOW, toy_job.HIGH) for h in ("h0", "h1")}
        intervals = toy_job.REPORTS
    else:
        job = digits_job
        space = {"lr": loguniform(*digits_job.LR), "momentum": uniform(*digits_job.MOMENTUM)}
        intervals = digits_job.EPOCHS
    scheduler = Counting(
        config_space={**space, "job": name},
        metric="score",
        time_attr="interval",
        max_t=intervals,
        do_minimize=False,
        random_seed=0,
        population_size=job.MEMBERS,
        perturbation_interval=1,
        quantile_fraction=job.FRACTION,
        resample_probability=job.RESAMPLE,
    )
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SYNETUNE_FOLDER"] = folder
        Tuner(
            trial_backend=LocalBackend(entry_point=str(Path(__file__).with_name("syne_trial.py"))),
            scheduler=scheduler,
            # A trial that is replaced is not gone on with, and new ones are begun without end: the run is over when
            # there are as many reports as the others make.
            stop_criterion=StoppingCriterion(max_num_evaluations=job.MEMBERS * intervals - 1),
            n_workers=job.WORKERS if mode == "slots" else job.MEMBERS,
            sleep_time=POLL,
            callbacks=[],
            save_tuner=False,
            print_update_interval=1e9,
            results_update_interval=1e9,
        ).run()
    best = scheduler.best or {}
    Path(out).write_text(
        json.dumps(
            {
                "reports": scheduler.reports,
                "exploits": scheduler.num_perturbations,
                "score": best.get("score"),
                "accuracy": best.get("accuracy"),
            }
        )
    )


if __name__ == "__main__":
    main()
