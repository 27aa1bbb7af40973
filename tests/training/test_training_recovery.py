"""What goes wrong around a run, and that the run comes to the right end all the same."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import warren
from warren.checkpoints import MemoryCheckpoints
from warren.engines.alive import Alive, Expiry
from warren.engines.work import work
from warren.errors import CheckpointError
from warren.population import Keys, RunRow, WorkerRow
from warren.stores import MemoryStore
from warren.strategies import PBT
from warren.testing.check import check
from warren.testing.engines import decisions
from warren.training import Settings, States, Turns

LR = {"lr": warren.Float(0.01, 1.0)}


def climbing(slot: warren.Slot) -> None:
    w = np.zeros(1)
    slot.track(w=w)
    for member in slot:
        w += member["lr"]
        member.report(float(w[0]))


def diverging(slot: warren.Slot) -> None:
    """Member 1 diverges in its first interval; the others differ in pace."""
    w = np.zeros(1)
    slot.track(w=w)
    for member in slot:
        time.sleep(0.02 * (1 + 3 * (member.id == 2)))
        w += member["lr"]
        member.report(math.nan if member.id == 1 and member.budget == 0 else float(w[0]))


def large(slot: warren.Slot) -> None:
    w = np.zeros(20_000)
    slot.track(w=w)
    for member in slot:
        w += member["lr"]
        member.report(float(w[0]))


def test_runs_that_share_a_store_keep_their_files(tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    arguments: dict[str, Any] = {"space": LR, "goal": "max", "population": 2, "intervals": 2, "workers": 1}
    warren.run(large, **arguments, store=store, name="a")
    folder = tmp_path / "a.db.d" / "checkpoints"
    for name in os.listdir(folder):
        os.utime(folder / name, (0, 0))  # old enough to be swept
    warren.run(large, **arguments, store=store, name="b")
    assert warren.open_result(store, "a").best.state()["w"].shape == (20_000,)


def test_a_worker_that_was_given_up_and_came_back_can_be_given_up_again() -> None:
    store, strategy, space = MemoryStore(), PBT(), warren.Space(LR)
    store.create(RunRow(limit=5), {}, strategy.start(space, 1, Keys(seed=0, member=-1, interval=0)))
    store.register(WorkerRow(worker="stopped", host="elsewhere", pid=1))
    store.claim("stopped", since=0)
    store.expire(["stopped"], "silent", counts=False)
    assert store.claim("stopped", since=0).row is not None  # it woke up, and died soon after
    now = [0.0]
    expiry = Expiry(store, Alive(None), lambda: now[0], 60.0)
    for _ in range(4):
        expiry.reap()
        now[0] += 25.0
    assert store.claim("another", since=0).row is not None


def test_a_worker_whose_report_was_refused_loads_what_the_other_one_left() -> None:
    store = MemoryStore()
    states = States(store, MemoryCheckpoints())
    settings = Settings(space=warren.Space(LR), strategy=PBT(), goal="max", population=1, seed=0)
    plan = settings.strategy.start(settings.space, 1, Keys(seed=0, member=-1, interval=0))
    store.create(RunRow(limit=4), {}, plan)
    others: list[float] = []
    seen: list[tuple[str, float]] = []

    def turns(worker: str, stopping: Any = lambda: False) -> Turns:
        store.register(WorkerRow(worker=worker, host="h", pid=1))
        clock, sleep = time.perf_counter, time.sleep
        return Turns(store, states, settings, worker=worker, clock=clock, sleep=sleep, stopping=stopping)

    def other(slot: warren.Slot) -> None:
        w = np.zeros(1)
        slot.track(w=w)
        for member in slot:
            w += 100
            others.append(float(w[0]))
            member.report(float(w[0]))

    def zombie(slot: warren.Slot) -> None:
        w = np.zeros(1)
        slot.track(w=w)
        for member in slot:
            seen.append((member.arrival, float(w[0])))
            w += 1
            if member.budget == 2 and not others:  # stopped past its lease: another trains the member meanwhile
                store.expire(["zombie"], "silent", counts=False)
                work(other, turns("other", lambda: bool(others)))
            member.report(float(w[0]))

    work(zombie, turns("zombie"))
    assert others == [102.0]
    assert seen[-1] == ("resumed", 102.0)
    assert [row.score for row in store.intervals()] == [1.0, 2.0, 102.0, 103.0]


@pytest.mark.parametrize("how", ["diverges", "raises"])
def test_selection_goes_on_without_a_quarantined_member(how: str) -> None:
    def train(slot: warren.Slot) -> None:
        w = np.zeros(1)
        slot.track(w=w)
        for member in slot:
            bad = member.id == 0 and member.budget >= 3
            if bad and how == "raises":
                raise ValueError("broken on purpose")
            w += member["lr"]
            member.report(math.nan if bad else float(w[0]))

    result = warren.run(train, space=LR, goal="max", population=5, intervals=40)
    assert [row.state for row in result.members] == ["quarantined"] + ["done"] * 4
    late = [row for row in result.intervals if row.origin == "exploit" and row.interval > 8]
    assert len(late) == 32  # the worst of the four copies at each of the 32 intervals


def test_a_second_loop_over_the_slot_does_not_end_the_run() -> None:
    def train(slot: warren.Slot) -> None:
        w = np.zeros(1)
        slot.track(w=w)
        for _ in range(3):
            for member in slot:
                w += member["lr"]
                member.report(float(w[0]))

    assert warren.run(train, space=LR, goal="max", population=4, intervals=6).run.total == 24


def test_a_strategy_that_raises_leaves_nothing_behind(tmp_path: Path) -> None:
    def broken(view: Any, hyperparameters: Any, keys: Any) -> Any:
        raise ZeroDivisionError("in the strategy")

    strategy = PBT(explore=broken, explorers="ready")
    store = tmp_path / "a.db"
    with pytest.raises(ZeroDivisionError, match="in the strategy"):
        warren.run(
            climbing, space=LR, goal="max", population=3, intervals=4, strategy=strategy, store=store, workers=1
        )  # fmt: skip
    assert {row.state for row in warren.open_result(store).members} <= {"waiting", "quarantined"}


def test_synchronous_rescues_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    found = []
    for workers in (1, 2, 3):
        result = warren.run(
            diverging, space=LR, goal="max", population=4, intervals=4, seed=3, synchronous=True, workers=workers,
            store=tmp_path / f"{workers}.db", engine="processes",
        )  # fmt: skip
        found.append(decisions(result))
    assert found[0] == found[1] == found[2]


def test_one_bad_first_member_does_not_end_the_run() -> None:
    def train(slot: warren.Slot) -> None:
        w = np.zeros(1)
        slot.track(w=w)
        for member in slot:
            if member.id == 0:
                raise ValueError("only this one")
            w += member["lr"]
            member.report(float(w[0]))

    result = warren.run(train, space=LR, goal="max", population=4, intervals=3)
    assert [row.state for row in result.members] == ["quarantined", "done", "done", "done"]


def test_a_buffer_is_still_its_members_own_after_a_copy_and_a_rescue() -> None:
    def train(slot: warren.Slot) -> None:
        w, buffer = np.zeros(1), np.zeros(1)
        slot.track(w=w)
        slot.track(on_exploit="keep", buffer=buffer)
        for member in slot:
            assert buffer[0] in (0, member.id + 1)
            buffer[0] = member.id + 1
            w += member["lr"]
            bad = member.id == 2 and member.arrival == "exploited" and member.budget < 6
            member.report(math.nan if bad else float(member.id))

    result = warren.run(train, space=LR, goal="max", population=6, intervals=9)
    assert not [event for event in result.events if event.kind == "failure"]


def test_a_damaged_checkpoint_costs_its_member_one_interval_and_not_the_run(tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    arguments: dict[str, Any] = {"space": LR, "goal": "max", "population": 4, "store": store, "workers": 1}
    first = warren.run(large, **arguments, intervals=2)
    third = first.final[2].member  # of four: it copies nobody, and nobody copies it
    victim = tmp_path / "a.db.d" / "checkpoints" / str(first.members[third].start)
    body = bytearray(victim.read_bytes())
    body[-1] ^= 1
    victim.write_bytes(bytes(body))
    result = warren.run(large, **arguments, intervals=4)
    assert [row.state for row in result.members] == ["done"] * 4
    (event,) = (event for event in result.events if event.kind == "damaged")
    assert event.member == third
    assert event.body["fell_back"] == [{"member": third, "to": 1}]
    assert not [event for event in result.events if event.kind == "failure"]
    row = next(row for row in result.intervals if (row.member, row.interval) == (third, 3))
    assert (row.origin, row.age) == ("fallback", 2)
    before = next(row for row in result.intervals if (row.member, row.interval) == (third, 1))
    assert row.parents == (before.id,)
    assert row.hyperparameters == before.hyperparameters
    assert check(result.store, result.states) == []


def test_checkpoints_that_are_gone_but_one_are_told_of_and_do_not_end_the_run(tmp_path: Path) -> None:
    """Somebody deletes files: nobody goes back to zero without a word."""
    store = tmp_path / "a.db"
    arguments: dict[str, Any] = {"space": LR, "goal": "max", "population": 3, "store": store, "workers": 1}
    first = warren.run(large, **arguments, intervals=3)
    left = str(first.members[2].start)
    for path in (tmp_path / "a.db.d" / "checkpoints").iterdir():
        if path.name != left:
            path.unlink()
    result = warren.run(large, **arguments, intervals=5)
    told = {one["member"] for event in result.events if event.kind == "damaged" for one in event.body["fell_back"]}
    assert told >= {0, 1}
    assert [row.state for row in result.members] == ["done"] * 3
    ages = {row.member: row.age for row in result.intervals if row.interval == 4 and row.origin == "fallback"}
    assert [age for member, age in ages.items() if member != 2] == [1] * (len(ages) - (2 in ages))
    assert check(result.store, result.states) == []


def test_checkpoints_that_are_all_gone_are_no_damage_and_nothing_is_given_up(tmp_path: Path) -> None:
    store, folder = tmp_path / "a.db", tmp_path / "a.db.d" / "checkpoints"
    arguments: dict[str, Any] = {"space": LR, "goal": "max", "population": 3, "store": store, "workers": 1}
    first = warren.run(large, **arguments, intervals=3)
    before, kept = first.run, first.store.kept()
    for how in ("is not there", "holds none of them"):
        folder.rename(tmp_path / "elsewhere")
        if how != "is not there":
            folder.mkdir()
        for again in (lambda: warren.run(large, **arguments, intervals=5), lambda: warren.resume(store, intervals=5)):
            with pytest.raises(CheckpointError, match=f"{folder} {how}; put it back"):
                again()
        assert (first.store.run(), first.store.kept()) == (before, kept)
        if folder.exists():
            folder.rmdir()
        (tmp_path / "elsewhere").rename(folder)
    result = warren.run(large, **arguments, intervals=5)
    assert not [event for event in result.events if event.kind == "damaged"]
    assert check(result.store, result.states) == []


def test_changed_code_is_told_each_time(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    text = Path(__file__).read_text().split("def climbing")[1].split("def diverging")[0]
    call = (
        'if __name__ == "__main__":\n    warren.run(climbing, space={"lr": warren.Float(0.01, 1.0)}, goal="max", '
        f"population=2, intervals=INTERVALS, store={str(tmp_path / 'a.db')!r}, workers=1)\n"
    )
    told = []
    for intervals in (1, 2, 3):
        script.write_text(f"import numpy as np\nimport warren\n\ndef climbing{text}\n{call}".replace(
            "INTERVALS", str(intervals)
        ))  # fmt: skip
        done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        told.append(sum("has changed since the run was made" in line for line in done.stderr.splitlines()))
    assert told == [0, 1, 1]


def test_stop_rules_where_checkpoints_are_rare() -> None:
    def train(slot: warren.Slot) -> None:
        w = np.zeros(1)
        slot.track(w=w)
        for member in slot:
            w += 1 + 0 * member["lr"]
            member.report(float(w[0]))

    arguments: dict[str, Any] = {"space": LR, "goal": "max", "population": 1, "intervals": 100, "checkpoint_every": 50}
    arguments["strategy"] = PBT(every=100)
    assert warren.run(train, **arguments, stop=warren.Stop(patience=5)).run.total == 100  # each score is better
    stopped = warren.run(train, **arguments, stop=warren.Stop(intervals=5))
    assert stopped.run.total == 6 and stopped.members[0].saved == 6  # it goes on to save what it has


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"strategy": PBT}, "strategy must be a strategy such as warren.PBT()"),
        ({"strategy": "pbt"}, "strategy must be a strategy such as warren.PBT()"),
        ({"gpus": 0}, "gpus must be a list of devices"),
        ({"initial": 5}, "initial must be a list of hyperparameters"),
        ({"initial": {"lr": 0.1}}, "initial must be a list of hyperparameters"),
        ({"warm_start": 5}, "warm_start must be a trained state"),
        ({"watch": 5}, "watch must be a function"),
        ({"store": 5}, "store must be the path"),
        ({"lease": "x"}, "lease must be a number of seconds"),
        ({"lease": -1}, "lease must be at least 1 s"),
    ],
)
def test_arguments_of_the_wrong_kind(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(
        (warren.errors.InvalidType, warren.errors.InvalidValue), match=words.replace("(", r"\(").replace(")", r"\)")
    ):
        warren.run(climbing, space=LR, goal="max", population=2, intervals=1, **arguments)


def test_a_wrong_call_of_resume_changes_nothing(tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    warren.run(climbing, space=LR, goal="max", population=2, intervals=1, store=store, workers=1)
    before = warren.open_result(store).run
    for arguments in ({"workers": 0}, {"workers": "two"}, {"gpus_per_member": 0}, {"gpus_per_member": 2}, {"gpus": 0}):
        with pytest.raises((warren.errors.InvalidType, warren.errors.InvalidValue)):
            warren.resume(store, intervals=9, **arguments)  # type: ignore[arg-type]
    assert warren.open_result(store).run == before


def test_a_decision_whose_interval_failed_is_not_the_next_members(tmp_path: Path) -> None:
    """The decision to go on travels with the report; where there is none, it is forgotten with its interval."""
    store, clock = MemoryStore(), time.perf_counter
    settings = Settings(space=warren.Space(LR), strategy=PBT(every=3, warmup=0), goal="max", population=2, seed=0)
    plan = settings.strategy.start(settings.space, 2, Keys(seed=0, member=-1, interval=0))
    store.create(RunRow(limit=20), {"population": 2}, plan)
    turns = Turns(store, States(store, MemoryCheckpoints()), settings, worker="w", clock=clock, sleep=time.sleep)
    dues: dict[int, set[int]] = {0: set(), 1: set()}

    def train(slot: warren.Slot) -> None:
        w = np.zeros(1)
        slot.track(w=w)
        for member in slot:
            w += 1.0
            if member.id == 0 and member.budget == 6 and store.member(0).failures == 0:
                raise RuntimeError("once, right after a decision")
            member.report(float(member.id))
            dues[member.id].add(store.member(member.id).due)

    work(train, turns)
    assert dues[0] == dues[1]
    assert all(due % 3 == 0 or due == 20 for due in dues[1])
    assert [row.boundary for row in store.intervals() if row.member == 1] == [
        i % 3 == 0 or i == 20 for i in range(1, 21)
    ]


@pytest.mark.parametrize("every", [2, 3])
def test_a_failure_between_two_checkpoints_is_not_tried_for_ever(every: int) -> None:
    """The first interval of the stretch succeeds each time; that alone forgives nothing."""
    tries = []

    def train(slot: warren.Slot) -> None:
        w = np.zeros(1)
        slot.track(w=w)
        for member in slot:
            w += 1.0
            if member.id == 0 and member.budget % every == 1:
                tries.append(member.budget)
                raise RuntimeError("always at the second interval of a stretch")
            member.report(float(member.id))

    result = warren.run(
        train, space=LR, goal="max", population=3, intervals=6, checkpoint_every=every, strategy=PBT(every=every)
    )
    assert [row.state for row in result.members] == ["quarantined", "done", "done"]
    assert len(tries) == 3
