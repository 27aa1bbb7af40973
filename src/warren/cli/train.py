"""``warren run``, ``worker`` and ``resume``: the commands that train."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from warren import runs, strategies
from warren.cli.find import run_in
from warren.cli.live import live_view
from warren.cli.show import Output, summary
from warren.engines.devices import visible_gpus
from warren.engines.say import say
from warren.errors import InvalidValue, MissingExtra, UnknownName
from warren.population import Stop
from warren.results import Result

StoreArgument = Annotated[Path, typer.Argument(metavar="STORE", help="The run's SQLite file.")]
RunOption = Annotated[
    str | None, typer.Option("--run", metavar="NAME", help="Name of the run; not needed where there is only one.")
]
WorkersOption = Annotated[
    int | None, typer.Option(metavar="N", help="Members that train at a time. Default: one a GPU, else one a core.")
]
EngineOption = Annotated[
    str | None,
    typer.Option(metavar="processes|vectorised", help="Members in processes, or all at once as one program."),
]
HangOption = Annotated[
    float | None,
    typer.Option(metavar="S", help="End a worker without a report for so long. Default: 20 longest intervals."),
]
PlainOption = Annotated[bool, typer.Option("--plain", help="A line of progress now and then, and no live view.")]

TAKEN = ("strategy", "population", "intervals", "held_out", "initial")
"""What a training file may say beside its function, space and goal."""


def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A Python file with train, space and goal.")],
    name: Annotated[str, typer.Option(metavar="NAME", help="The training function in the file.")] = "train",
    space: Annotated[str, typer.Option(metavar="NAME", help="The space in the file.")] = "space",
    goal: Annotated[str, typer.Option(metavar="max|min|NAME", help="The goal, or its name in the file.")] = "goal",
    store: Annotated[
        Path | None, typer.Option(metavar="STORE", help="The run's SQLite file. Default: runs/FILE.db")
    ] = None,
    run_name: Annotated[str, typer.Option("--run", metavar="NAME", help="Name of the run in its store.")] = "default",
    strategy: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who decides; `warren strategies` lists them. Default: PBT")
    ] = None,
    population: Annotated[int | None, typer.Option(metavar="N", help="Members. Default: 16")] = None,
    intervals: Annotated[int | None, typer.Option(metavar="N", help="Intervals for each. Default: 30")] = None,
    workers: WorkersOption = None,
    engine: EngineOption = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Keys every draw of the run.")] = 0,
    synchronous: Annotated[bool, typer.Option("--synchronous", help="Members wait for each other.")] = False,
    held_out: Annotated[
        str | None, typer.Option(metavar="NAME", help="A reported metric that selection must not see.")
    ] = None,
    stop_score: Annotated[float | None, typer.Option(metavar="X", help="Stop at this score.")] = None,
    stop_seconds: Annotated[float | None, typer.Option(metavar="S", help="Stop after this wall time.")] = None,
    stop_intervals: Annotated[
        int | None, typer.Option(metavar="N", help="Stop after this many intervals of all members.")
    ] = None,
    patience: Annotated[
        int | None, typer.Option(metavar="N", help="Stop when no score got better for this many intervals.")
    ] = None,
    gpus: Annotated[str | None, typer.Option(metavar="0,1", help="GPUs to use. Default: all.")] = None,
    gpus_per_member: Annotated[int, typer.Option(metavar="N", help="GPUs for each worker.")] = 1,
    hang: HangOption = None,
    report: Annotated[Path | None, typer.Option(metavar="PATH", help="Write a report there at the end.")] = None,
    plain: PlainOption = False,
) -> None:
    """Train a population with the function, space and goal of a file. The same command again resumes.

    The file is loaded as a module, so nothing under `if __name__ == "__main__"` runs. It may also say strategy,
    population, intervals, held_out and initial; options win.
    """
    stop = Stop(score=stop_score, seconds=stop_seconds, intervals=stop_intervals, patience=patience)
    devices = None if gpus is None else [part.strip() for part in gpus.split(",") if part.strip()]
    if gpus_per_member > 1 and not (visible_gpus(os.environ) if devices is None else devices):
        raise InvalidValue(
            f"--gpus-per-member {gpus_per_member} needs GPUs, and none is visible; leave it out, or name them "
            "with --gpus"
        )
    if report is not None:
        check_report(report)
    names = names_of(file, name)
    arguments = {key: names[key] for key in TAKEN if key in names}
    given = {
        "strategy": None if strategy is None else strategies.named(strategy),
        "population": population,
        "intervals": intervals,
        "held_out": held_out,
    }
    arguments.update({key: value for key, value in given.items() if value is not None})
    location = store if store is not None else Path("runs") / f"{file.stem}.db"
    with interrupted("interrupted; the same command goes on with the run"), live_view(plain=plain) as watch:
        result = runs.run(
            named(names, name, file, "a training function", "--name"),
            space=named(names, space, file, "a space of hyperparameters", "--space"),
            goal=goal if goal in ("max", "min") else goal_of(names, goal, file),
            store=location,
            name=run_name,
            workers=workers,
            engine=_known(engine),
            seed=seed,
            synchronous=synchronous,
            stop=stop,
            gpus=devices,
            gpus_per_member=gpus_per_member,
            hang=hang,
            watch=watch,
            **arguments,
        )
    _show(result, location, report)


def worker(
    store: StoreArgument,
    run_name: RunOption = None,
    gpu: Annotated[str | None, typer.Option(metavar="0,1", help="GPUs that each worker sees.")] = None,
    workers: Annotated[int, typer.Option(metavar="N", help="How many workers join.")] = 1,
    hang: HangOption = None,
    plain: PlainOption = False,
) -> None:
    """Work on a run that goes on in another terminal; Ctrl-C leaves it without harm."""
    name = run_in(store, run_name)
    with (
        interrupted("this worker has left; the run goes on without it, or with warren resume"),
        live_view(plain=plain) as watch,
    ):
        result = runs.join(store, name=name, gpu=gpu, workers=workers, hang=hang, watch=watch)
    _show(result, store, None)


def resume(
    store: StoreArgument,
    run_name: RunOption = None,
    workers: WorkersOption = None,
    engine: EngineOption = None,
    intervals: Annotated[
        int | None, typer.Option(metavar="N", help="Intervals for each member, where there shall be more.")
    ] = None,
    hang: HangOption = None,
    report: Annotated[Path | None, typer.Option(metavar="PATH", help="Write a report there at the end.")] = None,
    plain: PlainOption = False,
) -> None:
    """Go on with a run from its store alone."""
    name = run_in(store, run_name)
    if report is not None:
        check_report(report)
    with interrupted("interrupted; the same command goes on with the run"), live_view(plain=plain) as watch:
        result = runs.resume(
            store, name=name, workers=workers, engine=_known(engine), intervals=intervals, hang=hang, watch=watch
        )
    _show(result, store, report)


def _known(engine: str | None) -> Literal["processes", "vectorised"] | None:
    if engine is None:
        return None
    if engine == "processes":
        return "processes"
    if engine == "vectorised":
        return "vectorised"
    raise InvalidValue(f"--engine {engine} is not known; use processes or vectorised")


def _show(result: Result, store: Path, report: Path | None) -> None:
    if report is not None:
        write_report(result, report)
    output = Output()
    with contextlib.suppress(BrokenPipeError):  # the run is over and on record, whoever reads of it
        summary(result, output)
        output.print(f"store {store}", soft_wrap=True)
        if report is not None:
            output.print(f"report {report}", soft_wrap=True)
    result.store.close()


def write_report(result: Result, path: Path) -> None:
    """Write a run's report.

    Raises:
        InvalidValue: The file cannot be written.
        MissingExtra: Plotly is not installed.
    """
    try:
        result.report(path)
    except OSError as error:
        if isinstance(error, BrokenPipeError) or error.strerror is None:
            raise
        raise InvalidValue(f"the report {path} cannot be written: {error.strerror}") from None


def check_report(path: Path) -> None:
    """Say now what would otherwise be found out when the training is over."""
    if importlib.util.find_spec("plotly") is None:
        raise MissingExtra("a report needs plotly: pip install 'warren[report]'")
    folder = path.parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InvalidValue(f"the report {path} cannot be written: {folder} is no folder that can be written")


def names_of(file: Path, name: str) -> Mapping[str, Any]:
    """The names of a training file."""
    if not file.is_file():
        raise InvalidValue(f"there is no file {file}")
    loaded, _ = runs.load_file(file, name)
    return loaded.names


def named(names: Mapping[str, Any], name: str, file: Path, what: str, option: str) -> Any:
    """What a training file has under a name."""
    if name not in names:
        raise UnknownName(f"{file} has no {name!r}: write {what} of that name, or name another with {option}")
    return names[name]


def goal_of(names: Mapping[str, Any], name: str, file: Path) -> Any:
    """The goal that a training file has under a name."""
    if name not in names:
        raise UnknownName(
            f'{file} has no {name!r}: write goal = "max" or goal = "min" into it, or give --goal max or --goal min'
        )
    return names[name]


@contextmanager
def interrupted(message: str) -> Iterator[None]:
    """Say what is left where Ctrl-C ends a command."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"warren: {message}")
        raise typer.Exit(130) from None
