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
        """Rewards with the observations before them, within one episode; half of them are none, where both kinds exist.

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
        rewards = rewards[FRAMES - 1 :]
        kinds = [
            kind for kind in (np.argwhere(whole & (rewards == 0)), np.argwhere(whole & (rewards != 0))) if len(kind)
        ]
        if not kinds:
            return None
        of_kind = _below(len(kinds), count, generator)
        chosen = [kinds[kind][_below(len(kinds[kind]), 1, generator)[0]] for kind in of_kind]
        seen = [[moments[first + frame].seen.observations[env] for frame in range(FRAMES)] for first, env in chosen]
        brought = np.array([rewards[first, env] for first, env in chosen])
        classes = np.where(brought > 0, 1, np.where(brought < 0, 2, 0))
        return Ahead(torch.from_numpy(np.array(seen)), torch.from_numpy(classes))


def _below(bound: int, count: int, generator: torch.Generator) -> NDArray[Any]:
    return torch.randint(bound, (count,), generator=generator).numpy()
