"""Images of handwritten digits in three parts: to train on, to select on, and one that neither sees."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from warren.errors import InvalidValue, MissingExtra

if TYPE_CHECKING:
    from numpy.typing import NDArray

MNIST_ROOT = "WARREN_MNIST_ROOT"
"""Environment variable: the folder that torchvision keeps MNIST in; workers inherit it."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some images with their labels.

    Attributes:
        images: Grey values from 0 to 1; shape (n, height, width), float32.
        labels: Digits; shape (n,), int64.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A data set in its three parts.

    Attributes:
        train: What gradients come from.
        validation: What selection goes by.
        test: What is held out from both.
    """

    train: Part
    validation: Part
    test: Part


def halves(images: NDArray[Any], labels: NDArray[Any], share: float, seed: int) -> tuple[Part, Part]:
    """Two parts with the same mixture of digits in each.

    Args:
        images: Shape (n, height, width).
        labels: Shape (n,).
        share: Of the second part, from 0 to 1.
        seed: Who goes where.
    """
    from sklearn.model_selection import train_test_split

    a, b = train_test_split(np.arange(len(labels)), test_size=share, random_state=seed, stratify=labels)
    first, second = (
        Part(images=np.ascontiguousarray(images[i], np.float32), labels=labels[i].astype(np.int64)) for i in (a, b)
    )
    return first, second


@lru_cache(maxsize=4)  # read once a process, not once a member
def digits(split: int = 0) -> Parts:
    """Scikit-learn's 1,797 digits of 8 x 8 pixels: 1,077 to train, 360 to select, 360 held out.

    Args:
        split: Seed of who goes where; fixed for the demo, so that every member sees the same parts.

    Raises:
        MissingExtra: Scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingExtra('the digits come with scikit-learn: pip install "warren[digits]"') from None
    raw = load_digits()
    rest, test = halves(raw.images / 16.0, raw.target, 360 / 1797, split)
    train, validation = halves(rest.images, rest.labels, 360 / 1437, split)
    return Parts(train=train, validation=validation, test=test)


@lru_cache(maxsize=1)
def mnist() -> Parts:
    """MNIST where torchvision has it on disk already: 50,000 images to train, 10,000 to select, 10,000 held out.

    Raises:
        MissingExtra: Torchvision or scikit-learn is not installed.
        InvalidValue: The data are not on disk.
    """
    try:
        import sklearn  # noqa: F401
        from torchvision.datasets import MNIST
    except ImportError:
        raise MissingExtra('MNIST needs torchvision: pip install torchvision "warren[digits]"') from None
    root = Path(os.environ.get(MNIST_ROOT, "data"))
    try:
        both = [MNIST(str(root), train=train, download=False) for train in (True, False)]
    except RuntimeError:  # nothing is fetched behind the user's back
        raise InvalidValue(
            f"MNIST is not on disk in {root.absolute()} (torchvision looks for MNIST/raw in it); name the folder with "
            "--root, or leave out --data mnist"
        ) from None
    images = [one.data.numpy().astype(np.float32) / 255.0 for one in both]
    labels = [one.targets.numpy().astype(np.int64) for one in both]
    train, validation = halves(images[0], labels[0], 1 / 6, 0)
    return Parts(train=train, validation=validation, test=Part(images=images[1], labels=labels[1]))
