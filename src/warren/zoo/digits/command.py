"""What ``warren demo digits`` does: trains a population with a live view, and says what came out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from warren.strategies import PBT
from warren.zoo.demonstrate import Live, demonstrate, needs, parser, schedule_lines
from warren.zoo.digits.data import MNIST_ROOT, digits, mnist
from warren.zoo.options import Parser
from warren.zoo.workload import Workload

if TYPE_CHECKING:
    from warren.results import Result, Trained


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
    needs("digits", "torch")
    if options.root is not None:
        os.environ[MNIST_ROOT] = os.path.abspath(options.root)
    demonstrate(_workload(options.data), options, live=live, summary=summary)
    return 0


def _workload(name: str) -> Workload:
    from warren.zoo.digits.train import space, train, train_mnist

    # Here as well as in the workers, so that what is missing is said before they start.
    data = mnist() if name == "mnist" else digits()
    return Workload(
        name=name,
        told=f"Convolutional nets learn {len(data.train.labels):,} images of digits; {len(data.test.labels):,} others "
        "are held out from training and selection.",
        make=lambda seed: train_mnist if name == "mnist" else train,
        space=space(),
        goal="min",
        held_out="test",
        held_out_goal="max",
        population=12,
        intervals=30,
        strategy=PBT(),
        usual={"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4, "dropout": 0.5},
    )


def summary(result: Result) -> str:
    """What came out, for the terminal."""
    schedule = result.schedule
    lines = [
        "",
        f"{'':<26}{'validation':^22}{'test, never selected on':>24}",
        f"{'':<26}{'loss':>10}{'accuracy':>12}{'accuracy':>24}",
        _line("best of the final states", result.final[0]),
        _line("best of the whole run", result.best),
        "",
        *schedule_lines(schedule, score="loss"),
        "",
        str(result.cost),
    ]
    return "\n".join(lines)


def _line(name: str, trained: Trained) -> str:
    accuracy, test = trained.metrics["accuracy"], trained.metrics["test"]
    return f"{name:<26}{trained.score:>10.4f}{100 * accuracy:>10.2f} %{100 * test:>22.2f} %"


def _parser() -> Parser:
    made = parser("digits", "Population Based Training of small convolutional nets on handwritten digits.")
    made.add_argument(
        "--data",
        choices=("digits", "mnist"),
        default="digits",
        help="scikit-learn's 8 x 8 digits, or MNIST where torchvision has it on disk, ten times slower",
    )
    made.add_argument("--root", help=f"folder of MNIST, as torchvision has it (default: ${MNIST_ROOT}, else data)")
    return made
