"""Faults that were planted into training loops, and what the check says of them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from tests.preflight import loops, sound_loops

import warren
from warren.preflight import Finding, Findings

CLIP = {**loops.LR, "clip": warren.Float(1e6, 1e9, scale="log")}
WIDTH = {**loops.LR, "width": warren.Choice([4, 8, 16], rebuild=True)}


def found(train: Any, space: Any = loops.LR, **more: Any) -> Findings:
    arguments = {"goal": "max", "population": 4, "intervals": 6, "workers": 1, "tell": lambda line: None, **more}
    return warren.check(train, space=space, **arguments)


def only(findings: Findings, kind: str, subject: str, level: str = "fault") -> Finding:
    assert [(one.level, one.kind, one.subject) for one in findings.all] == [(level, kind, subject)], str(findings)
    (one,) = findings.all
    assert "\n" not in one.message and "\n" not in one.remedy
    assert findings.ok == (level == "note")
    return one


# -- state that is not tracked ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "space", "subject", "what", "remedy"),
    [
        (loops.optimizer_untracked, loops.SPACE, "opt", "Momentum 'opt'", "write slot.track(opt=opt)"),
        (loops.optimizer_closed, loops.SPACE, "opt.velocity", "array 'opt.velocity'", "give Closed state_dict()"),
        (loops.array_untracked, loops.SPACE, "velocity", "array 'velocity'", "slot.track(velocity=velocity)"),
        (loops.average_local, loops.LR, "ema", "variable 'ema'", "keep ema in member.state, or in a tracked array"),
        (loops.mean_local, loops.LR, "mean", "variable 'mean'", "keep mean in member.state"),
        (loops.generator_seeded, loops.LR, "rng", "generator 'rng'", "slot.track(rng=rng), or draw from member.rng"),
        (loops.data_keeps_its_place, loops.LR, "data", "iterator 'data'", "make data anew in each pass"),
        (loops.environment_survives, loops.NOISE, "walk", "environment 'walk'", 'if member.arrival != "same": walk.'),
        (loops.array_rebound, loops.LR, "weights", "'weights' is tracked", "weights[...] = ..."),
        (loops.state_lossy, loops.SPACE, "opt.velocity", "'opt.velocity' is not in the state", "state_dict() of Lossy"),
    ],
)
def test_what_a_move_loses_is_named_with_its_remedy(
    train: Any, space: Any, subject: str, what: str, remedy: str
) -> None:
    one = only(found(train, space), "lost", subject)
    assert one.message.startswith(what) and remedy in one.remedy
    assert re.search(
        r"after a move to a fresh slot, interval 2 came out otherwise \(.*score \S+ -> \S+\)$", one.message
    )


def test_what_cannot_be_carried_along_is_named_as_a_suspect() -> None:
    one = only(found(loops.environment_cannot_be_carried, loops.NOISE), "lost", "")
    assert one.message.startswith("something keeps state that is not tracked (perhaps 'walk'): after a move")


class Heavy(loops.Walk):
    """Counts its copies."""

    copies = 0

    def __init__(self) -> None:
        self.inside = self

    def __deepcopy__(self, memo: dict[int, Any]) -> Heavy:
        Heavy.copies += 1
        return self


def test_what_an_interval_does_not_change_is_not_copied() -> None:
    def train(slot: warren.Slot) -> None:
        weights, velocity, data = np.zeros(3), np.zeros(3), Heavy()
        slot.track(weights=weights)
        for member in slot:
            velocity = 0.9 * velocity - member["lr"] * loops.gradient(weights)
            weights += velocity * (data is not None)
            member.report(loops.score(weights))

    Heavy.copies = 0
    only(found(train), "lost", "velocity")
    assert Heavy.copies == 0


def test_a_generator_inside_an_object_of_a_library_is_found() -> None:
    class Loader:
        def __init__(self, seed: int) -> None:
            self.generator = np.random.default_rng(seed)

    Loader.__module__ = "json"

    def train(slot: warren.Slot) -> None:
        weights, loader = np.zeros(3), Loader(slot.seed)
        slot.track(weights=weights)
        for member in slot:
            weights -= member["lr"] * loader.generator.normal(size=3)
            member.report(loops.score(weights))

    one = only(found(train), "lost", "loader.generator")
    assert one.remedy == "write slot.track(generator=loader.generator), or draw from member.rng"


def test_two_who_lose_their_state_are_both_named() -> None:
    findings = found(loops.two_untracked, loops.SPACE)
    assert [one.subject for one in findings.faults] == ["opt", "mean"]


def test_the_part_that_differs_is_named() -> None:
    (one,) = found(loops.optimizer_untracked, loops.SPACE).faults
    assert "(state of weights differs, score " in one.message


def test_a_load_that_gives_another_state_is_found() -> None:
    one = only(found(loops.state_deaf, loops.SPACE), "round trip", "opt")
    assert "opt.velocity is another one" in one.message and "load_state_dict() of Deaf" in one.remedy


def test_what_survives_a_switch_of_members_is_found() -> None:
    findings = found(loops.first_lr_stays)
    assert {(one.kind, one.subject) for one in findings.faults} == {("no effect", "lr"), ("survives", "lr")}
    survives = next(one for one in findings.faults if one.kind == "survives")
    assert "in a slot that had another member before" in survives.message
    assert survives.remedy == "set lr anew in each pass"


def test_what_survives_is_found_in_objects_that_have_a_shape() -> None:
    def train(slot: warren.Slot) -> None:
        weights, lr = np.zeros(slot["width"]), None
        slot.track(weights=weights)
        for member in slot:
            lr = member["lr"] if lr is None else lr
            weights -= lr * loops.gradient(weights)
            member.report(loops.score(weights))

    assert ("survives", "lr") in {(one.kind, one.subject) for one in found(train, WIDTH, population=2, seed=0).faults}


# -- equal starts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "subject", "words"),
    [
        (loops.generator_unseeded, "rng", "generator 'rng' (local) is made without a seed"),
        (loops.generator_global, "SHARED", "generator 'SHARED' (of the file) goes on from where"),
        (loops.count_global, "COUNTS", "variable 'COUNTS' (of the file) goes on from where"),
        (loops.built_outside, "WEIGHTS", "array 'WEIGHTS' (of the file) goes on from where"),
        (loops.data_global, "STREAM", "iterator 'STREAM' (of the file) goes on from where"),
        (loops.start_unseeded, "", "from the first state on"),
        (loops.object_unseeded, "", "from the first state on"),
    ],
)
def test_equal_starts_that_differ_are_found(train: Any, subject: str, words: str) -> None:
    one = only(found(train), "unseeded", subject)
    assert words in one.message and "two equal starts of member 0 differ" in one.message
    assert "member.rng" in one.remedy or "track it" in one.remedy


def test_an_environment_of_the_file_is_found() -> None:
    one = only(found(loops.environment_global, loops.NOISE), "unseeded", "WALK")
    assert one.message.startswith("environment 'WALK' (of the file)") and one.remedy.endswith("WALK.reset()")


def test_a_generator_of_the_function_around_is_found() -> None:
    rng = np.random.default_rng(0)

    def train(slot: warren.Slot) -> None:
        weights = np.zeros(3)
        slot.track(weights=weights)
        for member in slot:
            weights -= member["lr"] * rng.normal(size=3)
            member.report(loops.score(weights))

    only(found(train), "unseeded", "rng")


def test_arithmetic_that_is_not_repeatable_is_a_note_and_hides_no_fault() -> None:
    one = only(found(sound_loops.inexact), "unseeded", "", level="note")
    assert "arithmetic" in one.message

    def with_velocity(slot: warren.Slot) -> None:
        weights, velocity = np.zeros(3), np.zeros(3)
        slot.track(weights=weights)
        for member in slot:
            for _ in range(5):
                velocity = 0.9 * velocity - member["lr"] * loops.gradient(weights)
                weights += velocity * (1 + 1e-12 * np.random.default_rng().integers(1000))
            member.report(loops.score(weights))

    findings = found(with_velocity)
    assert [(one.level, one.subject) for one in findings.all] == [("fault", "velocity"), ("note", "")]


# -- hyperparameters --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("train", "space", "name"),
    [
        (loops.never_applied, loops.SPACE, "momentum"),
        (loops.schedule_overwrites, loops.LR, "lr"),
        (loops.only_remembered, loops.LR, "lr"),
        (loops.shape_ignored, WIDTH, "width"),
    ],
)
def test_a_hyperparameter_that_is_never_applied_is_found(train: Any, space: Any, name: str) -> None:
    one = only(found(train, space), "no effect", name)
    assert "gave the same state and score" in one.message and f"member[{name!r}]" in one.remedy


def test_a_hyperparameter_that_is_never_read_is_found_once() -> None:
    one = only(found(loops.never_read, loops.SPACE), "hyperparameter", "momentum")
    assert "was never read" in one.message and "member['momentum']" in one.remedy


def test_a_limit_that_is_not_reached_is_a_note() -> None:
    only(found(sound_loops.clipped, CLIP), "no effect", "clip", level="note")


# -- evaluation and scores --------------------------------------------------------------------------------------------


def test_evaluation_that_trains_is_found() -> None:
    one = only(found(loops.evaluation_trains), "evaluation", "validate")
    assert one.message == "validate() changes 'weights': evaluation trains"


def test_evaluation_of_a_task_that_changes_the_state_is_found() -> None:
    one = only(found(loops.TASK_THAT_TRAINS), "evaluation", "evaluate_and_train")
    assert "changes the state" in one.message


def test_a_score_that_is_not_finite_is_found() -> None:
    assert "each of 4 members reported a score that is not finite" in only(found(loops.score_nan), "score", "").message
    assert found(loops.score_nan).estimates is None


def test_a_member_that_diverges_in_its_second_interval_is_not_the_one_that_is_compared() -> None:
    def train(slot: warren.Slot) -> None:
        weights = np.zeros(3)
        slot.track(weights=weights)
        for member in slot:
            weights -= member["lr"] * loops.gradient(weights)
            member.report(float("nan") if (member.id, member.budget) == (0, 1) else loops.score(weights))

    assert only(found(train), "score", "", level="note").message.startswith("member 0 diverged")


def test_a_member_that_diverges_beside_others_that_do_not_is_a_note() -> None:
    findings = found(sound_loops.sometimes_diverges)
    assert only(findings, "score", "", level="note").message.startswith("member 0 diverged")
    assert findings.estimates is not None


# -- mistakes ---------------------------------------------------------------------------------------------------------


def test_an_exception_is_one_line_with_its_place_and_a_traceback() -> None:
    one = only(found(loops.raises), "raised", "")
    assert re.search(r"loops\.py:\d+: interval 2 of member 0 raised ValueError: boo$", one.message)
    assert one.detail.startswith("Traceback") and one.detail.endswith("ValueError: boo\n")
    assert "preflight/trials.py" not in one.detail


def test_a_mistake_with_the_slot_is_a_fault() -> None:
    one = only(found(loops.no_report), "loop", "")
    assert "did not report in interval 1" in one.message and re.search(r"loops\.py:\d+: ", one.message)
    assert (
        "is not among the reported metrics"
        in only(found(sound_loops.sound, loops.SPACE, held_out="x"), "loop", "").message
    )


def test_what_was_found_before_an_exception_is_kept() -> None:
    def train(slot: warren.Slot) -> None:
        weights, velocity = np.zeros(3), np.zeros(3)
        slot.track(weights=weights)
        for member in slot:
            if member.id == 1:
                raise ValueError("only the other member")
            velocity = 0.9 * velocity - member["lr"] * loops.gradient(weights)
            weights += velocity
            member.report(loops.score(weights))

    assert [one.kind for one in found(train).faults] == ["lost", "raised"]
