"""CHECK: what must hold of a run's record, whatever happened to it. Run it after every test that breaks something."""

from warren.audit.soundness import check

__all__ = ["check"]
