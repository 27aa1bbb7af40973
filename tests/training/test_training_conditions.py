"""Hyperparameters that not every member has, where user code meets them."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import warren
from warren.errors import LoopError, UnknownName
from warren.training import Watch
from warren.training.binding import Binding

OPTIMIZERS: dict[str, Any] = {
    "optimizer": warren.Choice(["sgd", "adam"]),
    "lr": warren.Float(0.1, 0.2),
    "sgd": warren.When("optimizer", "sgd", {"momentum": warren.Float(0.5, 0.9)}),
}
BOTH: list[dict[str, Any]] = [{"optimizer": "sgd", "sgd": {"momentum": 0.75}}, {"optimizer": "adam"}]


def run(train: Any, **arguments: Any) -> warren.Result:
    """A run of two members in one slot, the first with momentum, in which nothing failed."""
    given = {"goal": "max", "population": 2, "intervals": 3, "initial": BOTH}
    given["strategy"] = warren.PBT(exploit="none", explore="none")  # they take turns after each interval
    result = warren.run(train, **{"space": OPTIMIZERS, **given, **arguments})
    assert [event.body for event in result.events if event.kind == "failure"] == []
    return result


# -- in the loop ----------------------------------------------------------------------------------------------------


def test_a_member_has_what_exists_for_it() -> None:
    def train(slot: warren.Slot) -> None:
        slot.track(x=np.zeros(1))
        for member in slot:
            if member["optimizer"] == "sgd":
                assert member["sgd.momentum"] == member["sgd"]["momentum"] == 0.75
                assert member.hyperparameters["sgd"] == {"momentum": 0.75}
            else:
                assert set(member.flat) == {"optimizer", "lr"}
                for name in ("sgd.momentum", "sgd"):
                    with pytest.raises(UnknownName) as caught:
                        member[name]
                    said = (
                        f"this member has no hyperparameter {name!r}: 'sgd.momentum' exists only with optimizer='sgd'"
                    )
                    assert str(caught.value).startswith(said + ", and optimizer is 'adam'")
                with pytest.raises(UnknownName, match="there is no hyperparameter 'momentum'; the space has optimizer"):
                    member["momentum"]
            member.report(1.0)

    result = run(train)
    assert {row.member: set(row.hyperparameters) for row in result.intervals} == {
        0: {"optimizer", "lr", "sgd.momentum"},
        1: {"optimizer", "lr"},
    }
    assert [row["hyperparameters.sgd.momentum"] for row in result.table if row["interval"] == 1] == [0.75, None]


def test_what_shapes_the_objects_may_be_conditional() -> None:
    space = {
        "layers": warren.Int(1, 2, rebuild=True),
        "width": warren.When("layers", 2, warren.Int(3, 5, rebuild=True)),
        "lr": warren.Float(0.1, 0.2),
    }
    built: list[int] = []

    def train(slot: warren.Slot) -> None:
        width = slot["width"] if slot["layers"] == 2 else 0
        if slot["layers"] == 1:
            with pytest.raises(UnknownName, match="'width' exists only with layers=2, and layers is 1"):
                slot["width"]
        with pytest.raises(LoopError, match="changes from pass to pass"):
            slot["lr"]
        built.append(width)
        slot.track(x=np.zeros(1 + width))
        for member in slot:
            assert (member["width"] if member["layers"] == 2 else 0) == width
            _ = member["lr"]
            member.report(1.0)

    run(train, space=space, initial=[{"layers": 1}, {"layers": 2, "width": 4}])
    assert set(built) == {0, 4} and all(one != two for one, two in pairwise(built)) and len(built) > 2


# -- bound to an optimizer ------------------------------------------------------------------------------------------


class Optimizer:
    """What `bind` needs of one: groups, and a state that loading puts back."""

    def __init__(self, *groups: dict[str, Any]) -> None:
        self.param_groups = list(groups)

    def state_dict(self) -> dict[str, Any]:
        return {"groups": [copy.deepcopy(group) for group in self.param_groups]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.param_groups = [dict(group) for group in state["groups"]]


def test_what_is_bound_and_does_not_exist_leaves_the_optimizers_own_value() -> None:
    """Also after a member was there, or was loaded, that has it."""
    seen: list[tuple[int, float]] = []

    def train(slot: warren.Slot) -> None:
        optimizer = Optimizer({"lr": 1.0, "momentum": 0.25})
        slot.track(optimizer=optimizer, x=np.zeros(1))
        slot.bind(optimizer, "lr", momentum="sgd.momentum")
        for member in slot:
            _ = member["optimizer"]
            group = optimizer.param_groups[0]
            assert group["lr"] == member["lr"]
            seen.append((member.id, group["momentum"]))
            member.report(1.0)

    run(train)
    assert sorted(seen) == [(0, 0.75)] * 3 + [(1, 0.25)] * 3


def test_every_group_goes_back_to_its_own() -> None:
    optimizer = Optimizer({"lr": 1.0, "decay": 0.1}, {"lr": 0.1, "decay": 0.0})
    binding = Binding(optimizer, {"lr": "lr", "decay": "wd"})
    binding.apply({"lr": 0.5, "wd": 0.4})
    assert [(group["lr"], group["decay"]) for group in optimizer.param_groups] == [(0.5, 0.4), (0.05, 0.0)]
    binding.apply({"wd": 0.2})
    assert [(group["lr"], group["decay"]) for group in optimizer.param_groups] == [(1.0, 0.2), (0.1, 0.0)]
    binding.apply({})
    assert [(group["lr"], group["decay"]) for group in optimizer.param_groups] == [(1.0, 0.1), (0.1, 0.0)]


def test_one_of_a_pair_goes_back_to_its_own() -> None:
    optimizer = Optimizer({"lr": 1.0, "betas": (0.9, 0.999)})
    binding = Binding(optimizer, {"betas": ("one", "two")})
    binding.apply({"one": 0.5, "two": 0.6})
    assert optimizer.param_groups[0]["betas"] == (0.5, 0.6)
    binding.apply({"two": 0.7})
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.7)


class Warming:
    """A scheduler in the middle of its warm-up: half of its base rates."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.base_lrs = [group["lr"] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
            group["lr"] *= 0.5


def test_a_rate_goes_back_to_its_base_under_a_schedule() -> None:
    optimizer = Optimizer({"lr": 1.0})
    scheduler = Warming(optimizer)
    binding = Binding(optimizer, {"lr": "lr"}, scheduler)
    binding.apply({"lr": 0.2})
    assert (optimizer.param_groups[0]["lr"], scheduler.base_lrs) == (pytest.approx(0.1), [0.2])
    binding.apply({})
    assert (optimizer.param_groups[0]["lr"], scheduler.base_lrs) == (pytest.approx(0.5), [1.0])


class Cell:
    """A rate that is written in place, as a tensor is."""

    def __init__(self, value: float) -> None:
        self.value = value

    def item(self) -> float:
        return self.value

    def fill_(self, value: float) -> None:
        self.value = value


def test_a_rate_that_is_written_in_place_goes_back_too() -> None:
    cell = Cell(0.25)
    binding = Binding(Optimizer({"lr": cell}), {"lr": "lr"})
    binding.apply({"lr": 0.5})
    assert cell.value == 0.5
    binding.apply({})
    assert cell.value == 0.25


# -- advice ---------------------------------------------------------------------------------------------------------


def test_what_does_not_exist_yet_is_not_missed() -> None:
    said: list[str] = []
    watch = Watch(["a", "b", "c"], said.append)
    watch.read("a")
    watch.end({"a": 1})
    assert said == []
    watch.end({"a": 1, "b": 2})
    assert len(said) == 1 and said[0].startswith("hyperparameter 'b' was never read")
    watch.read("c")
    watch.end({"a": 1, "b": 2, "c": 3})
    assert len(said) == 1
