"""The terminal while something is drawn in it."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from types import TracebackType
from typing import IO

from rich.console import Console, ConsoleDimensions

from warren.engines.shared import nameless


class Terminal:
    """Keeps what this process and its workers print out of the way of a drawing, so that it can be shown above it.

    While it is entered, standard output and error, where they are the terminal, lead into a nameless file. A file and
    not a pipe: nobody who prints can be blocked by it, or break when this process has died.
    """

    def __init__(self) -> None:
        self._saved: dict[int, int] = {}
        self._rest = b""
        self._at = 0

    def __enter__(self) -> Terminal:
        _flush()
        self._tty = os.dup(2)
        try:
            # On a disk where that can be: what a long run prints may be much.
            self._file: IO[bytes] = tempfile.TemporaryFile(prefix="warren-", buffering=0)
        except OSError:
            self._file = nameless()
        encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        self._out = os.fdopen(os.dup(self._tty), "w", encoding=encoding, errors="replace")
        self.console = Console(file=self._out, highlight=False, markup=False, emoji=False)
        self.fit()
        for number in (1, 2):
            if os.isatty(number):
                self._saved[number] = os.dup(number)
                os.dup2(self._file.fileno(), number)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _flush()
        for number, saved in self._saved.items():
            os.dup2(saved, number)
            os.close(saved)
        with contextlib.suppress(OSError):
            os.write(self._tty, b"".join(line + b"\n" for line in self._new(last=True)))
        with contextlib.suppress(OSError):
            self._out.close()
        self._file.close()
        os.close(self._tty)

    def fit(self) -> None:
        """Follow the size of the window."""
        with contextlib.suppress(OSError):
            size = os.get_terminal_size(self._tty)
            if size.columns and size.lines:
                self.console.size = ConsoleDimensions(size.columns, size.lines)

    def printed(self) -> list[str]:
        """Whole lines that have been printed since the last call."""
        return [line.decode("utf-8", "replace") for line in self._new()]

    def _new(self, *, last: bool = False) -> list[bytes]:
        part = os.pread(self._file.fileno(), 1 << 20, self._at)
        while part:
            self._at += len(part)
            self._rest += part
            part = os.pread(self._file.fileno(), 1 << 20, self._at)
        *lines, self._rest = self._rest.split(b"\n")
        if last and self._rest:
            lines.append(self._rest)
            self._rest = b""
        # Of a line that was drawn again and again (a progress bar) the last state counts.
        return [line.rstrip(b"\r").rpartition(b"\r")[2] for line in lines]


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
