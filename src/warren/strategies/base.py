"""The one interface that every strategy has."""

from __future__ import annotations

from typing import Protocol

from warren.population import Assign, Keys, Plan, View
from warren.space import Space
from warren.strategies.hooks import require_hooks


class Strategy(Protocol):
    """Decides for the population; a frozen value that draws only from the keys that it is given.

    The same view and keys give the same plan, on every engine and in a replay.
    """

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """The first assignment of every member.

        Args:
            space: What hyperparameters may be.
            size: Members in the population, numbered from 0.
            keys: The run's key; use `member_keys` for draws that belong to one member.
        """
        ...

    def decide(self, view: View, keys: Keys) -> Plan:
        """What to do now that one member is due.

        Called outside any transaction, and again on a newer view where the commit finds that a donor is gone.

        Args:
            view: Facts at equal progress.
            keys: The key of the member that is due, at its last interval.
        """
        ...


def decide(strategy: Strategy, view: View, seed: int) -> Plan:
    """Let a strategy decide for the member that is due, on the key that belongs to that decision.

    Args:
        strategy: Who decides.
        view: What is known.
        seed: Of the run.

    Raises:
        UnknownName: It plans a combination by a hook that nobody has.
    """
    # An interval that is only tried again after a crash must be decided for as it was.
    attempt = view.due.failures if view.due.failures and view.failing else 0
    plan = strategy.decide(view, Keys(seed=seed, member=view.due.member, interval=view.at, attempt=attempt))
    for action in plan.actions:
        if isinstance(action, Assign):
            require_hooks(strategy, action)
    return plan
