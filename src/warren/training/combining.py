"""States that are made of several when their member arrives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from warren.errors import LoopError
from warren.population import Keys, MemberRow
from warren.state import Tree, decode, encode
from warren.strategies.hooks import hook_of
from warren.training.rng import Rng
from warren.training.settings import Settings
from warren.training.source import Saver


def to_combine(row: MemberRow) -> bool:
    """Whether the state that a member is to train from has still to be made of its sources."""
    return bool(row.sources) and row.last is None


def wants_fresh(settings: Settings, row: MemberRow) -> bool:
    """Whether a fresh state is among what the member's state is to be made of."""
    return to_combine(row) and hook_of(settings.strategy, row.via).fresh


def combined(
    settings: Settings, row: MemberRow, states: Saver, keys: Keys, fresh: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """The state that a member's next interval starts from, made of its sources by the strategy's hook.

    The same whoever makes it, and however often: it depends on the sources and the keys alone.

    Args:
        settings: The fixed part of the run.
        row: The member, with `to_combine`.
        states: Where the sources are.
        keys: The key of the interval that it is about to train.
        fresh: Gives the state of a fresh member; called where the hook wants it.

    Returns:
        By tracked names.

    Raises:
        CheckpointError: A source is not there or damaged.
        LoopError: A fresh state, or what the hook gave, has other names than the sources.
        StateError: The states are not of one form.
    """
    hook = hook_of(settings.strategy, row.via)
    trees = [_own(states.load(name)) for name in row.sources]
    names = sorted(trees[0])
    if hook.fresh:
        made = decode(bytearray(encode(fresh()).tobytes()))  # as if it had been saved
        _require(
            made, names, f"via={row.via!r} combines states with a fresh one, and the fresh one has",
            "a loop that keeps member.state says how it is made: slot.init(make) before the loop",
        )  # fmt: skip
        trees.append(made)
    tree = hook.combine(trees, dict(row.hyperparameters), Rng(keys, "combine"))
    _require(tree, names, f"the hook {row.via!r} gave a state with", "it must give a state of the same names")
    return dict(tree)


def _own(tree: Tree) -> dict[str, Any]:
    return {name: part for name, part in tree.items() if name != "warren"}


def _require(tree: Any, names: list[str], what: str, remedy: str) -> None:
    found = sorted(map(str, tree)) if isinstance(tree, dict) else None
    if found != names:
        told = f"({', '.join(found) or 'nothing'})" if found is not None else repr(type(tree).__name__)
        raise LoopError(f"{what} {told}, where the sources have ({', '.join(names)}); {remedy}")
