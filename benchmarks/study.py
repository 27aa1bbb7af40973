"""One of the paper's domains: PBT against its controls at equal compute on paired seeds, from the zoo's study presets.

Every run is kept in a store, so that the same command goes on where it was stopped. It writes the results, a picture
and a section of docs/reproduction.md.
"""

from __future__ import annotations

import argparse
import importlib
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _common import machine, markdown, put, save, show

import warren
from warren.comparison import Compared, Seeded, compare, standard
from warren.comparison.statistics import mean_interval
from warren.comparison.telling import compute_table, differences_table, notes, record, sentence, values_table
from warren.errors import WarrenError
from warren.results.lineage import lineage
from warren.strategies.controls import Fixed
from warren.zoo.workload import Workload

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reproduction.md"
CONTROLS = ("cosine", "random", "no-explore", "no-exploit", "hyperparameters-only", "weights-only")


@dataclass(frozen=True, kw_only=True)
class Domain:
    """Where a workload of the zoo is, and on how many seeds it is compared.

    Attributes:
        room: Of the zoo.
        given: What its presets take.
        seeds: Replicates of each strategy.
        controls: What PBT is compared with, besides hyperparameters set by hand.
        title: Of its section.
        note: What has to be known to read its tables.
    """

    room: str
    given: tuple[Any, ...] = ()
    seeds: int = 10
    controls: tuple[str, ...] = CONTROLS
    title: str
    note: str = ""


DOMAINS = {
    "cartpole": Domain(room="rl", given=("CartPole-v1",), title="Actor-critic on CartPole"),
    "ppo": Domain(room="ppo", given=("CartPole-v1",), title="PPO on CartPole"),
    "minatar": Domain(
        room="ppo", given=("Breakout-MinAtar",), seeds=3, controls=CONTROLS[:4], title="PPO on MinAtar's Breakout"
    ),
    "translation": Domain(room="translation", seeds=5, title="Translation of messages, English to German"),
    "gan": Domain(
        room="gan",
        title="GAN on scikit-learn's digits",
        note="Each seed has a judge of its own, with its own scale, so means, curves and `P(better)`, which also pairs "
        "runs of different seeds, mix scales. A paired difference has one judge, and counts by its scale; a ratio does "
        "not depend on it. The rates by hand are DCGAN's, for trainings of many thousand steps; these have 240.",
    ),
}


class OutOfTime(Exception):
    """The time that was given is over; what was carried out is in the store."""


def workload(domain: Domain, preset: str) -> Workload:
    """What the domain trains."""
    presets = importlib.import_module(f"warren.zoo.{domain.room}.presets").PRESETS
    made: Workload = presets[preset](*domain.given)
    return made


def compared(one: Workload, controls: Sequence[str], seeds: int, store: Path, minutes: float) -> Compared:
    """Carry the comparison out, or go on with it."""
    arms = standard(one.space, candidate=one.strategy, population=one.population, intervals=one.intervals)
    strategies = {"pbt": one.strategy, **{name: arms[name] for name in controls if name in arms}}
    strategies["by hand"] = Fixed(hyperparameters=one.usual)
    until = time.monotonic() + 60 * minutes

    def tell(line: str) -> None:
        print(line, flush=True)
        if time.monotonic() > until:
            raise OutOfTime

    store.parent.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {"workers": 1} if one.engine is None else {"engine": one.engine}
    return compare(
        Seeded(make=one.make),
        space=one.space,
        goal=one.goal,
        held_out=one.held_out,
        held_out_goal=one.held_out_goal,
        strategies=strategies,
        candidate="pbt",
        primary="cosine" if "cosine" in strategies else "random",
        population=one.population,
        intervals=one.intervals,
        seeds=seeds,
        retrain=0,
        store=store,
        tell=tell,
        **options,
    )


def ancestors(store: Path, seeds: Sequence[int]) -> list[int]:
    """Of how many initial members the final population of PBT descends, for each seed."""
    found = []
    for seed in seeds:
        result = warren.open_result(store, f"pbt/{seed}")
        rows = {row.id: row for row in result.intervals}
        last = {row.member: row.id for row in sorted(rows.values(), key=lambda row: row.interval)}
        found.append(len({lineage(rows, row)[0].member for row in last.values()}))
    return found


def courses(study: Compared, places: int) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
    """Where each strategy is along the budget, by the member that looks best then.

    As in the tables, what is not finite counts as the worst that any run ever had. Before a run's first report there is
    no value.

    Args:
        study: What was carried out.
        places: Along the budget.

    Returns:
        Units of compute; shape (places,). The held-out values of each strategy; shape (seeds, places).
    """
    ends = np.linspace(0, study.design.budget, places + 1)[1:]
    moments = [moment.now.held_out for runs in study.replicates.values() for run in runs for moment in run.course]
    worst = min(filter(math.isfinite, moments), key=lambda value: study.design.sign * value)
    found = {}
    for name, runs in study.replicates.items():
        values = np.full((len(runs), places), math.nan)
        for row, run in zip(values, runs, strict=True):
            for moment in run.course:
                value = moment.now.held_out
                row[ends >= moment.cost] = value if math.isfinite(value) else worst
        found[name] = values
    return ends, found


def passages(study: Compared) -> Mapping[str, Mapping[str, float | None]]:
    """After which share of the budget a mean over the seeds first is where each control ends.

    Returns:
        For each control, that of PBT's mean, None where it never is, and that of the control's own: both are means of
        what selection chose, which go up and down, so that one of them says little.
    """
    ends, found = courses(study, 200)
    means = {name: study.design.sign * values.mean(axis=0) for name, values in found.items()}

    def first(name: str, level: float) -> float | None:
        there = np.flatnonzero(means[name] >= level)
        return float(ends[there[0]] / study.design.budget) if len(there) else None

    return {
        name: {"pbt": first("pbt", mean[-1]), "itself": first(name, mean[-1])}
        for name, mean in means.items()
        if name != "pbt"
    }


def ratios(study: Compared) -> Mapping[str, tuple[float, float, float]]:
    """PBT's held-out values as multiples of each control's: geometric mean over the seeds, and its 95 % interval."""
    mine, rng = np.log(study.held_out("pbt")), np.random.default_rng(0)
    found = {}
    for other in study.design.others:
        differences = mine - np.log(study.held_out(other))
        low, high = mean_interval(differences, rng, 0.95)
        found[other] = (math.exp(differences.mean()), math.exp(low), math.exp(high))
    return found


def schedules(study: Compared) -> Mapping[str, Mapping[str, list[float]]]:
    """Each hyperparameter in the first and the last third of the schedules that PBT found: medians, one a seed."""
    found: dict[str, dict[str, list[float]]] = {}
    for run in study.replicates["pbt"]:
        third = max(1, len(run.schedule) // 3)
        for name, value in (run.schedule[0] if run.schedule else {}).items():
            if isinstance(value, (int, float)):
                both = found.setdefault(name, {"first": [], "last": []})
                both["first"].append(float(np.median([step[name] for step in run.schedule[:third]])))
                both["last"].append(float(np.median([step[name] for step in run.schedule[-third:]])))
    return found


def picture(study: Compared, path: Path, title: str) -> None:
    """Every strategy along the budget: means over the seeds, and for PBT and the primary control each seed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots()
    ends, found = courses(study, 100)
    for place, (name, values) in enumerate(found.items()):
        strong = name in ("pbt", study.design.primary)
        color = f"C{place}"
        axes.plot(ends, values.mean(axis=0), color=color, lw=2.4 if strong else 1.2, label=name)
        if strong:
            axes.plot(ends, values.T, color=color, lw=0.5, alpha=0.35)
    everything = np.concatenate([values[np.isfinite(values)] for values in found.values()])
    if study.design.held_out_goal == "min" and everything.min() > 0:
        axes.set_yscale("log")
    axes.set(xlabel="units of compute, all members together", ylabel=study.design.held_out, title=title)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def section(command: str, name: str, domain: Domain, one: Workload, study: Compared, found: Mapping[str, Any]) -> str:
    """What the page says of a domain."""
    about, verdict = machine()["versions"], sentence(study)
    parts = [
        f"## {domain.title}",
        f"`{command}`: {one.population} members, {one.intervals} intervals, {study.seeds} "
        f"paired seeds (Python {about['python']}, {', '.join(f'{k} {about[k]}' for k in ('torch', 'jax'))}). Held out: "
        f"`{one.held_out}`, {'higher' if one.held_out_goal == 'max' else 'lower'} is better. "
        f"{verdict[0].upper()}{verdict[1:]}.",
        f"![{domain.title}](reproduction/{name}.png)",
        markdown(*differences_table(study)),
        markdown(*values_table(study)),
        markdown(*compute_table(study)),
        *filter(None, [domain.note]),
    ]
    parts += [f"- {line}" for line in notes(study)]
    if "ratios" in found:
        told = [f"{other} {mean:.2f} [{low:.2f}, {high:.2f}]" for other, (mean, low, high) in found["ratios"].items()]
        parts.append(
            f"PBT's `{one.held_out}` as a multiple of a control's (geometric mean over the seeds, 95 % interval): "
            f"{', '.join(told)}."
        )
    shares = [f"{other} {_share(at['pbt'])} / {_share(at['itself'])}" for other, at in found["passages"].items()]
    parts.append(
        "Share of the budget after which the mean over the seeds first is where a control ends, PBT's / the control's "
        f"own: {', '.join(shares)}."
    )
    moved = [
        f"`{h}` {np.exp(np.mean(np.log(v['first']))):.3g} to {np.exp(np.mean(np.log(v['last']))):.3g}"
        if min(v["first"] + v["last"]) > 0
        else f"`{h}` {np.mean(v['first']):.3g} to {np.mean(v['last']):.3g} (arithmetic)"
        for h, v in found["schedules"].items()
    ]
    parts.append(
        f"Schedules that PBT found, first third to last third (geometric means of medians): {', '.join(moved)}."
    )
    parts.append(
        f"Initial members that the final population descends from, by seed: {', '.join(map(str, found['ancestors']))}."
    )
    return "\n\n".join(parts)


def _share(share: float | None) -> str:
    return "never" if share is None else f"{100 * share:.0f} %"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("domain", choices=list(DOMAINS))
    parser.add_argument("--preset", default="study", help="study, or paper where there is the hardware")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--store", type=Path, help="default: runs/study-DOMAIN.db")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so long; the next call goes on")
    options = parser.parse_args()

    domain = DOMAINS[options.domain]
    named = [options.domain] if options.preset == "study" else [options.domain, options.preset]
    name = "-".join(named)
    command = " --preset ".join([f"python benchmarks/study.py {named[0]}", *named[1:]])
    one = workload(domain, options.preset)
    store = options.store or Path(f"runs/study-{name}.db")
    seeds = options.seeds or domain.seeds
    try:
        study = compared(one, domain.controls, seeds, store, options.minutes)
    except OutOfTime:
        print("stopped; the same command goes on")
        return 0
    except WarrenError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    found = {
        "passages": passages(study),
        "schedules": schedules(study),
        "ancestors": ancestors(store, range(study.design.seed, study.design.seed + seeds)),
    }
    if one.held_out_goal == "min" and all((study.held_out(arm) > 0).all() for arm in study.replicates):
        found["ratios"] = ratios(study)
    print(sentence(study))
    show("Differences", *differences_table(study))
    show("Values", *values_table(study))
    show("Compute", *compute_table(study))
    if seeds < domain.seeds:
        print(f"nothing is written: the study of {name} has {domain.seeds} seeds")
        return 0
    save(f"study_{name}", {**found, **record(study)})
    picture(study, ROOT / "docs" / "reproduction" / f"{name}.png", domain.title)
    put(PAGE, f"study of {name}", section(command, name, domain, one, study, found))
    print(f"written to {PAGE.name}")
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
