"""Comparisons that are carried out: pairs, budgets, what goes on after a kill, schedules trained again."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.comparison.tasks import SPACE, hill

import warren
from warren.comparison import Arm, Compared, Seeded, compare
from warren.comparison.replicate import replicate
from warren.errors import InvalidType, InvalidValue, RunMismatch, WarrenError
from warren.runs import open_result
from warren.stores.sqlite import runs_in
from warren.strategies import PBT, RandomSearch
from warren.strategies.controls import Cosine, Fixed, Follow, SuccessiveHalving

STRATEGIES = {"pbt": PBT(), "cosine": Cosine(), "random": RandomSearch()}


def carry_out(train: Any = hill, **more: Any) -> Compared:
    train = more.pop("train", train)
    options: dict[str, Any] = {
        "space": SPACE, "goal": "min", "held_out": "place", "strategies": STRATEGIES, "population": 3, "intervals": 4,
        "seeds": 2, "retrain": 0, "tell": lambda line: None,
    }  # fmt: skip
    return compare(train, **{**options, **more})


def outcome(found: Compared) -> dict[str, list[tuple[float, float]]]:
    return {
        name: [
            (run.final.held_out, run.best.held_out) for run in runs if run.final is not None and run.best is not None
        ]
        for name, runs in found.replicates.items()
    }


# -- what counts -----------------------------------------------------------------------------------------------------


def scripted(slot: Any) -> None:
    """Two members; scores 1, 5, 3 and 2, 4, 9 over three intervals, held out ten times as much; 2 units each."""
    scores = ((1.0, 5.0, 3.0), (2.0, 4.0, 9.0))
    for member in slot:
        member.state = {"lr": str(member["lr"])}
        score = scores[member.id][member.budget]
        member.report(score, cost=2.0, test=10 * score)


@pytest.mark.parametrize(
    ("budget", "final", "best", "cost", "beyond"),
    [
        # all six intervals: at the end 3 and 9
        (12.0, 9.0, 9.0, 12.0, 0.0),
        (100.0, 9.0, 9.0, 12.0, 0.0),
        # five: member 1's last is not paid for: at the end 3 and 4, the best ever was 5
        (10.0, 4.0, 5.0, 10.0, 2.0),
        (11.9, 4.0, 5.0, 10.0, 2.0),
        # three: 5 and 2
        (6.0, 5.0, 5.0, 6.0, 6.0),
        # one
        (2.0, 1.0, 1.0, 2.0, 10.0),
    ],
)
def test_reports_count_as_far_as_the_budget_goes(
    budget: float, final: float, best: float, cost: float, beyond: float
) -> None:
    result = warren.run(
        scripted, space=SPACE, goal="max", population=2, intervals=3, strategy=RandomSearch(), held_out="test",
        watch=lambda result: None,
    )  # fmt: skip
    read = replicate(result, arm="random", seed=0, goal="max", held_out="test", budget=budget)
    assert read.final is not None and read.best is not None
    assert (read.final.score, read.final.held_out) == (final, 10 * final)
    assert (read.best.score, read.best.held_out) == (best, 10 * best)
    assert (read.cost, read.beyond, read.intervals) == (cost, beyond, cost / 2)
    assert [moment.cost for moment in read.course][-1] == cost


def test_the_course_is_of_the_member_that_looks_best_at_the_time() -> None:
    """After 2, 4, ... units: 1 of member 0; 2 of member 1; 5 of member 0; 5 still; of 3 and 4 the 4; 9."""
    result = warren.run(
        scripted, space=SPACE, goal="max", population=2, intervals=3, strategy=RandomSearch(), held_out="test",
        watch=lambda result: None,
    )  # fmt: skip
    read = replicate(result, arm="random", seed=0, goal="max", held_out="test", budget=12.0)
    assert [(moment.cost, moment.now.score) for moment in read.course] == [
        (2, 1),
        (4, 2),
        (6, 5),
        (8, 5),
        (10, 4),
        (12, 9),
    ]


def test_costs_other_than_one_need_a_budget() -> None:
    """Population x intervals is no number of units then; and the user may have meant a metric of that name."""
    options: dict[str, Any] = {"held_out": "test", "goal": "max", "population": 2, "intervals": 3}
    with pytest.raises(InvalidValue, match=r"give budget= in the unit of .* a metric of your own, report it"):
        carry_out(scripted, **options)
    found = carry_out(scripted, budget=10.0, **options)
    assert all(run.cost == 10.0 for runs in found.replicates.values() for run in runs)


def test_a_budget_that_pays_for_nothing_is_told_of() -> None:
    """An interval costs 1."""
    with pytest.raises(InvalidValue, match=r"within its budget of 0\.5 units; is it reported, and does the budget pay"):
        print(carry_out(budget=0.5))


def test_no_strategy_spends_more_than_the_others(tmp_path: Path) -> None:
    """16 units for each; halving asks for far more members than that pays for, and is stopped."""
    greedy = Arm(strategy=SuccessiveHalving(), population=60)
    found = carry_out(strategies={**STRATEGIES, "halving": greedy}, population=4, intervals=4)
    assert {run.cost for runs in found.replicates.values() for run in runs} == {16.0}
    assert [(run.intervals, run.beyond) for run in found.replicates["halving"]] == [(16, 0.0)] * 2


def test_a_strategy_of_which_nothing_is_left_counts_as_the_worst() -> None:
    """With the rate of `broken` every report is NaN, and after three in a row each member is out: the run fails."""

    def train(slot: Any) -> None:
        for member in slot:
            member.state = {"nothing": "at all"}
            member.report(math.nan if member["lr"] == 1.0 else 1.0, place=member["lr"])

    broken = Follow(schedule=[{"lr": 1.0}])
    sound = Follow(schedule=[{"lr": 0.25}])
    found = carry_out(train, strategies={"broken": broken, "sound": sound, "half": Follow(schedule=[{"lr": 0.5}])})
    assert found.failed == ("broken/0", "broken/1")
    assert found.held_out("broken").tolist() == [0.5, 0.5]
    assert found.held_out("sound").tolist() == [0.25, 0.25]


def test_a_training_function_that_never_works_ends_the_comparison() -> None:
    def train(slot: Any) -> None:
        for _ in slot:
            raise ZeroDivisionError

    with pytest.raises(WarrenError, match="ZeroDivisionError"):
        carry_out(train)


# -- pairs -----------------------------------------------------------------------------------------------------------


def test_runs_of_one_seed_begin_alike(tmp_path: Path) -> None:
    """The same first hyperparameters and the same fresh states for all strategies; others for the next seed."""
    store = tmp_path / "c.db"
    carry_out(store=store, workers=1)

    def begun(name: str) -> list[Any]:
        result = open_result(store, name)
        first = [row for row in result.intervals if row.interval == 1]
        return [
            (row.member, row.hyperparameters, row.metrics["place"]) for row in sorted(first, key=lambda r: r.member)
        ]

    assert begun("pbt/0") == begun("cosine/0") == begun("random/0")
    assert begun("pbt/1") == begun("random/1") != begun("pbt/0")


def test_a_task_of_its_own_for_each_seed() -> None:
    """`Seeded` gives each seed its task, the same to all strategies."""
    made: list[int] = []

    def make(seed: int) -> Any:
        made.append(seed)

        def train(slot: Any) -> None:
            for member in slot:
                member.state = {"lr": str(member["lr"])}
                member.report(0.0, place=float(seed))

        return train

    found = carry_out(Seeded(make=make), seed=7)
    assert [found.held_out(name).tolist() for name in STRATEGIES] == [[7.0, 8.0]] * 3
    assert made == [7, 7, 7, 8, 8, 8]


def test_the_outcome_is_that_of_the_runs_themselves() -> None:
    found = carry_out()
    for seed in (0, 1):
        result = warren.run(
            hill, space=SPACE, goal="min", population=3, intervals=4, strategy=PBT(), seed=seed, held_out="place",
            watch=lambda result: None,
        )  # fmt: skip
        assert outcome(found)["pbt"][seed] == (result.final[0].held_out, result.best.held_out)


# -- durability ------------------------------------------------------------------------------------------------------


def test_it_goes_on_where_it_was_interrupted_and_trains_nothing_twice(tmp_path: Path) -> None:
    """Interrupted after the third run; the second call trains the other three, a third call none."""
    trained: list[str] = []

    def train(slot: Any) -> None:
        trained.append("a run")
        hill(slot)

    def stop(line: str) -> None:
        lines.append(line)
        if len(lines) == 3:
            raise KeyboardInterrupt

    lines: list[str] = []
    store = tmp_path / "c.db"
    with pytest.raises(KeyboardInterrupt):
        carry_out(train, store=store, workers=1, tell=stop)
    assert [line.split(":")[0] for line in lines] == ["pbt/0", "cosine/0", "random/0"]
    assert len(trained) == 3
    found = carry_out(train, store=store, workers=1)
    assert len(trained) == 6
    again = carry_out(train, store=store, workers=1)
    assert len(trained) == 6
    assert outcome(again) == outcome(found) == outcome(carry_out(train))
    assert set(runs_in(store)) == {"comparison", *(f"{name}/{seed}" for name in STRATEGIES for seed in (0, 1))}


def test_how_much_is_kept_is_told_once_and_not_for_each_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Six runs of one size: their number and one bound. With a population of its own, an arm has another bound."""
    carry_out(store=tmp_path / "c.db", workers=1)
    told = capfd.readouterr().err
    assert told.count("warren: 6 runs; each keeps its own checkpoints") == 1
    assert told.count("keeps at most") == 1
    arms = {"pbt": PBT(), "large": Arm(strategy=RandomSearch(), population=5)}
    carry_out(store=tmp_path / "d.db", workers=1, strategies=arms, retrain=1)
    told = capfd.readouterr().err
    assert told.count("warren: 4 runs, then 2 of found schedules; each keeps its own checkpoints") == 1
    assert told.count("keeps at most") == 2


KILLED = """
import os, signal, sys
from tests.comparison.test_comparison_compare import carry_out, hill

def train(slot):
    def killed():
        for count, member in enumerate(slot, start=1):
            if count == 6 and len(sys.argv) > 2:
                os.kill(os.getpid(), signal.SIGKILL)
            yield member

    hill(killed())

carry_out(train, store=sys.argv[1], workers=1)
"""


def test_killed_in_the_middle_of_a_run_it_comes_to_the_same(tmp_path: Path) -> None:
    """kill -9 in the first run's sixth interval; called again, the outcome is that of a run without it."""
    store = tmp_path / "c.db"
    command = [sys.executable, "-c", KILLED, str(store)]
    root = str(Path(__file__).parents[2])
    killed = subprocess.run([*command, "kill"], cwd=root, capture_output=True, text=True, timeout=240)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert open_result(store, "pbt/0").run.total == 5
    again = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=240)
    assert again.returncode == 0, again.stderr
    assert outcome(carry_out(store=store, workers=1)) == outcome(carry_out())


@dataclass(frozen=True, kw_only=True)
class Climb:
    """A task with settings."""

    steps: int = 1

    def __call__(self, slot: Any) -> None:
        for member in slot:
            member.state = {"x": np.zeros(1)}
            member.report(float(self.steps), place=float(self.steps))


def test_runs_of_a_task_with_other_settings_are_not_compared(tmp_path: Path) -> None:
    store = tmp_path / "c.db"
    carry_out(Climb(), store=store, workers=1)
    with pytest.raises(RunMismatch, match="was begun with another task: steps=1, now 100; put it back"):
        carry_out(Climb(steps=100), store=store, workers=1, seeds=3)
    assert carry_out(Climb(), store=store, workers=1, seeds=3).seeds == 3


def test_code_that_has_changed_between_two_calls_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "c.db"
    carry_out(store=store, workers=1)
    carry_out(store=store, workers=1)
    assert "has changed" not in capsys.readouterr().err
    monkeypatch.setattr("warren.engines.entry.file_digest", lambda file: "another")
    carry_out(store=store, workers=1)
    assert capsys.readouterr().err.count("has changed since the comparison began; runs that are over stay") == 1


def test_what_is_compared_is_settled_before_the_first_run(tmp_path: Path) -> None:
    store = tmp_path / "c.db"
    carry_out(store=store, workers=1)
    with pytest.raises(RunMismatch, match="primary = 'cosine', and the call has 'random'"):
        carry_out(store=store, workers=1, primary="random")
    with pytest.raises(RunMismatch, match=r"with arms\.pbt\.strategy\.every = 1, and the call has 2; what"):
        carry_out(store=store, workers=1, strategies={**STRATEGIES, "pbt": PBT(every=2)})
    with pytest.raises(RunMismatch, match=r"with arms\.more = nothing, and the call has Arm\(.*PBT\(.*every=2"):
        carry_out(store=store, workers=1, strategies={**STRATEGIES, "more": PBT(every=2)})
    with pytest.raises(RunMismatch, match=r"fixed\.strategy\.hyperparameters = .*1\.0.*, and the call has .*1"):
        fixed = tmp_path / "f.db"
        for value in (1.0, 1):  # equal, and not the same
            carry_out(store=fixed, workers=1, strategies={**STRATEGIES, "fixed": Fixed(hyperparameters={"lr": value})})
    with pytest.raises(RunMismatch, match="space"):
        carry_out(store=store, workers=1, space={"lr": warren.Float(1e-2, 1.0, scale="log")})
    with pytest.raises(RunMismatch, match="seeds = 2, and the call has 1"):
        carry_out(store=store, workers=1, seeds=1)
    with pytest.raises(RunMismatch, match="with another task: hill, now scripted; put it back"):
        carry_out(scripted, store=store, workers=1, seeds=3)
    assert carry_out(store=store, workers=1).design.raised == (), "a call that was refused asked for no more seeds"
    with pytest.raises(RunMismatch, match="no comparison's"):
        warren.run(hill, space=SPACE, goal="min", population=2, intervals=1, store=tmp_path / "o.db", workers=1,
                   name="comparison", watch=lambda result: None)  # fmt: skip
        carry_out(store=tmp_path / "o.db", workers=1)


def test_more_seeds_may_be_asked_for_and_that_is_told(tmp_path: Path) -> None:
    store = tmp_path / "c.db"
    first = carry_out(store=store, workers=1)
    more = carry_out(store=store, workers=1, seeds=3)
    assert more.design.raised == (2,)
    assert outcome(more)["pbt"][:2] == outcome(first)["pbt"]
    assert carry_out(store=store, workers=1, seeds=3).design.raised == (2,)


# -- schedules -------------------------------------------------------------------------------------------------------


def test_schedules_are_trained_again_on_fresh_seeds(tmp_path: Path) -> None:
    """The candidate's and the best control's: by what selection saw, from the run that it liked best."""
    store = tmp_path / "c.db"
    found = carry_out(store=store, workers=1, retrain=3)
    candidate, control = found.retrained
    assert candidate.arm == "pbt"
    scores = {name: [run.final.score for run in runs if run.final] for name, runs in found.replicates.items()}
    assert control.arm == min(("cosine", "random"), key=lambda name: sum(scores[name]))
    assert candidate.found_on == min((0, 1), key=lambda seed: scores["pbt"][seed])
    result = open_result(store, f"pbt/{candidate.found_on}")
    assert list(candidate.schedule) == [row.hyperparameters for row in result.lineage(result.final[0])]
    for place in range(3):
        again = open_result(store, f"pbt schedule of {candidate.found_on}/{1_000_000 + place}")
        ends = [row for row in again.intervals if row.interval == 4]
        assert [row.hyperparameters for row in again.intervals if row.member == 0] == list(candidate.schedule)
        assert candidate.single[place] == pytest.approx(sum(row.metrics["place"] for row in ends) / 3)
        assert candidate.best_of[place] == min(ends, key=lambda row: row.score or 0.0).metrics["place"]


# -- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"primary": "nobody"}, InvalidValue, "primary='nobody' must be one of the strategies: pbt, cosine, random"),
        ({"primary": "pbt"}, InvalidValue, "is the candidate itself"),
        ({"candidate": "x"}, InvalidValue, "candidate='x' must be one of"),
        ({"seeds": 0}, InvalidValue, "seeds must be at least 1"),
        ({"budget": -1.0}, InvalidValue, "budget must be positive"),
        ({"budget": "all"}, InvalidType, "budget must be a number"),
        ({"held_out": None}, InvalidType, "held_out must be the name"),
        ({"held_out": "cost"}, InvalidValue, r"held_out='cost' is no metric: member.report\(cost=...\) has a meaning"),
        ({"held_out_goal": "up"}, InvalidValue, "held_out_goal must be 'max' or 'min'"),
        ({"strategy": PBT()}, InvalidValue, "strategy= is set by the comparison itself"),
        ({"tell": 3}, InvalidType, "tell must be a function"),
        ({"train": 3}, InvalidType, "train must be a function"),
        ({"store": 3}, InvalidType, "store must be the path"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused(more: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        carry_out(**more)


def test_a_primary_is_chosen_where_none_is_named() -> None:
    assert carry_out(seeds=1).design.primary == "cosine"
    assert carry_out(seeds=1, candidate="cosine").design.primary == "random"
    two = {"a": PBT(), "b": PBT(explore="none")}
    assert carry_out(seeds=1, strategies=two).design.primary == "b"
