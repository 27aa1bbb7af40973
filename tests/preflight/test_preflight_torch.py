"""The same faults as they look in PyTorch."""

from __future__ import annotations

from typing import Any

import pytest
from tests.preflight.test_preflight_faults import found, only

pytest.importorskip("torch")

from tests.preflight import torch_loops as loops


@pytest.mark.parametrize("train", [loops.sound, loops.teacher])
def test_a_sound_loop_has_no_finding(train: Any) -> None:
    assert found(train, loops.LR).all == ()


@pytest.mark.parametrize(
    ("train", "subject", "what", "remedy"),
    [
        (loops.optimizer_untracked, "opt", "optimizer 'opt'", "write slot.track(opt=opt)"),
        (loops.scheduler_untracked, "scheduler", "scheduler 'scheduler'", "write slot.track(scheduler=scheduler)"),
        (loops.average_untracked, "ema", "module 'ema'", "write slot.track(ema=ema)"),
        (loops.generator_seeded, "order", "generator 'order'", "slot.track(order=order), or draw from member.rng"),
        (loops.data_keeps_its_place, "batches", "iterator 'batches'", "make batches anew in each pass"),
        (loops.state_lossy, "net.seen", "'net.seen' is not in the state that 'net' gives", "state_dict() of Counting"),
    ],
)
def test_what_a_move_loses_is_named_with_its_remedy(train: Any, subject: str, what: str, remedy: str) -> None:
    one = only(found(train, loops.LR), "lost", subject)
    assert one.message.startswith(what) and remedy in one.remedy


def test_a_generator_of_the_file_is_found() -> None:
    assert "torch.Generator()" in only(found(loops.generator_global, loops.LR), "unseeded", "ORDER").remedy


def test_a_scheduler_that_overwrites_the_learning_rate_is_found_once() -> None:
    one = only(found(loops.schedule_overwrites, loops.LR), "hyperparameter", "lr")
    assert "scheduler 'scheduler' overwrites hyperparameter 'lr'" in one.message
    assert one.remedy == "write slot.bind(opt, lr='lr', scheduler=scheduler)"


def test_a_learning_rate_that_does_not_reach_the_optimizer_is_found_once() -> None:
    assert "does not reach optimizer" in only(found(loops.never_applied, loops.LR), "hyperparameter", "lr").message


def test_evaluation_in_training_mode_is_found_where_it_has_a_name() -> None:
    one = only(found(loops.evaluation_trains, loops.LR), "evaluation", "validate")
    assert one.message == "validate() runs BatchNorm1d 'net.norm' in training mode without gradients"
    assert one.remedy.startswith("call net.eval()")


def test_evaluation_in_training_mode_is_found_in_the_loop() -> None:
    one = only(found(loops.evaluation_in_the_loop_trains, loops.LR), "evaluation", "net.norm")
    assert one.message.startswith("the evaluation in the loop runs BatchNorm1d")
