"""A record held against itself: decisions taken again, the winner trained again, everything in its place."""

from warren.audit.replay import Difference, Replay, replay
from warren.audit.retrace import Retraced, Step, retrace
from warren.audit.soundness import check, damaged_checkpoints

__all__ = ["Difference", "Replay", "Retraced", "Step", "check", "damaged_checkpoints", "replay", "retrace"]
