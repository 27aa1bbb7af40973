"""Best state, table, schedule, lineage and report of a run."""

from warren.results.lineage import Schedule, Step, lineage
from warren.results.result import Cost, Result, Trained, write_state
from warren.results.sections import Picture, Section
from warren.results.telling import damage

__all__ = ["Cost", "Picture", "Result", "Schedule", "Section", "Step", "Trained", "damage", "lineage", "write_state"]
