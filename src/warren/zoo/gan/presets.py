"""The GAN at three sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from warren.strategies import PBT, Perturb, Truncation
from warren.zoo.gan.data import Name
from warren.zoo.gan.train import Gan, space
from warren.zoo.workload import Workload

STRATEGY = PBT(exploit=Truncation(fraction=0.25), explore=Perturb(factors=(0.5, 2.0)))
"""Learning rates are doubled or halved, as in the paper; a quarter, since a fifth of eight is one."""

USUAL = {"discriminator_lr": 2e-4, "generator_lr": 2e-4}
"""One rate for both networks, as DCGAN has it (Radford et al. 2015, section 4)."""

TASKS: Mapping[Name, Gan] = {
    "digits": Gan(),
    "mnist": Gan(data="mnist", latent=64, width=32, judge_features=64, judge_passes=3),
    # The published sizes: noise of 100, 64 channels, batches of 128.
    "cifar10": Gan(
        data="cifar10", latent=100, width=64, batch=128, samples=10000, judge_width=64, judge_features=128,
        judge_passes=20,
    ),
}  # fmt: skip
"""The training function of each data set."""


def small(data: Name = "digits") -> Workload:
    """Eight members.

    Args:
        data: Which images.
    """
    return _workload(f"gan-{data}", TASKS[data], population=8, intervals=20)


def study(data: Name = "digits") -> Workload:
    """As `small`, in fewer and shorter intervals.

    Args:
        data: Which images.
    """
    return _workload(f"gan-{data}-study", replace(TASKS[data], steps=20, samples=1000), population=8, intervals=12)


def paper(data: Name = "cifar10") -> Workload:
    """The paper's setting (Jaderberg et al. 2017, section 4.3): 45 members, ready after 5e3 steps, x 2.0 or x 0.5.

    A step is taken for one of the generator, with five of the discriminator. The range of the learning rates and the
    number of intervals are warren's own.

    Args:
        data: Which images; the paper's are CIFAR-10.
    """
    strategy = PBT(exploit="truncation", explore=Perturb(factors=(0.5, 2.0)))
    task = replace(TASKS[data], steps=5000)
    return replace(_workload(f"gan-{data}-paper", task, population=45, intervals=40), strategy=strategy)


PRESETS: Mapping[str, Callable[..., Workload]] = {"small": small, "study": study, "paper": paper}
"""Workloads by name; each takes the name of a data set."""


def _workload(name: str, task: Gan, *, population: int, intervals: int) -> Workload:
    return Workload(
        name=name,
        told=f"GANs learn to draw the images of {task.data}; both learning rates are tuned by the Inception score.",
        make=lambda seed: replace(task, split=seed),
        space=space(),
        goal="max",
        held_out="distance",
        held_out_goal="min",
        population=population,
        intervals=intervals,
        strategy=STRATEGY,
        usual=USUAL,
    )
