from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import warren
from warren.strategies import PBT, Truncation

torch = pytest.importorskip("torch")


def run(train: Any, **arguments: Any) -> warren.Result:
    """A run in which nothing failed: what a training function asserts counts."""
    result = warren.run(train, goal="max", **arguments)
    assert [event.body for event in result.events if event.kind == "failure"] == []
    return result


def build(seed: int) -> tuple[Any, Any]:
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    return net, torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.5)


DATA = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
TARGET = DATA.sum(dim=1, keepdim=True).sin()


def loss_of(net: Any) -> Any:
    return ((net(DATA) - TARGET) ** 2).mean()


def one_epoch(net: Any, optimizer: Any) -> None:
    for rows in torch.randperm(64).split(16):
        optimizer.zero_grad()
        ((net(DATA[rows]) - TARGET[rows]) ** 2).mean().backward()
        optimizer.step()


SPACE = {"lr": warren.Float(1e-3, 0.3, scale="log"), "momentum": warren.Float(0.5, 0.99, scale="one_minus")}


def test_members_share_a_slot_and_learn() -> None:
    builds: list[int] = []
    addresses: list[set[int]] = []

    def train(slot: warren.Slot) -> None:
        builds.append(slot.seed)
        net, optimizer = build(slot.seed)
        slot.track(net=net, optimizer=optimizer)
        slot.bind(optimizer, "lr", "momentum")
        here = {p.data_ptr() for p in net.parameters()}
        for member in slot:
            assert {p.data_ptr() for p in net.parameters()} == here  # in place, also after an exploit
            assert optimizer.param_groups[0]["lr"] == member["lr"]
            assert optimizer.param_groups[0]["momentum"] == member["momentum"]
            one_epoch(net, optimizer)
            member.report(-loss_of(net).item())
        addresses.append(here)

    result = run(train, space=SPACE, population=5, intervals=6, seed=1)
    assert len(builds) == len(set(builds)) == 5  # one build for each member, none for an exploit
    assert result.cost.copies > 0
    assert result.best.score is not None and result.best.score > -0.5
    net, _ = build(99)
    result.best.load(net=net)
    assert -loss_of(net).item() == pytest.approx(result.best.score, abs=1e-12)


def test_a_copy_starts_from_the_donors_state_with_its_own_values() -> None:
    """The optimizer's state carries the donor's learning rate; the recipient's own must win."""
    seen: list[tuple[str, float, float]] = []

    def train(slot: warren.Slot) -> None:
        net, optimizer = build(slot.seed)
        slot.track(net=net, optimizer=optimizer)
        slot.bind(optimizer, "lr", "momentum")
        for member in slot:
            seen.append((member.arrival, optimizer.param_groups[0]["lr"], member["lr"]))
            momenta = [optimizer.state[p].get("momentum_buffer") for p in net.parameters()]
            assert all(m is not None for m in momenta) == (member.arrival != "fresh")
            one_epoch(net, optimizer)
            member.report(-loss_of(net).item(), weight=float(net[0].weight.detach().sum()))

    result = run(train, space=SPACE, population=4, intervals=5, seed=0)
    copies = [s for s in seen if s[0] == "exploited"]
    assert copies and all(set_ == own for _, set_, own in seen)
    rows = {row.id: row for row in result.intervals}
    for row in result.intervals:
        if row.origin == "exploit":
            donor = rows[row.parents[0]]
            assert donor.member != row.member and row.age == donor.age + 1
            for name, value in row.hyperparameters.items():  # 0.8 or 1.2 times the donor's, on its scale
                of, to = donor.hyperparameters[name], value
                ratio = (1 - to) / (1 - of) if name == "momentum" else to / of
                low, high = (0.5, 0.99) if name == "momentum" else (1e-3, 0.3)
                assert min(abs(ratio - 0.8), abs(ratio - 1.2)) < 1e-9 or not low <= of * ratio <= high or (
                    name == "momentum" and not 1 - (1 - of) * 1.2 >= 0.5
                )  # fmt: skip


def test_two_copies_of_one_donor_part() -> None:
    """Reseeded by member and interval, so that recipients of one donor do not become twins."""

    def train(slot: warren.Slot) -> None:
        net, optimizer = build(slot.seed)
        slot.track(net=net, optimizer=optimizer)
        slot.bind(optimizer, "lr")
        for member in slot:
            one_epoch(net, optimizer)
            member.report(float(member.id == 0))  # member 0 always wins

    result = run(
        train, space={"lr": warren.Float(0.1, 0.1)}, population=4, intervals=3, seed=0,
        strategy=PBT(exploit=Truncation(fraction=0.5, donors=1)),
    )  # fmt: skip
    copies = [r for r in result.intervals if r.origin == "exploit" and r.interval == 3]
    parents = {row.parents for row in copies}
    assert len(copies) == 2 and len(parents) <= 2
    digests = [t.digest for t in result.final if t.interval == 3]
    assert len(set(digests)) == len(digests)


def test_a_bound_scheduler_keeps_its_shape_and_gets_the_new_base() -> None:
    used: dict[tuple[int, int], tuple[float, float, int]] = {}

    def train(slot: warren.Slot) -> None:
        net, optimizer = build(slot.seed)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
        slot.track(net=net, optimizer=optimizer, scheduler=scheduler)
        slot.bind(optimizer, "lr", scheduler=scheduler)
        for member in slot:
            used[member.id, member.budget] = (optimizer.param_groups[0]["lr"], member["lr"], scheduler.last_epoch)
            one_epoch(net, optimizer)
            scheduler.step()
            member.report(-loss_of(net).item())

    result = run(train, space={"lr": SPACE["lr"]}, population=4, intervals=8, seed=0, strategy=PBT(explorers="ready"))
    assert not result.warnings
    assert len({lr for _, lr, _ in used.values()}) > 8  # values did change
    for now, lr, epoch in used.values():
        assert now == pytest.approx(lr * 0.5 ** (epoch // 2), rel=1e-9)


def test_an_unbound_scheduler_that_overwrites_is_told_with_both_names() -> None:
    def train(slot: warren.Slot) -> None:
        net, optimizer = build(slot.seed)
        decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.9**epoch)
        slot.track(net=net, sgd=optimizer, decay=decay)
        for member in slot:
            for group in optimizer.param_groups:
                group["lr"] = member["lr"]
            one_epoch(net, optimizer)
            decay.step()
            one_epoch(net, optimizer)
            member.report(-loss_of(net).item())

    result = run(train, space={"lr": SPACE["lr"]}, population=3, intervals=3, seed=0)
    assert len(result.warnings) == 1
    assert "'decay'" in result.warnings[0] and "'lr'" in result.warnings[0] and "slot.bind(sgd" in result.warnings[0]


def test_a_value_that_never_reaches_the_optimizer_is_told() -> None:
    def train(slot: warren.Slot) -> None:
        net, optimizer = build(slot.seed)
        slot.track(net=net, optimizer=optimizer)
        for member in slot:
            _ = member["lr"]  # read, and forgotten
            one_epoch(net, optimizer)
            member.report(-loss_of(net).item())

    strategy = PBT(explorers="ready")
    result = run(train, space={"lr": SPACE["lr"]}, population=2, intervals=4, strategy=strategy)
    assert any("does not reach optimizer 'optimizer'" in warning for warning in result.warnings)


def test_a_loop_that_sets_its_values_is_left_in_peace() -> None:
    def train(slot: warren.Slot) -> None:
        net, optimizer = build(slot.seed)
        slot.track(net=net, optimizer=optimizer)
        for member in slot:
            for group in optimizer.param_groups:
                group.update(lr=member["lr"], momentum=member["momentum"])
            one_epoch(net, optimizer)
            member.report(-loss_of(net).item())

    strategy = PBT(explorers="ready")
    result = run(train, space=SPACE, population=3, intervals=5, strategy=strategy)
    assert result.warnings == []


def test_tied_and_channels_last_tensors_simply_work() -> None:
    def train(slot: warren.Slot) -> None:
        torch.manual_seed(slot.seed)
        conv = torch.nn.Conv2d(3, 4, 3, bias=False).to(memory_format=torch.channels_last)
        a, b = torch.nn.Linear(5, 5), torch.nn.Linear(5, 5)
        b.weight = a.weight
        net = torch.nn.ModuleDict({"conv": conv, "a": a, "b": b})
        slot.track(net=net)
        for member in slot:
            with torch.no_grad():
                for p in net.parameters():
                    p.add_(member["lr"])
            assert b.weight is a.weight
            assert conv.weight.is_contiguous(memory_format=torch.channels_last)
            member.report(float(a.weight.detach().sum()))

    result = run(train, space={"lr": SPACE["lr"]}, population=5, intervals=4)
    assert result.cost.copies > 0


def test_rebuild_shapes_objects_and_travels_with_the_weights() -> None:
    widths: list[int] = []

    def train(slot: warren.Slot) -> None:
        torch.manual_seed(slot.seed)
        net = torch.nn.Linear(2, slot["width"])
        slot.track(net=net)
        for member in slot:
            widths.append(net.out_features)
            assert member["width"] == net.out_features
            member.report(member["width"] + float(np.tanh(member["lr"])))

    space = {"lr": SPACE["lr"], "width": warren.Int(2, 9, rebuild=True)}
    result = run(train, space=space, population=6, intervals=5, seed=0)
    rows = {row.id: row for row in result.intervals}
    copied = [row for row in result.intervals if row.origin == "exploit"]
    assert any(rows[r.parents[0]].hyperparameters["width"] != 2 for r in copied)
    for row in result.intervals:
        if row.parents:
            assert row.hyperparameters["width"] == rows[row.parents[0]].hyperparameters["width"]


def test_replay_buffers_stay_with_their_member_or_are_cleared() -> None:
    def train(slot: warren.Slot) -> None:
        weights, buffer, statistics = np.zeros(1), np.zeros(6), np.zeros(1)
        slot.track(weights=weights)
        slot.track(on_exploit="keep", buffer=buffer)
        slot.track(on_exploit="clear", statistics=statistics)
        for member in slot:
            if member.budget:
                assert list(buffer[: member.budget]) == [member.id + 1] * member.budget  # never another member's
            if member.arrival == "exploited":
                assert statistics[0] == 0
            weights += 1
            statistics += 1
            buffer[member.budget] = member.id + 1
            assert weights[0] == member.age + 1
            member.report(float(member.id))

    strategy = PBT(exploit=Truncation(fraction=0.5))
    result = run(train, space={"lr": SPACE["lr"]}, population=4, intervals=6, strategy=strategy)
    assert result.cost.copies >= 4


def test_parameter_groups_keep_their_proportions() -> None:
    seen: list[tuple[float, ...]] = []

    def train(slot: warren.Slot) -> None:
        net, _ = build(slot.seed)
        groups = [
            {"params": net[0].parameters(), "lr": 0.01, "weight_decay": 0.1},
            {"params": net[2].parameters(), "lr": 0.1, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.SGD(groups)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.5**epoch)
        slot.track(net=net, optimizer=optimizer, scheduler=scheduler)
        slot.bind(optimizer, "lr", "weight_decay", scheduler=scheduler)
        for member in slot:
            first, second = optimizer.param_groups
            factor = 0.5**scheduler.last_epoch
            assert first["lr"] == pytest.approx(0.1 * member["lr"] * factor, rel=1e-12)
            assert second["lr"] == pytest.approx(member["lr"] * factor, rel=1e-12)
            assert (first["weight_decay"], second["weight_decay"]) == (member["weight_decay"], 0.0)
            seen.append((member["lr"], member["weight_decay"]))
            one_epoch(net, optimizer)
            scheduler.step()
            member.report(-loss_of(net).item())

    space = {"lr": SPACE["lr"], "weight_decay": warren.Float(1e-5, 1e-2, scale="log")}
    result = run(train, space=space, population=3, intervals=4, strategy=PBT(explorers="ready"))
    assert len(set(seen)) > 6 and result.warnings == []


def test_binding_part_of_an_optimizer_does_not_silence_the_rest() -> None:
    def overwritten(slot: warren.Slot) -> None:
        net, optimizer = build(slot.seed)
        decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.9**epoch)
        slot.track(net=net, optimizer=optimizer, decay=decay)
        slot.bind(optimizer, "lr")  # and not its scheduler
        for member in slot:
            one_epoch(net, optimizer)
            decay.step()
            one_epoch(net, optimizer)
            member.report(-loss_of(net).item())

    def unapplied(slot: warren.Slot) -> None:
        net, optimizer = build(slot.seed)
        slot.track(net=net, optimizer=optimizer)
        slot.bind(optimizer, "momentum")
        for member in slot:
            _ = member["lr"]
            one_epoch(net, optimizer)
            member.report(-loss_of(net).item())

    strategy = PBT(explorers="ready")
    told = run(overwritten, space={"lr": SPACE["lr"]}, population=2, intervals=4, strategy=strategy).warnings
    assert len(told) == 1 and "scheduler 'decay' overwrites hyperparameter 'lr'" in told[0]
    told = run(unapplied, space=SPACE, population=2, intervals=4, strategy=strategy).warnings
    assert len(told) == 1 and "'lr' does not reach optimizer" in told[0]


IMPORTS_INSIDE = """
import sys
import warren

def train(slot):
    import torch  # only here: it is not loaded when the slot is made
    net = torch.nn.Linear(3, 1)
    slot.track(net=net)
    for member in slot:
        member.report(float(net.weight.detach().sum()) * member["lr"])

if __name__ == "__main__":
    runs = [warren.run(train, space={"lr": warren.Float(0.1, 1.0)}, goal="max", population=3, intervals=2)
            for _ in range(2)]
    assert "torch" in sys.modules
    print(runs[0].digest == runs[1].digest)
"""


def test_a_framework_that_the_function_itself_imports_is_seeded_too(tmp_path: Any) -> None:
    import subprocess
    import sys

    script = tmp_path / "script.py"
    script.write_text(IMPORTS_INSIDE)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=240)
    assert done.stdout == "True\n", done.stderr


def test_building_the_objects_is_not_counted_as_warrens_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def train(slot: warren.Slot) -> None:
        now[0] += 0.5
        count = np.zeros(1)
        slot.track(count=count)
        for member in slot:
            member.report(member["lr"])

    assert run(train, space={"lr": SPACE["lr"]}, population=3, intervals=2).cost.overhead == 0.0
