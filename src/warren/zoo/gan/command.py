"""What ``warren demo gan`` does: trains a population of GANs, and holds the best against noise and real images."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from warren.errors import InvalidValue
from warren.zoo.demonstrate import Live, demonstrate, needs, parser, schedule_lines
from warren.zoo.gan.data import ROOTS, images
from warren.zoo.options import Parser

if TYPE_CHECKING:
    from warren.results import Result
    from warren.zoo.gan.nets import Generator
    from warren.zoo.gan.train import Gan

DRAWS = 10
"""Of new samples, for the table at the end."""

FINAL, BEST = "best of the final states", "best of the whole run"


def main(arguments: list[str], *, live: Live) -> int:
    """Run the demo.

    Args:
        arguments: Options as on the command line.
        live: Makes the live view.

    Returns:
        The exit code.

    Raises:
        MissingExtra: PyTorch, scikit-learn or (for MNIST and CIFAR-10) torchvision is not installed.
        InvalidValue: An option breaks a rule, or the data are not on disk.
        RunMismatch: The store holds a run with other settings.
    """
    options = _parser().parse_args(arguments)
    needs("gan", "torch", "sklearn")
    import torch

    from warren.zoo.gan.presets import PRESETS
    from warren.zoo.gan.sheets import sections

    data = options.data or ("cifar10" if options.preset == "paper" else "digits")
    if options.root is not None:
        if data not in ROOTS:
            raise InvalidValue(f"--root goes with --data {' or '.join(ROOTS)}; the {data} are part of scikit-learn")
        os.environ[ROOTS[data]] = os.path.abspath(options.root)
    torch.set_num_threads(1)  # as in the workers; see `Gan`
    images(data)  # here as well as in the workers, so that what is missing is said before they start
    workload = PRESETS[options.preset](data)
    gan: Gan = workload.make(0)
    demonstrate(workload, options, live=live, summary=lambda result: summary(result, gan), sections=sections)
    return 0


def summary(result: Result, gan: Gan) -> str:
    """What came out, for the terminal.

    Args:
        result: The run.
        gan: Its training function.
    """
    import torch

    judge, schedule, best = gan.judge(), result.schedule, result.best
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generators = {name: gan.generator() for name in ("an untrained generator", FINAL, BEST)}
    result.final[0].load(generator=generators[FINAL])
    best.load(generator=generators[BEST])
    lines = [
        "",
        f"The judge knows {100 * judge.accuracy:.1f} % of the test images; {DRAWS} draws of {gan.samples:,} samples:",
        f"{'':<26}{'Inception score':>18}{'distance, never selected on':>30}",
        *(_line(name, generator, gan) for name, generator in generators.items()),
        f"{'real images':<26}{judge.real_score:>11.2f}{judge.real_distance:>25.1f}",
        "",
        *schedule_lines(schedule),
        "",
        str(result.cost),
    ]
    return "\n".join(lines)


def _line(name: str, generator: Generator, gan: Gan) -> str:
    """Means and standard deviations over draws: the best score of a run was also lucky in its own draw."""
    import torch

    from warren.zoo.gan.nets import sampled

    judge, found = gan.judge(), []
    for draw in range(DRAWS):
        samples = sampled(generator, gan.noise(gan.samples, torch.Generator().manual_seed(draw)))
        found.append((judge.score(samples), judge.distance(samples)))
    (score, distance), (spread, wide) = np.mean(found, axis=0), np.std(found, axis=0, ddof=1)
    return f"{name:<26}{score:>11.2f} ± {spread:<4.2f}{distance:>18.1f} ± {wide:.1f}"


def _parser() -> Parser:
    made = parser("gan", "Population Based Training of GANs, scored by a classifier of the same images.")
    add = made.add_argument
    add("--preset", choices=("small", "study", "paper"), default="small", help="its size (default: %(default)s)")
    add(
        "--data",
        choices=("digits", "mnist", "cifar10"),
        help="scikit-learn's 8 x 8 digits, or MNIST or CIFAR-10 where torchvision has it on disk (default: digits; "
        "cifar10 with --preset paper)",
    )
    places = ", ".join(f"${name}" for name in ROOTS.values())
    add("--root", help=f"folder of --data, as torchvision has it (default: {places}, else data)")
    return made
