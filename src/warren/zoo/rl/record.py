"""What a member's episodes returned: the last of them move with it, and are its score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LAST = 10
"""Episodes whose mean return is the score (Jaderberg et al. 2017, section 4.1.1)."""

HELD_OUT = 1
"""Keys the episodes that selection never sees."""

FRESH = 2
"""Keys those that neither selection nor a report of it ever sees."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """Numbers of a member that outlast its intervals; both arrays are written in place, and to be tracked.

    Attributes:
        last: Returns of the last episodes, the newest last; NaN before there were as many. Shape (LAST,).
        steps: Actions taken so far, over all environments; shape (1,).
    """

    last: NDArray[np.float64] = field(default_factory=lambda: np.full(LAST, np.nan))
    steps: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))

    def tracked(self) -> dict[str, Any]:
        """What `Slot.track` takes."""
        return {"returns": self.last, "steps": self.steps}

    def add(self, returns: Sequence[float], steps: int) -> None:
        """Take in an interval.

        Args:
            returns: Of its episodes, in order: those that ended, or where none did those that were broken off.
            steps: Its actions.
        """
        self.last[:] = np.concatenate([self.last, returns])[-LAST:]
        self.steps[0] += steps

    def score(self) -> float:
        """The mean return of the last episodes, once there was one."""
        return float(np.mean(self.last[~np.isnan(self.last)]))


def seeds(rng: np.random.Generator, count: int) -> list[int]:
    """Seeds for environments."""
    return [int(seed) for seed in rng.integers(2**31, size=count)]


def episodes(split: int, purpose: int, count: int) -> list[int]:
    """Seeds of episodes that no member trains on, the same for all of them.

    Args:
        split: Keys them.
        purpose: `HELD_OUT` or `FRESH`.
        count: How many.
    """
    return seeds(np.random.default_rng([split, purpose]), count)
