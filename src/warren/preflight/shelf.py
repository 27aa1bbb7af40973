"""Where the states of trials lie: small ones in memory, since nobody needs them after a crash, large ones in files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

from warren.checkpoints import CheckpointStore, LocalCheckpoints, MemoryCheckpoints, Published
from warren.checkpoints.base import member_token
from warren.errors import CheckpointError
from warren.population import CheckpointRow
from warren.state import Encoded, Tree
from warren.training import Scratch

SMALL = 32 * 2**20


class Shelf(Scratch):
    """Keeps states until it is told that they are not needed any more.

    Args:
        folder: For large states.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        super().__init__(_Either(folder))
        self._names: list[str] = []

    def save(self, tree: Tree) -> CheckpointRow:
        """See `Saver`."""
        row = super().save(tree)
        self._names.append(row.name)
        return row

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Forget, after the block, what was saved in it."""
        before = len(self._names)
        try:
            yield
        finally:
            for name in self._names[before:]:
                with contextlib.suppress(CheckpointError):
                    self.forget(name)
            del self._names[before:]


class _Either:
    """Two checkpoint stores as one, by size."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._memory = MemoryCheckpoints()
        self._disk = LocalCheckpoints(folder)
        self._small: set[str] = set()

    def publish(self, encoded: Encoded, token: str) -> Published:
        """See `CheckpointStore`."""
        if encoded.size >= SMALL:
            return self._disk.publish(encoded, token)
        published = self._memory.publish(encoded, token)
        self._small.add(published.name)
        return published

    def publish_all(self, encoded: Sequence[Encoded], token: str) -> list[Published]:
        """See `CheckpointStore`."""
        return [self.publish(one, member_token(token, place)) for place, one in enumerate(encoded)]

    def load(self, name: str, digest: str) -> memoryview:
        """See `CheckpointStore`."""
        return self._of(name).load(name, digest)

    def delete(self, name: str) -> None:
        """See `CheckpointStore`."""
        self._of(name).delete(name)
        self._small.discard(name)

    def delete_all(self, names: Iterable[str]) -> None:
        """See `CheckpointStore`."""
        for name in names:
            self.delete(name)

    def names(self) -> Iterator[str]:
        """See `CheckpointStore`."""
        yield from sorted([*self._memory.names(), *self._disk.names()])

    def sweep(self, *, keep: Callable[[str], bool], older_than: float, now: float) -> tuple[str, ...]:
        """See `CheckpointStore`."""
        both: tuple[CheckpointStore, ...] = (self._memory, self._disk)
        return tuple(sorted(name for one in both for name in one.sweep(keep=keep, older_than=older_than, now=now)))

    def _of(self, name: str) -> CheckpointStore:
        return self._memory if name in self._small else self._disk
