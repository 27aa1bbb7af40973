"""Spaces: what hyperparameters may be, how they are drawn and how they move."""

from warren.space.condition import When
from warren.space.constraint import Constraint, Less, Rule, Sum
from warren.space.dimension import Choice, Dimension, Float, Int
from warren.space.space import Space

__all__ = ["Choice", "Constraint", "Dimension", "Float", "Int", "Less", "Rule", "Space", "Sum", "When"]
