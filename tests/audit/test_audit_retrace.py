from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training import loops

import warren
from warren.audit import Retraced, retrace
from warren.checkpoints import MemoryCheckpoints
from warren.engines.work import work
from warren.errors import InvalidValue, RunFailed
from warren.population import Assign, Keys, Plan, RunRow, View
from warren.results import Result
from warren.space import Space
from warren.stores import MemoryStore
from warren.testing import combinations
from warren.testing.check import check
from warren.training import Rng, Settings, States, Turns

COMMON: dict[str, Any] = {"space": loops.SPACE, "goal": "max", "population": 5, "intervals": 7, "seed": 2}


def again(train: Any, result: Result, member: int | None = None, **changes: Any) -> Retraced:
    """The lineage of a member's last state, or of the best."""
    given = {**COMMON, **changes}
    settings = Settings(
        space=Space(given["space"]), strategy=warren.PBT(), goal="max", population=given["population"],
        seed=given["seed"], checkpoint_every=given.get("checkpoint_every", 1),
    )  # fmt: skip
    rows = {row.id: row for row in result.intervals}
    end = result.run.best
    if member is not None:
        end = max(row.id for row in rows.values() if row.member == member and row.checkpoint is not None)
    assert end is not None
    warm = given.get("warm")
    return retrace(train, settings, rows, rows[end], MemoryCheckpoints(), clock=time.perf_counter, warm=warm)


def test_the_winner_alone_has_every_digest_of_the_run() -> None:
    result = warren.run(loops.quadratic, **COMMON)
    found = again(loops.quadratic, result)
    assert found.different is None
    assert found.digest == result.best.digest
    assert len(found.steps) == result.best.age
    assert [step.row.hyperparameters for step in found.steps] == [step.hyperparameters for step in result.schedule]
    assert any(step.row.origin == "exploit" for step in found.steps)


@pytest.mark.parametrize("member", range(5))
def test_so_has_everybody_else(member: int) -> None:
    result = warren.run(loops.quadratic, **COMMON)
    assert again(loops.quadratic, result, member).different is None


def test_several_workers(tmp_path: Path) -> None:
    result = warren.run(loops.quadratic, **COMMON, store=tmp_path / "run.db", workers=4)
    assert again(loops.quadratic, result).different is None


def hidden() -> Any:
    """A loop with a count that nobody tracks: it goes on counting over all members."""
    calls = itertools.count()

    def train(slot: warren.Slot) -> None:
        x = np.array([3.0, 0.0])
        slot.track(x=x)
        for member in slot:
            loops.step(x, member)
            x[0] += 1e-9 * next(calls)
            member.report(-float(x[0] ** 2))

    return train


def test_state_that_is_not_tracked_is_found_out() -> None:
    train = hidden()
    result = warren.run(train, **COMMON)
    found = again(train, result)
    assert found.different is not None
    assert found.different is found.steps[0]
    assert "trained again: from interval 1 of member" in str(found)
    assert found.digest != result.best.digest


def test_a_changed_record_is_found_out_at_its_interval() -> None:
    """Other hyperparameters than those that were trained with."""
    result = warren.run(loops.quadratic, **COMMON)
    wrong = result.lineage()[3]
    place = result.intervals.index(wrong)
    values = {**wrong.hyperparameters, "lr": 1.5 * wrong.hyperparameters["lr"]}
    result.intervals = [*result.intervals]
    result.intervals[place] = replace(wrong, hyperparameters=values)
    found = again(loops.quadratic, result)
    assert found.different is not None
    assert found.different.row.id == wrong.id


def test_where_checkpoints_are_rare() -> None:
    result = warren.run(loops.quadratic, **COMMON, checkpoint_every=3, strategy=warren.PBT(every=4))
    found = again(loops.quadratic, result, checkpoint_every=3)
    assert found.different is None
    assert any(step.digest is None for step in found.steps)


def keeper(slot: warren.Slot) -> None:
    """`own` moves with its member and is not copied; what it holds goes into the training."""
    x, own = np.array([3.0, 0.0]), np.zeros(1)
    slot.track(x=x)
    slot.track(on_exploit="keep", own=own)
    for member in slot:
        own += member.id + member["lr"]
        x[0] += 1e-3 * own[0]
        loops.step(x, member)
        member.report(-float(x[0] ** 2))


def test_what_stays_with_its_member_is_retraced_as_well() -> None:
    result = warren.run(keeper, **COMMON)
    found = again(keeper, result)
    assert found.different is None
    assert any(row.origin == "exploit" for row in result.lineage())
    assert len(found.steps) > result.best.age  # the recipients' own intervals before they copied


def failing(slot: warren.Slot) -> None:
    x = np.array([3.0, 0.0])
    slot.track(x=x)
    for member in slot:
        loops.step(x, member)
        if member.rng.random() < 0.25:
            raise RuntimeError("by chance")
        if member.rng.random() < 0.1:
            x[0] = np.nan
        member.report(-float(x[0] ** 2))


def test_after_failures_and_rescues() -> None:
    result = warren.run(failing, **{**COMMON, "population": 8})
    assert any(row.failures for row in result.intervals)
    for member in {row.member for row in result.intervals if row.checkpoint is not None}:
        assert again(failing, result, member, population=8).different is None


SHAPED = {**loops.SPACE, "width": warren.Int(2, 5, rebuild=True)}


def shaped(slot: warren.Slot) -> None:
    w = np.random.normal(size=int(slot["width"]))
    slot.track(w=w)
    for member in slot:
        w -= member["lr"] * (w + 0.1 * member["momentum"])
        member.report(-float((w**2).sum()))


def test_hyperparameters_that_shape_the_objects() -> None:
    result = warren.run(shaped, **{**COMMON, "space": SHAPED})
    assert again(shaped, result, space=SHAPED).different is None


def init(seed: int, hyperparameters: dict[str, Any]) -> Any:
    return {"x": np.random.default_rng(seed).normal(size=3)}


def train_interval(state: Any, hyperparameters: dict[str, Any], rng: Rng) -> Any:
    return {"x": state["x"] * (1 - hyperparameters["lr"]) + 0.01 * rng.numpy().normal(size=3)}


def evaluate(state: Any, rng: Rng) -> float:
    return -float((state["x"] ** 2).sum())


def test_a_task() -> None:
    task = warren.Task(init=init, train_interval=train_interval, evaluate=evaluate)
    result = warren.run(task, **COMMON)
    assert again(task, result).different is None


def test_a_warm_start(tmp_path: Path) -> None:
    before = warren.run(loops.quadratic, **{**COMMON, "seed": 9, "intervals": 2})
    result = warren.run(loops.quadratic, **COMMON, warm_start=before.best)
    found = again(loops.quadratic, result, warm=before.best.state())
    assert found.different is None
    assert found.steps[0].row.origin == "warm"


def test_a_state_that_was_not_saved() -> None:
    result = warren.run(loops.quadratic, **COMMON, checkpoint_every=3, strategy=warren.PBT(every=4))
    rows = {row.id: row for row in result.intervals}
    bare = next(row for row in rows.values() if row.checkpoint is None)
    settings = Settings(space=Space(loops.SPACE), strategy=warren.PBT(), goal="max", population=5, seed=2)
    with pytest.raises(InvalidValue, match="was not saved"):
        retrace(loops.quadratic, settings, rows, bare, MemoryCheckpoints(), clock=time.perf_counter)


def keeping(result_of: Any, damage: Any, train: Any = keeper, warm: Any = None) -> list[Retraced]:
    """A run in which `damage` is called after each turn, and the retraced lineages of all members."""
    settings = Settings(space=Space(loops.SPACE), strategy=result_of, goal="max", population=3, seed=2)
    store = MemoryStore()
    states = States(store, MemoryCheckpoints())
    plan = settings.strategy.start(settings.space, 3, Keys(seed=2, member=-1, interval=0))
    given = []
    if warm is not None:
        given = [states.save(warm)]
        actions = [replace(a, via="copy", sources=(given[0].name,)) for a in plan.actions if isinstance(a, Assign)]
        plan = replace(plan, actions=tuple(actions))
    store.create(RunRow(limit=6), {"population": 3}, plan, given)
    turns = Turns(
        store, states, settings, worker="w", clock=time.perf_counter, sleep=time.sleep, observe=lambda: damage(store)
    )
    work(train, turns)
    assert check(store, states) == []
    rows = {row.id: row for row in store.intervals()}
    ends = [max(r.id for r in rows.values() if r.member == m and r.checkpoint is not None) for m in range(3)]
    return [
        retrace(train, settings, rows, rows[end], MemoryCheckpoints(), clock=time.perf_counter, warm=warm)
        for end in ends
    ]


@dataclass(frozen=True, kw_only=True)
class Copies:
    """Member 0 copies member 1 after its third interval; who is failing copies member 1."""

    at: int = 3

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        return warren.PBT().start(space, size, keys)

    def decide(self, view: View, keys: Keys) -> Plan:
        donor = view.source(1)
        mine = view.due.member == 0 and view.at == self.at
        if donor is None or donor.checkpoint is None or not (mine or (view.failing and view.due.member != 1)):
            return Plan()
        values = donor.hyperparameters
        return Plan(actions=(Assign(member=view.due.member, hyperparameters=values, sources=(donor.checkpoint,)),))


def newest(store: Any) -> None:
    """Member 0's newest state is damaged before it copies."""
    row = store.member(0)
    if row.state == "waiting" and row.budget == 3 and row.origin == "continue":
        store.damaged({row.start: "cut short"})


def all_of_them(store: Any) -> None:
    """All its states are."""
    row = store.member(0)
    if row.state == "waiting" and row.budget == 3 and row.origin == "continue":
        store.damaged({one.name: "cut short" for one in store.checkpoints() if one.member == 0})


def set_aside(store: Any) -> None:
    """Its own state is, while it trains from the copy: its bytes in the store change."""
    row = store.member(0)
    if row.state == "leased" and row.kept is not None:
        known = store._rows._kept.get(row.kept)
        store._rows._kept.put(replace(known, inline=known.inline[:-1] + b"?"))


def failing_first(slot: warren.Slot) -> None:
    """As `keeper`; member 2 fails in its first interval until it was given another's state."""
    x, own = np.array([3.0, 0.0]), np.zeros(1)
    slot.track(x=x)
    slot.track(on_exploit="keep", own=own)
    for member in slot:
        own += member.id + member["lr"]
        x[0] += 1e-3 * own[0]
        if member.id == 2 and member.budget == 0 and member.arrival != "exploited":
            raise RuntimeError("not from here")
        loops.step(x, member)
        member.report(-float(x[0] ** 2))


WARM = {"x": np.array([2.0, 0.1]), "own": np.array([5.0])}


@pytest.mark.parametrize("damage", [lambda store: None, newest, all_of_them, set_aside])
def test_what_stayed_is_what_the_record_says(damage: Any) -> None:
    """An older state after a fall back, new objects where it was damaged or none was left."""
    assert [found.different for found in keeping(Copies(), damage)] == [None] * 3


@pytest.mark.parametrize("warm", [None, WARM])
def test_what_stayed_of_a_member_that_was_rescued_at_once(warm: Any) -> None:
    assert [found.different for found in keeping(Copies(at=99), lambda store: None, failing_first, warm)] == [None] * 3


def test_a_score_that_came_later_is_not_the_trainings() -> None:
    def train(slot: warren.Slot) -> None:
        x = np.array([3.0, 0.0])
        slot.track(x=x)
        for member in slot:
            loops.step(x, member)
            member.report(warren.PENDING)

    result = warren.run(train, **COMMON)
    for row in result.intervals:
        result.store.score(row.id, float(row.id))
    late = open_again(result)
    for member in range(5):
        assert again(train, late, member).different is None


def open_again(result: Result) -> Result:
    return Result(result.store, result.states, goal="max", held_out=None)


def test_user_code_that_raises_now_is_told_with_its_place() -> None:
    result = warren.run(loops.quadratic, **COMMON)

    def broken(slot: warren.Slot) -> None:
        x = np.array([3.0, 0.0])
        slot.track(x=x)
        for member in slot:
            loops.step(x, member)
            if member.budget == 2:
                raise ZeroDivisionError("since then")
            member.report(-float(x[0] ** 2))

    with pytest.raises(RunFailed, match=r"interval 3 of member \d raised(.|\n)*since then"):
        again(broken, result)


def test_a_long_lineage_is_not_quadratic_and_keeps_few_states() -> None:
    """Counted and not timed: how many states there are at a time, and how often the order is walked."""
    result = warren.run(loops.quadratic, **{**COMMON, "population": 1, "intervals": 400})
    kept = MemoryCheckpoints()
    most = 0

    def observe(step: Any, left: int) -> None:
        nonlocal most
        most = max(most, len(list(kept.names())))

    settings = Settings(space=Space(loops.SPACE), strategy=warren.PBT(), goal="max", population=1, seed=2)
    rows = {row.id: row for row in result.intervals}
    end = rows[max(rows)]
    found = retrace(loops.quadratic, settings, rows, end, kept, clock=time.perf_counter, observe=observe)
    assert (len(found.steps), found.different) == (400, None)
    assert most <= 2


# -- states of several, and opponents ---------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_states_that_are_made_of_several(tmp_path: Path, workers: int) -> None:
    """All sources are trained again, by hooks of the strategy's and with fresh states as well."""
    store = tmp_path / "run.db"
    result = warren.run(
        combinations.STILL, space={"lr": warren.Float(0.1, 1.0)}, goal="max", population=4, intervals=3, store=store,
        strategy=combinations.Mixing(), synchronous=True, workers=workers,
    )  # fmt: skip
    for member in range(4):
        found = warren.retrace(store, member=member)
        assert found.different is None
        assert {(step.row.member, step.row.interval) for step in found.steps} == {
            (other, 1) for other in range(4) if other != member
        } | {(member, 2), (member, 3)}
    assert warren.replay(store).different == ()
    assert warren.verify(store).problems == ()
    result.store.close()


def test_opponents_are_trained_again_as_well(tmp_path: Path) -> None:
    """Each met both others at each interval, so all but their last is needed for one."""
    store = tmp_path / "run.db"
    space = {"lr": warren.Float(0.1, 1.0), "bias": warren.Float(0.0, 1.0)}
    result = warren.run(
        combinations.playing, space=space, goal="max", population=3, intervals=3, store=store,
        strategy=combinations.Meeting(), synchronous=True, workers=1,
    )  # fmt: skip
    found = warren.retrace(store, member=1)
    assert found.different is None
    expected = {(member, interval) for member in range(3) for interval in (1, 2)} | {(1, 3)}
    assert {(step.row.member, step.row.interval) for step in found.steps} == expected
    assert warren.replay(store).different == ()
    result.store.close()
