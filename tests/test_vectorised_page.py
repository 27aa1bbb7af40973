"""Every example of docs/vectorised.md, executed as it stands."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "vectorised.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
NEEDS = ["jax", "torch", "numpy", "numpy"]


def test_the_page_has_its_examples() -> None:
    assert len(BLOCKS) == len(NEEDS)


@pytest.mark.parametrize(("block", "needs"), list(zip(BLOCKS, NEEDS, strict=True)), ids=NEEDS[:3] + ["engines"])
def test_an_example_runs_as_it_stands(tmp_path: Path, block: str, needs: str) -> None:
    if importlib.util.find_spec(needs) is None:
        pytest.skip(f"{needs} is not installed")
    (tmp_path / "train.py").write_text(block)
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error::UserWarning", "train.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    if "run(" in block:
        assert re.match(r"-?\d+\.\d+", done.stdout), done.stdout
        assert "Traceback" not in done.stderr
    if "store=" in block:
        store = next((tmp_path / "runs").glob("*.db"))
        report = [sys.executable, "-m", "warren", "status", str(store)]
        told = subprocess.run(report, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=240)
        assert told.returncode == 0, told.stderr
        assert "done" in told.stdout
        # The file is found again by the store alone, whatever made the task.
        resume = [sys.executable, "-m", "warren", "resume", str(store), "--intervals", "21", "--plain"]
        more = subprocess.run(resume, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=240)
        assert more.returncode == 0, more.stderr
        assert f"{32 * 21:,}".replace(",", "") in (more.stdout + more.stderr).replace(",", "")
