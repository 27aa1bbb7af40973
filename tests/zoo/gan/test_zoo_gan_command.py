from __future__ import annotations

import importlib.util
import re
import sys
from contextlib import contextmanager

import pytest

pytest.importorskip("sklearn")

import warren
from warren.errors import InvalidValue, MissingExtra
from warren.zoo.digits.data import MNIST_ROOT, mnist
from warren.zoo.gan import command


@contextmanager
def live():
    yield lambda result: None


def demo(folder, *more: str) -> int:
    arguments = ["--store", str(folder / "gan.db"), "--report", str(folder / "gan.html"), *more]
    return command.main(arguments, live=live)


@pytest.fixture
def tiny(monkeypatch):
    """The small preset with a task that an interval of a second is enough for."""
    pytest.importorskip("torch")
    from warren.zoo.gan import presets
    from warren.zoo.gan.train import Gan

    task = Gan(width=4, latent=8, batch=16, steps=30, samples=200, judge_width=8, judge_passes=4)
    monkeypatch.setitem(presets.TASKS, "digits", task)


def test_the_demo_holds_the_best_against_noise_and_real_images(tiny, tmp_path, capsys):
    pytest.importorskip("plotly")
    small = ("--population", "2", "--intervals", "2", "--workers", "1")
    assert demo(tmp_path, *small) == 0
    printed = capsys.readouterr().out
    rows = {}
    for name in ("an untrained generator", "best of the whole run", "real images"):
        (line,) = [line for line in printed.splitlines() if line.startswith(name)]
        rows[name] = [float(number) for number in re.findall(r"(\S+)(?: ± \S+)?", line[len(name) :])]
    untrained, best, real = rows.values()
    assert untrained[0] < best[0] < real[0]
    assert untrained[1] > best[1] > real[1]
    assert printed.count(" ± ") == 6
    assert "discriminator_lr" in printed and "of workers' time" in printed
    for line in printed.splitlines():
        assert len(line) <= 120 or str(tmp_path) in line
    result = warren.open_result(tmp_path / "gan.db")
    assert result.run.status == "done" and result.run.total == 4 and not result.warnings
    page = (tmp_path / "gan.html").read_text(encoding="utf-8")
    assert page.count("<img") == result.best.age + 2  # a sheet for each age of the best state, and for each member
    assert "Samples along the lineage of the best state" in page


def test_without_torch_the_demo_names_the_extra(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "torch" else find(name))
    with pytest.raises(MissingExtra, match=r'needs torch: pip install "warren\[gan\]"'):
        demo(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_for_data_that_have_none_is_refused(tmp_path):
    pytest.importorskip("torch")
    with pytest.raises(InvalidValue, match="--root goes with --data mnist or cifar10"):
        demo(tmp_path, "--root", str(tmp_path))


def test_data_that_cannot_be_read_are_said_before_the_run(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    monkeypatch.setenv(MNIST_ROOT, "unset")
    mnist.cache_clear()
    with pytest.raises(MissingExtra, match="pip install torchvision"):
        demo(tmp_path, "--data", "mnist", "--root", str(tmp_path))
    with pytest.raises(MissingExtra, match="CIFAR-10 needs torchvision"):
        demo(tmp_path, "--preset", "paper")
    assert not list(tmp_path.iterdir())


def test_a_wrong_option_is_said_in_one_line(tmp_path):
    with pytest.raises(InvalidValue, match="--data"):
        demo(tmp_path, "--data", "imagenet")
    with pytest.raises(InvalidValue, match="--preset"):
        demo(tmp_path, "--preset", "huge")
