"""Checkpoints in the memory of this process: for tests, and for runs that need not survive it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from warren.checkpoints.base import (
    Published,
    checkpoint_name,
    member_token,
    require_digest,
    require_member_tokens,
    require_name,
    require_token,
)
from warren.errors import CheckpointMissing
from warren.state import Encoded, digest


class MemoryCheckpoints:
    """One `bytes` per checkpoint."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        """Args:
        clock: the wall clock, in seconds since the epoch; dates each publication for `sweep`.
        """
        self._clock = clock
        self._lock = threading.Lock()
        self._stored: dict[str, tuple[bytes, float]] = {}

    def publish(self, encoded: Encoded, token: str) -> Published:
        """See `CheckpointStore.publish`."""
        require_token(token)
        content = encoded.tobytes()
        found = digest([content])
        name = checkpoint_name(found, token)
        with self._lock:
            self._stored[name] = (content, self._clock())
        return Published(name=name, digest=found, size=len(content))

    def publish_all(self, encoded: Sequence[Encoded], token: str) -> list[Published]:
        """See `CheckpointStore.publish_all`."""
        require_member_tokens(token, len(encoded))
        published, stored = [], {}
        for place, one in enumerate(encoded):
            content = one.tobytes()
            found = digest([content])
            name = checkpoint_name(found, member_token(token, place))
            stored[name] = (content, self._clock())
            published.append(Published(name=name, digest=found, size=len(content)))
        with self._lock:
            self._stored.update(stored)
        return published

    def load(self, name: str, digest: str) -> memoryview:
        """See `CheckpointStore.load`."""
        require_name(name)
        with self._lock:
            if name not in self._stored:
                raise CheckpointMissing(f"checkpoint {name} is not in memory; it was deleted, or another run's")
            content, _ = self._stored[name]
        require_digest(name, _digest(content), digest)
        return memoryview(bytearray(content))

    def delete(self, name: str) -> None:
        """See `CheckpointStore.delete`."""
        self.delete_all((name,))

    def delete_all(self, names: Iterable[str]) -> None:
        """See `CheckpointStore.delete_all`."""
        gone = [require_name(name) for name in names]
        with self._lock:
            for name in gone:
                self._stored.pop(name, None)

    def names(self) -> Iterator[str]:
        """See `CheckpointStore.names`."""
        with self._lock:
            return iter(sorted(self._stored))

    def sweep(self, *, keep: Callable[[str], bool], older_than: float, now: float) -> tuple[str, ...]:
        """See `CheckpointStore.sweep`."""
        with self._lock:
            old = [name for name, (_, written) in sorted(self._stored.items()) if now - written > older_than]
        removed = tuple(name for name in old if not keep(name))
        self.delete_all(removed)
        return removed


def _digest(content: bytes) -> str:
    return digest([content])
