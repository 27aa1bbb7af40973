from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from tests.strategies.gains import GainsContract

from warren.errors import InvalidType, InvalidValue
from warren.space import Choice, Float, Space
from warren.strategies import Strategy
from warren.strategies.bandit import Known, Trial
from warren.strategies.pb2 import PB2
from warren.strategies.pb2_mix import Exp3, PB2Mix, exploration, played, rewarded
from warren.testing.strategies import Population, StrategyContract, assigned, keys_of


class TestPB2Mix(StrategyContract):
    @pytest.fixture
    def strategy(self) -> Strategy:
        return PB2Mix()


class TestPB2MixWithGains(GainsContract):
    """The contract where there is something to learn."""

    @pytest.fixture
    def strategy(self) -> Strategy:
        return PB2Mix(restarts=1)


# -- EXP3.M by hand -----------------------------------------------------------------------------------------------


def test_plays_by_hand() -> None:
    """Two values, two plays, mixing 0.5, weights 3 and 1: 2 (0.5 * 3/4 + 0.5 / 2) = 1.25, and 0.75."""
    assert played(np.array([3.0, 1.0]), 2, 0.5) == pytest.approx([1.25, 0.75])


def test_no_value_is_played_twice_where_there_are_more_values_than_plays() -> None:
    """Three values, two plays, mixing 0.3, weights 8, 1, 1: (1/2 - 0.1) / 0.7 = 4/7 of the sum is the most.

    The cap a = 4/7 * 2 / (1 - 4/7) = 8/3 makes 8/3, 1, 1 of them, and 2 (0.7 * 4/7 + 0.1) = 1 of the first; the others
    2 (0.7 * 3/14 + 0.1) = 0.5 each.
    """
    assert played(np.array([8.0, 1.0, 1.0]), 2, 0.3) == pytest.approx([1.0, 0.5, 0.5])


@pytest.mark.parametrize("seed", range(20))
def test_plays_add_up(seed: int) -> None:
    """To the number of plays, at most 1 each where they are fewer than values, whatever the weights."""
    rng = np.random.default_rng(seed)
    weights = np.exp(10 * rng.normal(size=7))
    for plays in (1, 3, 6, 7, 20):
        count = played(weights, plays, 0.1)
        assert count.sum() == pytest.approx(plays)
        assert plays >= 7 or count.max() <= 1 + 1e-9


def test_a_round_by_hand() -> None:
    """Two values of weight 1/2, each played once, rewards 1 and 0, mixing 0.5: expected plays are 1 each.

    The estimates are 1 and 0, so the first grows by exp(2 * 0.5 / 2) = exp(0.5): of the sum it has
    1.6487213 / 2.6487213 = 0.6224593.
    """
    half = np.array([0.5, 0.5])
    after = rewarded(half, [0, 1], [1.0, 0.0], mixing=0.5, forgetting=0.0)
    assert after == pytest.approx([0.6224593, 0.3775407], abs=1e-7)


def test_forgetting_by_hand() -> None:
    """As above with f = 0.1: e * 0.1 / 2 * 1 = 0.1359141 is added to 0.5 exp(0.5) = 0.8243606 and to 0.5.

    Shares: 0.9602747 and 0.6359141 of 1.5961888, so 0.6016047.
    """
    after = rewarded(np.array([0.5, 0.5]), [0, 1], [1.0, 0.0], mixing=0.5, forgetting=0.1)
    assert after[0] == pytest.approx(0.6016047, abs=1e-6)


def test_a_reward_counts_more_where_a_play_was_rare() -> None:
    """Weights 3 and 1, as in `test_plays_by_hand`: rewards 1 are estimated as 1/1.25 = 0.8 and 1/0.75 = 4/3.

    Both grow by exp(0.5 x): the shares are 0.75 e^0.4 and 0.25 e^(2/3), 1.1188685 and 0.4869335, so 0.6967661.
    """
    after = rewarded(np.array([0.75, 0.25]), [0, 1], [1.0, 1.0], mixing=0.5, forgetting=0.0)
    assert after[0] == pytest.approx(0.6967661, abs=1e-6)


def test_a_capped_value_does_not_grow() -> None:
    """Weights 0.8, 0.1, 0.1 are capped (see above), and only the second, played once of 0.5 times, grows.

    The estimate is 2, its factor exp(2 * 0.3 / 3 * 2) = exp(0.4) = 1.4918247: 0.8 / 1.0491825 = 0.7624985.
    """
    after = rewarded(np.array([0.8, 0.1, 0.1]), [0, 1], [1.0, 1.0], mixing=0.3, forgetting=0.0)
    assert after[0] == pytest.approx(0.7624985, abs=1e-6)


def test_many_plays_do_not_overflow() -> None:
    after = rewarded(np.array([0.5, 0.5]), [0] * 5000, [1.0] * 5000, mixing=1.0, forgetting=0.0)
    assert np.isfinite(after).all()
    assert after[0] == pytest.approx(1.0)


def test_the_mixing_of_the_public_code() -> None:
    """0.2 for as many members as values; else sqrt(8 ln(8/4) / ((e - 1) * 4 * 100/10)) = 0.2840..."""
    assert exploration(4, 4, 100) == 0.2
    assert exploration(8, 4, 100) == pytest.approx(math.sqrt(8 * 0.69314718 / (1.71828183 * 40)))
    assert exploration(8, 4, 1) == 1.0


# -- which are drawn ----------------------------------------------------------------------------------------------


SPACE = Space({"h": Float(0.0, 1.0), "act": Choice(("a", "b", "c"))})


def gaining(gain: Any, *, members: int = 8, space: Space = SPACE) -> Population:
    """Ten intervals that gained what a function says of their hyperparameters."""
    rng = np.random.default_rng(0)
    fields = {}
    for interval in range(1, 11):
        for member in range(members):
            values, before = space.sample(rng), float(rng.random())
            fields[member, interval] = {"hyperparameters": values, "before": before, "score": before + gain(values)}
    return Population([[0.0] * 10] * members, space=space, fields=fields)


def chosen_by(strategy: Strategy, population: Population, seeds: int) -> list[dict[str, Any]]:
    """The hyperparameters of all who copy, over seeds."""
    found = []
    for seed in range(seeds):
        for member in range(len(population.scores)):
            view = population.view(member)
            action = assigned(strategy.decide(view, keys_of(view, seed)), member)
            if action is not None:
                found.append(action.hyperparameters)
    return found


def test_the_choice_that_gains_is_drawn_most() -> None:
    """Only "b" gains. Its share is at least the 0.8 that is not mixed, but for what is drawn by chance."""
    drawn = [values["act"] for values in chosen_by(PB2Mix(restarts=1), gaining(lambda v: float(v["act"] == "b")), 15)]
    assert drawn.count("b") >= 0.6 * len(drawn)
    assert len(set(drawn)) > 1, "the rest is drawn too"


def test_the_numbers_are_chosen_for_the_choice() -> None:
    """What is best depends on it: h = 0.2 with "a", 0.5 with "b", 0.8 with "c"."""
    best = {"a": 0.2, "b": 0.5, "c": 0.8}
    found = chosen_by(PB2Mix(), gaining(lambda v: -abs(v["h"] - best[v["act"]]), members=12), 4)
    wrong = [abs(values["h"] - best[values["act"]]) for values in found]
    assert np.median(wrong) < 0.1
    blind = chosen_by(PB2(), gaining(lambda v: -abs(v["h"] - best[v["act"]]), members=12), 4)
    assert np.median([abs(values["h"] - best[values["act"]]) for values in blind]) > np.median(wrong)


def test_without_choices_it_is_pb2() -> None:
    population = gaining(lambda v: -((v["h"] - 0.3) ** 2), space=Space({"h": Float(0.0, 1.0)}))
    assert chosen_by(PB2Mix(), population, 1) == chosen_by(PB2(), population, 1)


def test_true_is_not_one() -> None:
    """A choice of 1 and True: only True gains."""
    population = gaining(lambda v: float(v["act"] is True), space=Space({"act": Choice((1, True))}))
    drawn = [values["act"] for values in chosen_by(PB2Mix(), population, 10)]
    assert sum(value is True for value in drawn) > 0.6 * len(drawn)


def test_where_all_gain_alike_all_are_drawn_alike() -> None:
    """No reward, no change: of 300 draws each of three values has its 100, give or take five deviations of 8.2."""
    view = gaining(lambda v: 1.0).view(0)
    trials = [Trial(begun=0, before=0.0, hyperparameters={"act": value}) for value in ("a", "b", "c")]
    known = Known(trials=trials, gains=np.ones(3))
    rng = np.random.default_rng(0)
    drawn = [Exp3()(view, "act", "a", known, rng) for _ in range(300)]
    assert all(abs(drawn.count(value) - 100) < 41 for value in ("a", "b", "c"))


def test_a_name_that_is_no_choice() -> None:
    view = gaining(lambda v: 1.0).view(0)
    with pytest.raises(InvalidType, match="h must be a Choice"):
        Exp3()(view, "h", 0.5, Known(trials=(), gains=np.zeros(1)), np.random.default_rng(0))


@pytest.mark.parametrize("options", [{"mixing": 0.0}, {"mixing": 1.5}, {"forgetting": -0.1}])
def test_what_it_cannot_be_made_with(options: dict[str, float]) -> None:
    with pytest.raises(InvalidValue, match="must lie"):
        Exp3(**options)
    with pytest.raises(InvalidValue, match="PB2: fraction"):
        PB2Mix(fraction=0.7)
