"""DexPBT against hand-worked populations of eight: one may be replaced, three are best."""

from __future__ import annotations

import math
from typing import Any

import pytest

from warren.errors import InvalidType, InvalidValue
from warren.space import Choice, Float, Int, Space
from warren.strategies import DexPBT, Gap, Stretch, Unchanged
from warren.testing.strategies import SPACE, Population, StrategyContract, assigned, keys_of

FAR = [0.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]
"""ceil(0.125 * 8) = 1 may be replaced, ceil(0.3 * 8) = 3 are best: 8, 9, 10. The deviation without the worst is 2."""

NEAR = [9.6, 9.65, 9.7, 9.8, 9.9, 10.0, 10.05, 10.1]
"""The best are ahead by 0.4 to 0.5, and 5 % of them are 0.5 to 0.505. Half a deviation is below 0.1."""


def population_of(scores: list[float], **fields: Any) -> Population:
    """All members at their second interval, where the first decision comes; fields are of the first one's report."""
    return Population([[1.0, score] for score in scores], fields={(0, 2): fields})


def test_only_the_worst_is_replaced_by_one_of_the_best_three() -> None:
    population = population_of(FAR)
    sources: set[str] = set()
    for seed in range(40):
        for member in range(8):
            view = population.view(member)
            action = assigned(DexPBT().decide(view, keys_of(view, seed)), member)
            assert (action is not None) == (member == 0)
            if action is not None:
                assert action.via == "copy"
                sources.update(action.sources)
    assert sources == {"5@2", "6@2", "7@2"}


def test_without_a_clear_gap_the_weights_stay_and_hyperparameters_move() -> None:
    population = population_of(NEAR)
    strategy = DexPBT(explore=Stretch(probability=1.0))
    for seed in range(20):
        view = population.view(0)
        action = assigned(strategy.decide(view, keys_of(view, seed)), 0)
        assert action is not None
        assert (action.via, action.sources) == ("keep", ())
        assert action.hyperparameters["lr"] != view.due.hyperparameters["lr"]
    replaced = assigned(DexPBT(gap=Gap(share=0.0)).decide(population.view(0), keys_of(population.view(0))), 0)
    assert replaced is not None and replaced.via == "copy"


@pytest.mark.parametrize(("reached", "spared"), [(8.5, True), (7.5, False)])
def test_who_reached_the_best_within_the_interval_is_spared(reached: float, spared: bool) -> None:
    """The worst of the best three has 8."""
    population = population_of(FAR, curve=((0.5, reached), (1.0, 0.0)))
    view = population.view(0)
    assert (assigned(DexPBT().decide(view, keys_of(view)), 0) is None) == spared


def test_a_curve_is_turned_with_the_goal() -> None:
    population = Population(
        [[1.0, -score] for score in FAR], goal="min", fields={(0, 2): {"curve": ((0.5, -8.5), (1.0, 0.0))}}
    )
    view = population.view(0)
    assert DexPBT().decide(view, keys_of(view)).actions == ()


@pytest.mark.parametrize(("inherit", "whose"), [(1.0, "donor"), (0.0, "own")])
def test_a_copy_brings_hyperparameters_along_or_not(inherit: float, whose: str) -> None:
    population = population_of(FAR)
    for seed in range(10):
        view = population.view(0)
        action = assigned(DexPBT(inherit=inherit, explore=Unchanged()).decide(view, keys_of(view, seed)), 0)
        assert action is not None
        donated = population.owner(action.sources[0]).hyperparameters
        expected = donated if whose == "donor" else {**view.due.hyperparameters, "net.layers": donated["net.layers"]}
        assert action.hyperparameters == expected


def test_half_of_the_copies_inherit() -> None:
    population = population_of(FAR)
    inherited = 0
    for seed in range(400):
        view = population.view(0)
        action = assigned(DexPBT(explore=Unchanged()).decide(view, keys_of(view, seed)), 0)
        assert action is not None
        inherited += action.hyperparameters["lr"] != view.due.hyperparameters["lr"]
    assert 160 < inherited < 240  # four deviations of ten about 200


@pytest.mark.parametrize(("healthy", "acts"), [(4, False), (5, True)])
def test_with_half_of_the_population_nobody_is_replaced(healthy: int, acts: bool) -> None:
    scores = [*FAR[: healthy - 1], 100.0, *[math.nan] * (8 - healthy)]
    # Those that diverged are the worst, so more may be replaced here.
    population = population_of(scores)
    view = population.view(0)
    assert bool(DexPBT(worst=0.5).decide(view, keys_of(view)).actions) == acts


def test_two_members_are_never_replaced() -> None:
    population = Population([[0.0, 0.0], [9.0, 9.0]])
    view = population.view(0)
    assert DexPBT().decide(view, keys_of(view)).actions == ()


def test_shares_are_rounded_up_whatever_the_rounding() -> None:
    """0.28 * 25 is 7, which a float misses by a hair: with a gap that all clear, donors are the best 7."""
    population = Population([[0.0, float(member)] for member in range(25)])
    sources: set[str] = set()
    for seed in range(120):
        view = population.view(0)
        action = assigned(DexPBT(best=0.28).decide(view, keys_of(view, seed)), 0)
        assert action is not None
        sources.update(action.sources)
    assert sources == {f"{member}@2" for member in range(18, 25)}


def explored(rule: Stretch, space: Space, values: dict[str, Any], seed: int) -> dict[str, Any]:
    view = Population([[1.0]], space=space).view(0)
    return rule(view, values, keys_of(view, seed))


def test_a_factor_is_drawn_from_its_range_up_or_down() -> None:
    """0.9 on a one-minus scale moves its distance 0.1 to 1, by at most 1.2."""
    space = Space({"lr": Float(1e-6, 1.0, scale="log"), "gamma": Float(0.5, 0.999, scale="one_minus")})
    rule, ups = Stretch(probability=1.0), 0
    for seed in range(300):
        moved = explored(rule, space, {"lr": 1e-3, "gamma": 0.9}, seed)
        factor, distance = moved["lr"] / 1e-3, (1 - moved["gamma"]) / 0.1
        assert 1.1 - 1e-9 <= max(factor, 1 / factor) <= 1.5 + 1e-9
        assert 1.1 - 1e-9 <= max(distance, 1 / distance) <= 1.2 + 1e-9
        ups += factor > 1
    assert 110 < ups < 190  # four and a half deviations of 8.7 about 150


def test_each_hyperparameter_moves_with_its_probability() -> None:
    space = Space({"a": Float(1e-6, 1.0, scale="log"), "n": Int(1, 64), "c": Choice((1, 2, 4), ordered=True)})
    moved = [explored(Stretch(), space, {"a": 1e-3, "n": 8, "c": 2}, seed) for seed in range(2000)]
    for name, old in (("a", 1e-3), ("n", 8), ("c", 2)):
        share = sum(one[name] != old for one in moved) / len(moved)
        assert abs(share - 0.15) < 0.035  # four deviations of 0.008
    both = sum(one["a"] != 1e-3 and one["n"] != 8 for one in moved) / len(moved)
    assert both < 0.05  # 0.15 * 0.15, each by itself


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: DexPBT(worst=1.5), r"DexPBT: worst must lie in \[0, 1\], but got 1.5"),
        (lambda: DexPBT(best=0.0), "best must be above 0"),
        (lambda: DexPBT(every=0), "every must be at least 1"),
        (lambda: Stretch(probability=2.0), "Stretch: probability must lie"),
        (lambda: Stretch(factors=(1.5, 1.1)), "factors must be a range from 1 on, low first"),
        (lambda: Stretch(one_minus=(0.9, 1.1)), "one_minus must be a range from 1 on"),
        (lambda: Stretch(factors=1.5), "factors must be a range of two numbers"),  # type: ignore[arg-type]
    ],
)
def test_what_has_no_meaning_is_refused(make: Any, said: str) -> None:
    with pytest.raises((InvalidValue, InvalidType), match=said):
        make()


class TestDexPBT(StrategyContract):
    @pytest.fixture(
        params=[DexPBT(), DexPBT(worst=1.0, best=0.5, gap=Gap(deviations=0.0), explore=Stretch(probability=1.0))]
    )
    def strategy(self, request: Any) -> Any:
        return request.param


def test_the_space_of_the_contract_has_a_shaping_dimension() -> None:
    """What `test_a_copy_brings_hyperparameters_along_or_not` relies on."""
    assert SPACE.rebuild == {"net.layers"}
