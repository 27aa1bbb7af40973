"""The whole population as one program: all members are trained at once, in this process."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from warren.engines.base import Job
from warren.engines.front import Front
from warren.engines.here import Here, present
from warren.engines.progress import WAITS, Waits
from warren.engines.recorder import Done, Recorder
from warren.engines.say import say
from warren.errors import (
    CheckpointDamaged,
    CheckpointMissing,
    InvalidType,
    InvalidValue,
    RunFailed,
    StaleLease,
    StaleView,
    WarrenError,
)
from warren.population import EventRow, Log, MemberRow, changed
from warren.stacked import Lift, Outcome, Stack, columns, nested
from warren.stacked.loop import LoopLift
from warren.state import Tree
from warren.stores import Round as Written
from warren.training import Liftable, Rng, Settings, StackedTask, Task
from warren.training.combining import combined, to_combine
from warren.training.member import birth_rng, interval_keys
from warren.training.rng import seed_everything
from warren.training.turns import decide_in, give_up, take_in, unloadable
from warren.values import Json

FUSED = 16
"""The most intervals of one call of the program, so that there is something to see and to stop at."""


@dataclass(frozen=True, kw_only=True)
class Vectorised:
    """Trains all members at once, as one program on each device.

    The members that are least trained make a round: the strategy decides for those that are due, exploits are one
    gather along the member axis, and the program trains all of them until the next of them is due. The round before is
    made durable meanwhile: one transaction, lagging by one round at most.

    Args:
        devices: Where, as the framework names them: ``"cuda:0"`` or ``"cpu"`` for torch, ``"gpu:0"`` for JAX. Members
            are dealt out evenly. Default: the first GPU or other accelerator that the framework sees, else the CPU.
        chunk: The most members that one program trains at a time on a device, where all do not fit; default: all.
        fused: The most intervals of one call, where nothing is to be decided in between.
    """

    devices: tuple[str, ...] | None = None
    chunk: int | None = None
    fused: int = FUSED
    waits: Waits = WAITS

    def __post_init__(self) -> None:
        given: object = self.devices
        if isinstance(given, str) or (given is not None and not isinstance(given, Sequence)):
            raise InvalidType(f"Vectorised: devices must be names such as ('cuda:0',), but got {given!r}")
        if self.devices is not None:
            if not self.devices:
                raise InvalidValue("Vectorised: devices must not be empty; leave it out for the framework's own")
            object.__setattr__(self, "devices", tuple(self.devices))
        for name, value in (("chunk", self.chunk), ("fused", self.fused)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise InvalidValue(f"Vectorised: {name} must be a whole number of at least 1, but got {value!r}")

    def record(self) -> Json:
        """What is recorded of it, so that a run is resumed as it was made."""
        devices: Json = None if self.devices is None else list(self.devices)
        return {"devices": devices, "chunk": self.chunk, "fused": self.fused}

    @classmethod
    def of(cls, record: Json) -> Vectorised:
        """The engine that `record` describes."""
        given: dict[str, Any] = dict(record) if isinstance(record, dict) else {}
        return cls(**given)

    def run(self, job: Job) -> None:
        """Work until the run has no more of it; see `Engine`."""
        task = liftable(job.train)
        rebuilt = sorted(job.settings.space.rebuild)
        if rebuilt:
            raise InvalidValue(
                f"hyperparameter {rebuilt[0]!r} is declared with rebuild=True: it shapes the state, and all members of "
                "one program have one shape; take it out of the space, or use engine='processes'"
            )
        if job.settings.space.conditions:
            name, needs = min(job.settings.space.conditions.items())
            raise InvalidValue(
                f"hyperparameter {name!r} exists only with certain values of {min(needs)!r}: in one program all "
                "members have all hyperparameters; take the condition out, or use engine='processes'"
            )
        with present(job, self.waits, __file__) as here:
            worker = _Worker(self, job, task, here)
            while worker.session():
                pass


def liftable(train: object) -> Liftable:
    """The task that a training function is.

    Raises:
        InvalidValue: It is a loop, which cannot be run for all members at once.
    """
    if isinstance(train, (Task, StackedTask)):
        return train
    raise InvalidValue(
        "engine='vectorised' trains a warren.Task or warren.StackedTask, whose functions take a state and give a "
        f"state, but got {train!r}; docs/vectorised.md shows the way from a loop to it, and engine='processes' runs "
        "the loop as it is"
    )


class _Worker:
    """One worker's work on a run.

    Args:
        how: The engine.
        job: The run.
        task: What is trained.
        here: The worker.
    """

    def __init__(self, how: Vectorised, job: Job, task: Liftable, here: Here) -> None:
        self._how = how
        self._job = job
        self._task = task
        self._here = here
        self._lifts: list[Lift] = []
        self._first = job.store.run().revision
        self._clock = time.perf_counter
        self._pause = 0.05

    # -- a session: from the record, until something happens that only the record knows -------------------------

    def session(self) -> bool:
        """Take all members, and train them round by round. False where the run has no more for this worker."""
        store, settings = self._job.store, self._job.settings
        if self._here.stopping:
            return False
        log = Log(settings.goal, history=settings.history)
        recent = store.recent(settings.history)
        log.update(recent.news, recent.run.revision)
        claimed = store.claim_all(self._here.worker, since=log.revision)
        take_in(log, claimed.news, claimed.run, store)
        if claimed.ended is not None:
            return False
        if claimed.run.status != "running":  # members that rested when a round met the stopping rule
            for row in claimed.rows.values():
                store.release(str(row.token))
            return False
        if not claimed.rows:  # others hold them all
            time.sleep(self._pause)
            self._pause = min(1.0, 1.5 * self._pause)
            self._here.observe()
            return True
        self._pause = 0.05
        self._here.begins()
        front = Front(settings, claimed.run, claimed.rows, log, claimed.aside)
        for member in front.turn():
            row = front.rows[member]
            if row.budget >= row.due:
                decided = decide_in(store, settings, log, row, front.run, claimed.aside)
                if decided.row is None:
                    return True
                front.committed(decided)
        members = sorted(front.rows)
        stack = self._stack(front, members)
        if stack is None:
            return True
        recorder = Recorder(store, self._job.states, self._here.worker, front.rows, log.revision)
        return self._rounds(front, stack, recorder, {member: place for place, member in enumerate(members)})

    def _stack(self, front: Front, members: Sequence[int]) -> Stack | None:
        """The states of the members; None where one of them was damaged, and its member fell back."""
        settings, states = self._job.settings, self._job.states
        fresh: dict[int, tuple[int, Mapping[str, object]]] = {}
        stored: dict[int, Tree] = {}
        loaded: dict[str, Tree] = {}
        for place, member in enumerate(members):
            row = front.rows[member]
            if row.start is None:
                fresh[place] = (birth_rng(settings, row).seed, row.hyperparameters)
                continue
            try:
                if to_combine(row):
                    stored[place] = _state(self._combined(row))
                    continue
                if row.start not in loaded:
                    loaded[row.start] = states.load(row.start)
            except (CheckpointDamaged, CheckpointMissing) as error:
                lost = unloadable(states, row) or {row.start: str(error)}
                self._job.store.damaged(lost, str(row.token))
                return None
            stored[place] = _state(loaded[row.start])
        with self._one_program():
            if not self._lifts:
                self._lifts = self._lifted(front.rows[members[0]])
            return Stack(self._lifts, len(members), chunk=self._how.chunk, fresh=fresh, stored=stored)

    def _combined(self, row: MemberRow) -> Tree:
        """A state that is made of several, as a slot makes it."""
        settings = self._job.settings
        seed = birth_rng(settings, row).seed

        def fresh() -> Tree:
            seed_everything(seed)
            return {"state": self._task.fresh(seed, nested(row.hyperparameters))}

        with self._one_program():
            return combined(settings, row, self._job.states, interval_keys(settings, row), fresh)

    def _lifted(self, row: MemberRow) -> list[Lift]:
        """The task on each device."""
        columns([row.hyperparameters])  # before anything is made: members can only differ in numbers
        rng = birth_rng(self._job.settings, row)
        seed_everything(rng.seed)
        lifts = [self._task.lift(rng.seed, row.hyperparameters, device) for device in self._how.devices or (None,)]
        if isinstance(lifts[0], LoopLift):
            say(
                "warren: the task's arrays are NumPy's, which has no vmap: its members are trained one after another; "
                "docs/vectorised.md shows how to write it for all at once"
            )
        return lifts

    # -- rounds -------------------------------------------------------------------------------------------------

    def _rounds(self, front: Front, stack: Stack, recorder: Recorder, places: Mapping[int, int]) -> bool:
        """Train round by round, until the record has to be asked again; see `session`."""
        ended = self._clock()
        done: Done | None = None
        try:
            while front.rows and not self._here.stopping:
                members = front.turn()
                if not front.decide(members):
                    break
                self._arrange(front, stack, members, places)
                if done is not None:
                    recorder.begin(done)
                begun = self._clock()
                # The first one alone: there is something to see soon, and later stretches have one length.
                most = self._how.fused if recorder.begun else 1
                outcome, length = self._train(front, stack, members, places, most)
                overhead, seconds, ended = begun - ended, self._clock() - begun, self._clock()
                self._here.took(overhead + seconds)
                written, done = done, None
                if written is not None:
                    if not self._as_expected(recorder, written):
                        return True
                    self._here.observe()  # now there is something on record
                share = 1 / (length * len(members))
                trained = front.take_in(members, places, outcome, seconds * share, overhead * share)
                done = Done(trained=trained, places=places, picture=stack.picture(), rows=dict(front.rows))
                if outcome.failures:
                    break
            if done is not None:
                recorder.begin(done)
                last = self._written(recorder, done)
                if last is not None:
                    self._here.observe()
                    self._failed(last, outcome, members, places)
        except BaseException:
            recorder.leave()
            raise
        return True

    def _arrange(self, front: Front, stack: Stack, members: Sequence[int], places: Mapping[int, int]) -> None:
        """Carry out on the device what was decided."""
        copies, fresh = front.moves(members)
        if copies:
            sources = np.arange(len(places))
            for member, donor in copies.items():
                sources[places[member]] = places[donor]
            stack.exploit(sources)
        if fresh:
            rows = {places[member]: front.row(member) for member in fresh}
            settings = self._job.settings
            with self._one_program():
                stack.replace({p: (birth_rng(settings, row).seed, row.hyperparameters) for p, row in rows.items()})

    def _train(
        self, front: Front, stack: Stack, members: Sequence[int], places: Mapping[int, int], most: int
    ) -> tuple[Outcome, int]:
        """Train some members until one of them is due; gives what they report, and for how many intervals."""
        settings = self._job.settings
        rows = [front.row(member) for member in places]
        length = front.length(members, most)
        keys = [[_keys(settings, row, k) for row in rows] for k in range(length)]
        turn = set(members)
        active = np.array([member in turn for member in places])
        # What draws from a global generator repeats as well, though not as on other engines.
        seed_everything(keys[0][places[members[0]]][0].seed)
        with self._one_program():
            return stack.train(columns([row.hyperparameters for row in rows]), keys, active), length

    @contextmanager
    def _one_program(self) -> Iterator[None]:
        """What user code raises is no single member's failure: it ends the run."""
        try:
            yield
        except WarrenError:
            raise
        except Exception as error:
            told = traceback.format_exc()
            last = told.strip().splitlines()[-1]
            self._job.store.update(status="failed", reason=f"the program of all members failed: {last}")
            raise RunFailed(f"the program of all members failed with:\n{told}") from error

    def _written(self, recorder: Recorder, done: Done) -> Written | None:
        """Wait for a round that is being written; None where its members were given to others meanwhile."""
        try:
            return recorder.wait()
        except (StaleLease, StaleView):
            self._job.store.note(
                EventRow(
                    kind="warning",
                    body=f"members were given to other workers, or lost their states, while a round of "
                    f"{len(done.trained)} ran here; that work does not count",
                )
            )
            return None

    def _as_expected(self, recorder: Recorder, done: Done) -> bool:
        """Whether the record says what this worker went on from; else somebody or something else had a say."""
        written = self._written(recorder, done)
        if written is None or written.run.status != "running" or written.rows.keys() != done.rows.keys():
            return False
        if len(written.news) != sum(len(one.reports) for one in done.trained):
            return False  # others have reported, or a score came late: decisions must know of it
        return all(_facts(row) == _facts(done.rows[member]) for member, row in written.rows.items())

    def _failed(self, written: Written, outcome: Outcome, members: Sequence[int], places: Mapping[int, int]) -> None:
        """Give back members whose functions raised, where they are trained one by one."""
        for member in members:
            error = outcome.failures.get(places[member])
            token = written.rows[member].token if member in written.rows else None
            if error is not None and token is not None:
                self._job.store.fail(token, error)
                give_up(self._job.store, self._job.settings, self._first, error)


def _state(tree: Tree) -> Tree:
    """What a task keeps, in what was stored.

    Raises:
        InvalidValue: A loop stored it.
    """
    if not isinstance(tree, dict) or "state" not in tree:
        held = sorted(name for name in tree if name != "warren") if isinstance(tree, dict) else []
        raise InvalidValue(
            f"the state to begin from holds what a loop tracked ({', '.join(held) or 'nothing'}), and a task goes on "
            "from a state of its own; begin from a run of a task"
        )
    return tree["state"]


def _facts(row: MemberRow) -> tuple[object, ...]:
    return row.budget, row.age, row.failures, row.birth, row.due, row.origin, row.hyperparameters


def _keys(settings: Settings, row: MemberRow, k: int) -> tuple[Rng, Rng]:
    """The keys of a member's training and evaluation, `k` intervals from now; as `Member.key` has them."""
    keys = interval_keys(settings, changed(row, budget=row.budget + k))
    return Rng(keys, "user/train"), Rng(keys, "user/evaluate")
