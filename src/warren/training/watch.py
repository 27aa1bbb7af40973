"""Whether mutated values arrive: what was read, and what optimizers used at their last step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

_ALIASES = {"learning_rate": "lr", "wd": "weight_decay"}


class Watch:
    """Looks over the user's shoulder, and gives each piece of advice once.

    Args:
        names: All hyperparameters.
        warn: Says something to the user.
    """

    def __init__(self, names: Iterable[str], warn: Callable[[str], None]) -> None:
        self._unread = set(names)
        self._unmet = set(names)
        self._warn = warn
        self._optimizers: dict[str, _Used] = {}
        self._schedulers: dict[str, Any] = {}
        self._told: set[str] = set()

    def read(self, name: str) -> None:
        """A hyperparameter was read, or is bound."""
        self._unread.discard(name)

    def track(self, name: str, obj: Any) -> None:
        """An object was tracked: an optimizer is watched at its steps."""
        hook = getattr(obj, "register_step_pre_hook", None)
        if callable(hook) and isinstance(getattr(obj, "param_groups", None), list):
            self._optimizers[name] = used = _Used(obj)
            hook(used.note)
        elif getattr(obj, "base_lrs", None):
            self._schedulers[name] = obj

    def bound(self, optimizer: Any, options: set[str], scheduler: Any) -> None:
        """What is bound arrives by construction, unless a scheduler that is not bound with it overwrites it."""
        for used in self._optimizers.values():
            if used.optimizer is optimizer:
                used.bound |= options
        self._schedulers = {n: known for n, known in self._schedulers.items() if known is not scheduler}

    def end(self, values: Mapping[str, Any]) -> None:
        """An interval ended that was trained with `values`."""
        met = self._unmet & values.keys()  # with the first member, all but those that do not exist beside its others
        self._unmet -= met
        for name in sorted(met & self._unread):
            self._once(
                f"hyperparameter {name!r} was never read: its mutations change nothing. Read "
                f"member[{name!r}] in the loop, bind it, or take it out of the space"
            )
        for tracked, used in self._optimizers.items():
            for name, value in values.items():
                option = _ALIASES.get(name.rpartition(".")[2], name.rpartition(".")[2])
                if option in used.options and isinstance(value, (int, float)):
                    self._compare(tracked, used, name, option, float(value))

    def _compare(self, tracked: str, used: _Used, name: str, option: str, value: float) -> None:
        at_step = used.options[option]
        if any(_close(value, step) for step in at_step):
            used.stale.pop(option, None)
            return
        for scheduler, obj in self._schedulers.items():
            if getattr(obj, "optimizer", used.optimizer) is not used.optimizer:
                continue
            bases = [float(base) for base in obj.base_lrs]
            if option == "lr" and (option in used.bound or not any(_close(value, base) for base in bases)):
                self._once(
                    f"scheduler {scheduler!r} overwrites hyperparameter {name!r}: the member has {value:g}, and "
                    f"optimizer {tracked!r} used {at_step[0]:g} at its last step. Write "
                    f"slot.bind({tracked}, lr={name!r}, scheduler={scheduler})"
                )
                return
        if option in used.bound:
            return
        before = used.stale.get(option)
        used.stale[option] = (value, at_step)
        if before is not None and before[0] != value and before[1] == at_step:
            self._once(
                f"hyperparameter {name!r} does not reach optimizer {tracked!r}: it changed from {before[0]:g} to "
                f"{value:g}, and the optimizer used {at_step[0]:g} both times. Write slot.bind({tracked}, "
                f"{option}={name!r}), or set it in every pass of the loop"
            )

    def _once(self, message: str) -> None:
        key = message.split(":")[0]
        if key not in self._told:
            self._told.add(key)
            self._warn(message)


class _Used:
    """The options of an optimizer's groups, as they were at its last step."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = optimizer
        self.bound: set[str] = set()
        self.options: dict[str, tuple[float, ...]] = {}
        self.stale: dict[str, tuple[float, tuple[float, ...]]] = {}

    def note(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        """Called by torch before each step; a few microseconds."""
        groups = optimizer.param_groups
        self.options = {
            option: tuple(float(group[option]) for group in groups)
            for option in ("lr", "momentum", "weight_decay")
            if option in groups[0] and not isinstance(groups[0][option], bool)
        }


def _close(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-6 * max(abs(a), abs(b))
