"""The digits job without Population Based Training: ``bare.py PROCESSES OUT``. No checkpoints, no record; the floor.

PROCESSES processes share the members; with 1, all of it happens in this one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import digits_job


def train(first: int, step: int) -> list[tuple[float, float]]:
    """Train every `step`-th member from `first` on; loss and accuracy of each."""
    draws = [digits_job.drawn(member) for member in range(digits_job.MEMBERS)]
    found = []
    for member in range(first, digits_job.MEMBERS, step):
        net, optimizer = digits_job.build(member, *draws[member])
        for interval in range(digits_job.EPOCHS):
            digits_job.epoch(net, optimizer, member, interval)
            result = digits_job.evaluate(net)
        found.append(result)
    return found


def main() -> None:
    processes, out, *place = sys.argv[1:]
    count = int(processes)
    if place:
        results = train(int(place[0]), count)
        print(json.dumps(results))
        return
    if count == 1:
        results = train(0, 1)
    else:
        # This process loads neither PyTorch nor data: those who train do so side by side.
        command = [sys.executable, __file__, processes, out]
        workers = [subprocess.Popen([*command, str(i)], stdout=subprocess.PIPE, text=True) for i in range(count)]
        results = [one for worker in workers for one in json.loads(worker.communicate()[0])]
    loss, accuracy = min(results)
    reports = len(results) * digits_job.EPOCHS
    Path(out).write_text(json.dumps({"reports": reports, "exploits": 0, "score": -loss, "accuracy": accuracy}))


if __name__ == "__main__":
    main()
