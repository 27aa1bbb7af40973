"""The slot: one set of live objects, which hosts one member after another."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from warren.errors import LoopError, UnknownName
from warren.population import MemberRow, changed
from warren.stacked import nested
from warren.training.binding import Binding
from warren.training.combining import combined, to_combine, wants_fresh
from warren.training.member import Arrival, Member, Opponent, absent, birth_rng
from warren.training.rng import FRAMEWORKS, Rng, seed_everything
from warren.training.source import Source
from warren.training.tracked import OnExploit, Tracked
from warren.training.watch import Watch


class Slot:
    """Where a training function meets its members; warren makes it and passes it in.

    Iterate over it: each pass is one interval of the member whose turn it is, with its state in the tracked objects.
    A fresh member, or one whose ``rebuild=True`` hyperparameters differ, ends the loop, and the function is called
    again for it.
    """

    def __init__(self, source: Source, row: MemberRow, watch: Watch) -> None:
        self._source = source
        self._settings = source.settings
        self._row: MemberRow | None = row
        self._born = row
        self._watch = watch
        self._tracked = Tracked()
        self._bindings: list[Binding] = []
        self._make: Callable[[int, dict[str, Any]], Any] | None = None
        self._member: Member | None = None
        self._following: MemberRow | None = None
        self._live: tuple[int, int, str | None] | None = None
        self._used = False
        self._passed = False
        self._handed = 0.0
        self._overhead = 0.0
        self._arrived: float | None = None
        self._seeded = {name for name in FRAMEWORKS if name in sys.modules}
        self._shape = self._shape_of(row)
        seed_everything(birth_rng(self._settings, row).seed)

    # -- before the loop ----------------------------------------------------------------------------------------

    @property
    def seed(self) -> int:
        """Seed for the objects of the member that this call was made for, in ``[0, 2**31)``."""
        return birth_rng(self._settings, self._born).seed

    def __getitem__(self, name: str) -> Any:
        """A hyperparameter that shapes the objects, declared with ``rebuild=True``.

        Raises:
            LoopError: The hyperparameter may change from pass to pass.
            UnknownName: There is none of that name, or it does not exist beside the others (`When`).
        """
        if name in self._shape:
            self._watch.read(name)
            return self._shape[name]
        if name in self._settings.space and name not in self._settings.space.rebuild:
            raise LoopError(
                f"slot[{name!r}] is read before the loop, but {name!r} changes from pass to pass: read "
                f"member[{name!r}] inside the loop, or declare it with rebuild=True"
            )
        raise absent(name, self._born.hyperparameters, self._settings.space)

    def track(self, *, on_exploit: OnExploit = "copy", **objects: Any) -> None:
        """Name everything that a member has learned, so that it moves with the member.

        Args:
            on_exploit: ``copy``: a recipient gets the donor's (weights, optimizer, scheduler, running statistics).
                ``keep``: it moves with its member and is not copied (a replay buffer). ``clear``: as ``keep``, and an
                exploit puts it back to how it is now.
            **objects: Whatever has ``state_dict()`` and ``load_state_dict()``, arrays, tensors and generators, by
                names that are the same at every call.

        Raises:
            InvalidType: An object's state cannot be read or written.
            LoopError: The loop has begun, or a name is taken.
        """
        if self._used:
            raise LoopError("slot.track(...) must come before the loop: what is tracked later would not be loaded")
        for name, obj in objects.items():
            self._tracked.add(name, obj, on_exploit)
            self._watch.track(name, obj)

    def bind(self, optimizer: Any, *names: str, scheduler: Any = None, **options: str | tuple[str, ...]) -> None:
        """Write hyperparameters into an optimizer before every interval, and into its scheduler's base rates.

        Parameter groups keep the proportions that they were built with: a group without weight decay stays without.
        An option whose hyperparameter does not exist beside the others (`When`) gets the value that it was built with.

        Args:
            optimizer: Has `param_groups`, as torch's.
            *names: Hyperparameters that are called as the optimizer's options are.
            scheduler: Rewrites the learning rate from its base; it keeps its shape and gets the new base.
            **options: Option to hyperparameter where the names differ, or to a tuple (``betas=("beta1", "beta2")``).

        Raises:
            UnknownName: A hyperparameter is not in the space.
            InvalidValue: An option is none of the optimizer's.
            LoopError: The loop has begun.
        """
        if self._used:
            raise LoopError("slot.bind(...) must come before the loop")
        binding = Binding(optimizer, {**{name: name for name in names}, **options}, scheduler)
        for name in sorted(binding.names()):
            if name not in self._settings.space:
                raise UnknownName(
                    f"bind: there is no hyperparameter {name!r}; the space has {', '.join(self._settings.space)}"
                )
            self._watch.read(name)
        self._watch.bound(optimizer, set(binding.options), scheduler)
        self._bindings.append(binding)

    def init(self, make: Callable[[int, dict[str, Any]], Any]) -> None:
        """Say how a fresh ``member.state`` is made, for strategies that combine states with fresh ones.

        Only for loops that keep ``member.state``: tracked objects are built anew by a call of the training function.

        Args:
            make: ``make(seed, hyperparameters) -> state``, hyperparameters as the user nested them.
        """
        self._make = make

    # -- the loop -----------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Member]:
        member = self.next()
        while member is not None:
            yield member
            member = self.next()

    def next(self) -> Member | None:
        """Commit the interval that was reported, if any, and take the next member.

        Returns:
            The member whose turn it is, its state loaded; or None where this call of the training function is over.

        Raises:
            LoopError: The present member has not reported.
        """
        if self._member is not None:
            self._end()
        if self._arrived is None:
            self._arrived = self._source.clock()  # building the objects, before, is the user's time
        unseeded = not self._used and any(name in sys.modules for name in FRAMEWORKS - self._seeded)
        self._used = True
        row, self._row = self._row, None
        if row is None:
            self._leave(self._following)  # a second loop over the slot must not forget who comes next
            return None
        # A framework that was first imported by this very call built its objects from a seed of its own: again.
        born = row.start is None or wants_fresh(self._settings, row)
        if not self._hosts(row) or (unseeded and born):
            self._leave(row)
            return None
        self._member = self._arrive(row)
        return self._member

    def advance(self, score: Any, **metrics: Any) -> Member | None:
        """Report for the present member and take the next one, for trainers that own the loop.

        Args:
            score: As for `Member.report`, with `samples` and `cost` among the metrics where they are needed.
            **metrics: As for `Member.report`.
        """
        if self._member is None:
            raise LoopError("slot.advance(...) needs a present member; call slot.next() first")
        self._member.report(score, **metrics)
        return self.next()

    def finish(self) -> MemberRow | None:
        """The training function has returned: commit what it reported, and say which member comes next.

        Raises:
            LoopError: It returned without a report for the present member.
        """
        if self._member is not None:
            self._end()
        elif self._row is not None:
            raise LoopError(
                "the training function returned before it took a member; write `for member in slot:` and report "
                "in each pass"
            )
        following = self._following or self._row
        self._following = self._row = None
        return following

    # -- the parts ----------------------------------------------------------------------------------------------

    def _shape_of(self, row: MemberRow) -> dict[str, Any]:
        shape = self._settings.space.rebuild
        return {name: value for name, value in row.hyperparameters.items() if name in shape}

    def _hosts(self, row: MemberRow) -> bool:
        """Whether the objects that were built can hold this member."""
        if self._shape_of(row) != self._shape:
            return False
        fresh = (row.start is None and row.last is None) or wants_fresh(self._settings, row)
        # What stays with a member at a copy must be its own; one that has none yet gets objects that are new.
        bare = row.origin in ("exploit", "rescue") and row.kept is None and row.last is None and self._tracked.own()
        return not (self._passed and (bare or (fresh and self._tracked)))

    def _leave(self, following: MemberRow | None) -> None:
        """End this call of the training function; what was spent so far goes to the next one's account."""
        self._following = following
        if self._arrived is not None:
            self._source.carried += self._source.clock() - self._arrived - self._source.waited
            self._source.waited = 0.0

    def _arrive(self, row: MemberRow) -> Member:
        state = None
        arrival: Arrival = "fresh"
        if row.start is not None or row.last is not None:
            if row.last is None and row.origin in ("exploit", "rescue"):
                arrival = "exploited"
            elif self._holds(row, row.start):
                arrival = "same"
            else:
                arrival = "resumed" if self._source.elsewhere(row) else "switched"
            state = self._state if arrival == "same" else self._load(row, exploited=arrival == "exploited")
        for binding in self._bindings:
            binding.apply(row.hyperparameters)
        keys = self._source.keys(row)
        opponents = tuple(Opponent(self._source.owner(name), self._source.states) for name in row.opponents)
        member = Member(row, self._settings, keys, arrival, state, self._watch.read, opponents)
        seed_everything(Rng(keys, "interval").seed)
        self._live, self._passed = None, True
        now = self._source.clock()
        arrived = now if self._arrived is None else self._arrived
        self._overhead, self._handed = self._source.carried + now - arrived - self._source.waited, now
        self._source.carried = self._source.waited = 0.0
        return member

    def _holds(self, row: MemberRow, name: str | None) -> bool:
        """Whether the live objects are the member's state: the very one that was saved, not another worker's."""
        if self._live is None or self._live[:2] != (row.member, row.budget):
            return False
        return row.last is not None or (name is not None and self._live[2] == name)

    def _load(self, row: MemberRow, *, exploited: bool) -> Any:
        states = self._source.states
        if to_combine(row):
            tree = combined(self._settings, row, states, self._source.keys(row), lambda: self._fresh(row))
        else:
            tree = states.load(str(row.start))
        own: dict[str, Any] | None = None
        if exploited and self._tracked.own() and row.kept is not None and not self._holds(row, row.kept):
            own = states.load(row.kept)
        self._tracked.restore(tree, own=own, exploited=exploited)
        return tree.get("state")

    def _fresh(self, row: MemberRow) -> dict[str, Any]:
        """The state of a member that has just been made: this call's objects are new; see `_hosts`."""
        tree = self._tracked.capture()
        if self._make is not None:
            seed = birth_rng(self._settings, row).seed
            seed_everything(seed)
            tree["state"] = self._make(seed, nested(row.hyperparameters))
        return tree

    def _end(self) -> None:
        """Save the present member's state where it is due, report, and let the next one come."""
        member, source = self._member, self._source
        if member is None:
            return
        report = member.reported
        if report is None:
            raise LoopError(
                f"member {member.id} did not report in interval {member.budget + 1}; call member.report(score) once "
                "at the end of each pass"
            )
        self._arrived = arrived = source.clock()
        row = member._row
        self._watch.end(row.hyperparameters)
        self._state = member.state
        if source.checkpoint_due(report.status):
            tree = self._tracked.capture()
            if member.state is not None:
                tree["state"] = member.state
            if not tree:
                raise LoopError(
                    "there is nothing to save: call slot.track(net=net, optimizer=optimizer) before the loop, or "
                    "set member.state"
                )
            tree["warren"] = {"hyperparameters": dict(sorted(row.hyperparameters.items())), "age": row.age + 1}
            report = changed(report, checkpoint=source.states.save(tree))
        report = changed(report, seconds=arrived - self._handed, overhead=self._overhead)
        saved = None if report.checkpoint is None else report.checkpoint.name
        self._live = None if report.status == "diverged" else (row.member, row.budget + 1, saved)
        self._member = None
        self._row = source.next(report)
