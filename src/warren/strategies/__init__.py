"""Strategies as frozen values: ``decide(view, keys) -> plan``. Pure; they know no store and no framework."""

from warren.strategies.base import Strategy, decide
from warren.strategies.compose import PBT, Composed, RandomSearch, compose
from warren.strategies.exploit import Exploit, Nobody, Tournament, Truncation, TTest
from warren.strategies.explore import Explore, Noise, Perturb, Resample, Unchanged
from warren.strategies.fitness import Fitness, LastScore
from warren.strategies.ready import Every, Never, Ready

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
    "Strategy",
    "TTest",
    "Tournament",
    "Truncation",
    "Unchanged",
    "compose",
    "decide",
]
