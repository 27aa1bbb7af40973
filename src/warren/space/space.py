"""A space: named dimensions, nested as the user wrote them, flat inside; with conditions and constraints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy import generic
from numpy.random import Generator, Philox

from warren.errors import InvalidType, InvalidValue, UnknownName
from warren.space.condition import Needs, When, among, checked, downwards, implies, reason
from warren.space.constraint import Constraint
from warren.space.dimension import Dimension

if TYPE_CHECKING:
    import numpy as np

Hyperparameters = Mapping[str, Any]

_DRAWS = 100
"""Draws from the prior before a space is taken to have no legal values."""
_ROUNDS = 20
"""Repairs of one set of values; constraints that share hyperparameters can undo each other's."""


class Space(Mapping[str, Dimension]):
    """The set that a member's hyperparameters are drawn from.

    As a mapping it gives every dimension by its flat name, also of hyperparameters that exist only under conditions.

    Args:
        dimensions: Names to `Float`, `Int`, `Choice`, to a `When` around them, or to another such mapping. A nested
            name is written with a dot from outside: ``{"optimizer": {"lr": Float(...)}}`` declares ``"optimizer.lr"``.
        constraints: What hyperparameters keep together: `Sum`, `Less`, `Rule`. Values that break one after a draw or a
            mutation are repaired, one constraint after another in this order.

    Attributes:
        constraints: As given.

    Raises:
        InvalidType: A name is no string, or a value is no dimension.
        InvalidValue: The space is empty; a name is empty, declared twice, or lies inside another hyperparameter;
            conditions run in a circle; no values keep a constraint.
        UnknownName: A condition or a constraint is on a hyperparameter that is not there.
    """

    def __init__(self, dimensions: Mapping[str, Any], *, constraints: Sequence[Constraint] = ()) -> None:
        self._dimensions: dict[str, Dimension] = {}
        self._whens: dict[str, tuple[When, ...]] = {}
        self._collect(dimensions, "", ())
        if not self._dimensions:
            raise InvalidValue("space must name at least one hyperparameter, but it is empty")
        for name in self._dimensions:
            outer = next((other for other in self._dimensions if name.startswith(f"{other}.")), None)
            if outer is not None:
                raise InvalidValue(f"space: {outer!r} is a hyperparameter, so {name!r} cannot be inside it")
        # Draws go by name and not by the order of writing: a reordered space gives the same run.
        self._order = tuple(sorted(self._dimensions))
        self._rebuild = frozenset(name for name, dimension in self._dimensions.items() if dimension.rebuild)
        self._needs: Needs = checked(self._dimensions, self._whens)
        self._downwards = downwards(self._order, self._needs)
        if not isinstance(constraints, (list, tuple)):
            raise InvalidType(f"space: constraints must be a list of Sum, Less and Rule, but got {constraints!r}")
        own = dimensions.constraints if isinstance(dimensions, Space) else ()
        self.constraints: tuple[Constraint, ...] = tuple(self._constraint(one) for one in (*own, *constraints))
        if self.constraints:
            self.sample(Generator(Philox(key=0)))  # refuses what has no legal values, as far as draws can tell

    def _collect(self, given: object, prefix: str, whens: tuple[When, ...]) -> None:
        if isinstance(given, When):
            self._collect(given.inside, prefix, (*whens, given))
        elif isinstance(given, Dimension) and prefix:
            self._add(prefix[:-1], given, whens)
        elif isinstance(given, Mapping):
            if isinstance(given, Space):
                if prefix and given.constraints:
                    raise InvalidValue(
                        f"space[{prefix[:-1]!r}] is a Space with constraints; give them to the outer one, with the "
                        "names that the hyperparameters have there"
                    )
                given = given.declared
            for name, inside in given.items():
                if not isinstance(name, str):
                    raise InvalidType(f"space: names must be strings, but got {name!r}")
                if not name:
                    raise InvalidValue("space: a name must not be empty")
                self._collect(inside, f"{prefix}{name}.", whens)
        else:
            raise InvalidType(
                f"space{f'[{prefix[:-1]!r}]' if prefix else ''} must be a Float, an Int, a Choice, a When or a mapping "
                f"of names to them, but got {given!r}; a fixed value belongs into the training function"
            )

    def _add(self, name: str, dimension: Dimension, whens: tuple[When, ...]) -> None:
        if name in self._dimensions:
            raise InvalidValue(f"space: {name!r} is declared twice")
        self._dimensions[name] = dimension
        if whens:
            self._whens[name] = whens

    def _constraint(self, constraint: object) -> Constraint:
        if not isinstance(constraint, Constraint):
            raise InvalidType(f"space: constraints must be a list of Sum, Less and Rule, but it has {constraint!r}")
        for name in constraint.about:
            if name not in self._dimensions:
                raise UnknownName(
                    f"space: a constraint is on {name!r}, which is not in the space; it has {', '.join(self)}"
                )
        for name in constraint.about:
            certain = frozenset(other for other in constraint.about if implies(name, other, self._needs))
            if constraint.impossible(self._dimensions, certain):
                ranges = ", ".join(f"{other} is {self._dimensions[other]!r}" for other in constraint.about)
                raise InvalidValue(f"space: no values keep {constraint.rule}, since {ranges}; change one of the ranges")
        return constraint

    def __getitem__(self, name: str) -> Dimension:
        try:
            return self._dimensions[name]
        except KeyError:
            raise UnknownName(
                f"there is no hyperparameter {name!r}; the space has {', '.join(self._dimensions)}"
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._dimensions)

    def __len__(self) -> int:
        return len(self._dimensions)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Space):
            return self.declared == other.declared and self.constraints == other.constraints
        return super().__eq__(other)

    def __repr__(self) -> str:
        constraints = f", constraints={list(self.constraints)!r}" if self.constraints else ""
        return f"Space({self.declared!r}{constraints})"

    # -- what it is ---------------------------------------------------------------------------------------------

    @property
    def rebuild(self) -> frozenset[str]:
        """Names of the hyperparameters that shape a member's objects."""
        return self._rebuild

    @property
    def conditions(self) -> Needs:
        """For each hyperparameter with conditions: the others that it depends on, and the values they must have."""
        return self._needs

    @property
    def declared(self) -> dict[str, Dimension | When]:
        """The space by flat names, each dimension inside its conditions: what another `Space` can be made of."""
        found: dict[str, Dimension | When] = {}
        for name, dimension in self._dimensions.items():
            inside: Dimension | When = dimension
            for when in reversed(self._whens.get(name, ())):
                inside = When(when.name, when.values, inside)
            found[name] = inside
        return found

    def active(self, values: Hyperparameters) -> tuple[str, ...]:
        """Names of the hyperparameters that exist beside these values, in the order of the space.

        Args:
            values: Hyperparameters by flat name, at least those that others depend on.
        """
        found = {name for name in self._downwards if self._exists(name, values)} if self._needs else self._dimensions
        return tuple(name for name in self._dimensions if name in found)

    def why_absent(self, name: str, values: Hyperparameters) -> str:
        """Why a hyperparameter does not exist beside these values, in words; empty where it does."""
        return reason(name, values, self._needs)

    def _exists(self, name: str, values: Hyperparameters) -> bool:
        return all(
            parent in values and among(values[parent], allowed) and self._exists(parent, values)
            for parent, allowed in self._needs.get(name, {}).items()
        )

    # -- draws and moves ----------------------------------------------------------------------------------------

    def sample(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw every hyperparameter from its prior; what does not exist beside the others is left out.

        That one exists only under a condition does not change what is drawn for the others.

        Raises:
            InvalidValue: A hundred draws gave no values that can be repaired to keep the constraints.
        """
        for _ in range(_DRAWS):
            drawn = {name: self._dimensions[name].sample(rng) for name in self._order}
            found = self._settled(drawn, rng, frozenset())
            if found is not None:
                return found
        raise InvalidValue(f"space: {_DRAWS} draws gave no values that could be repaired to keep {self._rules}")

    def mutate(
        self, values: Hyperparameters, move: Callable[[Dimension, Any], Any], rng: np.random.Generator
    ) -> dict[str, Any]:
        """Move every hyperparameter that may be mutated; those with ``rebuild=True`` stay.

        What no longer exists after the moves is left out, and what does now is drawn from its prior. Where constraints
        cannot be kept without what must stay, all stays.

        Args:
            values: The hyperparameters to start from.
            move: Gives the new value for a dimension and its old value; called in the order of the names.
            rng: For what exists now and did not before; drawn from after all moves.

        Returns:
            A new mapping, in the order of the space.
        """
        moved = {
            name: values[name] if name in self._rebuild else move(self._dimensions[name], values[name])
            for name in self._order
            if name in values
        }
        return self._settled(moved, rng, self._rebuild) or dict(values)

    def merged(self, shaped: Hyperparameters, others: Hyperparameters, rng: np.random.Generator) -> dict[str, Any]:
        """Hyperparameters for the weights of one member that are otherwise another one's.

        What shapes the objects, and what the other one does not have, is `shaped`'s; what neither has is drawn from its
        prior. Where constraints cannot be kept so, all is `shaped`'s.

        Args:
            shaped: Legal hyperparameters of the member whose weights they are for.
            others: Legal hyperparameters of another one.
            rng: For draws from the prior.
        """
        values = {**shaped, **{name: value for name, value in others.items() if name not in self._rebuild}}
        return self._settled(values, rng, self._rebuild) or dict(shaped)

    def repaired(
        self, values: Hyperparameters, rng: np.random.Generator, *, fixed: Iterable[str] = ()
    ) -> dict[str, Any]:
        """Complete, legal hyperparameters for ones of which each value is legal by itself.

        What does not exist beside the others is left out, what is missing is drawn from its prior, and constraints
        are repaired. Hyperparameters that are legal already come back as they are.

        Args:
            values: Hyperparameters by flat name.
            rng: For draws from the prior.
            fixed: Names whose values must stay.

        Raises:
            InvalidValue: The constraints cannot be kept.
        """
        found = self._settled(values, rng, frozenset(fixed))
        if found is None:
            raise InvalidValue(f"{_shown(values)} cannot be repaired to keep {self._rules}; give other values")
        return found

    def _settled(
        self, values: Hyperparameters, rng: np.random.Generator, fixed: frozenset[str]
    ) -> dict[str, Any] | None:
        found = self._completed(values, rng)
        for _ in range(_ROUNDS if self.constraints else 0):
            broken = next((one for one in self.constraints if not one.met(_about(one, found))), None)
            if broken is None:
                return found
            found = self._completed({**found, **broken.repaired(_about(broken, found), self, fixed)}, rng)
        return None if self.constraints else found

    def _completed(self, values: Hyperparameters, rng: np.random.Generator) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name in self._downwards:
            if self._exists(name, found):
                found[name] = values[name] if name in values else self._dimensions[name].sample(rng)
        return {name: found[name] for name in self._dimensions if name in found}

    @property
    def _rules(self) -> str:
        return " and ".join(one.rule for one in self.constraints)

    # -- what others give ---------------------------------------------------------------------------------------

    def check(self, values: Mapping[str, Any], *, field: str) -> dict[str, Any]:
        """Validate hyperparameters that a user or a record gives; nested mappings are accepted.

        Args:
            values: Hyperparameters by name; some may be left out, but not those that a given one depends on.
            field: What is being checked, for the message, for example ``"initial[0]"``.

        Returns:
            The given values in a flat mapping, in declared types, in the order of the space.

        Raises:
            UnknownName: A name is not in the space.
            InvalidValue: A value is outside its range, does not exist beside the others, or breaks a constraint.
            InvalidType: A value is of the wrong kind.
        """
        if not isinstance(values, Mapping):
            raise InvalidType(f"{field} must be a mapping of hyperparameters to values, but got {values!r}")
        given = {name: value.item() if isinstance(value, generic) else value for name, value in flatten(values).items()}
        for name in given:
            if name not in self._dimensions:
                raise UnknownName(f"{field}: there is no hyperparameter {name!r}; the space has {', '.join(self)}")
        legal = {
            name: dimension.check(given[name], f"{field}: {name}")
            for name, dimension in self._dimensions.items()
            if name in given
        }
        for name in self._downwards:
            if name in legal and not self._exists(name, legal):
                raise InvalidValue(f"{field}: {self.why_absent(name, legal)}; leave it out, or give what it depends on")
        for constraint in self.constraints:
            known = all(name in legal or self._excluded(name, legal) for name in constraint.about)
            if known and not constraint.met(_about(constraint, legal)):
                own = _about(constraint, legal)
                raise InvalidValue(f"{field}: {_shown(own)} must keep {constraint.rule}; change one of them")
        return legal

    def _excluded(self, name: str, values: Hyperparameters) -> bool:
        """Whether given values say that a hyperparameter does not exist."""
        return any(
            not among(values[parent], allowed) if parent in values else self._excluded(parent, values)
            for parent, allowed in self._needs.get(name, {}).items()
        )


def _about(constraint: Constraint, values: Hyperparameters) -> dict[str, Any]:
    return {name: values[name] for name in constraint.about if name in values}


def _shown(values: Hyperparameters) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one flat mapping with dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat
