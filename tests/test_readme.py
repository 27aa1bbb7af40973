"""The README's example, executed as it stands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

README = Path(__file__).parents[1] / "README.md"


def test_the_example_runs_as_it_stands_and_resumes(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 1
    (tmp_path / "train.py").write_text(blocks[0])
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "train.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    score, held_out = (float(word) for word in done.stdout.split()[:2])
    assert score > 0.9 and held_out > 0.85
    assert "80 intervals" in done.stdout
    bound, *between, cost = done.stderr.splitlines()
    assert all(re.match(r"warren: \d+/80 intervals", line) for line in between)  # told every few seconds
    assert bound.startswith("warren: keeps at most 26 checkpoints at a time") and cost.startswith("warren: PBT ")
    steps = json.loads((tmp_path / "schedule.json").read_text())["steps"]
    assert steps and set(steps[0]["hyperparameters"]) == {"lr", "momentum"}
    assert (tmp_path / "report.html").stat().st_size > 1_000_000
    assert (tmp_path / "best.safetensors").stat().st_size > 10_000
    again = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=240)
    assert again.returncode == 0 and again.stdout.splitlines()[0] == done.stdout.splitlines()[0]
