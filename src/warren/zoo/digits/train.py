"""The training loop of the demo, as a user writes it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from warren.space import Float
from warren.training import Slot
from warren.zoo.digits.data import Part, Parts, digits, mnist

BATCH = 32
STEPS = 136
"""Minibatches in an interval: on scikit-learn's digits as many as four passes over the training part take."""


def space() -> dict[str, Float]:
    """What is tuned. The ends of each range are bad on purpose: finding the good part is the population's work."""
    return {
        "lr": Float(1e-4, 1.0, scale="log"),
        "momentum": Float(0.5, 0.99, scale="one_minus"),
        "weight_decay": Float(1e-6, 1e-1, scale="log"),
        "dropout": Float(0.0, 0.8),
    }


class Net(nn.Module):
    """Two convolutions and one hidden layer; for images of any size from 4 x 4 on."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.pool = nn.AdaptiveMaxPool2d(4)
        self.dropout = nn.Dropout()
        self.hidden = nn.Linear(32 * 4 * 4, 64)
        self.out = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of shape (n, 10) for images of shape (n, 1, height, width)."""
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        x = self.dropout(self.pool(x).flatten(1))
        logits: Tensor = self.out(self.dropout(F.relu(self.hidden(x))))
        return logits


def train(slot: Slot, load: Callable[[], Parts] = digits) -> None:
    """Train members; with one argument, on scikit-learn's digits."""
    torch.set_num_threads(1)  # threads that meet after every layer of so small a net cost more than they save
    data = load()
    images, labels = _tensors(data.train)
    torch.manual_seed(slot.seed)
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    slot.track(net=net, optimizer=optimizer)
    slot.bind(optimizer, "lr", "momentum", "weight_decay")
    for member in slot:
        net.dropout.p = member["dropout"]
        net.train()
        for _ in range(STEPS):
            batch = torch.randint(len(labels), (BATCH,))
            loss = F.cross_entropy(net(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        # Selection goes by the loss: 360 images give the accuracy steps of 0.3 %, and near the end, where it
        # matters, most of a population has the same one, so that lots would decide.
        score, accuracy = evaluate(net, data.validation)
        member.report(score, accuracy=accuracy, test=evaluate(net, data.test)[1])


def train_mnist(slot: Slot) -> None:
    """Train members on MNIST."""
    train(slot, mnist)


def evaluate(net: nn.Module, part: Part) -> tuple[float, float]:
    """Mean cross-entropy and accuracy, without dropout."""
    net.eval()
    images, labels = _tensors(part)
    with torch.no_grad():
        logits = torch.cat([net(some) for some in torch.split(images, 1000)])  # MNIST at once would take a gigabyte
    return float(F.cross_entropy(logits, labels)), float((logits.argmax(1) == labels).float().mean())


def _tensors(part: Part) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(part.images)[:, None], torch.from_numpy(part.labels)
