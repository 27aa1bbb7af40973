from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

import torch

import warren
from warren.population import Keys
from warren.strategies import PBT, Perturb, Truncation
from warren.training import Rng
from warren.zoo.gan.data import Images, images
from warren.zoo.gan.judge import judge
from warren.zoo.gan.nets import sampled
from warren.zoo.gan.presets import PRESETS
from warren.zoo.gan.sheets import grid, sections
from warren.zoo.gan.train import Gan, space

TINY = Gan(width=4, latent=8, batch=16, steps=2, samples=100, judge_width=8, judge_passes=4)
RATES = {"discriminator_lr": 2e-3, "generator_lr": 3e-3}


def run(task=TINY, **more):
    options = {"space": space(), "goal": "max", "population": 2, "intervals": 2, "held_out": "distance", "seed": 1}
    return warren.run(task, **{**options, **more})


@pytest.fixture(scope="module")
def result():
    """Two members, the worse of which takes over the better one after each interval, without another draw."""
    return run(strategy=PBT(exploit=Truncation(fraction=0.5), explore="none"), intervals=3)


# -- the judge ----------------------------------------------------------------------------------------------------


def test_the_judge_knows_the_digits():
    found = Gan().judge()
    assert found.accuracy > 0.97
    assert 9 < found.real_score <= 10
    noise = torch.rand(500, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert found.score(noise) < 0.6 * found.real_score
    assert found.distance(noise) > 50 * found.real_distance


def test_the_judge_measures_what_real_images_come_to():
    found, test = TINY.judge(), torch.from_numpy(images("digits").test)
    assert found.score(test) == pytest.approx(found.real_score)
    assert found.distance(test) == pytest.approx(0.0, abs=1e-6)
    probabilities, features = found.read(test)
    assert probabilities.shape == (360, 10) and features.shape == (360, TINY.judge_features)
    assert np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-12)


def test_the_judge_is_the_same_in_every_process_and_leaves_the_generators_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    made = judge.__wrapped__("digits", width=8, passes=1)
    assert torch.equal(torch.rand(3), expected)
    again = judge.__wrapped__("digits", width=8, passes=1)
    for name, value in made.classifier.state_dict().items():
        assert torch.equal(value, again.classifier.state_dict()[name])
    assert made.real_distance == again.real_distance
    assert not made.classifier.training


# -- the training -------------------------------------------------------------------------------------------------


def test_five_steps_of_the_discriminator_to_one_of_the_generator(result):
    state = result.best.state()
    counts = {}
    for name in ("discriminator", "generator"):
        taken = {int(part["step"]) for part in state[f"{name}_optimizer"]["state"].values()}
        assert len(taken) == 1
        counts[name] = taken.pop()
    age = result.best.age
    assert counts == {"discriminator": 5 * TINY.steps * age, "generator": TINY.steps * age}


def test_the_two_learning_rates_arrive_apart():
    found = run(population=1, intervals=1, initial=[RATES])
    state = found.best.state()
    for name, rate in RATES.items():
        groups = state[name.replace("lr", "optimizer")]["param_groups"]
        assert (
            [group["lr"] for group in groups.values()] == [rate]
            if isinstance(groups, dict)
            else [group["lr"] for group in groups] == [rate]
        )
    assert not found.warnings


def test_a_rate_of_the_discriminator_moves_the_discriminator():
    """The smallest rates leave a network about where it was drawn; here one of the two at a time."""

    def moved(**rates):
        task = replace(TINY, steps=4)
        start = run(task, population=1, intervals=1, initial=[{"discriminator_lr": 1e-5, "generator_lr": 1e-5}])
        end = run(task, population=1, intervals=1, initial=[{"discriminator_lr": 1e-5, "generator_lr": 1e-5, **rates}])
        one, other = start.best.state(), end.best.state()
        return {
            name: max(
                float(np.abs(np.asarray(one[name][key]) - np.asarray(other[name][key])).max())
                for key in one[name]
                if key.endswith("weight")
            )
            for name in ("discriminator", "generator")
        }

    discriminator, generator = moved(discriminator_lr=1e-2), moved(generator_lr=1e-2)
    assert discriminator["discriminator"] > 0.02 and discriminator["generator"] < 0.001
    assert generator["generator"] > 0.02 and generator["discriminator"] < 0.001


def test_two_copies_of_one_checkpoint_are_no_twins(result):
    copies = [row for row in result.intervals if row.origin == "exploit"]
    assert copies
    for copy in copies:
        (twin,) = [row for row in result.intervals if row.parents == copy.parents and row.id != copy.id]
        assert twin.hyperparameters == copy.hyperparameters
        assert twin.score != copy.score and twin.metrics["distance"] != copy.metrics["distance"]
    states = [trained.state()["generator"] for trained in result.final]
    assert any(not np.array_equal(states[0][name], states[1][name]) for name in states[0])


def test_sheets_follow_the_lineage(result):
    best = result.best
    state = best.state()
    assert state["ages"].tolist() == [*range(1, best.age + 1), *[0] * (8 - best.age)]
    generator = TINY.generator()
    best.load(generator=generator)
    newest = state["sheets"][best.age - 1]
    assert newest.shape == (35, 35, 1)
    assert np.array_equal(newest, grid(sampled(generator, TINY.sheet_noise()).numpy()))
    # Two that have a parent in common have its sheet in common, and not their own.
    copy = next(row for row in result.intervals if row.origin == "exploit" and row.interval == 3)
    one, other = (trained.state()["sheets"] for trained in result.final)
    assert {trained.age for trained in result.final} == {3} and copy.age == 3
    assert np.array_equal(one[:2], other[:2]) and not np.array_equal(one[2], other[2])


def test_the_report_has_a_sheet_for_each_kept_age_and_each_member(result):
    lineage, final = sections(result)
    assert [picture.caption for picture in lineage.pictures] == [f"age {age}" for age in range(1, result.best.age + 1)]
    assert [picture.caption.split(",")[0] for picture in final.pictures] == [
        f"member {trained.member}" for trained in result.final
    ]
    assert all(picture.pixels.shape == (35, 35, 1) for picture in [*lineage.pictures, *final.pictures])


def test_scores_come_from_keyed_noise(result):
    best = result.best
    generator = TINY.generator()
    best.load(generator=generator)
    keys = Keys(seed=1, member=best.member, interval=best.interval, attempt=0)
    noise = {
        purpose: TINY.noise(TINY.samples, Rng(keys, f"user/{purpose}").torch()) for purpose in ("score", "distance")
    }
    assert TINY.judge().score(sampled(generator, noise["score"])) == pytest.approx(best.score)
    assert TINY.judge().distance(sampled(generator, noise["distance"])) == pytest.approx(best.held_out)


def test_it_learns():
    task = replace(TINY, width=8, batch=32, steps=60, samples=500)
    best = run(task, population=1, intervals=1, initial=[RATES]).best
    torch.manual_seed(0)
    noise = task.noise(500, torch.Generator().manual_seed(0))
    untrained = task.judge().distance(sampled(task.generator(), noise))
    assert best.held_out < 0.6 * untrained
    assert best.score > 1.5


def test_the_loop_passes_the_pre_flight():
    findings = warren.check(TINY, space=space(), goal="max", population=2, intervals=2, held_out="distance", seed=0)
    assert findings.ok, str(findings)


def test_a_lineage_trains_again_to_the_same_digest(tmp_path):
    store = tmp_path / "gan.db"
    found = run(store=store, intervals=3, workers=1)
    again = warren.retrace(store)
    assert all(step.same for step in again.steps)
    assert again.digest == found.best.digest


# -- the presets --------------------------------------------------------------------------------------------------


def test_the_papers_setting_is_the_papers():
    paper = PRESETS["paper"]()
    gan = paper.make(3)
    assert (gan.data, gan.split, gan.steps, gan.discriminator_steps) == ("cifar10", 3, 5000, 5)
    assert paper.population == 45
    assert paper.strategy == PBT(exploit="truncation", explore=Perturb(factors=(0.5, 2.0)))
    assert set(paper.space) == {"discriminator_lr", "generator_lr"}
    assert all(dimension.scale == "log" for dimension in paper.space.values())


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_keep_the_distance_from_selection(name):
    workload = PRESETS[name]("digits")
    assert (workload.goal, workload.held_out, workload.held_out_goal) == ("max", "distance", "min")
    assert set(workload.usual) == set(workload.space)
    assert "digits" in workload.name and "digits" in workload.told


def test_the_papers_networks_train(monkeypatch):
    rng = np.random.default_rng(0)

    def part(n):
        return rng.uniform(-1, 1, (n, 3, 32, 32)).astype(np.float32), np.arange(n) % 10

    (train, train_labels), (test, test_labels) = part(150), part(40)
    stand_in = Images(train=train, train_labels=train_labels, test=test, test_labels=test_labels)
    for module in ("train", "judge"):
        monkeypatch.setattr(f"warren.zoo.gan.{module}.images", lambda data, split=0: stand_in)
    paper = PRESETS["paper"]()
    task = replace(paper.make(0), steps=1, batch=8, samples=20, judge_passes=1)  # else as published
    found = run(task, strategy=paper.strategy, population=1, intervals=1)
    judge.cache_clear()  # one of noise
    assert found.best.score >= 1 and np.isfinite(found.best.held_out)
    assert found.best.state()["sheets"].shape == (8, 131, 131, 3)
