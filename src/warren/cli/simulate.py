"""``warren simulate``: what a meta-parameter does, on synthetic learners in seconds."""

from __future__ import annotations

import itertools
import json
import math
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer
from rich import box
from rich.table import Table

from warren.cli.show import Output
from warren.cli.train import check_report
from warren.errors import InvalidValue, UnknownName
from warren.simulation.learners import GROUNDS, ground
from warren.simulation.study import Case, study
from warren.simulation.telling import HEADS, cells, record, render
from warren.simulation.times import Durations, Failures
from warren.strategies import PBT, Perturb, Strategy, Truncation, named

Values: TypeAlias = Mapping[str, Any]

_WIDE = 7
"""Digits beyond which a number of a setting is nonsense rather than large."""


def simulate(
    learner: Annotated[str | None, typer.Argument(metavar="[LEARNER]", show_default=False)] = None,
    strategy: Annotated[str, typer.Option(metavar="NAME", help="Who decides; `warren strategies` lists them.")] = "PBT",
    population: Annotated[str, typer.Option(metavar="N", help="Members.")] = "16",
    intervals: Annotated[int | None, typer.Option(metavar="N", help="For each member. Default: the learner's")] = None,
    every: Annotated[str | None, typer.Option(metavar="N", help="Intervals between two decisions. Default: 1")] = None,
    fraction: Annotated[
        str | None, typer.Option(metavar="X", help="PBT: share that copies, and that is copied. Default: 0.2")
    ] = None,
    donors: Annotated[str | None, typer.Option(metavar="N", help="PBT: the fewest donors. Default: 2")] = None,
    factors: Annotated[
        str | None, typer.Option(metavar="A/B", help="PBT: what a copy's values are multiplied by. Default: 0.8/1.2")
    ] = None,
    resample: Annotated[
        str | None, typer.Option(metavar="X", help="PBT: probability that a value is drawn anew. Default: 0")
    ] = None,
    seeds: Annotated[int, typer.Option(metavar="N", help="Runs of each setting, on the same seeds.")] = 50,
    workers: Annotated[str | None, typer.Option(metavar="N", help="Members at a time. Default: all")] = None,
    synchronous: Annotated[str, typer.Option(metavar="yes|no", help="Members wait for each other.")] = "yes",
    stragglers: Annotated[str, typer.Option(metavar="X", help="Log-normal spread of an interval's time.")] = "0",
    slowness: Annotated[str, typer.Option(metavar="X", help="Log-normal spread of a member's pace.")] = "0",
    evaluation: Annotated[str, typer.Option(metavar="X", help="What an evaluation takes, in intervals.")] = "0",
    failures: Annotated[str, typer.Option(metavar="P", help="Probability that an interval fails.")] = "0",
    divergence: Annotated[str, typer.Option(metavar="P", help="Probability that a score is not finite.")] = "0",
    noise: Annotated[str, typer.Option(metavar="X", help="Deviation of what is added to observed scores.")] = "0",
    sweep: Annotated[
        list[str] | None, typer.Option(metavar="NAME=A,B", help="Several values of an option; may be repeated.")
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="PATH", help="Write a page with pictures there.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome for programs.")] = False,
) -> None:
    """Try a strategy on a synthetic learner, beside random search at equal compute; without one, list what there is.

    Regret is what the member that looks best at the end misses to the optimum, by its true score.
    """
    output = Output()
    if learner is None:
        for name, one in GROUNDS.items():
            output.print(f"{name:<10} {one.about}", soft_wrap=True)
        return
    if report is not None:
        check_report(report)
    base = {
        "strategy": strategy, "population": population, "every": every, "fraction": fraction, "donors": donors,
        "factors": factors, "resample": resample, "workers": workers, "synchronous": synchronous,
        "stragglers": stragglers, "slowness": slowness, "evaluation": evaluation, "failures": failures,
        "divergence": divergence, "noise": noise,
    }  # fmt: skip
    cases = {name: _case({**base, **changes}, intervals) for name, changes in _settings(sweep or (), strategy).items()}
    if seeds < 1:
        raise InvalidValue(f"--seeds {seeds} must be at least 1")
    lines = study(ground(learner).learner, cases, range(seeds))
    if report is not None:
        asked = {**base, "intervals": intervals, "seeds": seeds}
        told = [f"--{name} {value}" for name, value in asked.items() if value not in (None, _DEFAULTS.get(name))]
        told += [f"--sweep {shlex.quote(one)}" for one in sweep or ()]
        command = " ".join([f"warren simulate {learner}", *told])
        try:
            report.write_text(render(f"{strategy} on {learner}", command, lines), encoding="utf-8")
        except OSError as error:
            raise InvalidValue(f"the report {report} cannot be written: {error.strerror}") from None
    if as_json:
        print(json.dumps({"learner": learner, "seeds": seeds, "settings": record(lines)}, indent=1, allow_nan=False))
        return
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for place, head in enumerate(HEADS):
        shown.add_column(head, justify="right" if place else "left")
    for line in lines:
        shown.add_row(*cells(line))
    output.print(f"{learner}: {ground(learner).about}; {seeds} seeds", soft_wrap=True)
    output.print(shown)
    if report is not None:
        output.print(f"report {report}", soft_wrap=True)


def _whole(name: str, text: str) -> int:
    try:
        if len(text) > _WIDE:
            raise ValueError
        return int(text)
    except ValueError:
        raise InvalidValue(f"{name}={text} must be a whole number of at most {_WIDE} digits") from None


def _real(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidValue(f"{name}={text} must be a number")
    return value


def _pair(name: str, text: str) -> tuple[float, ...]:
    return tuple(_real(name, part) for part in text.split("/"))


def _answer(name: str, text: str) -> bool:
    if text not in ("yes", "no"):
        raise InvalidValue(f"{name}={text} must be yes or no")
    return text == "yes"


def _text(name: str, text: str) -> str:
    return text


_OPTIONS: Mapping[str, Callable[[str, str], Any]] = {
    "strategy": _text, "population": _whole, "every": _whole, "fraction": _real, "donors": _whole, "factors": _pair,
    "resample": _real, "workers": _whole, "synchronous": _answer, "stragglers": _real, "slowness": _real,
    "evaluation": _real, "failures": _real, "divergence": _real, "noise": _real,
}  # fmt: skip
"""How the options are read that can be swept."""

_DEFAULTS: Values = {
    "strategy": "PBT", "population": "16", "synchronous": "yes", "stragglers": "0", "slowness": "0", "evaluation": "0",
    "failures": "0", "divergence": "0", "noise": "0",
}  # fmt: skip


def _settings(sweeps: Sequence[str], strategy: str) -> dict[str, dict[str, str]]:
    """All combinations of what is swept, by name; the one setting where nothing is."""
    axes: list[list[tuple[str, str]]] = []
    for sweep in sweeps:
        name, equals, values = sweep.partition("=")
        if name not in _OPTIONS:
            raise UnknownName(f"--sweep {sweep}: {name!r} cannot be swept; {', '.join(_OPTIONS)} can")
        given = [value.strip() for value in values.split(",") if value.strip()]
        if not equals or not given:
            raise InvalidValue(f"--sweep {sweep} must be a name and values, such as every=1,2,5")
        if any(axis[0][0] == name for axis in axes):
            raise InvalidValue(f"--sweep {sweep}: {name!r} is swept already; give all its values at once")
        axes.append([(name, value) for value in given])
    names = [dict(combination) for combination in itertools.product(*axes)]
    return {", ".join(f"{key}={value}" for key, value in one.items()) or strategy: one for one in names}


def _case(texts: Mapping[str, str | None], intervals: int | None) -> Case:
    read = {name: _OPTIONS[name](name, text) for name, text in texts.items() if text is not None}
    return Case(
        strategy=_strategy(
            read["strategy"],
            {name: read[name] for name in ("every", "fraction", "donors", "factors", "resample") if name in read},
        ),
        population=read["population"],
        intervals=intervals,
        synchronous=read["synchronous"],
        workers=read.get("workers"),
        noise=read["noise"],
        durations=Durations(evaluation=read["evaluation"], stragglers=read["stragglers"], slowness=read["slowness"]),
        failures=Failures(crash=read["failures"], diverge=read["divergence"]),
    )


def _strategy(name: str, options: Values) -> Strategy:
    """A strategy by its name; PBT's parts are made of the options that are theirs."""
    if name.lower() != "pbt":
        return named(name, **options)
    return PBT(
        exploit=Truncation(**{key: options[key] for key in ("fraction", "donors") if key in options}),
        explore=Perturb(**{key: options[key] for key in ("factors", "resample") if key in options}),
        **{key: options[key] for key in ("every",) if key in options},
    )
