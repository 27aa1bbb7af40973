"""The short examples of forms that came after PBT: each runs, small, and shows what its docstring says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import warren
from warren.testing.check import check

FOLDER = Path(__file__).parents[2] / "examples"


@pytest.fixture
def script(monkeypatch):
    def load(name):
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)  # as a script's own functions are found
        spec.loader.exec_module(module)
        return module

    return load


def sound(result):
    assert result.run.status == "done" and result.warnings == []
    assert check(result.store, result.states) == []
    return result


# -- evolving text ----------------------------------------------------------------------------------------------------


def test_text_is_scored_by_what_is_wanted(script):
    text = script("evolving_text")
    assert text.score("") == 0
    assert text.score(text.GOOD) == pytest.approx(1)
    # Seventeen words and sixteen pairs: two words that are there, one pair, and a word too many.
    assert (len(text.WANTED), text.score("first read banana")) == (17, pytest.approx((2 + 1 - 0.3) / 33))
    rng = np.random.default_rng(0)
    assert text.ask("", "drop a word", rng) == ""
    assert sorted(text.ask("a b", "swap two neighbours", rng).split()) == ["a", "b"]


def test_text_evolves(script):
    text = script("evolving_text")
    result = sound(text.evolve(population=6, intervals=12))
    best = result.best.state()["state"]["text"]
    assert isinstance(best, str) and text.score(best) == pytest.approx(result.best.score)
    first = max(row.score for row in result.intervals if row.interval == 1)
    assert result.best.score > first + 0.1
    assert any(row.origin == "exploit" for row in result.intervals)


def test_a_text_is_scored_once(script, monkeypatch):
    text, called = script("evolving_text"), {"ask": 0, "score": 0}

    def counted(name):
        plain = getattr(text, name)

        def call(*arguments):
            called[name] += 1
            return plain(*arguments)

        monkeypatch.setattr(text, name, call)

    counted("ask")
    counted("score")
    result = sound(text.evolve(population=4, intervals=5))
    assert result.cost.copies > 0
    assert called == {"ask": 4 * 5 * 20, "score": 4 * 5 * 20 + 4}  # and the empty text of each member
    for trained in result.final:
        kept = trained.state()["state"]
        assert kept["score"] == trained.score == pytest.approx(text.score(kept["text"]))


def test_texts_are_gone_on_with_from_a_store(script, tmp_path):
    text, store = script("evolving_text"), tmp_path / "text.db"
    first = {row.id: row.seconds for row in sound(text.evolve(population=3, intervals=2, store=store)).intervals}
    again = sound(text.evolve(population=3, intervals=4, store=store))
    assert len(first) == 6 and again.run.total == 12
    assert first.items() <= {row.id: row.seconds for row in again.intervals}.items()  # as they were, not once more


def test_without_selection_the_instruction_changes_too(script):
    text = script("evolving_text")
    result = sound(text.evolve(text.breeding("none"), population=4, intervals=10))
    assert result.cost.copies == 0
    told = [
        [row.hyperparameters["instruction"] for row in result.intervals if row.member == member] for member in range(4)
    ]
    assert all(len(set(some)) > 1 for some in told)


def test_the_explore_goes_by_what_gained(script):
    """A lineage on which only 'drop a word' gained: two times in three it is told again, and one time in three any."""
    text = script("evolving_text")

    class Row:
        def __init__(self, instruction, score):
            self.hyperparameters, self.score = {"instruction": instruction}, score

    class View:
        report = object()

        def lineage(self, row):  # newest first
            scores = (0.9, 0.5, 0.5, 0.5, 0.5)
            return [Row(name, score) for name, score in zip(("drop a word", *text.INSTRUCTIONS), scores, strict=True)]

    from warren.population import Keys

    given = [
        text.explore(View(), {"instruction": "add a word"}, Keys(seed=seed, member=0, interval=1))["instruction"]
        for seed in range(300)
    ]
    share = given.count("drop a word") / 300
    assert abs(share - (2 / 3 + 1 / 12)) < 0.1
    assert set(given) == set(text.INSTRUCTIONS)


# -- adapters ---------------------------------------------------------------------------------------------------------


def test_a_crossover_takes_pairs_whole(script):
    adapters = script("adapters")

    def parent(value):
        pairs = [{"a": np.full((2, 3), value), "b": np.full((4, 2), value)} for _ in range(40)]
        return {"state": {"adapters": pairs}}

    class Key:
        def numpy(self):
            return np.random.default_rng(0)

    child = adapters.layers([parent(0.0), parent(1.0)], {}, Key())["state"]["adapters"]
    assert all((pair["a"] == pair["b"][0, 0]).all() and (pair["b"] == pair["b"][0, 0]).all() for pair in child)
    assert 8 < sum(pair["a"][0, 0] for pair in child) < 32


def test_adapters_learn_and_cross(script):
    adapters = script("adapters")
    base = [weights.copy() for weights in adapters.BASE]
    result = sound(adapters.adapt(adapters.Crossed(), population=6, intervals=16))
    assert result.final[0].held_out < 0.5 * adapters.error(adapters.BASE, slice(500, 600))
    rows = {row.id: row for row in result.intervals}
    crossed = [row for row in result.intervals if len(row.parents) == 2]
    assert len(crossed) > 10
    for row in crossed:
        parents = [rows[one] for one in row.parents]
        assert parents[0].member != parents[1].member
        same = sorted(other.score for other in result.intervals if other.interval == parents[0].interval)
        assert all(parent.score <= same[2] for parent in parents)  # of the better half
    assert all((now == then).all() for now, then in zip(adapters.BASE, base, strict=True))
    kept = result.best.state()["state"]["adapters"]
    assert sum(array.size for pair in kept for array in pair.values()) < sum(weights.size for weights in base)


# -- spread rates -----------------------------------------------------------------------------------------------------


def test_replicas_are_spread_and_averaged(script):
    rates = script("spread_rates")
    result = sound(rates.spread(rates.hdet(), population=5, intervals=9))
    first = sorted(row.hyperparameters["lr"] for row in result.intervals if row.interval == 4)
    # Five places from 2/3 to 4/3 of the base, which the middle one has.
    np.testing.assert_allclose(np.array(first) / first[2], [4 / 6, 5 / 6, 1, 7 / 6, 8 / 6], rtol=1e-6)
    seventh = [row for row in result.intervals if row.interval == 7]
    assert all(len(row.parents) == 5 for row in seventh)  # the mean of all
    assert len(rates.rates(result)) == 9
    assert max(one.score for one in result.final) < 0.5 * rates.error(np.zeros(rates.SIZE))


# -- the anchor -------------------------------------------------------------------------------------------------------


def test_members_go_back_to_the_anchor(script):
    anchor = script("anchor")
    kept = sound(anchor.descend(anchor.Anchored(fraction=0.5), intervals=20, seed=2))
    lost = sound(anchor.descend(warren.PBT(exploit=anchor.Truncation(fraction=0.5)), intervals=20, seed=2))
    assert anchor.back_to_anchor(kept) > 0
    assert anchor.back_to_anchor(lost) == 0
    assert len(anchor.loss_of_best(kept)) == 20
    # No parent that was the anchor at its time was ever worse than an earlier one.
    rows = {row.id: row for row in kept.intervals}
    best = np.minimum.accumulate(anchor.loss_of_best(kept))
    donated = [
        (row.interval, rows[one].score) for row in kept.intervals for one in row.parents if row.origin == "exploit"
    ]
    assert any(score == best[interval - 2] for interval, score in donated)


# -- preprocessing ----------------------------------------------------------------------------------------------------


def test_settings_exist_where_their_preprocessor_is_chosen(script):
    pytest.importorskip("sklearn")
    table = script("preprocessing")
    result = sound(table.tune({**table.classifier, **table.prepared}, population=6, intervals=4))
    inside = {"robust": {"spread"}, "quantile": {"quantiles", "output"}, "power": {"method"}}
    for row in result.intervals:
        expected = inside.get(row.hyperparameters["scaler"], set()) | {"scaler", "lr", "alpha"}
        assert set(row.hyperparameters) == expected
    assert len({row.hyperparameters["scaler"] for row in result.intervals}) > 1
    alone = sound(table.tune(table.classifier, population=2, intervals=2))
    assert set(alone.final[0].hyperparameters) == {"lr", "alpha"}


def test_preprocessors_are_scikit_learns(script):
    pytest.importorskip("sklearn")
    table = script("preprocessing")
    rows = table.TABLE[table.TRAIN]
    cases = [("standard", {}), ("robust", {"spread": 25.0}), ("quantile", {"quantiles": 50, "output": "uniform"})]
    made = {kind: table.preprocessor(kind, tuple(values.items())).transform(rows) for kind, values in cases}
    np.testing.assert_allclose(made["standard"], (rows - rows.mean(0)) / rows.std(0), rtol=1e-6)
    quarters = np.percentile(rows, [25, 75], axis=0)
    np.testing.assert_allclose(made["robust"], (rows - np.median(rows, 0)) / (quarters[1] - quarters[0]), rtol=1e-6)
    assert made["quantile"].min() == 0 and made["quantile"].max() == 1
    np.testing.assert_array_equal(table.preprocessor("none", ()).transform(rows), rows)


# -- distillation -----------------------------------------------------------------------------------------------------


def test_a_student_comes_closer_to_its_teacher(script):
    distil = script("distil")
    rng = np.random.default_rng(0)
    teacher, student = distil.fresh(rng, 16), distil.fresh(rng, 8)
    teacher["out"] = rng.normal(size=(16, 1))
    x = rng.uniform(-1, 1, (200, 2))

    class Key:
        def numpy(self):
            return np.random.default_rng(1)

    before = np.mean((distil.outputs(student, x) - distil.outputs(teacher, x)) ** 2)
    kept = {name: array.copy() for name, array in teacher.items()}
    taught = distil.distil([teacher, student], {}, Key())
    assert np.mean((distil.outputs(taught, x) - distil.outputs(teacher, x)) ** 2) < 0.3 * before
    assert taught["in"].shape == (2, 8)
    assert all((kept[name] == teacher[name]).all() for name in kept)


def test_every_member_keeps_its_own_network(script, monkeypatch):
    distil = script("distil")
    stepped, taken = distil.stepped, []
    monkeypatch.setattr(distil, "stepped", lambda *arguments: (taken.append(1), stepped(*arguments))[1])
    result = sound(distil.teach(distil.Taught(), population=8, intervals=9))
    widths: dict[int, set[int]] = {}
    for row in result.intervals:
        widths.setdefault(row.member, set()).add(row.hyperparameters["width"])
    assert all(len(own) == 1 for own in widths.values()) and len(set.union(*widths.values())) > 1
    taught = [row for row in result.intervals if len(row.parents) == 2]
    # At two boundaries two of eight are taught: what that takes comes on top, as the docstring says.
    assert (len(taught), len(taken)) == (2 * 2, 8 * 9 * 30 + 2 * 2 * 200)
    rows = {row.id: row for row in result.intervals}
    for row in taught:
        donor, own = (rows[one] for one in row.parents)
        assert own.member == row.member and donor.score < own.score


def test_the_page_has_them_all():
    page = (FOLDER.parent / "docs" / "examples.md").read_text()
    there = {path.stem for path in FOLDER.glob("*.py")} - {"gpt", "gpt_warren"}
    assert {name for name in there if f"(../examples/{name}.py)" in page} == there
