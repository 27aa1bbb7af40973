"""Who gets no further. A hang is seen by lack of progress: a process that hangs still beats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from warren.population import MemberRow


@dataclass(frozen=True, kw_only=True)
class Waits:
    """How long an engine waits for a worker, in seconds.

    Attributes:
        first: Where the user set no limit, until a call of the training function has reported: it may build data sets
            or compile, and nothing says how long that takes.
        least: The least that a limit without the user's word is, and that a first report is waited for with it.
        load: A worker without a lease, which loads the user's code or leaves, is waited for at the least.
        times: How many of the longest intervals an interval may take.
        dump: A worker that hangs has to write where.
        end: Any process has to end after SIGKILL. One that does not is held in the system, by a driver or a disk.
    """

    first: float = 6 * 3600.0
    least: float = 30 * 60.0
    load: float = 30 * 60.0
    times: float = 20.0
    dump: float = 2.0
    end: float = 10.0


WAITS = Waits()
"""What is waited unless told."""

Mark: TypeAlias = tuple[str, int]
"""What changes when a worker gets on: the lease that it holds, if any, and the budget of the member under it."""


def patience(hang: float | None, longest: float, *, settled: bool, waits: Waits = WAITS) -> float:
    """Seconds without progress after which a worker is taken to hang.

    Args:
        hang: What the user set, or None for the rule: twenty times the longest interval so far, at least half an hour.
        longest: The longest interval so far with its overhead, in seconds; 0 where there is none.
        settled: The present call of the training function has reported. Until then it builds its objects, and nothing
            that is known of intervals holds: six hours, or what the user set, at least half an hour.
        waits: The numbers in this rule.
    """
    if settled:
        return hang if hang is not None else max(waits.least, waits.times * longest)
    return max(waits.first, waits.times * longest) if hang is None else max(hang, waits.least)


def allowed(mark: Mark, limit: float, waits: Waits = WAITS) -> float:
    """Seconds that a mark may stand still: of a worker without a lease not less than `Waits.load`.

    It loads the user's code or leaves, which may take longer than an interval, whatever the user thinks of a hang.

    Args:
        mark: The worker's mark.
        limit: The worker's `patience`.
        waits: As for `patience`.
    """
    return limit if mark[0] else max(limit, waits.load)


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
        self._asleep = False

    def look(self, found: Mapping[str, Mark], limits: Mapping[str, float]) -> dict[str, float]:
        """Look once.

        Args:
            found: The marks of the workers that are judged.
            limits: For each of them the seconds that its mark may stand still.

        Returns:
            The seconds of those that have stood still for longer.
        """
        now = self._clock()
        slept = self._last is not None and now - self._last > min((limits[name] for name in found), default=now) / 2
        if slept and not self._asleep:
            # Stopped itself, and the workers perhaps with it. Not twice in a row, so that an observer that is always
            # late does not let a worker hang for ever.
            self._seen.clear()
        self._asleep, self._last = slept, now
        before, self._seen = self._seen, {}
        stuck = {}
        for worker, mark in found.items():
            last, since = before.get(worker, (mark, now))
            if last != mark:
                since = now
            self._seen[worker] = (mark, since)
            if now - since > limits[worker]:
                stuck[worker] = now - since
        return stuck
