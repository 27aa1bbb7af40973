"""The chain of intervals that led to a state, and the schedule of hyperparameters along it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from warren.errors import InvalidValue
from warren.population import IntervalRow


def lineage(intervals: Mapping[int, IntervalRow], end: int) -> list[IntervalRow]:
    """The intervals from a fresh state to the end of one interval.

    Args:
        intervals: All reports by id.
        end: Id of the last one.

    Returns:
        The chain, oldest first; one interval for each unit of age. Where a state was made of several, the first
        parent is followed.
    """
    chain: list[IntervalRow] = []
    id: int | None = end
    while id is not None and id in intervals:
        row = intervals[id]
        chain.append(row)
        id = row.parents[0] if row.parents else None
    chain.reverse()
    return chain


@dataclass(frozen=True, kw_only=True)
class Step:
    """One interval of a schedule.

    Attributes:
        age: Which interval of the state's history, from 1.
        hyperparameters: What it was trained with.
        score: What it reached, or None where it was not known.
        member: Who trained it.
        copied: The state was taken over from another member just before.
    """

    age: int
    hyperparameters: dict[str, Any]
    score: float | None = None
    member: int = 0
    copied: bool = False


class Schedule(Sequence[Step]):
    """The hyperparameters along a lineage, one step for each interval: what made the model.

    ``schedule.at(age)`` gives the values for the interval that takes a state to that age, so that a plain training
    loop can follow it.

    Args:
        steps: Oldest first.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = tuple(steps)

    @classmethod
    def of(cls, chain: Sequence[IntervalRow]) -> Schedule:
        """The schedule of a lineage."""
        return cls(
            [
                Step(
                    age=row.age,
                    hyperparameters=row.hyperparameters,
                    score=row.score,
                    member=row.member,
                    copied=row.origin in ("exploit", "rescue"),
                )
                for row in chain
            ]
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Schedule:
        """Read what `save` wrote.

        Raises:
            InvalidValue: The file is no schedule.
        """
        try:
            body = json.loads(Path(path).read_text())
            return cls([Step(**step) for step in body["steps"]])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidValue(f"{path} is no schedule that warren saved: {error}") from None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the schedule as JSON: ``{"steps": [{"age": 1, "hyperparameters": {...}, ...}, ...]}``."""
        steps = [vars(step) for step in self._steps]
        Path(path).write_text(json.dumps({"steps": steps}, indent=1) + "\n")

    def at(self, age: int) -> dict[str, Any]:
        """Hyperparameters for the interval that leads to an age, from 1; past the end, the last ones.

        Raises:
            InvalidValue: The age is below 1, or the schedule is empty.
        """
        if age < 1 or not self._steps:
            raise InvalidValue(f"age={age!r} must be at least 1, in a schedule of {len(self._steps)} steps")
        return self._steps[min(age, len(self._steps)) - 1].hyperparameters

    def __getitem__(self, place: Any) -> Any:
        return self._steps[place]

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[Step]:
        return iter(self._steps)

    def __repr__(self) -> str:
        return f"<Schedule of {len(self)} intervals, {sum(step.copied for step in self)} copies>"
