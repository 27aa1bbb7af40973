"""What a run gives back, read from its store."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from warren.errors import InvalidValue, RunFailed
from warren.population import EventRow, IntervalRow, MemberRow, RunRow, better
from warren.results.lineage import Schedule, lineage
from warren.state import Tree, adapt, encode
from warren.stores import Store
from warren.strategies.mopbt import fronts
from warren.training import States

if TYPE_CHECKING:
    from warren.results.sections import Section


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the run took.

    Attributes:
        wall: Wall time of all sessions, in seconds.
        training: Time inside user code, over all workers, in seconds.
        overhead: warren's own time between intervals, over all workers, in seconds. Waiting for others is not in it.
        intervals: Reported intervals.
        units: Declared units of compute.
        copies: Exploits and rescues.
    """

    wall: float
    training: float
    overhead: float
    intervals: int
    units: float
    copies: int

    @property
    def share(self) -> float:
        """warren's part of the workers' time, from 0 to 1."""
        total = self.training + self.overhead
        return self.overhead / total if total > 0 else 0.0

    def __str__(self) -> str:
        return (
            f"PBT {100 * self.share:.1f} % of workers' time: {self.overhead:.1f} s beside {self.training:.1f} s of "
            f"training, {self.intervals} interval{'s' * (self.intervals != 1)}, {self.copies} "
            f"cop{'y' if self.copies == 1 else 'ies'}, {self.wall:.1f} s in all"
        )


class Trained:
    """A trained state with what made it.

    Attributes:
        member: Who reached it.
        interval: The member's budget then.
        age: Intervals in its history.
        score: What selection saw.
        hyperparameters: Those of its last interval.
        metrics: Other numbers that were reported with the score.
        held_out: The metric that selection did not see, where the run names one.
        digest: SHA-256 of the state's bytes.
    """

    def __init__(self, row: IntervalRow, result: Result) -> None:
        self.member = row.member
        self.interval = row.interval
        self.age = row.age
        self.score = row.score
        self.hyperparameters = row.hyperparameters
        self.metrics = row.metrics
        self.held_out = row.metrics.get(result.held_out) if result.held_out is not None else None
        self._row = row
        self._result = result

    @property
    def digest(self) -> str:
        """SHA-256 of the state's bytes."""
        return self._result.store.checkpoint(self._name).digest

    @property
    def _name(self) -> str:
        if self._row.checkpoint is None:
            raise InvalidValue(f"the state of member {self.member} at interval {self.interval} was not kept")
        return self._row.checkpoint

    def state(self) -> dict[str, Any]:
        """The state as a tree by tracked names; ``["state"]`` for members whose state is a value."""
        tree: dict[str, Any] = self._result.states.load(self._name)
        return {name: part for name, part in tree.items() if name != "warren"}

    def load(self, **objects: Any) -> None:
        """Load the state into objects in place, by the names that they were tracked under.

        Args:
            **objects: For example ``net=net``.

        Raises:
            InvalidValue: The state has no part of that name.
            StateError: It does not fit.
        """
        tree = self.state()
        for name, obj in objects.items():
            if name not in tree:
                raise InvalidValue(f"load({name}=...): the state has {', '.join(tree) or 'nothing'}, not {name!r}")
            adapt(name, obj).restore(tree[name])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state as a safetensors file; tensors are called ``<tracked name>.<key>``."""
        write_state(self.state(), path)

    def __repr__(self) -> str:
        score = "?" if self.score is None else f"{self.score:.6g}"
        return f"<Trained score={score} member={self.member} interval={self.interval} {self.hyperparameters}>"


def write_state(tree: Tree, path: str | os.PathLike[str]) -> None:
    """Write a state as a safetensors file, without what warren keeps beside it.

    Args:
        tree: By tracked names.
        path: The file.
    """
    own = {name: part for name, part in tree.items() if name != "warren"} if isinstance(tree, dict) else tree
    with open(path, "wb") as file:
        for chunk in encode(own).chunks():
            file.write(chunk)


class Result:
    """The outcome of a run, finished or not.

    Args:
        store: The run.
        states: Where its states are kept.
        goal: What counts as better.
        held_out: Name of the metric that selection did not see, or None.
        name: Name of the run.
    """

    def __init__(self, store: Store, states: States, *, goal: str, held_out: str | None, name: str = "default") -> None:
        self.store = store
        self.states = states
        self.goal = goal
        self.held_out = held_out
        self.name = name

    @cached_property
    def intervals(self) -> Sequence[IntervalRow]:
        """All reports in the order in which they were stored."""
        return self.store.intervals()

    @cached_property
    def members(self) -> Sequence[MemberRow]:
        """All members as they stand."""
        return self.store.members()

    @cached_property
    def run(self) -> RunRow:
        """The run as a whole."""
        return self.store.run()

    @cached_property
    def events(self) -> Sequence[EventRow]:
        """Decisions, failures, lost workers and warnings, in order."""
        return self.store.events()

    @property
    def warnings(self) -> list[str]:
        """What warren had to say about the code."""
        return [str(event.body) for event in self.events if event.kind == "warning"]

    @cached_property
    def best(self) -> Trained:
        """The state with the best score of the whole run. That score flatters: it was selected on.

        Raises:
            RunFailed: No interval has reported a finite score.
        """
        if self.run.best is None:
            raise RunFailed("no interval has reported a finite score with a kept state, so there is no best one")
        return Trained(self.store.interval(self.run.best), self)

    @cached_property
    def final(self) -> list[Trained]:
        """The last state of each member that has a score, best first."""
        last: dict[int, IntervalRow] = {}
        kept = self.store.kept()
        for row in self.intervals:
            if row.status == "ok" and row.checkpoint in kept:
                last[row.member] = row
        rows = sorted(last.values(), key=lambda row: row.member)
        rows.sort(key=lambda row: row.score or 0.0, reverse=self.goal == "max")
        return [Trained(row, self) for row in rows]

    def front(self, *metrics: str) -> list[Trained]:
        """The states of the final population that no other one betters: its Pareto front, the best score first.

        A state is left out where another one is at least as good in the score and in every metric named, and better in
        one of them, or where one of its numbers is not finite. Equal ones stay.

        Args:
            *metrics: Names of reported metrics that count beside the score: ``"accuracy"`` where greater is better,
                ``"-latency"`` where smaller is.

        Raises:
            InvalidValue: A report does not have the metric.
        """
        final = [trained for trained in self.final if trained.score is not None]
        points = np.array([[self._objective(one, name) for name in ("", *metrics)] for one in final]).reshape(
            len(final), 1 + len(metrics)
        )
        finite = np.flatnonzero(np.isfinite(points).all(axis=1))
        return [final[place] for place in finite[fronts(points[finite]) == 0].tolist()]

    def _objective(self, trained: Trained, metric: str) -> float:
        """One number of a report, greater is better; its score for the empty name."""
        if not metric:
            return float(trained.score or 0.0) * (1.0 if self.goal == "max" else -1.0)
        name = metric.removeprefix("-")
        if name not in trained.metrics:
            raise InvalidValue(
                f"front: metrics has {metric!r}, and member {trained.member} did not report {name!r} at interval "
                f"{trained.interval}; it reported {', '.join(trained.metrics) or 'no metrics'}"
            )
        return trained.metrics[name] * (-1.0 if metric.startswith("-") else 1.0)

    def lineage(self, trained: Trained | None = None) -> list[IntervalRow]:
        """The chain of intervals that led to a state, oldest first; by default to the best one."""
        end = (trained or self.best)._row
        return lineage({row.id: row for row in self.intervals}, end.id)

    @cached_property
    def schedule(self) -> Schedule:
        """The hyperparameters along the lineage of the best state."""
        return Schedule.of(self.lineage())

    @property
    def table(self) -> list[dict[str, Any]]:
        """One row for each interval, flat: ready for pandas, polars or csv. None: it has no such hyperparameter."""
        names = dict.fromkeys(name for row in self.intervals for name in row.hyperparameters)
        return [
            {
                "member": row.member,
                "interval": row.interval,
                "age": row.age,
                "origin": row.origin,
                "parent": row.parents[0] if row.parents else None,
                "id": row.id,
                "score": row.score,
                "status": row.status,
                "seconds": row.seconds,
                **{f"hyperparameters.{name}": row.hyperparameters.get(name) for name in names},
                **{f"metrics.{name}": value for name, value in row.metrics.items()},
            }
            for row in self.intervals
        ]

    @property
    def cost(self) -> Cost:
        """What the run took."""
        return Cost(
            wall=self.run.elapsed,
            training=sum(row.seconds for row in self.intervals),
            overhead=sum(row.overhead for row in self.intervals),
            intervals=len(self.intervals),
            units=sum(row.cost for row in self.intervals),
            copies=sum(row.origin in ("exploit", "rescue") for row in self.intervals),
        )

    @property
    def digest(self) -> str:
        """One digest over the last state of every member: equal for two runs that ended alike."""
        lines = []
        for member in self.members:
            digest = self.store.checkpoint(member.start).digest if member.start is not None else "-"
            lines.append(f"{member.member} {member.budget} {digest}")
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def improved(self) -> list[tuple[int, float]]:
        """The best score so far after each interval that bettered it, as (intervals of the population, score)."""
        found: list[tuple[int, float]] = []
        for count, row in enumerate(self.intervals, start=1):
            if row.score is not None and (
                not found or better(row.score, found[-1][1], "max" if self.goal == "max" else "min")
            ):
                found.append((count, row.score))
        return found

    def report(self, path: str | os.PathLike[str], *, sections: Sequence[Section] = ()) -> None:
        """Write one HTML file with the curves, the schedule and the family tree; it opens without a network.

        Args:
            path: The file.
            sections: What else to show: headings, words and pictures of your own.

        Raises:
            MissingExtra: Plotly is not installed.
        """
        from warren.results.report import render

        Path(path).write_text(render(self, sections), encoding="utf-8")

    def __repr__(self) -> str:
        best = repr(self.best) if self.run.best is not None else "none yet"
        return f"<Result {self.run.status}, {self.run.total} intervals, best {best}>"
