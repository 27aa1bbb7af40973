"""What user code touches: the slot, its members, the functional task."""

from warren.training.member import PENDING, Member, Opponent
from warren.training.rng import Rng
from warren.training.script import Play, Scratch, Script, perform
from warren.training.settings import Settings
from warren.training.slot import Slot
from warren.training.source import Saver, Source
from warren.training.states import States
from warren.training.task import Liftable, StackedTask, Task
from warren.training.turns import Turns
from warren.training.watch import Watch

__all__ = [
    "PENDING",
    "Liftable",
    "Member",
    "Opponent",
    "Play",
    "Rng",
    "Saver",
    "Scratch",
    "Script",
    "Settings",
    "Slot",
    "Source",
    "StackedTask",
    "States",
    "Task",
    "Turns",
    "Watch",
    "perform",
]
