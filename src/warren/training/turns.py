"""The worker's side of the store: report, take the next member, decide for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from warren.errors import CheckpointDamaged, CheckpointMissing, InvalidValue, RunFailed, StaleLease, StaleView
from warren.population import (
    CheckpointRow,
    EventRow,
    IntervalRow,
    Keys,
    Log,
    MemberRow,
    Report,
    RunRow,
    View,
    boundary,
    changed,
)
from warren.stores import Store, Turn
from warren.strategies import decide
from warren.training.deferred import Deferred, ahead, commit
from warren.training.member import interval_keys
from warren.training.settings import Settings
from warren.training.states import States


class Turns:
    """Hands out one member after another until the run has no more work for this worker.

    Args:
        store: The run.
        states: Where states are kept.
        settings: The fixed part of the run.
        worker: Who asks; registered in the store.
        clock: Seconds that only grow.
        sleep: Waits for some seconds.
        stopping: Whether the worker has been asked to stop at the end of the interval.
        observe: Called after each turn, between transactions; for progress.
        alone: Whether no other worker is known to the run. A decision may wait for its report then: nobody else gives
            the donor's checkpoint up meanwhile.
    """

    def __init__(
        self,
        store: Store,
        states: States,
        settings: Settings,
        *,
        worker: str,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        stopping: Callable[[], bool] = lambda: False,
        observe: Callable[[], None] = lambda: None,
        alone: Callable[[], bool] = lambda: False,
    ) -> None:
        self.store = store
        self.states = states
        self.settings = settings
        self.worker = worker
        self.clock = clock
        self.stopping = stopping
        self.log = Log(settings.goal, history=settings.history)
        self.ended: str | None = None
        self.waited = 0.0
        self.carried = 0.0
        self._sleep = sleep
        self._observe = observe
        self._alone = alone
        self._row: MemberRow | None = None
        self._run: RunRow | None = None
        self._aside: frozenset[int] = frozenset()
        self._due: int | None = None
        self._seen: int | None = None
        self._deferred: Deferred | None = None
        self._leaving = False
        self._first = store.run().revision

    def keys(self, row: MemberRow) -> Keys:
        """The key of the interval that a member is about to train; see `interval_keys`."""
        return interval_keys(self.settings, row)

    def owner(self, name: str) -> CheckpointRow:
        """Whose state a checkpoint is."""
        return self.store.checkpoint(name)

    def elsewhere(self, row: MemberRow) -> bool:
        """Whether another worker trained the member last."""
        last = self.log.newest(row.member, row.budget)
        return last is not None and last.worker != self.worker

    def checkpoint_due(self, status: str) -> bool:
        """Whether the interval that is about to be reported ends with a checkpoint."""
        if self._row is None or self._run is None or status == "diverged":
            return False
        # Asked once for the checkpoint and for leaving, so that no member is let go without its state.
        self._leaving = self.stopping()
        report = Report(score=None, status="pending", due=self._due)
        interval = self._row.budget + 1
        return (
            self._leaving
            or self._run.status != "running"
            or interval % self.settings.checkpoint_every == 0
            or boundary(self._row, report, self._run.limit)
        )

    def next(self, report: Report | None = None) -> MemberRow | None:
        """End the present interval, if any, and take the next member.

        Args:
            report: Of the interval that the last returned member was trained for; None at the start, and after that
                interval failed.

        Returns:
            The member to train, decided for and under a lease, or None where there is nothing more to do; then
            `ended` says why.
        """
        self.waited = 0.0
        if self.log.revision == 0:
            self._take_in(self.store.recent(self.settings.history))
        turn = self._ask(report)
        while turn is not None:
            self._take_in(turn)
            if turn.ended is not None:
                self.ended = turn.ended
                break
            if turn.row is not None:
                self._row = turn.row  # held from now on: whoever handles an error of the strategy gives it back
                self._due = self._seen = self._deferred = None  # a decision whose interval failed is not this one's
                row = self._decided(turn.row)
                if row is not None:
                    self._row = row
                    self._observe()
                    return row
                turn = self._ask(None)
                continue
            turn = self._wait()
        self._row = None
        self._observe()
        return None

    def fail(self, error: str) -> None:
        """Give the present member back after user code raised.

        Args:
            error: The traceback.

        Raises:
            RunFailed: Nothing has ever worked in this run, and failures repeat: the code is wrong.
        """
        if self._row is None or self._row.token is None:
            return
        self._settle()
        with contextlib.suppress(StaleLease):
            self.store.fail(self._row.token, error)
        self._row = None
        give_up(self.store, self.settings, self._first, error)

    def damaged(self, error: str) -> None:
        """Give the present member back after its state could not be loaded: it falls back to an older one.

        Args:
            error: The traceback, for the case that everything can be loaded now: then it is a failure like others.
        """
        row = self._row
        if row is None or row.token is None:
            return
        lost = unloadable(self.states, row)
        if not lost:
            self.fail(error)
            return
        self._settle()
        self._row = None
        with contextlib.suppress(StaleLease):
            self.store.damaged(lost, row.token)

    def release(self) -> None:
        """Give the present member back without a fault."""
        if self._row is not None and self._row.token is not None:
            self._settle()
            with contextlib.suppress(StaleLease):
                self.store.release(self._row.token)
            self._row = None

    def warn(self, message: str) -> None:
        """Say something once in this run."""
        self.store.note(EventRow(kind="warning", body=message))

    def _take_in(self, turn: Turn) -> RunRow:
        """Know what a turn tells: everything as of one revision, which is what a decision is taken on."""
        take_in(self.log, turn.news, turn.run, self.store)
        self._run, self._aside = turn.run, turn.aside
        return turn.run

    def _ask(self, report: Report | None) -> Turn | None:
        row, self._row = self._row, None
        if report is None or row is None or row.token is None:
            return None if self._stop() else self.store.claim(self.worker, since=self.log.revision)
        report = changed(report, due=self._due, seen=self._seen)
        # Forgotten before it is known to be stored: carried out again, it would be a second decision.
        deferred, self._deferred = self._deferred, None
        self._due = self._seen = None
        since, more = self.log.revision, not self._leaving
        try:
            if deferred is None:
                return self.store.report(row.token, report, since=since, more=more)
            return self.store.report(
                row.token, report, since=since, more=more,
                plan=deferred.plan, seen=deferred.seen, memory_version=deferred.memory_version,
            )  # fmt: skip
        except StaleLease:
            self.warn(
                f"member {row.member} was given to another worker while its interval {row.budget + 1} ran here; "
                "that work does not count"
            )
            return None if self._stop() else self.store.claim(self.worker, since=self.log.revision)
        except StaleView:
            self._row = row
            self.release()
            self.warn(
                f"the state that member {row.member} had copied was given up by another worker while its interval "
                f"{row.budget + 1} ran here; that work does not count, and the member is decided for again"
            )
            return None if self._stop() else self.store.claim(self.worker, since=self.log.revision)
        except BaseException:
            self._row = row  # still held: whoever handles the error gives it back
            raise

    def _stop(self) -> bool:
        if self.stopping():
            self.ended = "left"
            return True
        return False

    def _wait(self) -> Turn | None:
        """Wait until a member may be free: others hold them all, or the synchronous round is not over."""
        pause = 0.001
        known = self.log.revision
        while not self._stop():
            self._sleep(pause)
            self.waited += pause
            pause = min(pause * 1.5, 0.05)
            self._take_in(self.store.changes(self.log.revision))
            if self.log.revision != known:
                return self.store.claim(self.worker, since=self.log.revision)
        return None

    def _decided(self, row: MemberRow) -> MemberRow | None:
        """Let the strategy decide where the member is due; None where the decision took it away from us."""
        if row.budget < row.due or self._run is None or row.token is None:
            return row
        decided = decide_in(self.store, self.settings, self.log, row, self._run, self._aside, carry_out=self._carry_out)
        self._run, self._aside = decided.run, decided.aside
        self._due, self._seen = decided.due, decided.seen
        return decided.row

    def _carry_out(self, row: MemberRow, deferred: Deferred) -> MemberRow:
        """Have a decision carried out: with the report where that can wait, else now."""
        after = ahead(self.store, row, deferred.plan) if self._alone() else None
        if after is None:
            return commit(self.store, row, deferred)
        self._deferred = deferred
        return after

    def _settle(self) -> None:
        """Carry out what waits for a report that does not come; what becomes of the member, comes after that."""
        deferred, self._deferred = self._deferred, None
        if deferred is not None and self._row is not None:
            with contextlib.suppress(StaleLease, StaleView):
                commit(self.store, self._row, deferred)


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What came of a decision.

    Attributes:
        row: The member after it, or None where the decision took it away from its worker.
        due: Its next decision, where it goes on as it is: that needs no transaction, the next report carries it.
        seen: Revision of the view, likewise.
        run: The run as it is known now.
        aside: Members, likewise.
    """

    row: MemberRow | None
    due: int | None = None
    seen: int | None = None
    run: RunRow
    aside: frozenset[int]


def decide_in(
    store: Store,
    settings: Settings,
    log: Log,
    row: MemberRow,
    run: RunRow,
    aside: frozenset[int],
    *,
    carry_out: Callable[[MemberRow, Deferred], MemberRow] | None = None,
) -> Decided:
    """Let the strategy decide for a member that is due, and the store carry it out.

    Args:
        store: The run.
        settings: Its fixed part.
        log: What is known; brought up to date where the decision cannot be carried out any more.
        row: The member, under a lease.
        run: The run as of the log's revision.
        aside: Numbers of the members that are set aside.
        carry_out: Has a decision carried out, and gives the member as it is after it; by default `commit`.

    Raises:
        InvalidValue: The strategy plans what cannot be carried out.
    """
    while True:
        view = view_for(row, settings, run, log, aside)
        plan = decide(settings.strategy, view, settings.seed)
        if not plan.actions and plan.memory is None:
            due = row.budget + max(1, plan.intervals)
            return Decided(row=row, due=due, seen=view.revision, run=run, aside=aside)
        deferred = Deferred(plan=plan, seen=view.revision, memory_version=run.memory_version)
        try:
            after = commit(store, row, deferred) if carry_out is None else carry_out(row, deferred)
        except StaleView as stale:
            turn = store.changes(log.revision)
            take_in(log, turn.news, turn.run, store)
            run, aside = turn.run, turn.aside
            if log.revision == view.revision:  # nothing has changed, so the next plan would be this one
                raise InvalidValue(
                    f"the strategy {type(settings.strategy).__name__} plans for member {row.member} what cannot be "
                    f"carried out: {stale}. It may only name checkpoints that its view offers"
                ) from None
            continue
        except StaleLease:
            return Decided(row=None, run=run, aside=aside)
        if plan.memory is not None:  # who decides next without asking the store must know of it
            run = changed(run, memory=plan.memory, memory_version=run.memory_version + 1)
        return Decided(row=after if after.token == row.token else None, run=run, aside=aside)


def view_for(row: MemberRow, settings: Settings, run: RunRow, log: Log, aside: frozenset[int]) -> View:
    """What a strategy sees when it decides for a member.

    Args:
        row: The member.
        settings: The fixed part of the run.
        run: The run as of the log's revision.
        log: What is known.
        aside: Numbers of the members that are set aside.
    """
    return View(
        space=settings.space,
        goal=settings.goal,
        due=row,
        log=log,
        size=settings.population,
        limit=run.limit,
        memory=run.memory,
        memory_version=run.memory_version,
        aside=aside,
    )


def take_in(log: Log, news: Iterable[IntervalRow], run: RunRow, store: Store) -> None:
    """Let a log know what is new, and forget what no decision looks at any more."""
    log.update(news, run.revision)
    if log.crowded:
        active = (row.budget for row in store.members() if row.state in ("waiting", "leased"))
        log.prune(min(active, default=run.limit))


def unloadable(states: States, row: MemberRow) -> dict[str, str]:
    """The checkpoints of a member that are damaged or missing, each with what is wrong with it."""
    lost: dict[str, str] = {}
    for name in (row.start, row.kept, *row.sources, *row.opponents):
        if name is not None and name not in lost:
            try:
                states.load(name)
            except (CheckpointDamaged, CheckpointMissing) as damage:
                lost[name] = str(damage)
    return lost


def give_up(store: Store, settings: Settings, since: int, error: str) -> None:
    """End a run in which nothing has ever worked and failures repeat: the code is wrong.

    Args:
        store: The run.
        settings: Its fixed part.
        since: Revision at which this worker began.
        error: The last failure.

    Raises:
        RunFailed: It has ended.
    """
    run = store.run()
    if run.total == 0 and run.status == "running":
        failures = [event for event in store.events(since) if event.kind == "failure"]
        whom = {event.member for event in failures}  # one bad member says nothing of the code
        if len(failures) >= run.tries and len(whom) >= min(settings.population, run.tries):
            last = error.strip().splitlines()[-1]
            store.update(status="failed", reason=f"no interval has succeeded: {last}")
            raise RunFailed(f"no interval has succeeded and {len(failures)} have failed, the last with:\n{error}")
