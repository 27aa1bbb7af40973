"""What every demonstration does with its workload: run it with a live view, say what came out, write the report."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import count, groupby
from pathlib import Path
from typing import TYPE_CHECKING

from warren import runs
from warren.errors import InvalidValue, MissingExtra, RunMismatch
from warren.zoo.options import Parser, positive
from warren.zoo.workload import Workload

if TYPE_CHECKING:
    from warren.results import Result, Schedule, Section

Live = Callable[[], AbstractContextManager[Callable[["Result"], None]]]


def parser(name: str, about: str) -> Parser:
    """The options that every demonstration has.

    Args:
        name: Of the demonstration.
        about: What it does, in a sentence.
    """
    made = Parser(prog=f"warren demo {name}", description=about)
    add = made.add_argument
    add("--population", type=positive, help="members (default: the preset's)")
    add("--intervals", type=positive, help="intervals for each member (default: the preset's)")
    add("--workers", type=positive, default=2, help="processes that train at a time (default: %(default)s)")
    add("--seed", type=int, default=0, help="keys every draw (default: %(default)s)")
    add("--store", help="SQLite file of the run (default: runs/NAME.db); one that exists is gone on with")
    add("--fresh", action="store_true", help="begin anew, in a file of another name if the store exists")
    add("--report", help="file of the report (default: NAME.html)")
    add("--synchronous", action="store_true", help="members wait for each other")
    return made


def needs(extra: str, *modules: str) -> None:
    """Say what to install.

    Args:
        extra: The extra of warren that installs them.
        modules: Names of modules; none is imported.

    Raises:
        MissingExtra: One is not installed.
    """
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingExtra(f'this needs {" and ".join(missing)}: pip install "warren[{extra}]"')


def demonstrate(
    workload: Workload,
    options: argparse.Namespace,
    *,
    live: Live,
    summary: Callable[[Result], str],
    sections: Callable[[Result], Sequence[Section]] = lambda result: (),
) -> Result:
    """Run a workload as the options of `parser` say.

    Args:
        workload: What is run.
        options: Those that were parsed.
        live: Makes the live view.
        summary: What to print when the run is over.
        sections: What the report shows besides.

    Raises:
        InvalidValue: A file cannot be written.
        RunMismatch: The store holds a run with other settings.
    """
    store = Path(options.store or f"runs/{workload.name}.db")
    if options.fresh:
        store = _unused(store)
    population, intervals = options.population or workload.population, options.intervals or workload.intervals
    going_on = store.exists()
    at_a_time = "as one program" if workload.engine == "vectorised" else f"{options.workers} at a time"
    print(
        f"{workload.told}\n{population} members, {intervals} intervals each, {at_a_time}.\nThe store is {store}"
        + (": going on with the run in it; --fresh begins another." if going_on else "; the same command resumes."),
        flush=True,
    )
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidValue(f"--store {store}: its folder cannot be made: {error.strerror}") from None
    try:
        with live() as watch:
            result = runs.run(
                workload.make(0),
                space=workload.space,
                goal=workload.goal,
                population=population,
                intervals=intervals,
                strategy=workload.strategy,
                workers=None if workload.engine == "vectorised" else options.workers,
                engine=workload.engine,
                seed=options.seed,
                store=store,
                synchronous=options.synchronous or workload.synchronous,
                held_out=workload.held_out,
                watch=watch,
            )
    except RunMismatch as error:
        raise RunMismatch(f"{error}. Or begin anew with --fresh") from None
    print(summary(result))
    report = options.report or f"{workload.name}.html"
    try:
        result.report(report, sections=sections(result))
        print(f"\nThe report: {report}")
    except MissingExtra as missing:
        print(f"\nNo report: {missing}")
    except OSError as error:
        raise InvalidValue(f"--report {report} cannot be written: {error.strerror}") from None
    return result


def schedule_lines(schedule: Schedule, whose: str = "the best of the whole run", score: str = "score") -> Iterator[str]:
    """A schedule under its heading, one line for each stretch of equal hyperparameters.

    Args:
        schedule: Of the state in question.
        whose: What state that is.
        score: What the score is called.
    """
    copies = sum(step.copied for step in schedule)
    yield (
        f"The schedule that made {whose}, {len(schedule)} interval{'s' * (len(schedule) != 1)} with {copies} "
        f"cop{'y' if copies == 1 else 'ies'}:"
    )
    widths = {name: max(14, len(name) + 2) for name in schedule[0].hyperparameters}
    head = "".join(f"{name:>{width}}" for name, width in widths.items())
    yield f"  {'intervals':>9}{head}{score:>10}  trained by"
    for _, group in groupby(schedule, key=lambda step: (step.member, tuple(step.hyperparameters.values()))):
        steps = list(group)
        first, last = steps[0], steps[-1]
        span = f"{first.age}" if first is last else f"{first.age}-{last.age}"
        values = "".join(f"{first.hyperparameters[name]:>{width}.3g}" for name, width in widths.items())
        reached = "-" if last.score is None else f"{last.score:.4g}"
        yield f"  {span:>9}{values}{reached:>10}  member {first.member}{', a copy' if first.copied else ''}"


def _unused(store: Path) -> Path:
    """The path, or the first like it that nobody has written to."""
    if not store.exists():
        return store
    names = (store.with_name(f"{store.stem}-{number}{store.suffix}") for number in count(2))
    return next(name for name in names if not name.exists())
