"""What a vectorised worker knows ahead of the record: members, reports and decisions of rounds not yet written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from warren.errors import LoopError
from warren.population import (
    Assign,
    CheckpointRow,
    Log,
    MemberRow,
    Plan,
    Report,
    RunRow,
    boundary,
    changed,
    interval_of,
    own_assignment,
    transition,
)
from warren.population.transition import Assigned, Claim, Reported
from warren.stacked import Outcome
from warren.strategies import decide
from warren.training import Settings
from warren.training.turns import Decided, view_for

_AT = "@"


def donor_of(name: str) -> int:
    """The member whose state is called so here, or -1 where it is a name of the record's."""
    member, at, _ = name.partition(_AT)
    return int(member) if at else -1


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What was decided for a member before a round.

    Attributes:
        plan: What is to be carried out, or None where the member goes on as it is.
        due: Its next decision where it goes on.
    """

    plan: Plan | None = None
    due: int | None = None


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One member's part of a round, as far as it can be said before it is written.

    Attributes:
        decision: What came before it; None where the member was not due.
        reports: Its intervals, without the checkpoint that the last one ends in.
        name: What the state after them is called here, or None where it is not kept.
        before: The member as it was trained.
        after: The member after it, as the record should have it.
    """

    decision: Decision | None
    reports: Sequence[Report]
    name: str | None
    before: MemberRow
    after: MemberRow


class Front:
    """Members that this worker holds, and the log, both ahead of the record.

    States are called by names of its own until they are written: who writes them knows their real names.

    Args:
        settings: The fixed part of the run.
        run: As the record has it.
        rows: The members that are held, by number.
        log: What the record tells.
        aside: Numbers of the members that are set aside.
    """

    def __init__(
        self, settings: Settings, run: RunRow, rows: Mapping[int, MemberRow], log: Log, aside: frozenset[int]
    ) -> None:
        self.settings = settings
        self.run = run
        self.log = log
        self.rows = dict(rows)
        self._known = dict(rows)
        self._aside = aside
        self._serial = 0
        # On the device is what diverged; the record goes on from what was saved before.
        self._spoilt: set[int] = set()
        self._decided: dict[int, Decision] = {}
        # The states that are on the device now, by member: a decision that names another one is the store's.
        self._live: dict[int, CheckpointRow] = {}

    def turn(self) -> list[int]:
        """The members whose turn it is: the least-trained ones. They are trained together."""
        floor = min((row.budget for row in self.rows.values()), default=0)
        return [member for member, row in sorted(self.rows.items()) if row.budget == floor]

    def decide(self, members: Sequence[int]) -> bool:
        """Let the strategy decide for those that are due, on what all have reported.

        Returns:
            False where it wants what only the store can carry out: nothing was changed then.
        """
        plans: dict[int, Plan] = {}
        for member in members:
            row = self.rows[member]
            if row.budget >= row.due and member not in self._decided:
                view = view_for(row, self.settings, self.run, self.log, self._aside)
                plans[member] = decide(self.settings.strategy, view, self.settings.seed)
        if not all(self._simple(member, plan) for member, plan in plans.items()):
            return False
        for member, plan in plans.items():
            row = self.rows[member]
            for action in plan.actions:
                if isinstance(action, Assign):
                    source = self._source(action)
                    sources = () if source is None else (source,)
                    self.rows[member] = transition(row, Assigned(assign=action, sources=sources))
            self._spoilt.discard(member)
            due = row.budget + max(1, plan.intervals)
            self._decided[member] = Decision(plan=plan) if plan.actions else Decision(due=due)
        return True

    def committed(self, decided: Decided) -> None:
        """Know of a decision that the store has carried out."""
        if decided.row is not None:
            self.rows[decided.row.member] = decided.row
            if decided.due is not None:
                self._decided[decided.row.member] = Decision(due=decided.due)
        self.run, self._aside = decided.run, decided.aside

    def row(self, member: int) -> MemberRow:
        """A member as it stands, or stood when it was let go."""
        return self.rows.get(member) or self._known[member]

    def moves(self, members: Sequence[int]) -> tuple[dict[int, int], list[int]]:
        """What has to be done with the states before these members are trained.

        Returns:
            For each that copies its donor; and those that begin afresh.
        """
        copies: dict[int, int] = {}
        fresh = []
        for member in members:
            decision = self._decided.get(member)
            for action in () if decision is None or decision.plan is None else decision.plan.actions:
                if not isinstance(action, Assign) or action.via == "keep":
                    continue
                if action.via == "copy" and action.sources:
                    copies[member] = donor_of(action.sources[0])
                else:
                    fresh.append(member)
        return copies, fresh

    def length(self, members: Sequence[int], most: int) -> int:
        """How many intervals these members can be trained until one of them is due, or the run ends.

        Args:
            members: Whose turn it is.
            most: An upper bound.
        """
        left = []
        for member in members:
            row, decision = self.rows[member], self._decided.get(member)
            due = row.due if decision is None or decision.due is None else decision.due
            left.append(min(due, self.run.limit) - row.budget)
        return max(1, min(most, *left))

    def take_in(
        self, members: Sequence[int], places: Mapping[int, int], outcome: Outcome, seconds: float, overhead: float
    ) -> list[Trained]:
        """Know what the members reported.

        Args:
            members: Who was trained.
            places: Where each stands in the outcome.
            outcome: The reports.
            seconds: Of training, for each interval of a member.
            overhead: warren's own, likewise.

        Returns:
            What is to be written, without the members that failed.

        Raises:
            LoopError: The held-out metric is missing.
        """
        held_out = self.settings.held_out
        whole = any(places[member] not in outcome.failures for member in members)
        if held_out is not None and whole and held_out not in outcome.metrics:
            raise LoopError(
                f"held_out={held_out!r} is not among the metrics that evaluate returned "
                f"({', '.join(outcome.metrics) or 'none'}); return (score, {{{held_out!r}: ...}})"
            )
        scores = outcome.scores.tolist()
        metrics = {name: values.tolist() for name, values in outcome.metrics.items()}
        found = []
        for member in members:
            place = places[member]
            if place in outcome.failures:
                continue
            before = self.rows[member]
            decision = self._decided.pop(member, None)
            reports: list[Report] = []
            row, name = before, None
            for k, scored in enumerate(scores):
                score = scored[place]
                finite = math.isfinite(score)
                report = Report(
                    score=score if finite else None,
                    status="ok" if finite else "diverged",
                    metrics={key: values[k][place] for key, values in metrics.items()},
                    due=decision.due if decision is not None and not k else None,
                    seconds=seconds,
                    overhead=overhead,
                )
                reports.append(report)
                if finite and k == len(scores) - 1:
                    name = f"{member}{_AT}{row.budget + 1}"
                row = self._ended(row, report, name)
                if not finite:
                    self._spoilt.add(member)
                    break  # what it trained after that is not kept
            self.rows[member] = self._known[member] = row
            found.append(Trained(decision=decision, reports=reports, name=name, before=before, after=row))
            if row.state == "waiting":
                self.rows[member] = transition(row, Claim(token=str(before.token), worker=str(before.worker)))
            elif row.state != "leased":
                del self.rows[member]
                if row.state == "quarantined":
                    self._aside |= {member}
        if self.log.crowded:
            self.log.prune(min((row.budget for row in self.rows.values()), default=self.run.limit))
        return found

    def _ended(self, row: MemberRow, report: Report, name: str | None) -> MemberRow:
        """The member after an interval, which the log knows of from now on."""
        self._serial += 1
        known = None
        if name is not None:
            known = CheckpointRow(
                name=name, digest="", size=0, member=row.member, interval=row.budget + 1, age=row.age + 1,
                source=-self._serial, boundary=boundary(row, report, self.run.limit),
            )  # fmt: skip
            self._live[row.member] = known
            report = changed(report, checkpoint=known)
        else:
            self._live.pop(row.member, None)
        interval = interval_of(row, report, limit=self.run.limit, revision=self.log.revision)
        self.log.update([changed(interval, id=-self._serial)], self.log.revision)
        # The lease is the worker's until the end: who is due is let go and taken again in one transaction.
        return transition(
            row, Reported(report=report, id=-self._serial, limit=self.run.limit, tries=self.run.tries, keep=True)
        )

    def _simple(self, member: int, plan: Plan) -> bool:
        """Whether a plan is about its own member alone, and needs nothing of the store but to be written down."""
        if not plan.actions:
            return plan.memory is None and member not in self._spoilt
        assign = own_assignment(plan, member)
        if assign is None or len(assign.sources) > 1 or assign.opponents:
            return False
        if member in self._spoilt and assign.via == "keep":
            return False
        return not assign.sources or self._source(assign) is not None

    def _source(self, assign: Assign) -> CheckpointRow | None:
        if not assign.sources:
            return None
        live = self._live.get(donor_of(assign.sources[0]))
        return live if live is not None and live.name == assign.sources[0] else None
