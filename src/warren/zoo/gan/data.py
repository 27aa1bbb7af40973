"""Real images: those that a generator imitates and a classifier learns, and those that neither sees."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from warren.errors import InvalidValue, MissingExtra
from warren.zoo.digits.data import MNIST_ROOT, Parts, digits, mnist

if TYPE_CHECKING:
    from numpy.typing import NDArray

Name = Literal["digits", "mnist", "cifar10"]

CIFAR10_ROOT = "WARREN_CIFAR10_ROOT"
"""Environment variable: the folder that torchvision keeps CIFAR-10 in; workers inherit it."""

ROOTS = {"mnist": MNIST_ROOT, "cifar10": CIFAR10_ROOT}
"""Where a data set that is not part of a package lies. Of the environment and no setting: it changes no result."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """A data set in two parts.

    Attributes:
        train: Values from -1 to 1, as the generator's tanh gives them; shape (n, channels, height, width), float32.
        train_labels: Classes from 0 on; shape (n,), int64.
        test: As `train`; seen neither by a GAN nor by the classifier that judges it.
        test_labels: As `train_labels`.
    """

    train: NDArray[np.float32]
    train_labels: NDArray[np.int64]
    test: NDArray[np.float32]
    test_labels: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        channels, height, width = self.train.shape[1:]
        return channels, height, width


@lru_cache(maxsize=2)  # read once a process, not once a member
def images(data: Name, split: int = 0) -> Images:
    """A data set by name.

    The Inception score needs no real images, so selection has no part of its own: what `warren.zoo.digits` keeps for
    validation is trained on here.

    Args:
        data: ``digits``: scikit-learn's, 8 x 8, 1,437 to train and 360 held out. ``mnist``: 28 x 28, 60,000 and
            10,000. ``cifar10``: 32 x 32 in colour, 50,000 and 10,000.
        split: Seed of who goes where, for the digits; the other two come with a test part of their own.

    Raises:
        MissingExtra: Scikit-learn or torchvision is not installed.
        InvalidValue: There is no such data set, or it is not on disk.
    """
    if data == "digits":
        return _grey(digits(split))
    if data == "mnist":
        return _grey(mnist())
    if data == "cifar10":
        return cifar10()
    raise InvalidValue(f"data={data!r} must be 'digits', 'mnist' or 'cifar10'")


def cifar10() -> Images:
    """CIFAR-10 where torchvision has it on disk already.

    Raises:
        MissingExtra: Torchvision is not installed.
        InvalidValue: The data are not on disk.
    """
    try:
        from torchvision.datasets import CIFAR10
    except ImportError:
        raise MissingExtra("CIFAR-10 needs torchvision: pip install torchvision") from None
    root = Path(os.environ.get(CIFAR10_ROOT, "data"))
    try:
        both = [CIFAR10(str(root), train=train, download=False) for train in (True, False)]
    except RuntimeError:  # nothing is fetched behind the user's back
        raise InvalidValue(
            f"CIFAR-10 is not on disk in {root.absolute()} (torchvision looks for cifar-10-batches-py in it); name the "
            "folder with --root, or leave out --data cifar10"
        ) from None
    pixels = [_signed(np.asarray(one.data, np.float32).transpose(0, 3, 1, 2) / 255.0) for one in both]
    labels = [np.asarray(one.targets, np.int64) for one in both]
    return Images(train=pixels[0], train_labels=labels[0], test=pixels[1], test_labels=labels[1])


def _grey(parts: Parts) -> Images:
    """Parts of one channel, those that train and those that validate together."""
    return Images(
        train=_signed(np.concatenate([parts.train.images, parts.validation.images])[:, None]),
        train_labels=np.concatenate([parts.train.labels, parts.validation.labels]),
        test=_signed(parts.test.images[:, None]),
        test_labels=parts.test.labels,
    )


def _signed(values: NDArray[Any]) -> NDArray[np.float32]:
    """From 0 to 1 as from -1 to 1."""
    return np.ascontiguousarray(values * 2 - 1, np.float32)
