from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext
from functools import cache

import numpy as np
import pytest

import warren
from warren.engines import entry_of
from warren.errors import InvalidValue
from warren.zoo.toy import command
from warren.zoo.toy.figure2 import INITIAL, PANELS, STEPS, Outcome, run_panel, strategy
from warren.zoo.toy.tasks import HILL, LEARNING_RATE, PEAK

SEEDS = range(50)


def silent():
    return nullcontext(lambda result: None)


@cache
def outcomes(panel: str, synchronous: bool) -> tuple[Outcome, ...]:
    return tuple(run_panel(panel, seed, synchronous=synchronous) for seed in SEEDS)


def best(panel: str, synchronous: bool = False) -> np.ndarray:
    return np.array([outcome.best for outcome in outcomes(panel, synchronous)])


@pytest.mark.parametrize("synchronous", [False, True])
@pytest.mark.parametrize("panel", ["grid", "exploit only"])
def test_without_exploring_one_coordinate_stays_where_it_was(panel, synchronous):
    # A step multiplies theta by 1 - 2 * lr * h, and the other coordinate has h = 0.
    theta = 0.9 * 0.98**200
    assert run_panel(panel, 3, synchronous=synchronous).best == pytest.approx(1.2 - 0.9**2 - theta**2, abs=1e-12)
    assert round(1.2 - 0.9**2 - theta**2, 5) == 0.38975


def test_with_both_weights_at_one_the_hill_is_climbed():
    result = warren.run(
        HILL,
        space={"h0": warren.Float(0, 1), "h1": warren.Float(0, 1)},
        goal="max",
        population=1,
        intervals=STEPS,
        initial=[{"h0": 1, "h1": 1}],
        strategy=warren.RandomSearch(),
    )
    assert result.best.score == pytest.approx(1.2 - 2 * (0.9 * 0.98**200) ** 2, abs=1e-12)
    assert round(result.best.score, 5) == 1.19950


@pytest.mark.parametrize("synchronous", [False, True])
def test_figure_2(synchronous):
    both = best("both", synchronous)
    assert np.median(both) >= 1.195
    assert np.percentile(both, 10) >= 1.185
    assert both.max() < PEAK


def test_copying_and_exploring_together_beat_exploring_alone():
    both, explore = best("both"), best("explore only")
    assert np.mean(both > explore) >= 0.95
    assert np.median(PEAK - both) < np.median(PEAK - explore) / 5
    assert np.median(explore) > 0.9  # which beats the grid


def test_only_a_copy_jumps_and_only_the_copier_explores():
    outcome = run_panel("both", 0)
    steps = np.diff(outcome.paths, axis=1) / outcome.paths[:, :-1]  # of each step: -2 * lr * h
    h = -steps / (2 * LEARNING_RATE)
    copied = outcome.copied[:, 1:]
    for member, initial in enumerate(INITIAL):
        own = np.cumsum(copied[member]) == 0  # before its first copy
        assert np.allclose(h[member, own], (initial["h0"], initial["h1"]))
        later = np.flatnonzero(~own & ~copied[member])
        unchanged = later[~copied[member][later - 1]]
        assert np.allclose(h[member, unchanged], h[member, unchanged - 1], atol=1e-9)
        assert set(np.flatnonzero(copied[member]) % 4) == {0}  # after every fourth step
    # Of two that are ready at the same step at most one copies.
    assert not np.any(copied[0] & copied[1])
    assert copied.any()


def test_without_exploit_nobody_copies_and_everybody_explores():
    outcome = run_panel("explore only", 0)
    assert not outcome.copied.any()
    assert np.all(outcome.paths[:, -1] < 0.9)


def test_a_panel_repeats_itself():
    a, b = run_panel("both", 7), run_panel("both", 7)
    assert np.array_equal(a.paths, b.paths)
    assert not np.array_equal(a.paths, run_panel("both", 8).paths)


def test_an_unknown_panel_is_refused():
    with pytest.raises(InvalidValue, match="'gird' must be one of 'grid'"):
        strategy("gird")


def test_workers_find_the_task_by_name():
    assert (entry_of(HILL).kind, entry_of(HILL).name) == ("module", "HILL")


def test_the_demo_prints_the_panels_and_draws_them(tmp_path, capsys):
    pytest.importorskip("plotly")
    page = tmp_path / "toy.html"
    assert command.main(["--seeds", "1", "--report", str(page)], live=silent) == 0
    printed = capsys.readouterr().out
    for panel in PANELS:
        assert panel in printed
    assert "0.38975" in printed and "8.10e-01" in printed
    drawn = page.read_text(encoding="utf-8")
    assert "both: Q = 1.19" in drawn
    assert 'src="http' not in drawn  # opens without a network


def test_the_demo_goes_on_without_plotly(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    page = tmp_path / "toy.html"
    assert command.main(["--seeds", "1", "--report", str(page)], live=silent) == 0
    assert 'pip install "warren[report]"' in capsys.readouterr().out
    assert not page.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--seeds", "0"], "--seeds: '0' must be"), (["--sedes", "3"], "--sedes"), (["--seeds"], "--seeds")],
)
def test_a_wrong_option_is_said_in_one_line(arguments, said):
    with pytest.raises(InvalidValue, match=said) as caught:
        command.main(arguments, live=silent)
    assert "\n" not in str(caught.value)


def test_a_picture_that_cannot_be_written_is_said_in_one_line(tmp_path):
    pytest.importorskip("plotly")
    with pytest.raises(InvalidValue, match=r"--report .* cannot be written"):
        command.main(["--seeds", "1", "--report", str(tmp_path / "nowhere" / "toy.html")], live=silent)


def test_listing_the_demos_loads_nothing_heavy():
    code = (
        "import sys, warren.zoo.toy, warren.zoo.digits;"
        "print([name for name in ('torch', 'sklearn', 'plotly', 'numpy', 'scipy') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"
