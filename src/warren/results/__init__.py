"""Best state, table, schedule, lineage and report of a run."""

from warren.results.lineage import Schedule, Step, lineage
from warren.results.result import Cost, Result, Trained

__all__ = ["Cost", "Result", "Schedule", "Step", "Trained", "lineage"]
