"""The example of docs/simulate.md, executed as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from warren.simulation.learners import GROUNDS

PAGE = (Path(__file__).parents[1] / "docs" / "simulate.md").read_text(encoding="utf-8")


def test_the_example_runs_as_it_stands(tmp_path: Path) -> None:
    """Deciding rarely beats random search where greed costs; synchronous members wait for stragglers."""
    [block] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "look.py").write_text(block)
    command = [sys.executable, "look.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stderr) == (0, "")
    found = re.findall(r": (\d\.\d+) after (\d+\.\d), (\d+)% busy", done.stdout)
    assert len(found) == 2
    (random, _, busy), (rarely, after, _) = found
    assert float(rarely) > float(random) and float(after) > 50 and int(busy) < 100


def test_every_learner_is_told_of() -> None:
    """The page's table has the learners of the catalogue, in its order."""
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == list(GROUNDS)
