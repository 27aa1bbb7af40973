"""Iterated PBT: begin again, with what was learned and a longer step, where it does not get better any more."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from warren.errors import InvalidType, InvalidValue
from warren.population import Keys, Plan, View
from warren.space import Space
from warren.strategies.exploit import Truncation
from warren.strategies.explore import Explore, Perturb
from warren.strategies.hooks import Combines, Hook, ShrinkAndPerturb
from warren.strategies.ipbt_models import Outcome, crawls, proposed, rises
from warren.strategies.moves import assign, begin, keep, rescue, take_over, train_on
from warren.strategies.ready import Every
from warren.strategies.standing import donor, ranked
from warren.values import Json


@dataclass(frozen=True, kw_only=True)
class Note:
    """What a member carries along in its tag: where the population stands, and what came of its own beginnings.

    Attributes:
        iteration: How many restarts there were.
        since: The interval after which the present iteration began.
        curve: The best score of the population at each step of this iteration, greater is better.
        stale: Steps in a row without improvement.
        source: The member whose beginning, in this iteration, its state descends from.
        start: The hyperparameters that it began this iteration with itself.
        reached: The best score of all that descended from its own beginning in this iteration, greater is better.
        past: Iteration, start and reached of its earlier beginnings.
    """

    iteration: int = 0
    since: int = 0
    curve: tuple[float, ...] = ()
    stale: int = 0
    source: int
    start: Mapping[str, Any]
    reached: float | None = None
    past: tuple[tuple[int, Mapping[str, Any], float], ...] = ()

    def tag(self) -> Json:
        """As JSON."""
        return {
            "iteration": self.iteration, "since": self.since, "curve": list(self.curve), "stale": self.stale,
            "source": self.source, "start": dict(self.start), "reached": self.reached,
            "past": [[iteration, dict(start), reached] for iteration, start, reached in self.past],
        }  # fmt: skip


def note_of(member: int, hyperparameters: Mapping[str, Any], tag: Json) -> Note:
    """The note of a member, or a new one where it has none."""
    if not isinstance(tag, dict) or "iteration" not in tag:
        return Note(source=member, start=hyperparameters)
    fields: dict[str, Any] = dict(tag)
    fields["curve"] = tuple(fields["curve"])
    fields["past"] = tuple((iteration, start, reached) for iteration, start, reached in fields["past"])
    return Note(**fields)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What all members find at one step.

    Attributes:
        iteration: The newest iteration that anybody is in.
        since: When it began.
        curve: The best score at each of its steps, this one included.
        stale: Steps in a row without improvement.
        reached: For each member the best score of all that descended from its beginning.
        outcomes: What came of all beginnings so far.
    """

    iteration: int
    since: int
    curve: tuple[float, ...]
    stale: int
    reached: Mapping[int, float]
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, kw_only=True)
class IPBT(Combines):
    """Iterated PBT with restarts that double the step (Chebykin, Alderliesten and Bosman 2025, arXiv 2511.09190).

    The population is trained by PBT with truncation at 25 %, deciding every `every` intervals. At each step the curve
    of best scores of this iteration is smoothed by a Gaussian process; where its end is not above the point before for
    `patience` steps in a row, or it has risen by less than one standard deviation over `crawl` steps, all begin again:
    the step is multiplied by `growth`; half of the members start from fresh weights, the others from old * theta +
    fresh * theta_0, theta of one of the best quarter (a member of it its own) and theta_0 newly made; half of the
    configurations are drawn from the prior, the others by a Gaussian process that knows what came of all beginnings so
    far. No restart comes where fewer than two of the longer steps would be left.

    Decided here: explore is perturb within an iteration, where the paper has its own time-varying Bayesian optimization
    (another may be given). The process for beginnings looks at the best score that their descendants reached, and picks
    from draws of the prior (`proposed`). Twice as many beginnings of which the better half goes on, as in the paper's
    code, are left out. Who is fresh and who is drawn are two draws. All floating arrays are shrunk, an optimizer's
    moments too. A restart is every member's own action: what all must agree on is found from the others' tags, at the
    same interval in a synchronous run; in an asynchronous one whoever meets a member of a later iteration joins it.

    Traps: scores fall after each restart, so a run should not end on one: give many intervals. A loop that keeps
    ``member.state`` itself has to say how a fresh state is made.

    Args:
        every: Intervals between two decisions in the first iteration.
        growth: What the step is multiplied by at a restart, a whole number from 1.
        patience: Steps in a row without improvement that make the population begin again.
        crawl: Steps over which the curve must rise by a standard deviation, from 2.
        fraction: Share of the population that is worst, and that is best.
        old: What a state is multiplied by at a restart.
        fresh: What is added of a fresh one.
        fresh_weights: Share of the members that start from fresh weights.
        fresh_values: Share of the members whose hyperparameters are drawn from the prior.
        forget: How much less a beginning tells for each iteration since, from 0 to below 1.
        explore: How hyperparameters change after a copy.

    Raises:
        InvalidValue: A number is out of its range.
    """

    every: int = 1
    growth: int = 2
    patience: int = 3
    crawl: int = 15
    fraction: float = 0.25
    old: float = 0.2
    fresh: float = 0.1
    fresh_weights: float = 0.5
    fresh_values: float = 0.5
    forget: float = 0.1
    explore: Explore = field(default_factory=Perturb)

    def __post_init__(self) -> None:
        Every(every=self.every)
        Truncation(fraction=self.fraction)
        for name, least in (("growth", 1), ("patience", 1), ("crawl", 2)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise InvalidType(f"IPBT: {name} must be a whole number, but got {value!r}")
            if value < least:
                raise InvalidValue(f"IPBT: {name} must be at least {least}, but got {value!r}")
        for name in ("old", "fresh"):
            if not math.isfinite(getattr(self, name)):
                raise InvalidValue(f"IPBT: {name} must be finite, but got {getattr(self, name)!r}")
        for name in ("fresh_weights", "fresh_values"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidValue(f"IPBT: {name} must lie in [0, 1], but got {getattr(self, name)!r}")
        if not 0 <= self.forget < 1:
            raise InvalidValue(f"IPBT: forget must lie in [0, 1), but got {self.forget!r}")

    @property
    def hooks(self) -> Mapping[str, Hook]:
        """``"shrink"``: old * theta + fresh * theta_0."""
        return {"shrink": Hook(combine=ShrinkAndPerturb(old=self.old, fresh=self.fresh), fresh=True)}

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """As `PBT`, with the same draws for the same seed."""
        actions = []
        for member in range(size):
            first = begin(space, member, keys, intervals=self.every)
            note = Note(source=member, start=first.hyperparameters)
            actions.append(begin(space, member, keys, intervals=self.every, tag=note.tag()))
        return Plan(actions=tuple(actions))

    def step(self, iteration: int) -> int:
        """Intervals between two decisions in an iteration, from 0."""
        length: int = self.every * self.growth**iteration
        return length

    def decide(self, view: View, keys: Keys) -> Plan:
        """Begin again with all others, or exploit and explore for the member that is due."""
        own = note_of(view.due.member, view.due.hyperparameters, view.due.tag)
        pending = view.report is None or view.report.interval != view.at
        if pending and not view.failing:
            return keep(intervals=self._left(own.iteration, own.since, view.at))
        now = view.once(("ipbt", self), lambda: self._standing(view))
        if now is None:
            left = self._left(own.iteration, own.since, view.at)
            return rescue(view, view.facts.scores, self.explore, keys, intervals=left, tag=own.tag())
        if own.iteration < now.iteration:
            return self._begin_again(view, keys, own, now, now.iteration, now.since)
        if self._ends(now, view):
            return self._begin_again(view, keys, own, now, now.iteration + 1, view.at)
        return self._go_on(view, keys, own, now)

    def _left(self, iteration: int, since: int, at: int) -> int:
        """Intervals until the next step of an iteration."""
        step = self.step(iteration)
        return step - (at - since) % step

    def _standing(self, view: View) -> Standing | None:
        """Where the population stands, by the scores and the tags of healthy members; None where nobody is healthy."""
        facts = view.facts
        notes: dict[int, tuple[Note, float]] = {}
        for row, score, healthy in zip(facts.rows, facts.scores.tolist(), facts.healthy.tolist(), strict=True):
            if healthy:
                notes[row.member] = (note_of(row.member, row.hyperparameters, row.tag), score)
        if not notes:
            return None
        _, _, leader = max((note.iteration, len(note.curve), -member) for member, (note, _) in notes.items())
        lead = notes[-leader][0]
        present = {member: one for member, one in notes.items() if one[0].iteration == lead.iteration}
        curve, stale = lead.curve, lead.stale
        # Between two steps, where a member failed, there is nothing to add.
        if view.at > lead.since and not (view.at - lead.since) % self.step(lead.iteration):
            curve = (*curve, max(score for _, score in present.values()))[-DEPTH:]
            stale = 0 if rises(curve) else stale + 1
        reached: dict[int, float] = {}
        for member, (note, score) in present.items():
            reached[note.source] = max(reached.get(note.source, -math.inf), score)
            if note.reached is not None:
                reached[member] = max(reached.get(member, -math.inf), note.reached)
        outcomes = [
            Outcome(iteration=lead.iteration, hyperparameters=note.start, reached=reached[member])
            for member, (note, _) in sorted(present.items())
            if member in reached
        ]
        for _, (note, _) in sorted(notes.items()):
            outcomes += [Outcome(iteration=k, hyperparameters=start, reached=best) for k, start, best in note.past]
        return Standing(
            iteration=lead.iteration, since=lead.since, curve=curve, stale=stale, reached=reached,
            outcomes=tuple(outcomes),
        )  # fmt: skip

    def _ends(self, now: Standing, view: View) -> bool:
        """Whether the iteration ends at this step."""
        if (view.at - now.since) % self.step(now.iteration) or view.at == now.since:
            return False
        if view.at + 2 * self.step(now.iteration + 1) > view.limit:
            return False
        return now.stale >= self.patience or crawls(now.curve, self.crawl)

    def _go_on(self, view: View, keys: Keys, own: Note, now: Standing) -> Plan:
        """One step of PBT."""
        left = self._left(now.iteration, now.since, view.at)
        scores = view.facts.scores
        if view.failing:
            chosen = donor(view, scores, keys, max(2, len(scores) // 5))
        else:
            chosen = Truncation(fraction=self.fraction)(view, scores, keys)
        source = own.source
        if chosen is not None:
            source = note_of(chosen.member, chosen.hyperparameters, chosen.tag).source
        note = Note(
            iteration=now.iteration, since=now.since, curve=now.curve, stale=now.stale, source=source, start=own.start,
            reached=_best_of(now.reached.get(view.due.member), own.reached), past=own.past,
        )  # fmt: skip
        if chosen is not None:
            return take_over(view, chosen, self.explore, keys, intervals=left, tag=note.tag())
        if view.failing:
            return rescue(view, scores, self.explore, keys, intervals=left, tag=note.tag())
        return train_on(view, view.due.hyperparameters, intervals=left, tag=note.tag())

    def _begin_again(self, view: View, keys: Keys, own: Note, now: Standing, iteration: int, since: int) -> Plan:
        """The member's part of a restart."""
        member = view.due.member
        values = self._values(view, keys, now, iteration)
        reached = _best_of(now.reached.get(member), own.reached)
        past = own.past if reached is None else (*own.past, (own.iteration, own.start, reached))
        best = ranked(view, keys)
        best = best[: max(1, round(self.fraction * len(view.facts.members)))]
        mine = next((row for row in best if row.member == member), None)
        source = mine if mine is not None or not best else best[int(keys.generator("source").integers(len(best)))]
        shrunk = source is not None and not self._among(view, keys, "weights", self.fresh_weights)
        if shrunk and source is not None:
            values = view.space.merged(source.hyperparameters, values, keys.generator("merge"))
        note = Note(iteration=iteration, since=since, source=member, start=values, past=past)
        left = self._left(iteration, since, view.at)
        if shrunk and source is not None and source.checkpoint is not None:
            sources = (source.checkpoint,)
            return assign(view, values, via="shrink", sources=sources, intervals=left, tag=note.tag())
        return assign(view, values, via="fresh", intervals=left, tag=note.tag())

    def _values(self, view: View, keys: Keys, now: Standing, iteration: int) -> dict[str, Any]:
        rng = keys.generator("restart")
        if self._among(view, keys, "values", self.fresh_values):
            return view.space.sample(rng)
        return proposed(view.space, now.outcomes, iteration, rng, forget=self.forget, draws=_DRAWS)

    def _among(self, view: View, keys: Keys, purpose: str, share: float) -> bool:
        """Whether the member that is due is one of a share of the population, drawn for all alike."""
        size = max(view.size, view.due.member + 1)
        place = int(keys.shared(f"restart/{purpose}").permutation(size)[view.due.member])
        return place < round(share * size)


def _best_of(a: float | None, b: float | None) -> float | None:
    return max((score for score in (a, b) if score is not None), default=None)


DEPTH = 64
"""Steps of an iteration that are remembered."""
_DRAWS = 100
