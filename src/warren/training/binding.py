"""Hyperparameters that are written into optimizers and schedulers after every load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from warren.errors import InvalidType, InvalidValue


class Binding:
    """One optimizer, its scheduler if any, and which of its options are hyperparameters.

    Args:
        optimizer: Has `param_groups`, as torch's.
        options: Option of the parameter groups to the name of the hyperparameter, or to a tuple of names for options
            such as Adam's ``betas``.
        scheduler: Has `base_lrs` or schedulers inside it, as torch's; rewrites the learning rate from them.

    Raises:
        InvalidType: The optimizer has no parameter groups.
        InvalidValue: An option is none of the optimizer's.
    """

    def __init__(self, optimizer: Any, options: Mapping[str, str | tuple[str, ...]], scheduler: Any = None) -> None:
        groups = getattr(optimizer, "param_groups", None)
        if not isinstance(groups, list) or not groups:
            raise InvalidType(
                f"bind({type(optimizer).__name__}, ...): it has no param_groups; read the values with member[...] "
                "and set them yourself"
            )
        for option in options:
            if option not in groups[0]:
                known = ", ".join(name for name in groups[0] if name != "params")
                raise InvalidValue(
                    f"bind({type(optimizer).__name__}, {option}=...): it has no option {option!r}; its options "
                    f"are {known}. Write bind(optimizer, OPTION='hyperparameter') where the names differ"
                )
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.options = dict(options)

    def names(self) -> set[str]:
        """Names of the bound hyperparameters."""
        found: set[str] = set()
        for name in self.options.values():
            found.update((name,) if isinstance(name, str) else name)
        return found

    def apply(self, values: Mapping[str, Any]) -> None:
        """Write the values into every parameter group, and the learning rate into the scheduler's base."""
        for option, name in self.options.items():
            value = values[name] if isinstance(name, str) else tuple(values[part] for part in name)
            if option == "lr" and self.scheduler is not None:
                self._rescale(float(values[str(name)]))
                continue
            for group in self.optimizer.param_groups:  # looked up each time: loading may replace the list
                group[option] = _as(group.get(option), value)

    def _rescale(self, value: float) -> None:
        """Move the learning rate by the ratio of its new base to the old one, wherever the schedule stands."""
        schedulers = _flat(self.scheduler)
        bases = next((s.base_lrs for s in schedulers if getattr(s, "base_lrs", None)), None)
        for place, group in enumerate(self.optimizer.param_groups):
            base = float(bases[place]) if bases is not None else float(group.get("initial_lr", group["lr"]))
            now = float(group["lr"]) * value / base if base else value
            group["lr"] = _as(group["lr"], now)
            if "initial_lr" in group:
                group["initial_lr"] = _as(group["initial_lr"], value)
        for scheduler in schedulers:
            if getattr(scheduler, "base_lrs", None):
                scheduler.base_lrs = [value] * len(scheduler.base_lrs)


def _flat(scheduler: Any) -> list[Any]:
    """A scheduler and those inside it (SequentialLR, ChainedScheduler)."""
    found = [scheduler]
    for inner in getattr(scheduler, "_schedulers", ()):
        found += _flat(inner)
    return found


def _as(old: Any, new: Any) -> Any:
    """The value in the form that the option has: a tensor option is written in place, so that nothing recompiles."""
    fill = getattr(old, "fill_", None)
    if callable(fill):
        fill(new)
        return old
    return new
