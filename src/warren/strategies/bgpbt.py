"""BG-PBT: a bandit that looks near what is copied, in mixed spaces, and generations of models."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from warren.errors import InvalidValue
from warren.population import IntervalRow, Keys, Plan, View
from warren.space import Space
from warren.strategies.bandit import copies, copy_of, gained, going_on, keys_of
from warren.strategies.checks import check_counts, check_share
from warren.strategies.coding import coding, unordered
from warren.strategies.ever import best_ever, remember
from warren.strategies.explore import Perturb
from warren.strategies.gp import Kernel, fitted, matern, minimiser, quantiles
from warren.strategies.hooks import Combine, Combines, Hook
from warren.strategies.moves import assign, begin_all, keep, rescue
from warren.strategies.ready import Every
from warren.strategies.region import Region, Trust, newest, recorded, searched
from warren.strategies.standing import ranked
from warren.values import Json

Best = Literal["ever", "now"]


@dataclass(frozen=True, kw_only=True)
class Next:
    """What a member does next that copies.

    Attributes:
        source: Whose state it goes on from.
        hyperparameters: What it trains with.
        chosen: Whether the Gaussian process chose these; else they are drawn from the prior.
    """

    source: IntervalRow
    hyperparameters: dict[str, Any]
    chosen: bool


@dataclass(frozen=True, kw_only=True)
class BGPBT(Combines):
    """Bayesian Generational PBT (Wan et al. 2022, arXiv 2207.09405): a bandit within a trust region, and generations.

    As `PB2`, the worst quarter copies and a Gaussian process chooses what it trains with. Here that lies in a box
    around the hyperparameters of one of the best, each side a share of the range, and only some of the choices without
    an order may differ (`Trust`). The region widens while choices come out best, narrows while they do not, and is
    begun anew when it is at its smallest, or after 15 rounds without a better score; what was gained before is then
    left behind. The kernel is Matern's for numbers, mixed with the share of equal choices as in `PB2Mix`; gains count
    by their ranks (`quantiles`); the bound is the mean and three deviations. The numbers are those of the public code.

    What is copied is the best state of the whole run, as in the public code. It is pinned, by the member that bettered
    it and at its own turn, and is the strategy's memory. ``best="now"`` copies one of the best at present and needs no
    memory.

    With `distill`, a region that is begun anew begins a generation: every member draws all its hyperparameters afresh,
    also those with ``rebuild=True``, so that its objects are built again, and is made by ``distill([teacher, fresh],
    hyperparameters, rng)`` from the state of one of the best and a fresh one of its own. The best state of the run is
    then the best of the generation. The hook may train the student on the teacher; that time counts as overhead.

    Decided here: the centre is the hyperparameters of a member that is among the best now, also where the state is the
    best ever (as in the public code). Until as many gains are known as there are members, hyperparameters come from the
    prior. The region is written into the tags of members that copy, and read from the newest. The paper's many
    candidates at first, its schedule of intervals, its bandit over architectures and its successive halving of students
    are left out. A member that diverged copies and perturbs as in PBT.

    Traps: those of `PB2`. Where scores are noisy, the best ever was lucky, and where the task changes on the way, it is
    of another task, and is copied all the same: use ``best="now"``. A teacher and a student differ in form, which the
    hook has to know.

    Args:
        fraction: Share of the population that is worst, and that is best; from 0 to 0.5.
        every: Intervals between two decisions for a member.
        warmup: Intervals before the first decision can come.
        window: How many gains are fitted at most, the newest; at least 1.
        restarts: How often the search for the highest bound begins, at least once.
        deviations: In the bound, at least 0.
        trust: The trust region.
        best: Whether the best state ``"ever"`` is copied, or one of the best ``"now"``.
        distill: Makes a student's state of its teacher's and a fresh one; see `warren.strategies.hooks.Hook`. None has
            no generations.

    Raises:
        InvalidType: `window`, `restarts`, `every` or `warmup` is no whole number.
        InvalidValue: A number is out of its range, or `best` is neither.
    """

    fraction: float = 0.25
    every: int = 1
    warmup: int = 1
    window: int = 100
    restarts: int = 3
    deviations: float = 3.0
    trust: Trust = field(default_factory=Trust)
    best: Best = "ever"
    distill: Combine | None = None

    def __post_init__(self) -> None:
        Every(every=self.every, warmup=self.warmup)
        check_share("BGPBT", self.fraction)
        check_counts("BGPBT", window=self.window, restarts=self.restarts)
        if not 0 <= self.deviations < math.inf:
            raise InvalidValue(f"BGPBT: deviations must be finite and at least 0, but got {self.deviations!r}")
        if self.best not in ("ever", "now"):
            raise InvalidValue(f"BGPBT: best={self.best!r} must be 'ever' or 'now'")

    @property
    def hooks(self) -> Mapping[str, Hook]:
        """``distill``, where it is given."""
        return {} if self.distill is None else {"distill": Hook(combine=self.distill, fresh=True)}

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """As `PBT`, with the same draws for the same seed.

        Raises:
            MissingExtra: SciPy is not installed.
        """
        minimiser()
        first = Every(every=self.every, warmup=self.warmup).after(0)
        return begin_all(space, size, keys, intervals=first)

    def decide(self, view: View, keys: Keys) -> Plan:
        """Copy and train on with hyperparameters from the trust region, begin a generation, or go on."""
        intervals = Every(every=self.every, warmup=self.warmup).after(view.at) - view.at
        region = view.once(("region", self), lambda: self._region(view))
        if view.failing:
            tag = _tag(region, chosen=False)
            return rescue(view, view.facts.scores, Perturb(), keys, intervals=intervals, tag=tag)
        if view.report is None or view.report.interval != view.at:
            return keep(intervals=intervals)  # its own score is still to come
        if self.distill is not None and region.since == view.at:
            return self._generation(view, keys, region, intervals)
        copied = copies(view, keys, self.fraction)
        if view.due.member not in copied:
            if self.best == "ever":
                found = best_ever(view, ranked(view, keys), since=self._since(region))
                if found is not None and found.id == view.report.id:
                    return remember(view, found, intervals=intervals)
            return keep(intervals=intervals)
        key = (self, keys.seed, keys.interval, view.memory_version)
        now = view.once(key, lambda: self._next(view, keys, copied, region))[view.due.member]
        sources, tag = (str(now.source.checkpoint),), _tag(region, chosen=now.chosen)
        return assign(view, now.hyperparameters, via="copy", sources=sources, intervals=intervals, tag=tag)

    def _region(self, view: View) -> Region:
        """The region after what this round shows."""
        facts = view.facts
        last = newest(row.tag for row in facts.rows) or self.trust.begun(0)
        here = [place for place, row in enumerate(facts.rows) if facts.healthy[place] and row.interval == view.at]
        if not here:
            return last
        chosen = [place for place in here if _was_chosen(facts.rows[place].tag, last)]
        best = float(facts.scores[here].max())
        return self.trust.after(last, view.at, best, float(facts.scores[chosen].max()) if chosen else None)

    def _since(self, region: Region) -> int:
        return 0 if self.distill is None else region.since

    def _generation(self, view: View, keys: Keys, region: Region, intervals: int) -> Plan:
        """A student of one of the best, with hyperparameters that are all new."""
        teachers = ranked(view, keys)[: max(1, math.floor(self.fraction * len(view.facts.members) + 1e-9))]
        if not teachers:
            return keep(intervals=intervals)
        rng = keys.generator("explore")
        teacher = teachers[int(rng.integers(len(teachers)))]
        sources, tag = (str(teacher.checkpoint),), _tag(region, chosen=False)
        return assign(view, view.space.sample(rng), via="distill", sources=sources, intervals=intervals, tag=tag)

    def _next(self, view: View, keys: Keys, copied: Mapping[int, IntervalRow], region: Region) -> dict[int, Next]:
        """What all who copy in this round do next, in order of their numbers."""
        space, known = view.space, gained(view, self.window, since=region.since)
        rngs = {member: keys_of(keys, member).generator("explore") for member in copied}
        sources = {member: self._source(view, keys, member, donor, region) for member, donor in copied.items()}
        shaped = {member: source.hyperparameters for member, source in sources.items()}
        if len(known.trials) < len(view.facts.members):
            drawn = {m: space.merged(shaped[m], space.sample(rngs[m]), rngs[m]) for m in copied}
            return {m: Next(source=sources[m], hyperparameters=drawn[m], chosen=False) for m in copied}
        begun = {
            m: replace(
                copy_of(view, sources[m]), hyperparameters=space.merged(shaped[m], donor.hyperparameters, rngs[m])
            )
            for m, donor in copied.items()
        }
        going = going_on(view, copied)
        code = coding(space, [*known.trials, *going, *begun.values()], unordered(space))
        widest = 1.0 + len(code.numbers)
        kernel = Kernel(smooth=matern, variances=(0.5, 5.0), lengths=(1e-4, widest), noises=(1e-6, 0.1))
        process = fitted(kernel, code.points(known.trials), quantiles(known.gains), keys.shared("fit"))
        process = process.pending(code.points(going))
        found = {}
        for m, trial in begun.items():
            centre = code.points([trial])
            labels = {
                place: len(one.values)
                for place, (name, one) in enumerate(code.labels.items())
                if name in trial.hyperparameters and name not in space.rebuild
            }
            point = searched(
                process, centre, region, code.free, labels, self.deviations, rngs[m], restarts=self.restarts
            )
            values = space.merged(shaped[m], {**trial.hyperparameters, **code.values(point)}, rngs[m])
            found[m] = Next(source=sources[m], hyperparameters=values, chosen=True)
            process = process.pending(code.points([replace(trial, hyperparameters=values)]))
        return found

    def _source(self, view: View, keys: Keys, member: int, donor: IntervalRow, region: Region) -> IntervalRow:
        """Whose state a member goes on from that copies from a donor."""
        if self.best == "now":
            return donor
        others = [row for row in ranked(view, keys) if row.member != member]
        return best_ever(view, others, since=self._since(region)) or donor


def _tag(region: Region, *, chosen: bool) -> Json:
    return {"region": region.record(), "chosen": chosen}


def _was_chosen(tag: Json, last: Region) -> bool:
    """Whether a member trained with what was chosen in the last round."""
    return isinstance(tag, dict) and tag.get("chosen") is True and recorded(tag) == last
