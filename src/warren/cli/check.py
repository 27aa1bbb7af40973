"""``warren check``: the pre-flight."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from warren import runs
from warren.cli.show import Output
from warren.cli.train import TAKEN, WorkersOption, goal_of, interrupted, named, names_of

FAULTS = 1


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A Python file with train, space and goal.")],
    name: Annotated[str, typer.Option(metavar="NAME", help="The training function in the file.")] = "train",
    space: Annotated[str, typer.Option(metavar="NAME", help="The space in the file.")] = "space",
    goal: Annotated[str, typer.Option(metavar="max|min|NAME", help="The goal, or its name in the file.")] = "goal",
    store: Annotated[
        Path | None, typer.Option(metavar="STORE", help="Where the run will be: is there room on that disk?")
    ] = None,
    population: Annotated[int | None, typer.Option(metavar="N", help="Members. Default: 16")] = None,
    intervals: Annotated[int | None, typer.Option(metavar="N", help="Intervals for each. Default: 30")] = None,
    workers: WorkersOption = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Keys every draw of the run.")] = 0,
    held_out: Annotated[
        str | None, typer.Option(metavar="NAME", help="A reported metric that selection must not see.")
    ] = None,
) -> None:
    """Train a few intervals before a run, and say what the training loop keeps and does not track.

    Takes what `warren run` takes. Exit code 1 where there are faults. Nothing is kept.
    """
    names = names_of(file, name)
    arguments = {key: names[key] for key in TAKEN if key in names}
    given = {"population": population, "intervals": intervals, "held_out": held_out}
    arguments.update({key: value for key, value in given.items() if value is not None})
    with interrupted("interrupted; nothing was kept"):
        findings = runs.check(
            named(names, name, file, "a training function", "--name"),
            space=named(names, space, file, "a space of hyperparameters", "--space"),
            goal=goal if goal in ("max", "min") else goal_of(names, goal, file),
            workers=workers,
            seed=seed,
            store=store,
            **arguments,
        )
    output = Output()
    for line in findings.lines():
        output.print(line, soft_wrap=True)
    if not findings.ok:
        raise typer.Exit(FAULTS)
