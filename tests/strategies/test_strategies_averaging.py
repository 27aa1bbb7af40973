"""HDET: who is averaged with whom, how the base moves, how members fan out; against numbers worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import warren
from warren.errors import InvalidValue, UnknownName
from warren.population import Assign, Keys
from warren.space import Float, Int, Space
from warren.strategies.averaging import Averaging, kin
from warren.testing.strategies import Population, StrategyContract, assigned, keys_of

LINE = Space({"lr": Float(1e-3, 10.0, scale="log"), "decay": Float(0.0, 1.0)})


class TestContract(StrategyContract):
    @pytest.fixture
    def strategy(self) -> Averaging:
        return Averaging()


class TestContractOfOtherNames(StrategyContract):
    @pytest.fixture
    def strategy(self) -> Averaging:
        return Averaging(names=("momentum", "net.dropout"), spread=0.9, every=2, rate=5.0, decay=0.5)


def family(
    scores: list[list[float | None]], values: list[dict[str, Any]] | None = None, space: Space = LINE, **options: Any
) -> Population:
    """Members that all descend from member 0's first interval."""
    first = Population(scores, space=space)
    ids = {(row.member, row.interval): row.id for row in first.rows}
    fields: dict[tuple[int, int], dict[str, Any]] = {}
    for member, interval in ids:
        parent = ids[(0 if interval == 2 else member), interval - 1] if interval > 1 else None
        fields[member, interval] = {"parents": () if parent is None else (parent,)}
        if values is not None:
            fields[member, interval]["hyperparameters"] = values[member]
        fields[member, interval].update(options.get(f"m{member}i{interval}", {}))
    return Population(scores, space=space, fields=fields)


def test_kin_share_an_ancestor() -> None:
    """After interval 1 all are strangers; after 2 all descend from member 0's first, but the one made afresh."""
    people = family([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]], m2i2={"parents": (), "origin": "fresh"})
    early = people.view(1, budget=1)
    assert [row.member for row in kin(early, early.facts.rows)] == [0]
    late = people.view(1)
    assert [row.member for row in kin(late, late.facts.rows)] == [0, 1]
    assert [row.member for row in kin(late, late.facts.rows[::-1])] == [2]


def test_the_first_turn_is_a_copy_of_the_best() -> None:
    """States from different seeds have no mean."""
    people = Population([[1.0], [3.0], [2.0]], space=LINE)
    for member in range(3):
        view = people.view(member)
        action = assigned(Averaging().decide(view, keys_of(view)), member)
        assert action is not None
        expected = ("keep", ()) if member == 1 else ("copy", ("1@1",))
        assert (action.via, action.sources) == expected
        assert action.hyperparameters["decay"] == people.values[1]["decay"]


def test_then_all_take_the_mean_of_all_the_best_first() -> None:
    """In the same order for every member, so that the means are the same to the last bit; one diverged."""
    people = family([[1.0, 1.0], [3.0, 4.0], [2.0, 9.0], [2.0, math.nan]])
    for member in range(4):
        view = people.view(member)
        action = assigned(Averaging().decide(view, keys_of(view)), member)
        assert action is not None
        assert (action.via, action.sources) == ("mean", ("2@2", "1@2", "0@2"))


def test_members_fan_out_symmetrically() -> None:
    """rho for N = 4 and a = 0.3: 0.7, 0.9, 1.1, 1.3; for N = 2: 0.7, 1.3; for N = 1: 1."""
    rule = Averaging(spread=0.3)
    assert [rule.factor(r, 4) for r in range(4)] == pytest.approx([0.7, 0.9, 1.1, 1.3])
    assert [rule.factor(r, 2) for r in range(2)] == pytest.approx([0.7, 1.3])
    assert rule.factor(0, 1) == 1.0


def test_each_position_is_dealt_once_and_anew() -> None:
    """With the base left alone the rates of four are 0.7, 0.9, 1.1 and 1.3 times the mean, in an order by seed."""
    values = [{"lr": lr, "decay": 0.5} for lr in (0.7, 0.9, 1.1, 1.3)]
    people = family([[1.0, float(m)] for m in range(4)], values)
    rule, dealt = Averaging(spread=0.3, rate=0.0), set()
    for seed in range(20):
        rates = []
        for member in range(4):
            view = people.view(member)
            action = assigned(rule.decide(view, keys_of(view, seed)), member)
            assert action is not None
            rates.append(action.hyperparameters["lr"])
        assert sorted(rates) == pytest.approx([0.7, 0.9, 1.1, 1.3])
        dealt.add(tuple(np.round(rates, 3)))
    assert len(dealt) > 5


def test_the_base_moves_to_where_members_did_better() -> None:
    """Two members, rates 1 and 3, scores 0 and 2: in deviations (1) that is -1 and 1 about the mean.

    t = 1: weights e^0 : e^-2 = 0.880797 : 0.119203, so the weighted mean is 2.761594 and d = 0.761594. From v = 0 with
    m = 0.9: v = 0.0761594; with l = 0.5 the base is 2.0380797. With g = 0.1 it is 1.8380797.
    """
    values = [{"lr": 1.0, "decay": 0.5}, {"lr": 3.0, "decay": 0.5}]
    people = family([[1.0, 0.0], [1.0, 2.0]], values)
    for decay, base in ((0.0, 2.0380797), (0.1, 1.8380797)):
        view = people.view(0)
        action = assigned(Averaging(spread=0.0, decay=decay).decide(view, keys_of(view)), 0)
        assert action is not None
        assert action.hyperparameters["lr"] == pytest.approx(base)
        tag: Any = action.tag
        assert tag["velocity"]["lr"] == pytest.approx(0.0761594, abs=1e-7)


def test_the_velocity_goes_on() -> None:
    """v = 0.9 * 1 + 0.1 * 0.761594 = 0.9761594: the base is 2 + 0.4880797. The best's note counts, for everyone."""
    values = [{"lr": 1.0, "decay": 0.5}, {"lr": 3.0, "decay": 0.5}]
    people = family([[1.0, 0.0], [1.0, 2.0]], values, m1i2={"tag": {"velocity": {"lr": 1.0}}})
    for member in range(2):
        view = people.view(member, tag={"velocity": {"lr": -7.0}})
        action = assigned(Averaging(spread=0.0).decide(view, keys_of(view)), member)
        assert action is not None
        assert action.hyperparameters["lr"] == pytest.approx(2.4880797)


def test_ties_move_nothing_and_ranges_hold() -> None:
    """All weights equal: d = 0. A base at the upper bound is held there; on a one-minus scale 1 - v is multiplied."""
    values = [{"lr": 10.0, "decay": 0.5}, {"lr": 10.0, "decay": 0.5}]
    people = family([[1.0, 1.0], [1.0, 1.0]], values)
    for member in range(2):
        view = people.view(member)
        action = assigned(Averaging(spread=0.5).decide(view, keys_of(view)), member)
        assert action is not None
        assert action.hyperparameters["lr"] in (5.0, 10.0)
    space = Space({"m": Float(0.0, 0.99, scale="one_minus")})
    close = family([[1.0, 1.0], [1.0, 1.0]], [{"m": 0.9}, {"m": 0.9}], space)
    view = close.view(0)
    action = assigned(Averaging(names=("m",), spread=0.5).decide(view, keys_of(view)), 0)
    assert action is not None
    assert min(abs(action.hyperparameters["m"] - v) for v in (0.95, 0.85)) < 1e-12  # 1 - 0.1 * 0.5, 1 - 0.1 * 1.5


def test_all_start_from_one_draw() -> None:
    """But for what is spread: 1/2, 1/4 and 3/4 of the way from 1 - a to 1 + a."""
    plan = Averaging(spread=0.4).start(LINE, 3, Keys(seed=3, member=-1, interval=0))
    values = [action.hyperparameters for action in plan.actions if isinstance(action, Assign)]
    assert {value["decay"] for value in values} == {values[0]["decay"]}
    assert [value["lr"] / values[0]["lr"] for value in values] == pytest.approx([1.0, 0.8, 1.2])


def test_a_score_still_to_come_is_waited_for() -> None:
    people = family([[1.0, None], [1.0, 2.0]])
    view = people.view(0)
    assert Averaging().decide(view, keys_of(view)).actions == ()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"spread": 1.0}, "spread"),
        ({"momentum": -0.1}, "momentum"),
        ({"temperature": 0.0}, "temperature"),
        ({"rate": math.inf}, "rate"),
        ({"every": 64}, "below 64"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        Averaging(**options)


def test_only_floats_that_may_change_are_spread() -> None:
    space = Space({"width": Float(1.0, 2.0, rebuild=True), "n": Int(1, 9), "lr": Float(0.1, 1.0, scale="log")})
    keys = Keys(seed=0, member=-1, interval=0)
    for name in ("width", "n"):
        with pytest.raises(InvalidValue, match=f"names has '{name}', which must be a Float without rebuild=True"):
            Averaging(names=(name,)).start(space, 2, keys)
    with pytest.raises(UnknownName, match="there is no hyperparameter 'speed'"):
        Averaging(names=("speed",)).start(space, 2, keys)


def init(seed: int, hyperparameters: dict[str, Any]) -> dict[str, Any]:
    return {"x": np.array([float(seed % 97), 1.0]), "n": 0}


def step(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
    return {"x": state["x"] + hyperparameters["lr"], "n": state["n"] + 1}


def evaluate(state: Any, rng: Any) -> float:
    return float(state["x"][0])


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_is_the_mean_of_its_members(workers: int, tmp_path: Any) -> None:
    """Interval 1 from three seeds; then all from the best; then each is the mean of the three plus its own rate."""
    result = warren.run(
        warren.Task(init=init, train_interval=step, evaluate=evaluate), space={"lr": Float(0.1, 1.0, scale="log")},
        goal="max", population=3, intervals=4, strategy=Averaging(spread=0.2), synchronous=True, workers=workers,
        store=tmp_path / "run.db", watch=lambda result: None,
    )  # fmt: skip
    rows = {(row.member, row.interval): row for row in result.intervals}
    best = max(rows[m, 1].score or 0.0 for m in range(3))
    for m in range(3):
        assert rows[m, 2].score == pytest.approx(best + rows[m, 2].hyperparameters["lr"])
    for k in (3, 4):
        mean = sum(rows[m, k - 1].score or 0.0 for m in range(3)) / 3
        for m in range(3):
            assert rows[m, k].score == pytest.approx(mean + rows[m, k].hyperparameters["lr"])
            assert len(rows[m, k].parents) == 3
    trained = result.best.state()["state"]
    assert int(trained["n"]) == 4
