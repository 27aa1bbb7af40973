"""warren: Population Based Training.

Names are loaded when they are first used, so that importing warren costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warren.comparison import compare as compare
    from warren.engines import Vectorised as Vectorised
    from warren.errors import WarrenError as WarrenError
    from warren.integrations import from_configspace as from_configspace
    from warren.integrations import from_optuna as from_optuna
    from warren.integrations import from_ray as from_ray
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
    from warren.space import Less as Less
    from warren.space import Rule as Rule
    from warren.space import Space as Space
    from warren.space import Sum as Sum
    from warren.space import When as When
    from warren.strategies import BGPBT as BGPBT
    from warren.strategies import FIREPBT as FIREPBT
    from warren.strategies import IPBT as IPBT
    from warren.strategies import MFPBT as MFPBT
    from warren.strategies import MOPBT as MOPBT
    from warren.strategies import PB2 as PB2
    from warren.strategies import PBA as PBA
    from warren.strategies import PBT as PBT
    from warren.strategies import SEARL as SEARL
    from warren.strategies import Anchored as Anchored
    from warren.strategies import Averaging as Averaging
    from warren.strategies import Cosine as Cosine
    from warren.strategies import DexPBT as DexPBT
    from warren.strategies import EloPBT as EloPBT
    from warren.strategies import Fixed as Fixed
    from warren.strategies import Follow as Follow
    from warren.strategies import GeneralisedPBT as GeneralisedPBT
    from warren.strategies import PairwisePBT as PairwisePBT
    from warren.strategies import PB2Mix as PB2Mix
    from warren.strategies import RandomSearch as RandomSearch
    from warren.strategies import Reference as Reference
    from warren.strategies import SuccessiveHalving as SuccessiveHalving
    from warren.strategies import compose as compose
    from warren.training import PENDING as PENDING
    from warren.training import Member as Member
    from warren.training import Slot as Slot
    from warren.training import StackedTask as StackedTask
    from warren.training import Task as Task

__version__ = "0.1.0"

_ROOMS = {
    "BGPBT": "warren.strategies",
    "FIREPBT": "warren.strategies",
    "IPBT": "warren.strategies",
    "MFPBT": "warren.strategies",
    "MOPBT": "warren.strategies",
    "PB2": "warren.strategies",
    "PBA": "warren.strategies",
    "PBT": "warren.strategies",
    "PENDING": "warren.training",
    "SEARL": "warren.strategies",
    "Anchored": "warren.strategies",
    "Averaging": "warren.strategies",
    "Choice": "warren.space",
    "Cosine": "warren.strategies",
    "DexPBT": "warren.strategies",
    "EloPBT": "warren.strategies",
    "Fixed": "warren.strategies",
    "Float": "warren.space",
    "Follow": "warren.strategies",
    "GeneralisedPBT": "warren.strategies",
    "Int": "warren.space",
    "Less": "warren.space",
    "Member": "warren.training",
    "PB2Mix": "warren.strategies",
    "PairwisePBT": "warren.strategies",
    "RandomSearch": "warren.strategies",
    "Reference": "warren.strategies",
    "Result": "warren.results",
    "Rule": "warren.space",
    "Schedule": "warren.results",
    "Slot": "warren.training",
    "Space": "warren.space",
    "StackedTask": "warren.training",
    "Stop": "warren.population",
    "SuccessiveHalving": "warren.strategies",
    "Sum": "warren.space",
    "Task": "warren.training",
    "Vectorised": "warren.engines",
    "WarrenError": "warren.errors",
    "When": "warren.space",
    "backup": "warren.runs",
    "check": "warren.runs",
    "compare": "warren.comparison",
    "compose": "warren.strategies",
    "from_configspace": "warren.integrations",
    "from_optuna": "warren.integrations",
    "from_ray": "warren.integrations",
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
