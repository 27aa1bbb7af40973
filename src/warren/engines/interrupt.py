"""Ctrl-C in steps: the first lets intervals end, the second stops at once, the third waits for nothing at all."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from warren.engines.say import say


class Interrupts:
    """Counts SIGINT and SIGTERM while it is entered. In a thread that is not the main one it does nothing.

    Attributes:
        count: How many have come.
    """

    def __init__(self) -> None:
        self.count = 0
        self._old: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._old[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, old in self._old.items():
            signal.signal(number, old)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        if self.count == 1:
            say("\nwarren: ending the intervals under way; Ctrl-C again stops at once")
        self.second()

    def second(self) -> None:
        """What the second one does where the engine cannot look in between: nothing here."""


class Breaking(Interrupts):
    """Breaks into user code at the second interrupt, since that runs in this very thread."""

    def second(self) -> None:
        if self.count >= 2:
            raise KeyboardInterrupt


class Ending(Interrupts):
    """Leaves at the third interrupt, wherever the supervisor is: it may be waiting for a store that another holds.

    Ctrl-Z stops the workers with the supervisor. They are in groups of their own, which the terminal does not reach,
    and would go on training while nobody beats for them.

    Args:
        kill: Ends the workers.
        stop: Stops them where they are.
        go_on: Lets them go on.
    """

    def __init__(
        self,
        kill: Callable[[], None],
        stop: Callable[[], None] = lambda: None,
        go_on: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._kill = kill
        self._stop = stop
        self._go_on = go_on

    def __enter__(self) -> Ending:
        super().__enter__()
        # One that is ignored was ignored by whoever started us, and stays so.
        if self._old and signal.getsignal(signal.SIGTSTP) != signal.SIG_IGN:
            self._old[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._pause)
        return self

    def _pause(self, number: int, frame: FrameType | None) -> None:
        self._stop()
        os.kill(os.getpid(), signal.SIGSTOP)  # the next line is reached when somebody lets us go on
        self._go_on()

    def second(self) -> None:
        if self.count >= 3:
            self._kill()
            raise KeyboardInterrupt
