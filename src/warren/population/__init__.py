"""The functional core: facts, transitions, the view of a decision, keyed randomness. No I/O, no clock."""

from warren.population.keys import Keys
from warren.population.log import Facts, Log, retained
from warren.population.plan import Action, Assign, Hold, Pin, Plan, Retire, Unpin, own_assignment
from warren.population.retention import most_checkpoints, most_in_rounds
from warren.population.rows import (
    CheckpointRow,
    EventRow,
    Goal,
    IntervalRow,
    MemberRow,
    Report,
    RunRow,
    WorkerRow,
    changed,
    record_of,
    recorded_member,
)
from warren.population.stop import Stop, better
from warren.population.transition import boundary, interval_of, set_aside, transition
from warren.population.view import View

__all__ = [
    "Action",
    "Assign",
    "CheckpointRow",
    "EventRow",
    "Facts",
    "Goal",
    "Hold",
    "IntervalRow",
    "Keys",
    "Log",
    "MemberRow",
    "Pin",
    "Plan",
    "Report",
    "Retire",
    "RunRow",
    "Stop",
    "Unpin",
    "View",
    "WorkerRow",
    "better",
    "boundary",
    "changed",
    "interval_of",
    "most_checkpoints",
    "most_in_rounds",
    "own_assignment",
    "record_of",
    "recorded_member",
    "retained",
    "set_aside",
    "transition",
]
