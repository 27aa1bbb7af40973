"""Hyperparameters that are written into optimizers and schedulers after every load.

Parameter groups keep their proportions: a group that was built with no weight decay keeps none, and one with a tenth of
the learning rate of the others keeps a tenth. The hyperparameter is the largest group's value.
"""

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
        self._shares = {option: _shares([group.get(option) for group in groups]) for option in options}
        self._built = {option: [_built(group, option) for group in groups] for option in options}

    def names(self) -> set[str]:
        """Names of the bound hyperparameters."""
        found: set[str] = set()
        for name in self.options.values():
            found.update((name,) if isinstance(name, str) else name)
        return found

    def apply(self, values: Mapping[str, Any]) -> None:
        """Write the values into every parameter group, and the learning rate into the scheduler's base.

        A hyperparameter that `values` does not have leaves the option as it was built, whoever was here before.
        """
        for option, name in self.options.items():
            # The groups are looked up each time, since loading may replace their list.
            groups = self.optimizer.param_groups
            wanted = self._wanted(option, name, values, len(groups))
            if option == "lr" and self.scheduler is not None:
                self._rescale(wanted)
                continue
            for group, one in zip(groups, wanted, strict=True):
                group[option] = _as(group.get(option), one)

    def _wanted(self, option: str, name: str | tuple[str, ...], values: Mapping[str, Any], count: int) -> list[Any]:
        """The value of an option for each of `count` groups."""
        built = self._built[option]
        if len(built) != count:
            built = built[:1] * count
        if not isinstance(name, str):
            return [
                tuple(values[part] if part in values else old[place] for place, part in enumerate(name))
                for old in built
            ]
        if name not in values:
            return built
        shares = self._shares[option]
        if shares is None or len(shares) != count:
            shares = [1.0] * count
        value = values[name]
        return [value if share == 1.0 else value * share for share in shares]

    def _rescale(self, wanted: list[float]) -> None:
        """Move learning rates by the ratio of their new base to the old one, wherever the schedule stands."""
        schedulers = _flat(self.scheduler)
        bases = next((s.base_lrs for s in schedulers if getattr(s, "base_lrs", None)), None)
        for place, (group, value) in enumerate(zip(self.optimizer.param_groups, wanted, strict=True)):
            base = float(bases[place]) if bases is not None else float(group.get("initial_lr", group["lr"]))
            now = float(group["lr"]) * value / base if base else value
            group["lr"] = _as(group["lr"], now)
            if "initial_lr" in group:
                group["initial_lr"] = _as(group["initial_lr"], value)
        for scheduler in schedulers:
            if getattr(scheduler, "base_lrs", None):
                scheduler.base_lrs = list(wanted)


def _shares(built: list[Any]) -> list[float] | None:
    """What part of the largest group's value each group was built with, or None where that says nothing."""
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0 for value in built):
        return None
    largest = max(built)
    return [value / largest for value in built] if largest > 0 else None


def _flat(scheduler: Any) -> list[Any]:
    """A scheduler and those inside it (SequentialLR, ChainedScheduler)."""
    found = [scheduler]
    for inner in getattr(scheduler, "_schedulers", ()):
        found += _flat(inner)
    return found


def _built(group: Mapping[str, Any], option: str) -> Any:
    """An option's value as it was given; a tensor is written in place later, and a scheduler has moved its rate."""
    value = group.get("initial_lr", group["lr"]) if option == "lr" else group.get(option)
    item = getattr(value, "item", None)
    return item() if callable(item) else value


def _as(old: Any, new: Any) -> Any:
    """The value in the form that the option has: a tensor option is written in place, so that nothing recompiles."""
    fill = getattr(old, "fill_", None)
    if callable(fill):
        fill(new)
        return old
    return new
