"""Randomness keyed by what it is for, never by who asks or when.

A draw belongs to (run seed, member, interval, purpose). So the same member at the same interval draws the same
numbers on every engine, with any number of workers, and again in a replay.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The key of one member at one interval.

    Args:
        seed: Seed of the run.
        member: Whose draws these are.
        interval: The interval that the draws belong to.
        attempt: How many failures in a row came before; a rescue that failed must not draw the same again.
    """

    seed: int
    member: int
    interval: int
    attempt: int = 0

    def generator(self, purpose: str) -> np.random.Generator:
        """This member's own generator for a purpose."""
        return _generator(f"{self.seed}/{self.member}/{self.interval}/{self.attempt}/{purpose}")

    def shared(self, purpose: str) -> np.random.Generator:
        """The generator that every member at this interval has in common, for example to settle ties."""
        return _generator(f"{self.seed}/*/{self.interval}/{purpose}")

    def integer(self, purpose: str) -> int:
        """A seed in ``[0, 2**63)`` for a generator that is not NumPy's."""
        return _number(f"{self.seed}/{self.member}/{self.interval}/{self.attempt}/{purpose}") >> 65


def _number(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=16).digest(), "little")


def _generator(key: str) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=_number(key)))
