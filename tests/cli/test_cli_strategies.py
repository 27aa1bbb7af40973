"""``warren strategies``, and strategies by name in other commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cli.helpers import COMPLETE, here, opened

from warren.strategies.catalogue import MODULES


def test_they_are_listed_with_a_line_each(tmp_path: Path) -> None:
    done = here(tmp_path, "strategies")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(MODULES)
    assert lines[0].endswith("Population Based Training as published (Jaderberg et al. 2017)")


def test_one_says_all_of_itself(tmp_path: Path) -> None:
    done = here(tmp_path, "strategies", "dexpbt")
    assert done.returncode == 0
    assert done.stdout.startswith("DexPBT: PBT for noisy runs")
    assert "worst: Share of the population" in done.stdout


@pytest.mark.parametrize(
    "arguments", [("strategies", "PTB"), ("demo", "toy", "--strategy", "PTB"), ("run", "toy.py", "--strategy", "PTB")]
)
def test_an_unknown_one_is_said_in_a_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    (tmp_path / "toy.py").write_text(COMPLETE)
    done = here(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"warren: there is no strategy 'PTB'; there is {', '.join(MODULES)}\n"


def test_a_run_takes_one_by_name_and_the_option_wins(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(COMPLETE + "strategy = warren.PBT(explore='noise')\n")
    done = here(tmp_path, "run", "toy.py", "--workers", 1, "--strategy", "random-search")
    assert done.returncode == 0, done.stderr
    with opened(tmp_path / "runs" / "toy.db") as result:
        assert "RandomSearch" in str(result.store.config())
        assert all(row.origin in ("fresh", "continue") for row in result.intervals)


def test_the_toy_runs_one_by_name(tmp_path: Path) -> None:
    done = here(tmp_path, "demo", "toy", "--strategy", "GeneralisedPBT", "--seeds", 2, "--population", 8)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 seeds, 8 members" in done.stdout
    name, median, lowest, regret = done.stdout.splitlines()[-1].split()
    assert name == "GeneralisedPBT"
    assert 1.0 < float(lowest) <= float(median) < 1.2
    assert float(regret) == pytest.approx(1.2 - float(median), abs=1e-5)
    assert not (tmp_path / "toy.html").exists()
