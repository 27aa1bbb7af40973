"""States that are made of several, and opponents, in a slot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import warren
from warren.errors import InvalidType, InvalidValue, LoopError, StateError
from warren.population import Assign, Keys, Plan, View
from warren.space import Space
from warren.strategies.hooks import Combine, Combines, Hook, ShrinkAndPerturb
from warren.strategies.moves import begin
from warren.testing.check import check
from warren.testing.combinations import Meeting

SPACE: dict[str, Any] = {"lr": warren.Float(0.1, 1.0)}


@dataclass(frozen=True, kw_only=True)
class Once(Combines):
    """Member 0 goes on from all members' states, its own the last, at one interval."""

    via: str = "mean"
    at: int = 1
    stretch: int = 1
    hooks_: tuple[tuple[str, Combine, bool], ...] = field(default=())

    @property
    def hooks(self) -> Mapping[str, Hook]:
        return {name: Hook(combine=combine, fresh=fresh) for name, combine, fresh in self.hooks_}

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        return Plan(actions=tuple(begin(space, member, keys) for member in range(size)))

    def decide(self, view: View, keys: Keys) -> Plan:
        if view.due.member or view.at != self.at:
            return Plan(intervals=self.stretch if view.at == self.at else 1)
        found = [view.source(member) for member in (*range(1, view.size), 0)]
        sources = tuple(str(row.checkpoint) for row in found if row is not None)
        values = view.due.hyperparameters
        action = Assign(member=0, hyperparameters=values, sources=sources, via=self.via, intervals=self.stretch)
        return Plan(actions=(action,))


def own(function: Any, fresh: bool = False) -> Once:
    return Once(via="own", hooks_=(("own", function, fresh),))


def run(train: Any, strategy: Any, **arguments: Any) -> warren.Result:
    given: dict[str, Any] = {"population": 3, "intervals": 3, "seed": 1, "synchronous": True, **arguments}
    result = warren.run(train, space=SPACE, goal="max", strategy=strategy, **given)
    assert check(result.store, result.states) == []
    return result


def after(result: warren.Result, interval: int, member: int = 0) -> Any:
    """What a member reported at an interval."""
    return next(row for row in result.intervals if (row.member, row.interval) == (member, interval))


# -- tracked objects --------------------------------------------------------------------------------------------------


def powers(slot: warren.Slot) -> None:
    """Member m adds 10 ** m to all it has in each interval; `mine` stays with its member, `clean` is cleared."""
    x, mine, clean = np.zeros(1), np.zeros(1), np.zeros(1)
    slot.track(x=x)
    slot.track(on_exploit="keep", mine=mine)
    slot.track(on_exploit="clear", clean=clean)
    for member in slot:
        start = float(x[0])
        for array in (x, mine, clean):
            array += 10.0**member.id + 0 * member["lr"]
        exploited = float(member.arrival == "exploited")
        member.report(float(x[0]), mine=float(mine[0]), clean=float(clean[0]), start=start, exploited=exploited)


@pytest.mark.parametrize("workers", [1, 3])
def test_what_is_copied_is_combined_and_the_rest_is_as_at_a_copy(tmp_path: Any, workers: int) -> None:
    """(10 + 100 + 1) / 3 = 37 is what member 0 starts its second interval from."""
    result = run(powers, Once(), store=tmp_path / "run.db", workers=workers)
    row = after(result, 2)
    assert row.metrics == {"start": 37.0, "mine": 2.0, "clean": 1.0, "exploited": 1.0}
    assert (row.score, row.via, row.origin, row.age) == (38.0, "mean", "exploit", 2)
    by_id = {one.id: one for one in result.intervals}
    assert [(by_id[id].member, by_id[id].interval) for id in row.parents] == [(1, 1), (2, 1), (0, 1)]
    assert after(result, 3).metrics == {"start": 38.0, "mine": 3.0, "clean": 2.0, "exploited": 0.0}
    assert after(result, 3, member=2).score == 300.0
    assert [one.member for one in result.lineage(next(one for one in result.final if one.member == 0))] == [1, 0, 0]
    assert result.cost.copies == 1


def shaped(slot: warren.Slot) -> None:
    """Members have other shapes."""
    x = np.zeros(1 + slot.seed % 97)
    slot.track(net=x)
    for member in slot:
        member.report(1.0 + 0 * member["lr"])


def test_states_of_other_shapes_end_the_run_in_one_line() -> None:
    with pytest.raises(
        StateError, match=r"^states cannot be combined: at 'net' one has an array of shape .*another an"
    ):
        run(shaped, Once())


def test_a_hook_that_gives_something_else_ends_the_run_in_one_line() -> None:
    words = r"^the hook 'own' gave a state with \(x\), where the sources have \(clean, mine, x\); it must give"
    with pytest.raises(LoopError, match=words):
        run(powers, own(lambda states, hyperparameters, rng: {"x": states[0]["x"]}))
    with pytest.raises(LoopError, match=r"gave a state with 'NoneType'"):
        run(powers, own(lambda states, hyperparameters, rng: None))


def test_a_hook_that_raises_is_its_members_failure() -> None:
    """It is tried again, and what comes then is decided anew, as for any other error of the user's code."""
    calls = []

    def fails(states: Any, hyperparameters: Any, rng: Any) -> Any:
        calls.append(1)
        raise ValueError("no")

    result = run(powers, own(fails))
    assert [row.state for row in result.members] == ["quarantined", "done", "done"]
    assert len(calls) == 3
    assert "ValueError: no" in str(result.members[0].error)


def test_what_a_hook_is_given() -> None:
    """The states in the plan's order without warren's own part, flat hyperparameters, and the same draws each time."""
    seen = []

    def look(states: Any, hyperparameters: Any, rng: Any) -> Any:
        seen.append((hyperparameters, rng.seed, rng.numpy().random()))
        assert [sorted(state) for state in states] == [["clean", "mine", "x"]] * 3
        assert [float(state["x"][0]) for state in states] == [10.0, 100.0, 1.0]
        states[0]["x"][:] = 5.0
        return states[0]

    result = run(powers, own(look))
    assert after(result, 2).metrics["start"] == 5.0
    assert seen == [(after(result, 2).hyperparameters, *seen[0][1:])]
    again = run(powers, own(look))
    assert seen[1] == seen[0]
    assert again.digest == result.digest


# -- what is tried again ----------------------------------------------------------------------------------------------


def drawn(states: Any, hyperparameters: Any, rng: Any) -> Any:
    states[0]["x"] += rng.numpy().normal()
    return states[0]


@pytest.mark.parametrize("strategy", [Once(), own(drawn)], ids=["mean", "own"])
@pytest.mark.parametrize("saved", [1, 2], ids=["saved", "lost with its stretch"])
def test_a_state_whose_interval_fails_is_made_again(strategy: Once, saved: int) -> None:
    """The same one, with the same draws: the run ends as one in which nothing failed."""
    strategy = Once(via=strategy.via, hooks_=strategy.hooks_, stretch=saved)
    begun: list[float] = []

    def train(slot: warren.Slot) -> None:
        x = np.zeros(1)
        slot.track(x=x)
        for member in slot:
            if member.id == 0 and member.budget == 1:
                begun.append(float(x[0]))
            x += 10.0**member.id * member["lr"]
            if fail and member.id == 0 and member.budget == saved and len(begun) == 1:
                raise RuntimeError("once")
            member.report(float(x[0]))

    fail = False
    expected = run(train, strategy, checkpoint_every=4 * saved - 3)
    begun.clear()
    fail = True
    result = run(train, strategy, checkpoint_every=4 * saved - 3)
    assert len(begun) == 2
    assert begun[0] == begun[1] != 0.0
    assert result.digest == expected.digest
    assert [event.kind for event in result.events].count("failure") == 1
    assert after(result, 2).via == strategy.via


# -- fresh states -----------------------------------------------------------------------------------------------------


def built(slot: warren.Slot) -> None:
    """Objects that are made from the global generator, which is seeded from the member's seed."""
    x = np.random.normal(size=2)
    slot.track(x=x)
    first = x.copy()
    for member in slot:
        start = float(x.sum())
        member.report(0.0 * member["lr"], start=start, made=float(first.sum()))


def test_a_fresh_state_is_that_of_objects_that_were_just_built() -> None:
    """By a new call of the training function, from a seed of its own: not that of the member's first state."""
    hooks = (("restart", ShrinkAndPerturb(old=0.5, fresh=0.25), True),)
    result = run(built, Once(via="restart", hooks_=hooks))
    row = after(result, 2)
    source, made = after(result, 1, member=1).metrics["start"], row.metrics["made"]
    assert row.metrics["start"] == pytest.approx(0.5 * source + 0.25 * made, rel=1e-12)
    assert made not in [after(result, 1, member=m).metrics["made"] for m in range(3)]


def test_only_the_first_interval_of_a_stretch_begins_from_what_is_combined() -> None:
    """What comes after it goes on in the same objects, though nothing was saved in between."""
    calls: list[int] = []

    def train(slot: warren.Slot) -> None:
        calls.append(1)
        x = np.array([100.0])
        slot.track(x=x)
        for member in slot:
            x += 1.0 + 0 * member["lr"]
            member.report(float(x[0]))

    hooks = (("restart", ShrinkAndPerturb(old=1.0, fresh=1.0), True),)
    result = run(train, Once(via="restart", hooks_=hooks, stretch=3), intervals=4, checkpoint_every=9)
    assert [after(result, interval).score for interval in (1, 2, 3, 4)] == [101.0, 202.0, 203.0, 204.0]
    assert [after(result, interval).via for interval in (1, 2, 3, 4)] == [None, "restart", None, None]
    assert len(calls) == 4  # for each fresh member, and for the restart


def valued(slot: warren.Slot) -> None:
    """Keeps its state in `member.state`, and does not say how one is made."""
    for member in slot:
        member.state = np.zeros(1) if member.state is None else member.state
        member.report(0.0 * member["lr"])


def test_a_loop_with_a_state_of_its_own_says_how_a_fresh_one_is_made() -> None:
    strategy = Once(via="restart", hooks_=(("restart", ShrinkAndPerturb(), True),))
    with pytest.raises(LoopError, match=r"the fresh one has \(nothing\), .*have \(state\); .*slot.init\(make\)"):
        run(valued, strategy)

    def train(slot: warren.Slot) -> None:
        slot.init(lambda seed, hyperparameters: np.array([float(seed), hyperparameters["lr"]]))
        for member in slot:
            if member.state is None:
                member.state = np.array([0.0, 100.0])
            member.report(
                float(member.state[1]), seed=float(member.state[0]), own=float(member.seed) + 0 * member["lr"]
            )

    row = after(run(train, strategy), 2)
    assert row.score == pytest.approx(0.2 * 100.0 + 0.1 * row.hyperparameters["lr"])
    assert row.metrics["seed"] == pytest.approx(0.1 * row.metrics["own"])


# -- torch ------------------------------------------------------------------------------------------------------------


def test_modules_and_optimizers() -> None:
    """Weights and moments are averaged, steps are the first one's; a restart has the moments of a new optimizer."""
    torch = pytest.importorskip("torch")

    def train(slot: warren.Slot) -> None:
        net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
        optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
        slot.track(net=net, optimizer=optimizer)
        for member in slot:
            moments = [one["exp_avg"].sum().item() for one in optimizer.state.values()]
            weights = {"weight": net[0].weight.sum().item(), "moments": sum(moments) if moments else -1.0}
            steps = [one["step"].item() for one in optimizer.state.values()] or [0.0]
            for _ in range(2 + member.id):
                optimizer.zero_grad()
                net(torch.randn(8, 2)).square().sum().backward()
                optimizer.step()
            ended = sum(one["exp_avg"].sum().item() for one in optimizer.state.values())
            member.report(
                0.0 * member["lr"], **weights, steps=steps[0], ended=net[0].weight.sum().item(), moved=ended,
                seen=float(net[1].num_batches_tracked),
            )  # fmt: skip

    result = run(train, Once())
    before = [after(result, 1, member=m).metrics for m in range(3)]
    row = after(result, 2).metrics
    assert row["weight"] == pytest.approx(sum(one["ended"] for one in before) / 3, abs=1e-6)
    assert row["moments"] == pytest.approx(sum(one["moved"] for one in before) / 3, abs=1e-5)
    assert (row["steps"], row["seen"]) == (3.0, 3.0 + 2.0)  # member 1 has made three, and member 0 makes two more
    restarted = run(train, Once(via="restart", hooks_=(("restart", ShrinkAndPerturb(old=1.0, fresh=0.0), True),)))
    row = after(restarted, 2).metrics
    assert row["weight"] == pytest.approx(before[1]["ended"], abs=1e-6)
    assert (row["moments"], row["steps"]) == (-1.0, 0.0)


# -- opponents --------------------------------------------------------------------------------------------------------


def met(results: Any) -> Any:
    def train(slot: warren.Slot) -> None:
        x = np.zeros(1)
        slot.track(x=x)
        for member in slot:
            x += 1.0 + 0 * member["lr"]
            member.report(float(x[0]), results=results(member))

    return train


def test_results_are_known_to_the_strategy_by_checkpoint() -> None:
    """Given by the opponent or by its name; what is not finite is left out; whose state it is, is told."""

    def results(member: Any) -> Any:
        assert [(one.member, one.interval) for one in member.opponents] == (
            [(other, member.budget) for other in range(3) if other != member.id] if member.budget else []
        )
        assert all(sorted(one.state()) == ["x"] for one in member.opponents)
        keys = [one if one.member else one.name for one in member.opponents]
        return {key: float("nan") if place else np.float64(0.25) for place, key in enumerate(keys)}

    result = run(met(results), Meeting())
    assert after(result, 1).results == {}
    by_name = {row.checkpoint: row for row in result.intervals}
    for row in result.intervals:
        if row.interval > 1:
            assert row.results == {row.opponents[0]: 0.25}
            assert [by_name[name].interval for name in row.opponents] == [row.interval - 1] * 2


@pytest.mark.parametrize(
    ("results", "error", "words"),
    [
        (lambda member: {"nobody": 1.0}, InvalidValue, r"report\(results=\.\.\.\) has 'nobody', which is none of this"),
        (lambda member: dict.fromkeys(member.opponents, "won"), InvalidType, "results must be a number, but got 'won'"),
    ],
)
def test_results_that_are_none(results: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        run(met(results), Meeting())


def test_without_results_there_are_none() -> None:
    result = run(met(lambda member: None), Meeting())
    assert {row.results for row in result.intervals} == {None}


def test_an_opponent_whose_state_is_damaged_is_met_no_more(tmp_path: Any) -> None:
    """Nobody falls back for it; the interval is trained again with those that are left."""
    store = tmp_path / "run.db"
    spoilt: list[int] = []
    seen: list[int] = []

    def train(slot: warren.Slot) -> None:
        x = np.zeros(20_000)
        slot.track(x=x)
        for member in slot:
            x += 1.0 + 0 * member["lr"]
            if member.opponents and not spoilt:
                spoilt.append(1)
                name = member.opponents[1].name
                for path in (tmp_path / "run.db.d" / "checkpoints").glob(f"*{name}*"):
                    path.write_bytes(b"\0" * path.stat().st_size)
            if member.id == 0 and member.budget == 1:
                seen.append(len([one.state() for one in member.opponents]))
            member.report(float(x[0]))

    result = run(train, Meeting(), store=store, workers=1)
    assert seen == [1]
    damaged = [event for event in result.events if event.kind == "damaged"]
    assert len(damaged) == 1
    assert result.run.status == "done"
    result.store.close()
