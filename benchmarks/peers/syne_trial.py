"""What Syne Tune starts for each trial: trains from the checkpoint that it finds, and saves one before each report."""

from __future__ import annotations

import argparse
import os
import pickle
from pathlib import Path
from typing import Any

from syne_tune import Reporter


def train(options: argparse.Namespace, folder: Path) -> None:
    """Train to the end. A copy of a trial that was over says so once more: Syne Tune wants a report of each."""
    path = folder / "state"
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] | None = pickle.loads(path.read_bytes()) if path.exists() else None
    interval = found["interval"] if found else 0
    report = Reporter()

    def end(state: dict[str, Any], **numbers: float) -> None:
        # The trial may be ended, and the file copied, at any time: renaming keeps it whole.
        temporary = path.with_suffix(".new")
        temporary.write_bytes(pickle.dumps({**state, "interval": interval}, protocol=5))
        os.replace(temporary, path)
        report(interval=interval, **numbers)

    if options.job == "toy":
        import toy_job

        theta = found["theta"] if found else toy_job.start()
        if interval == toy_job.REPORTS:
            report(interval=interval, score=toy_job.score(theta))
        while interval < toy_job.REPORTS:
            theta, interval = toy_job.climb(theta, options.h0, options.h1), interval + 1
            end({"theta": theta}, score=toy_job.score(theta))
    else:
        import digits_job

        member = int(folder.parent.name)
        net, optimizer = digits_job.build(member, options.lr, options.momentum)
        if found:
            net.load_state_dict(found["net"])
            optimizer.load_state_dict(found["optimizer"])
            digits_job.tune(optimizer, options.lr, options.momentum)
        if interval == digits_job.EPOCHS:
            loss, accuracy = digits_job.evaluate(net)
            report(interval=interval, score=-loss, accuracy=accuracy)
        while interval < digits_job.EPOCHS:
            digits_job.epoch(net, optimizer, member, interval)
            interval += 1
            loss, accuracy = digits_job.evaluate(net)
            end({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, score=-loss, accuracy=accuracy)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--job", required=True)
    parser.add_argument("--st_checkpoint_dir", required=True)
    for name in ("lr", "momentum", "h0", "h1"):
        parser.add_argument(f"--{name}", type=float)
    given = parser.parse_args()
    train(given, Path(given.st_checkpoint_dir))
