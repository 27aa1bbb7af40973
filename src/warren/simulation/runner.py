"""The real strategy, store and decisions on simulated time: an event for the end of each interval."""

from __future__ import annotations

import copy
import heapq
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from warren.errors import InvalidType, InvalidValue
from warren.population import Assign, CheckpointRow, Keys, Log, MemberRow, Plan, Report, RunRow
from warren.simulation.learner import TRUE, Learner, Measured, State
from warren.simulation.outcome import Simulated
from warren.simulation.times import Durations, Failures
from warren.state import Tree
from warren.stores import Turn
from warren.stores.memory import MemoryStore
from warren.strategies import Strategy
from warren.training import Rng, Settings
from warren.training.combining import combined, to_combine
from warren.training.member import birth_rng, interval_keys
from warren.training.turns import decide_in, take_in


def simulate(
    learner: Learner,
    strategy: Strategy,
    *,
    population: int,
    seed: int,
    intervals: int | None = None,
    synchronous: bool = True,
    workers: int | None = None,
    noise: float = 0.0,
    durations: Durations | None = None,
    failures: Failures | None = None,
) -> Simulated:
    """A run of a learner on simulated time, decided on and recorded as `warren.run` does it.

    The same learner, strategy and seed give the history of ``warren.run(Loop(learner=learner), ...)``, where that is
    synchronous, or both have one worker.

    Args:
        learner: What is trained.
        strategy: Who decides.
        population: Members.
        seed: Keys every draw.
        intervals: For each member; None is the learner's own number.
        synchronous: Members wait for each other at equal progress.
        workers: How many members are trained at a time; None is all of them.
        noise: Standard deviation of what is added to every observed score, beside the learner's own noise.
        durations: How long intervals take; default: 1 each.
        failures: Which of them fail; default: none.

    Raises:
        InvalidValue: A number is out of its range, or the strategy plans what cannot be carried out.
        InvalidType: A number is none.
    """
    limit = learner.intervals if intervals is None else intervals
    workers = population if workers is None else workers
    for name, value in (("population", population), ("intervals", limit), ("workers", workers)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidType(f"{name} must be a whole number, but got {value!r}")
        if value < 1:
            raise InvalidValue(f"{name} must be at least 1, but got {value}")
    if not 0 <= noise < math.inf:
        raise InvalidValue(f"noise must be finite and not negative, but got {noise!r}")
    settings = Settings(space=learner.space, strategy=strategy, goal=learner.goal, population=population, seed=seed)
    clockwork = _Clockwork(
        learner, settings, workers=workers, noise=noise, durations=durations or Durations(),
        failures=failures or Failures(),
    )  # fmt: skip
    return clockwork.run(
        _first_plan(learner, settings), RunRow(goal=learner.goal, limit=limit, synchronous=synchronous)
    )


def _first_plan(learner: Learner, settings: Settings) -> Plan:
    """The strategy's first assignments, with the learner's hyperparameters for the first members."""
    plan = settings.strategy.start(settings.space, settings.population, Keys(seed=settings.seed, member=-1, interval=0))
    given = learner.initial(settings.population, settings.seed)
    actions = tuple(
        replace(action, hyperparameters={**action.hyperparameters, **given[action.member]})
        if isinstance(action, Assign) and action.member < len(given)
        else action
        for action in plan.actions
    )
    return replace(plan, actions=actions)


@dataclass(frozen=True, kw_only=True)
class _Going:
    """An interval that a worker is about to end.

    Attributes:
        row: The member, under its lease.
        due: As `warren.training.turns.Decided` has it.
        seen: Likewise.
        seconds: How long it takes.
        state: The state after it.
        measured: Its score, or None where the interval fails.
    """

    row: MemberRow
    due: int | None
    seen: int | None
    seconds: float
    state: State
    measured: Measured | None


class _Clockwork:
    """One simulated run.

    Args:
        learner: What is trained.
        settings: The fixed part of the run.
        workers: How many members are trained at a time.
        noise: Added to observed scores.
        durations: How long intervals take.
        failures: Which of them fail.
    """

    def __init__(
        self,
        learner: Learner,
        settings: Settings,
        *,
        workers: int,
        noise: float,
        durations: Durations,
        failures: Failures,
    ) -> None:
        self._learner = learner
        self._settings = settings
        self._workers = workers
        self._noise = noise
        self._durations = durations
        self._failures = failures
        self._store = MemoryStore()
        self._states = _States(self._store)
        self._log = Log(settings.goal, history=settings.history)
        self._events: list[tuple[float, int, str, _Going]] = []
        self._idle: deque[str] = deque()
        self._count = 0
        self._now = self._busy = self._cost = 0.0
        self._failed = 0
        self._ended = "done"
        self._times: list[float] = []

    def run(self, plan: Plan, run: RunRow) -> Simulated:
        """Let all members be trained."""
        store = self._store
        store.create(run, {}, plan)
        self._idle.extend(str(worker) for worker in range(self._workers))
        self._wake()
        while self._events:
            self._now, _, worker, going = heapq.heappop(self._events)
            if self._take_on(worker, self._end(worker, going)):
                self._wake()
        best = store.run().best
        return Simulated(
            goal=self._settings.goal,
            intervals=store.intervals(),
            times=self._times,
            best=None if best is None else store.interval(best),
            ended=self._ended,
            workers=self._workers,
            makespan=self._now,
            busy=self._busy,
            cost=self._cost,
            failures=self._failed,
        )

    def _wake(self) -> None:
        """Let idle workers take what may be claimed now."""
        going = True
        while going and self._idle:  # what one cannot claim no other can
            worker = self._idle.popleft()
            going = self._take_on(worker, self._store.claim(worker, since=self._log.revision))

    def _take_on(self, worker: str, turn: Turn) -> bool:
        """Let a worker begin what a turn hands it; whether there was something."""
        while True:
            take_in(self._log, turn.news, turn.run, self._store)
            row, due, seen = turn.row, None, None
            if row is None:
                self._ended = turn.ended or self._ended
                self._idle.append(worker)
                return False
            if row.budget >= row.due:
                decided = decide_in(self._store, self._settings, self._log, row, turn.run, turn.aside)
                row, due, seen = decided.row, decided.due, decided.seen
            if row is not None:
                self._begin(worker, row, due, seen)
                return True
            turn = self._store.claim(worker, since=self._log.revision)

    def _begin(self, worker: str, row: MemberRow, due: int | None, seen: int | None) -> None:
        """Train an interval, whose end is an event to come."""
        settings, learner = self._settings, self._learner
        interval = row.budget + 1
        keys = interval_keys(settings, row)
        # Unlike what is trained, what happens to an interval is drawn anew where it is tried again.
        chance = replace(keys, attempt=row.failures)
        seconds = self._durations.of(chance)
        state, measured = self._start(row, keys), None
        if not self._failures.crashes(chance):
            state = learner.train(state, row.hyperparameters, interval, Rng(keys, "user/train"))
            measured = learner.score(state, interval, Rng(keys, "user/evaluate"))
            if self._failures.diverges(chance):
                measured = replace(measured, observed=math.nan)
            elif self._noise:
                drawn = float(keys.generator("user/noise").standard_normal())
                measured = replace(measured, observed=measured.observed + self._noise * drawn)
        self._count += 1
        going = _Going(row=row, due=due, seen=seen, seconds=seconds, state=state, measured=measured)
        heapq.heappush(self._events, (self._now + seconds, self._count, worker, going))

    def _start(self, row: MemberRow, keys: Keys) -> State:
        """The state that an interval starts from."""
        if to_combine(row):
            tree = combined(self._settings, row, self._states, keys, lambda: {"state": self._fresh(row)})
            state: State = tree["state"]
            return state
        return self._fresh(row) if row.start is None else self._states.of(row.start)

    def _fresh(self, row: MemberRow) -> State:
        return self._learner.begin(birth_rng(self._settings, row).seed)

    def _end(self, worker: str, going: _Going) -> Turn:
        """Report an interval, or that it failed; what the worker does next."""
        measured, token = going.measured, str(going.row.token)
        self._busy += going.seconds
        cost = 1.0 + self._durations.evaluation / self._durations.interval
        self._cost += cost
        if measured is None:
            self._failed += 1
            self._store.fail(token, "a simulated failure")
            return self._store.claim(worker, since=self._log.revision)
        finite = math.isfinite(measured.observed)
        curve = measured.curve
        report = Report(
            score=measured.observed if finite else None,
            status="ok" if finite else "diverged",
            curve=None if not curve else tuple(((i + 1) / len(curve), y) for i, y in enumerate(curve)),
            metrics={TRUE: measured.true},
            cost=cost,
            checkpoint=self._states.keep(going.state) if finite else None,
            due=going.due,
            seen=going.seen,
            seconds=going.seconds,
        )
        self._times.append(self._now)
        return self._store.report(token, report, since=self._log.revision)


class _States:
    """States by the names of their checkpoints, as long as the store keeps those."""

    def __init__(self, store: MemoryStore) -> None:
        self._states: dict[str, State] = {}
        self._named = 0
        store.on_dropped(self._forget)

    def keep(self, state: State) -> CheckpointRow:
        """Keep a state under a new name."""
        self._named += 1
        name = f"state-{self._named}"
        self._states[name] = state
        return CheckpointRow(name=name, digest=name, size=0)

    def of(self, name: str) -> State:
        """A state, not to be written to."""
        return self._states[name]

    def save(self, tree: Tree) -> CheckpointRow:
        """See `warren.training.Saver`."""
        return self.keep(tree["state"])

    def load(self, name: str) -> Tree:
        """See `warren.training.Saver`: a copy that may be written to."""
        return {"state": copy.deepcopy(self._states[name])}

    def _forget(self, names: Sequence[str]) -> None:
        for name in names:
            del self._states[name]
