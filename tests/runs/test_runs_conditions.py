"""Whole runs of spaces with conditions and constraints: their decisions, their record, and what shows it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.cli.helpers import environment
from tests.training import conditional_loops as loops

import warren
from warren.cli.show import changes, schedule_table
from warren.errors import InvalidValue, RunMismatch, UnknownName
from warren.results.figures import story
from warren.results.lineage import Schedule, Step
from warren.space import Space

COMMON: dict[str, Any] = {"space": loops.SPACE, "goal": "max", "population": 6, "intervals": 6, "seed": 3}
STRATEGY = warren.PBT(explorers="ready", explore="resample")


def sound(result: warren.Result) -> None:
    assert result.run.status == "done"
    assert [event.body for event in result.events if event.kind == "failure"] == []
    assert len(result.intervals) == 36
    assert all(loops.legal(row.hyperparameters) for row in result.intervals)
    kinds = {row.hyperparameters["optimizer"] for row in result.intervals}
    assert kinds == {"plain", "momentum"}


@pytest.mark.parametrize("copy", ["both", "weights", "hyperparameters"])
def test_every_interval_is_trained_with_legal_hyperparameters(copy: Any) -> None:
    sound(warren.run(loops.descend, **COMMON, strategy=warren.PBT(copy=copy, explorers="ready", explore="resample")))


def test_processes_take_the_same_decisions_and_a_replay_takes_them_again(tmp_path: Path) -> None:
    inline = warren.run(loops.descend, **COMMON, strategy=STRATEGY, synchronous=True)
    store = tmp_path / "run.db"
    two = warren.run(loops.descend, **COMMON, strategy=STRATEGY, synchronous=True, store=store, workers=2)
    sound(two)
    values = [{(row.member, row.interval): row.hyperparameters for row in result.intervals} for result in (inline, two)]
    assert values[0] == values[1]
    found = warren.replay(store)  # the settings come from the record, and the rule's functions by their names
    assert found.different == ()
    assert found.decisions > 20


# -- first values ---------------------------------------------------------------------------------------------------


def first(**arguments: Any) -> list[dict[str, Any]]:
    result = warren.run(loops.descend, **{**COMMON, "intervals": 1, **arguments})
    return [row.hyperparameters for row in sorted(result.intervals, key=lambda row: row.member)]


def test_initial_values_stay_and_the_others_fit_them() -> None:
    drawn = first()
    plain = next(member for member, values in enumerate(drawn) if values["optimizer"] == "plain")
    other = next(member for member, values in enumerate(drawn) if values["optimizer"] == "momentum")
    initial: list[dict[str, Any]] = [{} for _ in drawn]
    initial[plain] = {"optimizer": "momentum"}
    initial[other] = {"optimizer": "plain", "total": 2}
    begun = first(initial=initial)
    assert all(loops.legal(values) for values in begun)
    assert 0.5 <= begun[plain].pop("momentum") <= 0.95
    assert begun[plain] == {**drawn[plain], "optimizer": "momentum"}
    expected = {**drawn[other], "optimizer": "plain", "total": 2, "warmup": min(drawn[other]["warmup"], 1)}
    del expected["momentum"]
    assert begun[other] == expected


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        ({"momentum": 0.9}, InvalidValue, "initial[0]: 'momentum' exists only with optimizer='momentum'"),
        ({"optimizer": "plain", "momentum": 0.9}, InvalidValue, "and optimizer is 'plain'; leave it out"),
        ({"warmup": 3, "total": 3}, InvalidValue, "initial[0]: warmup=3, total=3 must keep warmup < total"),
        ({"beta": 1}, UnknownName, "initial[0]: there is no hyperparameter 'beta'"),
    ],
)
def test_initial_values_that_do_not_go_together(values: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind) as caught:
        warren.run(loops.descend, **COMMON, initial=[values])
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_initial_values_that_leave_no_room() -> None:
    space = Space({"a": warren.Int(0, 9), "b": warren.Int(0, 5)}, constraints=[warren.Less("a", "b")])
    with pytest.raises(InvalidValue, match=r"initial\[0\]: a=7, b=\d cannot be repaired to keep a < b"):
        warren.run(loops.descend, space=space, goal="max", population=1, intervals=1, initial=[{"a": 7}])


# -- the record -----------------------------------------------------------------------------------------------------


def test_another_condition_or_constraint_refuses_and_says_what_differs(tmp_path: Path) -> None:
    store = tmp_path / "run.db"
    warren.run(loops.descend, **COMMON, store=store, workers=1)
    declared = loops.SPACE.declared
    free = Space({**declared, "momentum": loops.SPACE["momentum"]}, constraints=loops.SPACE.constraints)
    other = Space(declared, constraints=[warren.Less("warmup", "total")])
    for space, words in (
        (free, "space: momentum was When("),
        (other, "space: the constraints were Less(greater='total', smaller='warmup'), Rule("),
        (Space(declared), "and are none now"),
    ):
        with pytest.raises(RunMismatch) as caught:
            warren.run(loops.descend, **{**COMMON, "space": space}, store=store, workers=1)
        assert words in str(caught.value) and "\n" not in str(caught.value).strip()
    again = warren.run(loops.descend, **{**COMMON, "intervals": 7}, store=store, workers=1)
    assert len(again.intervals) == 42
    assert all(loops.legal(row.hyperparameters) for row in again.intervals)


def test_a_rule_without_a_name_goes_on_from_its_script_only(tmp_path: Path) -> None:
    store = tmp_path / "run.db"
    rule = warren.Rule(["lr"], holds=lambda values: values["lr"] < 0.4, repair=lambda values: {"lr": 0.4 / 2})
    given = {**COMMON, "space": Space({**loops.SPACE.declared}, constraints=[rule])}
    result = warren.run(loops.descend, **given, store=store, workers=1)
    assert all(row.hyperparameters["lr"] < 0.4 for row in result.intervals)
    assert warren.run(loops.descend, **{**given, "intervals": 7}, store=store, workers=1).run.total == 42
    with pytest.raises(InvalidValue, match="a Rule of the run's space has a function without a name"):
        warren.resume(store, intervals=8)


# -- what shows it --------------------------------------------------------------------------------------------------

FILE = """
import warren
from tests.training.conditional_loops import SPACE as space, descend

def train(slot):
    descend(slot)

goal = "max"
population = 6
intervals = 6
strategy = warren.PBT(explorers="ready", explore="resample")
"""


def test_the_command_copes_with_members_that_have_not_the_same(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(FILE)

    def command(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "warren", *arguments],
            cwd=tmp_path, capture_output=True, text=True, timeout=240,
            env=environment(PYTHONPATH=str(Path(__file__).parents[2])),
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    command("check", "train.py")
    command("run", "train.py", "--store", "a.db", "--workers", "2", "--plain")
    assert "momentum" in command("status", "a.db")
    command("resume", "a.db", "--intervals", "7", "--plain")
    command("replay", "a.db")
    command("retrace", "a.db")
    told = command("schedule", "a.db")
    result = warren.open_result(tmp_path / "a.db")
    names = {name for step in result.schedule for name in step.hyperparameters}
    assert all(name in told for name in names)
    command("report", "a.db", "-o", "report.html")
    assert (tmp_path / "report.html").stat().st_size > 1_000_000


def test_a_schedule_shows_what_was_there_for_a_while() -> None:
    values: list[dict[str, Any]] = [
        {"lr": 0.1, "optimizer": "adam"}, {"lr": 0.1, "optimizer": "sgd", "momentum": 0.9},
    ]  # fmt: skip
    schedule = Schedule([Step(age=age, hyperparameters=one) for age, one in enumerate(values, start=1)])
    assert changes(schedule) == [
        "lr: 0.1 all along",
        "optimizer: adam -> sgd (1 change)",
        "momentum: absent -> 0.9 (1 change)",
    ]
    table = schedule_table(schedule)
    assert [str(column.header) for column in table.columns][2:5] == ["lr", "optimizer", "momentum"]
    assert [str(cell) for cell in table.columns[4].cells] == ["", "0.9"]


def test_a_condition_is_seen_in_the_panels_of_a_report(tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    result = warren.run(loops.descend, **COMMON, store=store, workers=1, strategy=STRATEGY)
    space = result.store.config()["space"]  # type: ignore[index,call-overload]
    panels = {one.name: one for one in story(result.intervals, result.members, result.lineage(), space).panels}
    assert (panels["momentum"].axis, panels["momentum"].low, panels["momentum"].high) == ("linear", 0.5, 0.95)
    result.report(tmp_path / "report.html")
    assert ": absent" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_sound_loop_is_found_sound() -> None:
    """Other values are tried with the hyperparameters that then exist."""
    found = warren.check(
        loops.descend, space=loops.SPACE, goal="max", population=4, intervals=6, workers=1, tell=lambda line: None,
        initial=[{"optimizer": "momentum", "momentum": 0.9}],
    )  # fmt: skip
    assert found.ok, str(found)
    assert [one for one in found.all if one.level == "fault"] == []


def test_one_program_for_all_members_refuses_conditions() -> None:
    task = warren.StackedTask(init=_init, train_interval=_train, evaluate=_score)
    space = {"n": warren.Int(1, 2), "h0": warren.Float(0, 1), "h1": warren.When("n", 2, warren.Float(0, 1))}
    with pytest.raises(InvalidValue) as caught:
        warren.run(task, space=space, goal="max", population=2, intervals=1, engine="vectorised")
    assert "hyperparameter 'h1' exists only with certain values of 'n'" in str(caught.value)
    assert "engine='processes'" in str(caught.value) and "\n" not in str(caught.value)


def _init(seeds: Any, hyperparameters: Any) -> Any:
    return {"x": seeds * 1.0}


def _train(state: Any, hyperparameters: Any, rng: Any) -> Any:
    return state


def _score(state: Any, rng: Any) -> Any:
    return state["x"]


@pytest.mark.parametrize(
    ("kind", "damped"), [(warren.Choice(["plain", "damped"]), "damped"), (warren.Int(1, 2), 2)], ids=["text", "number"]
)
def test_jax_tasks_get_what_exists(kind: Any, damped: Any) -> None:
    """The state is 1 before the first interval; an interval multiplies it by 1 - lr, or by 1 - lr * damp."""
    jax = pytest.importorskip("jax")
    jnp = jax.numpy
    traced: list[bool] = []

    def train_interval(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
        traced.append("damp" in hyperparameters)
        return {"x": state["x"] * (1 - hyperparameters["lr"] * hyperparameters.get("damp", 1.0))}

    result = warren.run(
        warren.Task(
            init=lambda seed, hyperparameters: {"x": jnp.ones(())},
            train_interval=train_interval,
            evaluate=lambda state, rng: state["x"],
        ),
        space={
            "kind": kind,
            "lr": warren.Float(0.1, 0.5),
            "damp": warren.When("kind", damped, warren.Float(0.1, 0.9)),
        },
        goal="min",
        population=6,
        intervals=5,
        seed=2,
    )
    expected = 1.0
    for step in result.schedule:
        assert ("damp" in step.hyperparameters) == (step.hyperparameters["kind"] == damped)
        expected *= 1 - step.hyperparameters["lr"] * step.hyperparameters.get("damp", 1.0)
    assert result.best.score == pytest.approx(expected, rel=1e-5)
    assert {"damp" in row.hyperparameters for row in result.intervals} == {True, False} == set(traced)
    assert {row.status for row in result.intervals} == {"ok"}
    if damped == 2:  # compiled for each set of hyperparameters that exists; with texts it is called as it is written
        assert len(traced) < len(result.intervals)
