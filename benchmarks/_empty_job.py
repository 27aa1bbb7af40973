"""An empty job in its own process, which tells when it began: ``_empty_job.py ENGINE STORE WORKERS OUT``.

Apart from the benchmark, so that nothing is imported that the job does not need; a worker loads this file too.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import warren

BEGAN = "WARREN_BENCHMARK_BEGAN"


def train(slot: warren.Slot) -> None:
    """Intervals that do nothing; the first in each process is written down."""
    own = Path(os.environ[BEGAN]) / str(os.getpid())
    for member in slot:
        if not own.exists():
            own.write_text(str(time.monotonic()))
        member.state = {"x": 0.0}
        member.report(member["lr"])


def main() -> None:
    engine, store, workers, out = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        os.environ[BEGAN] = folder
        warren.run(
            train,
            space={"lr": warren.Float(1e-4, 1.0, scale="log")},
            goal="max",
            population=2,
            intervals=1,
            engine=engine,
            store=None if store == "memory" else Path(folder) / "run.db",
            workers=int(workers),
        )
        began = [float(path.read_text()) for path in Path(folder).iterdir() if path.name.isdigit()]
    Path(out).write_text(json.dumps({"began": began, "over": time.monotonic()}))


if __name__ == "__main__":
    main()
