"""``warren compare`` in a terminal: the table, JSON, the page, and one line for each mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from warren.cli.app import main

TRAIN = """
import math
import numpy as np
import warren

space = {"lr": warren.Float(1e-3, 1.0, scale="log")}
goal = "min"
held_out = "place"
population, intervals = 3, 4


def train(slot):
    for member in slot:
        start = member.state["x"] if member.state else np.random.default_rng(member.seed).normal(3.0, 1.0)
        x = float(start) * (1 - 0.5 * math.exp(-(math.log10(member["lr"] / 0.1) ** 2)))
        member.state = {"x": x}
        member.report(abs(x) + 0.01 * float(member.rng.normal()), place=abs(x))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "train.py").write_text(TRAIN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


SMALL = ["--seeds", "2", "--retrain", "1", "--workers", "1", "--against", "cosine,random"]


def test_the_table_the_page_and_the_same_command_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("plotly")
    assert main(["compare", "train.py", *SMALL, "--report", "page.html"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("no verdict on pbt against cosine: 2 seeds, and 10 are needed")
    assert "pbt/1: place" in printed.err
    assert "store runs/train-compare.db" in printed.out
    assert (folder / "page.html").read_text().count("data-figure=") == 5
    assert main(["compare", "train.py", *SMALL, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["design"]["primary"] == "cosine"
    assert list(again["strategies"]) == ["pbt", "cosine", "random"]
    told = float(next(line for line in printed.out.splitlines() if line.startswith("pbt  ")).split()[1])
    mean = sum(run["final"]["held_out"] for run in again["strategies"]["pbt"]) / 2
    assert told == pytest.approx(mean, rel=1e-3)


def test_the_candidate_may_be_any_strategy_and_the_file_may_have_its_own(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "train.py", "--strategy", "dexpbt", *SMALL, "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["strategies"]) == ["dexpbt", "cosine", "random"]
    more = 'strategies = {"mine": warren.PBT(every=2), "usual": warren.RandomSearch()}\n'
    (folder / "own.py").write_text(TRAIN + more)
    options = ["--seeds", "1", "--retrain", "0", "--workers", "1", "--json"]
    assert main(["compare", "own.py", *options]) == 0
    assert json.loads(capsys.readouterr().out)["design"]["primary"] == "usual"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.py"], "there is no file nowhere.py"),
        (["train.py", "--primary", "nobody"], "nobody"),
        (["train.py", "--primary", "pbt"], "is the candidate itself"),
        (["train.py", "--against", "foo"], "--against foo: there is no such control; there is cosine, random"),
        (["train.py", "--seeds", "0"], "seeds must be at least 1"),
        (["train.py", "--strategy", "zzz"], "there is no strategy 'zzz'"),
        (["train.py", "--goal", "up"], "has no 'up'"),
        (["train.py", "--budget", "-1"], "budget must be positive"),
        (["train.py", "--held-out-goal", "up"], "held_out_goal must be 'max' or 'min'"),
        (["train.py", "--report", "no/folder/page.html"], "cannot be written"),
        (["train.py", "--held-out", "nope"], "held_out='nope' is not among the reported metrics"),
    ],
)
def test_a_mistake_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    assert main(["compare", *arguments]) in (1, 2)
    printed = capsys.readouterr()
    assert words in printed.err
    assert printed.out == ""


def test_a_comparison_needs_a_metric_that_is_held_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bare.py").write_text(TRAIN.replace('held_out = "place"\n', ""))
    assert main(["compare", "bare.py"]) == 2
    assert "give --held-out test" in capsys.readouterr().err
