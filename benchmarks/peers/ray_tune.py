"""One run of Ray Tune's PBT: ``ray_tune.py JOB MODE OUT``, in an environment with ray[tune].

MODE is three words with hyphens: ``function`` or ``class``, ``async`` or ``sync``, ``slots`` (as many trials at a time
as there are CPUs, the others paused) or ``all`` (every trial has an actor all the time, which share the CPUs).
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import tempfile
from pathlib import Path
from typing import Any

# Before ray is imported. Nothing is logged, reported home, or written that the job does not ask for; the experiment's
# own state is written at the end only, and no dashboard, log monitor or copy of the working folder is started.
os.environ.update(
    RAY_AIR_NEW_OUTPUT="0",
    RAY_CHDIR_TO_TRIAL_DIR="0",
    RAY_DEDUP_LOGS="0",
    RAY_ENABLE_RECORD_ACTOR_TASK_LOGGING="0",
    RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS="0",
    RAY_USAGE_STATS_ENABLED="0",
    TUNE_DISABLE_AUTO_CALLBACK_LOGGERS="1",
    TUNE_GLOBAL_CHECKPOINT_S="100000",
    TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S="0",
)

import digits_job
import ray
import toy_job
from ray import tune
from ray.tune.schedulers import PopulationBasedTraining


class Counting(PopulationBasedTraining):
    """Ray Tune's scheduler, which also counts the reports that it gets."""

    reports = 0

    def on_trial_result(self, *arguments: Any, **options: Any) -> str:
        self.reports += 1
        return super().on_trial_result(*arguments, **options)

    def on_trial_complete(self, *arguments: Any, **options: Any) -> None:
        self.reports += 1  # the last report of a trial comes here and nowhere else
        return super().on_trial_complete(*arguments, **options)


def read(folder: str) -> dict[str, Any]:
    return pickle.loads((Path(folder) / "state").read_bytes())


def write(folder: str, state: dict[str, Any]) -> None:
    (Path(folder) / "state").write_bytes(pickle.dumps(state, protocol=5))


def member_of(trial: str | None) -> int:
    return int(str(trial).rsplit("_", 1)[-1])


class Hill:
    """The toy behind the three calls that both APIs need."""

    def __init__(self, member: int, config: dict[str, Any]) -> None:
        self.theta = toy_job.start()

    def load(self, state: dict[str, Any], config: dict[str, Any]) -> None:
        self.theta = state["theta"]

    def state(self) -> dict[str, Any]:
        return {"theta": self.theta}

    def train(self, config: dict[str, Any], interval: int) -> dict[str, float]:
        self.theta = toy_job.climb(self.theta, config["h0"], config["h1"])
        return {"score": toy_job.score(self.theta)}


class Digits:
    """The digits job behind the same three calls."""

    def __init__(self, member: int, config: dict[str, Any]) -> None:
        self.member = member
        self.net, self.optimizer = digits_job.build(member, config["lr"], config["momentum"])

    def load(self, state: dict[str, Any], config: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        digits_job.tune(self.optimizer, config["lr"], config["momentum"])

    def state(self) -> dict[str, Any]:
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}

    def train(self, config: dict[str, Any], interval: int) -> dict[str, float]:
        digits_job.epoch(self.net, self.optimizer, self.member, interval)
        loss, accuracy = digits_job.evaluate(self.net)
        return {"score": -loss, "accuracy": accuracy}


def function(kind: type, intervals: int) -> Any:
    """The function API: a loop that reports a checkpoint with each result."""

    def train(config: dict[str, Any]) -> None:
        job, interval = kind(member_of(tune.get_context().get_trial_id()), config), 0
        checkpoint = tune.get_checkpoint()
        if checkpoint:
            with checkpoint.as_directory() as folder:
                found = read(folder)
            job.load(found["job"], config)
            interval = found["interval"]
        while interval < intervals:
            result = job.train(config, interval)
            interval += 1
            with tempfile.TemporaryDirectory() as folder:
                write(folder, {"job": job.state(), "interval": interval})
                tune.report(result, checkpoint=tune.Checkpoint.from_directory(folder))

    return train


def trainable(kind: type) -> Any:
    """The class API, whose actors take over other trials without a restart."""

    class Member(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self.job = kind(member_of(self.trial_id), config)

        def step(self) -> dict[str, float]:
            return self.job.train(self.config, self.iteration)

        def save_checkpoint(self, folder: str) -> None:
            write(folder, self.job.state())

        def load_checkpoint(self, folder: str) -> None:
            self.job.load(read(folder), self.config)

        def reset_config(self, config: dict[str, Any]) -> bool:
            self.setup(config)
            return True

    return Member


def main() -> None:
    name, mode, out = sys.argv[1:]
    api, pace, place = mode.split("-")
    if name == "toy":
        kind, members, intervals = Hill, toy_job.MEMBERS, toy_job.REPORTS
        space = {h: tune.uniform(toy_job.LOW, toy_job.HIGH) for h in ("h0", "h1")}
        fraction, resample, cpus = toy_job.FRACTION, toy_job.RESAMPLE, toy_job.WORKERS
    else:
        kind, members, intervals = Digits, digits_job.MEMBERS, digits_job.EPOCHS
        space = {"lr": tune.loguniform(*digits_job.LR), "momentum": tune.uniform(*digits_job.MOMENTUM)}
        fraction, resample, cpus = digits_job.FRACTION, digits_job.RESAMPLE, digits_job.WORKERS
    bounds = {h: (domain.lower, domain.upper) for h, domain in space.items()}
    # Ray's mutations know no bounds; the others' do.
    scheduler = Counting(
        time_attr="training_iteration",
        perturbation_interval=1,
        hyperparam_mutations=space,
        quantile_fraction=fraction,
        resample_probability=resample,
        custom_explore_fn=lambda config: {
            **config,
            **{h: min(max(config[h], low), high) for h, (low, high) in bounds.items()},
        },
        log_config=False,
        synch=pace == "sync",
    )
    # Ray's own processes may still write while the folder is removed.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        ray.init(
            num_cpus=cpus,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=f"{folder}/ray",
        )
        checkpoints = {"checkpoint_frequency": 1} if api == "class" else {}
        tuner = tune.Tuner(
            tune.with_resources(
                trainable(kind) if api == "class" else function(kind, intervals),
                {"cpu": 1 if place == "slots" else cpus / members},
            ),
            param_space=space,
            tune_config=tune.TuneConfig(
                metric="score", mode="max", scheduler=scheduler, num_samples=members, reuse_actors=True
            ),
            run_config=tune.RunConfig(
                storage_path=f"{folder}/results",
                verbose=0,
                stop={"training_iteration": intervals},
                checkpoint_config=tune.CheckpointConfig(num_to_keep=4, **checkpoints),
            ),
        )
        results = tuner.fit()
        best = results.get_best_result()
        assert not results.errors, results.errors
        Path(out).write_text(
            json.dumps(
                {
                    "reports": scheduler.reports,
                    "exploits": scheduler._num_perturbations,
                    "score": best.metrics["score"],
                    "accuracy": best.metrics.get("accuracy"),
                }
            )
        )
        ray.shutdown()


if __name__ == "__main__":
    main()
