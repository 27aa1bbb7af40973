"""Spaces: what hyperparameters may be, how they are drawn and how they move."""

from warren.space.dimension import Choice, Dimension, Float, Int
from warren.space.space import Space

__all__ = ["Choice", "Dimension", "Float", "Int", "Space"]
