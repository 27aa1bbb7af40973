"""Strategies held against each other at equal compute, on paired seeds: did Population Based Training help?"""

from warren.comparison.arms import Arm, Seeded, standard
from warren.comparison.compared import Compared, Contrast, Retrained
from warren.comparison.design import Design
from warren.comparison.face import compare
from warren.comparison.replicate import Moment, Reached, Replicate

__all__ = [
    "Arm",
    "Compared",
    "Contrast",
    "Design",
    "Moment",
    "Reached",
    "Replicate",
    "Retrained",
    "Seeded",
    "compare",
    "standard",
]
