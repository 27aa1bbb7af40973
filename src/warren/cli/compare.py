"""``warren compare``: a strategy against its controls, at equal compute."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from warren.cli.show import Output
from warren.cli.train import (
    WorkersOption,
    check_report,
    goal_of,
    interrupted,
    named,
    names_of,
)
from warren.comparison import compare as carry_out
from warren.comparison import standard
from warren.comparison.telling import lines, record
from warren.errors import InvalidValue, UnknownName
from warren.strategies.catalogue import named as strategy_named

TAKEN = ("population", "intervals", "held_out", "held_out_goal", "initial")
"""What a training file may say beside its function, space, goal, strategy and strategies."""


def compare(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A Python file with train, space and goal.")],
    name: Annotated[str, typer.Option(metavar="NAME", help="The training function in the file.")] = "train",
    space: Annotated[str, typer.Option(metavar="NAME", help="The space in the file.")] = "space",
    goal: Annotated[str, typer.Option(metavar="max|min|NAME", help="The goal, or its name in the file.")] = "goal",
    held_out: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A reported metric that selection must not see: what is compared."),
    ] = None,
    held_out_goal: Annotated[
        str | None, typer.Option(metavar="max|min", help="Which values of it are better. Default: as the goal")
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The one in question; `warren strategies` lists them. Default: PBT"),
    ] = None,
    against: Annotated[
        str | None, typer.Option(metavar="A,B", help="Controls, of the standard set or the file's. Default: all")
    ] = None,
    primary: Annotated[
        str | None, typer.Option(metavar="NAME", help="The control that the verdict is about. Default: cosine")
    ] = None,
    store: Annotated[
        Path | None, typer.Option(metavar="STORE", help="The SQLite file of all runs. Default: runs/FILE-compare.db")
    ] = None,
    population: Annotated[int | None, typer.Option(metavar="N", help="Members. Default: 16")] = None,
    intervals: Annotated[int | None, typer.Option(metavar="N", help="Intervals for each. Default: 30")] = None,
    budget: Annotated[
        float | None, typer.Option(metavar="X", help="Units of compute a run, where intervals cost other than 1.")
    ] = None,
    seeds: Annotated[int, typer.Option(metavar="N", help="Runs of each strategy; a verdict needs 10.")] = 10,
    seed: Annotated[int, typer.Option(metavar="N", help="The first seed.")] = 0,
    retrain: Annotated[
        int, typer.Option(metavar="N", help="Fresh seeds on which the schedules found are trained again.")
    ] = 10,
    workers: WorkersOption = None,
    synchronous: Annotated[bool, typer.Option("--synchronous", help="Members wait for each other.")] = False,
    report: Annotated[Path | None, typer.Option(metavar="PATH", help="Write a page with pictures there.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome for programs.")] = False,
) -> None:
    """Find out whether Population Based Training helps on your task. The same command again goes on.

    The strategy of the file (or PBT) is compared with random search, with a cosine schedule, with its own parts
    switched off, and with successive halving, at equal compute and on paired seeds. Exit code 0 whatever the verdict.
    """
    if report is not None:
        check_report(report)
    names = names_of(file, name)
    arguments = {key: names[key] for key in TAKEN if key in names}
    given = {
        "population": population, "intervals": intervals, "held_out": held_out, "held_out_goal": held_out_goal,
        "budget": budget,
    }  # fmt: skip
    arguments.update({key: value for key, value in given.items() if value is not None})
    if "held_out" not in arguments:
        raise InvalidValue(
            "a comparison needs a metric that selection does not see: report one as "
            'member.report(score, test=...), and give --held-out test or write held_out = "test" into the file'
        )
    declared = named(names, space, file, "a space of hyperparameters", "--space")
    candidate = strategy_named(strategy) if strategy is not None else names.get("strategy")
    sizes = {key: arguments[key] for key in ("population", "intervals") if key in arguments}
    known = names["strategies"] if "strategies" in names else standard(declared, candidate=candidate, **sizes)
    location = store if store is not None else Path("runs") / f"{file.stem}-compare.db"
    with interrupted("interrupted; the same command goes on with the comparison"):
        compared = carry_out(
            named(names, name, file, "a training function", "--name"),
            space=declared,
            goal=goal if goal in ("max", "min") else goal_of(names, goal, file),
            strategies=_chosen(known, against, primary),
            primary=primary,
            seeds=seeds,
            seed=seed,
            retrain=retrain,
            store=location,
            workers=workers,
            synchronous=synchronous,
            **arguments,
        )
    if report is not None:
        try:
            compared.report(report)
        except OSError as error:
            raise InvalidValue(f"the report {report} cannot be written: {error.strerror}") from None
    if as_json:
        print(json.dumps(record(compared), indent=1, allow_nan=False))
        return
    output = Output()
    for line in lines(compared):
        output.print(line, soft_wrap=True)
    output.print(f"store {location}", soft_wrap=True)
    if report is not None:
        output.print(f"report {report}", soft_wrap=True)


def _chosen(known: Any, against: str | None, primary: str | None) -> Any:
    """The candidate and the controls that were asked for."""
    if against is None or not isinstance(known, Mapping):
        return known
    candidate, *others = known
    wanted = [part.strip() for part in against.split(",") if part.strip()]
    wanted += [name for name in others if name == primary]
    for name in wanted:
        if name not in others:
            raise UnknownName(f"--against {name}: there is no such control; there is {', '.join(others)}")
    return {candidate: known[candidate], **{name: known[name] for name in others if name in wanted}}
