"""The command ``warren``."""

from warren.cli.app import main
from warren.cli.live import live_view

__all__ = ["live_view", "main"]
