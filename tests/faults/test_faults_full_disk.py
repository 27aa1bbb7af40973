"""A disk that is full for real: a small file system of the test's own, in a mount namespace that ends with it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.faults.injector import environment

import warren
from warren.testing.check import check

TRAIN = """
import os
import numpy as np
import warren

space = {"lr": warren.Float(1e-3, 1.0, scale="log")}
goal = "max"
population = 3
intervals = 6

def train(slot):
    x = np.full(int(os.environ["WARREN_TEST_SIZE"]), 3.0)
    slot.track(x=x)
    for member in slot:
        x -= member["lr"] * (0.1 * x + 0.01 * np.random.normal(size=x.shape))
        member.report(-float((x**2).mean()))
"""

SESSION = """
import json, os, subprocess, sys
from pathlib import Path

file, disk, room, record = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(disk)]).returncode:
    sys.exit(77)
from tests.faults.test_faults_full_disk import look

def run():
    command = [sys.executable, "-m", "warren", "run", file, "--store", str(disk / "run.db"), "--workers", "1"]
    done = subprocess.run([*command, "--plain"], capture_output=True, text=True)
    return {"code": done.returncode, "words": done.stderr, **look(disk / "run.db")}

free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
(disk / "ballast").write_bytes(b"x" * (free - room))
first = run()
(disk / "ballast").unlink()
record.write_text(json.dumps([first, run()]))
"""


def look(store: Path) -> dict[str, Any]:
    """What there is of a run: whether all is well, and its intervals."""
    try:
        result = warren.open_result(store)
    except warren.WarrenError:
        return {"wrong": [], "intervals": [], "digest": None}
    try:
        loaded = [result.states.load(name) is not None for name in sorted(result.store.kept())]
        assert all(loaded)
        return {
            "wrong": check(result.store, result.states),
            "intervals": [[row.member, row.interval, row.score] for row in result.intervals],
            "digest": result.digest,
        }
    finally:
        result.store.close()


def namespace() -> list[str] | None:
    """A command that runs another one where it may mount a file system, or None."""
    for options in ("-m", "-rm"):
        command = ["unshare", options]
        if shutil.which("unshare") is None:
            return None
        mount = "mount -t tmpfs none /tmp"
        if subprocess.run([*command, "sh", "-c", mount], capture_output=True).returncode == 0:
            return command
    return None


@pytest.mark.parametrize(
    ("size", "room"),
    [(12_500, 600_000), (2_500, 300_000), (2_500, 40_000)],
    ids=["files", "inline", "not even a store"],
)
def test_a_run_on_a_full_disk_ends_with_one_line_and_goes_on_when_there_is_space(
    tmp_path: Path, size: int, room: int
) -> None:
    command = namespace()
    if command is None:
        pytest.skip("a file system of one's own cannot be mounted here (unshare and mount are not permitted)")
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "disk").mkdir()
    environ = {**environment(), "WARREN_TEST_SIZE": str(size)}
    places = [tmp_path / "train.py", tmp_path / "disk", str(room), tmp_path / "record"]
    done = subprocess.run(
        [*command, sys.executable, "-c", SESSION, *map(str, places)], env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    first, last = json.loads((tmp_path / "record").read_text())
    assert first["code"] == 2
    lines = [line for line in first["words"].splitlines() if not line.startswith("warren: keeps at most ")]
    assert len(lines) == 1 and lines[0].startswith("warren: ") and "is full" in lines[0]
    assert first["wrong"] == []
    assert first["intervals"] == last["intervals"][: len(first["intervals"])]
    assert len(first["intervals"]) < len(last["intervals"]) == 18
    assert last["code"] == 0 and last["wrong"] == []
    plain = tmp_path / "plain.db"
    subprocess.run(
        [sys.executable, "-m", "warren", "run", str(places[0]), "--store", str(plain), "--workers", "1", "--plain"],
        env=environ,
        check=True,
        capture_output=True,
    )
    assert last["digest"] == look(plain)["digest"]
