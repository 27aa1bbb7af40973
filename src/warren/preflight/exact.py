"""Arithmetic that repeats to the bit, on devices whose kernels do not by themselves."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def uses_gpu() -> bool:
    """Whether this process trains on a GPU by torch."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())


@contextmanager
def exactly() -> Iterator[None]:
    """Let torch use deterministic algorithms wherever it has some, until the block ends."""
    torch: Any = sys.modules["torch"]
    cudnn = torch.backends.cudnn
    enabled, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    before = cudnn.deterministic, cudnn.benchmark
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*determinis")  # of those that it has none for
            torch.use_deterministic_algorithms(True, warn_only=True)
            cudnn.deterministic, cudnn.benchmark = True, False
            yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warns)
        cudnn.deterministic, cudnn.benchmark = before
