"""Checkpoints: immutable, content-addressed copies of members' states."""

from __future__ import annotations

from warren.checkpoints.base import CheckpointStore, Published
from warren.checkpoints.local import LocalCheckpoints
from warren.checkpoints.memory import MemoryCheckpoints

__all__ = ["CheckpointStore", "LocalCheckpoints", "MemoryCheckpoints", "Published"]
