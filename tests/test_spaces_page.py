"""Every example of docs/spaces.md, executed as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import warren

PAGE = Path(__file__).parents[1] / "docs" / "spaces.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
SAYS = [
    r"-?\d\S* \{'lr': .*'optimizer': '(plain|sgd)'",
    r"\{'lr': 0.01, 'optimizer': 'sgd', 'momentum': 0.725\}",  # the middle of its range, and the default
    r"Space\(\{'lr': Float\(.*'layers': Int\(low=1, high=4, scale='linear', rebuild=True\).*'momentum': When\(",
]


@pytest.mark.parametrize(("block", "says"), list(zip(BLOCKS, SAYS, strict=True)), ids=["run", "configspace", "optuna"])
def test_an_example_runs_as_it_stands(tmp_path: Path, block: str, says: str) -> None:
    (tmp_path / "train.py").write_text(block)
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "train.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "never read" not in done.stderr
    assert re.match(says, done.stdout), done.stdout


def test_the_example_passes_the_check(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(BLOCKS[0] + '\n\ngoal = "max"\n')
    command = [sys.executable, "-m", "warren", "check", "train.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_the_page_names_is_there() -> None:
    names = set(re.findall(r"warren\.(\w+)\(", PAGE.read_text(encoding="utf-8")))
    assert {"When", "Sum", "Less", "Space", "from_ray", "from_optuna", "from_configspace"} <= names
    assert all(name in warren.__all__ for name in names)
