"""Generalised PBT: after every interval a member challenges another one, and the fitter of the two is continued."""

from __future__ import annotations

from dataclasses import dataclass, field

from warren.population import Keys, Plan, View
from warren.space import Space
from warren.strategies.compose import Composed
from warren.strategies.exploit import Exploit, Tournament
from warren.strategies.explore import Explore, Perturb
from warren.strategies.fitness import Fitness, LastScore
from warren.strategies.ready import Every


@dataclass(frozen=True, kw_only=True)
class GeneralisedPBT:
    """PBT as short trials, of which each finished one challenges an opponent (Li et al. 2019, arXiv 1902.01894).

    A trial is one interval, warm-started from its parent's checkpoint. When a member's trial is over, it challenges an
    opponent drawn uniformly; the fitter of the two is the parent of the member's next trial, which begins from the
    parent's state with the parent's hyperparameters, mutated. So, other than in PBT, the winner's explore as well.

    **Budget mode**, a population larger than the number of workers, needs nothing here: ask for ``population=64,
    workers=8``. Workers always take the least-trained member, so that generations stay together, and an opponent is
    judged by its trial of the same generation, or by its newest older one.

    The paper leaves selection and mutation open; what is fixed here is one opponent, drawn from all others, with ties
    settled by the keyed draw of the interval. Trials may be warm-started from members only, not from older trials,
    whose checkpoints are not kept.

    Trap: since everybody explores after each trial, nobody shows what unchanged hyperparameters would have done; wrap
    it in `Reference`, or use longer intervals where scores are noisy.

    Args:
        challenge: Who is challenged, and when that one wins.
        explore: How hyperparameters change for each new trial.
        fitness: What is compared; default: the last score.
        every: Intervals of a trial.

    Raises:
        InvalidValue: `every` is below 1.
    """

    challenge: Exploit = field(default_factory=Tournament)
    explore: Explore = field(default_factory=Perturb)
    fitness: Fitness = field(default_factory=LastScore)
    every: int = 1
    _composed: Composed = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        composed = Composed(
            ready=Every(every=self.every, warmup=0),
            fitness=self.fitness,
            exploit=self.challenge,
            explore=self.explore,
            explorers="ready",
        )
        object.__setattr__(self, "_composed", composed)

    def start(self, space: Space, size: int, keys: Keys) -> Plan:
        """As `PBT`, with the same draws for the same seed."""
        return self._composed.start(space, size, keys)

    def decide(self, view: View, keys: Keys) -> Plan:
        """Challenge, and go on from the fitter one with mutated hyperparameters."""
        return self._composed.decide(view, keys)
