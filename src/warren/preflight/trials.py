"""Trials: plays of a few intervals with somebody who looks on."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from warren.errors import WarrenError
from warren.population import MemberRow, Report, changed
from warren.preflight.compare import Outcome
from warren.preflight.findings import Finding
from warren.preflight.shelf import Shelf
from warren.training import Member, Play, Saver, Script, Settings, Slot, Source, Watch, perform
from warren.training.tracked import OnExploit

_OWN = tuple(str(Path(__file__).parents[1] / room) for room in ("training", "preflight"))


class Look:
    """Looks at a trial while it goes on; this one sees nothing."""

    def begin(self, slot: Trying) -> None:
        """The training function is about to be called."""

    def track(self, slot: Trying, name: str, obj: object) -> None:
        """An object was tracked."""

    def load(self, slot: Trying, row: MemberRow, frames: list[FrameType]) -> None:
        """A state was loaded into the tracked objects; what is bound has not been written yet."""

    def arrive(self, slot: Trying, frames: list[FrameType]) -> None:
        """A member is about to be handed to the loop, whose frames are given, the innermost first."""

    def end(self, slot: Trying, frames: list[FrameType]) -> None:
        """A member has reported, and its interval is about to be committed."""

    def stop(self) -> None:
        """The trial is over, however it ended."""


class Trial(Script):
    """A script with somebody who looks on.

    Args:
        settings: As of a run.
        play: Which members train.
        states: Where their states are kept.
        clock: Seconds that only grow.
        look: Who looks on.
        live: States stay in the objects from one interval to the next, though members are told of a switch.
    """

    def __init__(
        self, settings: Settings, play: Play, states: Saver, *, clock: Callable[[], float], look: Look, live: bool
    ) -> None:
        super().__init__(settings, play, states, clock=clock)
        self.look = look
        self.live = live
        self.trained = 0

    @property
    def row(self) -> MemberRow | None:
        """Who trains now."""
        return self._row

    def next(self, report: Report | None = None) -> MemberRow | None:
        """See `Source`."""
        self.trained += report is not None
        return super().next(report)


class Trying(Slot):
    """A slot that lets a trial's look see what happens in it."""

    def __init__(self, source: Source, row: MemberRow, watch: Watch) -> None:
        super().__init__(source, row, watch)
        if not isinstance(source, Trial):
            raise TypeError(f"a trial's slot takes its members from a trial, but got {source!r}")
        self._trial = source
        source.look.begin(self)

    @property
    def objects(self) -> dict[str, object]:
        """The tracked objects by name."""
        return self._tracked.objects()

    def captured(self) -> dict[str, Any]:
        """The state of the tracked objects; its arrays may be shared with them."""
        return self._tracked.capture()

    def restored(self, tree: dict[str, Any]) -> None:
        """Load a state into the tracked objects."""
        self._tracked.restore(tree)

    def track(self, *, on_exploit: OnExploit = "copy", **objects: Any) -> None:
        """See `Slot`."""
        super().track(on_exploit=on_exploit, **objects)
        for name, obj in objects.items():
            self._trial.look.track(self, name, obj)

    def next(self) -> Member | None:
        """See `Slot`."""
        member = super().next()
        if member is not None:
            self._trial.look.arrive(self, user_frames())
        return member

    def _end(self) -> None:
        if self._member is not None and self._member.reported is not None:
            self._trial.look.end(self, user_frames())
        super()._end()

    def _holds(self, row: MemberRow, name: str | None) -> bool:
        return not self._trial.live and super()._holds(row, name)

    def _load(self, row: MemberRow, *, exploited: bool) -> Any:
        if self._trial.live and self._passed:
            return self._state
        state = super()._load(row, exploited=exploited)
        self._trial.look.load(self, row, user_frames())
        return state


class Broken(Exception):
    """A trial came to no end, for a reason that is a finding."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


class Bench:
    """Where trials are carried out.

    Args:
        train: The training function.
        settings: As of the run.
        states: Where states are kept.
        watch: Warns as in a run.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        train: Callable[[Slot], Any],
        settings: Settings,
        states: Shelf,
        watch: Watch,
        clock: Callable[[], float],
    ) -> None:
        self.train = train
        self.settings = settings
        self.states = states
        self.watch = watch
        self.clock = clock
        self.trained = 0

    def act(
        self,
        play: Play,
        look: Look | None = None,
        *,
        live: bool = False,
        quiet: bool = False,
        train: Callable[[Slot], Any] | None = None,
    ) -> None:
        """Carry out a play.

        Args:
            play: Which members train.
            look: Who looks on.
            live: As for `Trial`.
            quiet: Nothing that the loop does in it is worth a warning.
            train: In place of the training function.

        Raises:
            Broken: The loop raised, or broke the slot's protocol.
        """
        watching = look or Look()
        trial = Trial(self.settings, play, self.states, clock=self.clock, look=watching, live=live)
        watch = Watch((), lambda message: None) if quiet else self.watch
        try:
            perform(self.train if train is None else train, trial, watch, Trying)
        except WarrenError as error:
            raise Broken(_mistake(error)) from error
        except (Exception, SystemExit) as error:
            raise Broken(_raised(error, trial.row)) from error
        finally:
            watching.stop()
            self.trained += trial.trained


def following(row: MemberRow, outcome: Outcome) -> MemberRow:
    """A member after an interval, ready for the next."""
    name = None if outcome.checkpoint is None else outcome.checkpoint.name
    return changed(
        row, budget=row.budget + 1, age=row.age + 1, due=row.due + 1, start=name, saved=row.budget + 1,
        origin="continue", parents=(row.budget + 1,), last=None,
    )  # fmt: skip


def is_own(frame: FrameType) -> bool:
    """Whether a frame is of the machinery between the user's loop and us."""
    return frame.f_code.co_filename.startswith(_OWN)


def user_frames() -> list[FrameType]:
    """The frames of user code that called the slot, the innermost first."""
    found: list[FrameType] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not perform.__code__:
        # A task's loop is ours, but what it holds is the user's.
        if not is_own(frame):
            found.append(frame)
        frame = frame.f_back
    return found


def _mistake(error: WarrenError) -> Finding:
    where = _place(error.__traceback__)
    return Finding(
        level="fault", kind="loop", subject="", message=f"{where}{' '.join(str(error).split())}",
        remedy="mend this first: the rest of the check was left out",
    )  # fmt: skip


def _raised(error: BaseException, row: MemberRow | None) -> Finding:
    said = " ".join(str(error).split())
    who = "the training function" if row is None else f"interval {row.budget + 1} of member {row.member}"
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None and is_own(trace.tb_frame):
        trace = trace.tb_next
    return Finding(
        level="fault", kind="raised", subject="",
        message=f"{_place(error.__traceback__)}{who} raised {type(error).__name__}{': ' if said else ''}{said}",
        remedy="mend this first: the rest of the check was left out",
        detail="".join(traceback.format_exception(type(error), error, trace)),
    )  # fmt: skip


def _place(trace: TracebackType | None) -> str:
    """The innermost line of the user's that an error came through."""
    found = ""
    for frame, line in traceback.walk_tb(trace):
        if is_user_file(frame.f_code.co_filename):
            found = f"{_shown(frame.f_code.co_filename)}:{line}: "
    return found


def _shown(file: str) -> str:
    """A file as seen from here."""
    with contextlib.suppress(ValueError, OSError):
        return str(Path(file).relative_to(Path.cwd()))
    return file


def is_user_file(name: str) -> bool:
    """Whether code of a file is the user's own, and neither ours, Python's nor a package's."""
    return not name.startswith(_FOREIGN) or name.startswith(_ZOO)


def _foreign() -> tuple[str, ...]:
    import sysconfig

    libraries = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return (str(Path(__file__).parents[1]) + "/", "<frozen", *(path + "/" for path in sorted(libraries)))


_FOREIGN = _foreign()
_ZOO = str(Path(__file__).parents[1] / "zoo") + "/"
