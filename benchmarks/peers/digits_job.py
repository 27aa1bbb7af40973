"""The digits job as all environments train it: one net, one split, one batch order, and one epoch an interval.

PyTorch and scikit-learn are imported where they are first needed, so that a process which only hands out work does
not pay for them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

MEMBERS, EPOCHS, WORKERS = 8, 30, 2
FRACTION, RESAMPLE = 0.25, 0.25  # as in toy_job: 2 of 8 wherever it is rounded
LR, MOMENTUM = (1e-4, 0.3), (0.5, 0.95)
BATCH, TRAIN = 64, 1437
WORST = 1e3


@lru_cache(maxsize=1)
def data() -> tuple[Any, Any, Any, Any]:
    """1,437 images to train on and 360 to select on, as tensors."""
    import torch
    from sklearn.datasets import load_digits

    torch.set_num_threads(1)  # one thread for each worker; two workers have the two cores
    raw = load_digits()
    shuffled = np.random.default_rng(0).permutation(len(raw.target))
    images = torch.from_numpy((raw.data[shuffled] / 16.0).astype(np.float32))
    labels = torch.from_numpy(raw.target[shuffled].astype(np.int64))
    return images[:TRAIN], labels[:TRAIN], images[TRAIN:], labels[TRAIN:]


def drawn(member: int) -> tuple[float, float]:
    """Hyperparameters from the prior, for loops that have nobody to draw them."""
    rng = np.random.default_rng(member)
    low, high = np.log(LR)
    return float(np.exp(rng.uniform(low, high))), float(rng.uniform(*MOMENTUM))


def build(member: int, lr: float, momentum: float) -> tuple[Any, Any]:
    """A fresh net and its optimizer."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(member)
    net = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
    return net, torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum)


def tune(optimizer: Any, lr: float, momentum: float) -> None:
    """Write hyperparameters into the optimizer."""
    for group in optimizer.param_groups:
        group["lr"], group["momentum"] = lr, momentum


def epoch(net: Any, optimizer: Any, member: int, interval: int) -> None:
    """One pass over the training images; the order is keyed by the member and the interval."""
    from torch.nn.functional import cross_entropy

    images, labels, _, _ = data()
    order = np.random.default_rng((member, interval)).permutation(TRAIN)
    for begin in range(0, TRAIN - BATCH + 1, BATCH):
        batch = order[begin : begin + BATCH]
        loss = cross_entropy(net(images[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def evaluate(net: Any) -> tuple[float, float]:
    """Loss and accuracy on the images that selection goes by."""
    import torch

    _, _, images, labels = data()
    with torch.no_grad():
        logits = net(images)
        loss = float(torch.nn.functional.cross_entropy(logits, labels))
        accuracy = float((logits.argmax(1) == labels).float().mean())
    # Not every peer can rank what is no number.
    return (loss if np.isfinite(loss) else WORST), accuracy
