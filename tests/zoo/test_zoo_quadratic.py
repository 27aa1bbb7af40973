from __future__ import annotations

import pickle

import numpy as np
import pytest

import warren
from warren.population import Keys
from warren.strategies import RandomSearch
from warren.training import Rng
from warren.zoo.toy.quadratic import Regimes, resampling, run_regimes


def rng(interval: int = 1) -> Rng:
    return Rng(Keys(seed=0, member=0, interval=interval), "test")


def test_the_optimum_jumps_twice_within_the_stretch():
    for seed in range(200):
        regimes = Regimes(seed=seed)
        centres = [tuple(regimes.centre(interval)) for interval in range(1, 61)]
        moved = [interval for interval in range(2, 61) if centres[interval - 1] != centres[interval - 2]]
        assert moved == regimes.jumps.tolist()
        assert len(moved) == 2 and moved[0] >= 8 and moved[1] <= 47
        assert not np.any(regimes.centre(1))
    starts = {tuple(Regimes(seed=seed).jumps.tolist()) for seed in range(200)}
    assert len(starts) > 150
    drawn = np.array([Regimes(seed=seed).centres[1:] for seed in range(200)])
    assert np.std(drawn) == pytest.approx(3.0, rel=0.05)  # N(0, 9)


def test_without_noise_a_step_is_gradient_descent():
    regimes = Regimes(seed=0, steps=1)
    state = regimes.init(5, {"lr": 0.1})
    # The noise is known: its generator begins anew with the same key.
    noise = np.sqrt(regimes.curvature) * rng().numpy().standard_normal((1, 20))[0]
    after = regimes.train_interval(state, {"lr": 0.1}, rng())
    assert np.allclose(after["theta"], state["theta"] - 0.1 * (regimes.curvature * state["theta"] + noise))
    assert int(after["interval"]) == 1
    assert int(state["interval"]) == 0  # states are values


def test_the_observed_loss_is_off_by_about_a_tenth():
    regimes = Regimes(seed=0)
    state = regimes.init(5, {})
    seen = [regimes.evaluate(state, rng(i)) for i in range(400)]
    true = 0.5 * float(np.sum(np.logspace(-1, 0, 20) * state["theta"] ** 2))
    assert all(metrics["loss"] == pytest.approx(true) for _, metrics in seen)
    ratios = np.log([score / true for score, _ in seen])
    assert np.std(ratios) == pytest.approx(0.1, rel=0.15)


def test_the_loss_at_rest_is_what_theory_says():
    # theta' = (1 - lr a) theta + lr sqrt(a) n has the variance lr / (2 - lr a), so the mean loss is the sum of
    # a lr / (2 - lr a) / 2.
    regimes, lr = Regimes(seed=0, steps=4000, first=90, last=99), 0.2
    state = regimes.init(5, {})
    losses = []
    for interval in range(1, 40):
        state = regimes.train_interval(state, {"lr": lr}, rng(interval))
        losses.append(regimes.evaluate(state, rng(interval))[1]["loss"])
    a = regimes.curvature
    assert np.mean(losses[2:]) == pytest.approx(0.5 * np.sum(a * lr / (2 - lr * a)), rel=0.2)


def test_the_task_travels():
    task = pickle.loads(pickle.dumps(Regimes(seed=4).task()))
    assert np.array_equal(task.init(1, {})["theta"], Regimes(seed=4).init(1, {})["theta"])
    assert Regimes(seed=4) == Regimes(seed=4) != Regimes(seed=5)


def test_processes_train_it_as_one_process_does(tmp_path):
    results = [
        warren.run(
            Regimes(seed=1, intervals=4).task(),
            space={"lr": warren.Float(1e-3, 1.0, scale="log")},
            goal="min",
            population=4,
            intervals=4,
            strategy=resampling(),
            synchronous=True,
            workers=workers,
            store=tmp_path / f"{workers}.db",
        )
        for workers in (1, 2)
    ]
    assert results[0].digest == results[1].digest


def test_pbt_with_resampling_beats_random_search():
    seeds = range(8)
    pbt = np.array([run_regimes(seed, resampling()) for seed in seeds])
    control = np.array([run_regimes(seed, RandomSearch()) for seed in seeds])
    assert np.exp(np.mean(np.log(pbt / control))) <= 0.4
    assert np.mean(pbt < control) >= 0.9
