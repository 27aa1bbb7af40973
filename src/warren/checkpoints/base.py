"""Where the states of members are kept: written once, named by their content, and never changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from warren.errors import CheckpointDamaged, InvalidValue
from warren.state import Encoded

_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NAME = re.compile(r"[0-9a-f]{64}-[A-Za-z0-9_-]{1,64}\.safetensors")


@dataclass(frozen=True, kw_only=True)
class Published:
    """A checkpoint that is durable, and that a record may now refer to.

    Attributes:
        name: what `load` and `delete` take.
        digest: SHA-256 of its bytes, in hexadecimal.
        size: its length in bytes.
    """

    name: str
    digest: str
    size: int


class CheckpointStore(Protocol):
    """Keeps checkpoints. May be used by several threads, and by several processes on one folder.

    A checkpoint belongs to nobody until a record in the run's store refers to its name; `sweep` takes away
    what never came to that. Equal states published under two tokens are two checkpoints, because deleting the
    one would race with publishing the other.
    """

    def publish(self, encoded: Encoded, token: str) -> Published:
        """Make a state durable.

        When this returns, the whole checkpoint survives a crash of the machine; when it raises, nothing is
        left of it.

        Args:
            encoded: the state. It is read once, one array at a time, and must not change meanwhile.
            token: 1 to 64 letters, digits, ``_`` and ``-``; no two publications may share one.

        Returns:
            What to refer to it by.

        Raises:
            InvalidValue: if the token has another form.
            CheckpointError: if it cannot be written, for instance because the disk is full.
            StateError: if an array of the state cannot be read.
        """
        ...

    def publish_all(self, encoded: Sequence[Encoded], token: str) -> list[Published]:
        """Make several states durable at once, which costs little more than one does.

        Each becomes a checkpoint of its own. It has the digest that it would have had alone, and its name holds
        `token` and its place among them: ``<digest>-<token>_<place>.safetensors``. When this raises, nothing is left
        of any.

        Args:
            encoded: the states; none is no error.
            token: as for `publish`, but shorter by a character and the digits of the greatest place.

        Returns:
            What to refer to each by, in their order.

        Raises:
            InvalidValue: if the token has another form.
            CheckpointError: if they cannot be written, for instance because the disk is full.
            StateError: if an array of one cannot be read.
        """
        ...

    def load(self, name: str, digest: str) -> memoryview:
        """Read a checkpoint and verify it.

        Args:
            name: its name.
            digest: the SHA-256 that its bytes must have, in hexadecimal.

        Returns:
            Its bytes, writable: what is written there stays with the caller. Valid for as long as it is
            referred to, also after the checkpoint was deleted.

        Raises:
            InvalidValue: if the name has another form than those of checkpoints.
            CheckpointMissing: if it is not there.
            CheckpointDamaged: if its bytes have another digest, or the disk cannot give them.
            CheckpointError: if it cannot be read.
        """
        ...

    def delete(self, name: str) -> None:
        """Delete a checkpoint; no error if it is not there.

        Raises:
            InvalidValue: if the name has another form than those of checkpoints.
            CheckpointError: if it cannot be deleted.
        """
        ...

    def delete_all(self, names: Iterable[str]) -> None:
        """Delete checkpoints; no error for those that are not there. Cheap for those that were published together.

        Raises:
            InvalidValue: if a name has another form than those of checkpoints; then nothing is deleted.
            CheckpointError: if one cannot be deleted; all others are.
        """
        ...

    def names(self) -> Iterator[str]:
        """The names of all checkpoints, in ascending order."""
        ...

    def sweep(self, *, keep: Callable[[str], bool], older_than: float, now: float) -> tuple[str, ...]:
        """Delete what nobody refers to: checkpoints never committed, and remains of interrupted publications.

        Args:
            keep: whether a record refers to the checkpoint of this name. A set's `__contains__` will do.
            older_than: grace in seconds; what is younger stays, as its record may be about to be written.
            now: the wall clock, in seconds since the epoch.

        Returns:
            The names of what was deleted, in ascending order.

        Raises:
            CheckpointError: if something cannot be deleted.
        """
        ...


def checkpoint_name(digest: str, token: str) -> str:
    """The name of a checkpoint."""
    return f"{digest}-{token}.safetensors"


def token_of(name: str) -> str:
    """The token that is in a checkpoint's name."""
    return name.partition("-")[2].removesuffix(".safetensors")


def member_token(token: str, place: int) -> str:
    """The token of one of several checkpoints that were published together."""
    return f"{token}_{place}"


def is_checkpoint_name(name: str) -> bool:
    """Whether a name has the form of a checkpoint's."""
    return _NAME.fullmatch(name) is not None


def require_name(name: str) -> str:
    """Refuse a name that is not a checkpoint's, so that no name from a record leads out of the folder.

    Raises:
        InvalidValue: if it has another form.
    """
    if not is_checkpoint_name(name):
        raise InvalidValue(
            f"checkpoint name {name!r}: a name must be <sha256>-<token>.safetensors, without a folder; "
            "use the name that publish(...) returned"
        )
    return name


def require_token(token: str) -> str:
    """Refuse a token that could not be part of a file's name.

    Raises:
        InvalidValue: if it has another form.
    """
    if _TOKEN.fullmatch(token) is None:
        raise InvalidValue(
            f"token {token!r}: a token must be 1 to 64 letters, digits, '_' and '-'; use uuid.uuid4().hex"
        )
    return token


def require_member_tokens(token: str, count: int) -> str:
    """Refuse a token that could not be part of the names of several checkpoints.

    Raises:
        InvalidValue: if it has another form.
    """
    longest = 64 - len(member_token("", max(count - 1, 0)))
    if _TOKEN.fullmatch(token) is None or len(token) > longest:
        raise InvalidValue(
            f"token {token!r}: the token of {count} states must be 1 to {longest} letters, digits, '_' and '-'; use "
            "uuid.uuid4().hex"
        )
    return token


def require_digest(name: str, found: str, expected: str) -> None:
    """Refuse bytes that are not those that were published.

    Raises:
        CheckpointDamaged: if the digests differ.
    """
    if found != expected:
        raise CheckpointDamaged(
            f"checkpoint {name}: its bytes have the SHA-256 {found}, and {expected} is recorded; the file "
            "was changed or is cut short, so fall back to an older checkpoint"
        )
