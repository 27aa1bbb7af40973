"""The lineage of one state trained again, alone: from its seeds and its schedule, without the population."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from warren.checkpoints import CheckpointStore
from warren.errors import InvalidValue, RunFailed, WarrenError
from warren.population import CheckpointRow, IntervalRow, MemberRow, Report
from warren.state import Tree
from warren.training import Play, Scratch, Script, Settings, Slot, Watch, perform


@dataclass(frozen=True, kw_only=True)
class Step:
    """One interval that was trained again.

    Attributes:
        row: As the run recorded it.
        score: What it reported now.
        digest: SHA-256 of the state after it now, or None where the run saved none there.
    """

    row: IntervalRow
    score: float | None
    digest: str | None

    @property
    def same(self) -> bool:
        """Whether it came out as recorded, to the bit. A score that came later was not the training's."""
        recorded = None if self.row.checkpoint is None else self.row.checkpoint.partition("-")[0]
        late = self.row.scored != self.row.revision
        return (late or self.score == self.row.score) and self.digest == recorded


@dataclass(frozen=True, kw_only=True)
class Retraced:
    """A lineage that was trained again.

    Attributes:
        steps: Its intervals in the order in which they were trained.
        state: The state that it ended in, by tracked names.
        digest: SHA-256 of that state's bytes.
    """

    steps: tuple[Step, ...]
    state: Tree
    digest: str

    @property
    def different(self) -> Step | None:
        """The first interval that did not come out as recorded, or None."""
        return next((step for step in self.steps if not step.same), None)

    def __str__(self) -> str:
        if self.different is None:
            return f"{len(self.steps)} intervals trained again: every score and state is the recorded one, to the bit"
        row = self.different.row
        what = "the score" if self.different.score != row.score else "the state"
        return (
            f"{len(self.steps)} intervals trained again: from interval {row.interval} of member {row.member} (age "
            f"{row.age}) on {what} is another one; scores differ by at most {self.distance:.3g}. Either the code, the "
            "data or the software has changed since, the device does not compute the same twice, all members were "
            "trained as one program (which rounds otherwise), or the loop keeps state that is not tracked: see warren "
            "check"
        )

    @property
    def distance(self) -> float:
        """The largest difference between a score and the recorded one."""
        pairs = ((step.score, step.row.score) for step in self.steps)
        return max((abs(a - b) for a, b in pairs if a is not None and b is not None), default=0.0)


def retrace(
    train: Callable[[Slot], Any],
    settings: Settings,
    intervals: Mapping[int, IntervalRow],
    end: IntervalRow,
    checkpoints: CheckpointStore,
    *,
    clock: Callable[[], float],
    warm: Tree | None = None,
    observe: Callable[[Step, int], None] = lambda step, left: None,
) -> Retraced:
    """Train the intervals that led to a state again, and compare digests.

    Where objects stay with their member at a copy (``on_exploit="keep"``), the recipients' own intervals before it
    are part of what made the state, and are trained again as well.

    Args:
        train: The training function.
        settings: As the run was made with.
        intervals: All reports of the run by id.
        end: The interval whose state is wanted.
        checkpoints: An empty place for states.
        clock: Seconds that only grow.
        warm: The state that the run was started from, where one was given.
        observe: Called after each interval, with how many are left.

    Raises:
        InvalidValue: The record does not have the whole lineage.
        RunFailed: The training function raised.
        WarrenError: What it does wrong with the slot.
    """
    stage = _Stage(intervals, end, Scratch(checkpoints), observe)
    stage.set_warm(warm)
    script = Script(settings, stage.play(), stage.states, clock=clock, saves=stage.saves, owner=stage.owner)

    class Watched(Slot):
        """Tells, at its first interval, whether anything stays with its member."""

        def next(self) -> Any:
            stage.own = self._tracked.own()
            return super().next()

    try:
        perform(train, script, Watch((), lambda message: None), make=Watched)
    except WarrenError:
        raise
    except Exception:
        raise RunFailed(f"{stage.place()} raised, and did not in the run:\n{traceback.format_exc()}") from None
    return stage.result()


class _Stage:
    """The order of a lineage, and the states on the way."""

    def __init__(
        self,
        intervals: Mapping[int, IntervalRow],
        end: IntervalRow,
        states: Scratch,
        observe: Callable[[Step, int], None],
    ) -> None:
        if end.checkpoint is None:
            raise InvalidValue(
                f"the state of member {end.member} at interval {end.interval} was not saved; choose another interval"
            )
        self.states = states
        self.own = False
        self._intervals = intervals
        self._end = end
        self._observe = observe
        self._steps: list[Step] = []
        self._names: dict[int, str] = {}
        self._warm: str | None = None
        self._row: IntervalRow | None = None
        self._by_name = {row.checkpoint: row.id for row in intervals.values() if row.checkpoint is not None}
        self._uses: Counter[int] = Counter()

    def set_warm(self, tree: Tree | None) -> None:
        """Where fresh members of the run started from a given state, keep it."""
        self._warm = None if tree is None else self.states.save(tree).name

    def saves(self, row: MemberRow) -> bool:
        """Whether the run saved a state after this interval."""
        return self._row is not None and self._row.checkpoint is not None

    def place(self) -> str:
        """The interval that is being trained, in words."""
        return "the beginning" if self._row is None else f"interval {self._row.interval} of member {self._row.member}"

    def play(self) -> Play:
        """The members to train. Until the first interval has run, nobody knows whether anything stays behind."""
        order = self._order()
        report = yield self._member(order[0])
        if self.own:
            order = self._order()
            if self._row is not order[0]:  # the first of the longer way is another one
                report = None
                yield None
                report = yield self._member(order[0])
        self._uses = Counter(need for row in order for need in self._needs(row))
        self._uses[self._end.id] += 1
        for place, row in enumerate(order):
            if place:
                report = yield self._member(row)
            self._take(row, report, len(order) - place - 1)

    def result(self) -> Retraced:
        """What came of it."""
        name = self._names[self._end.id]
        return Retraced(steps=tuple(self._steps), state=self.states.load(name), digest=name.partition("-")[0])

    def _order(self) -> list[IntervalRow]:
        """The intervals that are needed, each after those that it needs, and a member's stretch in one piece."""
        order: list[IntervalRow] = []
        placed: set[int] = set()
        stack = [(self._end.id, False)]
        while stack:
            id, ready = stack.pop()
            if id in placed:
                continue
            row = self._intervals.get(id)
            if row is None:
                raise InvalidValue(f"the record has lost interval {id}, which the state came out of")
            if ready:
                placed.add(id)
                order.append(row)
                continue
            stack.append((id, True))
            stack += [(need, False) for need in self._needs(row)]
        return order

    def _needs(self, row: IntervalRow) -> list[int]:
        own = self._kept(row)
        parents = row.parents if row.via is not None else row.parents[:1]
        met = [self._by_name[name] for name in row.opponents if name in self._by_name]
        return [*dict.fromkeys([*parents, *met, *([] if own is None else [own])])]

    def _kept(self, row: IntervalRow) -> int | None:
        """The interval of its own that a recipient's remaining objects come out of."""
        return self._by_name.get(row.kept) if self.own and row.kept is not None else None

    def _member(self, row: IntervalRow) -> MemberRow:
        self._row = row
        parent = row.parents[0] if row.parents else None
        before = self._intervals[parent] if parent is not None else None
        live = before is not None and before.checkpoint is None
        own = self._kept(row)
        kept = self._names[own] if own is not None else self._warm if self.own and row.kept is not None else None
        start = self._warm if row.origin == "warm" else None if before is None else self._names.get(before.id)
        return MemberRow(
            member=row.member, state="leased", role=row.role, group=row.group, budget=row.interval - 1,
            age=row.age - 1, hyperparameters=row.hyperparameters, start=start, saved=row.interval - 1,
            parents=row.parents, last=parent if live else None, origin=row.origin, birth=row.birth,
            via=row.via or "copy", sources=tuple(self._names[id] for id in row.parents) if row.via is not None else (),
            opponents=tuple(self._names[self._by_name[name]] for name in row.opponents if name in self._by_name),
            kept=kept, failures=row.failures, token="retrace", worker="retrace",
        )  # fmt: skip

    def owner(self, name: str) -> CheckpointRow:
        """Whose state one of the scratch is."""
        row = next(self._intervals[id] for id, known in self._names.items() if known == name)
        return CheckpointRow(name=name, digest="", size=0, member=row.member, interval=row.interval, source=row.id)

    def _take(self, row: IntervalRow, report: Report | None, left: int) -> None:
        saved = None if report is None else report.checkpoint
        step = Step(
            row=row, score=None if report is None else report.score, digest=None if saved is None else saved.digest
        )
        self._steps.append(step)
        if saved is not None:
            self._names[row.id] = saved.name
        for need in self._needs(row):
            self._uses[need] -= 1
            if self._uses[need] == 0 and need in self._names:
                self.states.forget(self._names.pop(need))
        self._observe(step, left)
