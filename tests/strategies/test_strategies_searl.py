"""SEARL: tournaments, the elite, and one kind of mutation at a time; against odds worked out by hand."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest

import warren
from warren.errors import InvalidValue
from warren.population import Assign, Keys
from warren.space import Choice, Float, Int, Space
from warren.strategies.searl import SEARL, Disturbed
from warren.testing.strategies import Population, StrategyContract, assigned, keys_of
from warren.training.rng import Rng


def widened(states: Sequence[Any], hyperparameters: Mapping[str, Any], rng: Any) -> Any:
    """Weights for another width: what there was, then zeros."""
    state = states[0]["state"]
    width = int(hyperparameters["width"])
    new = np.zeros(width)
    kept = min(width, len(state))
    new[:kept] = state[:kept]
    return {"state": new}


class TestContract(StrategyContract):
    @pytest.fixture
    def strategy(self) -> SEARL:
        return SEARL()


class TestContractWithoutWeights(StrategyContract):
    @pytest.fixture
    def strategy(self) -> SEARL:
        return SEARL(weights=None, tournament=1, every=2, warmup=0, factors=(0.5, 2.0))


def decided(people: Population, member: int, strategy: SEARL, seed: int = 0) -> Assign | None:
    view = people.view(member)
    return assigned(strategy.decide(view, keys_of(view, seed)), member)


def within(count: int, total: int, share: float) -> bool:
    """Whether a count is within five standard deviations of what a share makes of it."""
    return abs(count - total * share) < 5 * math.sqrt(total * share * (1 - share))


def test_the_best_goes_on_as_it_is() -> None:
    """Elitism: whatever the seed, and in ties exactly one of all."""
    people = Population([[float(m)] for m in range(10)])
    assert all(decided(people, 9, SEARL(), seed) is None for seed in range(50))
    ties = Population([[1.0]] * 10)
    for seed in range(20):
        assert sum(decided(ties, m, SEARL(), seed) is None for m in range(10)) == 1


def test_the_odds_of_a_tournament() -> None:
    """Of 10 by rank 1 to 10, the best of three draws has rank at most k with probability (k / 10)^3.

    So the best (rank 10) is the parent with 1 - 0.9^3 = 0.271, the next with 0.9^3 - 0.8^3 = 0.217, the worst with
    0.001. Seen from the worst member, which is its own parent then.
    """
    people = Population([[float(m)] for m in range(10)])
    parents: Counter[int] = Counter()
    for seed in range(3000):
        action = decided(people, 0, SEARL(weights=None), seed)
        assert action is not None
        parents[people.owner(action.sources[0]).member if action.sources else 0] += 1
    for member in range(10):
        share = ((member + 1) / 10) ** 3 - (member / 10) ** 3
        assert within(parents[member], 3000, share)


def test_who_is_drawn_alone_is_not_always_better() -> None:
    """A tournament of one is a uniform draw."""
    people = Population([[float(m)] for m in range(4)])
    parents = Counter(
        people.owner(action.sources[0]).member if action.sources else 2
        for seed in range(2000)
        if (action := decided(people, 2, SEARL(weights=None, tournament=1), seed)) is not None
    )
    assert all(within(parents[member], 2000, 0.25) for member in range(4))


def test_one_kind_of_mutation_each_as_likely() -> None:
    """Nothing, weights, an activation, a value: a quarter each; at most one hyperparameter changes, by 0.8 or 1.2."""
    space = Space({"lr": Float(1e-6, 1.0, scale="log"), "b": Float(0.0, 100.0), "act": Choice(("relu", "elu", "tanh"))})
    people = Population([[float(m)] for m in range(5)], space=space)
    kinds: Counter[str] = Counter()
    for seed in range(2000):
        action = decided(people, 0, SEARL(), seed)
        assert action is not None
        parent = people.owner(action.sources[0]).hyperparameters if action.sources else people.values[0]
        changed = [name for name in space if action.hyperparameters[name] != parent[name]]
        assert len(changed) <= 1
        assert action.via != "weights" or not changed
        for name in changed:
            if name != "act":
                ratio = action.hyperparameters[name] / parent[name]
                assert min(abs(ratio - 0.8), abs(ratio - 1.2)) < 1e-9 or action.hyperparameters[name] > 60
        kinds["weights" if action.via == "weights" else changed[0] if changed else "nothing"] += 1
    assert within(kinds["nothing"], 2000, 1 / 4)
    assert within(kinds["weights"], 2000, 1 / 4)
    assert within(kinds["act"], 2000, 1 / 4)
    assert within(kinds["lr"], 2000, 1 / 8)
    assert within(kinds["b"], 2000, 1 / 8)


def test_what_there_is_not_is_not_drawn() -> None:
    """A space of one number, weights left alone: half nothing, half the number."""
    people = Population([[float(m)] for m in range(5)], space=Space({"b": Float(1.0, 2.0)}))
    changed = 0
    for seed in range(1000):
        action = decided(people, 0, SEARL(weights=None), seed)
        assert action is not None
        parent = people.owner(action.sources[0]).hyperparameters if action.sources else people.values[0]
        changed += action.hyperparameters != parent
    assert within(changed, 1000, 1 / 2)


def test_its_own_weights_are_mutated_in_a_copy_of_its_own() -> None:
    """A member that wins its tournament goes on with its own state, through the hook where weights are drawn."""
    people = Population([[1.0], [2.0]], space=Space({"b": Float(1.0, 2.0)}))
    found = set()
    for seed in range(60):
        action = decided(people, 0, SEARL(tournament=1), seed)
        assert action is not None
        found.add((action.via, action.sources))
    assert found == {("weights", ("0@1",)), ("weights", ("1@1",)), ("copy", ("1@1",)), ("keep", ())}


def test_what_it_goes_on_from_is_whole_where_its_newest_state_was_lost() -> None:
    """State 0@3 was found damaged: its weights are mutated in 0@2, with the hyperparameters that it fell back to."""
    scores: list[list[float | None]] = [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    people = Population(scores, fields={(0, 3): {"lost": 9}})
    older = people.space.sample(np.random.default_rng(9))
    mutated = 0
    for seed in range(60):
        view = people.view(0, hyperparameters=older)
        action = assigned(SEARL(tournament=1).decide(view, keys_of(view, seed)), 0)
        if action is not None and action.via == "weights" and action.sources != ("1@3",):
            assert (action.sources, action.hyperparameters) == (("0@2",), older)
            mutated += 1
    assert mutated > 3


def test_the_architecture_changes_only_by_its_hook() -> None:
    space = Space({"width": Int(1, 64, rebuild=True), "b": Float(1.0, 2.0)})
    people = Population([[float(m)] for m in range(5)], space=space)
    without, with_hook = Counter[str](), Counter[str]()
    for seed in range(300):
        for rule, seen in ((SEARL(), without), (SEARL(architecture=widened), with_hook)):
            action = decided(people, 0, rule, seed)
            assert action is not None
            parent = people.owner(action.sources[0]).hyperparameters if action.sources else people.values[0]
            moved = action.hyperparameters["width"] != parent["width"]
            assert moved == (action.via == "architecture")
            seen[action.via] += 1
    assert without["architecture"] == 0
    assert within(with_hook["architecture"], 300, 1 / 4)


def test_a_member_that_diverged_copies_a_healthy_one() -> None:
    people = Population([[math.nan], [1.0], [2.0]])
    action = decided(people, 0, SEARL())
    assert action is not None
    assert (action.via, len(action.sources)) == ("copy", 1)


def rng(seed: int) -> Rng:
    return Rng(Keys(seed=seed, member=0, interval=1), "test")


def test_some_entries_of_some_matrices_are_disturbed() -> None:
    """Of 1,000 entries up to 100 are drawn; vectors, whole numbers and what is inside an optimizer stay."""
    state: dict[str, Any] = {
        "net": {"w": np.ones((20, 50)), "b": np.ones(50), "n": np.ones((3, 3), dtype=np.int64)},
        "optimizer": {"m": np.ones((20, 50))},
    }
    counts = []
    for seed in range(40):
        new = Disturbed()([state], {}, rng(seed))
        assert (new["optimizer"]["m"] == 1).all()
        assert (new["net"]["b"] == 1).all()
        assert (new["net"]["n"] == 1).all()
        counts.append(int((new["net"]["w"] != 1).sum()))
        again = Disturbed()([state], {}, rng(seed))
        assert np.array_equal(new["net"]["w"], again["net"]["w"])
    assert 1 <= min(counts) < 20
    assert 60 < max(counts) <= 100
    assert (state["net"]["w"] == 1).all()


def test_how_far_entries_move() -> None:
    """Entries of 100: 90 % move by a deviation of 10, 5 % by one of 1000, 5 % become standard normal.

    So the share within 30 of 100 is 0.9 * 0.9973 + 0.05 * P(|N| < 0.03) = 0.8988; that of |w| < 5 is about 5 % more
    than 0.05 * P(|1 + 10 N| < 0.05) = 0.05 * 0.004.
    """
    moved = []
    for seed in range(60):
        new = Disturbed(share=0.02)([{"w": np.full((100, 200), 100.0)}], {}, rng(seed))["w"]
        moved.append(new[new != 100.0])
    values = np.concatenate(moved)
    total = len(values)
    assert total > 5000
    assert within(int((abs(values - 100) < 30).sum()), total, 0.8976 + 0.05 * 0.0239)
    assert within(int((abs(values) < 5).sum()), total, 0.05 + 0.05 * 0.004)


def test_every_matrix_can_be_the_only_one() -> None:
    """Of three matrices one, two or three are drawn, each number as likely."""
    state = {name: np.ones((4, 4)) for name in "abc"}
    counts: Counter[int] = Counter()
    for seed in range(600):
        new = Disturbed(share=1.0)([state], {}, rng(seed))
        counts[sum(not np.array_equal(new[name], state[name]) for name in "abc")] += 1
    assert all(within(counts[n], 600, 1 / 3) for n in (1, 2, 3))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SEARL(tournament=0), "tournament"),
        (lambda: SEARL(factors=(0.0,)), "factors"),
        (lambda: Disturbed(share=0.0), "share"),
        (lambda: Disturbed(deviation=-1.0), "deviation"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Any, words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        make()


def init(seed: int, hyperparameters: dict[str, Any]) -> np.ndarray[Any, Any]:
    return np.ones(int(hyperparameters["width"]))


def step(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
    assert len(state) == hyperparameters["width"]
    return state + hyperparameters["lr"]


def evaluate(state: Any, rng: Any) -> float:
    return float(state.sum())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_grows_by_its_hook(workers: int, tmp_path: Any) -> None:
    """Widths change along a lineage, and every state has the width of its hyperparameters."""
    space = {"width": Int(2, 8, rebuild=True), "lr": Float(0.1, 1.0)}
    result = warren.run(
        warren.Task(init=init, train_interval=step, evaluate=evaluate), space=space, goal="max", population=5,
        intervals=8, strategy=SEARL(architecture=widened), synchronous=True, workers=workers, seed=3,
        store=tmp_path / "run.db", watch=lambda result: None,
    )  # fmt: skip
    rows = {row.id: row for row in result.intervals}
    grown = [row for row in rows.values() if row.via == "architecture"]
    assert grown
    for row in grown:
        (parent,) = (rows[name] for name in row.parents)
        assert row.hyperparameters["width"] != parent.hyperparameters["width"]
    assert any(row.via == "weights" for row in rows.values())
    assert len(result.best.state()["state"]) == result.best.hyperparameters["width"]
