"""Spaces of other libraries as warren's own; none of them is needed to import this."""

from warren.integrations.configspace import from_configspace
from warren.integrations.optuna import from_optuna
from warren.integrations.ray import from_ray

__all__ = ["from_configspace", "from_optuna", "from_ray"]
