"""FIRE PBT: part of the population is selected by how fast its descendants learn, and not by how well they do now."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from warren.errors import InvalidType, InvalidValue
from warren.population import Assign, IntervalRow, Keys, Plan, View
from warren.space import Space
from warren.strategies.checks import check_counts
from warren.strategies.explore import Explore, Perturb, Unchanged
from warren.strategies.fire_round import EVALUATORS, P1, P2, Pair, Rules, agree
from warren.strategies.moves import assign, begin, keep, rescue, take_over
from warren.strategies.ready import Every


@dataclass(frozen=True, kw_only=True)
class FIREPBT:
    """Faster Improvement Rate Population Based Training (Dalibard and Jaderberg 2021, arXiv 2109.13800).

    Of two networks that do equally well with the same hyperparameters, the one that improves faster is the better one
    in the long run. So there are two sub-populations and evaluators:

    - P1 is PBT by truncation on the score: greedy, and where good scores come from.
    - Evaluators take the weights of a member of P2, their parent, and the hyperparameters of the best member of P1,
      their child, and train on. Their curves are held against others from where both stand equal (`overlap`, on
      smoothed curves).
    - P2 is PBT by truncation on the sum, over all others that are being evaluated, of how much better the best score
      on the overlap is (`improvement`), whatever its own scores are.
    - An evaluator succeeds where it improves on its child's curve, and is above it at so many points of the overlap
      that chance has a probability below `p` (binomial test): its child takes over its weights, and goes on with its
      curve. It stops where there is no overlap after `patience` intervals, where that probability is above
      ``p + max(0, 1 - T / patience)`` after T intervals, or where its parent or child copies another member. Then it
      begins with the member of P2 that was longest without.

    A curve is made of the scores inside intervals (``member.log(score=...)``) where there are any, else of those at
    their ends, since the weights were last copied. Fewer than 7 points prove nothing at p = 0.01, so record some 20 an
    interval; with one point an interval an evaluation takes 7 intervals at least.

    Decided here, where the paper is silent: curves are smoothed by local straight lines. Nobody of P2 is judged by a
    curve with too few points; of those who are judged, at most the better half are donors. Of two evaluators that
    outdo the same child, the second has to outdo the first as well; a child that took over an evaluator stays the child
    of all others, on its new curve. A curve above all of its child's is tested on as many points as both have. Members
    that fail copy one of their own sub-population; an evaluator that fails begins anew. A population that is too small
    for an evaluator is all P1, which is PBT.

    Traps: evaluators' intervals cost as much as others', and their members begin as others do, before there is anybody
    to evaluate. In an asynchronous run each decides on what is known at its own interval: an evaluator that succeeded
    may have begun with another parent before its child knows, which is then evaluated anew. Curves reach as far back as
    the log, 64 intervals.

    Args:
        shares: Of P1, of P2 and of the evaluators in the population, in any unit; at least as many parents as
            evaluators. The default is the paper's toy, with a population of 22.
        fraction: Share of a sub-population that is worst, and that is best; above 0, to 0.5. At least one member.
        explore: How hyperparameters change after a copy inside P1 or P2.
        patience: Intervals that an evaluator is given to be as good as its child (max_eval_steps in the paper).
        p: The one-sided probability below which an evaluator succeeds.
        window: Points that a curve is smoothed over, odd; 1 for none.
        every: Intervals between two decisions for a member.
        warmup: Intervals before the first decision can come.

    Raises:
        InvalidType: A number is none, or not whole where it has to be.
        InvalidValue: A number is out of its range, or there are more evaluators than parents.
    """

    shares: Sequence[float] = (8, 8, 6)
    fraction: float = 0.25
    explore: Explore = field(default_factory=Perturb)
    patience: int = 10
    p: float = 0.01
    window: int = 5
    every: int = 1
    warmup: int = 1
    _rules: Rules = field(init=False, repr=False, compare=False)
    _ready: Every = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        shares = tuple(self.shares) if isinstance(self.shares, (tuple, list)) else ()
        if len(shares) != 3 or not all(_positive(share) for share in shares):
            raise InvalidType(
                "FIREPBT: shares must be three positive numbers, for P1, P2 and the evaluators, such as (8, 8, 6), but "
                f"got {self.shares!r}"
            )
        if shares[2] > shares[1]:
            raise InvalidValue(
                f"FIREPBT: shares={shares!r} must have at least as many parents (the second) as evaluators (the third)"
            )
        if not 0 < self.fraction <= 0.5:
            raise InvalidValue(f"FIREPBT: fraction must lie above 0, to 0.5, but got {self.fraction!r}")
        if not 0 < self.p < 1:
            raise InvalidValue(f"FIREPBT: p must lie between 0 and 1, but got {self.p!r}")
        check_counts("FIREPBT", patience=self.patience, window=self.window)
        if self.window % 2 == 0:
            raise InvalidValue(f"FIREPBT: window must be odd, so that it has a middle, but got {self.window!r}")
        rules = Rules(fraction=self.fraction, patience=self.patience, p=self.p, window=self.window)
        object.__setattr__(self, "shares", shares)
        object.__setattr__(self, "_rules", rules)
        object.__setattr__(self, "_ready", Every(every=self.every, warmup=self.warmup))

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """Every member in its sub-population, with hyperparameters from the prior and a state from its own seed."""
        first = self._ready.after(0)
        actions: list[Assign] = []
        for group, count in zip((P1, P2, EVALUATORS), self.sizes(size), strict=True):
            role = "evaluator" if group == EVALUATORS else None
            for _ in range(count):
                actions.append(begin(space, len(actions), keys, intervals=first, group=group, role=role))
        return Plan(actions=tuple(actions))

    def sizes(self, population: int) -> tuple[int, int, int]:
        """How many members P1, P2 and the evaluators have: the shares, rounded by largest remainders."""
        exact = [population * share / sum(self.shares) for share in self.shares]
        sizes = [math.floor(size) for size in exact]
        by_remainder = sorted(range(3), key=lambda i: sizes[i] - exact[i])
        for i in by_remainder[: population - sum(sizes)]:
            sizes[i] += 1
        return (sizes[0], sizes[1], sizes[2]) if all(sizes) else (population, 0, 0)

    def decide(self, view: View, keys: Keys) -> Plan:
        """What follows for the member that is due from what all agree on."""
        intervals = self._ready.after(view.at) - view.at
        report = view.report
        if not view.failing and (report is None or report.interval != view.at):
            return keep(intervals=intervals)  # its own score is still to come
        agreed = view.once(("fire", self, keys.seed, keys.interval), lambda: agree(view, keys, self._rules))
        member, group = view.due.member, view.due.group
        if group == EVALUATORS:
            plan = self._begin(view, agreed.pairs.get(member), keys, intervals)
        else:
            plan = self._succeed(view, agreed.successors.get(member), keys, intervals)
            if plan is None and (view.failing or member in agreed.replaced):
                plan = self._copy(view, agreed.donors[P2 if group == P2 else P1], keys, intervals)
        if plan is None and view.failing:
            return rescue(view, view.facts.scores, self.explore, keys, intervals=intervals)
        return keep(intervals=intervals) if plan is None else plan

    def _begin(self, view: View, pair: Pair | None, keys: Keys, intervals: int) -> Plan | None:
        """An evaluator takes its new parent's weights and its new child's hyperparameters."""
        source = None if pair is None else view.source(pair.parent)
        if pair is None or source is None or source.checkpoint is None:
            return None
        child = view.facts.rows[view.facts.place[pair.child]]
        taken = view.space.merged(source.hyperparameters, child.hyperparameters, keys.generator("merge"))
        return assign(view, taken, via="copy", sources=(source.checkpoint,), intervals=intervals, tag=pair.tag())

    def _succeed(self, view: View, evaluator: IntervalRow | None, keys: Keys, intervals: int) -> Plan | None:
        """A member of P1 takes over the evaluator that has outdone it."""
        source = None if evaluator is None else view.source(evaluator.member)
        if evaluator is None or source is None or source.tag != evaluator.tag or source.interval > view.at:
            return None  # the evaluator is at something else by now
        return take_over(view, source, Unchanged(), keys, intervals=intervals)

    def _copy(self, view: View, donors: Sequence[int], keys: Keys, intervals: int) -> Plan | None:
        """A member copies one of the best of its own sub-population, drawn uniformly, and explores."""
        sources = [view.source(donor) for donor in donors if donor != view.due.member]
        fit = [source for source in sources if source is not None]
        if not fit:
            return None
        drawn = fit[int(keys.generator("donor").integers(len(fit)))]
        return take_over(view, drawn, self.explore, keys, intervals=intervals)


def _positive(share: object) -> bool:
    return isinstance(share, (int, float)) and not isinstance(share, bool) and 0 < share < math.inf
