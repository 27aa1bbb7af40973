"""What a decision does to the member that is due: the moves that all strategies are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from warren.population import Assign, IntervalRow, Keys, Plan, View
from warren.space import Space
from warren.strategies.explore import Explore, explored
from warren.strategies.standing import donor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from warren.values import Json

Copy = Literal["both", "weights", "hyperparameters"]


def begin(space: Space, member: int, keys: Keys, *, intervals: int = 1, **fields: Any) -> Assign:
    """A member's first assignment: hyperparameters from the prior, and a state made from its own seed.

    Args:
        space: What hyperparameters may be.
        member: Who.
        keys: The key of the run. The draw is keyed by the member, so that a larger population begins as a smaller one.
        intervals: Until its first decision.
        **fields: Others of `Assign`: `group`, `role`, `tag`.
    """
    prior = Keys(seed=keys.seed, member=member, interval=keys.interval, attempt=keys.attempt).generator("prior")
    return Assign(
        member=member, hyperparameters=space.sample(prior), via="fresh", intervals=intervals, **fields
    )  # fmt: skip


def begin_all(space: Space, size: int, keys: Keys, *, intervals: int = 1) -> Plan:
    """The first plan of most strategies: every member as `begin` has it."""
    return Plan(actions=tuple(begin(space, member, keys, intervals=intervals) for member in range(size)))


def keep(*, intervals: int = 1) -> Plan:
    """The member that is due goes on as it is."""
    return Plan(intervals=intervals)


def train_on(view: View, hyperparameters: dict[str, Any], *, intervals: int = 1, tag: Json = None) -> Plan:
    """The member that is due goes on from its own state with other hyperparameters."""
    return assign(view, hyperparameters, via="keep", intervals=intervals, tag=tag)


def take_over(
    view: View,
    source: IntervalRow,
    explore: Explore,
    keys: Keys,
    *,
    copy: Copy = "both",
    intervals: int = 1,
    tag: Json = None,
) -> Plan:
    """The member that is due exploits a report, and explores.

    Args:
        view: Facts at equal progress.
        source: The report, as `View.source` or `standing.donor` gives it.
        explore: What becomes of the hyperparameters.
        keys: The key of the member that is due.
        copy: What is copied. What shapes the objects (``rebuild=True``) always belongs to the weights.
        intervals: Until the next decision.
        tag: A note that comes back with the member and in its reports.
    """
    own, donated = view.due.hyperparameters, source.hyperparameters
    if copy == "hyperparameters":
        taken = view.space.merged(own, donated, keys.generator("merge"))
        return train_on(view, explored(explore, view, taken, keys), intervals=intervals, tag=tag)
    taken = donated
    if copy == "weights":
        taken = view.space.merged(donated, own, keys.generator("merge"))
    sources = () if source.checkpoint is None else (source.checkpoint,)
    changed = explored(explore, view, taken, keys)
    return assign(view, changed, via="copy", sources=sources, intervals=intervals, tag=tag)


def rescue(
    view: View, fitness: NDArray[np.float64], explore: Explore, keys: Keys, *, intervals: int = 1, tag: Json = None
) -> Plan:
    """A member that is failing copies one from among the best fifth, or starts afresh where nobody is healthy.

    Args:
        view: Facts at equal progress, with ``view.failing``.
        fitness: One number for each of ``view.facts.members``, greater is better.
        explore: What becomes of the donor's hyperparameters.
        keys: The key of the member that is due.
        intervals: Until the next decision.
        tag: A note that comes back with the member and in its reports.
    """
    if len(view.facts.members):
        size = max(2, len(view.facts.members) // 5)
        healthy = donor(view, fitness, keys, size)
        if healthy is not None:
            return take_over(view, healthy, explore, keys, intervals=intervals, tag=tag)
    drawn = view.space.sample(keys.generator("prior"))
    return assign(view, drawn, via="fresh", intervals=intervals, tag=tag)


def assign(
    view: View,
    hyperparameters: dict[str, Any],
    *,
    via: str,
    sources: tuple[str, ...] = (),
    intervals: int = 1,
    tag: Json = None,
) -> Plan:
    """A plan of one assignment, for the member that is due."""
    action = Assign(
        member=view.due.member,
        hyperparameters=hyperparameters,
        sources=sources,
        via=via,
        intervals=intervals,
        tag=tag,
    )
    return Plan(actions=(action,), intervals=intervals)
