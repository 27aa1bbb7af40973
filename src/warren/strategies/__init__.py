"""Strategies as frozen values: ``decide(view, keys) -> plan``. Pure; they know no store and no framework.

PBT and its parts are loaded with the room; the other strategies of the catalogue when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from warren.strategies.base import Strategy, decide
from warren.strategies.catalogue import MODULES, named
from warren.strategies.compose import PBT, Composed, RandomSearch, compose
from warren.strategies.exploit import Exploit, Nobody, Tournament, Truncation, TTest
from warren.strategies.explore import Explore, Noise, Perturb, Resample, Stretch, Unchanged
from warren.strategies.fitness import Fitness, LastScore, Smoothed, Window
from warren.strategies.ready import Every, Never, Ready

if TYPE_CHECKING:
    from warren.strategies.anchor import Anchored as Anchored
    from warren.strategies.averaging import Averaging as Averaging
    from warren.strategies.bgpbt import BGPBT as BGPBT
    from warren.strategies.controls import Cosine as Cosine
    from warren.strategies.controls import Fixed as Fixed
    from warren.strategies.controls import Follow as Follow
    from warren.strategies.controls import SuccessiveHalving as SuccessiveHalving
    from warren.strategies.dexpbt import DexPBT as DexPBT
    from warren.strategies.elo import Challenge as Challenge
    from warren.strategies.elo import Elo as Elo
    from warren.strategies.elo import EloPBT as EloPBT
    from warren.strategies.fire import FIREPBT as FIREPBT
    from warren.strategies.generalised import GeneralisedPBT as GeneralisedPBT
    from warren.strategies.guards import Gap as Gap
    from warren.strategies.guards import Guarded as Guarded
    from warren.strategies.guards import Reference as Reference
    from warren.strategies.ipbt import IPBT as IPBT
    from warren.strategies.mfpbt import MFPBT as MFPBT
    from warren.strategies.mopbt import MOPBT as MOPBT
    from warren.strategies.mopbt import Fronts as Fronts
    from warren.strategies.pairwise import PairwisePBT as PairwisePBT
    from warren.strategies.pb2 import PB2 as PB2
    from warren.strategies.pb2_mix import PB2Mix as PB2Mix
    from warren.strategies.pba import PBA as PBA
    from warren.strategies.pba import Grid as Grid
    from warren.strategies.searl import SEARL as SEARL

_PARTS = {
    "Challenge": "elo",
    "Elo": "elo",
    "Fronts": "mopbt",
    "Gap": "guards",
    "Grid": "pba",
    "Guarded": "guards",
}
"""Parts that come with a strategy of the catalogue, with its module."""

__all__ = [
    "PBT",
    "Composed",
    "Every",
    "Exploit",
    "Explore",
    "Fitness",
    "LastScore",
    "Never",
    "Nobody",
    "Noise",
    "Perturb",
    "RandomSearch",
    "Ready",
    "Resample",
    "Smoothed",
    "Strategy",
    "Stretch",
    "TTest",
    "Tournament",
    "Truncation",
    "Unchanged",
    "Window",
    "compose",
    "decide",
    "named",
]
__all__ += sorted({*MODULES, *_PARTS} - {*__all__})


def __getattr__(name: str) -> Any:
    module = MODULES.get(name) or _PARTS.get(name)
    if module is None:
        raise AttributeError(f"module 'warren.strategies' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"warren.strategies.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
