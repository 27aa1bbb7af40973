"""Simulated runs: the history of `warren.run`, and times by hand arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import warren
from warren.errors import InvalidType, InvalidValue
from warren.population import Assign, Goal, Hold, IntervalRow, Keys, Pin, Plan, Retire, View
from warren.simulation import Durations, Failures, Learner, Loop, Measured, deceptive, plain, regimes, simulate
from warren.simulation.learner import State
from warren.space import Float, Space
from warren.strategies import PBT, Perturb, RandomSearch, Strategy, Truncation
from warren.strategies.moves import begin, keep
from warren.training import Rng

GREEDY = PBT(exploit=Truncation(fraction=0.25), explore=Perturb(factors=(0.5, 2.0), resample=0.2))
TOURNAMENT = PBT(exploit="tournament", every=3, explorers="ready")
ROUNDS = PBT(exploit="none", explore="none", warmup=0)
"""Changes nothing, and comes to a decision after every interval: what a member's worker gives it back at."""


def told(rows: Sequence[IntervalRow]) -> list[tuple[Any, ...]]:
    """What makes two histories the same: all of a row but times, workers, revisions and names of checkpoints."""
    return [
        (
            row.id, row.member, row.interval, row.age, row.birth, row.parents, row.origin, row.hyperparameters,
            row.score, row.status, row.curve, row.metrics, row.cost, row.boundary, row.group, row.role, row.tag,
        )
        for row in rows
    ]  # fmt: skip


def unordered(rows: Sequence[IntervalRow]) -> dict[tuple[int, int], tuple[Any, ...]]:
    """The same whatever the order in which intervals of one round ended: parents by member and interval."""
    places = {row.id: (row.member, row.interval) for row in rows}
    return {
        (row.member, row.interval): (
            tuple(places[id] for id in row.parents), row.age, row.origin, row.hyperparameters, row.score, row.metrics,
        )
        for row in rows
    }  # fmt: skip


def trained(learner: Learner, strategy: Strategy, *, synchronous: bool, intervals: int) -> Sequence[IntervalRow]:
    """The same by `warren.run`, in memory with one worker."""
    return warren.run(
        Loop(learner=learner),
        space=learner.space,
        goal=learner.goal,
        population=9,
        intervals=intervals,
        initial=learner.initial(9, 5),
        strategy=strategy,
        seed=5,
        synchronous=synchronous,
        watch=lambda result: None,
    ).intervals


@pytest.mark.parametrize("synchronous", [True, False])
@pytest.mark.parametrize(("learner", "strategy"), [(deceptive(), GREEDY), (regimes(0), TOURNAMENT)])
def test_the_history_is_that_of_a_run_to_the_letter(learner: Learner, strategy: Strategy, synchronous: bool) -> None:
    """Every row but its times, with one worker as `warren.run` has it."""
    rows = trained(learner, strategy, synchronous=synchronous, intervals=12)
    found = simulate(
        learner, strategy, population=9, seed=5, intervals=12, workers=1, synchronous=synchronous
    ).intervals
    assert len(rows) == 9 * 12
    assert sum(row.origin == "exploit" for row in rows) > 9
    assert told(found) == told(rows)


def test_a_synchronous_history_does_not_depend_on_workers_or_times() -> None:
    """Decisions are on equal progress, so that stragglers change when things happen and not what."""
    rows = unordered(trained(regimes(0), TOURNAMENT, synchronous=True, intervals=12))
    for workers, durations in ((None, None), (4, Durations(stragglers=1.0)), (9, Durations(slowness=1.0))):
        found = simulate(
            regimes(0), TOURNAMENT, population=9, seed=5, intervals=12, workers=workers, durations=durations
        )
        assert unordered(found.intervals) == rows


@dataclass(frozen=True)
class Timed:
    """A learner that does nothing, with durations of its members that are given: `Slow` makes them."""

    goal: Goal = "max"
    optimum: float = 1.0
    intervals: int = 3

    @property
    def space(self) -> Space:
        return Space({"x": Float(0.0, 1.0)})

    def initial(self, population: int, seed: int) -> Sequence[Mapping[str, Any]]:
        return ()

    def begin(self, seed: int) -> State:
        return {"theta": np.zeros(1)}

    def train(self, state: State, hyperparameters: Mapping[str, Any], interval: int, rng: Rng) -> State:
        return {"theta": state["theta"] + 1.0}

    def score(self, state: State, interval: int, rng: Rng) -> Measured:
        value = float(state["theta"][0])
        return Measured(observed=value, true=value)


class Slow(Durations):
    """Member 0 takes 3, all others 1."""

    def of(self, keys: Keys) -> float:
        return 3.0 if keys.member == 0 else 1.0


class Once(Failures):
    """Member 1 fails at its second interval once."""

    def crashes(self, keys: Keys) -> bool:
        return (keys.member, keys.interval, keys.attempt) == (1, 2, 0)


def test_a_straggler_holds_up_the_rounds_of_a_synchronous_run() -> None:
    """Two workers, members that take 3 and 1, three intervals.

    Every round takes 3 and does 4 units of work on two workers: makespan 9, busy 12 of 18. Member 1 ends 1 after each
    round began. Without decisions there are no rounds, and it is done after 3.
    """
    found = simulate(Timed(), ROUNDS, population=2, seed=0, durations=Slow())
    assert (found.makespan, found.busy, found.utilisation) == (9.0, 12.0, pytest.approx(12 / 18))
    assert [(row.member, time) for row, time in zip(found.intervals, found.times, strict=True)] == [
        (1, 1.0), (0, 3.0), (1, 4.0), (0, 6.0), (1, 7.0), (0, 9.0),
    ]  # fmt: skip
    alone = simulate(Timed(), RandomSearch(), population=2, seed=0, durations=Slow())
    assert [time for row, time in zip(alone.intervals, alone.times, strict=True) if row.member == 1] == [1.0, 2.0, 3.0]


def test_without_waiting_workers_are_never_idle_before_the_end() -> None:
    """Two workers, three members (3, 1, 1), three intervals each: 9 + 3 + 3 = 15 units on two workers.

    One worker takes member 0, at 0, 3 and 6; the other trains members 1 and 2 by turns until both are done, at 6.
    Member 0 ends at 9: busy 15 of 18.
    """
    found = simulate(Timed(), ROUNDS, population=3, seed=0, workers=2, synchronous=False, durations=Slow())
    assert (found.makespan, found.busy) == (9.0, 15.0)
    assert found.utilisation == pytest.approx(15 / 18)


def test_one_worker_does_one_thing_after_another() -> None:
    """Two members of 3 and 1, three intervals: 12, and never idle."""
    found = simulate(Timed(), RandomSearch(), population=2, seed=0, workers=1, durations=Slow())
    assert (found.makespan, found.utilisation) == (12.0, 1.0)


def test_an_evaluation_takes_time_and_counts_as_compute() -> None:
    """Intervals of 1 with an evaluation of 0.25: three of them take 3.75, and two members cost 7.5."""
    found = simulate(Timed(), RandomSearch(), population=2, seed=0, durations=Durations(evaluation=0.25))
    assert (found.makespan, found.cost) == (pytest.approx(3.75), pytest.approx(7.5))
    assert {row.cost for row in found.intervals} == {1.25}


def test_a_failed_interval_is_trained_again() -> None:
    """Members of 3 and 1; member 1's second interval fails once, which costs 1 and is hidden by the straggler.

    In the order of time: 1 fails at 4 and, in a synchronous round, is tried again when nobody holds a member any more,
    at 6: it ends at 7, and the third round takes until 10. Work: 9 + 3 + 1 = 13.
    """
    found = simulate(Timed(), ROUNDS, population=2, seed=0, durations=Slow(), failures=Once())
    assert (found.failures, found.busy, found.cost) == (1, 13.0, 7.0)
    assert found.makespan == 10.0
    assert len(found.intervals) == 6
    assert {row.metrics["true"] for row in found.intervals if row.interval == 3} == {3.0}


@pytest.mark.parametrize("synchronous", [True, False])
def test_a_run_with_failures_ends(synchronous: bool) -> None:
    """A fifth of the intervals fails and a tenth diverges; what was rescued is on record."""
    found = simulate(
        plain(), GREEDY, population=12, seed=1, intervals=20, synchronous=synchronous, workers=5,
        failures=Failures(crash=0.2, diverge=0.1),
    )  # fmt: skip
    assert found.ended == "done"
    assert found.failures > 20
    assert sum(row.status == "diverged" for row in found.intervals) > 10
    assert sum(row.origin == "rescue" for row in found.intervals) > 5
    assert np.isfinite(found.true)
    assert found.cost == len(found.intervals) + found.failures


def test_a_run_in_which_all_fails_ends_without_a_score() -> None:
    """Every member is quarantined after three failures in a row."""
    found = simulate(Timed(), PBT(), population=4, seed=0, failures=Failures(crash=1.0))
    assert (found.failures, len(found.intervals), found.best) == (12, 0, None)
    assert found.true == -np.inf
    assert list(found.final) == []


def test_spreads_leave_the_mean_as_it_is() -> None:
    """exp(s N - s^2 / 2) has the mean 1; over 4,000 draws with s = 0.5 its own error is 0.8 %."""
    durations = Durations(stragglers=0.5)
    drawn = [durations.of(Keys(seed=0, member=m, interval=i)) for m in range(40) for i in range(100)]
    assert np.mean(drawn) == pytest.approx(1.0, abs=0.04)
    assert np.std(np.log(drawn)) == pytest.approx(0.5, rel=0.06)
    slow = Durations(slowness=0.5)
    assert len({slow.of(Keys(seed=0, member=3, interval=i)) for i in range(20)}) == 1
    assert len({slow.of(Keys(seed=0, member=m, interval=1)) for m in range(20)}) == 20


def test_noise_is_seen_and_not_counted() -> None:
    """Observed scores are off by the deviation that was asked for; the true ones are what they were."""
    clear, blurred = (
        simulate(plain(), RandomSearch(), population=20, seed=0, noise=noise).intervals for noise in (0.0, 0.1)
    )
    assert [row.metrics for row in clear] == [row.metrics for row in blurred]
    off = [
        b.score - a.score for a, b in zip(clear, blurred, strict=True) if a.score is not None and b.score is not None
    ]
    assert np.std(off) == pytest.approx(0.1, rel=0.1)
    assert abs(np.mean(off)) < 5 * 0.1 / np.sqrt(1000)


def test_what_looks_best_is_told_by_its_true_score() -> None:
    """The best of the run and the best at the end go by the observed score, and the outcome is the true one."""
    found = simulate(regimes(2), PBT(), population=6, seed=2, intervals=10)
    last = [row for row in found.intervals if row.interval == 10]
    chosen = min(last, key=lambda row: row.score if row.score is not None else np.inf)
    assert found.final[0] == chosen
    assert found.true == chosen.metrics["true"] != chosen.score
    assert found.best is not None
    assert found.best.score == min(row.score for row in found.intervals if row.score is not None)


def test_the_donor_of_a_copy_is_found() -> None:
    """It is another member, whose interval the copy goes on from."""
    found = simulate(deceptive(), GREEDY, population=8, seed=0, intervals=6)
    copies = [row for row in found.intervals if row.origin == "exploit"]
    assert copies
    for row in copies:
        donor = found.donor(row)
        assert donor is not None
        assert donor.member != row.member
        assert row.age == donor.age + 1
    assert all(found.donor(row) is None for row in found.intervals if row.origin != "exploit")


@dataclass(frozen=True, kw_only=True)
class Everything:
    """Says all that a plan can say, at fixed intervals of member 0."""

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        groups = ["a" if member % 2 else "b" for member in range(size)]
        starts = (begin(space, m, keys, group=groups[m], role="scout" if m == 1 else None) for m in range(size))
        return Plan(actions=tuple(starts), memory={"decisions": 0})

    def decide(self, view: View, keys: Keys) -> Plan:
        due = view.due
        memory = {"decisions": view.memory["decisions"] + 1} if isinstance(view.memory, dict) else None
        if due.member != 0:
            return keep()
        source = view.source(2)
        name = "" if source is None or source.checkpoint is None else source.checkpoint
        own: dict[str, Any] = {"member": 0, "hyperparameters": {"x": 0.25}, "tag": {"at": view.at}}
        if view.at == 1:
            return Plan(actions=(Assign(**own, sources=(name,), group="b"), Pin(checkpoint=name)), memory=memory)
        if view.at == 2:
            fresh = Assign(member=9, hyperparameters={"x": 0.75}, via="fresh", role="new")
            return Plan(actions=(Assign(**own, via="fresh"), fresh), memory=memory)
        if view.at == 3:
            mine = view.source(0)
            names = (name, "" if mine is None or mine.checkpoint is None else mine.checkpoint)
            return Plan(actions=(Assign(**own, via="mean", sources=names), Retire(member=3)), memory=memory)
        if view.at == 4:
            return Plan(actions=(Assign(**own, via="keep"), Hold(member=0, until=4)), memory=memory)
        return Plan(memory=memory)


def test_every_action_of_a_plan_is_carried_out() -> None:
    """Copy, fresh, mean, keep with hold, a new member, one that retires, groups, roles, tags, pins, memory."""
    found = simulate(Timed(intervals=6), Everything(), population=4, seed=0)
    rows = {(row.member, row.interval): row for row in found.intervals}
    # Each interval adds 1. Member 0 copies member 2 after its first, is made anew after its second, and becomes the
    # mean of member 2 (3) and itself (1) after its third: 2, trained on to 3, 4, 5.
    assert [rows[0, interval].score for interval in range(1, 7)] == [1.0, 2.0, 1.0, 3.0, 4.0, 5.0]
    assert [rows[0, interval].origin for interval in (1, 2, 3, 4, 5)] == [
        "fresh", "exploit", "fresh", "exploit", "continue",
    ]  # fmt: skip
    assert rows[0, 4].via == "mean"
    assert len(rows[0, 4].parents) == 2
    assert (rows[0, 2].group, rows[0, 2].tag, rows[0, 2].hyperparameters) == ("b", {"at": 1}, {"x": 0.25})
    assert (rows[1, 1].group, rows[1, 1].role, rows[2, 1].group) == ("a", "scout", "b")
    assert (rows[9, 1].role, rows[9, 6].score) == ("new", 6.0)
    assert max(interval for member, interval in rows if member == 3) < 6
    assert found.ended == "done"


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"population": 0}, InvalidValue, "population must be at least 1"),
        ({"population": 2.0}, InvalidType, "population must be a whole number"),
        ({"intervals": 0}, InvalidValue, "intervals must be at least 1"),
        ({"workers": -1}, InvalidValue, "workers must be at least 1"),
        ({"workers": 0}, InvalidValue, "workers must be at least 1"),
        ({"noise": -0.1}, InvalidValue, "noise must be finite and not negative"),
    ],
)
def test_nonsense_is_refused(arguments: dict[str, Any], kind: type[Exception], message: str) -> None:
    """With the field, the value and the rule."""
    with pytest.raises(kind, match=message):
        simulate(**{"learner": plain(), "strategy": PBT(), "population": 4, "seed": 0, **arguments})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Durations(interval=0), "interval must be greater than 0"),
        (lambda: Durations(stragglers=-1), "stragglers must be finite and not negative"),
        (lambda: Durations(slowness=float("nan")), "slowness must be finite"),
        (lambda: Failures(crash=1.5), r"crash must lie in \[0, 1\]"),
        (lambda: Failures(diverge=-0.5), r"diverge must lie in \[0, 1\]"),
    ],
)
def test_nonsense_times_are_refused(make: Any, message: str) -> None:
    """Before anything is simulated."""
    with pytest.raises(InvalidValue, match=message):
        make()
