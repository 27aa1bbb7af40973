"""The real strategies and the real record on simulated time, with learners whose true score is known.

Experiments on populations that take seconds instead of weeks: what a meta-parameter does, before a run depends on it.
"""

from warren.simulation.learner import Learner, Loop, Measured
from warren.simulation.outcome import Simulated
from warren.simulation.quadratics import Quadratic, noisy, regimes
from warren.simulation.runner import simulate
from warren.simulation.times import Durations, Failures
from warren.simulation.toys import Hill, Slope, deceptive, plain

__all__ = [
    "Durations",
    "Failures",
    "Hill",
    "Learner",
    "Loop",
    "Measured",
    "Quadratic",
    "Simulated",
    "Slope",
    "deceptive",
    "noisy",
    "plain",
    "regimes",
    "simulate",
]
