from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import warren
from warren.errors import InvalidType, InvalidValue, LoopError, RunFailed, StateError, UnknownName
from warren.strategies import PBT, Truncation

LR = {"lr": warren.Float(1e-3, 1.0, scale="log")}


def run(train: Any, *, allow_failures: bool = False, **arguments: Any) -> warren.Result:
    """A run in which nothing failed: what a training function asserts counts."""
    result = warren.run(train, **{"space": LR, "goal": "max", "population": 3, "intervals": 4, **arguments})
    assert [event.body for event in result.events if event.kind == "failure" and not allow_failures] == []
    return result


def counting(body: Callable[[warren.Slot, Any, Any], None]) -> Callable[[warren.Slot], None]:
    """A loop that counts in a tracked array and lets `body` do the rest of each pass."""

    def train(slot: warren.Slot) -> None:
        count = np.zeros(1)
        slot.track(count=count)
        for member in slot:
            _ = member["lr"]
            count += 1
            body(slot, member, count)

    return train


# -- what users get wrong: one clear line, and the error is the user's ------------------------------------------------


def no_report(slot: Any, member: Any, count: Any) -> None:
    pass


def two_reports(slot: Any, member: Any, count: Any) -> None:
    member.report(1.0)
    member.report(2.0)


def text_score(slot: Any, member: Any, count: Any) -> None:
    member.report("good")


def none_score(slot: Any, member: Any, count: Any) -> None:
    member.report(None)


def many_scores(slot: Any, member: Any, count: Any) -> None:
    member.report(np.zeros(3))


def unknown_name(slot: Any, member: Any, count: Any) -> None:
    member["learning_rate"]


def slot_read(slot: Any, member: Any, count: Any) -> None:
    slot["lr"]


def late_track(slot: Any, member: Any, count: Any) -> None:
    slot.track(late=np.zeros(1))


def stuck(slot: Any, member: Any, count: Any) -> None:
    slot.next()


@pytest.mark.parametrize(
    ("body", "error", "words"),
    [
        (no_report, LoopError, "did not report in interval 1"),
        (two_reports, LoopError, "reported twice in interval 1"),
        (text_score, InvalidType, "must be a number, but got 'good'"),
        (none_score, InvalidType, "must be a number, but got None"),
        (many_scores, InvalidType, "must be one number, but got ndarray of shape (3,)"),
        (unknown_name, UnknownName, "there is no hyperparameter 'learning_rate'; the space has lr"),
        (slot_read, LoopError, "rebuild=True"),
        (late_track, LoopError, "must come before the loop"),
        (stuck, LoopError, "did not report"),
    ],
)
def test_mistakes_in_the_loop_end_the_run_in_one_line(body: Any, error: type, words: str) -> None:
    with pytest.raises(error) as caught:
        warren.run(counting(body), space=LR, goal="max", population=2, intervals=2)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_a_mistake_costs_nothing_that_was_reported(tmp_path: Any) -> None:
    def wrong_at_three(slot: Any, member: Any, count: Any) -> None:
        member.report(1.0)
        if member.budget == 2:
            member.report(1.0)

    def right(slot: Any, member: Any, count: Any) -> None:
        assert count[0] == member.age + 1
        member.report(1.0)

    store = tmp_path / "a.db"
    with pytest.raises(LoopError):
        run(counting(wrong_at_three), store=store, workers=1)
    before = warren.open_result(store)
    assert before.run.total == 6 and all(row.state == "waiting" for row in before.members)
    assert run(counting(right), store=store, workers=1).run.total == 12


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"population": 0}, InvalidValue, "population must be at least 1, but got 0"),
        ({"population": 2.5}, InvalidType, "population must be a whole number"),
        ({"intervals": 0}, InvalidValue, "intervals must be at least 1"),
        ({"goal": "best"}, InvalidValue, "goal must be 'max' or 'min', but got 'best'"),
        ({"space": {}}, InvalidValue, "space must name at least one hyperparameter"),
        ({"space": {"lr": 0.1}}, InvalidType, "a fixed value belongs into the training function"),
        ({"workers": 2}, InvalidValue, "need a store that they can share"),
        ({"seed": -1}, InvalidValue, "seed must be at least 0"),
        ({"initial": [{"lr": 5.0}]}, InvalidValue, "initial[0]: lr=5.0 must lie in [0.001, 1.0]"),
        ({"initial": [{"rate": 0.1}]}, UnknownName, "there is no hyperparameter 'rate'"),
        ({"initial": [{"lr": 0.1}] * 4}, InvalidValue, "initial has 4 entries, but population=3"),
        ({"warm_start": "nowhere.safetensors"}, InvalidValue, "cannot be read"),
        ({"stop": 3}, InvalidType, "stop must be a warren.Stop"),
        ({"store": "/dev/null/x.db", "workers": 1}, OSError, "cannot be made"),
    ],
)
def test_mistakes_in_the_request(arguments: dict[str, Any], error: type, words: str) -> None:
    with pytest.raises(error) as caught:
        run(counting(lambda slot, member, count: member.report(0.0)), **arguments)
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert isinstance(caught.value, warren.WarrenError)


def test_other_mistakes_in_the_request() -> None:
    with pytest.raises(TypeError, match="goal"):
        warren.run(counting(no_report), space=LR)  # type: ignore[call-arg]
    with pytest.raises(InvalidValue, match=r"low <= high must hold, but got low=1.0, high=0.1"):
        warren.Float(1.0, 0.1)
    with pytest.raises(InvalidValue, match="factors must be positive"):
        warren.PBT(explore=warren.strategies.Perturb(factors=(-0.8, 1.2)))
    with pytest.raises(InvalidType, match="must be a function of a slot"):
        run("train.py")


def test_an_object_without_a_state_is_refused_by_name() -> None:
    def train(slot: warren.Slot) -> None:
        slot.track(buffer=[1, 2, 3])

    with pytest.raises(InvalidType, match="buffer"):
        run(train)


def test_nothing_to_save_is_refused() -> None:
    def train(slot: warren.Slot) -> None:
        for member in slot:
            member.report(member["lr"])

    with pytest.raises(LoopError, match="there is nothing to save"):
        run(train)


def test_a_function_that_never_iterates_is_refused() -> None:
    with pytest.raises(LoopError, match="returned before it took a member"):
        run(lambda slot: None)


def test_a_missing_held_out_metric_is_refused() -> None:
    with pytest.raises(LoopError, match="held_out='test' is not among the reported metrics"):
        run(counting(lambda slot, member, count: member.report(0.0, other=1.0)), held_out="test")
    result = run(counting(lambda slot, member, count: member.report(0.0, test=7.0)), held_out="test")
    assert result.best.held_out == 7.0


def test_names_that_differ_between_calls_are_refused() -> None:
    def train(slot: warren.Slot) -> None:
        slot.track(**{f"x{slot.seed}": np.zeros(1)})
        for member in slot:
            member.report(member["lr"])

    with pytest.raises(StateError, match="Every call of the training function must track the same names"):
        run(train)


# -- how members come and go -------------------------------------------------------------------------------------------


def test_ages_and_budgets() -> None:
    def body(slot: Any, member: Any, count: Any) -> None:
        assert count[0] == member.age + 1  # the count is part of the state: it moves and is copied with it
        member.report(float(member.id))

    result = run(counting(body), population=5, intervals=6, strategy=PBT(exploit=Truncation(fraction=0.4)))
    assert result.cost.copies > 0
    for member in result.members:
        assert member.budget == 6


def test_the_push_form_is_the_same_as_the_iterator() -> None:
    def pushed(slot: warren.Slot) -> None:
        count = np.zeros(1)
        slot.track(count=count)
        member = slot.next()
        while member is not None:
            count += member["lr"]
            member = slot.advance(float(count[0]), extra=2.0)

    def iterated(slot: warren.Slot) -> None:
        count = np.zeros(1)
        slot.track(count=count)
        for member in slot:
            count += member["lr"]
            member.report(float(count[0]), extra=2.0)

    a, b = run(pushed), run(iterated)
    assert a.digest == b.digest and a.best.metrics == {"extra": 2.0}


def test_state_as_a_value() -> None:
    def train(slot: warren.Slot) -> None:
        for member in slot:
            assert (member.state is None) == (member.arrival == "fresh")
            state = member.state if member.state is not None else {"x": np.zeros(2), "n": 0}
            member.state = {"x": state["x"] + member["lr"], "n": state["n"] + 1}
            assert member.state["n"] == member.age + 1
            member.report(float(member.state["x"].sum()))

    result = run(train, population=4, intervals=5)
    assert result.best.state()["state"]["n"] == result.best.age == len(result.schedule)
    total = sum(step.hyperparameters["lr"] for step in result.schedule)
    assert result.best.score == pytest.approx(2 * total, rel=1e-12)  # the schedule is what made the state


def test_returning_after_a_report_is_a_way_to_end_a_call() -> None:
    def train(slot: warren.Slot) -> None:
        count = np.zeros(1)
        slot.track(count=count)
        for member in slot:
            count += 1
            assert count[0] == member.age + 1
            member.report(member["lr"])
            return

    assert run(train).run.total == 12


def test_pending_scores_pass() -> None:
    result = run(counting(lambda slot, member, count: member.report(warren.PENDING)))
    assert [row.status for row in result.intervals] == ["pending"] * 12
    with pytest.raises(RunFailed, match="no best one"):
        _ = result.best


def test_curves_samples_and_scores_before() -> None:
    def body(slot: Any, member: Any, count: Any) -> None:
        member.start_score(1.5)
        member.log(score=1.0, loss=3.0)
        member.log(score=2.0, loss=2.0)
        member.report(2.0, samples=[1, 2, 3], cost=2.5)

    row = run(counting(body)).intervals[0]
    assert (row.before, row.curve, row.samples, row.cost) == (1.5, ((0.5, 1.0), (1.0, 2.0)), (1.0, 2.0, 3.0), 2.5)
    assert row.metrics == {"loss": 2.0}


def test_nested_spaces_and_reading() -> None:
    space = {"optimizer": {"lr": warren.Float(0.1, 0.2), "kind": warren.Choice(["sgd", "adam"])}, "n": warren.Int(1, 3)}

    def train(slot: warren.Slot) -> None:
        for member in slot:
            assert member["optimizer"]["lr"] == member["optimizer.lr"]
            assert member["optimizer"]["kind"] in ("sgd", "adam")
            member.state = np.zeros(1)
            member.report(member["optimizer.lr"])

    result = run(train, space=space)
    assert len(result.warnings) == 1 and "'n' was never read" in result.warnings[0]


# -- members that fail -------------------------------------------------------------------------------------------------


def test_a_nan_uses_up_its_interval_and_is_rescued() -> None:
    def body(slot: Any, member: Any, count: Any) -> None:
        assert count[0] == member.age + 1
        member.report(math.nan if member.id == 1 and member.budget == 1 else float(count[0]))

    result = run(counting(body), intervals=5)
    mine = [row for row in result.intervals if row.member == 1]
    assert [row.interval for row in mine] == [1, 2, 3, 4, 5]
    assert [row.status for row in mine] == ["ok", "diverged", "ok", "ok", "ok"]
    assert mine[1].score is None and mine[1].checkpoint is None
    assert mine[2].origin == "rescue" and mine[2].parents[0] not in {row.id for row in mine}
    assert result.members[1].failures == 0


def test_infinities_are_never_best() -> None:
    def body(slot: Any, member: Any, count: Any) -> None:
        member.report(math.inf if member.id == 2 else member["lr"])

    result = run(counting(body), population=4)
    assert result.best.member != 2 and math.isfinite(result.best.score or math.nan)
    assert result.members[2].state == "quarantined"


def test_a_member_that_raises_is_tried_again_then_rescued_then_quarantined() -> None:
    calls: list[tuple[int, float]] = []

    def train(slot: warren.Slot) -> None:
        count = np.zeros(1)
        slot.track(count=count)
        for member in slot:
            if member.id == 0 and member.budget == 2:
                calls.append((member.budget, member["lr"]))
                raise ValueError("broken on purpose")
            count += 1
            member.report(member["lr"])

    result = warren.run(train, space=LR, goal="max", population=3, intervals=4)
    row = result.members[0]
    assert row.state == "quarantined" and row.budget == 2 and "broken on purpose" in str(row.error)
    assert [m.budget for m in result.members[1:]] == [4, 4]
    assert len(calls) == 3 and calls[0] == calls[1] != calls[2]  # as it was, then rescued with other values
    kinds = [event.kind for event in result.events if event.member == 0 and event.kind in ("failure", "quarantine")]
    assert kinds == ["failure", "failure", "failure", "quarantine"]


def test_code_that_never_works_fails_the_run_with_its_traceback() -> None:
    def train(slot: warren.Slot) -> None:
        raise NameError("nte")

    with pytest.raises(RunFailed, match="NameError: nte"):
        warren.run(train, space=LR, goal="max", population=8, intervals=4)


def test_when_every_member_is_lost_the_run_fails_and_may_be_tried_again(tmp_path: Any) -> None:
    def body(slot: Any, member: Any, count: Any) -> None:
        if member.budget >= 1:
            raise ValueError("always from the second interval on")
        member.report(1.0)

    store = tmp_path / "a.db"
    with pytest.raises(RunFailed, match="always from the second interval on"):
        warren.run(counting(body), space=LR, goal="max", population=2, intervals=4, store=store, workers=1)
    # The code is mended, and the same call goes on from what there was.
    mended = run(counting(lambda s, m, c: m.report(c[0])), population=2, store=store, workers=1, allow_failures=True)
    assert [row.budget for row in mended.members] == [4, 4]


# -- provisional intervals ---------------------------------------------------------------------------------------------


def test_checkpoints_at_boundaries_only() -> None:
    def body(slot: Any, member: Any, count: Any) -> None:
        assert count[0] == member.age + 1
        member.report(member["lr"] * count[0])

    strategy = PBT(every=4, warmup=0)
    result = run(counting(body), population=4, intervals=12, strategy=strategy, checkpoint_every=100)
    assert [row.interval for row in result.intervals if row.member == 0 and row.checkpoint] == [4, 8, 12]
    assert all(row.boundary == (row.interval % 4 == 0) for row in result.intervals)
    assert result.digest == run(counting(body), population=4, intervals=12, strategy=strategy).digest


def test_a_failure_takes_provisional_intervals_back() -> None:
    failed: list[int] = []

    def body(slot: Any, member: Any, count: Any) -> None:
        assert count[0] == member.age + 1
        if member.id == 1 and member.budget == 6 and not failed:
            failed.append(1)
            raise ValueError("once")
        member.report(member["lr"] * count[0])

    arguments: dict[str, Any] = {"population": 3, "intervals": 12, "checkpoint_every": 100, "space": LR, "goal": "max"}
    arguments["strategy"] = PBT(every=4, warmup=0)
    result = warren.run(counting(body), **arguments)
    assert failed
    assert [row.interval for row in result.intervals if row.member == 1] == list(range(1, 13))
    failed.append(1)
    assert result.digest == warren.run(counting(body), **arguments).digest  # as if nothing had happened


# -- runs as people run them -------------------------------------------------------------------------------------------


def counted(slot: Any, member: Any, count: Any) -> None:
    member.report(member["lr"] * count[0])


def test_stop_rules() -> None:
    def stopped(**rule: Any) -> warren.Result:
        return run(counting(lambda s, m, c: m.report(float(min(c[0], 3)))), intervals=50, stop=warren.Stop(**rule))

    by_score = stopped(score=2.0)
    assert by_score.best.score == 2.0 and by_score.run.status == "stopped" and by_score.run.total == 2
    assert stopped(intervals=7).run.total == 7
    # Each member has two intervals before its first decision: member 0 reaches 3 in the seventh of the population.
    assert stopped(patience=10).run.total == 7 + 10
    assert "seconds" in str(stopped(seconds=1e-9).run.reason)


def test_a_stopped_run_goes_on_when_the_rule_changes(tmp_path: Any) -> None:
    store = tmp_path / "a.db"
    first = run(counting(counted), store=store, workers=1, stop=warren.Stop(intervals=5))
    assert first.run.total == 5
    again = run(counting(counted), store=store, workers=1, stop=warren.Stop(intervals=5))
    assert again.run.total == 5 and again.run.status == "stopped"
    assert run(counting(counted), store=store, workers=1).run.total == 12
    assert run(counting(counted)).digest == run(counting(counted), store=store, workers=1).digest


def test_more_intervals_and_more_members(tmp_path: Any) -> None:
    store = tmp_path / "a.db"
    assert run(counting(counted), store=store, workers=1).run.total == 12
    longer = run(counting(counted), store=store, workers=1, intervals=6)
    assert [m.budget for m in longer.members] == [6, 6, 6]
    assert longer.digest == run(counting(counted), intervals=6).digest
    more = run(counting(counted), store=store, workers=1, intervals=6, population=5)
    assert [m.budget for m in more.members] == [6] * 5


def test_another_space_goal_seed_or_strategy_refuses_and_says_what_differs(tmp_path: Any) -> None:
    store = tmp_path / "a.db"
    run(counting(counted), store=store, workers=1)
    for arguments, words in (
        ({"space": {"lr": warren.Float(1e-3, 2.0, scale="log")}}, "space: lr was Float("),
        ({"space": {**LR, "x": warren.Int(1, 2)}}, "space: x was not there"),
        ({"goal": "min"}, "goal was 'max' and is 'min' now"),
        ({"seed": 5}, "seed was 0 and is 5 now"),
        ({"strategy": PBT(every=3)}, "strategy: every was 1 and is 3 now"),
        ({"population": 2}, "a run can grow, but not shrink"),
    ):
        with pytest.raises(warren.errors.RunMismatch) as caught:
            run(counting(counted), store=store, workers=1, **arguments)
        assert words in str(caught.value)
    assert run(counting(counted), store=store, workers=1).run.total == 12


def test_initial_and_warm_start(tmp_path: Any) -> None:
    result = run(counting(counted), initial=[{"lr": 0.5}, {}])
    first = {row.member: row for row in result.intervals if row.interval == 1}
    assert first[0].hyperparameters == {"lr": 0.5}
    drawn = {r.member: r.hyperparameters for r in run(counting(counted)).intervals if r.interval == 1}
    assert first[1].hyperparameters == drawn[1]

    def body(slot: Any, member: Any, count: Any) -> None:
        assert count[0] > 4
        member.report(1.0)

    warm = run(counting(body), warm_start=result.best)
    assert {row.origin for row in warm.intervals if row.interval == 1} == {"warm"}
    result.best.save(tmp_path / "best.safetensors")
    assert run(counting(body), warm_start=tmp_path / "best.safetensors").digest == warm.digest
    assert run(counting(body), warm_start=result).digest == warm.digest


def test_the_same_seed_gives_the_same_run_and_another_does_not() -> None:
    assert run(counting(counted), seed=3).digest == run(counting(counted), seed=3).digest
    assert run(counting(counted), seed=3).digest != run(counting(counted), seed=4).digest


def test_global_generators_are_keyed_by_member_and_interval() -> None:
    import random

    def body(slot: Any, member: Any, count: Any) -> None:
        member.report(0.0, a=random.random(), b=np.random.random(), c=float(member.rng.random()))

    alone = {(r.member, r.interval): r.metrics for r in run(counting(body), population=1).intervals}
    crowd = {(r.member, r.interval): r.metrics for r in run(counting(body), population=4).intervals}
    assert all(crowd[key] == metrics for key, metrics in alone.items())
    assert len({tuple(metrics.values()) for metrics in crowd.values()}) == len(crowd)


def test_what_stays_with_its_member_is_never_anothers_even_where_it_has_none() -> None:
    """A member that diverges in its first interval is rescued, and has no buffer of its own that was ever saved."""

    def train(slot: warren.Slot) -> None:
        weights, buffer = np.zeros(1), np.zeros(1)
        slot.track(weights=weights)
        slot.track(on_exploit="keep", buffer=buffer)
        for member in slot:
            assert buffer[0] in (0, member.id + 10)
            buffer[0] = member.id + 10
            weights += 1
            member.report(math.nan if member.id == 2 and member.budget == 0 else member["lr"])

    rows = [row for row in run(train, population=4).intervals if row.member == 2]
    assert [row.status for row in rows] == ["diverged", "ok", "ok", "ok"] and rows[1].origin == "rescue"


def test_files_that_no_record_names_are_swept_when_a_run_starts(tmp_path: Any) -> None:
    import os

    def train(slot: warren.Slot) -> None:
        weights = np.zeros(20_000)
        slot.track(weights=weights)
        for member in slot:
            weights += member["lr"]
            member.report(float(weights[0]))

    arguments: dict[str, Any] = {"store": tmp_path / "a.db", "workers": 1}
    result = run(train, **arguments)
    folder = tmp_path / "a.db.d" / "checkpoints"
    names = set(os.listdir(folder))
    assert names == result.store.kept() and 3 <= len(names) <= 3 * 3 + 1 + 1
    for name in ("0" * 64 + "-dead-1.safetensors", "1" * 64 + "-young-1.safetensors"):
        (folder / name).write_bytes(b"left behind")
    os.utime(folder / ("0" * 64 + "-dead-1.safetensors"), (0, 0))
    run(train, **arguments)
    assert set(os.listdir(folder)) == names | {"1" * 64 + "-young-1.safetensors"}
