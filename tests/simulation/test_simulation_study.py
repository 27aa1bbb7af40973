"""Studies: the same seeds for all, random search at equal compute, and what is told of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from warren.errors import InvalidValue
from warren.population import Assign, Keys, Plan, View
from warren.simulation import Durations, Failures, plain, regimes, simulate
from warren.simulation.learners import GROUNDS
from warren.simulation.study import Case, Line, Runs, study
from warren.simulation.telling import HEADS, cells, record, render
from warren.space import Space
from warren.strategies import PBT, Perturb, RandomSearch, Truncation
from warren.strategies.moves import begin, keep

PBT2 = PBT(exploit=Truncation(fraction=0.25), explore=Perturb(factors=(0.5, 2.0)))


def line(regrets: list[float], control: list[float], wins: float) -> Line:
    """A line that is made up."""

    def runs(values: list[float]) -> Runs:
        given = np.array(values)
        ones = np.ones(len(values))
        return Runs(
            case=Case(), scores=1.2 - given, regrets=given, makespans=50 * ones, utilisations=0.5 * ones, costs=ones
        )

    return Line(name="a", runs=runs(regrets), control=runs(control), wins=wins)


def test_a_study_is_the_runs_that_it_is_made_of() -> None:
    """Scores and regrets of `simulate`, seed by seed; wins counted by hand from them."""
    cases = {"two": Case(strategy=PBT2, population=6), "same": Case(strategy=RandomSearch(), population=6)}
    found = study(lambda seed: plain(), cases, range(4))
    single = [simulate(plain(), PBT2, population=6, seed=seed).true for seed in range(4)]
    control = [simulate(plain(), RandomSearch(), population=6, seed=seed).true for seed in range(4)]
    assert found[0].runs.scores.tolist() == single
    assert found[0].runs.regrets.tolist() == pytest.approx([1.2 - one for one in single])
    assert found[0].control.scores.tolist() == control
    assert found[0].wins == sum(a > b for a, b in zip(single, control, strict=True)) / 4
    assert found[0].wins == 1.0
    assert found[1].wins == 0.5, "ties count half"
    assert found[0].runs.makespans.tolist() == [50.0] * 4


@dataclass(frozen=True, kw_only=True)
class Doubles:
    """Makes as many new members as there were when the first one is due, so that the run costs twice as much."""

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        return Plan(actions=tuple(begin(space, member, keys) for member in range(size)))

    def decide(self, view: View, keys: Keys) -> Plan:
        if (view.due.member, view.at) != (0, 1):
            return keep(intervals=100)
        new = (Assign(member=view.size + i, hyperparameters={"h": 1.0}, via="fresh") for i in range(view.size))
        return Plan(actions=tuple(new), intervals=100)


def test_random_search_has_as_many_members_as_the_compute_allows() -> None:
    """Six members that become twelve cost twice as much: random search has twelve."""
    found = study(lambda seed: plain(), {"doubles": Case(strategy=Doubles(), population=6, intervals=5)}, range(2))
    assert found[0].runs.costs.tolist() == [60.0, 60.0]
    assert found[0].control.case.population == 12
    assert found[0].control.costs.tolist() == [60.0, 60.0]


def test_all_cases_meet_the_same_task() -> None:
    """The jumps of a seed are those of its learner, whatever the case; another seed has others."""
    asked: list[int] = []

    def learner(seed: int) -> object:
        asked.append(seed)
        return regimes(seed)

    study(learner, {"a": Case(population=2, intervals=2)}, (3, 7))  # type: ignore[arg-type]
    assert asked == [3, 7, 3, 7]


def test_a_line_says_medians_and_the_worst_tenth() -> None:
    """Of regrets 1 to 10: median 5.5, ninth decile (the next one above 9.1) 10; the score is 1.2 less the median."""
    told = dict(zip(HEADS, cells(line([float(i) for i in range(1, 11)], [7.0], 0.25)), strict=True))
    assert told == {
        "setting": "a", "median score": "-4.3", "median regret": "5.5", "worst tenth": "10", "random search": "7",
        "wins": "25 %", "makespan": "50", "busy": "50 %", "cost": "1",
    }  # fmt: skip


def test_what_failed_altogether_is_told_all_the_same() -> None:
    """Infinite regrets: null for programs, and no NaN anywhere."""
    lines = [line([np.inf] * 3, [np.inf] * 3, 0.5)]
    assert "nan" not in " ".join(cells(lines[0]))
    assert json.loads(json.dumps(record(lines), allow_nan=False))[0]["median_regret"] is None
    case = Case(strategy=PBT2, population=2, intervals=2, failures=Failures(crash=1.0))
    assert study(lambda seed: plain(), {"dead": case}, range(2))[0].runs.regrets.tolist() == [np.inf, np.inf]


def test_stragglers_show_in_the_makespan() -> None:
    """Rounds wait for the slowest; without waiting every worker is busy until its member is done."""
    slow = Durations(stragglers=0.5)
    cases = {
        "rounds": Case(strategy=PBT2, population=8, intervals=20, durations=slow),
        "free": Case(strategy=PBT2, population=8, intervals=20, durations=slow, synchronous=False),
    }
    rounds, free = study(lambda seed: plain(), cases, range(5))
    assert np.all(rounds.runs.makespans > free.runs.makespans)
    assert np.all(rounds.runs.utilisations < free.runs.utilisations)


def test_no_seed_is_refused() -> None:
    """There is nothing to tell then."""
    with pytest.raises(InvalidValue, match="at least one seed"):
        study(lambda seed: plain(), {"a": Case()}, ())


def test_the_page_holds_the_figures_and_the_numbers(tmp_path: Path) -> None:
    """With every regret, and names as text."""
    pytest.importorskip("plotly")
    lines = study(lambda seed: GROUNDS["noisy"].learner(seed), {"<b>": Case(population=3, intervals=3)}, range(3))
    html = render("PBT on noisy", "warren simulate noisy", lines)
    assert "warren simulate noisy" in html
    assert "<b></td>" not in html
    assert "&lt;b&gt;" in html
    for regret in lines[0].runs.regrets.tolist():
        assert repr(regret) in html
