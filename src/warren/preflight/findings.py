"""What a check has found, as values and as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Level = Literal["fault", "note"]
Kind = Literal[
    "unseeded", "lost", "survives", "round trip", "hyperparameter", "no effect", "evaluation", "score", "loop", "raised"
]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong, or worth knowing.

    Attributes:
        level: ``fault``: a run would be wrong; ``note``: look at it.
        kind: ``unseeded``: equal starts differ; ``lost``: a move to a fresh slot changes the training; ``survives``: a
            member meets what another one left in the slot; ``round trip``: a load does not give what was saved;
            ``hyperparameter``: what `Watch` warns of; ``no effect``: nothing depends on its value; ``evaluation``: it
            trains; ``score``: not finite; ``loop``: the slot's protocol is broken; ``raised``: an exception.
        subject: The name that it is about, as the user wrote it; empty where none can be told.
        message: What was seen, in one line.
        remedy: What to write, in one line.
        detail: A traceback, or nothing.
    """

    level: Level
    kind: Kind
    subject: str
    message: str
    remedy: str
    detail: str = ""

    def lines(self) -> Iterator[str]:
        """The finding as text."""
        yield f"{self.level:<7}{self.message}"
        yield f"{'':<7}{self.remedy}"
        for line in self.detail.rstrip().splitlines():
            yield f"{'':<11}{line}"


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """What the whole run will take, from what the check has measured.

    Attributes:
        first: Seconds of a first interval, with whatever is prepared in it.
        interval: Seconds of the next one.
        population: Members.
        intervals: Intervals for each.
        workers: Members that train at a time.
        checkpoint: Bytes of one.
        checkpoints: How many there are at most at any time.
        free: Bytes that are free where the store will be, or None where no store was named.
        memory: Most bytes that this process held.
        gpu: Most bytes of GPU memory that it held, or None where it used none.
    """

    first: float
    interval: float
    population: int
    intervals: int
    workers: int
    checkpoint: int
    checkpoints: int
    free: int | None
    memory: int
    gpu: int | None

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return self.interval * self.population * self.intervals / self.workers

    @property
    def disk(self) -> int:
        """Bytes that checkpoints take at most."""
        return self.checkpoint * self.checkpoints

    @property
    def short(self) -> bool:
        """Whether the disk has no room for them."""
        return self.free is not None and self.disk > self.free

    def lines(self) -> Iterator[str]:
        """The estimates as a table."""
        workers = _many(self.workers, "worker")
        yield _row("an interval", f"{duration(self.interval)} (the first {duration(self.first)})")
        run = f"{self.population} members x {self.intervals} intervals, {workers}"
        yield _row("the whole run", f"{duration(self.seconds)} ({run})")
        yield _row("a checkpoint", size(self.checkpoint))
        room = "" if self.free is None else f", {'but only' if self.short else 'and'} {size(self.free)} are free"
        yield _row("disk at most", f"{size(self.disk)} ({_many(self.checkpoints, 'checkpoint')}{room})")
        yield _row("memory", f"{size(self.memory)} a worker, {size(self.memory * self.workers)} in all")
        if self.gpu is not None:
            yield _row("GPU memory", f"{size(self.gpu)} a worker, {size(self.gpu * self.workers)} in all")


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What came out of a check; printed, it is the report.

    Attributes:
        all: Faults first.
        estimates: Of the whole run, or None where no interval could be trained.
        trained: Intervals that the check has trained.
        seconds: That it took.
    """

    all: tuple[Finding, ...]
    estimates: Estimates | None
    trained: int
    seconds: float

    @property
    def faults(self) -> tuple[Finding, ...]:
        """What is wrong."""
        return tuple(one for one in self.all if one.level == "fault")

    @property
    def notes(self) -> tuple[Finding, ...]:
        """What is worth knowing."""
        return tuple(one for one in self.all if one.level == "note")

    @property
    def ok(self) -> bool:
        """Whether there is no fault."""
        return not self.faults

    def lines(self) -> Iterator[str]:
        """The report."""
        for one in self.all:
            yield from one.lines()
        if self.all:
            yield ""
        if self.estimates is not None:
            yield from self.estimates.lines()
            yield ""
        count = _many(len(self.faults), "fault") if self.faults else "no fault"
        notes = f" and {_many(len(self.notes), 'note')}" if self.notes else ""
        yield f"{count}{notes} in {_many(self.trained, 'interval')}, {duration(self.seconds)}"

    def __str__(self) -> str:
        return "\n".join(self.lines())


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 0.001:
        return "less than 1 ms"
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def size(count: float) -> str:
    """A number of bytes as people say it."""
    for unit, bytes_of_it in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if count >= bytes_of_it:
            number = count / bytes_of_it
            return f"{number:.0f} {unit}" if number >= 100 else f"{number:.2g} {unit}"
    return f"{count} bytes"


def _row(name: str, value: str) -> str:
    return f"{name:<16}{value}"


def _many(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
