"""warren: Population Based Training.

Names are loaded when they are first used, so that importing warren costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warren.engines import Vectorised as Vectorised
    from warren.errors import WarrenError as WarrenError
    from warren.population import Stop as Stop
    from warren.results import Result as Result
    from warren.results import Schedule as Schedule
    from warren.runs import backup as backup
    from warren.runs import check as check
    from warren.runs import join as join
    from warren.runs import open_result as open_result
    from warren.runs import replay as replay
    from warren.runs import resume as resume
    from warren.runs import retrace as retrace
    from warren.runs import run as run
    from warren.runs import verify as verify
    from warren.space import Choice as Choice
    from warren.space import Float as Float
    from warren.space import Int as Int
    from warren.space import Space as Space
    from warren.strategies import PBT as PBT
    from warren.strategies import RandomSearch as RandomSearch
    from warren.strategies import compose as compose
    from warren.training import PENDING as PENDING
    from warren.training import Member as Member
    from warren.training import Slot as Slot
    from warren.training import StackedTask as StackedTask
    from warren.training import Task as Task

__version__ = "0.1.0"

_ROOMS = {
    "PENDING": "warren.training",
    "PBT": "warren.strategies",
    "Choice": "warren.space",
    "Float": "warren.space",
    "Int": "warren.space",
    "Member": "warren.training",
    "RandomSearch": "warren.strategies",
    "Result": "warren.results",
    "Schedule": "warren.results",
    "Slot": "warren.training",
    "Space": "warren.space",
    "StackedTask": "warren.training",
    "Stop": "warren.population",
    "Task": "warren.training",
    "Vectorised": "warren.engines",
    "WarrenError": "warren.errors",
    "backup": "warren.runs",
    "check": "warren.runs",
    "compose": "warren.strategies",
    "join": "warren.runs",
    "open_result": "warren.runs",
    "replay": "warren.runs",
    "retrace": "warren.runs",
    "verify": "warren.runs",
    "resume": "warren.runs",
    "run": "warren.runs",
}

__all__ = [*_ROOMS]


def __getattr__(name: str) -> Any:
    if name == "torch":  # a module of its own, which needs PyTorch
        return importlib.import_module("warren.torch")
    if name not in _ROOMS:
        raise AttributeError(f"module 'warren' has no attribute {name!r}")
    value = getattr(importlib.import_module(_ROOMS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_ROOMS))
