"""The live view of a run: drawn in a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from warren.cli.follow import Follower, Snapshot, failures
from warren.cli.show import best_line, copies_of, members_table, score, span
from warren.cli.terminal import Terminal
from warren.engines.say import say
from warren.errors import WarrenError
from warren.results import Result
from warren.runs import Watch

_LINE_EVERY = 5.0
_DRAW_EVERY = 0.25
_SHARE = 0.02
"""The part of the time that looking at the store, and drawing, may each take: what is slow becomes rare."""


@contextmanager
def live_view(console: Console | None = None, *, plain: bool = False) -> Iterator[Watch]:
    """Show a run while it goes on.

    Use as ``with live_view() as watch: warren.run(..., watch=watch)``.

    Args:
        console: Where to draw; default: the terminal of standard error, where that is one. What is printed meanwhile
            then appears above the drawing.
        plain: Print a line now and then, even to a terminal.

    Yields:
        What `warren.run` takes as `watch`.
    """
    looker = Looker()
    if console is not None and not plain:
        with _drawn(looker, console, lambda: None):
            yield looker
    elif plain or console is not None or not _can_draw():
        lines = Lines(looker)
        try:
            yield lines
        except KeyboardInterrupt:
            lines.close()
            raise
        # After an error there is one line to read, and it is the error's.
        lines.close()
    else:
        with Terminal() as terminal:

            def catch_up() -> None:
                terminal.fit()
                lines = terminal.printed()
                if lines:  # at once, since the picture is drawn again below each
                    terminal.console.print(Text("\n").join(Text.from_ansi(text) for text in lines), soft_wrap=True)

            with _drawn(looker, terminal.console, catch_up):
                yield looker


def _can_draw() -> bool:
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


class Looker:
    """What is called with the result; keeps the last look at the run.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._follower = Follower(clock)
        self._result: Result | None = None
        self._next = 0.0
        self.snapshot: Snapshot | None = None

    def __call__(self, result: Result) -> None:
        self._result = result
        if self._clock() >= self._next:
            self._look(result)

    def last(self) -> None:
        """Look once more, at the end."""
        if self._result is not None:
            with contextlib.suppress(WarrenError):
                self._look(self._result)

    def _look(self, result: Result) -> None:
        start = self._clock()
        self.snapshot = self._follower.look(result)
        end = self._clock()
        self._next = end + (end - start) * (1 / _SHARE - 1)


class Lines:
    """One line now and then, for logs.

    Args:
        looker: Looks at the run.
        clock: Seconds that only grow.
        write: Takes a line.
    """

    def __init__(
        self,
        looker: Looker,
        clock: Callable[[], float] = time.monotonic,
        write: Callable[[str], None] | None = None,
    ) -> None:
        self._looker = looker
        self._clock = clock
        self._write = write if write is not None else _to_stderr
        self._last = clock()
        self._told = ""

    def __call__(self, result: Result) -> None:
        self._looker(result)
        if self._clock() - self._last >= _LINE_EVERY:
            self._tell()

    def close(self) -> None:
        """The last state."""
        self._looker.last()
        self._tell()

    def _tell(self) -> None:
        self._last = self._clock()
        if self._looker.snapshot is not None:
            text = line(self._looker.snapshot)
            if text != self._told:
                self._told = text
                self._write(text)


def _to_stderr(text: str) -> None:
    say(f"warren: {text}")


def line(snapshot: Snapshot) -> str:
    """A run in one line."""
    parts = [f"{snapshot.run.total}/{snapshot.total} intervals"]
    if snapshot.best is not None:
        held_out = f"{snapshot.held_out} {score(snapshot.held_out_score)}, " if snapshot.held_out is not None else ""
        parts.append(f"best {score(snapshot.best.score)} ({held_out}member {snapshot.best.member})")
    parts.append(copies_of(snapshot))
    if snapshot.left is not None:
        parts.append(f"{span(snapshot.left)} left")
    return " · ".join(parts)


def drawing(snapshot: Snapshot | None, console: Console) -> RenderableType:
    """A run as it is drawn.

    Args:
        snapshot: The run, or None before the first look.
        console: The window; the drawing is lower than it.
    """
    if snapshot is None:
        return Text("starting", style="dim")
    run = snapshot.run
    above = Table.grid(padding=(0, 1))
    above.add_column(no_wrap=True)
    above.add_column(width=max(10, min(40, console.width - 40)))
    above.add_column(no_wrap=True)
    if run.status != "running":
        time_left = f"{run.status}{f': {run.reason}' if run.reason else ''}"
    else:
        time_left = f"{span(snapshot.left)} left" if snapshot.left is not None else f"{span(snapshot.elapsed)} so far"
    total = max(1, snapshot.total)
    above.add_row(
        Text(f"{run.total}/{snapshot.total} intervals", style="bold"),
        ProgressBar(total=total, completed=min(run.total, total)),
        Text(time_left),
    )
    copies = copies_of(snapshot)
    if snapshot.last_copies:
        copies += ": " + ", ".join(str(copy) for copy in snapshot.last_copies)
    wrong = [Text(text, style="red", no_wrap=True, overflow="ellipsis") for text in failures(snapshot)]
    # The bar, the best, two lines of heading, the copies, and one line that stays free for the cursor.
    room = max(3, console.height - 6 - len(wrong))
    ranked = snapshot.ranked
    after, hidden = None, 0
    if len(ranked) > room:
        worst = max(1, (room - 1) // 3)
        after = max(1, room - 1 - worst)
        hidden = len(ranked) - after - worst
        ranked = ranked[:after] + ranked[-worst:]
    parts: list[RenderableType] = [
        above,
        Text(best_line(snapshot), style="green" if snapshot.best is not None else "dim", no_wrap=True),
        members_table(snapshot, ranked, console, hidden_after=after, hidden=hidden),
        Text(copies, no_wrap=True, overflow="ellipsis"),
    ]
    return Group(*parts, *wrong)


class _Picture:
    """What Rich asks for at each refresh: the run as it was last looked at, in the window as it is now."""

    def __init__(self, looker: Looker, console: Console) -> None:
        self._looker = looker
        self._console = console

    def __rich__(self) -> RenderableType:
        return drawing(self._looker.snapshot, self._console)


@contextmanager
def _drawn(looker: Looker, console: Console, catch_up: Callable[[], None]) -> Iterator[None]:
    """Draw from a thread of its own: the run is looked at where it runs, and never waits for a terminal."""
    live = Live(
        _Picture(looker, console), console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
    )
    over = threading.Event()

    def draw() -> None:
        # A terminal that has gone away ends the drawing, and not the run.
        pause = _DRAW_EVERY
        with contextlib.suppress(OSError):
            while not over.wait(pause):
                start = time.thread_time()
                catch_up()
                live.refresh()
                pause = max(_DRAW_EVERY, (time.thread_time() - start) / _SHARE)

    thread = threading.Thread(target=draw, name="warren-live", daemon=True)
    with contextlib.suppress(OSError):
        live.start()
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        looker.last()
        with contextlib.suppress(OSError):
            catch_up()
            live.stop()
