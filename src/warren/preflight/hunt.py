"""Who keeps what is not tracked: suspects, and the proof by carrying their state along."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any, Literal

from warren.population import MemberRow
from warren.preflight.compare import Outcome, compare, differences
from warren.preflight.kinds import RANK, Put, mark, take
from warren.preflight.places import Place, nowhere, places
from warren.preflight.trials import Bench, Broken, Look, Trying
from warren.state import clone
from warren.training import Play

Moment = Literal["begin", "load", "arrive", "end"]
_LARGE = 2**28
INITIAL = "initial"
"""Stands for the state of the tracked objects at a fresh start, among the suspects."""


@dataclass(frozen=True, kw_only=True)
class Hunt:
    """What a search has come to.

    Attributes:
        culprits: Whose state, carried along, makes the difference go away; or, not proven, who else could be it.
        proven: The difference went away.
        initial: The state of a fresh start is among the culprits.
    """

    culprits: tuple[Place, ...]
    proven: bool
    initial: bool = False


class Carry(Look):
    """Takes the state of what is not tracked at one place of a play, and puts it in at another.

    Args:
        train: The training function.
        taking: Moments of the first phase at which state is taken.
        putting: Moments of the last phase at which it is put in.
        wanted: Keys of what to put in; None for everything that differs.
    """

    def __init__(
        self, train: Any, taking: Sequence[Moment], putting: Sequence[Moment], wanted: frozenset[str] | None
    ) -> None:
        self.phase: Literal["take", "wait", "put"] = "take"
        self.suspects: dict[str, Place] = {}
        self.initial = False
        self._train = train
        self._taking = taking
        self._putting = putting
        self._wanted = wanted
        self._taken: dict[tuple[Moment, str], tuple[bytes | None, Put | None]] = {}
        self._tree: dict[str, Any] | None = None
        self._tracked: set[str] = set()
        self._marks: dict[str, bytes | None] = {}

    def begin(self, slot: Trying) -> None:
        """See `Look`."""
        self._at("begin", slot, [])

    def load(self, slot: Trying, row: MemberRow, frames: list[FrameType]) -> None:
        """See `Look`."""
        self._at("load", slot, frames)

    def arrive(self, slot: Trying, frames: list[FrameType]) -> None:
        """See `Look`."""
        self._at("arrive", slot, frames)

    def end(self, slot: Trying, frames: list[FrameType]) -> None:
        """See `Look`."""
        self._at("end", slot, frames)

    def _at(self, moment: Moment, slot: Trying, frames: list[FrameType]) -> None:
        if self.phase == "take" and moment == "arrive" and "end" in self._taking:
            self._marks = {key: mark(one.value) for key, one in places(self._train, frames, slot.objects).items()}
        if self.phase == "take" and moment in self._taking:
            self._take(moment, slot, frames)
        elif self.phase == "put" and moment in self._putting:
            self._put(moment, slot, frames)

    def _take(self, moment: Moment, slot: Trying, frames: list[FrameType]) -> None:
        if moment == "arrive" and "begin" in self._taking:
            self._tree = clone(slot.captured())
        for key, place in places(self._train, frames, slot.objects).items():
            if self._wanted is not None and key not in self._wanted:
                continue
            now = mark(place.value)
            if moment == "end" and now is not None and self._marks.get(key) == now:
                continue  # the interval has not changed it
            if moment != "end" and _large(place):
                continue
            self._taken[moment, key] = now, take(place.value)
            if place.tracked is not None:
                self._tracked.add(key)

    def _put(self, moment: Moment, slot: Trying, frames: list[FrameType]) -> None:
        # What is taken at the end of an interval is put in where the next one begins.
        taken: Moment = moment if moment in self._taking else self._taking[0]
        if moment == "arrive" and self._tree is not None and any(differences(self._tree, slot.captured())):
            self.initial = True
            if self._wanted is None or INITIAL in self._wanted:
                slot.restored(clone(self._tree))
        found = places(self._train, frames, slot.objects)
        for key, place in sorted(found.items(), key=lambda item: rank(item[1])):
            if (taken, key) not in self._taken or not self._free(place):
                continue
            then, put = self._taken[taken, key]
            now = mark(place.value)
            if then is not None and then == now:
                continue
            # Without the thing itself, which would keep a whole call's objects in memory.
            self.suspects.setdefault(key, replace(place, value=None, bind=nowhere))
            if put is not None and (self._wanted is None or key in self._wanted):
                with contextlib.suppress(Exception):  # what does not let itself be changed stays as it is
                    put(place.value, place.bind)

    def _free(self, place: Place) -> bool:
        """Whether a thing is none that was loaded: a tracked array is suspect only where its name was bound anew."""
        if place.tracked is None:
            return True
        return place.kind not in ("array", "tensor") or bool(place.owner) or place.key not in self._tracked


Restage = Callable[[Carry, list[Outcome]], Play]
"""Makes the play that shows the difference: it sets the phase of the carrier, and adds the outcomes to compare."""


def hunt(
    bench: Bench,
    restage: Restage,
    same: Callable[[list[Outcome]], bool],
    taking: Sequence[Moment],
    putting: Sequence[Moment],
    *,
    tries: int,
) -> Hunt:
    """Search whose state makes two intervals differ.

    Args:
        bench: Where trials are carried out.
        restage: Makes the play that shows the difference.
        same: Whether the outcomes of the play show it no more.
        taking: When state is taken.
        putting: When it is put in.
        tries: Plays that the search may take.
    """
    suspects: dict[str, Place] = {}
    known: dict[frozenset[str] | None, bool] = {}
    initial = False

    def works(wanted: frozenset[str] | None) -> bool:
        nonlocal initial
        if wanted not in known:
            if len(known) >= tries:
                raise _Enough
            carry = Carry(bench.train, taking, putting, wanted)
            outcomes: list[Outcome] = []
            try:
                with bench.states.lent():
                    bench.act(restage(carry, outcomes), carry, quiet=True)
                    known[wanted] = same(outcomes)
            except Broken:  # a loop need not bear what is done to it here
                known[wanted] = False
            if wanted is None:
                suspects.update(carry.suspects)
                initial = carry.initial
        return known[wanted]

    everything = works(None)
    order = sorted(suspects, key=lambda key: rank(suspects[key])) + ([INITIAL] if initial else [])
    found: list[str] = []
    with contextlib.suppress(_Enough):
        if everything:
            # First alone, those who are it most often; then the smallest set that is enough.
            alone = next((key for key in order[:3] if works(frozenset({key}))), None)
            found = [alone] if alone is not None else _smallest(order, works)
        else:
            found = [key for key in order[:6] if works(frozenset({key}))][:1]
    if found:
        return Hunt(
            culprits=tuple(suspects[key] for key in found if key != INITIAL), proven=True, initial=INITIAL in found
        )
    likely = [suspects[key] for key in order if key in suspects]
    likely = [place for place in likely if place.kind != "number"] or likely
    return Hunt(culprits=tuple(likely[:3]), proven=False, initial=initial)


class _Enough(Exception):
    """The search has taken all its tries."""


def rank(place: Place) -> tuple[int, int, str]:
    """Whom to suspect first: what keeps state by its nature, then what is made anew at each call."""
    return RANK.index(place.kind), place.scope == "global", place.key


def _large(place: Place) -> bool:
    """Whether a thing is more likely the data than something that was learned, and too large to copy on suspicion."""
    return place.kind in ("array", "tensor") and int(place.value.nbytes) > _LARGE


def _smallest(order: list[str], works: Callable[[frozenset[str] | None], bool]) -> list[str]:
    """A smallest set that is enough, rather of those who come first (Junker's QuickXplain)."""

    def explain(given: list[str], rest: list[str], grew: bool) -> list[str]:
        if grew and works(frozenset(given)):
            return []
        if len(rest) == 1:
            return rest
        first, second = rest[: len(rest) // 2], rest[len(rest) // 2 :]
        later = explain(given + first, second, True)
        return explain(given + later, first, bool(later)) + later

    return explain([], order, False)


def equal_starts(row: MemberRow) -> Restage:
    """Two fresh starts of one member."""

    def restage(carry: Carry, outcomes: list[Outcome]) -> Play:
        outcomes.append(Outcome.of((yield row)))
        carry.phase = "put"
        yield None
        outcomes.append(Outcome.of((yield row)))

    return restage


def moved(first: MemberRow, second: MemberRow) -> Restage:
    """A first interval, and the second one in a fresh slot."""

    def restage(carry: Carry, outcomes: list[Outcome]) -> Play:
        yield first
        carry.phase = "put"
        yield None
        outcomes.append(Outcome.of((yield second)))

    return restage


def switched(other: MemberRow, second: MemberRow) -> Restage:
    """The second interval in a fresh slot, and again in one that has hosted another member."""

    def restage(carry: Carry, outcomes: list[Outcome]) -> Play:
        yield second
        carry.phase = "wait"
        yield None
        yield other
        carry.phase = "put"
        outcomes.append(Outcome.of((yield second)))

    return restage


def agree(bench: Bench, reference: Outcome | None, tolerance: float) -> Callable[[list[Outcome]], bool]:
    """Whether outcomes are the same as a reference, or as each other."""

    def same(outcomes: list[Outcome]) -> bool:
        first = outcomes[0] if reference is None else reference
        return compare(first, outcomes[-1], bench.states, tolerance) is None

    return same
