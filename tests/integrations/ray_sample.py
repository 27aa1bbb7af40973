"""Stands for ``ray.tune.search.sample`` where Ray is not installed: as much of it as a space is read from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class Sampler:
    pass


class Uniform(Sampler):
    pass


class LogUniform(Sampler):
    pass


class Normal(Sampler):
    pass


class Grid(Sampler):
    pass


class Quantized(Sampler):
    def __init__(self, sampler: Sampler, q: float) -> None:
        self.sampler, self.q = sampler, q

    def get_sampler(self) -> Sampler:
        return self.sampler


class Domain:
    sampler: Sampler | None = None

    def get_sampler(self) -> Sampler:
        return self.sampler or Uniform()

    def by(self, sampler: Sampler) -> Any:
        self.sampler = sampler
        return self


class Float(Domain):
    def __init__(self, lower: float | None, upper: float | None) -> None:
        self.lower = float("-inf") if lower is None else lower
        self.upper = float("inf") if upper is None else upper


class Integer(Domain):
    def __init__(self, lower: int, upper: int) -> None:
        self.lower, self.upper = lower, upper


class Categorical(Domain):
    def __init__(self, categories: Sequence[Any]) -> None:
        self.categories = list(categories)


class Function(Domain):
    def __init__(self, func: Callable[..., Any]) -> None:
        self.func = func


def uniform(lower: float, upper: float) -> Domain:
    return Float(lower, upper).by(Uniform())


def quniform(lower: float, upper: float, q: float) -> Domain:
    return Float(lower, upper).by(Quantized(Uniform(), q))


def loguniform(lower: float, upper: float) -> Domain:
    return Float(lower, upper).by(LogUniform())


def qloguniform(lower: float, upper: float, q: float) -> Domain:
    return Float(lower, upper).by(Quantized(LogUniform(), q))


def choice(categories: Sequence[Any]) -> Domain:
    return Categorical(categories).by(Uniform())


def randint(lower: int, upper: int) -> Domain:
    return Integer(lower, upper).by(Uniform())


def lograndint(lower: int, upper: int) -> Domain:
    return Integer(lower, upper).by(LogUniform())


def qrandint(lower: int, upper: int, q: int = 1) -> Domain:
    return Integer(lower, upper).by(Quantized(Uniform(), q))


def qlograndint(lower: int, upper: int, q: int) -> Domain:
    return Integer(lower, upper).by(Quantized(LogUniform(), q))


def randn(mean: float = 0.0, sd: float = 1.0) -> Domain:
    return Float(None, None).by(Normal())


def qrandn(mean: float, sd: float, q: float) -> Domain:
    return Float(None, None).by(Quantized(Normal(), q))


def sample_from(func: Callable[..., Any]) -> Domain:
    return Function(func)
