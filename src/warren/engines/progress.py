"""Who gets no further. A hang is seen by lack of progress: a process that hangs still beats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from warren.population import MemberRow

_LEAST = 30 * 60.0
_TIMES = 20.0
_FIRST = 6 * 3600.0
"""Before any interval has ended nothing says how long one takes, and a first one may build data sets or compile."""

Mark: TypeAlias = tuple[str, int]
"""What changes when a worker gets on: the lease that it holds, if any, and the budget of the member under it."""


def patience(hang: float | None, longest: float) -> float:
    """Seconds without progress after which a worker is taken to hang.

    Args:
        hang: What the user set, or None for the rule: twenty times the longest interval so far, at least half an
            hour; six hours while no interval has ended.
        longest: The longest interval so far, in seconds; 0 where there is none.
    """
    if hang is not None:
        return hang
    return max(_LEAST, _TIMES * longest) if longest > 0 else _FIRST


def cadence(hang: float | None, beat: float) -> float:
    """Seconds between two looks: with each beat, and more often where a hang shall be seen sooner."""
    return beat if hang is None else min(beat, hang / 4)


def marks(workers: Iterable[str], members: Iterable[MemberRow], registered: Iterable[str]) -> dict[str, Mark]:
    """The marks of the workers that have something to get on with.

    One that holds a member has its lease and budget. One that is not registered is still loading the user's code, or
    has left and does not end; neither may take for ever. One that waits for a member is not judged.

    Args:
        workers: Whom to look at.
        members: The run's members.
        registered: Workers that the store knows and that have not left.
    """
    held = {row.worker: (row.token, row.budget) for row in members if row.token is not None}
    known = set(registered)
    found: dict[str, Mark] = {}
    for worker in workers:
        if worker in held:
            found[worker] = held[worker]
        elif worker not in known:
            found[worker] = ("", 0)
    return found


class Progress:
    """Counts how long each worker's mark has stood still, on this observer's own clock.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[str, tuple[Mark, float]] = {}
        self._last: float | None = None

    def look(self, found: Mapping[str, Mark], limit: float) -> dict[str, float]:
        """Look once.

        Args:
            found: The marks of the workers that are judged.
            limit: Seconds that a mark may stand still.

        Returns:
            The seconds of those that have stood still for longer.
        """
        now = self._clock()
        if self._last is not None and now - self._last > limit / 2:
            self._seen.clear()  # the observer was stopped itself, and the workers perhaps with it
        self._last = now
        before, self._seen = self._seen, {}
        stuck = {}
        for worker, mark in found.items():
            last, since = before.get(worker, (mark, now))
            if last != mark:
                since = now
            self._seen[worker] = (mark, since)
            # Loading the user's code may take longer than an interval, whatever the user thinks of a hang.
            if now - since > (limit if mark[0] else max(limit, _LEAST)):
                stuck[worker] = now - since
        return stuck
