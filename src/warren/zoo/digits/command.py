"""What ``warren demo digits`` does: trains a population with a live view, and says what came out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import count, groupby
from pathlib import Path
from typing import TYPE_CHECKING

from warren import runs
from warren.errors import InvalidValue, MissingExtra, RunMismatch
from warren.zoo.digits.data import MNIST_ROOT, digits, mnist
from warren.zoo.options import Parser, positive

if TYPE_CHECKING:
    from warren.results import Result, Schedule, Trained

Live = Callable[[], AbstractContextManager[Callable[["Result"], None]]]


def main(arguments: list[str], *, live: Live) -> int:
    """Run the demo.

    Args:
        arguments: Options as on the command line.
        live: Makes the live view.

    Returns:
        The exit code.

    Raises:
        MissingExtra: PyTorch, scikit-learn or (for MNIST) torchvision is not installed.
        InvalidValue: An option breaks a rule, or MNIST is not on disk.
        RunMismatch: The store holds a run with other settings.
    """
    options = _parser().parse_args(arguments)
    try:
        from warren.zoo.digits.train import space, train, train_mnist
    except ImportError as error:
        if error.name != "torch":
            raise
        raise MissingExtra('the demo trains with PyTorch: pip install "warren[digits]"') from None
    if options.root is not None:
        os.environ[MNIST_ROOT] = os.path.abspath(options.root)
    # Here as well as in the workers, so that what is missing is said before they start.
    data = mnist() if options.data == "mnist" else digits()
    store = Path(options.store or f"runs/{options.data}.db")
    if options.fresh:
        store = _unused(store)
    going_on = store.exists()
    print(
        f"{options.population} convolutional nets learn {len(data.train.labels):,} images of digits in "
        f"{options.intervals} intervals each, {options.workers} at a time.\n{len(data.test.labels):,} images "
        f"are held out from training and selection. The store is {store}"
        + (": going on with the run in it; --fresh begins another." if going_on else "; the same command resumes.")
    )
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidValue(f"--store {store}: its folder cannot be made: {error.strerror}") from None
    try:
        with live() as watch:
            result = runs.run(
                train_mnist if options.data == "mnist" else train,
                space=space(),
                goal="min",
                population=options.population,
                intervals=options.intervals,
                workers=options.workers,
                seed=options.seed,
                store=store,
                synchronous=options.synchronous,
                held_out="test",
                watch=watch,
            )
    except RunMismatch as error:
        raise RunMismatch(f"{error}. Or begin anew with --fresh") from None
    print(summary(result))
    report = options.report or f"{options.data}.html"
    try:
        result.report(report)
        print(f"\nThe report: {report}")
    except MissingExtra as missing:
        print(f"\nNo report: {missing}")
    except OSError as error:
        raise InvalidValue(f"--report {report} cannot be written: {error.strerror}") from None
    return 0


def summary(result: Result) -> str:
    """What came out, for the terminal."""
    schedule = result.schedule
    copies = sum(step.copied for step in schedule)
    lines = [
        "",
        f"{'':<26}{'validation':^22}{'test, never selected on':>24}",
        f"{'':<26}{'loss':>10}{'accuracy':>12}{'accuracy':>24}",
        _line("best of the final states", result.final[0]),
        _line("best of the whole run", result.best),
        "",
        f"The schedule that made the best of the whole run, {len(schedule)} intervals with {copies} copies:",
        *_table(schedule),
        "",
        str(result.cost),
    ]
    return "\n".join(lines)


def _line(name: str, trained: Trained) -> str:
    accuracy, test = trained.metrics["accuracy"], trained.metrics["test"]
    return f"{name:<26}{trained.score:>10.4f}{100 * accuracy:>10.2f} %{100 * test:>22.2f} %"


def _table(schedule: Schedule) -> Iterator[str]:
    """One line for each stretch of equal hyperparameters."""
    names = list(schedule[0].hyperparameters)
    yield f"  {'intervals':>9}" + "".join(f"{name:>14}" for name in names) + f"{'loss':>10}  trained by"
    for _, group in groupby(schedule, key=lambda step: (step.member, tuple(step.hyperparameters.values()))):
        steps = list(group)
        first, last = steps[0], steps[-1]
        span = f"{first.age}" if first is last else f"{first.age}-{last.age}"
        values = "".join(f"{first.hyperparameters[name]:>14.3g}" for name in names)
        score = "-" if last.score is None else f"{last.score:.4f}"
        yield f"  {span:>9}{values}{score:>10}  member {first.member}{', a copy' if first.copied else ''}"


def _unused(store: Path) -> Path:
    """The path, or the first like it that nobody has written to."""
    if not store.exists():
        return store
    names = (store.with_name(f"{store.stem}-{number}{store.suffix}") for number in count(2))
    return next(name for name in names if not name.exists())


def _parser() -> Parser:
    parser = Parser(
        prog="warren demo digits",
        description="Population Based Training of small convolutional nets on handwritten digits.",
    )
    add = parser.add_argument
    add("--population", type=positive, default=12, help="members (default: %(default)s)")
    add("--intervals", type=positive, default=30, help="intervals for each member (default: %(default)s)")
    add("--workers", type=positive, default=2, help="processes that train at a time (default: %(default)s)")
    add("--seed", type=int, default=0, help="keys every draw (default: %(default)s)")
    add("--store", help="SQLite file of the run (default: runs/DATA.db); one that exists is gone on with")
    add("--fresh", action="store_true", help="begin anew, in a file of another name if the store exists")
    add("--report", help="file of the report (default: DATA.html)")
    add("--synchronous", action="store_true", help="members wait for each other")
    add(
        "--data",
        choices=("digits", "mnist"),
        default="digits",
        help="scikit-learn's 8 x 8 digits, or MNIST where torchvision has it on disk, ten times slower",
    )
    add("--root", help=f"folder of MNIST, as torchvision has it (default: ${MNIST_ROOT}, else data)")
    return parser
