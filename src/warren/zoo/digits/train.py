"""The training loop of the demo, as a user writes it."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from warren.space import Float
from warren.training import Slot
from warren.zoo.digits.data import digits, mnist

BATCH = 32
STEPS = 68
"""Minibatches in an interval: on scikit-learn's digits two passes over the training part."""

SPACE = {
    "lr": Float(1e-4, 1.0, scale="log"),
    "momentum": Float(0.5, 0.99, scale="one_minus"),
    "weight_decay": Float(1e-6, 1e-1, scale="log"),
    "dropout": Float(0.0, 0.8),
}


class Net(nn.Module):
    """Two convolutions and one hidden layer; images of any size from 4 x 4 on."""

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


def train(slot: Slot) -> None:
    """Train members on scikit-learn's digits."""
    _loop(slot, digits())


def train_mnist(slot: Slot) -> None:
    """Train members on MNIST."""
    _loop(slot, mnist())
