"""The states of all members on their devices, in parts that are trained one program at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warren.errors import InvalidValue
from warren.stacked.base import Arrays, Lift, Outcome, OutOfMemory, Round, Stacked
from warren.stacked.picture import JoinedPicture, Picture
from warren.state import Tree

Fresh = Mapping[int, tuple[int, Mapping[str, Any]]]
"""Members that begin, by place: seed and hyperparameters by their flat names."""


@dataclass(kw_only=True, eq=False)
class _Part:
    """Members from place `low` up to `high`, in one state on one device."""

    lift: Lift
    low: int
    high: int
    state: Stacked = None

    @property
    def places(self) -> range:
        return range(self.low, self.high)


class Stack:
    """The states of n members, at the places 0 to n - 1.

    Args:
        lifts: The task on each device; members are dealt out evenly, in order.
        n: Members.
        chunk: The most that one program trains at a time, or None for all of a device's.
        fresh: Members that begin.
        stored: The states of the others, as other engines keep them, by place.
    """

    def __init__(
        self, lifts: Sequence[Lift], n: int, *, chunk: int | None, fresh: Fresh, stored: Mapping[int, Tree]
    ) -> None:
        self._n = n
        # One part a device, or as many turns of all devices as the chunk asks for.
        turns = 1 if chunk is None else -(-n // (len(lifts) * chunk))
        count = min(n, len(lifts) * turns)
        edges = [n * i // count for i in range(count + 1)]
        self._parts = [
            _Part(lift=lifts[i % len(lifts)], low=low, high=high) for i, (low, high) in enumerate(pairwise(edges))
        ]
        self._devices = len(lifts)
        for part in self._parts:
            self._begin(part, fresh, stored)

    def exploit(self, sources: NDArray[np.int64]) -> None:
        """Let each place take over the state at `sources` of it; one gather where all are in one part."""
        taken = [self._gathered(part, sources[part.low : part.high]) for part in self._parts]
        for part, state in zip(self._parts, taken, strict=True):
            part.state = state

    def replace(self, fresh: Fresh) -> None:
        """Let some members begin anew."""
        for part in self._parts:
            self._begun(part, fresh)

    def train(self, hyperparameters: Arrays, keys: Round, active: NDArray[np.bool_]) -> Outcome:
        """Train the members at the active places one stretch; the others stay as they are.

        Args:
            hyperparameters: For all places.
            keys: For all places.
            active: Shape (n,), bool.

        Returns:
            The reports of all places; those of inactive ones say nothing.

        Raises:
            OutOfMemory: A device cannot hold it; the message says what it could. No state is usable after it.
        """
        outcome: Outcome | None = None
        for turn in range(0, len(self._parts), self._devices):
            waiting = []
            for part in self._parts[turn : turn + self._devices]:  # all devices at the same time
                if active[part.low : part.high].any():
                    waiting.append((part, part.state, self._launch(part, hyperparameters, keys, active)))
            for part, before, pending in waiting:
                try:
                    outcome = _joined(outcome, pending(), part, self._n)
                except OutOfMemory as error:
                    raise self._fitting(part, before, hyperparameters, keys, error) from error
        if outcome is None:
            raise InvalidValue("no member is active")
        return outcome

    def picture(self) -> Callable[[], Picture]:
        """A picture of all states; see `Lift.picture`."""
        pictures = [(part.places, part.lift.picture(part.state)) for part in self._parts]
        return lambda: JoinedPicture([(places, picture()) for places, picture in pictures])

    # -- the parts ----------------------------------------------------------------------------------------------

    def _begin(self, part: _Part, fresh: Fresh, stored: Mapping[int, Tree]) -> None:
        lift = part.lift
        known = next((stored[place] for place in part.places if place in stored), None)
        if known is None:
            given = [fresh[place] for place in part.places]
            part.state = lift.init([seed for seed, _ in given], [values for _, values in given])
            return
        # What was trained tells the types: what init makes may become wider, and never the other way round.
        part.state = lift.stack([stored.get(place, known) for place in part.places])
        self._begun(part, fresh)

    def _begun(self, part: _Part, fresh: Fresh) -> None:
        born = [place for place in part.places if place in fresh]
        if born:
            made = part.lift.init([fresh[place][0] for place in born], [fresh[place][1] for place in born])
            part.state = part.lift.put(part.state, np.array(born, dtype=np.int64) - part.low, made)

    def _gathered(self, part: _Part, sources: NDArray[np.int64]) -> Stacked:
        own = (sources >= part.low) & (sources < part.high)
        if own.all() and (sources == np.arange(part.low, part.high)).all():
            return part.state
        state = part.lift.take(part.state, np.where(own, sources - part.low, 0))
        for other in self._parts:
            from_other = np.flatnonzero(~own & (sources >= other.low) & (sources < other.high))
            if len(from_other):
                taken = other.lift.take(other.state, sources[from_other] - other.low)
                state = part.lift.put(state, from_other, part.lift.adopt(taken))
        return state

    def _launch(
        self, part: _Part, hyperparameters: Arrays, keys: Round, active: NDArray[np.bool_]
    ) -> Callable[[], Outcome]:
        going = np.flatnonzero(active[part.low : part.high])
        resting = np.flatnonzero(~active[part.low : part.high])
        values = {name: column[part.low : part.high] for name, column in hyperparameters.items()}
        own = [interval[part.low : part.high] for interval in keys]
        lift, state = part.lift, part.state
        rested = lift.take(state, resting) if len(resting) else None
        alone = rested is not None and not lift.fixed
        if alone:
            state = lift.take(state, going)
            values = {name: column[going] for name, column in values.items()}
            own = [[interval[place] for place in going.tolist()] for interval in own]
        try:
            state, pending = lift.train(state, values, own)
        except OutOfMemory as error:
            raise self._fitting(part, part.state, hyperparameters, keys, error) from error
        if alone:
            # Made of trained states, which may be of a wider type than those that rested.
            ranks = np.zeros(part.high - part.low, dtype=np.int64)
            ranks[going] = np.arange(len(going))
            state = lift.take(state, ranks)
            pending = partial(_spread, pending, going, part.high - part.low)
        part.state = state if rested is None else lift.put(state, resting, rested)
        return pending

    def _fitting(
        self, part: _Part, before: Stacked, hyperparameters: Arrays, keys: Round, error: OutOfMemory
    ) -> OutOfMemory:
        """Finds out how many members would fit, by trying; the states are lost anyway."""
        tried = part.high - part.low
        size = tried // 2
        while size:
            places = np.arange(part.low, part.low + size)
            try:
                _, pending = part.lift.train(
                    part.lift.take(before, places - part.low),
                    {name: column[places] for name, column in hyperparameters.items()},
                    [interval[part.low : part.low + size] for interval in keys],
                )
                pending()
                break
            except OutOfMemory:
                size //= 2
        said = str(error).splitlines()[0]
        if not size:
            return OutOfMemory(f"out of memory: not even one member fits the device ({said})")
        return OutOfMemory(
            f"out of memory with {tried} members at a time; {size} fit: give engine=warren.Vectorised(chunk={size}) "
            f"({said})"
        )


def _spread(pending: Callable[[], Outcome], going: NDArray[np.int64], n: int) -> Outcome:
    """The outcome of all places of a part, of which only some were trained."""
    outcome = pending()

    def wide(values: NDArray[np.float64]) -> NDArray[np.float64]:
        whole = np.full((len(values), n), np.nan)
        whole[:, going] = values
        return whole

    return Outcome(
        scores=wide(outcome.scores),
        metrics={name: wide(values) for name, values in outcome.metrics.items()},
        failures={int(going[place]): error for place, error in outcome.failures.items()},
    )


def _joined(outcome: Outcome | None, found: Outcome, part: _Part, n: int) -> Outcome:
    """The outcome of all places with that of one part in it."""
    k = len(found.scores)
    if outcome is None:
        outcome = Outcome(
            scores=np.full((k, n), np.nan),
            metrics={name: np.full((k, n), np.nan) for name in found.metrics},
            failures={},
        )
    outcome.scores[:, part.low : part.high] = found.scores
    metrics = dict(outcome.metrics)
    for name, values in found.metrics.items():
        metrics.setdefault(name, np.full((k, n), np.nan))[:, part.low : part.high] = values
    failures = {**outcome.failures, **{place + part.low: error for place, error in found.failures.items()}}
    return Outcome(scores=outcome.scores, metrics=metrics, failures=failures)
