"""Workers that are played against a store: what the contract suites are made of."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np

from warren.population import (
    Action,
    Assign,
    CheckpointRow,
    MemberRow,
    Plan,
    Report,
    RunRow,
    boundary,
    retained,
)
from warren.state import digest, encode
from warren.stores import Store, Turn


class Workers:
    """Plays workers against a store: claims, trains with scores that are made up, reports.

    Args:
        store: A fresh store.
        population: Members.
        limit: Intervals for each.
        stretch: Intervals until a member's first decision.
        save_every: Intervals between two checkpoints inside a stretch.
        inline: States are inside the store.
        **run: Further fields of the run.
    """

    def __init__(
        self,
        store: Store,
        *,
        population: int = 3,
        limit: int = 10,
        stretch: int = 1,
        save_every: int = 1,
        inline: bool = True,
        **run: Any,
    ) -> None:
        self.store = store
        self._save_every = save_every
        self._inline = inline
        self._names = itertools.count()
        actions = tuple(
            Assign(member=member, hyperparameters={"x": float(member)}, via="fresh", intervals=stretch)
            for member in range(population)
        )
        assert store.create(RunRow(limit=limit, **run), {"population": population}, Plan(actions=actions))

    @classmethod
    def over(cls, store: Store) -> Workers:
        """Workers on a run that is there already."""
        workers = cls.__new__(cls)
        workers.store, workers._save_every, workers._inline = store, 1, True
        workers._names = itertools.count(1_000_000)
        return workers

    def checkpoint(self) -> CheckpointRow:
        """A new state, as a worker makes it before it reports."""
        number = next(self._names)
        data = encode({"number": number}).tobytes()
        name = digest([data])
        inline = data if self._inline else None
        return CheckpointRow(name=f"{name}-{number}.safetensors", digest=name, size=len(data), inline=inline)

    def claim(self, worker: str = "w") -> MemberRow:
        """The next member, which there must be."""
        row = self.store.claim(worker, since=0).row
        assert row is not None
        return row

    def claim_member(self, member: int, worker: str = "w") -> MemberRow:
        """One member out of turn: those before it are claimed and given back."""
        passed = []
        row = self.claim(worker)
        while row.member != member:
            passed.append(row)
            row = self.claim(worker)
        for other in passed:
            self.store.release(str(other.token))
        return row

    def report(
        self, row: MemberRow, score: float | None = 0.0, *, more: bool = False, since: int = 0, **fields: Any
    ) -> Turn:
        """The end of the interval that a member trains, with a checkpoint where one is due."""
        fields.setdefault("status", "pending" if score is None else "ok" if math.isfinite(score) else "diverged")
        score = score if fields["status"] == "ok" else None
        report = Report(score=score, **fields)
        if report.checkpoint is None and self.saves(row, report):
            report = replace(report, checkpoint=self.checkpoint())
        return self.store.report(str(row.token), report, since=since, more=more)

    def saves(self, row: MemberRow, report: Report) -> bool:
        """Whether a checkpoint is due, as `warren.training` asks for one."""
        if report.status == "diverged":
            return False
        ends = boundary(row, report, self.store.run().limit) or row.next is not None
        return ends or (row.budget + 1) % self._save_every == 0

    def round(self, *scores: float | None) -> None:
        """Every member trains one interval, in the order of their numbers, and ends with these scores."""
        rows = sorted((self.claim() for _ in scores), key=lambda row: row.member)
        for row, score in zip(rows, scores, strict=True):
            self.report(row, score)

    def start_of(self, member: int) -> str:
        """Name of a member's present state, which there must be."""
        start = self.store.member(member).start
        assert start is not None
        return start

    def decide(self, row: MemberRow, *actions: Action, seen: int | None = None, **plan: Any) -> MemberRow:
        """A decision for a member on the present facts."""
        run = self.store.run()
        return self.store.commit(
            str(row.token),
            Plan(actions=actions, **plan),
            seen=run.revision if seen is None else seen,
            memory_version=run.memory_version,
        )

    def copy(self, row: MemberRow, donor: int, **assign: Any) -> MemberRow:
        """A decision that takes over another member's present state."""
        assign.setdefault("hyperparameters", {"x": -1.0})
        action = Assign(member=row.member, sources=(self.start_of(donor),), **assign)
        return self.decide(row, action)


def everything(store: Store) -> dict[str, Any]:
    """All that a store tells, to compare before and after."""
    return {
        "run": store.run(),
        "config": store.config(),
        "members": store.members(),
        "changes": list(store.changes(0).news),
        "kept": store.kept(),
        "events": store.events(),
        "workers": store.workers(),
    }


def random_step(workers: Workers, rng: np.random.Generator, held: dict[int, MemberRow]) -> str:
    """One thing that may happen to a run, drawn at random and carried out.

    Args:
        workers: Plays the run.
        rng: Draws what happens.
        held: Members that are leased at present, by number; kept up to date.

    Returns:
        What was done.
    """
    store = workers.store
    what = str(rng.choice(["claim", "report", "copy", "fail", "release", "expire", "score"], p=_SHARES))
    if what == "claim" or not held:
        row = store.claim(f"w{int(rng.integers(3))}", since=0).row
        if row is not None:
            held[row.member] = row
        return "claim"
    row = held.pop(sorted(held)[int(rng.integers(len(held)))])
    if what == "report":
        drawn = float(rng.random())
        score = math.nan if drawn < 0.05 else None if drawn < 0.15 else float(rng.normal())
        due = row.budget + 1 + int(rng.integers(3)) if row.due <= row.budget else None
        turn = workers.report(row, score, more=bool(rng.integers(2)), due=due)
        if turn.row is not None:
            held[turn.row.member] = turn.row
    elif what == "copy":
        _random_copy(workers, rng, row)
        held[row.member] = store.member(row.member)
    elif what == "fail":
        store.fail(str(row.token), "it broke", counts=bool(rng.integers(2)))
    elif what == "release":
        store.release(str(row.token))
    elif what == "expire":
        store.expire([str(row.worker)], "it died", counts=bool(rng.integers(2)))
        for member in [member for member, other in held.items() if other.worker == row.worker]:
            del held[member]
    else:
        held[row.member] = row
        pending = [one.id for one in store.intervals() if one.status == "pending"]
        if pending:
            store.score(pending[int(rng.integers(len(pending)))], float(rng.normal()))
    return what


_SHARES = (0.3, 0.35, 0.15, 0.05, 0.05, 0.02, 0.08)


def _random_copy(workers: Workers, rng: np.random.Generator, row: MemberRow) -> None:
    """A decision as strategies take them: only on a saved state, from what another member keeps."""
    if row.last is not None:
        return
    donors: list[str] = []
    for other in workers.store.members():
        if other.member != row.member:
            own = [one for one in workers.store.intervals() if one.member == other.member]
            donors += [str(one.checkpoint) for one in retained(own)]
    if donors:
        count = 1 + int(rng.integers(3))
        sources = tuple(donors[int(place)] for place in rng.integers(len(donors), size=count))
        opponents = sources if rng.random() < 0.2 else ()
        via, stretch = "copy" if count == 1 else "mean", 1 + int(rng.integers(3))
        workers.decide(
            row,
            Assign(
                member=row.member, hyperparameters={"x": 0.5}, sources=sources, via=via, opponents=opponents,
                intervals=stretch,
            ),
        )  # fmt: skip
