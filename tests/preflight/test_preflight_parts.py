"""The parts of a check, each on its own."""

from __future__ import annotations

import functools
import itertools
import math
import random
import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tests.preflight import loops, sound_loops

import warren
from warren.errors import InvalidType, InvalidValue
from warren.preflight import Estimates
from warren.preflight.compare import differences
from warren.preflight.effects import comes_later, variants
from warren.preflight.evaluation import says_evaluation
from warren.preflight.findings import duration, size
from warren.preflight.hunt import _smallest
from warren.preflight.kinds import kind_of, mark, take
from warren.preflight.places import places, roots, write_local

# -- kinds ------------------------------------------------------------------------------------------------------------


def numbers() -> Iterator[int]:
    yield from range(10)


@pytest.mark.parametrize(
    ("make", "kind", "move"),
    [
        (lambda: np.random.default_rng(0), "generator", lambda it: it.normal()),
        (lambda: np.random.RandomState(0), "generator", lambda it: it.normal()),
        (lambda: random.Random(0), "generator", lambda it: it.random()),
        (lambda: np.zeros(3), "array", lambda it: it.fill(1.0)),
        (loops.Walk, "environment", lambda it: it.step(1.0)),
        (lambda: loops.Momentum(np.zeros(3)), "keeper", lambda it: it.step()),
        (lambda: {"a": [1.0], "b": deque([2])}, "container", lambda it: it["b"].append(3)),
        (lambda: sound_loops.Trainer(), "object", lambda it: setattr(it, "lr", 1.0)),
        (lambda: iter([1, 2, 3]), "iterator", next),
        (lambda: itertools.cycle([1, 2, 3]), "iterator", next),
        (numbers, "iterator", next),
        (lambda: enumerate(numbers()), "iterator", next),
    ],
)
def test_a_mark_changes_with_what_a_thing_holds_and_only_then(
    make: Callable[[], Any], kind: str, move: Callable[[Any], Any]
) -> None:
    one, other = make(), make()
    assert kind_of(one) == kind
    before = mark(one)
    if before is None:  # some Pythons do not tell where their iterators stand
        assert kind == "iterator"
        return
    assert before == mark(one) == mark(other)
    move(one)
    assert mark(one) not in (None, before)


@pytest.mark.parametrize("value", [math, loops, loops.Walk, max, loops.score, random.SystemRandom(), len])
def test_what_holds_no_state_has_no_kind(value: Any) -> None:
    assert kind_of(value) in (None, "object")
    assert kind_of(value) is None or isinstance(value, random.SystemRandom)


@pytest.mark.parametrize(
    ("make", "move"),
    [
        (lambda: np.random.default_rng(0), lambda it: it.normal()),
        (lambda: np.random.RandomState(0), lambda it: it.normal()),
        (lambda: random.Random(0), lambda it: it.random()),
        (lambda: np.zeros(3), lambda it: it.fill(1.0)),
        (loops.Walk, lambda it: it.step(1.0)),
        (lambda: loops.Momentum(np.zeros(3)), lambda it: it.step()),
    ],
)
def test_a_state_is_carried_into_another_thing_in_place(make: Callable[[], Any], move: Callable[[Any], Any]) -> None:
    one, other = make(), make()
    move(one)
    put = take(one)
    assert put is not None
    then = mark(one)
    move(one)  # what was taken is a copy

    def bind(value: Any) -> None:
        raise AssertionError("bound anew, where it can be changed in place")

    put(other, bind)
    if isinstance(other, loops.Momentum):
        assert np.any(other.velocity)
    else:
        assert mark(other) == then


def test_numbers_and_iterators_are_bound_anew() -> None:
    bound: list[Any] = []
    for value in (3, {"a": 1}, iter([1, 2])):
        put = take(value)
        assert put is not None
        put(None, bound.append)
    assert bound[:2] == [3, {"a": 1}] and list(bound[2]) == [1, 2]


def test_what_contains_itself_or_is_endless_has_a_mark_or_none() -> None:
    loop: list[Any] = [1]
    loop.append(loop)
    assert mark(loop) is not None
    assert mark(list(range(100_000))) is None


# -- places -----------------------------------------------------------------------------------------------------------


def test_a_variable_of_a_call_can_be_written() -> None:
    def inner() -> tuple[int, int]:
        plain, shared = 1, 1

        def other() -> int:
            return shared

        write()
        return plain, other()

    def write() -> None:
        frame = sys._getframe(1)
        write_local(frame, "plain", 2)
        write_local(frame, "shared", 3)

    assert inner() == (2, 3)


def test_places_are_found_in_variables_attributes_and_around() -> None:
    around = np.zeros(1)

    def train(agent: Any) -> Any:
        opt, mean, options = loops.Closed(np.zeros(2)), 0.5, {"inner": loops.Walk()}
        assert around.size and opt and mean and options
        return places(train, [sys._getframe()], {})

    found = {place.name: place for place in train(sound_loops.Trainer()).values()}
    assert {"opt.velocity", "opt.weights", "mean", "options['inner']", "around"} <= set(found)
    assert found["around"].scope == "global" and found["mean"].scope == "local"
    assert found["opt.velocity"].owner == "Closed" and found["opt.velocity"].root == "opt"
    found["opt.velocity"].bind("other")


def test_the_slot_and_its_member_are_no_place() -> None:
    seen: list[str] = []

    def train(slot: warren.Slot) -> None:
        for member in slot:
            member.state = {"x": 1.0}
            seen.extend(place.name for place in places(train, [sys._getframe()], {}).values())
            member.report(member["lr"])

    warren.check(train, space=loops.LR, goal="max")
    assert "seen" in seen and not [name for name in seen if name.startswith(("slot", "member"))]


def test_the_functions_behind_a_training_function_are_found() -> None:
    task = sound_loops.TASK
    assert [one.__name__ for one in roots(task)] == ["init", "train_interval", "evaluate"]
    assert next(roots(functools.partial(functools.partial(sound_loops.sound)))).__name__ == "sound"

    class Callable_:
        def __call__(self, slot: Any) -> None:
            pass

    assert next(roots(Callable_())).__name__ == next(roots(Callable_().__call__)).__name__ == "__call__"


# -- comparison and search --------------------------------------------------------------------------------------------


def test_differences_are_by_leaf_and_blind_to_order() -> None:
    one = {"a": np.ones(2), "b": [1, 2.0, float("nan")], "c": {"x": 1, "y": "s"}}
    same = {"c": {"y": "s", "x": 1}, "b": [1, 2.0, float("nan")], "a": np.ones(2)}
    assert list(differences(one, same)) == []
    other = {"a": np.array([1.0, 1.0 + 1e-9]), "b": [1, 3.0, float("nan")], "c": {"x": 1}, "d": 0}
    found = {path: apart for path, apart, _ in differences(one, other)}
    assert set(found) == {("a",), ("b", 1), ("c", "y"), ("d",)}
    assert 0 < found["a",] < 1e-8 and found["b", 1] == 0.2 and math.isinf(found["d",])
    assert math.isinf(next(differences(np.ones(2), np.ones(3)))[1])


@pytest.mark.parametrize("needed", [{"c"}, {"a", "f"}, {"b", "c", "e"}])
def test_a_smallest_set_of_culprits_is_found(needed: set[str]) -> None:
    tries = []

    def works(wanted: frozenset[str] | None) -> bool:
        tries.append(wanted)
        return wanted is None or needed <= wanted

    assert set(_smallest(list("abcdef"), works)) == needed
    assert len(tries) <= 14


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("evaluate", True),
        ("val_loss", True),
        ("computeScore", True),
        ("test_epoch", True),
        ("accuracy", True),
        ("train_and_evaluate", False),
        ("update_score", False),
        ("value", False),
        ("contest", False),
        ("step", False),
    ],
)
def test_names_that_say_evaluation(name: str, expected: bool) -> None:
    assert says_evaluation(name) is expected


def test_other_values_of_a_hyperparameter_stay_in_its_range_and_differ() -> None:
    rng = np.random.default_rng(0)
    assert variants(warren.Float(0.1, 1.0), 0.5, rng) == [0.625, 1.0, 0.1]
    assert variants(warren.Float(0.0, 1.0), 0.0, rng) == [1.0]
    assert variants(warren.Int(1, 9), 9, rng)[-1] == 1
    assert variants(warren.Choice(["a", "b", "c"]), "b", rng) == ["a", "c"]
    assert variants(warren.Choice([1, True]), 1, rng) == [True]
    assert variants(warren.Float(0.5, 0.5), 0.5, rng) == []


def test_names_that_say_later() -> None:
    assert comes_later("grad_clip") and comes_later("warmup_steps")
    assert not comes_later("lr") and not comes_later("weight_decay")


# -- what it says -----------------------------------------------------------------------------------------------------


def test_estimates_are_those_of_the_whole_run() -> None:
    one = Estimates(
        first=3.0, interval=2.0, population=8, intervals=10, workers=4, checkpoint=10**6, checkpoints=33, free=10**7,
        memory=5 * 10**8, gpu=None,
    )  # fmt: skip
    assert one.seconds == 40.0 and one.disk == 33 * 10**6 and one.short
    assert list(one.lines()) == [
        "an interval     2 s (the first 3 s)",
        "the whole run   40 s (8 members x 10 intervals, 4 workers)",
        "a checkpoint    1 MB",
        "disk at most    33 MB (33 checkpoints, but only 10 MB are free)",
        "memory          500 MB a worker, 2 GB in all",
    ]


def test_the_check_measures_what_it_estimates() -> None:
    findings = warren.check(
        sound_loops.sound, space=loops.SPACE, goal="max", population=8, intervals=10, workers=4, store="runs/x.db"
    )
    one = findings.estimates
    assert one is not None
    assert one.interval > 0 and one.first > 0 and one.checkpoint > 100 and one.memory > 10**7
    assert one.checkpoints == 2 * 8 + 4 * 4 + 1 and one.free is not None and one.free > 10**6 and not one.short


def test_a_long_check_says_how_long_it_will_take(monkeypatch: pytest.MonkeyPatch) -> None:
    from warren.runs import preflight

    now = itertools.count()
    monkeypatch.setattr(preflight.time, "perf_counter", lambda: float(next(now)))
    said: list[str] = []
    warren.check(sound_loops.sound, space=loops.SPACE, goal="max", tell=said.append)
    assert said == ["an interval takes 1 s; the check about 8 s"]
    said.clear()
    warren.check(loops.average_local, space=loops.LR, goal="max", tell=said.append)
    assert said[1:] == ["a move changes the training; looking for what is lost, in at most 28 s"]


def test_times_and_sizes_are_as_people_say_them() -> None:
    assert [duration(s) for s in (1e-5, 0.25, 61.0, 600.0, 9000.0, 4e5)] == [
        "less than 1 ms", "250 ms", "61 s", "10 min", "2.5 h", "4.6 days",
    ]  # fmt: skip
    assert [size(n) for n in (12, 1500, 2.5e7, 123e9)] == ["12 bytes", "1.5 KB", "25 MB", "123 GB"]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"goal": "most"}, InvalidValue, "goal must be 'max' or 'min'"),
        ({"population": 0}, InvalidValue, "population must be at least 1"),
        ({"workers": 0}, InvalidValue, "workers must be at least 1"),
        ({"tell": 3}, InvalidType, "tell must be a function"),
        ({"initial": [{"rate": 1.0}]}, warren.WarrenError, "initial[0]"),
    ],
)
def test_a_wrong_request_is_refused(arguments: dict[str, Any], error: type, words: str) -> None:
    with pytest.raises(error) as caught:
        warren.check(sound_loops.sound, **{"space": loops.SPACE, "goal": "max", **arguments})
    assert words in str(caught.value) and "\n" not in str(caught.value)
