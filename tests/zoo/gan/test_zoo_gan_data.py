from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("sklearn")

from warren.errors import InvalidValue, MissingExtra
from warren.zoo.digits.data import MNIST_ROOT, mnist
from warren.zoo.digits.data import digits as parts
from warren.zoo.gan.data import CIFAR10_ROOT, cifar10, images


def torchvision(monkeypatch, **sets):
    """A stand-in for torchvision with these data sets."""
    datasets = ModuleType("torchvision.datasets")
    for name, value in sets.items():
        setattr(datasets, name, value)
    monkeypatch.setitem(sys.modules, "torchvision", ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.datasets", datasets)


class Cifar:
    """As torchvision.datasets.CIFAR10: `data` is (n, 32, 32, 3) uint8, `targets` a list."""

    def __init__(self, root: str, *, train: bool, download: bool) -> None:
        assert not download
        self.root = root
        n = 5 if train else 2
        self.data = np.zeros((n, 32, 32, 3), np.uint8)
        self.data[:, 0, 1] = (0, 51, 255)
        self.targets = list(range(n))


class Absent:
    def __init__(self, root: str, *, train: bool, download: bool) -> None:
        assert not download
        raise RuntimeError("Dataset not found or corrupted.")


def test_the_digits_are_those_of_the_digits_demo():
    found, source = images("digits"), parts()
    assert found.shape == (1, 8, 8) and found.train.shape == (1437, 1, 8, 8) and found.test.shape == (360, 1, 8, 8)
    assert found.train.dtype == np.float32 and (found.train.min(), found.train.max()) == (-1, 1)
    assert np.array_equal(found.test[:, 0], source.test.images * 2 - 1)
    assert np.array_equal(found.test_labels, source.test.labels)
    seen = {image.tobytes() for image in found.train}
    assert not any(image.tobytes() in seen for image in found.test)


def test_another_split_holds_others_out():
    assert not np.array_equal(images("digits", 0).test, images("digits", 1).test)


def test_cifar10_is_read_as_torchvision_has_it(monkeypatch, tmp_path):
    torchvision(monkeypatch, CIFAR10=Cifar)
    monkeypatch.setenv(CIFAR10_ROOT, str(tmp_path))
    found = cifar10()
    assert found.shape == (3, 32, 32) and len(found.train) == 5 and len(found.test) == 2
    assert found.train[0, :, 0, 1] == pytest.approx([-1.0, -0.6, 1.0])
    assert found.test_labels.tolist() == [0, 1]


def test_data_that_are_not_on_disk_are_one_line(monkeypatch, tmp_path):
    torchvision(monkeypatch, CIFAR10=Absent, MNIST=Absent)
    monkeypatch.setenv(CIFAR10_ROOT, str(tmp_path))
    monkeypatch.setenv(MNIST_ROOT, str(tmp_path))
    mnist.cache_clear()
    for name, title in (("cifar10", "CIFAR-10"), ("mnist", "MNIST")):
        with pytest.raises(InvalidValue, match=f"{title} is not on disk in {tmp_path}.*--root") as caught:
            images(name)
        assert "\n" not in str(caught.value)


def test_without_torchvision_the_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    with pytest.raises(MissingExtra, match="CIFAR-10 needs torchvision: pip install torchvision"):
        images("cifar10")


def test_a_data_set_that_is_not_there_is_refused():
    with pytest.raises(InvalidValue, match="data='imagenet' must be 'digits', 'mnist' or 'cifar10'"):
        images("imagenet")
