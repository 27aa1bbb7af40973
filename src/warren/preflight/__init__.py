"""The pre-flight: whether a training loop keeps state that nobody tracks, before a run of days depends on it."""

from warren.preflight.findings import Estimates, Finding, Findings
from warren.preflight.loop import check_loop

__all__ = ["Estimates", "Finding", "Findings", "check_loop"]
