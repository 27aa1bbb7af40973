"""Intervals that are written down beforehand: a training function without a population, a store or decisions."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from warren.checkpoints import CheckpointStore
from warren.population import CheckpointRow, Keys, MemberRow, Report
from warren.state import Tree, decode, encode
from warren.training.member import interval_keys
from warren.training.settings import Settings
from warren.training.slot import Slot
from warren.training.source import Saver
from warren.training.watch import Watch

Play = Generator["MemberRow | None", "Report | None", None]
"""Yields the members to train, each as it begins its interval, and is sent the report that ends it. Yielding None ends
the call of the training function; the member after it gets objects that are new."""


class Scratch:
    """Keeps states in a checkpoint store that is nobody's but ours.

    Args:
        checkpoints: An empty one.
    """

    def __init__(self, checkpoints: CheckpointStore) -> None:
        self._checkpoints = checkpoints
        self._saved = 0

    def save(self, tree: Tree) -> CheckpointRow:
        """See `Saver`."""
        self._saved += 1
        published = self._checkpoints.publish(encode(tree), f"scratch-{self._saved}")
        return CheckpointRow(name=published.name, digest=published.digest, size=published.size)

    def load(self, name: str) -> Tree:
        """See `Saver`."""
        return decode(self._checkpoints.load(name, name.partition("-")[0]))

    def forget(self, name: str) -> None:
        """Delete a state that is not needed any more."""
        self._checkpoints.delete(name)


class Script:
    """A `Source` that follows a play.

    Args:
        settings: As of a run.
        play: Which members train, in which order.
        states: Where their states are kept.
        clock: Seconds that only grow.
        saves: Whether the interval that a member is about to end is followed by a checkpoint.
        owner: Whose state a checkpoint is.
    """

    def __init__(
        self,
        settings: Settings,
        play: Play,
        states: Saver,
        *,
        clock: Callable[[], float],
        saves: Callable[[MemberRow], bool] = lambda row: True,
        owner: Callable[[str], CheckpointRow] = lambda name: CheckpointRow(name=name, digest="", size=0),
    ) -> None:
        self.settings = settings
        self.states = states
        self.clock = clock
        self.waited = self.carried = 0.0
        self._play = play
        self._saves = saves
        self._owner = owner
        self._row: MemberRow | None = None

    def keys(self, row: MemberRow) -> Keys:
        """See `Source`; the same as in a run."""
        return interval_keys(self.settings, row)

    def owner(self, name: str) -> CheckpointRow:
        """See `Source`."""
        return self._owner(name)

    def elsewhere(self, row: MemberRow) -> bool:
        """See `Source`."""
        return False

    def checkpoint_due(self, status: str) -> bool:
        """See `Source`."""
        return status != "diverged" and self._row is not None and self._saves(self._row)

    def next(self, report: Report | None = None) -> MemberRow | None:
        """See `Source`."""
        try:
            self._row = self._play.send(report)
        except StopIteration:
            self._row = None
        return self._row


def perform(train: Callable[[Slot], Any], script: Script, watch: Watch, make: type[Slot] = Slot) -> None:
    """Call a training function for what a script says, as a worker does.

    Args:
        train: The training function.
        script: Where members come from.
        watch: Looks over the loop's shoulder.
        make: The slots that the function gets.
    """
    row = script.next()
    while row is not None:
        slot = make(script, row, watch)
        train(slot)
        row = slot.finish() or script.next()
