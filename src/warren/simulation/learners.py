"""The synthetic tasks by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from warren.errors import UnknownName
from warren.simulation.learner import Learner
from warren.simulation.quadratics import noisy, regimes
from warren.simulation.toys import Hill, deceptive, plain


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A synthetic task of the catalogue.

    Attributes:
        about: What it is, in a line.
        learner: ``learner(seed)``: the task for one run; most are the same for every seed.
    """

    about: str
    learner: Callable[[int], Learner]


GROUNDS: Mapping[str, Ground] = {
    "hill": Ground(about="the paper's Figure 2, two weights of a hill", learner=lambda seed: Hill()),
    "plain": Ground(about="one dimension on which greed is right", learner=lambda seed: plain()),
    "deceptive": Ground(about="one dimension on which greed costs", learner=lambda seed: deceptive()),
    "regimes": Ground(about="a noisy quadratic whose optimum jumps twice", learner=regimes),
    "noisy": Ground(about="a noisy quadratic, the learning rate has to fall", learner=noisy),
}
"""In the order that they are listed in."""


def ground(name: str) -> Ground:
    """A synthetic task by its name.

    Raises:
        UnknownName: There is none of that name.
    """
    if name not in GROUNDS:
        raise UnknownName(f"there is no learner {name!r}; there is {', '.join(GROUNDS)}")
    return GROUNDS[name]
