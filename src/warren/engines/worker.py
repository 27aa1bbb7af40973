"""A worker process: ``python -m warren.engines.worker``, started by a supervisor and never by hand.

Standard input is the supervisor's: a parcel first where something without a name travels by one, then a line when the
worker shall stop after its interval. Its end means that the supervisor is gone, which is the same wish; and since
nobody then sees a hang any more, the worker ends itself where its interval does not end in time. User code does not
get to see that pipe: its standard input is empty.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from warren.checkpoints import LocalCheckpoints
from warren.engines.alive import Alive, new_worker
from warren.engines.entry import Entry, Loaded
from warren.engines.progress import Waits, patience
from warren.engines.shared import Standing
from warren.engines.work import Train, work
from warren.errors import InvalidValue, RunFailed, WarrenError
from warren.stores.folder import folder_of
from warren.stores.sqlite import SQLiteStore
from warren.training import Settings, States, Turns
from warren.training.record import settings_of

MISTAKE, FAILED, BROKEN = 2, 1, 3
"""Exit codes: the request was wrong, the run failed, the worker itself broke."""
_STEPS = 100


def main(arguments: list[str]) -> int:
    """Work on a run until there is nothing more to do here.

    Args:
        arguments: One JSON text: ``location``, ``run``, ``worker``, ``entry``, ``parcel`` (bytes that follow on
            standard input), ``errors``, ``dump`` and ``shared`` (file descriptors), ``hang`` and ``waits``.

    Returns:
        The exit code; what went wrong stands on the file descriptor `errors` as JSON, and on `dump` the stack where
        the process died of a signal.
    """
    order = json.loads(arguments[0])
    # Before any of the user's code is loaded. Of this thread only: the others are warren's and the frameworks'.
    faulthandler.enable(file=order["dump"], all_threads=False)
    # The supervisor decides what Ctrl-C means; a terminal sends it to the whole group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _work(order)
    except WarrenError as error:
        return _tell(order, error, FAILED if isinstance(error, RunFailed) else MISTAKE)
    except Exception as error:
        traceback.print_exc()
        return _tell(order, error, BROKEN)
    return 0


def _tell(order: dict[str, Any], error: Exception, code: int) -> int:
    body = json.dumps({"kind": type(error).__name__, "message": str(error)})
    with contextlib.suppress(OSError):
        os.write(order["errors"], body.encode())
    return code


def _work(order: dict[str, Any]) -> None:
    location = Path(order["location"])
    entry = Entry.load(order["entry"])
    control = _control()
    parcel = _receive(control, order["parcel"])
    stopping = threading.Event()
    standing = Standing(order["shared"])

    def limit() -> float:
        hang, waits = order["hang"], Waits(**order["waits"])
        return patience(hang, standing.longest, settled=standing.settled, waits=waits)

    threading.Thread(target=_listen, args=(control, stopping, limit), name="warren-listen", daemon=True).start()

    def settle(settled: bool) -> None:
        standing.settle(settled)
        # Again and again: user code and its libraries may have sent what is written at a death to another file.
        faulthandler.enable(file=order["dump"], all_threads=False)

    alive = Alive(folder_of(location))
    me = replace(new_worker(os.environ.get("CUDA_VISIBLE_DEVICES")), worker=order["worker"])
    alive.hold(me.worker)

    checkpoints = LocalCheckpoints(folder_of(location) / "checkpoints")
    store = SQLiteStore(location, order["run"], create=False)
    states = States(store, checkpoints)
    store.on_dropped(states.forget)
    try:
        train, settings = _request(store, entry, parcel)
        store.register(me)  # from now on it may wait for a member as long as it likes
        turns = Turns(
            store,
            states,
            settings,
            worker=me.worker,
            clock=time.perf_counter,
            sleep=time.sleep,
            stopping=stopping.is_set,
            observe=lambda: settle(True),  # after a report; what a claim says too early, the call that follows corrects
        )
        work(train, turns, lambda: settle(False))
    finally:
        with contextlib.suppress(WarrenError):
            store.expire([me.worker], "its worker left", counts=False)
        alive.let_go(me.worker)
        store.close()


def _request(store: SQLiteStore, entry: Entry, parcel: bytes) -> tuple[Train, Settings]:
    loaded = Loaded(entry)
    if not parcel:
        return loaded.train(), settings_of(store.config(), loaded.find())
    import cloudpickle

    # From the user's own process over a pipe, never from the store.
    train, settings = cloudpickle.loads(parcel)
    return loaded.train() if train is None else train, settings


def _control() -> int:
    """Standard input under another number, which what user code starts does not inherit; in its place there is nothing.

    A subprocess that reads its input (ssh, ffmpeg) would take the word to stop away.
    """
    control = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return control


def _receive(control: int, size: int) -> bytes:
    """Bytes from the supervisor, past Python's buffer: a thread that waits in that would abort the exit."""
    data = b""
    while len(data) < size:
        part = os.read(control, size - len(data))
        if not part:
            raise InvalidValue("the supervisor went away before it had sent the training function")
        data += part
    return data


def _listen(control: int, stopping: threading.Event, limit: Callable[[], float]) -> None:
    """Hand on the word to stop, and end this process where its supervisor is gone and the interval does not end."""
    with contextlib.suppress(OSError):
        while os.read(control, 64):
            stopping.set()
    stopping.set()
    pause = limit() / _STEPS
    for _ in range(_STEPS):  # a process that was stopped or suspended meanwhile counts one step of it
        time.sleep(pause)
    # With what it has started. It leads its group; a process that does not is nobody's worker.
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
