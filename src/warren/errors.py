"""Every error that warren raises on purpose.

Each subclasses `WarrenError` and the builtin that fits, so that callers may catch either. A message names the
field, the value, the rule and the remedy.
"""

from __future__ import annotations


class WarrenError(Exception):
    """Base of all errors that warren raises on purpose."""


class InvalidValue(WarrenError, ValueError):
    """A value that the user gave breaks a rule."""


class InvalidType(WarrenError, TypeError):
    """A value that the user gave is of the wrong kind."""


class UnknownName(WarrenError, KeyError):
    """A name (of a hyperparameter, a run, a strategy) that does not exist."""

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return str(self.args[0]) if self.args else ""


class LoopError(WarrenError, RuntimeError):
    """The training loop broke the protocol of the slot (no report, two reports, tracking too late)."""


class RunMismatch(WarrenError, ValueError):
    """A run in the store was made with other settings than the call that wants to resume it."""


class RunFailed(WarrenError, RuntimeError):
    """The run cannot go on, for a reason that is not in the request."""


class StoreError(WarrenError, OSError):
    """The store cannot be opened, read or written."""


class StaleLease(WarrenError, RuntimeError):
    """A write carried a lease token that is no longer held; nothing was written."""


class StaleView(WarrenError, RuntimeError):
    """A decision was taken on facts that have changed since; decide again."""


class InvalidTransition(WarrenError, RuntimeError):
    """An event met a member in a state in which it cannot happen."""


class CheckpointError(WarrenError, OSError):
    """A checkpoint cannot be written or read."""


class CheckpointMissing(CheckpointError, LookupError):
    """A checkpoint that the record names is not there."""


class CheckpointDamaged(CheckpointError, ValueError):
    """The bytes of a checkpoint do not match its digest."""


class StateError(WarrenError, TypeError):
    """A member's state holds something that cannot be stored, or does not fit the objects it is loaded into."""


class MissingExtra(WarrenError, ImportError):
    """An optional dependency is needed and not installed."""
