"""The digits with wrong labels and renamed classes: what the study of selection stands on."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")

import warren
from warren.engines import Loaded, entry_of
from warren.strategies import PBT
from warren.values import dump
from warren.zoo.digits.data import digits
from warren.zoo.digits.mlp import space
from warren.zoo.digits.noisy import Shifting


def test_three_in_ten_labels_are_wrong_where_it_trains_and_selects_and_none_where_it_is_held_out() -> None:
    clean, parts = digits(5), Shifting(seed=5).parts(1)
    for ours, theirs in ((parts.train, clean.train), (parts.validation, clean.validation)):
        assert np.array_equal(ours.images, theirs.images)
        wrong = np.mean(ours.labels != theirs.labels)
        assert abs(wrong - 0.3) < 4 * np.sqrt(0.3 * 0.7 / len(ours.labels))
    assert np.array_equal(parts.test.labels, clean.test.labels)


def test_a_wrong_label_is_any_other_class() -> None:
    clean, noisy = digits(0).train.labels, Shifting(seed=0, noise=1.0).parts(1).train.labels
    assert np.all(noisy != clean)
    assert set((noisy - clean) % 10) == set(range(1, 10))


def test_classes_are_renamed_in_all_parts_from_two_intervals_on() -> None:
    task = Shifting(seed=1)
    before = task.parts(1)
    assert task.parts(8) is before
    names = []
    for first, last in ((9, 20), (21, 30)):
        after = task.parts(first)
        assert task.parts(last) is after
        # One new name for each class, the same in every part: what is wrong stays as wrong.
        new = {int(old): int(now) for old, now in zip(before.test.labels, after.test.labels, strict=True)}
        assert sorted(new) == sorted(new.values()) == list(range(10))
        for part in ("train", "validation", "test"):
            old, now = getattr(before, part), getattr(after, part)
            assert np.array_equal([new[int(label)] for label in old.labels], now.labels)
            assert np.array_equal(old.images, now.images)
        names.append(tuple(new[digit] for digit in range(10)))
    assert len({*names, tuple(range(10))}) == 3


def test_members_count_their_own_intervals_and_are_held_up_by_a_change() -> None:
    result = warren.run(
        Shifting(seed=0, noise=0.0, changes=(5,)).task(), space=space(), goal="min", held_out="test", population=4,
        intervals=5, strategy=PBT(explore="none"), initial=[{"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-5}] * 4,
    )  # fmt: skip
    tests = np.array([[row.metrics["test"] for row in result.intervals if row.interval == k] for k in range(1, 6)])
    assert tests[3].min() > 0.9  # of 10 classes
    assert tests[4].max() < tests[3].min()


def test_it_is_found_again_by_its_fields() -> None:
    task = Shifting(seed=3, noise=0.1).task()
    entry = entry_of(task)
    assert entry.name == "Shifting"
    assert dump(Loaded(entry).train()) == dump(task)
