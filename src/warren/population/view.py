"""What a strategy sees when it decides for a member: facts at equal progress, as of one revision."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, TypeVar

from warren.population.rows import Goal, IntervalRow, MemberRow
from warren.population.transition import stranded
from warren.values import Json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from warren.population.log import Facts, Log
    from warren.space import Space

Found = TypeVar("Found")


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
        aside: Members that were set aside: quarantined or retired; see `Log.facts`.

    Attributes:
        at: The interval that members are compared at: the last one of the member that is due.
        report: The last report of the member that is due, or None.
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
        aside: frozenset[int] = frozenset(),
    ) -> None:
        self.space = space
        self.goal = goal
        self.due = due
        self.at = due.budget
        self.report = log.newest(due.member, due.budget)
        self.size = size
        self.limit = limit
        self.memory = memory
        self.memory_version = memory_version
        self.revision = log.revision
        self._log = log
        self._facts: Facts | None = None
        self._aside = aside

    @property
    def facts(self) -> Facts:
        """Reports at equal progress, as arrays over the members that have one."""
        if self._facts is None:
            self._facts = self._log.facts(self.at, without=self._aside)
        return self._facts

    @property
    def failing(self) -> bool:
        """The member that is due cannot go on as it is: it diverged, failed again, or has no state that is whole."""
        report = self.report
        diverged = report is not None and report.interval == self.at and report.status == "diverged"
        return diverged or self.due.failures > 1 or stranded(self.due)

    @property
    def place(self) -> int | None:
        """Where the member that is due stands in `facts`, or None where it has no report."""
        return self.facts.place.get(self.due.member)

    def reports(self, member: int) -> Sequence[IntervalRow]:
        """All reports of a member that are at or before `at`, oldest first."""
        return self._log.reports(member, self.at)

    def lineage(self, row: IntervalRow) -> Sequence[IntervalRow]:
        """A report and those that its state came out of, newest first, as far back as the log reaches.

        That is to a fresh state, or some 64 intervals (`Settings.history`). Where a state was made of several, the
        first parent is followed. The members along it may be others.

        Args:
            row: A report of this view's.
        """
        return self._log.lineage(row)

    def source(self, member: int) -> IntervalRow | None:
        """The report of a member whose checkpoint can be copied now, or None."""
        return self._log.loadable(member, self.at)

    def once(self, key: Hashable, compute: Callable[[], Found], *, given: object = None) -> Found:
        """What is the same for all who decide on these facts: computed by the first, and kept until they change.

        Args:
            key: What it is, with all that it depends on beside the facts: settings of a rule, the seed.
            compute: Gives it from `facts` and `source` alone: never from who is due.
            given: An array or another object that it was computed from as well, and that is not written to
                afterwards. Only who gives this very object gets what was kept.

        Returns:
            What `compute` gave, now or before; others get it too, so do not write to it.
        """
        return self.facts.once(key, compute, given=given)

    def donors(self) -> NDArray[np.bool_]:
        """Which of `facts` are fit to be copied: healthy, and not the member that is due. `source` may still fail."""
        fit: NDArray[np.bool_] = self.facts.healthy.copy()
        if self.place is not None:
            fit[self.place] = False
        return fit
