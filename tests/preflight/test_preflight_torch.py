"""The same faults as they look in PyTorch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from tests.preflight.test_preflight_faults import found, only

import warren
from warren.preflight import exact

torch = pytest.importorskip("torch")

from tests.preflight import torch_loops as loops  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other on a busy machine would take longer than the arithmetic."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("train", [loops.sound, loops.teacher, loops.teacher_by_hand])
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


def test_a_value_that_the_optimizer_only_remembers_is_found() -> None:
    only(found(loops.only_remembered, {"rate": warren.Float(0.1, 1.0)}), "no effect", "rate")


def noisy(slot: warren.Slot) -> None:
    """As kernels of a GPU, unless they are told to be exact."""
    net, opt = loops.objects()
    slot.track(net=net, opt=opt)
    for member in slot:
        exact = torch.are_deterministic_algorithms_enabled()
        noise = 0.0 if exact else int.from_bytes(os.urandom(2), "little") / 2**16
        for group in opt.param_groups:
            group["lr"] = member["lr"] * (1 + noise)
        loops.train_once(net, opt)
        member.report(loops.evaluate(net))


def test_kernels_that_do_not_repeat_are_made_to_and_hide_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "uses_gpu", lambda: True)
    one = only(found(noisy, loops.LR), "unseeded", "", level="note")
    assert "are equal with deterministic algorithms" in one.message
    assert not torch.are_deterministic_algorithms_enabled() and not torch.backends.cudnn.deterministic

    def forgets(slot: warren.Slot) -> None:
        net, opt = loops.objects()
        slot.track(net=net)
        slot.bind(opt, "lr")
        for member in slot:
            loops.train_once(net, opt)
            if not torch.are_deterministic_algorithms_enabled():
                torch.nn.init.normal_(net.head.bias, generator=unseeded)
            member.report(loops.evaluate(net))

    unseeded = torch.Generator()
    unseeded.seed()
    findings = found(forgets, loops.LR)
    assert [one.subject for one in findings.faults] == ["opt"] and len(findings.notes) == 1


def test_where_no_kernel_can_be_made_to_repeat_it_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "uses_gpu", lambda: True)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: False)
    assert "warren does not seed" in only(found(noisy, loops.LR), "unseeded", "", level="note").message
    monkeypatch.setattr(exact, "uses_gpu", lambda: False)
    only(found(noisy, loops.LR), "unseeded", "")


def test_evaluation_in_training_mode_is_found_where_it_has_a_name() -> None:
    one = only(found(loops.evaluation_trains, loops.LR), "evaluation", "validate")
    assert one.message == "validate() runs BatchNorm1d 'net.norm' in training mode without gradients"
    assert one.remedy.startswith("call net.eval()")


def test_evaluation_in_training_mode_is_found_in_the_loop() -> None:
    one = only(found(loops.evaluation_in_the_loop_trains, loops.LR), "evaluation", "net.norm")
    assert one.message.startswith("the evaluation in the loop runs BatchNorm1d")
