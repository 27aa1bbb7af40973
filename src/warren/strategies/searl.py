"""SEARL: a tournament for every place, and one kind of mutation at a time, of weights too."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from warren.errors import InvalidValue
from warren.population import IntervalRow, Keys, Plan, View
from warren.space import Choice, Dimension, Space
from warren.state import Tree, combine_leaves
from warren.strategies.explore import Perturb
from warren.strategies.hooks import Combine, Combines, Draws, Hook
from warren.strategies.moves import assign, begin_all, keep, rescue, train_on
from warren.strategies.ready import Every
from warren.strategies.standing import lottery, ranked

if TYPE_CHECKING:
    from numpy.typing import NDArray

Mutation = Literal["nothing", "weights", "architecture", "activation", "value"]


@dataclass(frozen=True, kw_only=True)
class Disturbed:
    """A hook on states: some entries of some matrices are changed (Franke et al. 2021; public code).

    Of the matrices (floating arrays with two axes) a random number is drawn, one at least, and in each of these up to
    `share` of the entries, with putting back. An entry w becomes w + N(0, (`deviation` w)^2); with probability 5 %
    w + N(0, (10 w)^2) instead, and with another 5 % N(0, 1).

    Trap: moments of an optimizer are matrices as well, and a negative second moment ends a training; so what lies
    inside one of the names in `spare` is left alone. Where a state names its moments otherwise, say so.

    Args:
        deviation: In units of the entry.
        share: Of the entries of a matrix, at most; above 0 and at most 1.
        spare: Names of parts that are no weights: of tracked objects, and of what is in them.
    """

    deviation: float = 0.1
    share: float = 0.1
    spare: tuple[str, ...] = ("optimizer", "opt", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "momentum_buffer")

    def __post_init__(self) -> None:
        object.__setattr__(self, "spare", tuple(self.spare))
        if not (math.isfinite(self.deviation) and self.deviation >= 0):
            raise InvalidValue(f"Disturbed: deviation must be at least 0 and finite, but got {self.deviation!r}")
        if not 0 < self.share <= 1:
            raise InvalidValue(f"Disturbed: share must lie in (0, 1], but got {self.share!r}")

    def __call__(self, states: Sequence[Tree], hyperparameters: dict[str, Any], rng: Draws) -> Tree:
        draws: np.random.Generator = rng.numpy()
        matrices: list[tuple[object, ...]] = []

        def find(arrays: Sequence[NDArray[Any]], path: tuple[object, ...]) -> NDArray[Any]:
            if arrays[0].ndim == 2 and arrays[0].size and not set(self.spare).intersection(map(str, path)):
                matrices.append(path)
            return arrays[0]

        combine_leaves(find, states[:1])
        if not matrices:
            return states[0]
        count = int(draws.integers(len(matrices))) + 1
        chosen = {matrices[int(place)] for place in draws.choice(len(matrices), size=count, replace=False)}
        return combine_leaves(
            lambda arrays, path: self._changed(arrays[0], draws) if path in chosen else arrays[0], states[:1]
        )

    def _changed(self, weights: NDArray[Any], draws: np.random.Generator) -> NDArray[Any]:
        changed: NDArray[Any] = weights.reshape(-1).copy()
        count = int(draws.integers(math.ceil(self.share * changed.size))) + 1
        for place in draws.integers(changed.size, size=count).tolist():
            kind, noise = float(draws.random()), float(draws.standard_normal())
            if kind < 0.05:
                changed[place] += 10.0 * abs(changed[place]) * noise
            elif kind < 0.1:
                changed[place] = noise
            else:
                changed[place] += self.deviation * abs(changed[place]) * noise
        changed = changed.reshape(weights.shape)
        return changed


@dataclass(frozen=True, kw_only=True)
class SEARL(Combines):
    """Sample-efficient automated RL (Franke, Koehler, Biedenkapp and Hutter 2021, arXiv 2009.01555).

    The best member goes on as it is. For the place of each other one `tournament` members are drawn, with putting
    back; the best of these is its parent, perhaps itself. Then one kind of mutation is drawn, each as likely, of those
    that there are: nothing; the weights, by the hook `weights`; the architecture, by the hook `architecture`; an
    activation, that is one unordered choice, which becomes another one; or one other hyperparameter, which is
    perturbed. The paper has a population of 10.

    Decided here: what shapes the objects (``rebuild=True``) belongs to the weights and is not changed by a copy, so an
    architecture is only mutated where `architecture` is given, a function that makes weights of the new shape of the
    old ones; one such hyperparameter is perturbed, and the function is called with the new values. The paper shares a
    replay buffer among all members; a training function may do so on its own. The best is not mutated either, as in the
    paper's description; its code mutates what comes out of the tournament.

    Traps: all but one are replaced or mutated at each decision, far more than by truncation; an interval has to be long
    enough to tell members apart.

    Args:
        tournament: How many are drawn, from 1.
        weights: A function of states, hyperparameters and a generator; None leaves weights alone.
        architecture: The same, or None.
        factors: What numbers are multiplied by.
        every: Intervals between two decisions for a member.
        warmup: Intervals before the first decision can come.

    Raises:
        InvalidValue: A number is out of its range.
    """

    tournament: int = 3
    weights: Combine | None = Disturbed()
    architecture: Combine | None = None
    factors: tuple[float, ...] = (0.8, 1.2)
    every: int = 1
    warmup: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", Perturb(factors=self.factors).factors)
        Every(every=self.every, warmup=self.warmup)
        if isinstance(self.tournament, bool) or not isinstance(self.tournament, int) or self.tournament < 1:
            raise InvalidValue(f"SEARL: tournament must be a whole number of at least 1, but got {self.tournament!r}")

    @property
    def hooks(self) -> Mapping[str, Hook]:
        """``"weights"`` and ``"architecture"``, as far as they are given."""
        given = {"weights": self.weights, "architecture": self.architecture}
        return {name: Hook(combine=combine) for name, combine in given.items() if combine is not None}

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """As `PBT`, with the same draws for the same seed."""
        first = Every(every=self.every, warmup=self.warmup).after(0)
        return begin_all(space, size, keys, intervals=first)

    def decide(self, view: View, keys: Keys) -> Plan:
        """Fill the place of the member that is due."""
        intervals = Every(every=self.every, warmup=self.warmup).after(view.at) - view.at
        if view.failing:
            return rescue(view, view.facts.scores, Perturb(factors=self.factors), keys, intervals=intervals)
        report, best = view.report, ranked(view, keys)
        if report is None or report.interval != view.at or not best or best[0].member == view.due.member:
            return keep(intervals=intervals)
        parent = self._parent(view, keys)
        old = view.due.hyperparameters if parent is None else parent.hyperparameters
        mutation, values = self._mutated(view.space, old, keys)
        # Its own state may have been found damaged since it reported; then it goes on from one before that.
        source = view.source(view.due.member) if parent is None else parent
        if source is None or source.checkpoint is None or (parent is None and mutation not in self.hooks):
            return train_on(view, values, intervals=intervals)
        via = mutation if mutation in self.hooks else "copy"
        return assign(view, values, via=via, sources=(source.checkpoint,), intervals=intervals)

    def _parent(self, view: View, keys: Keys) -> IntervalRow | None:
        """The best of those that were drawn, or None where that is the member itself."""
        members = sorted(view.facts.place)
        drawn = keys.generator("tournament").integers(len(members), size=self.tournament)
        places = [view.facts.place[members[place]] for place in drawn.tolist()]
        ties = lottery(view, keys)
        place = max(places, key=lambda place: (view.facts.scores[place], ties[place]))
        member = int(view.facts.members[place])
        return view.source(member) if member != view.due.member and view.facts.healthy[place] else None

    def _mutated(self, space: Space, old: Mapping[str, Any], keys: Keys) -> tuple[Mutation, dict[str, Any]]:
        """One kind of mutation, and the hyperparameters after it."""
        rng, values = keys.generator("mutation"), dict(old)
        shaping = [name for name in sorted(values) if space[name].rebuild]
        free = [name for name in sorted(values) if not space[name].rebuild]
        activations = [name for name in free if not space[name].ordered]
        numbers = [name for name in free if space[name].ordered]
        offered: dict[Mutation, list[str]] = {"nothing": []}
        if self.weights is not None:
            offered["weights"] = []
        if self.architecture is not None and shaping:
            offered["architecture"] = shaping
        if activations:
            offered["activation"] = activations
        if numbers:
            offered["value"] = numbers
        kinds = list(offered)
        kind = kinds[int(rng.integers(len(kinds)))]
        names = offered[kind]
        if not names:
            return kind, values
        name = names[int(rng.integers(len(names)))]
        values[name] = self._moved(space[name], values[name], rng)
        fixed = {name} if kind == "architecture" else space.rebuild
        return kind, space.repaired(values, rng, fixed=fixed)

    def _moved(self, dimension: Dimension, value: Any, rng: np.random.Generator) -> Any:
        if isinstance(dimension, Choice) and not dimension.ordered:
            others = [other for other in dimension.values if other != value]
            return others[int(rng.integers(len(others)))] if others else value
        return dimension.perturb(value, rng, factors=self.factors, redraw=1.0)
