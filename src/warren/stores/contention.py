"""Waiting for a store that somebody else holds: without limit, and with one line that names who it is."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from warren.errors import StoreError

_PAUSE = 0.01
"""Seconds between two tries, where SQLite itself did not wait."""

_NAMED = 3
"""Processes that one line names at most."""

_STOPPED = ("T", "t")
"""States of a process that was stopped by a signal or a debugger."""


def _to_stderr(line: str) -> None:
    if sys.stderr is not None:  # else `print` would take standard output
        print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How others are waited for.

    Attributes:
        notice: Seconds after which a wait is told of, once.
        clock: Seconds that only grow.
        sleep: Waits for some seconds.
        say: Is given the line.
    """

    notice: float = 30.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    say: Callable[[str], None] = _to_stderr


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection is in the way, so that the same statement may succeed later.

    Judged by the words, which have been the same for twenty years: Python 3.10 does not give the code.
    """
    words = str(error)
    return "is locked" in words or "locking protocol" in words


class Contention:
    """Waits for a store's turn.

    Args:
        path: The store's file.
        lock: The file beside it that is locked by the one who writes.
        queue: The file beside it that is locked by the one who is next.
        patience: How to wait.
    """

    def __init__(self, path: Path, lock: Path, queue: Path, patience: Patience) -> None:
        self._path = path
        self._lock = lock
        self._queue = queue
        self._patience = patience

    def execute(self, cursor: sqlite3.Cursor, statement: str) -> sqlite3.Cursor:
        """Carry out a statement that changes nothing where it meets a lock, however long that lasts."""
        try:
            return cursor.execute(statement)
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
        start, told = self._patience.clock(), False
        while True:
            # Short tries and not one long one: Ctrl-C is heard between them.
            if not told and self._patience.clock() - start >= self._patience.notice:
                told = True
                self.tell()
            try:
                return cursor.execute(statement)
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
            self._patience.sleep(_PAUSE)

    def take(self, lock: int, queue: int) -> None:
        """Wait until nobody else writes.

        The kernel wakes those who wait for a lock, and keeps it for none of them: on a busy machine whoever runs just
        then takes it again and again. So one waits to be next first, and is it until it writes: nobody else comes
        before it then, and whoever has just written waits behind it.

        Args:
            lock: The file that is locked by the one who writes, open.
            queue: The file that is locked by the one who is next, open.

        Raises:
            StoreError: The file system has no such locks.
        """
        bell = None
        try:
            for file in (queue, lock):
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if bell is None:  # only those who wait pay for it
                        bell = threading.Timer(self._patience.notice, self.tell)
                        bell.daemon = True
                        bell.start()
                    fcntl.flock(file, fcntl.LOCK_EX)  # without a limit of time
            fcntl.flock(queue, fcntl.LOCK_UN)
        except OSError as error:
            raise StoreError(
                f"the files {self._lock.name} and {self._queue.name} in {self._lock.parent} cannot be locked: "
                f"{error.strerror}"
            ) from None
        finally:
            if bell is not None:
                bell.cancel()

    @staticmethod
    def leave(lock: int, queue: int) -> None:
        """Let others write; also where an interrupt came before the turn did, or when it had just come."""
        for file in (lock, queue):
            with contextlib.suppress(OSError):  # where there are no such locks, that is what has been told
                fcntl.flock(file, fcntl.LOCK_UN)

    def tell(self) -> None:
        """Say who holds the store. That nobody can be told, for example on a pipe that was closed, ends no wait."""
        with contextlib.suppress(Exception):
            self._patience.say(
                f"warren: the store {self._path} has been waited for {self._patience.notice:g} s: {self._who()}"
            )

    def _who(self) -> str:
        locks = _read(Path("/proc/locks"))
        pids = self._holding(locks, self._lock, "WRITE") or self._holding(locks, self._queue, "WRITE")
        pids += self._holding(locks, self._path, "READ", "WRITE")
        # Readers of a log are in nobody's way.
        pids += self._holding(locks, self._path.with_name(f"{self._path.name}-shm"), "WRITE")
        found = [pid for pid in dict.fromkeys(pids) if pid > 0 and pid != os.getpid()]
        return told_of([(pid, *_process(pid)) for pid in found])

    @staticmethod
    def _holding(locks: str, path: Path, *kinds: str) -> list[int]:
        try:
            file = os.stat(path)
        except OSError:
            return []
        return holders(locks, file.st_dev, file.st_ino, kinds)


def holders(locks: str, device: int, inode: int, kinds: Iterable[str]) -> list[int]:
    """Processes that hold a lock on a file.

    Args:
        locks: The text of ``/proc/locks``.
        device: The file's device, as `os.stat` gives it.
        inode: The file's number on it.
        kinds: ``READ`` and ``WRITE``, or one of them.

    Returns:
        Their numbers, each once, in the order of the text; one that is not to be seen from here is 0 or less.
    """
    wanted = set(kinds)
    place = f"{os.major(device):02x}:{os.minor(device):02x}:{inode}"
    exact: dict[int, None] = {}
    alike: dict[int, None] = {}
    for line in locks.splitlines():
        fields = line.split()
        if len(fields) < 8 or fields[3] not in wanted or not fields[4].lstrip("-").isdigit():
            continue
        if fields[5] == place:
            exact[int(fields[4])] = None
        elif fields[5].endswith(f":{inode}"):
            alike[int(fields[4])] = None
    return list(exact or alike)  # some file systems tell the kernel another device than they tell us


def told_of(processes: Sequence[tuple[int, str, str]]) -> str:
    """Processes in words, those that are stopped first: they are the likely cause.

    Args:
        processes: Number, command line (empty where it is not known) and letter of the state of each.
    """
    if not processes:
        return "another process holds it"
    said = []
    for pid, command, state in sorted(processes, key=lambda process: process[2] not in _STOPPED)[:_NAMED]:
        words = f"process {pid} ({' '.join(command.split())})" if command.strip() else f"process {pid}"
        said.append(f"{words}, which is stopped, holds it" if state in _STOPPED else f"{words} holds it")
    return "; ".join(said)


def _process(pid: int) -> tuple[str, str]:
    """Command line and state of a process; empty where the system does not tell."""
    command = _read(Path(f"/proc/{pid}/cmdline")).replace("\0", " ")
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return command[:200], fields[0] if fields else ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
