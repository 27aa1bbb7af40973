"""Populations of torch modules, trained as one batched program; and draws for tasks that torch maps over members."""

from __future__ import annotations

import importlib.util

from warren.errors import MissingExtra

if importlib.util.find_spec("torch") is None:
    raise MissingExtra("warren.torch needs PyTorch: pip install 'warren[torch]'")

from warren.stacked.torch import Draws
from warren.torch.feeds import Batches, Feed, SharedBatches
from warren.torch.optimizers import SGD, Adam, AdamW, Optimizer
from warren.torch.population import Net, population

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Batches",
    "Draws",
    "Feed",
    "Net",
    "Optimizer",
    "SharedBatches",
    "population",
]
