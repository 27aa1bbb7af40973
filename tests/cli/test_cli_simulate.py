"""``warren simulate``: tables, sweeps, and what it says to nonsense."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cli.helpers import here

from warren.simulation.learners import GROUNDS

QUICK = ("--population", 4, "--intervals", 4, "--seeds", 3)


def test_without_a_learner_it_lists_them(tmp_path: Path) -> None:
    done = here(tmp_path, "simulate")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(GROUNDS)


def test_a_sweep_has_a_line_for_each_setting(tmp_path: Path) -> None:
    sweeps = ("--sweep", "every=1,2", "--sweep", "factors=0.8/1.25,0.5/2")
    done = here(tmp_path, "simulate", "regimes", *QUICK, *sweeps)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line for line in done.stdout.splitlines() if line.startswith("every=")]
    assert [line.split("  ")[0] for line in lines] == [
        "every=1, factors=0.8/1.25", "every=1, factors=0.5/2", "every=2, factors=0.8/1.25", "every=2, factors=0.5/2",
    ]  # fmt: skip


def test_options_reach_the_simulation(tmp_path: Path) -> None:
    """One worker does one member after another: 4 members of 4 intervals with an evaluation of 0.5 take 24."""
    options = ("--workers", 1, "--evaluation", 0.5, "--synchronous", "no", "--fraction", 0.25, "--resample", 0.25)
    done = here(tmp_path, "simulate", "plain", *QUICK, *options, "--donors", 1, "--noise", 0.01, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["learner"], told["seeds"], len(told["settings"])) == ("plain", 3, 1)
    setting = told["settings"][0]
    assert (setting["setting"], setting["makespan"], setting["cost"]) == ("PBT", 24.0, 24.0)
    assert len(setting["regrets"]) == len(setting["random_search"]["regrets"]) == 3


def test_other_strategies_go_by_their_names(tmp_path: Path) -> None:
    done = here(tmp_path, "simulate", "noisy", *QUICK, "--sweep", "strategy=PBT,RandomSearch")
    assert (done.returncode, done.stderr) == (0, "")
    found = next(line for line in done.stdout.splitlines() if line.startswith("strategy=RandomSearch"))
    assert "50 %" in found, "against itself every seed is a tie"


def test_a_report_is_a_page(tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    done = here(tmp_path, "simulate", "hill", *QUICK, "--report", "page.html")
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "warren simulate hill --population 4 --intervals 4 --seeds 3" in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("mnist",), "there is no learner 'mnist'; there is hill, plain, deceptive, regimes, noisy"),
        (("plain", "--strategy", "PTB"), "there is no strategy 'PTB'"),
        (("plain", "--population", "0"), "population must be at least 1, but got 0"),
        (("plain", "--population", "many"), "population=many must be a whole number"),
        (("plain", "--population", "9" * 5000), "must be a whole number"),
        (("plain", "--fraction", "0.9"), "fraction must lie in [0, 0.5]"),
        (("plain", "--fraction", "nan"), "fraction=nan must be a number"),
        (("plain", "--factors", "0.8x"), "factors=0.8x must be a number"),
        (("plain", "--factors", "-1/2"), "factors"),
        (("plain", "--every", "0"), "every"),
        (("plain", "--strategy", "RandomSearch", "--every", "2"), "RandomSearch has no option 'every'"),
        (("plain", "--seeds", "0"), "--seeds 0 must be at least 1"),
        (("plain", "--workers", "0"), "workers must be at least 1"),
        (("plain", "--synchronous", "maybe"), "synchronous=maybe must be yes or no"),
        (("plain", "--failures", "2"), "must lie in [0, 1], but got 2.0"),
        (("plain", "--stragglers", "-1"), "stragglers must be finite and not negative"),
        (("plain", "--sweep", "colour=1,2"), "'colour' cannot be swept; strategy, population"),
        (("plain", "--sweep", "every"), "must be a name and values, such as every=1,2,5"),
        (("plain", "--sweep", "every=1,two"), "every=two must be a whole number"),
        (("plain", "--sweep", "every=1,2", "--sweep", "every=3"), "'every' is swept already; give all its values"),
        (("plain", "--population", "100000000000"), "must be a whole number of at most 7 digits"),
        (("plain", "--intervals", "0"), "intervals must be at least 1"),
        (("plain", "--report", "no/such/page.html"), "no/such"),
    ],
)
def test_nonsense_is_one_line(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    done = here(tmp_path, "simulate", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("warren: ")
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr
