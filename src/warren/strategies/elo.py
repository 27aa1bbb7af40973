"""Members that play each other: Elo ratings as the fitness, opponents of similar rating."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from warren.errors import InvalidType, InvalidValue
from warren.population import Assign, IntervalRow, Keys, Plan, View
from warren.space import Space
from warren.strategies.compose import Composed
from warren.strategies.explore import Explore, Perturb
from warren.strategies.moves import train_on
from warren.strategies.ready import Every
from warren.strategies.standing import opponent_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


def expected(rating: float, other: float) -> float:
    """The share of points that a rating is expected to win against another: 1 / (1 + 10^((other - rating) / 400)).

    Args:
        rating: In Elo points.
        other: The opponent's.
    """
    return 1.0 / (1.0 + math.pow(10.0, min(max((other - rating) / 400.0, -300.0), 300.0)))


@dataclass(frozen=True, kw_only=True)
class Elo:
    """Fitness by Elo ratings, from the results that members report of their matches.

    A rating belongs to a state: it goes on with the member, and comes along with a copy. A fresh state, and one whose
    parents lie before the window, starts at 0; results against states of before the window do not count. In an interval
    in which a member of rating r won the share S of the points against an opponent of rating q, its rating changes by
    K (S - expected(r, q)), summed over its opponents, and that of the opponent by as much the other way where it
    trained on from that very state in the same interval. All expectations are of the ratings before the interval.

    ``member.report(score, results={opponent: share})`` reports shares in [0, 1]: 1 for a win, 0.5 for a draw, the mean
    of several matches. Members that report none keep their rating.

    Args:
        step: K, in Elo points.
        window: Intervals that are looked back on, from 1 to 64; a rating of long ago is another model's.
    """

    step: float = 32.0
    window: int = 64

    def __post_init__(self) -> None:
        if not (math.isfinite(self.step) and self.step > 0):
            raise InvalidValue(f"Elo: step must be positive and finite, but got {self.step!r}")
        if isinstance(self.window, bool) or not isinstance(self.window, int):
            raise InvalidType(f"Elo: window must be a whole number, but got {self.window!r}")
        if not 1 <= self.window <= 64:
            raise InvalidValue(f"Elo: window must lie in [1, 64], but got {self.window!r}")

    def __call__(self, view: View) -> NDArray[np.float64]:
        return view.once(("elo", self), lambda: self._fitness(view))

    def _fitness(self, view: View) -> NDArray[np.float64]:
        members = view.facts.members.tolist()
        first = view.at - self.window
        table = _Table(
            [row for member in members for row in view.reports(member) if row.interval > first], self.step
        )  # fmt: skip
        ratings = [table.after(row) for row in view.facts.rows]
        return np.where(view.facts.healthy, np.array(ratings, dtype=np.float64), -np.inf)


class _Table:
    """Ratings of states, found backwards along their parents."""

    def __init__(self, rows: list[IntervalRow], step: float) -> None:
        self._step = step
        self._rows = {row.id: row for row in rows}
        self._of = {row.checkpoint: row for row in rows if row.checkpoint is not None}
        self._after: dict[int, float] = {}
        self._met: dict[tuple[int, int], list[tuple[IntervalRow, float]]] = {}
        for row in rows:
            for name, share in (row.results or {}).items():
                if not 0.0 <= share <= 1.0:
                    raise InvalidValue(
                        f"results: member {row.member} reported {share!r} against {name} in interval {row.interval}; "
                        "report the share of the points that it won, in [0, 1]"
                    )
                if name in self._of:
                    self._met.setdefault((self._of[name].id, row.interval), []).append((row, share))

    def after(self, row: IntervalRow) -> float:
        """The rating of the state after an interval."""
        known = self._after.get(row.id)
        if known is not None:
            return known
        rating = before = self._before(row)
        for name, share in (row.results or {}).items():
            if name in self._of:
                rating += self._step * (share - expected(before, self.after(self._of[name])))
        if row.origin == "continue":
            for other, share in self._met.get((row.parents[0] if row.parents else 0, row.interval), ()):
                rating -= self._step * (share - expected(self._before(other), before))
        self._after[row.id] = rating
        return rating

    def _before(self, row: IntervalRow) -> float:
        parent = self._rows.get(row.parents[0]) if row.parents else None
        return 0.0 if parent is None else self.after(parent)


@dataclass(frozen=True, kw_only=True)
class Challenge:
    """A member meets another one, drawn uniformly, and copies it where that one is expected to win clearly.

    Args:
        share: The share of points above which the other one must be expected to win, from 0.5 on; fitness is in Elo
            points.
    """

    share: float = 0.7

    def __post_init__(self) -> None:
        if not 0.5 <= self.share < 1:
            raise InvalidValue(f"Challenge: share must lie in [0.5, 1), but got {self.share!r}")

    def __call__(self, view: View, fitness: NDArray[np.float64], keys: Keys) -> IntervalRow | None:
        place, opponent = view.place, opponent_of(view, keys)
        if place is None or opponent is None or not view.facts.healthy[opponent]:
            return None
        if expected(float(fitness[opponent]), float(fitness[place])) <= self.share:
            return None
        return view.source(int(view.facts.members[opponent]))


def matched(
    view: View, ratings: NDArray[np.float64], keys: Keys, *, count: int, deviation: float
) -> tuple[IntervalRow, ...]:
    """Opponents for the member that is due, drawn without putting back, the likelier the more even the match.

    The weight of another member is exp(-(P - 1/2)^2 / (2 d^2)), with P the share that the member that is due is
    expected to win against it.

    Args:
        view: Facts at equal progress.
        ratings: In Elo points, one for each of ``view.facts.members``; -inf for those that are not healthy.
        keys: The key of the member that is due.
        count: How many; fewer where there are fewer.
        deviation: d, in shares of the points.

    Returns:
        The reports whose checkpoints are the opponents.
    """
    own = 0.0 if view.place is None else float(ratings[view.place])
    own = own if math.isfinite(own) else 0.0
    found: list[IntervalRow] = []
    weights: list[float] = []
    for place, member in sorted(zip(range(len(ratings)), view.facts.members.tolist(), strict=True), key=lambda p: p[1]):
        source = view.source(member) if member != view.due.member and view.facts.healthy[place] else None
        if source is not None:
            found.append(source)
            weights.append(math.exp(-((expected(own, float(ratings[place])) - 0.5) ** 2) / (2 * deviation**2)))
    if not found:
        return ()
    chances = np.maximum(weights, 1e-12)  # nobody is out of reach, else too few may be left to draw
    drawn = keys.generator("opponents").choice(
        len(found), size=min(count, len(found)), replace=False, p=chances / chances.sum()
    )
    return tuple(found[place] for place in drawn.tolist())


@dataclass(frozen=True, kw_only=True)
class EloPBT:
    """PBT for members that play each other, after For The Win (Jaderberg et al. 2019, arXiv 1807.01281).

    At each decision a member meets another one, drawn uniformly, and takes over its state and hyperparameters where
    that one is expected to win more than `share` of the points by Elo; then it explores. Whoever goes on or copies is
    handed opponents of similar rating for its next intervals: `matched`. Play them and report the results (`Elo`).

    The numbers are those of the method as it is commonly told; the paper was not at hand to confirm them. Opponents are
    states as they were at the decision, so that a run can be repeated; the paper's matches are live. A copy brings the
    donor's rating along.

    Traps: without results all ratings stay equal and nobody copies. In an asynchronous run a member knows the results
    that were reported at or before its own last interval.

    Args:
        opponents: How many opponents are handed to a member at each decision.
        share: As for `Challenge`.
        deviation: As for `matched`.
        step: As for `Elo`.
        window: As for `Elo`.
        explore: How hyperparameters change after a copy.
        every: Intervals between two decisions for a member.
        warmup: Intervals before the first decision can come.

    Raises:
        InvalidValue: A number is out of its range.
    """

    opponents: int = 3
    share: float = 0.7
    deviation: float = 1 / 6
    step: float = 32.0
    window: int = 64
    explore: Explore = field(default_factory=Perturb)
    every: int = 1
    warmup: int = 1
    _composed: Composed = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.opponents, bool) or not isinstance(self.opponents, int) or self.opponents < 1:
            raise InvalidValue(f"EloPBT: opponents must be a whole number of at least 1, but got {self.opponents!r}")
        if not (math.isfinite(self.deviation) and self.deviation > 0):
            raise InvalidValue(f"EloPBT: deviation must be positive and finite, but got {self.deviation!r}")
        composed = Composed(
            ready=Every(every=self.every, warmup=self.warmup),
            fitness=Elo(step=self.step, window=self.window),
            exploit=Challenge(share=self.share),
            explore=self.explore,
        )
        object.__setattr__(self, "_composed", composed)

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """As `PBT`, with the same draws for the same seed; there are no opponents before the first decision."""
        return self._composed.start(space, size, keys)

    def decide(self, view: View, keys: Keys) -> Plan:
        """Exploit and explore for the member that is due, and find its next opponents."""
        plan = self._composed.decide(view, keys)
        if not plan.actions and (view.report is None or view.report.interval != view.at):
            return plan
        ratings = self._composed.fitness(view)
        met = matched(view, ratings, keys, count=self.opponents, deviation=self.deviation)
        if not met:
            return plan
        if not plan.actions:
            plan = train_on(view, view.due.hyperparameters, intervals=plan.intervals)
        names = tuple(row.checkpoint for row in met if row.checkpoint is not None)
        return replace(
            plan,
            actions=tuple(
                replace(action, opponents=names) if isinstance(action, Assign) else action for action in plan.actions
            ),
        )
