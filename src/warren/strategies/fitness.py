"""What members are compared by, greater is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from warren.population import View

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Fitness(Protocol):
    """Turns reports at equal progress into one number a member."""

    def __call__(self, view: View) -> NDArray[np.float64]:
        """Fitness in the order of ``view.facts.members``; -inf for a member that is not healthy."""
        ...


@dataclass(frozen=True, kw_only=True)
class LastScore:
    """The score that was reported last, as the paper."""

    def __call__(self, view: View) -> NDArray[np.float64]:
        return view.facts.scores
