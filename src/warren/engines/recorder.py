"""Writes rounds to the store from a thread of its own, while the next one is trained."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from warren.engines.front import Trained, donor_of
from warren.population import Assign, MemberRow, Plan, changed
from warren.stacked import Picture
from warren.state import Tree
from warren.stores import Round, Store, Stretch
from warren.training import States


@dataclass(frozen=True, kw_only=True)
class Done:
    """A round that was trained.

    Attributes:
        trained: Each member's part.
        places: Where each member's state is in the picture.
        picture: Gives the states after it.
        rows: The members that are held after it, as the record should have them.
    """

    trained: Sequence[Trained]
    places: Mapping[int, int]
    picture: Callable[[], Picture]
    rows: Mapping[int, MemberRow]


class Recorder:
    """Makes one round after another durable: first the states, then the reports that name them, in one transaction.

    Args:
        store: The run.
        states: Where states are kept.
        worker: Who holds the members.
        rows: The members that it holds.
        seen: Revision that is known.

    Attributes:
        begun: Whether a round has been begun to be written.
    """

    def __init__(self, store: Store, states: States, worker: str, rows: Mapping[int, MemberRow], seen: int) -> None:
        self._store = store
        self._states = states
        self._worker = worker
        self._tokens = {member: str(row.token) for member, row in rows.items()}
        self._seen = seen
        self._names: dict[int, dict[str, str]] = {}
        self.begun = False
        self._thread: threading.Thread | None = None
        self._written: Round | None = None
        self._error: BaseException | None = None

    def begin(self, done: Done) -> None:
        """Begin to write a round; the one before it must have been waited for."""

        def write() -> None:
            try:
                self._written = self._write(done)
            except BaseException as error:  # told to whoever waits
                self._error = error

        # A daemon: one that waits for a store that another process holds must not keep this process from ending.
        self.begun = True
        self._thread = threading.Thread(target=write, name="warren-recorder", daemon=True)
        self._thread.start()

    def wait(self) -> Round | None:
        """Wait until what was begun is durable; None where nothing was.

        Raises:
            WarrenError: It could not be written; nothing of it is in the record.
        """
        if self._thread is None:
            return None
        while self._thread.is_alive():
            self._thread.join(0.2)  # signals are handled in between
        self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error
        written, self._written = self._written, None
        return written

    def leave(self) -> None:
        """Let what is under way end, whatever comes of it."""
        with contextlib.suppress(Exception):  # what made this worker leave is what the user has to see
            self.wait()

    def _write(self, done: Done) -> Round:
        kept = [one for one in done.trained if one.name is not None]
        places = [done.places[one.before.member] for one in kept]
        saved = self._states.save_all(done.picture().encoded(places, [_beside(one) for one in kept]))
        checkpoints = {one.before.member: row for one, row in zip(kept, saved, strict=True)}
        stretches = []
        for one in done.trained:
            member = one.before.member
            # Everything that was decided on is in the record now: the round before this was written first.
            reports = [changed(one.reports[0], seen=self._seen if one.reports[0].due is not None else None)]
            reports += one.reports[1:]
            if member in checkpoints:
                reports[-1] = changed(reports[-1], checkpoint=checkpoints[member])
            plan = None if one.decision is None or one.decision.plan is None else self._named(one.decision.plan)
            stretches.append(Stretch(token=self._tokens[member], plan=plan, seen=self._seen, reports=reports))
        written = self._store.round(self._worker, stretches, since=self._seen)
        for one, row in zip(kept, saved, strict=True):
            names = self._names.setdefault(one.before.member, {})
            names[str(one.name)] = row.name
            while len(names) > 4:  # more than a decision can name
                del names[next(iter(names))]
        self._tokens = {member: str(row.token) for member, row in written.rows.items()}
        self._seen = written.run.revision
        return written

    def _named(self, plan: Plan) -> Plan:
        """The plan with the real names of the states that it copies."""
        actions = tuple(
            replace(action, sources=tuple(self._name(source) for source in action.sources))
            if isinstance(action, Assign)
            else action
            for action in plan.actions
        )
        return replace(plan, actions=actions)

    def _name(self, name: str) -> str:
        member = donor_of(name)
        return name if member < 0 else self._names[member][name]


def _beside(one: Trained) -> dict[str, Tree]:
    """What a slot would have saved beside the state; see `Slot`."""
    age = one.before.age + len(one.reports)
    return {"warren": {"hyperparameters": dict(sorted(one.before.hyperparameters.items())), "age": age}}
