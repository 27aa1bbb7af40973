"""The member whose turn it is: its hyperparameters, and where it reports."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import numpy as np

from warren.errors import InvalidType, InvalidValue, LoopError, UnknownName
from warren.population import CheckpointRow, Keys, MemberRow, Report
from warren.space import Space
from warren.stacked import nested
from warren.training.rng import Rng
from warren.training.settings import Settings
from warren.training.source import Saver

Arrival = Literal["fresh", "same", "switched", "exploited", "resumed"]


class Pending:
    """Stands for a score that comes later; see `Member.report`."""

    def __repr__(self) -> str:
        return "warren.PENDING"


PENDING = Pending()


class Opponent:
    """Another member's state, as it was saved, that the strategy wants a member to be measured against.

    Attributes:
        name: Of its checkpoint: what results are recorded under.
        member: Whose state it is.
        interval: That member's budget when it was saved.
    """

    def __init__(self, row: CheckpointRow, states: Saver) -> None:
        self.name = row.name
        self.member = row.member
        self.interval = row.interval
        self._states = states

    def state(self) -> dict[str, Any]:
        """The state by tracked names, ``{"state": ...}`` where it is a value; loaded anew at each call."""
        tree: dict[str, Any] = self._states.load(self.name)
        return {name: part for name, part in tree.items() if name != "warren"}

    def __repr__(self) -> str:
        return f"<Opponent member {self.member}, interval {self.interval}>"


class Member:
    """One member for one interval. Made by the slot; ``member["lr"]`` reads a hyperparameter.

    Attributes:
        arrival: How its state came into the slot: ``fresh`` (just made), ``same`` (it was here for its last interval),
            ``switched`` (loaded), ``exploited`` (a donor's was loaded), ``resumed`` (loaded after another process
            had it). A reinforcement-learning loop resets its environments unless it is ``same``.
        opponents: States that the strategy hands to this interval; results go to ``report(results=...)``.
    """

    def __init__(
        self,
        row: MemberRow,
        settings: Settings,
        keys: Keys,
        arrival: Arrival,
        state: Any,
        on_read: Callable[[str], None],
        opponents: tuple[Opponent, ...] = (),
    ) -> None:
        self.arrival: Arrival = arrival
        self.opponents = opponents
        self._row = row
        self._settings = settings
        self._state = state
        self._on_read = on_read
        self._keys = keys
        self._rng: np.random.Generator | None = None
        self._report: Report | None = None
        self._before: float | None = None
        self._curve: list[float] = []
        self._logged: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<Member {self.id}, interval {self.budget + 1}, {self.arrival}>"

    @property
    def id(self) -> int:
        """Number of the member, from 0."""
        return self._row.member

    @property
    def budget(self) -> int:
        """Intervals that the member has been given before this one."""
        return self._row.budget

    @property
    def age(self) -> int:
        """Intervals in the history of the state that it starts from; a copy takes over the donor's."""
        return self._row.age

    @property
    def seed(self) -> int:
        """Seed of the member's fresh state, in ``[0, 2**31)``."""
        return birth_rng(self._settings, self._row).seed

    @property
    def rng(self) -> np.random.Generator:
        """A NumPy generator for this member and interval, whichever worker trains it."""
        if self._rng is None:
            self._rng = self._keys.generator("user")
        return self._rng

    def key(self, purpose: str) -> Rng:
        """A key for a purpose of your own, which gives a NumPy or torch generator or a JAX key."""
        return Rng(self._keys, f"user/{purpose}")

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """All hyperparameters as the user nested them. Reading this counts as reading each."""
        return nested(self.flat)

    @property
    def flat(self) -> dict[str, Any]:
        """All hyperparameters by their flat names, such as ``optimizer.lr``. Reading this counts as reading each."""
        for name in self._row.hyperparameters:
            self._on_read(name)
        return dict(self._row.hyperparameters)

    def __getitem__(self, name: str) -> Any:
        """A hyperparameter by name; a nested space is reached with a dot or by its outer name.

        Raises:
            UnknownName: There is none of that name, or it does not exist beside the others (`When`).
        """
        values = self._row.hyperparameters
        if name in values:
            self._on_read(name)
            return values[name]
        inside = {key[len(name) + 1 :]: value for key, value in values.items() if key.startswith(f"{name}.")}
        if not inside:
            raise absent(name, values, self._settings.space)
        for key in inside:
            self._on_read(f"{name}.{key}")
        return nested(inside)

    @property
    def state(self) -> Any:
        """The member's state where it is a value and not in objects (JAX): any tree of arrays; None when fresh."""
        return self._state

    @state.setter
    def state(self, value: Any) -> None:
        self._state = value

    def start_score(self, score: float) -> None:
        """The score of the state before this interval's training, for strategies that judge by improvement."""
        self._before = self._number("start_score", score)

    def log(self, **values: float) -> None:
        """Numbers inside the interval. ``score=`` makes its curve; of the others the last of each is kept."""
        for name, value in values.items():
            number = self._number(f"log({name}=...)", value)
            if name == "score":
                self._curve.append(number)
            else:
                self._logged[name] = number

    def report(
        self,
        score: float | Pending,
        *,
        samples: Iterable[float] | None = None,
        cost: float = 1.0,
        results: Mapping[Opponent | str, float] | None = None,
        **metrics: float,
    ) -> None:
        """End the interval with its score. The next pass of the loop commits it.

        Args:
            score: What selection goes by; NaN or an infinity marks the member as diverged. ``warren.PENDING`` where
                it comes later.
            samples: The results that the score is the mean of (episode returns), for statistical tests.
            cost: Units of compute that it took, for comparisons at equal compute.
            results: What came of the games against `opponents`, each by the opponent or its name; what is not finite is
                left out.
            **metrics: Other numbers by name; selection does not see them.

        Raises:
            InvalidType: A value is no number.
            InvalidValue: A result is not against one of `opponents`.
            LoopError: It has reported already, or the held-out metric is missing.
        """
        if self._report is not None:
            raise LoopError(
                f"member {self.id} reported twice in interval {self.budget + 1}; call report(...) once at the end "
                "of each pass, and log(...) for numbers in between"
            )
        numbers = dict(self._logged)
        numbers.update({name: self._number(f"report({name}=...)", value) for name, value in metrics.items()})
        held_out = self._settings.held_out
        if held_out is not None and held_out not in numbers:
            raise LoopError(
                f"held_out={held_out!r} is not among the reported metrics ({', '.join(numbers) or 'none'}); write "
                f"member.report(score, {held_out}=...)"
            )
        value: float | None = None if isinstance(score, Pending) else self._number("report(score)", score)
        finite = value is not None and math.isfinite(value)
        self._report = Report(
            score=value if finite else None,
            status="pending" if value is None else "ok" if finite else "diverged",
            before=self._before if self._before is None or math.isfinite(self._before) else None,
            samples=None if samples is None else tuple(self._number("samples", one) for one in samples),
            curve=tuple(((i + 1) / len(self._curve), y) for i, y in enumerate(self._curve)) or None,
            metrics=numbers,
            cost=self._number("cost", cost),
            results=None if results is None else self._against(results),
        )

    @property
    def reported(self) -> Report | None:
        """What was reported, or None so far."""
        return self._report

    def _against(self, results: Mapping[Opponent | str, float]) -> dict[str, float]:
        names = [opponent.name for opponent in self.opponents]
        found = {}
        for opponent, value in results.items():
            name = opponent.name if isinstance(opponent, Opponent) else opponent
            if name not in names:
                raise InvalidValue(
                    f"member {self.id}: report(results=...) has {opponent!r}, which is none of this interval's "
                    f"{len(names)} opponents; give results by what member.opponents holds"
                )
            number = self._number("results", value)
            if math.isfinite(number):
                found[name] = number
        return found

    def _number(self, field: str, value: Any) -> float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        item = getattr(value, "item", None)
        if callable(item):
            try:
                number = item()
            except (ValueError, RuntimeError, TypeError):
                raise InvalidType(
                    f"member {self.id}: {field} must be one number, but got {type(value).__name__} of shape "
                    f"{tuple(getattr(value, 'shape', ()))}; reduce it, for example with .mean()"
                ) from None
            if isinstance(number, (int, float)):
                return float(number)
        raise InvalidType(f"member {self.id}: {field} must be a number, but got {value!r}")


def interval_keys(settings: Settings, row: MemberRow) -> Keys:
    """The key of the interval that a member is about to train.

    An interval that is tried again once draws the same, so that a crash of the machine leaves no trace; one that keeps
    failing draws anew, since its draws may be the cause.
    """
    attempt = row.failures if row.failures > 1 else 0
    return Keys(seed=settings.seed, member=row.member, interval=row.budget + 1, attempt=attempt)


def absent(name: str, values: Mapping[str, Any], space: Space) -> UnknownName:
    """The error for a hyperparameter that a member does not have.

    Args:
        name: What was asked for.
        values: What the member has.
        space: What there may be.
    """
    known = next((one for one in space if one == name or one.startswith(f"{name}.")), None)
    if known is None:
        return UnknownName(f"there is no hyperparameter {name!r}; the space has {', '.join(space)}")
    return UnknownName(
        f"this member has no hyperparameter {name!r}: {space.why_absent(known, values)}; ask what it depends on first"
    )


def birth_rng(settings: Settings, row: MemberRow) -> Rng:
    """The key of a member's fresh state."""
    return Rng(Keys(seed=settings.seed, member=row.member, interval=0, attempt=row.birth), "birth")
