from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import warren
from warren.errors import InvalidValue, RunFailed, StateError
from warren.population import IntervalRow
from warren.results import Cost, Schedule, Step, lineage
from warren.results.result import Result

# The state is the sum of the gains that it was trained with, and so is the score: a lineage can be added up.
SPACE = {"gain": warren.Float(0.1, 10.0, scale="log"), "rule": {"kind": warren.Choice(("a", "b"))}}


def init(seed: int, hyperparameters: dict[str, Any]) -> dict[str, Any]:
    return {"total": np.zeros(1), "count": np.zeros(1, np.int64)}


def train(state: dict[str, Any], hyperparameters: dict[str, Any], rng: Any) -> dict[str, Any]:
    return {"total": state["total"] + hyperparameters["gain"], "count": state["count"] + 1}


def evaluate(state: dict[str, Any], rng: Any) -> tuple[float, dict[str, float]]:
    total = float(state["total"][0])
    return total, {"negated": -total}


ADDING = warren.Task(init=init, train_interval=train, evaluate=evaluate)


def added(**more: Any) -> Result:
    options: dict[str, Any] = {"goal": "max", "population": 6, "intervals": 8, "seed": 4, "held_out": "negated"}
    return warren.run(ADDING, space=SPACE, **{**options, **more})


@pytest.fixture(scope="module")
def result() -> Result:
    return added()


def row(id: int, **more: Any) -> IntervalRow:
    fields: dict[str, Any] = {"member": 0, "interval": id, "age": id, "hyperparameters": {"lr": 0.1}, "score": 1.0}
    return IntervalRow(id=id, **{**fields, **more})


def test_best_is_the_greatest_score_of_all_intervals(result: Result) -> None:
    scores = [line["score"] for line in result.table]
    assert result.best.score == max(scores)
    assert result.best.held_out == -max(scores)
    assert result.best.metrics == {"negated": -max(scores)}


def test_best_of_a_min_goal_is_the_smallest() -> None:
    result = added(goal="min")
    assert result.best.score == min(line["score"] for line in result.table)
    finals = [trained.score for trained in result.final]
    assert finals == sorted(finals)


def test_best_outlives_a_later_fall() -> None:
    def falls(state: dict[str, Any], rng: Any) -> float:
        count = int(state["count"][0])
        return float(count if count <= 3 else -count)

    result = warren.run(
        warren.Task(init=init, train_interval=train, evaluate=falls),
        space=SPACE,
        goal="max",
        population=3,
        intervals=6,
        strategy=warren.RandomSearch(),
    )
    assert (result.best.score, result.best.interval) == (3.0, 3)
    assert [trained.score for trained in result.final] == [-6.0, -6.0, -6.0]
    assert int(result.best.state()["state"]["count"][0]) == 3  # the state itself was kept, not only its number


def test_final_has_every_member_once_best_first(result: Result) -> None:
    assert sorted(trained.member for trained in result.final) == list(range(6))
    assert {trained.interval for trained in result.final} == {8}
    scores = [trained.score for trained in result.final]
    assert scores == sorted(scores, reverse=True)


def test_lineage_has_one_interval_for_each_age(result: Result) -> None:
    for trained in [result.best, *result.final]:
        chain = result.lineage(trained)
        assert [link.age for link in chain] == list(range(1, trained.age + 1))
        for before, after in itertools.pairwise(chain):
            assert after.parents[0] == before.id
            assert (after.origin in ("exploit", "rescue")) == (after.member != before.member)
    assert any(step.copied for step in result.schedule)


def test_gains_along_the_lineage_add_up_to_the_state(result: Result) -> None:
    for trained in [result.best, *result.final]:
        total = math.fsum(link.hyperparameters["gain"] for link in result.lineage(trained))
        state = trained.state()["state"]
        assert float(state["total"][0]) == pytest.approx(total, rel=1e-12)
        assert int(state["count"][0]) == trained.age


def test_lineage_ends_at_a_parent_that_is_not_there() -> None:
    rows = {i: row(i, parents=(i - 1,)) for i in (3, 4)}
    assert [link.id for link in lineage(rows, 4)] == [3, 4]
    assert lineage(rows, 9) == []


def test_lineage_follows_the_first_of_several_parents() -> None:
    rows = {1: row(1), 2: row(2), 3: row(3, parents=(2, 1))}
    assert [link.id for link in lineage(rows, 3)] == [2, 3]


def test_table_is_flat_and_whole(result: Result) -> None:
    table = result.table
    assert len(table) == 6 * 8
    assert {(line["member"], line["interval"]) for line in table} == {(m, i) for m in range(6) for i in range(1, 9)}
    assert set(table[0]) == {
        "member", "interval", "age", "origin", "parent", "id", "score", "status", "seconds",
        "hyperparameters.gain", "hyperparameters.rule.kind", "metrics.negated",
    }  # fmt: skip
    json.dumps(table)
    scores = {line["id"]: line["score"] for line in table}
    for line in table:
        before = scores[line["parent"]] if line["parent"] is not None else 0.0
        assert line["score"] == pytest.approx(before + line["hyperparameters.gain"], rel=1e-12)


def test_schedule_at_is_what_trained_the_state(result: Result) -> None:
    schedule = result.schedule
    assert len(schedule) == result.best.age
    assert math.fsum(schedule.at(age)["gain"] for age in range(1, 9)) == pytest.approx(result.best.score)
    assert schedule.at(8) == result.best.hyperparameters
    assert schedule.at(1000) == schedule.at(8)  # a longer training goes on with the last values
    assert schedule[-1].score == result.best.score
    assert isinstance(schedule[2], Step)
    with pytest.raises(InvalidValue, match="age=0 must be at least 1"):
        schedule.at(0)
    with pytest.raises(InvalidValue, match="0 steps"):
        Schedule([]).at(1)


def test_schedule_survives_a_file(result: Result, tmp_path: Path) -> None:
    file = tmp_path / "schedule.json"
    result.schedule.save(file)
    again = Schedule.load(file)
    assert list(again) == list(result.schedule)
    assert repr(again) == repr(result.schedule)
    body = json.loads(file.read_text())
    assert [step["age"] for step in body["steps"]] == list(range(1, 9))


@pytest.mark.parametrize("text", ["", "[]", '{"steps": 3}', '{"steps": [{"age": 1}]}', '{"steps": [{"wrong": 1}]}'])
def test_schedule_refuses_another_file(text: str, tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text(text)
    with pytest.raises(InvalidValue, match=r"other\.json is no schedule"):
        Schedule.load(file)


def test_saved_state_opens_with_safetensors(result: Result, tmp_path: Path) -> None:
    file = tmp_path / "best.safetensors"
    result.best.save(file)
    arrays = load_file(file)
    assert set(arrays) == {"state.total", "state.count"}
    assert arrays["state.total"][0] == result.best.score
    assert arrays["state.count"].dtype == np.int64


class Net:
    """Has `state_dict`, as a torch module does."""

    def __init__(self) -> None:
        self.weight = np.zeros(2)

    def state_dict(self) -> dict[str, Any]:
        return {"weight": self.weight}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weight[:] = state["weight"]


def tracked(slot: warren.Slot) -> None:
    net, steps = Net(), np.zeros(1)
    slot.track(net=net, steps=steps)
    for member in slot:
        net.weight += member["gain"], 1.0
        steps += 1
        member.report(float(net.weight[0]))


def test_load_puts_the_state_into_objects_in_place() -> None:
    result = warren.run(tracked, space={"gain": warren.Float(0.0, 1.0)}, goal="max", population=4, intervals=5, seed=1)
    net, steps = Net(), np.zeros(1)
    weight = net.weight
    result.best.load(net=net, steps=steps)
    assert net.weight is weight
    assert weight[0] == result.best.score
    assert (weight[1], steps[0]) == (5.0, 5.0)
    with pytest.raises(InvalidValue, match=r"load\(optimizer=...\): the state has net, steps, not 'optimizer'"):
        result.best.load(optimizer=net)
    with pytest.raises(StateError):
        result.best.load(steps=np.zeros(3))


def test_load_into_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    def train(slot: warren.Slot) -> None:
        net = torch.nn.Linear(2, 1)
        slot.track(net=net)
        for member in slot:
            with torch.no_grad():
                net.bias += member["gain"]
            member.report(float(net.bias))

    result = warren.run(train, space={"gain": warren.Float(0.0, 1.0)}, goal="max", population=2, intervals=2)
    net = torch.nn.Linear(2, 1)
    bias = net.bias
    result.best.load(net=net)
    assert net.bias is bias
    assert float(bias) == result.best.score
    result.best.save(tmp_path / "best.safetensors")
    assert set(load_file(tmp_path / "best.safetensors")) == {"net.weight", "net.bias"}


def test_digest_is_of_the_seed(result: Result) -> None:
    assert added().digest == result.digest
    assert added().best.digest == result.best.digest
    assert added(seed=5).digest != result.digest


def test_cost_counts_what_happened(result: Result) -> None:
    cost = result.cost
    assert cost.intervals == 48
    assert cost.units == 48.0
    assert cost.copies == sum(line["origin"] == "exploit" for line in result.table) > 0
    assert cost.training == pytest.approx(sum(line["seconds"] for line in result.table))
    assert 0 < cost.share < 1
    known = Cost(wall=5.0, training=9.9, overhead=0.1, intervals=4, units=4.0, copies=2)
    assert known.share == pytest.approx(0.01)
    assert str(known).startswith("PBT 1.0 % of workers' time: 0.1 s beside 9.9 s of training, 4 intervals, 2 copies")
    assert Cost(wall=0.0, training=0.0, overhead=0.0, intervals=0, units=0.0, copies=0).share == 0.0
    one = Cost(wall=0.0, training=0.0, overhead=0.0, intervals=1, units=1.0, copies=1)
    assert "1 interval, 1 copy, 0.0 s" in str(one)


def test_improved_is_a_staircase(result: Result) -> None:
    steps = result.improved()
    assert [score for _, score in steps] == sorted({score for _, score in steps})
    assert steps[0] == (1, result.intervals[0].score)
    assert steps[-1][1] == result.best.score


def test_no_best_without_a_finite_score() -> None:
    seen: list[Result] = []
    with pytest.raises(RunFailed):
        warren.run(
            warren.Task(init=init, train_interval=train, evaluate=lambda state, rng: math.nan),
            space=SPACE, goal="max", population=2, intervals=3, watch=seen.append,
        )  # fmt: skip
    result = seen[-1]
    with pytest.raises(RunFailed, match="no interval has reported a finite score"):
        _ = result.best
    assert result.final == []
    assert "best none yet" in repr(result)
    assert {line["status"] for line in result.table} == {"diverged"}


def test_repr_tells_the_score_and_where_it_came_from(result: Result) -> None:
    assert f"{result.best.score:.6g}" in repr(result.best)
    assert repr(result).startswith("<Result done, 48 intervals, best <Trained score=")
    assert repr(result.schedule) == f"<Schedule of 8 intervals, {sum(step.copied for step in result.schedule)} copies>"


# -- several scores ---------------------------------------------------------------------------------------------------

# By member: score, speed, cost. In score alone 3 and 4 are best. In score and speed: 0 (1, 9), 1 (2, 7) and 3 (4, 5)
# are left; 2 (2, 6) is bettered by 1, and 4 (4, 4) by 3. With the cost, which 2 has the least of, also 2; 4 still is
# not, since 3 costs the same. Member 5 has no number for its speed.
POINTS = [(1.0, 9.0, 5.0), (2.0, 7.0, 5.0), (2.0, 6.0, 1.0), (4.0, 5.0, 5.0), (4.0, 4.0, 5.0), (9.0, math.nan, 0.0)]


def several(goal: str = "max", population: int = 5) -> Result:
    sign = 1.0 if goal == "max" else -1.0

    def train(slot: warren.Slot) -> None:
        for member in slot:
            member.state = np.zeros(1)
            _ = member.flat
            score, speed, cost = POINTS[member.id]
            early = member.budget == 0  # what was reported before does not count
            member.report(sign * score - sign * 10.0 * early, speed=speed + 100.0 * early, cost_ms=cost)

    return warren.run(train, space=SPACE, goal=goal, population=population, intervals=2, strategy=warren.RandomSearch())


@pytest.mark.parametrize("goal", ["max", "min"])
@pytest.mark.parametrize(
    ("metrics", "members"),
    [
        ((), [3, 4]),
        (("speed",), [3, 1, 0]),
        (("speed", "-cost_ms"), [3, 1, 2, 0]),
        (("-speed",), [4]),
        (("cost_ms",), [3, 4]),
    ],
    ids=str,
)
def test_the_front_is_what_nobody_betters(goal: str, metrics: tuple[str, ...], members: list[int]) -> None:
    front = several(goal).front(*metrics)
    assert sorted(one.member for one in front) == sorted(members)
    assert [one.score for one in front] == sorted((one.score for one in front), reverse=goal == "max")
    assert all(one.interval == 2 and one.state()["state"].shape == (1,) for one in front)


def test_what_is_no_number_is_on_no_front() -> None:
    result = several(population=6)
    assert [one.member for one in result.front("speed")] == [3, 1, 0]
    assert [one.member for one in result.front("-cost_ms")] == [5]


def test_a_front_of_a_metric_that_nobody_reported() -> None:
    with pytest.raises(
        InvalidValue, match=r"front: metrics has '-size', and member \d did not report 'size' at .*speed"
    ):
        several().front("-size")


def test_a_front_of_nobody() -> None:
    def diverges(slot: warren.Slot) -> None:
        for member in slot:
            _ = member.flat
            member.report(math.nan)

    result = warren.run(diverges, space=SPACE, goal="max", population=2, intervals=1)
    assert result.front("speed") == []
