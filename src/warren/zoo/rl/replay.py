"""A short memory of what was acted, to learn from again (Jaderberg et al. 2016, section 3.3)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from warren.zoo.rl.unroll import Moment, Unroll, unrolled

if TYPE_CHECKING:
    from numpy.typing import NDArray

FRAMES = 3
"""Observations that a reward is predicted from."""


class Ahead(NamedTuple):
    """Rewards to predict.

    Attributes:
        observations: What came before each; shape (n, FRAMES, ...).
        classes: 0 for no reward, 1 for one above 0, 2 for one below; shape (n,).
    """

    observations: torch.Tensor
    classes: torch.Tensor


class Replay:
    """The last steps of all environments.

    Args:
        size: How many steps of each environment are kept.
    """

    def __init__(self, size: int) -> None:
        self._moments: deque[Moment] = deque(maxlen=size)

    def __len__(self) -> int:
        return len(self._moments)

    def extend(self, moments: Sequence[Moment]) -> None:
        """Take in what came next; the oldest goes."""
        self._moments.extend(moments)

    def window(self, steps: int, generator: torch.Generator) -> Unroll | None:
        """Consecutive steps from anywhere, of all environments.

        Args:
            steps: How many.
            generator: Of where it begins.

        Returns:
            None while there are too few.
        """
        places = len(self._moments) - steps
        if places < 1:
            return None
        first = _below(places, 1, generator)[0]
        moments = list(islice(self._moments, int(first), int(first) + steps + 1))
        return unrolled(moments[:-1], moments[-1].seen)

    def ahead(self, count: int, generator: torch.Generator) -> Ahead | None:
        """Rewards with the observations before them, within one episode.

        Half of them are of the class that is the commonest, half of the others, where there are any. Where rewards are
        sparse, half are none, as in the paper; where every step costs something, half are other than that.

        Args:
            count: How many.
            generator: Of the draws.

        Returns:
            None while there is no stretch of as many observations.
        """
        moments = list(self._moments)
        if len(moments) < FRAMES:
            return None
        begun = np.stack([moment.seen.begun for moment in moments])
        rewards = np.stack([moment.step.rewards for moment in moments])
        whole = np.ones_like(begun[FRAMES - 1 :])
        for later in range(1, FRAMES):  # none but the first of the observations may begin an episode
            whole &= ~begun[later : len(begun) - FRAMES + 1 + later]
        places, brought = np.argwhere(whole), rewards[FRAMES - 1 :][whole]
        if not len(places):
            return None
        classes = np.where(brought > 0, 1, np.where(brought < 0, 2, 0))
        common = classes == np.bincount(classes).argmax()
        kinds = [kind for kind in (np.flatnonzero(common), np.flatnonzero(~common)) if len(kind)]
        of_kind = _below(len(kinds), count, generator)
        chosen = np.array([kinds[kind][_below(len(kinds[kind]), 1, generator)[0]] for kind in of_kind])
        seen = [
            [moments[first + frame].seen.observations[env] for frame in range(FRAMES)] for first, env in places[chosen]
        ]
        return Ahead(torch.from_numpy(np.array(seen)), torch.from_numpy(classes[chosen]))


def _below(bound: int, count: int, generator: torch.Generator) -> NDArray[Any]:
    return torch.randint(bound, (count,), generator=generator).numpy()
