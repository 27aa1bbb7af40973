"""What user code touches: the slot, its members, the functional task."""

from warren.training.member import PENDING, Member
from warren.training.rng import Rng
from warren.training.settings import Settings
from warren.training.slot import Slot
from warren.training.states import States
from warren.training.task import Task
from warren.training.turns import Turns
from warren.training.watch import Watch

__all__ = ["PENDING", "Member", "Rng", "Settings", "Slot", "States", "Task", "Turns", "Watch"]
