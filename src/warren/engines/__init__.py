"""Who runs intervals, and where."""

from warren.engines.base import Engine, Job
from warren.engines.entry import Entry, Loaded, entry_of
from warren.engines.inline import Inline

__all__ = ["Engine", "Entry", "Inline", "Job", "Loaded", "entry_of"]
