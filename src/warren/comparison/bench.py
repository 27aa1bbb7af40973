"""One run of a comparison after another, in one store, each carried out once however often it is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from warren import runs
from warren.comparison import replicate as reading
from warren.comparison.arms import Arm, Seeded
from warren.comparison.design import RECORD, Design, declared
from warren.comparison.replicate import Replicate
from warren.engines import entry_of
from warren.errors import InvalidType, InvalidValue, RunFailed
from warren.population import Stop
from warren.results import Result
from warren.runs.opening import open_store, verified
from warren.runs.working import told
from warren.training import Settings
from warren.training.record import record_of
from warren.values import Json, dump


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where runs are made.

    Attributes:
        train: Gives the task of a seed.
        design: What is compared.
        counted: Nobody gave a budget: every interval must cost 1.
        store: The file that keeps the runs, or None.
        options: Others of `warren.run`.
        tell: Takes a line after each run.
        said: What runs told of so far; how much disk they need is the same for most of them.
    """

    train: Seeded
    design: Design
    counted: bool
    store: str | os.PathLike[str] | None
    options: Mapping[str, Any]
    tell: Callable[[str], None]
    said: set[str] = field(default_factory=set)

    def declared(self) -> Bench:
        """The bench with its design on record, where there is a store."""
        if self.store is None:
            return self
        if not isinstance(self.store, (str, os.PathLike)):
            raise InvalidType(f"store must be the path of a SQLite file, but got {self.store!r}")
        design = self.design
        opened = verified(open_store(self.store, RECORD, create=True))
        with closing(opened.store):
            settings: dict[str, Json] = {
                **record_of(self._settings(design.arms[design.candidate])),
                "entry": dump(entry_of(self.train.make(design.seed))),
                "threads": 1,
                "intervals": design.intervals,
                "population": 0,  # of the run that keeps the design
            }
            return replace(self, design=declared(opened, design, settings, told))

    def replicate(self, name: str, arm: Arm, seed: int) -> Replicate:
        """A strategy's run on a seed, carried out or gone on with where it is not over, as far as its budget goes.

        Raises:
            InvalidValue: Intervals cost other than 1, and nobody said how much a run may spend.
        """
        design = self.design
        result = self._over(f"{name}/{seed}") or self._run(name, arm, seed)
        with closing(result.store):
            found = reading.replicate(
                result, arm=name, seed=seed, goal=design.goal, held_out=design.held_out, budget=design.budget
            )
        if found.uneven and self.counted:
            raise InvalidValue(
                f"run {name}/{seed} reports intervals that cost other than 1, so population x intervals is no budget; "
                "give budget= in the unit of report(cost=...); where cost is a metric of your own, report it under "
                "another name"
            )
        said = "no finite score" if found.final is None else f"{design.held_out} {found.final.held_out:.5g}"
        self.tell(f"{name}/{seed}: {said}, {found.cost:g} of {design.budget:g} units, {found.wall:.1f} s")
        return found

    def _over(self, run: str) -> Result | None:
        """A run that has come to its end, for looking at; what was trained once is not trained again."""
        if self.store is None or not Path(self.store).exists():
            return None
        opened = open_store(self.store, run, create=False)
        if opened.store.exists() and opened.store.run().status != "running" and opened.store.run().total:
            return opened.result(goal=self.design.goal, held_out=self.design.held_out)
        opened.store.close()
        return None

    def _run(self, name: str, arm: Arm, seed: int) -> Result:
        settings, last = self._settings(arm), _Last()
        try:
            return runs.run(
                self.train.make(seed),
                space=settings.space,
                goal=settings.goal,
                population=settings.population,
                intervals=arm.intervals or self.design.intervals,
                strategy=arm.strategy,
                seed=seed,
                store=self.store,
                name=f"{name}/{seed}",
                held_out=settings.held_out,
                # Where intervals cost other than 1, more may be trained than counts.
                stop=Stop(intervals=int(self.design.budget)) if self.counted else None,
                watch=last,
                tell=self._told,
                **self.options,
            )
        except RunFailed:
            # All its members have failed too often: that is how the strategy did on this seed.
            if last.result is None or not last.result.run.total:
                raise
            return last.result

    def _told(self, line: str) -> None:
        """A line of a run, unless an earlier run told the very same."""
        if line not in self.said:
            self.said.add(line)
            told(line)

    def _settings(self, arm: Arm) -> Settings:
        design = self.design
        return Settings(
            space=design.space,
            strategy=arm.strategy,
            goal=design.goal,
            population=arm.population or design.population,
            seed=design.seed,
            held_out=design.held_out,
        )


class _Last:
    """A `watch` that shows nothing and keeps what it was called with last."""

    def __init__(self) -> None:
        self.result: Result | None = None

    def __call__(self, result: Result) -> None:
        self.result = result
