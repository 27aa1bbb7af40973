"""Who runs intervals, and where."""

from warren.engines.base import Engine, Job
from warren.engines.entry import Entry, Loaded, entry_of
from warren.engines.inline import Inline
from warren.engines.vectorised import Vectorised

__all__ = ["Engine", "Entry", "Inline", "Job", "Loaded", "Vectorised", "entry_of"]
