"""The trials of a check, in order, and what is made of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from types import FrameType
from typing import Any

import numpy as np

from warren.errors import CheckpointError, InvalidValue
from warren.population import Assign, MemberRow, Plan, changed
from warren.preflight import exact, words
from warren.preflight.compare import Difference, Outcome, compare, differences, part
from warren.preflight.effects import comes_later, has_effect, variants
from warren.preflight.evaluation import Evaluations, Trained, watched
from warren.preflight.findings import Finding, Level, duration
from warren.preflight.hunt import Hunt, agree, equal_starts, hunt, moved, switched
from warren.preflight.kinds import kind_of
from warren.preflight.shelf import Shelf
from warren.preflight.trials import Bench, Broken, Look, Trying, following
from warren.training import Play, Settings, Slot, Task, Watch

Tell = Callable[[str], None]

_MEMBERS = 4
"""Members that are tried where the first ones diverge."""
_TRIES = 14
"""Plays of two or three intervals that a search for a culprit may take."""
_LONG = 5.0
"""Seconds that nobody is left in the dark for."""
_NOISE = 1e-5
"""Relative difference up to which equal starts are taken for inexact arithmetic, where nobody else is found."""
_ROOM = 1000.0
"""By how much noise may grow in an interval."""


class Check:
    """Trains a few intervals of a run, and finds what would go wrong in it.

    Args:
        train: The training function or task.
        settings: As of the run.
        plan: The first assignments, at least two.
        states: Where states are kept meanwhile.
        clock: Seconds that only grow.
        tell: Says something to the user while it takes long.

    Attributes:
        findings: What was found.
        first: Seconds of the first interval.
        interval: Seconds of the second one.
        size: Bytes of a checkpoint, or None while there was none.
    """

    def __init__(
        self,
        train: Callable[[Slot], Any],
        settings: Settings,
        plan: Plan,
        states: Shelf,
        clock: Callable[[], float],
        tell: Tell,
    ) -> None:
        self.findings: list[Finding] = []
        self.first = self.interval = 0.0
        self.size: int | None = None
        self._settings = settings
        self._states = states
        self._tell = tell
        self._watch = _Readings(settings.space)
        self._bench = Bench(train, settings, states, self._watch, clock)
        self._kinds = _Kinds()
        self._rows = [
            MemberRow(member=one.member, state="leased", due=one.intervals, hyperparameters=one.hyperparameters)
            for one in plan.actions
            if isinstance(one, Assign)
        ]
        self._tolerance = 0.0
        self._exact = False
        self._read: frozenset[str] = frozenset()

    @property
    def trained(self) -> int:
        """Intervals that were trained."""
        return self._bench.trained

    def run(self) -> None:
        """Carry out the trials."""
        with contextlib.suppress(_Over), contextlib.ExitStack() as modes:
            self._trials(modes)
        self.findings += [
            Finding(level="fault", kind="hyperparameter", subject=name, message=message, remedy=remedy)
            for name, message, remedy in self._watch.said()
        ]
        order = {"fault": 0, "note": 1}
        self.findings.sort(key=lambda one: order[one.level])

    def _trials(self, modes: contextlib.ExitStack) -> None:
        row, first, second, other = self._straight()
        difference = self._again(row, first)
        if difference is not None and exact.uses_gpu():
            modes.enter_context(exact.exactly())
            self._exact = True
            row, first, second, other = self._straight()
            before, difference = difference, self._again(row, first)
            if difference is None:
                self.findings.append(words.inexact(before, row.member, mended=True))
        if difference is not None and not self._unequal(row, difference):
            return
        after = following(row, first)
        difference, stayed = self._moved(row, after, second)
        self._switched(row, after, other, stayed, moved_well=difference is None)
        self._rebuilt(row, first)

    # -- the trials ---------------------------------------------------------------------------------------------

    def _straight(self) -> tuple[MemberRow, Outcome, Outcome, MemberRow]:
        """Two intervals in one slot, in live objects."""
        candidates = self._rows[: min(_MEMBERS, max(1, self._settings.population))]
        for tried, row in enumerate(candidates):
            outcomes: list[Outcome] = []
            self._watch.ever.clear()
            self._act(self._two(row, outcomes), self._kinds, live=True)
            if len(outcomes) == 2 and all(one.status != "diverged" for one in outcomes):
                if tried:
                    self.findings.append(_some_diverged(tried))
                self._read = frozenset(self._watch.ever)
                other = next(one for one in self._rows if one is not row)
                # It meets the same objects: what shapes them must be the same.
                values = self._settings.space.merged(
                    row.hyperparameters, other.hyperparameters, np.random.default_rng(0)
                )
                other = changed(other, hyperparameters=values)
                return row, outcomes[0], outcomes[1], other
        self.findings.append(words.diverged(candidates[0].member, len(candidates)))
        raise _Over

    def _two(self, row: MemberRow, outcomes: list[Outcome]) -> Play:
        first = Outcome.of((yield row))
        outcomes.append(first)
        self.first = first.seconds
        if first.status == "diverged":
            return
        left = 6 + len(self._settings.space)
        if first.seconds * left > _LONG:
            self._tell(f"an interval takes {duration(first.seconds)}; the check about {duration(first.seconds * left)}")
        outcomes.append(Outcome.of((yield following(row, first))))
        self.interval = outcomes[-1].seconds
        if first.checkpoint is not None:
            self.size = first.checkpoint.size

    def _again(self, row: MemberRow, first: Outcome) -> Difference | None:
        """The first interval again, in fresh objects, with an eye on evaluation."""
        again: list[Outcome] = []
        look = Evaluations()
        train = self._bench.train
        self._act(
            _alone(row, again),
            look,
            train=watched(train, lambda seen: look.found.setdefault(seen)) if isinstance(train, Task) else None,
        )
        if not self._exact:  # what it sees then it has seen before
            self.findings += [words.evaluation(seen) for seen in _by_function(look.found)]
        return compare(first, again[0], self._states)

    def _moved(self, row: MemberRow, after: MemberRow, second: Outcome) -> tuple[Difference | None, Outcome]:
        """The second interval in a fresh slot."""
        there: list[Outcome] = []
        trip = _RoundTrip(self._states)
        self._act(_alone(after, there), trip)
        difference = compare(second, there[0], self._states, self._tolerance)
        if trip.lossy is not None:
            self.findings.append(trip.lossy)
        elif difference is not None:
            self._search("a move changes the training; looking for what is lost")
            same = agree(self._bench, second, self._tolerance)
            found = hunt(self._bench, moved(row, after), same, ("end",), ("load",), tries=_TRIES)
            self.findings += words.lost(found, difference, self._level(found))
        return difference, there[0]

    def _unequal(self, row: MemberRow, difference: Difference) -> bool:
        """Two equal starts differ; returns whether other trials can be compared all the same."""
        self._search("two equal starts differ; looking for what is not seeded")
        same = agree(self._bench, None, 0.0)
        moments = ("begin", "arrive")
        found = hunt(self._bench, equal_starts(row), same, moments, moments, tries=_TRIES)  # type: ignore[arg-type]
        if not found.proven and difference.distance <= _NOISE:
            self._tolerance = difference.distance * _ROOM
            self.findings.append(words.inexact(difference, row.member, mended=False))
            return True
        level: Level = "note" if self._exact and not found.proven else "fault"
        self.findings += words.unseeded(found, difference, row.member, level)
        return False

    def _switched(
        self, row: MemberRow, after: MemberRow, other: MemberRow, reference: Outcome, *, moved_well: bool
    ) -> None:
        """The second interval after another member was in the slot; then again with other hyperparameters."""
        outcomes: list[Outcome] = []
        effects = self._effects(after, outcomes)
        try:
            self._bench.act(_after_another(other, after, outcomes, effects), self._kinds)
        except Broken as broken:
            self._take(broken)
            if not outcomes:
                raise _Over from broken
        difference = compare(reference, outcomes[0], self._states, self._tolerance)
        if difference is None or not moved_well:
            return
        self._search("a switch of members changes the training; looking for what survives it")
        same = agree(self._bench, reference, self._tolerance)
        found = hunt(self._bench, switched(other, after), same, ("load",), ("load",), tries=_TRIES)
        self.findings += words.survives(found, difference, self._level(found))

    def _effects(self, after: MemberRow, outcomes: list[Outcome]) -> Play:
        """The second interval with one hyperparameter after another changed."""
        yield from self._vary(after, sorted(set(self._settings.space) - self._settings.space.rebuild), outcomes)

    def _vary(self, row: MemberRow, names: Iterable[str], outcomes: list[Outcome], *, fresh: bool = False) -> Play:
        begun = not fresh
        for name in names:
            if name not in self._read or name not in row.hyperparameters:
                continue  # with these values the loop has no use for it
            value, tried = row.hyperparameters[name], []
            for one, values in self._varied(row.hyperparameters, name, value):
                if fresh and begun:
                    yield None
                begun = True
                report = yield changed(row, hyperparameters=values)
                tried.append(one)
                changed_outcome = Outcome.of(report)
                kinds = self._kinds.found
                if has_effect(outcomes[0], changed_outcome, one, kinds, self._states, self._tolerance):
                    self._forget(changed_outcome)
                    break
                self._forget(changed_outcome)
            else:
                if tried:
                    later = self._tolerance > 0 or comes_later(name)
                    self.findings.append(words.no_effect(name, value, tried, "note" if later else "fault"))

    def _varied(self, old: dict[str, Any], name: str, value: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
        """Other values of a hyperparameter, each with the legal hyperparameters that it is among."""
        space = self._settings.space
        fixed = {name} if name in space.rebuild else space.rebuild | {name}
        for one in variants(space[name], value, np.random.default_rng(0)):
            with contextlib.suppress(InvalidValue):  # the constraints leave no room for it
                yield one, space.repaired({**old, name: one}, np.random.default_rng(0), fixed=fixed)

    def _rebuilt(self, row: MemberRow, first: Outcome) -> None:
        """The first interval with objects that are made for another value."""
        names = sorted(self._settings.space.rebuild)
        if names:
            self._act(self._vary(row, names, [first], fresh=True), self._kinds)

    # -- the parts ----------------------------------------------------------------------------------------------

    def _act(self, play: Play, look: Look, *, live: bool = False, train: Callable[[Slot], Any] | None = None) -> None:
        try:
            self._bench.act(play, look, live=live, train=train)
        except Broken as broken:
            self._take(broken)
            raise _Over from broken

    def _take(self, broken: Broken) -> None:
        self.findings.append(broken.finding)

    def _level(self, found: Hunt) -> Level:
        return "fault" if found.proven or self._tolerance == 0 else "note"

    def _search(self, why: str) -> None:
        if self.interval * 2 * _TRIES > _LONG:
            self._tell(f"{why}, in at most {duration(self.interval * 2 * _TRIES)}")

    def _forget(self, outcome: Outcome) -> None:
        if outcome.checkpoint is not None:
            with contextlib.suppress(CheckpointError):
                self._states.forget(outcome.checkpoint.name)


class _Over(Exception):
    """There is no sense in further trials."""


class _Kinds(Look):
    """Remembers what the tracked objects are."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def track(self, slot: Trying, name: str, obj: object) -> None:
        self.found[name] = kind_of(obj) or "keeper"


class _RoundTrip(Look):
    """Compares the state right after a load with the one that was loaded."""

    def __init__(self, states: Shelf) -> None:
        self.lossy: Finding | None = None
        self._states = states

    def load(self, slot: Trying, row: MemberRow, frames: list[FrameType]) -> None:
        saved = part(self._states.load(str(row.start)))
        saved.pop("state", None)
        place = next((path for path, _, _ in differences(saved, slot.captured())), None)
        if place is not None:
            name = str(place[0])
            self.lossy = Finding(
                level="fault", kind="round trip", subject=name,
                message=f"a load of {name!r} does not give what was saved: {'.'.join(map(str, place))} is another one",
                remedy=f"let load_state_dict() of {type(slot.objects[name]).__name__} take in all of its state_dict()",
            )  # fmt: skip


class _Readings(Watch):
    """Collects what a run would warn of."""

    def __init__(self, names: Iterable[str]) -> None:
        self._said: list[str] = []
        self.ever: set[str] = set()
        super().__init__(names, self._said.append)

    def read(self, name: str) -> None:
        """See `Watch`."""
        self.ever.add(name)
        super().read(name)

    def said(self) -> Iterable[tuple[str, str, str]]:
        """Hyperparameter, what is wrong with it, and the remedy."""
        for message in self._said:
            name = message.partition("hyperparameter '")[2].partition("'")[0]
            if "was never read" in message and name in self.ever:
                continue  # another member, or another value, made the loop read it
            what, _, remedy = message.rpartition(". ")
            yield name, what, remedy[:1].lower() + remedy[1:]


def _alone(row: MemberRow, outcomes: list[Outcome]) -> Play:
    outcomes.append(Outcome.of((yield row)))


def _after_another(other: MemberRow, after: MemberRow, outcomes: list[Outcome], effects: Play) -> Play:
    yield other
    outcomes.append(Outcome.of((yield after)))
    yield from effects


def _by_function(found: Iterable[Trained]) -> list[Trained]:
    """One finding for each function that trains."""
    first: dict[str, Trained] = {}
    for one in found:
        first.setdefault(one.function, one)
    return list(first.values())


def _some_diverged(count: int) -> Finding:
    who = "member 0" if count == 1 else f"members 0 to {count - 1}"
    return Finding(
        level="note", kind="score", subject="",
        message=f"{who} diverged: reported a score that is not finite",
        remedy="a run rescues such members; narrow the ranges where it happens often",
    )  # fmt: skip


def distinct(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings without what another one says already."""
    kept: list[Finding] = []
    warned = {one.subject for one in findings if one.kind == "hyperparameter"}
    for one in findings:
        if one.kind == "no effect" and one.subject in warned:
            continue
        kept.append(replace(one))
    return tuple(kept)
