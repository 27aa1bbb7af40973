"""Randomness keyed by what it is for, never by who asks or when.

A draw belongs to (run seed, member, interval, purpose). So the same member at the same interval draws the same
numbers on every engine, with any number of workers, and again in a replay.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
        digest = _digest(f"{self.seed}/{self.member}/{self.interval}/{self.attempt}/{purpose}")
        return int.from_bytes(digest, "little") >> 65


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=16).digest()


class _Words(ISeedSequence):
    """Hands a bit generator the words of its key.

    ``Philox(key=...)`` is the same stream, but asks the system for entropy first and throws it away, which takes most
    of the time that a generator costs.
    """

    def __init__(self, words: NDArray[np.uint64]) -> None:
        self._words = words

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[np.uint64]:
        return self._words


def _generator(key: str) -> np.random.Generator:
    words = _Words(np.frombuffer(_digest(key), dtype="<u8"))
    # NumPy takes any ISeedSequence, whatever its type hints say.
    return np.random.Generator(np.random.Philox(words, _FIRST))  # type: ignore[arg-type]


_FIRST = np.zeros(4, dtype=np.uint64)
"""Where a Philox begins to count, given as an array because a number takes it as long to convert as all the rest."""
_FIRST.flags.writeable = False
