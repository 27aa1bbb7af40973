"""What is compared: strategies, each with as much compute as the others, and the standard set of controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from warren.errors import InvalidType, InvalidValue
from warren.runs.request import whole
from warren.space import Float, Space
from warren.strategies import PBT, RandomSearch, Strategy
from warren.strategies.controls import Cosine, SuccessiveHalving

INTERVALS = (1, 2, 5)
"""Intervals between decisions at which PBT is part of the standard set."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One strategy of a comparison, with a population of its own size where it spends its compute otherwise.

    Args:
        strategy: Who decides.
        population: Members; None: as many as the others have.
        intervals: For each member; None: as many as the others have.
    """

    strategy: Strategy
    population: int | None = None
    intervals: int | None = None

    def __post_init__(self) -> None:
        for name in ("population", "intervals"):
            if getattr(self, name) is not None:
                whole(f"Arm: {name}", getattr(self, name), 1)


@dataclass(frozen=True, kw_only=True)
class Seeded:
    """A task of its own for each seed, where what is paired is more than seeds of members: a split, a stream of data.

    Args:
        make: ``make(seed) -> train``: gives what `warren.run` takes, the same for the same seed.
    """

    make: Callable[[int], Any]


def standard(
    space: Mapping[str, Any],
    *,
    candidate: Strategy | None = None,
    population: int = 16,
    intervals: int = 30,
) -> dict[str, Strategy | Arm]:
    """PBT and what it has to be compared with before it has helped, all at the compute of the candidate.

    Args:
        space: Hyperparameters by name.
        candidate: The strategy in question; default `PBT()`. Controls that switch a part of it off are made of it where
            it is a `PBT`, else of `PBT()`.
        population: Members of the candidate.
        intervals: For each of them.

    Returns:
        Strategies by name, the candidate first (with ``own-`` before its name where a control has that): ``cosine``
        (where the space has a `Float` on a log scale), ``random``, ``no-explore`` (selection alone), ``no-exploit``,
        ``hyperparameters-only``, ``weights-only``, ``every-...``, and ``halving`` with as many members as its early
        retirements pay for; without the control that the candidate itself is.
    """
    given = PBT() if candidate is None else candidate
    pbt = given if isinstance(given, PBT) else PBT()
    found: dict[str, Strategy | Arm] = {"pbt": pbt}
    known = space if isinstance(space, Space) else Space(space)
    if any(isinstance(one, Float) and one.scale == "log" and not one.rebuild for one in known.values()):
        found["cosine"] = Cosine()
    found["random"] = RandomSearch()
    found["no-explore"] = replace(pbt, explore="none", drift_free=False)
    found["no-exploit"] = replace(pbt, exploit="none", explorers="ready")
    found["hyperparameters-only"] = replace(pbt, copy="hyperparameters")
    found["weights-only"] = replace(pbt, copy="weights")
    for every in INTERVALS:
        if every != pbt.every and every < intervals:
            found[f"every-{every}"] = replace(pbt, every=every)
    halving = SuccessiveHalving()
    size = population
    while halving.spend(size + 1, intervals) <= population * intervals:
        size += 1
    found["halving"] = Arm(strategy=halving, population=size)
    # The candidate may be a control itself, or one with other settings.
    others = {name: one for name, one in found.items() if one != given}
    name = name_of(given)
    return {f"own-{name}" if name in others else name: given, **others}


def name_of(strategy: Strategy) -> str:
    """What a strategy is called where nobody names it: its class."""
    return type(strategy).__name__.lower()


def as_arms(strategies: Mapping[str, Strategy | Arm]) -> dict[str, Arm]:
    """The strategies of a call, checked.

    Raises:
        InvalidType: These are no strategies by name.
        InvalidValue: There are fewer than two, or a name cannot be a run's.
    """
    given: object = strategies
    if not isinstance(given, Mapping):
        raise InvalidType(f"strategies must be a mapping of names to strategies, but got {strategies!r}")
    if len(strategies) < 2:
        raise InvalidValue(
            f"strategies must be at least two, to be compared, but got {', '.join(strategies) or 'none'}"
        )
    arms: dict[str, Arm] = {}
    for name, one in strategies.items():
        if not isinstance(name, str) or not name or "/" in name:
            raise InvalidValue(f"strategies: a name must be text without '/', but got {name!r}")
        arm = one if isinstance(one, Arm) else Arm(strategy=one)
        if isinstance(arm.strategy, type) or not callable(getattr(arm.strategy, "decide", None)):
            raise InvalidType(f"strategies[{name!r}] must be a strategy such as warren.PBT(), but got {one!r}")
        arms[name] = arm
    return arms
