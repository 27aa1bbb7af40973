from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from tests.strategies.gains import GainsContract

import warren
from warren.errors import InvalidType, InvalidValue
from warren.population import Pin, Unpin
from warren.space import Choice, Float, Int, Space
from warren.strategies import Strategy
from warren.strategies.bgpbt import BGPBT
from warren.strategies.gp import Fit, Kernel, Points, matern, seen
from warren.strategies.hooks import hooks_of
from warren.strategies.region import Region, Trust, newest, recorded, searched
from warren.testing.strategies import Population, StrategyContract, assigned, keys_of
from warren.values import Json


class TestBGPBT(StrategyContract):
    @pytest.fixture(params=["ever", "now"])
    def strategy(self, request: Any) -> Strategy:
        return BGPBT(best=request.param)


class TestBGPBTWithGains(GainsContract):
    """The contract where there is something to fit."""

    @pytest.fixture
    def strategy(self) -> Strategy:
        return BGPBT(restarts=1)


# -- the region by hand -------------------------------------------------------------------------------------------


def after(outcomes: Sequence[bool | None], *, trust: Trust | None = None, rising: bool = True) -> Region:
    """The region after rounds in which a choice came out best, did not, or there was none."""
    trust = trust or Trust()
    region = trust.begun(0)
    for at, outcome in enumerate(outcomes, start=1):
        best = float(at) if rising else 1.0
        region = trust.after(region, at, best, None if outcome is None else best if outcome else best - 1)
    return region


def test_it_begins_as_in_the_public_code() -> None:
    assert Trust().begun(7) == Region(at=7, since=7, length=0.4, labels=1.0)


def test_three_successes_widen_it() -> None:
    """0.4 * 1.5 = 0.6, then 0.9, then 1.35, which is held at 1; the share of labels is 1 already."""
    assert after([True] * 2).length == 0.4
    assert after([True] * 3).length == pytest.approx(0.6)
    assert after([True] * 6).length == pytest.approx(0.9)
    assert after([True] * 9).length == 1.0
    assert after([True] * 9).labels == 1.0


def test_ten_failures_narrow_it() -> None:
    """0.4 / 1.5 = 0.2667, then 0.1778; labels 1 / 1.5 = 0.6667, then 0.4444. Then 0.1185 is below 0.15: anew."""
    assert after([False] * 9).length == 0.4
    ten, twenty, thirty = (after([False] * count) for count in (10, 20, 30))
    assert [ten.length, ten.labels] == pytest.approx([0.4 / 1.5, 1 / 1.5])
    assert [twenty.length, twenty.labels] == pytest.approx([0.4 / 2.25, 1 / 2.25])
    assert thirty == Region(at=30, since=30, length=0.4, labels=1.0)


def test_only_rounds_in_a_row_count() -> None:
    """A failure in between sets the successes back, and a success the failures; rounds without a choice do neither."""
    assert after([True, True, False, True]).successes == 1
    assert after([False] * 9 + [True] + [False] * 9).length == 0.4
    assert after([True, None, True, None, True]).length == pytest.approx(0.6)


def test_fifteen_rounds_without_a_better_score_begin_it_anew() -> None:
    """The first round sets the best; fifteen more do not better it."""
    assert after([None] * 15, rising=False).stale == 14
    assert after([None] * 15, rising=False).since == 0
    assert after([None] * 16, rising=False) == Region(at=16, since=16)


def test_a_tie_with_the_best_is_a_success() -> None:
    assert Trust().after(Trust().begun(0), 1, 5.0, 5.0).successes == 1


def test_the_region_of_the_latest_round_counts() -> None:
    """As it comes back from tags, of which some are another strategy's."""
    tags: list[Json] = [{"region": Region(at=at, length=0.5).record(), "chosen": True} for at in (3, 9, 5)]
    assert newest([None, "a", {}, *tags]) == Region(at=9, length=0.5)
    assert newest([None]) is None
    assert recorded(3) is None


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"length": 0.1}, InvalidValue, "shortest < length"),
        ({"longest": 1.5}, InvalidValue, "longest <= 1"),
        ({"fewest": 0.0}, InvalidValue, "fewest <= labels"),
        ({"factor": 1.0}, InvalidValue, "factor must be finite and above 1"),
        ({"patience": 0}, InvalidValue, "patience must be at least 1"),
        ({"failures": 2.5}, InvalidType, "failures must be a whole number"),
    ],
)
def test_a_region_that_cannot_be(options: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        Trust(**options)


# -- the search ---------------------------------------------------------------------------------------------------


def test_the_search_stays_in_the_region() -> None:
    """y rises with x and with the label; from 0.5 and labels 0, a side of 0.4 goes to 0.7, and one label changes of 2.

    With a share of 1 both labels change.
    """
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (40, 2))
    numbers = rng.uniform(size=(40, 2))
    y = numbers[:, 1] + labels.sum(axis=1)
    known = seen(
        Kernel(smooth=matern),
        Fit(noise=1e-3),
        Points(times=np.zeros(40), numbers=numbers, labels=labels),
        (y - y.mean()) / y.std(),
    )
    centre = Points(times=np.zeros(1), numbers=np.array([[0.3, 0.5]]), labels=np.zeros((1, 2), dtype=np.int64))
    for share, expected in ((0.5, 1), (1.0, 2)):
        region = Region(length=0.4, labels=share)
        found = searched(known, centre, region, (1,), {0: 3, 1: 3}, 0.0, np.random.default_rng(1), restarts=3)
        assert found.numbers[0, 0] == 0.3
        assert found.numbers[0, 1] == pytest.approx(0.7)
        assert np.count_nonzero(found.labels) == expected
        assert found.labels.max() == 2
    assert centre.labels.tolist() == [[0, 0]], "the centre was not written to"


# -- what is chosen -----------------------------------------------------------------------------------------------

LINE = Space({"h": Float(0.0, 1.0)})


def gaining(gain: Any, *, members: int = 8, space: Space = LINE, tag: Any = None) -> Population:
    """Ten intervals that gained what a function says of their hyperparameters."""
    rng = np.random.default_rng(0)
    fields = {}
    for interval in range(1, 11):
        for member in range(members):
            values, before = space.sample(rng), float(rng.random())
            score = before + gain(values)
            row = {"hyperparameters": values, "before": before, "score": score, "tag": tag}
            fields[member, interval] = row
    return Population([[0.0] * 10] * members, space=space, fields=fields)


def test_the_choice_is_near_one_of_the_best() -> None:
    """Gains fall with h; the best of the round have h in the middle. A side of 0.4 is 0.2 to either side of these."""
    population = gaining(lambda v: -v["h"])
    for seed in range(3):
        for member in range(8):
            view = population.view(member)
            action = assigned(BGPBT(best="now").decide(view, keys_of(view, seed)), member)
            if action is None:
                continue
            centre = population.owner(action.sources[0]).hyperparameters["h"]
            assert centre - 0.2 - 1e-9 <= action.hyperparameters["h"] <= centre + 0.2 + 1e-9
            assert action.hyperparameters["h"] == pytest.approx(max(0.0, centre - 0.2), abs=0.1), "it went down"
            assert action.tag == {"region": Trust().after(Trust().begun(0), 10, view.facts.scores.max(), None).record(),
                                  "chosen": True}  # fmt: skip


def test_a_region_that_is_begun_anew_forgets() -> None:
    """Its gains were before: what is drawn now is from the prior, and says so."""
    stale = Region(at=9, since=0, best=1e9, stale=14).record()
    population = gaining(lambda v: -v["h"], tag={"region": stale, "chosen": True})
    view = population.view(0)
    actions = [assigned(BGPBT(best="now").decide(population.view(m), keys_of(population.view(m))), m) for m in range(8)]
    for action in filter(None, actions):
        assert isinstance(action.tag, dict)
        assert action.tag == {"region": Region(at=view.at, since=view.at).record(), "chosen": False}


@pytest.mark.parametrize(("better", "counts"), [(True, (3, 0)), (False, (0, 1))])
def test_a_choice_of_the_last_round_that_comes_out_best(better: bool, counts: tuple[int, int]) -> None:
    """Member 1 trained with what was chosen; whether it is the best decides. The third success widens the region."""
    last = Region(at=1, successes=2, best=0.0)
    tag = {"region": last.record(), "chosen": True}
    scores = [[0.0, 1.0], [0.0, 9.0 if better else 2.0], [0.0, 3.0], [0.0, 4.0]]
    population = Population(scores, space=LINE, fields={(1, 2): {"tag": tag}})
    view = population.view(0)
    action = assigned(BGPBT().decide(view, keys_of(view)), 0)
    assert action is not None
    region = recorded(action.tag)
    assert region is not None
    assert region.length == (pytest.approx(0.6) if better else 0.4)
    assert (region.successes, region.failures) == ((0, 0) if better else counts)


# -- the best ever ------------------------------------------------------------------------------------------------


def test_the_best_ever_is_pinned_and_copied() -> None:
    """Member 1 was the best with 9 and pins that; later it has 2, and member 0 copies the 9 although 4 is there."""
    strategy = BGPBT()
    population = Population([[1.0], [9.0], [3.0], [4.0]], space=LINE)
    view = population.view(1)
    plan = strategy.decide(view, keys_of(view))
    assert plan.actions == (Pin(checkpoint="1@1"),)
    later = Population([[1.0, 0.0], [9.0, 2.0], [3.0, 3.0], [4.0, 4.0]], space=LINE)
    view = later.view(0, memory=plan.memory)
    action = assigned(strategy.decide(view, keys_of(view)), 0)
    assert action is not None
    assert action.sources == ("1@1",)
    view = later.view(3, memory=plan.memory)
    assert strategy.decide(view, keys_of(view)).actions == (), "4 is no better than 9"
    action = assigned(BGPBT(best="now").decide(later.view(0), keys_of(view)), 0)
    assert action is not None
    assert action.sources == ("3@2",)


def test_a_better_one_takes_the_place_of_the_best_ever() -> None:
    """With 10, member 3 pins its own, and lets the other go."""
    strategy = BGPBT()
    population = Population([[1.0], [9.0], [3.0], [4.0]], space=LINE)
    memory = strategy.decide(population.view(1), keys_of(population.view(1))).memory
    view = Population([[1.0, 0.0], [9.0, 2.0], [3.0, 3.0], [4.0, 10.0]], space=LINE).view(3, memory=memory)
    plan = strategy.decide(view, keys_of(view))
    assert plan.actions == (Pin(checkpoint="3@2"), Unpin(checkpoint="1@1"))


def test_a_best_ever_that_is_damaged_is_given_up() -> None:
    strategy = BGPBT()
    population = Population([[1.0], [9.0], [3.0], [4.0]], space=LINE)
    memory = strategy.decide(population.view(1), keys_of(population.view(1))).memory
    later = Population([[1.0, 0.0], [9.0, 2.0], [3.0, 3.0], [4.0, 4.0]], space=LINE, fields={(1, 1): {"lost": 99}})
    view = later.view(0, memory=memory)
    action = assigned(strategy.decide(view, keys_of(view)), 0)
    assert action is not None
    assert action.sources == ("3@2",)


# -- generations --------------------------------------------------------------------------------------------------


def half(states: Sequence[Any], hyperparameters: dict[str, Any], rng: Any) -> Any:
    """A student of another width begins with half of its teacher's mean."""
    teacher, fresh = states
    fresh["state"]["w"] = np.full(hyperparameters["width"], 0.5 * float(np.mean(teacher["state"]["w"])))
    return fresh


def test_without_distillation_there_are_no_hooks() -> None:
    assert hooks_of(BGPBT()) == {}
    hook = hooks_of(BGPBT(distill=half))["distill"]
    assert (hook.combine, hook.fresh) == (half, True)


def test_a_generation_begins_where_the_region_does() -> None:
    """Every member is a student of one of the best, with hyperparameters that are all new, the width too."""
    space = Space({"h": Float(0.0, 1.0), "width": Int(1, 1000, rebuild=True)})
    stale = {"region": Region(at=1, best=1e9, stale=14).record(), "chosen": True}
    scores = [[float(member)] * 2 for member in range(8)]
    population = Population(scores, space=space, fields={(m, 2): {"tag": stale} for m in range(8)})
    strategy = BGPBT(distill=half)
    for member in range(8):
        view = population.view(member)
        action = assigned(strategy.decide(view, keys_of(view)), member)
        assert action is not None
        assert action.via == "distill"
        teacher = population.owner(action.sources[0])
        assert teacher.member in (6, 7)
        assert action.hyperparameters["width"] != teacher.hyperparameters["width"]
        assert recorded(action.tag) == Region(at=2, since=2)


def test_the_best_of_an_older_generation_does_not_count() -> None:
    """It is of another form, and its score is another generation's."""
    strategy = BGPBT(distill=half)
    region = {"region": Region(at=1, since=1).record(), "chosen": False}
    memory: Json = {
        "id": 1,
        "member": 1,
        "interval": 1,
        "age": 1,
        "score": 99.0,
        "checkpoint": "1@1",
        "hyperparameters": {},
    }
    scores = [[0.0, 0.0], [99.0, 2.0], [3.0, 3.0], [4.0, 4.0]]
    population = Population(scores, space=LINE, fields={(m, 2): {"tag": region} for m in range(4)})
    view = population.view(0, memory=memory)
    action = assigned(strategy.decide(view, keys_of(view)), 0)
    assert action is not None
    assert action.sources == ("3@2",)


def begin(seed: int, hyperparameters: dict[str, Any]) -> Any:
    return {"w": np.zeros(hyperparameters["width"])}


def grow(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
    return {"w": state["w"] + 1.0}


def look(state: Any, rng: Any) -> tuple[float, dict[str, float]]:
    return 1.0, {"mean": float(np.mean(state["w"])), "width": float(len(state["w"]))}


def test_generations_in_a_run() -> None:
    """Decisions begin after two intervals, and no score is better than that: two rounds later a generation begins.

    Students have half the weights of their teachers, after one interval 1 more, and a width of their own.
    """
    result = warren.run(
        warren.Task(init=begin, train_interval=grow, evaluate=look),
        space={"h": Float(0.0, 1.0), "width": Int(1, 1000, rebuild=True)},
        strategy=BGPBT(distill=half, trust=Trust(patience=2)),
        population=4,
        intervals=5,
        synchronous=True,
        goal="max",
    )
    rows = {(row.member, row.interval): row for row in result.intervals}
    means = {row.id: row.metrics["mean"] for row in result.intervals}
    assert sorted(rows[member, 4].metrics["mean"] for member in range(4))[1:] == [4.0, 4.0, 4.0]
    for member in range(4):
        student = rows[member, 5]
        assert student.metrics["mean"] == 0.5 * means[student.parents[0]] + 1.0
        assert student.metrics["width"] == student.hyperparameters["width"]
        assert student.hyperparameters["width"] != rows[member, 4].hyperparameters["width"]


# -- what it cannot be made with ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fraction": 0.6}, "BGPBT: fraction must lie in"),
        ({"window": 0}, "BGPBT: window must be at least 1"),
        ({"deviations": -1.0}, "deviations must be finite"),
        ({"deviations": math.nan}, "deviations must be finite"),
        ({"best": "later"}, "best='later' must be 'ever' or 'now'"),
        ({"every": 0}, "every must be at least 1"),
    ],
)
def test_options(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidValue, match=words):
        BGPBT(**options)


def test_choices_are_chosen_too() -> None:
    """Only "b" gains, and it is chosen by all who copy."""
    space = Space({"h": Float(0.0, 1.0), "act": Choice(("a", "b", "c"))})
    population = gaining(lambda v: float(v["act"] == "b") + 0.01 * v["h"], space=space)
    for member in range(8):
        view = population.view(member)
        action = assigned(BGPBT(deviations=0.0).decide(view, keys_of(view)), member)
        assert action is None or action.hyperparameters["act"] == "b"
