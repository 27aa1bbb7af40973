"""Who is alive: a locked file for each worker of this machine, and counted beats for the others."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import threading
import uuid
from collections.abc import Callable, Collection
from pathlib import Path

from warren.errors import StoreError, WarrenError
from warren.population import WorkerRow
from warren.stores import Store

_GRACE = 5.0
"""Seconds that a beat under way is waited for: the store may be held by a process that was stopped."""


def new_worker(gpu: str | None = None, pid: int | None = None) -> WorkerRow:
    """A name for a worker that no other start of a process has."""
    return WorkerRow(
        worker=uuid.uuid4().hex[:16],
        host=socket.gethostname(),
        pid=os.getpid() if pid is None else pid,
        gpu=gpu,
    )


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True  # another user's
    except (ProcessLookupError, OverflowError):
        return False
    return True


class Alive:
    """Files that living workers hold a lock on. A lock ends with its process, whatever way that ends.

    Args:
        folder: Where they are; None where the store is this process's own.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else folder / "workers"
        self._held: dict[str, int] = {}

    def hold(self, worker: str) -> None:
        """Lock a worker's file for the life of this process.

        Raises:
            StoreError: The folder cannot be written.
        """
        if self._folder is None:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # A record lock, not flock: a forked data loader must not keep it when the worker is dead.
            handle = os.open(self._folder / worker, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError(f"the folder {self._folder} cannot be written: {error.strerror}") from None
        self._held[worker] = handle

    def let_go(self, worker: str) -> None:
        """Give a worker's lock back and remove its file."""
        handle = self._held.pop(worker, None)
        if handle is not None and self._folder is not None:
            with contextlib.suppress(OSError):
                (self._folder / worker).unlink()
            os.close(handle)

    def dead(self, row: WorkerRow) -> bool:
        """Whether a worker of this machine is certainly dead; False where that cannot be told."""
        if self._folder is None or row.worker in self._held or row.host != socket.gethostname():
            return False
        if row.pid == os.getpid():
            # Another user of the store in this process. A record lock does not tell it from us, and closing its file
            # would take its lock away. A dead one whose number we got, as in containers, is found by its silence.
            return False
        try:
            handle = os.open(self._folder / row.worker, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            # Registered and not yet locked, or gone: the process itself tells which.
            return not _exists(row.pid)
        except OSError:
            return False
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            os.close(handle)
        with contextlib.suppress(OSError):
            (self._folder / row.worker).unlink()
        return True


class Expiry:
    """Takes back what dead and silent workers hold.

    A worker is silent when its count of beats has not changed for a lease's time on this observer's own clock: no
    clock of another machine is compared with.

    Args:
        store: The run.
        alive: Tells the dead of this machine.
        clock: Seconds that only grow.
        lease: Seconds of silence.
    """

    def __init__(self, store: Store, alive: Alive, clock: Callable[[], float], lease: float) -> None:
        self._store = store
        self._alive = alive
        self._clock = clock
        self._lease = lease
        self._seen: dict[str, tuple[int, float]] = {}
        self._last: float | None = None
        self._asleep = False

    def reap(self, own: Collection[str] = ()) -> int:
        """Look once. No failure is counted: nobody saw what happened.

        Args:
            own: Workers that are not judged, since this process knows better how they are.

        Returns:
            How many members were freed.
        """
        now = self._clock()
        slept = self._last is not None and now - self._last > self._lease / 2
        if slept and not self._asleep:
            # Stopped or suspended itself, perhaps with the others: it heard nothing, and counts anew. Not twice in a
            # row, so that an observer that is always late does not let the silent live for ever.
            self._seen.clear()
        self._asleep, self._last = slept, now
        dead, silent = [], []
        for row in self._store.workers():
            if row.worker in own:
                continue
            beat, since = self._seen.get(row.worker, (-1, now))
            if beat != row.beat:
                self._seen[row.worker] = (row.beat, now)
            if self._alive.dead(row):
                dead.append(row.worker)
            elif beat == row.beat and now - since > self._lease:
                silent.append(row.worker)
        freed = 0
        if dead:
            freed += self._store.expire(dead, "its worker was found dead", counts=False)
        if silent:
            freed += self._store.expire(silent, f"its worker gave no sign of life for {self._lease:g} s", counts=False)
        return freed


class Beater:
    """Beats for workers from a thread of its own, and reaps, while the main thread trains.

    Args:
        tick: What is done at each beat.
        every: Seconds between two.
    """

    def __init__(self, tick: Callable[[], object], every: float) -> None:
        self._tick = tick
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="warren-beat", daemon=True)

    def __enter__(self) -> Beater:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join(_GRACE)

    def _beat(self) -> None:
        while not self._stop.wait(self._every):
            try:
                self._tick()
            except WarrenError:
                pass  # tried again: a lease outlasts several beats, and the main thread meets lasting errors
            except Exception:
                if not self._stop.is_set():  # else the store was closed under it, and there is nothing left to do
                    raise
