"""Members' states between the slot and where they are kept: small ones in the store, others in files."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Sequence

from warren.checkpoints import CheckpointStore
from warren.errors import CheckpointDamaged, CheckpointError
from warren.population import CheckpointRow
from warren.state import Encoded, Tree, decode, digest, encode
from warren.stores import Store

INLINE = 64 * 1024
"""Bytes below which a state is kept inside the store: one transaction makes it durable with its report."""

PACKED = 1024 * 1024
"""Bytes of all states of a round above which they are kept in a file together, however small each is."""


class States:
    """Saves and loads states of one run.

    Args:
        store: Knows which checkpoints there are, and keeps the small ones.
        checkpoints: Keeps the others.
    """

    def __init__(self, store: Store, checkpoints: CheckpointStore) -> None:
        self._store = store
        self._checkpoints = checkpoints
        self._prefix = uuid.uuid4().hex[:12]
        self._saved = 0

    def save(self, tree: Tree) -> CheckpointRow:
        """Make a state durable, or ready to become so together with the row that is returned.

        Args:
            tree: The state.

        Returns:
            What a report has to carry.

        Raises:
            CheckpointError: It cannot be written.
            StateError: A part of it cannot be stored.
        """
        encoded = encode(tree)
        self._saved += 1
        token = f"{self._prefix}-{self._saved}"
        if encoded.size < INLINE:
            data = encoded.tobytes()
            name = digest([data])
            return CheckpointRow(name=f"{name}-{token}.safetensors", digest=name, size=len(data), inline=data)
        published = self._checkpoints.publish(encoded, token)
        return CheckpointRow(name=published.name, digest=published.digest, size=published.size)

    def save_all(self, encoded: Sequence[Encoded]) -> list[CheckpointRow]:
        """As `save`, for states that are reported together; those that go to files are published at once.

        Args:
            encoded: The states, as they are to be stored.
        """
        self._saved += 1
        token = f"{self._prefix}-{self._saved}"
        if sum(one.size for one in encoded) >= PACKED or any(one.size >= INLINE for one in encoded):
            return [
                CheckpointRow(name=published.name, digest=published.digest, size=published.size)
                for published in self._checkpoints.publish_all(encoded, token)
            ]
        rows = []
        for place, one in enumerate(encoded):
            data = one.tobytes()
            name = digest([data])
            rows.append(
                CheckpointRow(name=f"{name}-{token}_{place}.safetensors", digest=name, size=len(data), inline=data)
            )
        return rows

    def load(self, name: str) -> Tree:
        """The state of a checkpoint, verified; its arrays are views that may be written.

        Raises:
            CheckpointError: It is not there or damaged.
        """
        row = self._store.checkpoint(name)
        if row.inline is None:
            return decode(self._checkpoints.load(row.name, row.digest))
        if digest([row.inline]) != row.digest:
            raise CheckpointDamaged(f"checkpoint {name} is damaged in the store: its bytes do not match its digest")
        return decode(bytearray(row.inline))

    def sweep(self, now: float) -> None:
        """Delete files that no record names: of workers that died before their report, or between it and `forget`.

        Args:
            now: The wall clock, in seconds since the epoch. What is younger than an hour stays.
        """
        kept = self._store.named()
        with contextlib.suppress(CheckpointError):
            self._checkpoints.sweep(keep=kept.__contains__, older_than=3600.0, now=now)

    def forget(self, names: Sequence[str]) -> None:
        """Delete files of checkpoints that the store has given up. What cannot be deleted is left for a sweep."""
        with contextlib.suppress(CheckpointError):
            self._checkpoints.delete_all(names)
