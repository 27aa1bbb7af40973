from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.stacked.tasks import ALL, ONE, SPACE, evaluate, evaluate_all, init, init_all, step_all

import warren
from warren.checkpoints import LocalCheckpoints
from warren.engines.vectorised import FUSED
from warren.errors import CheckpointError, InvalidType, InvalidValue, RunFailed
from warren.population import Hold, Keys, Pin, Plan, View
from warren.results import Result
from warren.stacked import OutOfMemory
from warren.stacked.functions import StackedLift
from warren.stores import MemoryStore
from warren.stores.sqlite import SQLiteStore
from warren.strategies import PBT, RandomSearch, Strategy
from warren.testing.check import check
from warren.testing.engines import decisions
from warren.training import Rng, States

ROOT = Path(__file__).parents[2]


@pytest.fixture
def go() -> Iterator[Any]:
    """Runs a small population; whatever comes of it, CHECK holds of each result and no lease is left."""
    results: list[Result] = []

    def go(task: Any = ALL, **arguments: Any) -> Result:
        given: dict[str, Any] = {
            "space": SPACE, "goal": "max", "population": 7, "intervals": 8, "seed": 1, "engine": "vectorised",
            "synchronous": True, "watch": lambda result: None, **arguments,
        }  # fmt: skip
        result = warren.run(task, **given)
        results.append(result)
        return result

    yield go
    for result in results:
        assert check(result.store, result.states) == []
        assert [row for row in result.members if row.token is not None] == []
        assert result.store.workers() == []
        result.store.close()


# -- the same decisions -----------------------------------------------------------------------------------------------

STRATEGIES: list[Strategy] = [
    PBT(),
    PBT(every=3),
    PBT(exploit="tournament", explorers="ready", every=2, warmup=3),
    PBT(exploit="ttest", explore="noise"),
    PBT(copy="hyperparameters", explore="resample"),
    PBT(copy="weights", drift_free=True),
    RandomSearch(),
]


def metrics(result: Result) -> dict[tuple[int, int], dict[str, float]]:
    return {(row.member, row.interval): row.metrics for row in result.intervals}


@pytest.mark.parametrize("strategy", STRATEGIES, ids=repr)
def test_it_does_what_the_inline_engine_does_to_the_bit(go: Any, strategy: Strategy) -> None:
    inline = go(ONE, engine="inline", workers=1, strategy=strategy)
    for task in (ONE, ALL):
        other = go(task, strategy=strategy)
        assert decisions(other) == decisions(inline)
        assert other.digest == inline.digest
        assert metrics(other) == metrics(inline)


@pytest.mark.parametrize(
    "engine",
    [warren.Vectorised(chunk=3), warren.Vectorised(chunk=1), warren.Vectorised(fused=1), warren.Vectorised(fused=5)],
    ids=["chunk 3", "chunk 1", "fused 1", "fused 5"],
)
def test_chunks_and_fused_intervals_change_nothing(go: Any, engine: warren.Vectorised) -> None:
    strategy = PBT(every=4, warmup=2)
    whole, parts = go(strategy=strategy), go(strategy=strategy, engine=engine)
    assert decisions(parts) == decisions(whole)
    assert parts.digest == whole.digest
    assert any(row.origin == "exploit" for row in whole.intervals)


def test_several_devices_share_one_population(go: Any) -> None:
    whole, shared = go(), go(engine=warren.Vectorised(devices=("a", "b", "c")))  # NumPy has no devices to miss
    assert decisions(shared) == decisions(whole)
    assert shared.digest == whole.digest


@dataclass(frozen=True, kw_only=True)
class Elaborate:
    """Counts its decisions in its memory, pins what is best, lets members wait for each other, then does as PBT."""

    pbt: PBT = PBT()  # noqa: RUF009

    def start(self, space: Any, size: int, keys: Keys) -> Plan:
        plan = self.pbt.start(space, size, keys)
        return Plan(actions=plan.actions, memory={"decisions": 0})

    def decide(self, view: View, keys: Keys) -> Plan:
        assert isinstance(view.memory, dict)
        plan = self.pbt.decide(view, keys)
        count = int(str(view.memory["decisions"]))
        source = view.source(view.due.member)
        pins = (Pin(checkpoint=source.checkpoint),) if count % 9 == 3 and source and source.checkpoint else ()
        holds = (Hold(member=view.due.member, until=view.at),) if count % 5 == 2 and not plan.actions else ()
        return Plan(actions=plan.actions + pins + holds, memory={"decisions": count + 1}, intervals=plan.intervals)


def test_a_strategy_that_needs_the_store_gets_it(go: Any) -> None:
    inline = go(ONE, engine="inline", workers=1, strategy=Elaborate())
    other = go(ALL, strategy=Elaborate())
    assert inline.run.memory == other.run.memory != {"decisions": 0}
    assert [x[:4] for x in decisions(other)] == [x[:4] for x in decisions(inline)]
    assert any(checkpoint.pinned for checkpoint in other.store.checkpoints())


def test_the_record_can_be_replayed(tmp_path: Path, go: Any) -> None:
    go(store=tmp_path / "run.db")
    replayed = warren.replay(tmp_path / "run.db")
    assert replayed.different == ()
    assert "all the same" in str(replayed)
    assert warren.verify(tmp_path / "run.db").problems == ()


# -- what it costs ----------------------------------------------------------------------------------------------------


def test_a_round_is_one_transaction(go: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: Counter[str] = Counter()
    before = SQLiteStore._write

    def counted(store: Any) -> Any:
        if threading.current_thread().name != "warren-beat":
            writes["transactions"] += 1
        return before(store)

    monkeypatch.setattr(SQLiteStore, "_write", counted)
    totals = []
    for intervals in (10, 30):
        writes.clear()
        go(store=tmp_path / f"{intervals}.db", intervals=intervals, lease=1000.0)
        totals.append(writes["transactions"])
    assert totals[1] - totals[0] == 20


def test_an_exploit_reads_nothing_back(go: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []
    before = States.load
    monkeypatch.setattr(States, "load", lambda states, name: (loaded.append(name), before(states, name))[1])
    result = go(store=tmp_path / "run.db")
    assert sum(row.origin == "exploit" for row in result.intervals) > 3
    assert loaded == []


def calls(engine: Any, **arguments: Any) -> list[int]:
    """The lengths of the stretches that the program was called for."""
    lengths: list[int] = []

    class Counting(warren.StackedTask):
        def lift(self, seed: int, hyperparameters: dict[str, Any], device: str | None = None) -> Any:
            lift = StackedLift(self, device)
            train = lift.train

            def counted(state: Any, values: Any, keys: Any) -> Any:
                lengths.append(len(keys))
                return train(state, values, keys)

            lift.train = counted  # type: ignore[method-assign]
            return lift

    task = Counting(init=init_all, train_interval=step_all, evaluate=evaluate_all)
    warren.run(task, space=SPACE, goal="max", population=5, engine=engine, watch=lambda result: None, **arguments)
    return lengths


def test_intervals_between_decisions_are_one_call() -> None:
    every = PBT(every=4, warmup=1)
    # The first is alone, then those up to the first decision at 5, then one call a decision.
    assert calls("vectorised", strategy=every, intervals=17) == [1, 4, 4, 4, 4]
    assert calls(warren.Vectorised(fused=2), strategy=every, intervals=9) == [1, 2, 2, 2, 2]
    assert calls("vectorised", strategy=PBT(), intervals=5) == [1, 1, 1, 1, 1]
    assert max(calls("vectorised", strategy=RandomSearch(), intervals=3 * FUSED)) == FUSED


def test_reports_inside_a_stretch_are_there_with_its_end(go: Any) -> None:
    result = go(strategy=PBT(every=4, warmup=1), intervals=9)
    assert sorted((row.member, row.interval) for row in result.intervals) == [
        (member, interval) for member in range(7) for interval in range(1, 10)
    ]
    assert {row.interval for row in result.intervals if row.checkpoint is not None} == {1, 5, 9}


# -- going on ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engines", [("inline", "vectorised"), ("vectorised", "inline"), ("processes", "vectorised")])
def test_another_engine_goes_on_with_the_run(go: Any, tmp_path: Path, engines: tuple[str, str]) -> None:
    expected = go(ONE, engine="inline", workers=1)
    go(ONE, engine=engines[0], workers=1, intervals=3, store=tmp_path / "run.db")
    whole = go(ONE, engine=engines[1], workers=1, store=tmp_path / "run.db")
    assert decisions(whole) == decisions(expected)
    assert whole.digest == expected.digest


def test_members_that_stand_at_different_intervals_are_brought_together(go: Any, tmp_path: Path) -> None:
    go(ONE, engine="inline", workers=1, synchronous=False, stop=warren.Stop(intervals=17), store=tmp_path / "run.db")
    whole = go(ALL, synchronous=False, store=tmp_path / "run.db")
    found = sorted((row.member, row.interval) for row in whole.intervals)
    assert found == [(member, interval) for member in range(7) for interval in range(1, 9)]


def test_a_population_grows(go: Any, tmp_path: Path) -> None:
    go(intervals=3, population=4, store=tmp_path / "run.db")
    more = go(intervals=5, population=6, store=tmp_path / "run.db")
    assert [(row.state, row.budget) for row in more.members] == [("done", 5)] * 6


def test_a_damaged_state_falls_back(go: Any, tmp_path: Path) -> None:
    part = go(BIG, intervals=3, population=3, store=tmp_path / "run.db")
    start = part.members[1].start
    folder = tmp_path / "run.db.d" / "checkpoints"
    digest = str(start).partition("-")[0]
    [held] = [path for path in folder.iterdir() if bytes.fromhex(digest) in path.read_bytes()]
    blob = bytearray(held.read_bytes())
    other = LocalCheckpoints(folder).load(str(start), digest)
    place = blob.index(bytes(other))
    blob[place + len(other) // 2] ^= 1
    held.write_bytes(bytes(blob))
    whole = go(BIG, intervals=5, population=3, store=tmp_path / "run.db")
    assert [event.kind for event in whole.events if event.kind == "damaged"] == ["damaged"]
    assert [(row.state, row.budget) for row in whole.members] == [("done", 5)] * 3


def big_init(seeds: Any, hyperparameters: dict[str, Any]) -> Any:
    return {**init_all(seeds, hyperparameters), "x": np.random.default_rng(0).normal(size=(len(seeds), 10_000))}


BIG = warren.StackedTask(init=big_init, train_interval=step_all, evaluate=evaluate_all)


def test_states_of_a_round_are_one_file(go: Any, tmp_path: Path) -> None:
    result = go(BIG, store=tmp_path / "run.db")
    packs = [path.name for path in (tmp_path / "run.db.d" / "checkpoints").iterdir()]
    assert len(packs) <= 4  # the two newest rounds, the best of all, and what a member started from
    assert len(result.store.checkpoints()) >= 14
    for row in result.store.checkpoints():
        tree = result.states.load(row.name)
        assert tree["state"]["x"].shape == (10_000,)
        assert set(tree["warren"]) == {"hyperparameters", "age"}
    assert result.best.state()["state"]["x"].shape == (10_000,)


SCRIPT = """
import sys
import warren
from tests.stacked.tasks import KILLED, SPACE
if __name__ == "__main__":
    warren.run(KILLED, space=SPACE, goal="max", population=7, intervals=8, seed=1, engine="vectorised",
               synchronous=True, store=sys.argv[1])
"""


def test_a_run_that_is_killed_loses_two_rounds_at_most(go: Any, tmp_path: Path) -> None:
    expected = go()
    script, store, orders = tmp_path / "script.py", tmp_path / "run.db", tmp_path / "kill"
    script.write_text(SCRIPT)
    orders.write_text("0 1 2 4 4 5 7")
    environ = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}", "WARREN_TEST_KILL": str(orders)}
    seen: set[int] = set()
    for order in (0, 1, 2, 4, 4, 5, 7, None):
        ended = subprocess.run([sys.executable, str(script), str(store)], env=environ, cwd=ROOT, check=False)
        assert ended.returncode == (0 if order is None else -signal.SIGKILL)
        part = warren.open_result(store)
        assert check(part.store, part.states) == []
        ids = {row.id for row in part.intervals}
        assert seen <= ids, "an interval that was acknowledged is lost"
        seen = ids
        # Killed while it trained the round after `order`: that round is lost, and the one that was being written.
        assert part.run.total == 7 * 8 if order is None else part.run.total >= 7 * (order - 1)
        part.store.close()
    whole = warren.open_result(store)
    assert whole.digest == expected.digest
    assert decisions(whole) == decisions(expected)
    whole.store.close()


# -- others have a say ------------------------------------------------------------------------------------------------


def meddling(after: int, meddle: Any) -> warren.StackedTask:
    """A task that does something else at the round with that number, once."""
    left = [after]

    def step(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            meddle()
        return step_all(state, hyperparameters, rng)

    return warren.StackedTask(init=init_all, train_interval=step, evaluate=evaluate_all)


def test_a_run_that_is_stopped_elsewhere_ends(go: Any, tmp_path: Path) -> None:
    def stop() -> None:
        SQLiteStore(tmp_path / "run.db").update(status="stopped", reason="enough")

    result = go(meddling(4, stop), store=tmp_path / "run.db", intervals=50)
    assert (result.run.status, result.run.reason) == ("stopped", "enough")
    assert 7 * 2 <= result.run.total <= 7 * 5


def test_members_that_were_given_to_others_are_taken_again(go: Any, tmp_path: Path) -> None:
    def expire() -> None:
        store = SQLiteStore(tmp_path / "run.db")
        store.expire([row.worker for row in store.workers()], "taken for dead", counts=False)
        store.close()

    expected = go()
    result = go(meddling(5, expire), store=tmp_path / "run.db")
    assert decisions(result) == decisions(expected)
    assert result.digest == expected.digest
    assert [event.kind for event in result.events].count("lost") == 7


def test_it_waits_for_members_that_others_hold(go: Any, tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "run.db")
    go(intervals=2, store=tmp_path / "run.db")
    store.extend(3, Plan())
    other = store.claim("other", since=0)
    assert other.row is not None
    timer = threading.Timer(0.3, lambda: store.release(str(other.row and other.row.token)))
    timer.start()
    result = go(intervals=3, store=tmp_path / "run.db")
    timer.join()
    assert [(row.state, row.budget) for row in result.members] == [("done", 3)] * 7
    store.close()


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_disk_that_is_full_ends_it_without_harm(go: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = go(BIG)
    with monkeypatch.context() as context:
        publish, left = LocalCheckpoints.publish_all, [3]

        def full(checkpoints: Any, encoded: Any, token: str) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise CheckpointError("the disk is full")
            return publish(checkpoints, encoded, token)

        context.setattr(LocalCheckpoints, "publish_all", full)
        with pytest.raises(CheckpointError, match="the disk is full"):
            go(BIG, store=tmp_path / "run.db")
    part = warren.open_result(tmp_path / "run.db")
    assert part.run.total == 3 * 7
    assert [row for row in part.members if row.token is not None] == []
    part.store.close()
    whole = go(BIG, store=tmp_path / "run.db")
    assert whole.digest == expected.digest


def test_what_the_functions_raise_ends_the_run(go: Any, tmp_path: Path) -> None:
    def step(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
        raise ZeroDivisionError("the step is wrong")

    task = warren.StackedTask(init=init_all, train_interval=step, evaluate=evaluate_all)
    with pytest.raises(RunFailed, match="the step is wrong"):
        go(task, store=tmp_path / "run.db")
    part = warren.open_result(tmp_path / "run.db")
    assert part.run.status == "failed"
    assert "the step is wrong" in str(part.run.reason)
    part.store.close()
    assert go(store=tmp_path / "run.db").run.status == "done"  # mended, it goes on


def test_a_diverged_member_is_rescued_inside_the_program(go: Any) -> None:
    def step(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
        state = step_all(state, hyperparameters, rng)
        state["w"][(hyperparameters["lr"] > 0.9) & (state["steps"] == 3)] = np.nan
        return state

    task = warren.StackedTask(init=init_all, train_interval=step, evaluate=evaluate_all)
    for strategy in (PBT(exploit="none"), PBT(exploit="none", every=4)):
        result = go(task, initial=[{"lr": 0.95}], strategy=strategy)
        own = sorted((row for row in result.intervals if row.member == 0), key=lambda row: row.interval)
        assert [row.status for row in own][:4] == ["ok", "ok", "diverged", "ok"]
        assert own[3].origin == "rescue"
        assert [row.interval for row in own] == list(range(1, 9))
        assert all(row.state == "done" for row in result.members)


def test_a_member_that_diverges_again_and_again_is_set_aside(go: Any) -> None:
    keys = [Keys(seed=1, member=2, interval=interval, attempt=attempt) for interval in range(9) for attempt in range(4)]
    poisoned = [Rng(key, "user/evaluate").seed for key in keys]

    def evaluate(state: Any, rng: Any) -> Any:
        scores, metrics = evaluate_all(state, rng)
        return np.where(np.isin(rng.seeds, poisoned), np.nan, scores), metrics

    task = warren.StackedTask(init=init_all, train_interval=step_all, evaluate=evaluate)
    result = go(task)
    assert [row.state for row in result.members] == ["done"] * 2 + ["quarantined"] + ["done"] * 4
    assert [row.budget for row in result.members] == [8, 8, 3, 8, 8, 8, 8]


class Full:
    """A lift whose device holds five members."""

    def __init__(self, lift: StackedLift) -> None:
        self._lift = lift

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lift, name)

    def train(self, state: Any, hyperparameters: Any, keys: Any) -> Any:
        if len(keys[0]) > 5:
            raise OutOfMemory("7 GiB are not there")
        return self._lift.train(state, hyperparameters, keys)


class Large(warren.StackedTask):
    def lift(self, seed: int, hyperparameters: dict[str, Any], device: str | None = None) -> Any:
        return Full(StackedLift(self, device))


def test_a_full_device_is_told_with_the_chunk_that_fits(go: Any, tmp_path: Path) -> None:
    task = Large(init=init_all, train_interval=step_all, evaluate=evaluate_all)
    with pytest.raises(
        OutOfMemory, match=r"with 16 members at a time; 4 fit: give engine=warren.Vectorised\(chunk=4\)"
    ):
        go(task, population=16, store=tmp_path / "run.db")
    result = go(task, population=16, store=tmp_path / "run.db", engine=warren.Vectorised(chunk=4))
    assert result.digest == go(population=16).digest


# -- requests that are wrong ------------------------------------------------------------------------------------------


def loop(slot: warren.Slot) -> None:
    for member in slot:
        member.report(0.0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"task": loop}, "trains a warren.Task or warren.StackedTask"),
        ({"workers": 2, "store": "x.db"}, "is one worker that trains all members, but workers=2"),
        ({"space": {**SPACE, "layers": warren.Int(1, 3, rebuild=True)}}, "'layers' is declared with rebuild=True"),
        ({"held_out": "test"}, "held_out='test' is not among the metrics that evaluate returned"),
    ],
)
def test_requests_that_cannot_be_met_are_refused(
    go: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(warren.WarrenError, match=said):
        go(**arguments)


def test_hyperparameters_that_are_no_numbers_are_refused(go: Any) -> None:
    with pytest.raises(InvalidType, match=r"'act' has the value '(relu|tanh)': members of one program can only differ"):
        go(space={**SPACE, "act": warren.Choice(["relu", "tanh"])})


@pytest.mark.parametrize("wrong", [{"chunk": 0}, {"chunk": True}, {"fused": 0}, {"fused": 1.5}])
def test_an_engine_with_wrong_numbers_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidValue, match="must be a whole number of at least 1"):
        warren.Vectorised(**wrong)


@pytest.mark.parametrize("devices", ["cuda:0", 1, ()])
def test_devices_that_are_no_list_of_names_are_refused(devices: Any) -> None:
    with pytest.raises((InvalidType, InvalidValue), match="Vectorised: devices must"):
        warren.Vectorised(devices=devices)
    assert warren.Vectorised(devices=["cpu"]).devices == ("cpu",)  # type: ignore[arg-type]


def test_the_memory_store_is_enough() -> None:
    result = warren.run(ALL, space=SPACE, goal="max", population=3, intervals=2, engine="vectorised")
    assert isinstance(result.store, MemoryStore)
    assert result.run.status == "done"


# -- states keep apart, and to their places ---------------------------------------------------------------------------


def step_in_place(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
    state["w"] -= hyperparameters["lr"] * (state["w"] - hyperparameters["bias"])
    state["w"] += 0.01 * rng.numpy().normal(size=3)
    state["steps"] += 1
    return state


IN_PLACE = warren.Task(init=init, train_interval=step_in_place, evaluate=evaluate)


@pytest.mark.parametrize("engine", ["vectorised", warren.Vectorised(chunk=3)], ids=["whole", "chunks"])
def test_members_that_were_copied_do_not_share_memory(go: Any, tmp_path: Path, engine: Any) -> None:
    inline = go(IN_PLACE, engine="inline", workers=1)
    assert any(row.origin == "exploit" for row in inline.intervals)
    assert decisions(go(IN_PLACE, engine=engine)) == decisions(inline)
    go(IN_PLACE, engine="inline", workers=1, intervals=4, store=tmp_path / "run.db")
    assert decisions(go(IN_PLACE, engine=engine, store=tmp_path / "run.db")) == decisions(inline)


def test_leaves_are_paired_by_their_keys(go: Any, tmp_path: Path) -> None:
    def turned(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
        state = step_all(state, hyperparameters, rng)
        return {"v": state["v"] + 1, **{key: state[key] for key in ("steps", "w")}}

    def begin(seeds: Any, hyperparameters: dict[str, Any]) -> Any:
        state = init_all(seeds, hyperparameters)
        return {"w": state["w"], "v": np.zeros_like(state["w"]), "steps": state["steps"]}

    task = warren.StackedTask(init=begin, train_interval=turned, evaluate=evaluate_all)
    expected = go(task)
    go(task, population=4, intervals=3, store=tmp_path / "run.db")
    grown = go(task, population=7, intervals=8, store=tmp_path / "run.db")
    assert {row.budget for row in grown.members} == {8}
    for result in (expected, grown):
        tree = result.states.load(str(result.members[6].start))["state"]
        assert tree["v"].tolist() == [float(result.members[6].age)] * 3


def test_types_that_training_widens_are_not_narrowed_by_new_members(go: Any, tmp_path: Path) -> None:
    def begin(seeds: Any, hyperparameters: dict[str, Any]) -> Any:
        return {**init_all(seeds, hyperparameters), "sum": np.zeros(len(seeds), dtype=np.int64)}

    def step(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
        return {**step_all(state, hyperparameters, rng), "sum": state["sum"] + 0.25}

    task = warren.StackedTask(init=begin, train_interval=step, evaluate=evaluate_all)
    go(task, population=4, intervals=3, store=tmp_path / "run.db")
    grown = go(task, population=6, intervals=5, store=tmp_path / "run.db")
    for row in grown.members:
        assert grown.states.load(str(row.start))["state"]["sum"] == 0.25 * row.age


def test_what_diverged_is_not_trained_on(go: Any) -> None:
    poisoned = Rng(Keys(seed=1, member=0, interval=3), "user/evaluate").seed

    def judged(state: Any, rng: Any) -> Any:
        scores, others = evaluate_all(state, rng)
        return np.where(np.isin(rng.seeds, [poisoned]), np.nan, scores), others

    task = warren.StackedTask(init=init_all, train_interval=step_all, evaluate=judged)
    result = go(task, strategy=RandomSearch(), engine=warren.Vectorised(fused=1))
    [row] = [row for row in result.members if row.member == 0]
    assert (row.budget, row.age) == (8, 7)
    assert result.states.load(str(row.start))["state"]["steps"] == 7


def test_members_that_rest_are_not_trained(go: Any, tmp_path: Path) -> None:
    trained: list[int] = []

    def step(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
        trained.append(len(rng))
        return step_all(state, hyperparameters, rng)

    task = warren.StackedTask(init=init_all, train_interval=step, evaluate=evaluate_all)
    go(ONE, engine="inline", workers=1, synchronous=False, stop=warren.Stop(intervals=17), store=tmp_path / "run.db")
    go(task, synchronous=False, store=tmp_path / "run.db")
    assert sum(trained) == 7 * 8 - 17


def test_a_stopping_rule_is_met_by_one_round(go: Any, tmp_path: Path) -> None:
    go(ONE, engine="inline", workers=1, synchronous=False, stop=warren.Stop(intervals=17), store=tmp_path / "run.db")
    result = go(ALL, synchronous=False, stop=warren.Stop(intervals=18), store=tmp_path / "run.db")
    assert result.run.status == "stopped"
    assert 18 <= result.run.total < 18 + 7


def test_decisions_know_of_what_earlier_ones_remembered(go: Any) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Remembering:
        """Members 2 and later copy nobody while the memory is even; each decision of member 1 counts it up."""

        def start(self, space: Any, size: int, keys: Keys) -> Plan:
            return Plan(actions=PBT().start(space, size, keys).actions, memory=0)

        def decide(self, view: View, keys: Keys) -> Plan:
            count = int(str(view.memory))
            if view.due.member == 1:
                return Plan(memory=count + 1)
            return PBT().decide(view, keys) if count % 2 else Plan()

    inline = go(ONE, engine="inline", workers=1, strategy=Remembering())
    assert any(row.origin == "exploit" for row in inline.intervals)
    assert decisions(go(ALL, strategy=Remembering())) == decisions(inline)


def test_states_found_damaged_meanwhile_are_decided_about_again(go: Any, tmp_path: Path) -> None:
    def damage() -> None:
        store = SQLiteStore(tmp_path / "run.db")
        lost = {row.name: "cut short" for row in store.checkpoints() if row.interval >= 3}
        store.damaged(lost)
        store.close()

    result = go(meddling(5, damage), store=tmp_path / "run.db")
    assert [(row.state, row.budget) for row in result.members] == [("done", 8)] * 7


@pytest.mark.parametrize("engine", ["vectorised", warren.Vectorised(chunk=1)], ids=["whole", "chunks"])
def test_a_function_that_raises_for_one_member_fails_that_one(go: Any, engine: Any) -> None:
    failing = [True]

    def step(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
        if state["steps"] == 2 and failing:
            failing.pop()
            raise RuntimeError("once")
        return step_in_place(state, hyperparameters, rng)

    task = warren.Task(init=init, train_interval=step, evaluate=evaluate)
    result = go(task, engine=engine, held_out="first")
    assert [event.kind for event in result.events].count("failure") == 1
    assert [(row.state, row.budget) for row in result.members] == [("done", 8)] * 7


def test_the_first_look_has_something_to_see(go: Any) -> None:
    seen: list[float] = []
    go(watch=lambda result: seen.append(result.best.score))
    assert seen


def test_a_run_is_resumed_as_it_was_made() -> None:
    for engine in (warren.Vectorised(), warren.Vectorised(chunk=3, fused=2, devices=("a", "b"))):
        assert warren.Vectorised.of(engine.record()) == engine


def test_a_loops_state_is_no_tasks(go: Any, tmp_path: Path) -> None:
    tracked = warren.run(
        tracking, space=SPACE, goal="max", population=2, intervals=1, workers=1, store=tmp_path / "loop.db"
    )
    with pytest.raises(InvalidValue, match=r"holds what a loop tracked \(x\)"):
        go(warm_start=tracked)
    tracked.store.close()


def tracking(slot: warren.Slot) -> None:
    x = np.zeros(3)
    slot.track(x=x)
    for member in slot:
        member.report(member["lr"] + member["bias"])
