"""Where a slot's members come from."""

from __future__ import annotations

from typing import Protocol

from warren.population import CheckpointRow, Keys, MemberRow, Report
from warren.state import Tree
from warren.training.settings import Settings


class Saver(Protocol):
    """Keeps members' states; see `States`."""

    def save(self, tree: Tree) -> CheckpointRow:
        """Keep a state; returns what a report has to carry."""
        ...

    def load(self, name: str) -> Tree:
        """The state of a checkpoint, verified."""
        ...


class Source(Protocol):
    """Hands one member after another to a slot, and takes their reports.

    Attributes:
        waited: Seconds of the last `next` that were spent waiting for others.
        carried: Seconds of overhead that belong to the next interval's account.
    """

    waited: float
    carried: float

    @property
    def settings(self) -> Settings:
        """The fixed part of the run."""
        ...

    @property
    def states(self) -> Saver:
        """Where states are kept."""
        ...

    def clock(self) -> float:
        """Seconds that only grow."""
        ...

    def keys(self, row: MemberRow) -> Keys:
        """The key of the interval that a member is about to train."""
        ...

    def owner(self, name: str) -> CheckpointRow:
        """Whose state a checkpoint is."""
        ...

    def elsewhere(self, row: MemberRow) -> bool:
        """Whether another worker trained the member last."""
        ...

    def checkpoint_due(self, status: str) -> bool:
        """Whether the interval that is about to be reported ends with a checkpoint."""
        ...

    def next(self, report: Report | None = None) -> MemberRow | None:
        """End the present interval, if any, and give the next member; None where there is nothing more to do."""
        ...
