from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from warren.errors import InvalidType, InvalidValue, WarrenError
from warren.population import Assign, Plan
from warren.space import Choice, Float, Int, Space
from warren.strategies import (
    PBT,
    Every,
    Never,
    Noise,
    Perturb,
    RandomSearch,
    Resample,
    Strategy,
    Tournament,
    Truncation,
    Unchanged,
    compose,
)
from warren.testing.strategies import Population, assigned, keys_of

WIDE = Space(
    {
        "lin": Float(-1e9, 1e9),
        "log": Float(1e-9, 1e9, scale="log"),
        "one": Float(-1e9, 1 - 1e-9, scale="one_minus"),
        "act": Choice(("a", "b", "c", "d")),
        "layers": Int(1, 99, rebuild=True),
    }
)
START = {"lin": 10.0, "log": 0.1, "one": 0.9, "act": "a", "layers": 7}


def explored(explore: Any, seed: int, values: dict[str, Any] = START) -> dict[str, Any]:
    view = Population([[1.0], [2.0]], space=WIDE).view(0)
    result: dict[str, Any] = explore(view, values, keys_of(view, seed))
    return result


# -- explore --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factors", [(0.8, 1.2), (0.8, 1.25), (0.5, 1.0, 2.0), (1.5,)])
def test_factors_are_drawn_independently(factors: tuple[float, ...]) -> None:
    counts = Counter()  # type: ignore[var-annotated]
    for seed in range(900):
        moved = explored(Perturb(factors=factors), seed)
        used = (moved["lin"] / 10.0, moved["log"] / 0.1, (1 - moved["one"]) / 0.1)
        counts[tuple(min(range(len(factors)), key=lambda i, u=u: abs(factors[i] - u)) for u in used)] += 1
        assert all(min(abs(f - u) for f in factors) < 1e-9 for u in used)
        assert moved["layers"] == 7
    assert len(counts) == len(factors) ** 3
    if len(counts) > 1:
        assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_a_single_factor_may_be_given() -> None:
    assert Perturb(factors=1.5).factors == (1.5,)  # type: ignore[arg-type]
    assert Perturb(factors=[0.5, 2]).factors == (0.5, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("kind", ["resample", "perturb"])
def test_the_probability_of_drawing_again(kind: str, probability: float) -> None:
    explore: Any = Resample(probability=probability)
    if kind == "perturb":
        explore = Perturb(factors=(1.0,), redraw=0.0, resample=probability)
    changed: Counter[str] = Counter()
    for seed in range(800):
        moved = explored(explore, seed)
        changed.update(name for name in ("lin", "log", "one") if abs(moved[name] - START[name]) > 1e-9)
        changed["act"] += moved["act"] != "a"
        assert moved["layers"] == 7
    for name in ("lin", "log", "one"):
        assert stats.binomtest(changed[name], 800, probability).pvalue > 1e-3
    assert stats.binomtest(changed["act"], 800, probability * 0.75).pvalue > 1e-3


def test_noise_is_in_units_of_the_scale() -> None:
    steps: dict[str, list[float]] = {"lin": [], "log": [], "one": []}
    for seed in range(800):
        moved = explored(Noise(deviation=0.1), seed)
        steps["lin"].append(moved["lin"] - 10.0)
        steps["log"].append(math.log(moved["log"] / 0.1))
        steps["one"].append(-math.log((1 - moved["one"]) / 0.1))
        assert moved["layers"] == 7
    for values in steps.values():
        assert stats.kstest(np.array(values) / 0.1, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(steps["lin"], steps["log"])[0, 1]) < 4 / math.sqrt(800)


def test_unchanged() -> None:
    assert explored(Unchanged(), 0) == START


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: Perturb(factors=()), InvalidValue, "must not be empty"),
        (lambda: Perturb(factors=(0.8, -1.2)), InvalidValue, "positive.*-1.2"),
        (lambda: Perturb(factors=(0.0,)), InvalidValue, "positive"),
        (lambda: Perturb(factors=(math.inf,)), InvalidValue, "finite"),
        (lambda: Perturb(factors=("a",)), InvalidType, "numbers.*'a'"),  # type: ignore[arg-type]
        (lambda: Perturb(factors="fast"), InvalidType, "numbers.*'fast'"),  # type: ignore[arg-type]
        (lambda: Perturb(redraw=1.5), InvalidValue, "redraw"),
        (lambda: Perturb(resample=-0.1), InvalidValue, "resample"),
        (lambda: Resample(probability=2), InvalidValue, r"Resample: probability must lie in \[0, 1\], but got 2"),
        (lambda: Noise(deviation=0), InvalidValue, "deviation must be positive"),
        (lambda: Noise(deviation=math.inf), InvalidValue, "finite"),
        (lambda: Noise(redraw=7), InvalidValue, "redraw"),
        (lambda: Every(every=0), InvalidValue, "every must be at least 1"),
        (lambda: Every(warmup=-1), InvalidValue, "warmup must be at least 0"),
        (lambda: Every(every=1.5), InvalidType, "every must be a whole number"),  # type: ignore[arg-type]
        (lambda: Every(every=True), InvalidType, "every"),
        (lambda: PBT(every=0), InvalidValue, "every"),
        (lambda: PBT(exploit="best"), InvalidValue, "'best'.*'truncation', 'tournament', 'ttest', 'none'"),
        (lambda: PBT(explore="mutate"), InvalidValue, "'mutate'.*'perturb', 'resample', 'noise', 'none'"),
        (lambda: PBT(copy="all"), InvalidValue, "copy='all'"),  # type: ignore[arg-type]
        (lambda: PBT(explorers="all"), InvalidValue, "explorers='all'"),  # type: ignore[arg-type]
        (lambda: PBT(explore="noise", drift_free=True), InvalidValue, "drift_free"),
    ],
)  # fmt: skip
def test_a_part_that_cannot_be(make: Callable[[], object], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        make()
    assert isinstance(caught.value, WarrenError)


# -- ready ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 2, 4, 7])
@pytest.mark.parametrize("warmup", [0, 1, 3, 10])
def test_decisions_fall_on_one_grid(every: int, warmup: int) -> None:
    grid = {warmup + k * every for k in range(1, 100)}
    for budget in range(60):
        assert Every(every=every, warmup=warmup).after(budget) == min(b for b in grid if b > budget)


def test_the_default_is_ready_from_the_second_interval_on() -> None:
    assert [Every().after(budget) for budget in range(4)] == [2, 2, 3, 4]
    assert Never().after(0) > 10**9


@pytest.mark.parametrize(("budget", "intervals"), [(2, 2), (3, 1), (4, 4), (5, 3), (7, 1), (8, 4)])
def test_a_member_that_was_rescued_in_between_returns_to_the_grid(budget: int, intervals: int) -> None:
    strategy = PBT(every=4, warmup=0)
    population = Population([[-1.0] * (budget - 1) + [math.nan], [1.0] * budget, [2.0] * budget])
    view = population.view(0)
    if budget == 2:
        view = population.view(0, budget=2)
    action = assigned(strategy.decide(view, keys_of(view)), 0)
    assert action is not None
    assert action.intervals == intervals
    keep = population.view(2)
    assert strategy.decide(keep, keys_of(keep)) == Plan(intervals=intervals)


# -- what is copied -------------------------------------------------------------------------------------------------

SPACE = Space({"lr": Float(1e-9, 1e9, scale="log"), "width": Int(1, 10**6, rebuild=True)})


def decided(strategy: Strategy, member: int, scores: tuple[float, ...] = (1.0, 2.0)) -> tuple[Population, Plan]:
    population = Population([[score] for score in scores], space=SPACE)
    view = population.view(member)
    return population, strategy.decide(view, keys_of(view))


def test_copy_both() -> None:
    population, plan = decided(PBT(exploit="tournament", explore=Perturb(factors=(2.0,))), 0)
    donor = population.values[1]
    assert plan.actions == (
        Assign(
            member=0, hyperparameters={"lr": donor["lr"] * 2, "width": donor["width"]}, sources=("1@1",),
            via="copy", intervals=1,
        ),
    )  # fmt: skip


def test_copy_weights_takes_the_shape_along() -> None:
    strategy = PBT(exploit="tournament", explore=Perturb(factors=(2.0,)), copy="weights")
    population, plan = decided(strategy, 0)
    action = assigned(plan, 0)
    assert action is not None
    assert (action.via, action.sources) == ("copy", ("1@1",))
    assert action.hyperparameters == {"lr": population.values[0]["lr"] * 2, "width": population.values[1]["width"]}


def test_copy_hyperparameters_leaves_state_and_shape() -> None:
    strategy = PBT(exploit="tournament", explore=Perturb(factors=(2.0,)), copy="hyperparameters")
    population, plan = decided(strategy, 0)
    action = assigned(plan, 0)
    assert action is not None
    assert (action.via, action.sources) == ("keep", ())
    assert action.hyperparameters == {"lr": population.values[1]["lr"] * 2, "width": population.values[0]["width"]}


@pytest.mark.parametrize("explorers", ["copier", "ready"])
def test_who_explores(explorers: Any) -> None:
    strategy = PBT(exploit="tournament", explore=Perturb(factors=(2.0,)), explorers=explorers)
    population, plan = decided(strategy, 1)
    if explorers == "copier":
        assert plan == Plan(intervals=1)
        return
    values = {"lr": population.values[1]["lr"] * 2, "width": population.values[1]["width"]}
    assert plan.actions == (Assign(member=1, hyperparameters=values, via="keep"),)


def test_drift_free() -> None:
    found = set()
    for seed in range(30):
        population = Population([[1.0], [2.0]], space=SPACE)
        view = population.view(0)
        action = assigned(PBT(exploit="tournament", drift_free=True).decide(view, keys_of(view, seed)), 0)
        assert action is not None
        found.add(round(action.hyperparameters["lr"] / population.values[1]["lr"], 9))
    assert found == {0.8, 1.25}


def test_as_published() -> None:
    """Truncation of a fifth, 0.8 or 1.2, ready after every interval from the second on, only the copier explores."""
    composed = PBT()._composed
    assert composed == compose(
        ready=Every(every=1, warmup=1), exploit=Truncation(fraction=0.2, donors=2),
        explore=Perturb(factors=(0.8, 1.2), redraw=0.25, resample=0.0), copy="both", explorers="copier",
    )  # fmt: skip
    assert compose() == composed
    assert PBT(exploit="tournament")._composed.exploit == Tournament()


# -- rescue ---------------------------------------------------------------------------------------------------------


def test_the_diverged_are_rescued_from_the_best() -> None:
    scores = [[math.nan]] + [[float(m)] for m in range(1, 16)]
    found = set()
    for seed in range(200):
        population = Population(scores, space=SPACE)
        view = population.view(0)
        action = assigned(PBT(copy="weights").decide(view, keys_of(view, seed)), 0)
        assert action is not None
        assert action.via == "copy"
        donor = population.owner(action.sources[0])
        found.add(donor.member)
        assert action.hyperparameters["lr"] in [  # its own have failed
            pytest.approx(donor.hyperparameters["lr"] * f) for f in (0.8, 1.2)
        ]
    assert found == {13, 14, 15}  # the best fifth of sixteen


def test_nobody_to_rescue_from() -> None:
    """A fresh start with a new draw, another one at every attempt."""
    population = Population([[math.nan], [math.nan]], space=SPACE)
    drawn = []
    for failures in (1, 2, 3):
        view = population.view(0, failures=failures)
        action = assigned(PBT().decide(view, keys_of(view)), 0)
        assert action is not None
        assert (action.via, action.sources) == ("fresh", ())
        drawn.append(action.hyperparameters["lr"])
    assert len({*drawn, population.values[0]["lr"]}) == 4


def test_a_member_that_failed_twice_is_rescued() -> None:
    population = Population([[1.0], [2.0], [3.0]], space=SPACE)
    for member in range(3):
        view = population.view(member, failures=2)
        action = assigned(PBT().decide(view, keys_of(view)), member)
        assert action is not None
        assert action.via == "copy"


def test_the_control_is_never_rescued() -> None:
    population = Population([[math.nan], [2.0]], space=SPACE)
    view = population.view(0)
    plan = RandomSearch().decide(view, keys_of(view))
    assert plan.actions == ()
    assert plan.intervals > 10**9


def test_the_control_draws_as_the_treatment() -> None:
    keys = keys_of(Population([[1.0]]).view(0))
    one, other = PBT().start(SPACE, 5, keys), RandomSearch().start(SPACE, 5, keys)
    for member in range(5):
        a, b = assigned(one, member), assigned(other, member)
        assert a is not None
        assert b is not None
        assert a.hyperparameters == b.hyperparameters


@pytest.mark.parametrize("last", [None, "missing"])
def test_a_member_without_a_score_of_its_own_goes_on(last: Any) -> None:
    """An inherited score does not compete."""
    own: list[float | None] = [-5.0, None] if last is None else [-5.0]
    population = Population([own, [1.0, 2.0], [2.0, 3.0]], space=SPACE)
    view = population.view(0, budget=2)
    assert PBT().decide(view, keys_of(view)) == Plan(intervals=1)
