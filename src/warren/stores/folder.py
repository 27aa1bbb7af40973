"""What lies beside a store's file; apart from `sqlite`, so that asking for it opens no database."""

from __future__ import annotations

from pathlib import Path


def folder_of(path: Path) -> Path:
    """The folder beside a store's file: its lock, its workers' locks and its checkpoints."""
    return path.with_name(path.name + ".d")
