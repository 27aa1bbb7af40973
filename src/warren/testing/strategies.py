"""The contract of strategies, as tests: subclass it, give it the fixture, let pytest collect it."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from warren.population import (
    Assign,
    Goal,
    Hold,
    IntervalRow,
    Keys,
    Log,
    MemberRow,
    Pin,
    Plan,
    Retire,
    Unpin,
    View,
)
from warren.space import Choice, Float, Int, Less, Space, Sum, When
from warren.strategies import Strategy
from warren.values import Json, dump, load

SPACE = Space(
    {
        "lr": Float(1e-5, 1.0, scale="log"),
        "momentum": Float(0.5, 0.999, scale="one_minus"),
        "net": {"dropout": Float(0.0, 0.9), "layers": Int(1, 4, rebuild=True)},
        "steps": Int(1, 64),
        "warmup": Int(1, 512, scale="log"),
        "act": Choice(("relu", "tanh", True, None)),
        "size": Choice((16, 32, 64), ordered=True),
    }
)
"""A space with every kind of dimension."""

CONDITIONED = Space(
    {
        **SPACE,
        "optimizer": Choice(("sgd", "adam", "none")),
        "rate": When("optimizer", ["sgd", "adam"], Float(1e-5, 1.0, scale="log")),
        "sgd": When("optimizer", "sgd", {"damping": Float(0.0, 0.99), "nesterov": Choice((True, False))}),
        "slow": When("sgd.nesterov", True, Int(1, 8)),
        "width": When("net.layers", [2, 3], Int(4, 64, scale="log", rebuild=True)),
        "noise": When("net.layers", [2, 3], Float(0.0, 0.9)),
        "flip": Float(0.0, 1.0),
        "crop": Float(0.0, 1.0),
        "first": Int(0, 100),
        "last": Int(50, 120),
    },
    constraints=[Sum(["flip", "crop", "noise"], at_most=1.2), Less("first", "last")],
)
"""The same with more, so that members have not the same hyperparameters, and not all legal values go together."""


class Population:
    """Members with reports that are made up, and views of them.

    Args:
        scores: For each member its reports, oldest first: a number, NaN where it diverged, None where pending.
        goal: What counts as better.
        space: What hyperparameters may be; each member draws its own.
        fields: Further fields of the reports, by (member, interval).
    """

    def __init__(
        self,
        scores: Sequence[Sequence[float | None]],
        *,
        goal: Goal = "max",
        space: Space = SPACE,
        fields: Mapping[tuple[int, int], Mapping[str, Any]] | None = None,
    ) -> None:
        self.goal: Goal = goal
        self.space = space
        self.log = Log(goal, history=None)
        self.rows: list[IntervalRow] = []
        self.values = [space.sample(np.random.default_rng(member)) for member in range(len(scores))]
        for interval in range(1, max(map(len, scores), default=0) + 1):
            for member, own in enumerate(scores):
                if interval > len(own):
                    continue
                score = own[interval - 1]
                finite = score is not None and math.isfinite(score)
                row: dict[str, Any] = {
                    "id": len(self.rows) + 1,
                    "member": member,
                    "interval": interval,
                    "age": interval,
                    "origin": "fresh" if interval == 1 else "continue",
                    "hyperparameters": self.values[member],
                    "score": score if finite else None,
                    "status": "pending" if score is None else "ok" if finite else "diverged",
                    "checkpoint": f"{member}@{interval}" if score is None or finite else None,
                    "revision": len(self.rows) + 2,
                }
                row.update((fields or {}).get((member, interval), {}))
                self.rows.append(IntervalRow(**row))
        self.log.update(self.rows, len(self.rows) + 1)
        self.scores = scores

    def view(self, member: int, *, memory: Json = None, budget: int | None = None, **due: Any) -> View:
        """What a member sees that is due after its last report."""
        own = self.log.reports(member)
        budget = len(own) if budget is None else budget
        row: dict[str, Any] = {"hyperparameters": self.values[member], "budget": budget, "age": budget, "due": budget}
        row["failures"] = int(bool(own) and own[-1].status == "diverged")
        row.update(due)
        return View(
            space=self.space,
            goal=self.goal,
            due=MemberRow(member=member, state="leased", token="t", worker="w", **row),
            log=self.log,
            size=len(self.scores),
            limit=1000,
            memory=memory,
        )

    def owner(self, checkpoint: str) -> IntervalRow:
        """The report that a checkpoint belongs to."""
        return next(row for row in self.rows if row.checkpoint == checkpoint)


def keys_of(view: View, seed: int = 0) -> Keys:
    """The key that a member decides with."""
    return Keys(seed=seed, member=view.due.member, interval=view.due.budget, attempt=view.due.failures)


def assigned(plan: Plan, member: int) -> Assign | None:
    """What a plan has for a member, if anything."""
    found = [action for action in plan.actions if isinstance(action, Assign) and action.member == member]
    return found[-1] if found else None


_SITUATIONS: dict[str, list[list[float | None]]] = {
    "one member": [[1.0, 2.0]],
    "two members": [[1.0, 2.0], [2.0, 1.0]],
    "many members": [[float(7 * m % 11), float(5 * m % 11)] for m in range(11)],
    "all ties": [[1.0, 1.0] for _ in range(8)],
    "all NaN": [[math.nan, math.nan] for _ in range(8)],
    "half NaN": [[1.0, math.nan if m % 2 else float(m)] for m in range(8)],
    "one healthy": [[math.nan], [math.nan], [1.0], [math.nan]],
    "different paces": [[1.0] * (1 + m % 4) for m in range(8)],
    "some without a report": [[1.0, 2.0], [], [3.0, 1.0], [], [2.0]],
    "nobody has a report": [[], [], []],
    "pending": [[1.0, None], [None, 2.0], [None, None], [2.0, 3.0]],
    "great and small": [[1e308], [-1e308], [5e-324], [0.0], [-0.0]],
}


class StrategyContract:
    """What `warren.strategies.Strategy` promises. Override the fixture `strategy`."""

    @pytest.fixture
    def strategy(self) -> Strategy:
        """The strategy, a frozen value."""
        raise NotImplementedError("override the fixture `strategy` with one that gives a strategy")

    @pytest.mark.parametrize("size", [1, 2, 7])
    def test_start_gives_every_member_legal_hyperparameters(self, strategy: Strategy, size: int) -> None:
        """One assignment each, complete and fresh."""
        plan = strategy.start(SPACE, size, Keys(seed=0, member=-1, interval=0))
        starts = [action for action in plan.actions if isinstance(action, Assign)]
        assert sorted(action.member for action in starts) == list(range(size))
        for action in starts:
            assert SPACE.check(action.hyperparameters, field="start") == action.hyperparameters
            assert set(action.hyperparameters) == set(SPACE)
            assert action.intervals >= 1
            assert action.sources == ()
        if size > 1:
            assert starts[0].hyperparameters != starts[1].hyperparameters

    def test_start_is_keyed(self, strategy: Strategy) -> None:
        """The same run starts the same; another seed does not; the first members of a larger one are the same."""
        plans = [strategy.start(SPACE, 4, Keys(seed=seed, member=-1, interval=0)) for seed in (0, 0, 1)]
        assert plans[0] == plans[1]
        assert plans[0] != plans[2]
        larger = strategy.start(SPACE, 6, Keys(seed=0, member=-1, interval=0))
        for member in range(4):
            one, other = assigned(plans[0], member), assigned(larger, member)
            assert one is not None
            assert other is not None
            assert one.hyperparameters == other.hyperparameters

    @pytest.mark.parametrize("goal", ["max", "min"])
    @pytest.mark.parametrize("situation", _SITUATIONS)
    def test_every_decision_is_sound(self, strategy: Strategy, situation: str, goal: Goal) -> None:
        """Pure, keyed, legal; the donor is healthy, another one, and can be loaded."""
        population = Population(_SITUATIONS[situation], goal=goal)
        size = len(_SITUATIONS[situation])
        memory = strategy.start(SPACE, size, Keys(seed=0, member=-1, interval=0)).memory
        before = self._all_of(population)
        for seed in range(4):
            for member in range(size):
                view = population.view(member, memory=memory)
                row = repr(view.due)
                plan = strategy.decide(view, keys_of(view, seed))
                assert (repr(view.due), view.memory) == (row, memory)
                again = strategy.decide(population.view(member, memory=memory), keys_of(view, seed))
                assert plan == again
                self._assert_sound(plan, population, view)
        assert self._all_of(population) == before

    @pytest.mark.parametrize("situation", ["two members", "many members", "half NaN", "different paces"])
    def test_decisions_are_sound_where_members_have_not_the_same_hyperparameters(
        self, strategy: Strategy, situation: str
    ) -> None:
        """What a member is given is complete, exists together, and keeps the constraints."""
        population = Population(_SITUATIONS[situation], space=CONDITIONED)
        size = len(_SITUATIONS[situation])
        plan = strategy.start(CONDITIONED, size, Keys(seed=0, member=-1, interval=0))
        for action in plan.actions:
            assert isinstance(action, Assign)
            assert CONDITIONED.check(action.hyperparameters, field="start") == action.hyperparameters
            assert set(action.hyperparameters) == set(CONDITIONED.active(action.hyperparameters))
        for seed in range(4):
            for member in range(size):
                view = population.view(member, memory=plan.memory)
                self._assert_sound(strategy.decide(view, keys_of(view, seed)), population, view)

    @pytest.mark.parametrize("situation", _SITUATIONS)
    def test_who_else_decides_does_not_matter(self, strategy: Strategy, situation: str) -> None:
        """What is found once for all on the same facts is what each member would find alone, in any order."""
        members = range(len(_SITUATIONS[situation]))
        shared = Population(_SITUATIONS[situation])
        memory = strategy.start(SPACE, len(members), Keys(seed=0, member=-1, interval=0)).memory
        for seed in range(2):
            for budget in (None, 1, 2):
                for member in (*members, *reversed(members)):
                    view = shared.view(member, memory=memory, budget=budget)
                    own = Population(_SITUATIONS[situation]).view(member, memory=memory, budget=budget)
                    assert strategy.decide(view, keys_of(view, seed)) == strategy.decide(own, keys_of(own, seed))

    @staticmethod
    def _all_of(population: Population) -> str:
        facts = [population.log.facts(at) for at in range(4)]
        return repr(
            (
                [list(population.log.reports(m)) for m in range(len(population.scores))],
                [(one.members.tolist(), one.scores.tolist(), one.healthy.tolist()) for one in facts],
                population.values,
                hash(np.random.get_state()[1].tobytes()),  # type: ignore[index]
            )
        )

    @staticmethod
    def _assert_sound(plan: Plan, population: Population, view: View) -> None:
        assert plan.intervals >= 1
        json.dumps(plan.memory, allow_nan=False)
        for action in plan.actions:
            assert isinstance(action, (Assign, Hold, Retire, Pin, Unpin))
            if not isinstance(action, Assign):
                continue
            assert population.space.check(action.hyperparameters, field="plan") == action.hyperparameters
            assert set(action.hyperparameters) == set(population.space.active(action.hyperparameters))
            assert action.intervals >= 1
            for name in action.sources:
                donor = population.owner(name)
                if not action.combines:  # a combination may have the member's own state among its sources
                    assert donor.member != action.member, "a member is nobody's donor but others'"
                assert donor.status != "diverged"
                judged = population.log.newest(donor.member, view.at)
                assert judged is not None, "a donor is judged by a report at equal progress"
                assert judged.status == "ok", "an unhealthy member is no donor"
                assert donor == population.log.loadable(donor.member, view.at)
                shape = population.space.rebuild
                kept = {n: v for n, v in donor.hyperparameters.items() if n in shape}
                given = {n: v for n, v in action.hyperparameters.items() if n in shape}
                assert given == kept, "the shape moves with the weights"
            if action.via == "keep" and action.member == view.due.member:
                for shaping in population.space.rebuild & set(action.hyperparameters):
                    assert action.hyperparameters[shaping] == view.due.hyperparameters[shaping]

    def test_hyperparameters_stay_legal_for_ever(self, strategy: Strategy) -> None:
        """A thousand decisions in a row, each from what the last one gave."""
        values = [SPACE.sample(np.random.default_rng(member)) for member in range(4)]
        memory = strategy.start(SPACE, 4, Keys(seed=0, member=-1, interval=0)).memory
        for interval in range(1, 1001):
            member = interval % 4
            population = Population([[float(-m)] if m == member else [float(m)] for m in range(4)])
            population.values[:] = values
            view = population.view(member, memory=memory, hyperparameters=values[member])
            keys = Keys(seed=interval, member=member, interval=interval)
            plan = strategy.decide(view, keys)
            memory = plan.memory if plan.memory is not None else memory
            action = assigned(plan, member)
            if action is not None:
                assert SPACE.check(action.hyperparameters, field="plan") == action.hyperparameters
                values[member] = action.hyperparameters

    def test_it_comes_back_from_its_record(self, strategy: Strategy) -> None:
        """As JSON, by the names of its classes; and decides as before."""
        text = json.dumps(dump(strategy), allow_nan=False)
        loaded = load(json.loads(text), _find)
        assert loaded == strategy
        assert hash(loaded) == hash(strategy)
        population = Population(_SITUATIONS["many members"])
        for member in range(11):
            view = population.view(member)
            assert loaded.decide(view, keys_of(view)) == strategy.decide(view, keys_of(view))

    def test_plans_are_kept_as_json(self, strategy: Strategy) -> None:
        """What a plan says is the same after it was recorded."""
        population = Population(_SITUATIONS["many members"])
        plans = [strategy.start(SPACE, 11, Keys(seed=0, member=-1, interval=0))]
        for member in range(11):
            view = population.view(member)
            plans.append(strategy.decide(view, keys_of(view)))
        for plan in plans:
            for action in plan.actions:
                back = load(json.loads(json.dumps(dump(action), allow_nan=False)), _find)
                assert dump(back) == dump(action)
                assert type(back) is type(action)

    def test_it_is_frozen(self, strategy: Strategy) -> None:
        """What a strategy knows is in its plans' memory, not in itself."""
        with pytest.raises((AttributeError, TypeError)):
            strategy.anything = 1  # type: ignore[attr-defined]


def _find(module: str, name: str) -> Any:
    thing: Any = importlib.import_module(module)
    for part in name.split("."):
        thing = getattr(thing, part)
    return thing
