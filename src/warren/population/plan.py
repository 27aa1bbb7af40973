"""What a strategy can say: a plan of actions on members, with its own memory beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from warren.values import Json


@dataclass(frozen=True, kw_only=True)
class Assign:
    """Give a member its next state and hyperparameters. A member that does not exist yet is made.

    Attributes:
        member: Who.
        hyperparameters: What it trains with from now on, complete.
        sources: Names of the checkpoints that its state is made of.
        via: ``copy`` of the first source; ``keep`` its own state; ``fresh`` from its seed; or the name of a hook that
            makes one state of all sources: ``mean``, ``crossover``, or one of the strategy's own (see
            `warren.strategies.hooks`).
        intervals: How many intervals until the next decision.
        group: Sub-population; None leaves it.
        role: What it is for; None leaves it.
        opponents: Checkpoints that are handed to its intervals, until its next assignment.
        tag: A note that comes back in the log.
    """

    member: int
    hyperparameters: dict[str, Any]
    sources: tuple[str, ...] = ()
    via: str = "copy"
    intervals: int = 1
    group: str | None = None
    role: str | None = None
    opponents: tuple[str, ...] = ()
    tag: Json = None

    @property
    def combines(self) -> bool:
        """Whether the state is to be made by a hook."""
        return self.via not in ("copy", "keep", "fresh")


@dataclass(frozen=True, kw_only=True)
class Hold:
    """Let a member wait until all active members of its group have a budget of `until`."""

    member: int
    until: int


@dataclass(frozen=True, kw_only=True)
class Retire:
    """Let a member be done before its budget is spent."""

    member: int


@dataclass(frozen=True, kw_only=True)
class Pin:
    """Keep a checkpoint for the rest of the run."""

    checkpoint: str


@dataclass(frozen=True, kw_only=True)
class Unpin:
    """Let a pinned checkpoint go."""

    checkpoint: str


Action: TypeAlias = "Assign | Hold | Retire | Pin | Unpin"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to do, decided on one view.

    Attributes:
        actions: In this order. An action on a member that has changed since the view is dropped and recorded; that
            on the member that is due is always of the view.
        memory: The strategy's state from now on; None leaves it as it is.
        intervals: Where no action assigns the member that is due: how many intervals until its next decision.
    """

    actions: tuple[Action, ...] = field(default=())
    memory: Json = None
    intervals: int = 1


def own_assignment(plan: Plan, member: int) -> Assign | None:
    """The assignment of a plan that is about one member alone, and leaves the strategy's memory as it is; else None.

    Such a plan can be carried out later than it is decided, where nobody else can give up what it names.

    Args:
        plan: What was decided.
        member: Whom it was decided for.
    """
    if plan.memory is not None or len(plan.actions) != 1:
        return None
    action = plan.actions[0]
    if not isinstance(action, Assign) or action.member != member or action.combines:
        return None
    return action
