"""What a strategy sees when it decides for a member: facts at equal progress, as of one revision."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from warren.population.rows import Goal, IntervalRow, MemberRow
from warren.population.transition import stranded
from warren.values import Json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from warren.population.log import Facts, Log
    from warren.space import Space


class View:
    """A snapshot for one decision.

    Each other member appears with its report at the decider's last interval, or else with its newest older one, so
    that equal amounts of training are compared whatever the workers' pace. A member without such a report is no donor.

    Args:
        space: What hyperparameters may be.
        goal: What counts as better.
        due: The member that the decision is for.
        log: All reports up to a revision.
        size: Members in the population.
        limit: Intervals for each member.
        memory: The strategy's own state, as its last plan left it.
        memory_version: Counts the changes of `memory`.
    """

    def __init__(
        self,
        *,
        space: Space,
        goal: Goal,
        due: MemberRow,
        log: Log,
        size: int,
        limit: int,
        memory: Json = None,
        memory_version: int = 0,
        quarantined: frozenset[int] = frozenset(),
    ) -> None:
        self.space = space
        self.goal = goal
        self.due = due
        self.size = size
        self.limit = limit
        self.memory = memory
        self.memory_version = memory_version
        self.revision = log.revision
        self._log = log
        self._quarantined = quarantined

    @property
    def at(self) -> int:
        """The interval that members are compared at: the last one of the member that is due."""
        return self.due.budget

    @cached_property
    def facts(self) -> Facts:
        """Reports at equal progress, as arrays over the members that have one."""
        return self._log.facts(self.at, without=self._quarantined)

    @cached_property
    def report(self) -> IntervalRow | None:
        """The last report of the member that is due, or None."""
        return self._log.newest(self.due.member, self.at)

    @property
    def failing(self) -> bool:
        """The member that is due cannot go on as it is: it diverged, failed again, or has no state that is whole."""
        diverged = self.report is not None and self.report.interval == self.at and self.report.status == "diverged"
        return diverged or self.due.failures > 1 or stranded(self.due)

    @property
    def place(self) -> int | None:
        """Where the member that is due stands in `facts`, or None where it has no report."""
        return self.facts.place.get(self.due.member)

    def reports(self, member: int) -> Sequence[IntervalRow]:
        """All reports of a member that are at or before `at`, oldest first."""
        return [row for row in self._log.reports(member) if row.interval <= self.at]

    def source(self, member: int) -> IntervalRow | None:
        """The report of a member whose checkpoint can be copied now, or None."""
        return self._log.loadable(member, self.at)

    def donors(self) -> NDArray[np.bool_]:
        """Which of `facts` are fit to be copied: healthy, and not the member that is due. `source` may still fail."""
        fit: NDArray[np.bool_] = self.facts.healthy.copy()
        if self.place is not None:
            fit[self.place] = False
        return fit
