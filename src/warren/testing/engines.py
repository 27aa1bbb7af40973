"""The contract of engines, as tests: subclass it, give it the fixture, let pytest collect it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import warren
from warren.engines import Engine
from warren.errors import LoopError, RunFailed
from warren.population import Keys
from warren.results import Result
from warren.testing.check import check
from warren.testing.combinations import CombinationContract, OpponentContract
from warren.training import Rng, Slot, Task

INTERRUPT = "WARREN_TEST_INTERRUPT"
"""Environment variable: a file that names the process to interrupt at some member's third interval, once."""

SPACE: dict[str, Any] = {"lr": warren.Float(1e-3, 1.0, scale="log"), "bias": warren.Float(0.0, 1.0)}


def _init(seed: int, hyperparameters: dict[str, Any]) -> Any:
    return {"w": np.random.default_rng(seed).normal(size=3), "steps": 0}


def _step(state: Any, hyperparameters: dict[str, Any], rng: Rng) -> Any:
    pull = hyperparameters["lr"] * (state["w"] - hyperparameters["bias"])
    return {"w": state["w"] - pull + 0.01 * rng.numpy().normal(size=3), "steps": state["steps"] + 1}


def _interrupting_step(state: Any, hyperparameters: dict[str, Any], rng: Rng) -> Any:
    order = Path(os.environ.get(INTERRUPT, "/nowhere"))
    if state["steps"] == 2 and order.exists():
        pid = int(order.read_text())
        order.unlink()
        os.kill(pid, signal.SIGINT)
        time.sleep(0.2)  # for the supervisor to hand it on before all is done; correct without
    return _step(state, hyperparameters, rng)


def _failing_step(state: Any, hyperparameters: dict[str, Any], rng: Rng) -> Any:
    if hyperparameters["lr"] > 0.9 and state["steps"] >= 2:
        raise RuntimeError("too fast")
    return _step(state, hyperparameters, rng)


def _diverging_step(state: Any, hyperparameters: dict[str, Any], rng: Rng) -> Any:
    state = _step(state, hyperparameters, rng)
    return {**state, "w": state["w"] * (np.nan if hyperparameters["lr"] > 0.9 and state["steps"] == 3 else 1.0)}


def _slow_step(state: Any, hyperparameters: dict[str, Any], rng: Rng) -> Any:
    time.sleep(0.01)
    return _step(state, hyperparameters, rng)


def _broken_step(state: Any, hyperparameters: dict[str, Any], rng: Rng) -> Any:
    raise ZeroDivisionError("the step is wrong")


def _evaluate(state: Any, rng: Rng) -> float:
    return -float(np.sum(state["w"] ** 2))


def _constant(state: Any, rng: Rng) -> float:
    return 1.0


def _count(state: Any, hyperparameters: dict[str, Any], rng: Rng) -> Any:
    return {**state, "steps": state["steps"] + 1}


def _evaluates(seed: int, member: int, interval: int) -> int:
    return Rng(Keys(seed=seed, member=member, interval=interval), "user/evaluate").seed


class Scripted:
    """Gives scores that are written down beforehand, whatever was trained.

    Args:
        scores: By the seed of the key that they are asked with.
    """

    def __init__(self, scores: dict[int, float]) -> None:
        self._scores = scores

    def __call__(self, state: Any, rng: Rng) -> float:
        """The score of whoever asks."""
        return self._scores[rng.seed]


QUADRATIC = Task(init=_init, train_interval=_step, evaluate=_evaluate)
"""A few numbers that are pulled towards zero with noise: microseconds an interval, and the same everywhere."""
INTERRUPTING = Task(init=_init, train_interval=_interrupting_step, evaluate=_evaluate)
FAILING = Task(init=_init, train_interval=_failing_step, evaluate=_evaluate)
DIVERGING = Task(init=_init, train_interval=_diverging_step, evaluate=_evaluate)
SLOW = Task(init=_init, train_interval=_slow_step, evaluate=_evaluate)
BROKEN = Task(init=_init, train_interval=_broken_step, evaluate=_evaluate)
LEVEL = Task(init=_init, train_interval=_step, evaluate=_constant)


def poisoned(slot: Slot) -> None:
    """A loop in which one member always fails."""
    for member in slot:
        if member.id == 1:
            raise RuntimeError("poison")
        member.state = {"sum": member.hyperparameters["lr"] + member.hyperparameters["bias"]}
        member.report(float(member.id))


def broken(slot: Slot) -> None:
    """A loop that never works."""
    for member in slot:
        raise ZeroDivisionError(f"the loop is wrong for {sorted(member.hyperparameters)}")


def forgetful(slot: Slot) -> None:
    """A loop that does not report."""
    for member in slot:
        member.state = {"sum": member.hyperparameters["lr"] + member.hyperparameters["bias"]}


def decisions(result: Result) -> list[tuple[Any, ...]]:
    """What was decided and what came of it, in an order that does not depend on who was first."""
    by_id = {row.id: row for row in result.intervals}
    return sorted(
        (
            row.member,
            row.interval,
            row.origin,
            tuple((by_id[parent].member, by_id[parent].interval) for parent in row.parents),
            tuple(sorted(row.hyperparameters.items())),
            row.score,
        )
        for row in result.intervals
    )


class EngineContract(CombinationContract):
    """What `warren.engines.Engine` promises of a `Task`. Override the fixture `engine`.

    The store is a SQLite file, so that engines with processes of their own can be tested; `workers` is asked for as
    in `warren.run`, and an engine of one worker may do with one.

    Attributes:
        at_once: How many of four members a worker trains at a time: a stopping rule is met by all of them.
    """

    at_once = 1

    @pytest.fixture
    def engine(self) -> Engine:
        """The engine."""
        raise NotImplementedError("override the fixture `engine` with one that gives an engine")

    @pytest.fixture(autouse=True)
    def opened(self, tmp_path: Path) -> Iterator[list[Result]]:
        """Results of the test; CHECK holds of each after it, and no lease is left."""
        results: list[Result] = []
        yield results
        for path in sorted(tmp_path.glob("*.db")):
            result = warren.open_result(path)
            assert check(result.store, result.states) == []
            assert [row for row in result.members if row.token is not None] == []
            assert result.store.workers() == []
            result.store.close()
        for result in results:
            result.store.close()

    @pytest.fixture
    def go(self, engine: Engine, tmp_path: Path, opened: list[Result]) -> Any:
        """Runs a small population: ``go(task, store=name, **arguments)``."""

        def go(train: Any = QUADRATIC, *, store: str = "run", **arguments: Any) -> Result:
            given: dict[str, Any] = {
                "space": SPACE, "goal": "max", "population": 4, "intervals": 4, "seed": 1, "workers": 1,
                "initial": [{"lr": 0.95}], **arguments,
            }  # fmt: skip
            result = warren.run(train, store=tmp_path / f"{store}.db", engine=engine, **given)
            opened.append(result)
            return result

        return go

    # -- the same again -----------------------------------------------------------------------------------------

    def test_one_worker_does_the_same_again(self, go: Any) -> None:
        """The same seed, decisions and digest; another seed, another run; less at a time, the same."""
        first, again, other = go(store="a"), go(store="b"), go(store="c", seed=2)
        assert decisions(first) == decisions(again)
        assert first.digest == again.digest
        assert first.digest != other.digest
        assert first.run.status == "done"
        assert [(row.member, row.budget, row.state) for row in first.members] == [(m, 4, "done") for m in range(4)]
        assert any(row.origin == "exploit" for row in first.intervals)

    def test_synchronous_runs_do_not_depend_on_the_workers(self, go: Any) -> None:
        """The same scores, the same decisions, the same states."""
        one = go(store="a", synchronous=True)
        two = go(store="b", synchronous=True, workers=2)
        assert decisions(one) == decisions(two)
        assert one.digest == two.digest
        assert one.best.score == two.best.score

    @pytest.mark.parametrize("workers", [1, 2])
    @pytest.mark.parametrize(
        "strategy",
        [warren.PBT(), warren.PBT(exploit="tournament", explorers="ready", every=2), warren.PBT(exploit="ttest")],
        ids=["truncation", "tournament", "t-test"],
    )
    def test_decisions_are_those_of_the_inline_engine(
        self, go: Any, tmp_path: Path, strategy: Any, workers: int
    ) -> None:
        """For one task, seed and strategy, and scores but for rounding; for one log of scores, to the letter."""
        arguments: dict[str, Any] = {"population": 6, "intervals": 6, "strategy": strategy, "synchronous": True}
        inline = warren.run(
            QUADRATIC, space=SPACE, goal="max", seed=1, engine="inline", workers=1, initial=[{"lr": 0.95}], **arguments
        )
        expected = decisions(inline)
        found = decisions(go(store="same", workers=workers, **arguments))
        assert [one[:5] for one in found] == [one[:5] for one in expected]
        np.testing.assert_allclose([one[5] for one in found], [one[5] for one in expected], rtol=1e-6)
        told = Scripted({_evaluates(1, one[0], one[1]): one[5] for one in expected})
        task = Task(init=_init, train_interval=_count, evaluate=told)
        assert decisions(go(task, store="told", workers=workers, **arguments)) == expected
        if strategy.exploit == "truncation":
            assert any(row.origin == "exploit" for row in inline.intervals)

    def test_several_workers_finish_an_asynchronous_run(self, go: Any) -> None:
        """Every interval is there once."""
        result = go(workers=2, population=5)
        found = sorted((row.member, row.interval) for row in result.intervals)
        assert found == [(member, interval) for member in range(5) for interval in range(1, 5)]

    # -- failures -----------------------------------------------------------------------------------------------

    def test_a_failing_member_is_rescued(self, go: Any) -> None:
        """Tried again as it is, then from a healthy donor with other hyperparameters."""
        result = go(FAILING, strategy=warren.PBT(exploit="none"))
        assert all(row.state == "done" for row in result.members)
        failures = [event for event in result.events if event.kind == "failure"]
        assert [event.member for event in failures[:2]] == [0, 0]
        assert "too fast" in str(failures[0].body)
        [rescued] = [row for row in result.intervals if row.member == 0 and row.interval == 3]
        assert rescued.origin == "rescue"
        [parent] = [row for row in result.intervals if row.id == rescued.parents[0]]
        assert parent.member != 0

    def test_a_diverged_member_is_rescued(self, go: Any) -> None:
        """Its interval is used up; it is no donor and not the best."""
        result = go(DIVERGING, strategy=warren.PBT(exploit="none"))
        own = [row for row in result.intervals if row.member == 0]
        assert [row.status for row in own] == ["ok", "ok", "diverged", "ok"]
        assert own[3].origin == "rescue"
        assert all(row.state == "done" for row in result.members)
        assert own[2].id not in {parent for row in result.intervals for parent in row.parents}

    def test_a_task_that_never_works_ends_the_run(self, go: Any) -> None:
        """With the error of the task."""
        with pytest.raises(RunFailed, match="the step is wrong"):
            go(BROKEN)

    # -- stopping -----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("train", "stop", "total"),
        [
            (QUADRATIC, {"score": -1e9}, 1),
            (QUADRATIC, {"intervals": 5}, 5),
            (LEVEL, {"patience": 3}, 4),
        ],
        ids=["score", "intervals", "patience"],
    )
    def test_the_run_stops_by_its_rule(self, go: Any, train: Any, stop: dict[str, Any], total: int) -> None:
        """With the interval that meets it."""
        result = go(train, stop=warren.Stop(**stop))
        assert (result.run.status, len(result.intervals)) == ("stopped", result.run.total)
        assert total <= result.run.total < total + self.at_once
        assert result.run.reason

    def test_the_run_stops_when_its_time_is_over(self, go: Any) -> None:
        """Long before its intervals are."""
        result = go(SLOW, stop=warren.Stop(seconds=0.2), intervals=100_000)
        assert (result.run.status, result.run.reason) == ("stopped", "0.2 seconds")
        assert result.run.elapsed >= 0.2
        assert result.run.total < 400_000

    # -- going on -----------------------------------------------------------------------------------------------

    def test_a_stopped_run_goes_on(self, go: Any) -> None:
        """And ends as one that was not stopped; a finished one is left as it is."""
        expected = go(store="whole")
        part = go(stop=warren.Stop(intervals=6))
        assert part.run.status == "stopped"
        whole = go()
        assert whole.run.status == "done"
        assert whole.digest == expected.digest
        assert decisions(whole) == decisions(expected)
        assert go().run.total == whole.run.total

    def test_a_finished_run_is_extended(self, go: Any) -> None:
        """With more intervals and more members."""
        part = go(intervals=2, population=3)
        assert part.run.status == "done"
        more = go(intervals=3, population=4)
        assert [(row.state, row.budget) for row in more.members] == [("done", 3)] * 4
        kept = [row for row in more.intervals if row.id <= len(part.intervals)]
        assert kept == part.intervals

    @pytest.mark.parametrize("workers", [1, 2])
    def test_an_interrupted_run_goes_on(
        self, go: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
    ) -> None:
        """Ctrl-C ends it without a lease or an acknowledged interval lost; the same call finishes it."""
        monkeypatch.setenv(INTERRUPT, str(tmp_path / "interrupt"))
        expected = go(INTERRUPTING, store="whole", synchronous=True)
        (tmp_path / "interrupt").write_text(str(os.getpid()))
        with pytest.raises(KeyboardInterrupt):
            go(INTERRUPTING, synchronous=True, workers=workers)
        assert not (tmp_path / "interrupt").exists()
        part = warren.open_result(tmp_path / "run.db")
        done = decisions(part)
        assert done
        assert part.store.workers() == []
        part.store.close()
        whole = go(INTERRUPTING, synchronous=True, workers=workers)
        assert whole.run.status == "done"
        assert set(done) <= set(decisions(whole))
        assert whole.digest == expected.digest


class LoopContract(EngineContract, OpponentContract):
    """What `warren.engines.Engine` promises of training functions that loop over a slot, beside tasks."""

    @pytest.mark.parametrize("synchronous", [False, True])
    def test_a_member_that_always_fails_is_quarantined(self, go: Any, synchronous: bool) -> None:
        """The others go on, also where they wait for each other."""
        result = go(poisoned, synchronous=synchronous)
        assert [row.state for row in result.members] == ["done", "quarantined", "done", "done"]
        assert [row.budget for row in result.members] == [4, 0, 4, 4]
        assert "poison" in str(result.members[1].error)
        assert result.run.status == "done"

    def test_a_loop_that_never_works_ends_the_run(self, go: Any) -> None:
        """With the error of the loop."""
        with pytest.raises(RunFailed, match="the loop is wrong"):
            go(broken)

    def test_a_mistake_of_the_user_ends_the_run(self, go: Any) -> None:
        """It is told, and nothing is held."""
        with pytest.raises(LoopError, match="did not report"):
            go(forgetful)
