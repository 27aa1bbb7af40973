"""Carrying out a comparison: every strategy on every seed in one store, and then the schedules that were found."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from warren.comparison.arms import Arm, Seeded, as_arms, standard
from warren.comparison.bench import Bench
from warren.comparison.compared import Compared, Retrained
from warren.comparison.design import FRESH, Design
from warren.comparison.replicate import Replicate
from warren.errors import InvalidType, InvalidValue
from warren.population import Goal
from warren.runs.request import known_goal, known_metric, refuse_in_worker, whole
from warren.runs.working import told
from warren.space import Space
from warren.strategies import Strategy
from warren.strategies.controls import Follow

OWN = ("strategy", "name", "stop", "watch", "warm_start")
"""What `warren.run` takes and a comparison sets itself."""


def compare(
    train: Callable[[Any], Any] | Seeded,
    *,
    space: Mapping[str, Any],
    goal: str,
    held_out: str,
    held_out_goal: str | None = None,
    strategies: Mapping[str, Strategy | Arm] | None = None,
    candidate: str | None = None,
    primary: str | None = None,
    population: int = 16,
    intervals: int = 30,
    budget: float | None = None,
    seeds: int = 10,
    seed: int = 0,
    retrain: int = 10,
    store: str | os.PathLike[str] | None = None,
    tell: Callable[[str], None] | None = None,
    **options: Any,
) -> Compared:
    """Find out whether a strategy helps on this task: against controls, at equal compute, on paired seeds.

    A replicate is a whole population. Runs of one seed begin with the same hyperparameters and weights. Each may spend
    the same compute: reports beyond the budget do not count. What is compared is a metric that selection never sees, of
    the member that looks best by its score at the end. The same call again goes on where it was killed.

    Args:
        train: As for `warren.run`, or `Seeded`: a task of its own for each seed.
        space: As for `warren.run`.
        goal: As for `warren.run`.
        held_out: Name of a reported metric that selection must not see.
        held_out_goal: ``"max"`` or ``"min"``: which values of it are better; default: as `goal`.
        strategies: Strategies by name, or an `Arm` for one with a population of its own; default: `standard` for PBT.
        candidate: Name of the strategy in question; default: the first.
        primary: Name of the control that the verdict is about; default: ``"cosine"``, or else ``"random"``, or else the
            second strategy. It is on record before the first run and cannot be changed.
        population: Members.
        intervals: Intervals for each member.
        budget: Units of compute for each run, as ``member.report(..., cost=...)`` declares them; default: population x
            intervals, where every interval costs 1.
        seeds: Replicates of each strategy; a verdict needs 10.
        seed: The first seed.
        retrain: Fresh seeds on which the candidate's schedule and that of the best control are trained again; 0 for
            none.
        store: A SQLite file that keeps all runs; None keeps them in memory, where nothing can be gone on with.
        tell: Called with a line after each run; default: it is printed on standard error.
        **options: Others of `warren.run`, the same for all runs: workers, synchronous, engine, initial, gpus, ...

    Returns:
        What came out; printed, it is a table with the verdict in words.

    Raises:
        InvalidValue: An argument breaks a rule.
        InvalidType: An argument is of the wrong kind.
        RunMismatch: The store has another comparison.
        RunFailed: A run failed before its first report.
    """
    refuse_in_worker()
    if not isinstance(train, Seeded) and not callable(train):
        raise InvalidType(f"train must be a function of a slot, a warren.Task or a Seeded, but got {train!r}")
    if tell is not None and not callable(tell):
        raise InvalidType(f"tell must be a function of a line of text, but got {tell!r}")
    for name in OWN:
        if name in options:
            raise InvalidValue(f"{name}= is set by the comparison itself; leave it out")
    known = space if isinstance(space, Space) else Space(space)
    population, intervals = whole("population", population, 1), whole("intervals", intervals, 1)
    if strategies is None:
        strategies = standard(known, population=population, intervals=intervals)
    arms = as_arms(strategies)
    candidate = next(iter(arms)) if candidate is None else candidate
    design = Design(
        arms=arms,
        candidate=candidate,
        primary=_primary(arms, candidate) if primary is None else primary,
        population=population,
        intervals=intervals,
        budget=_budget(budget, population * intervals),
        seeds=whole("seeds", seeds, 1),
        seed=whole("seed", seed, 0),
        goal=known_goal(goal),
        held_out=known_metric(held_out),
        held_out_goal=_held_out_goal(known_goal(goal) if held_out_goal is None else held_out_goal),
        retrain=whole("retrain", retrain, 0),
        space=known,
    )
    bench = Bench(
        train=train if isinstance(train, Seeded) else Seeded(make=lambda seed: train),
        design=design,
        counted=budget is None,
        store=store,
        options=options,
        tell=told if tell is None else tell,
    )
    bench = bench.declared()
    if store is not None:
        again = f", then {2 * design.retrain} of found schedules" if design.retrain else ""
        told(f"{len(arms) * design.seeds} runs{again}; each keeps its own checkpoints")
    found: dict[str, list[Replicate]] = {name: [] for name in arms}
    for one in design.replicates:
        for name, arm in arms.items():
            found[name].append(bench.replicate(name, arm, one))
    retrained = [_retrained(bench, found[name]) for name in _retraining(design, found)] if design.retrain else []
    return Compared(bench.design, found, [one for one in retrained if one is not None])


def _primary(arms: Mapping[str, Arm], candidate: str) -> str:
    others = [name for name in arms if name != candidate]
    return next(name for name in ("cosine", "random", *others) if name in others)


def _held_out_goal(goal: str) -> Goal:
    if goal not in ("max", "min"):
        raise InvalidValue(f"held_out_goal must be 'max' or 'min', but got {goal!r}; say which values are better")
    known: Goal = goal  # type: ignore[assignment]
    return known


def _budget(budget: float | None, default: int) -> float:
    if budget is None:
        return float(default)
    if isinstance(budget, bool) or not isinstance(budget, (int, float)):
        raise InvalidType(f"budget must be a number of units of compute, but got {budget!r}")
    if not 0 < budget < math.inf:
        raise InvalidValue(f"budget must be positive and finite, but got {budget!r}")
    return float(budget)


def _retraining(design: Design, found: Mapping[str, Sequence[Replicate]]) -> list[str]:
    """The candidate, and the control that selection liked best over all seeds."""
    sign = 1.0 if design.goal == "max" else -1.0

    def liked(name: str) -> float:
        scores = [sign * run.final.score for run in found[name] if run.final is not None]
        return sum(scores) / len(scores) if len(scores) == len(found[name]) else -math.inf

    return [design.candidate, max(design.others, key=liked)]


def _retrained(bench: Bench, searched: Sequence[Replicate]) -> Retrained | None:
    """The schedule of a strategy's best run, by what selection saw, on fresh seeds."""
    design = bench.design
    sign = 1.0 if design.goal == "max" else -1.0
    fit = [(sign * run.final.score, run) for run in searched if run.final is not None]
    if not fit:
        return None
    run = max(fit, key=lambda one: one[0])[1]
    arm = Arm(strategy=Follow(schedule=run.schedule))
    again = [
        bench.replicate(f"{run.arm} schedule of {run.seed}", arm, FRESH + seed)
        for seed in range(design.seed, design.seed + design.retrain)
    ]
    return Retrained(
        arm=run.arm,
        found_on=run.seed,
        schedule=run.schedule,
        single=tuple(_mean([one.held_out for one in run.members]) for run in again),
        best_of=tuple(math.nan if run.final is None else run.final.held_out for run in again),
    )


def _mean(values: Sequence[float]) -> float:
    """Of those that are finite."""
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan
