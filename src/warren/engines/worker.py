"""A worker process: ``python -m warren.engines.worker``, started by a supervisor and never by hand.

Standard input is the supervisor's: a parcel first where the training function travels by one, then a line when the
worker shall stop after its interval. Its end means that the supervisor is gone, which is the same wish.
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
from dataclasses import replace
from pathlib import Path
from typing import Any

from warren.checkpoints import LocalCheckpoints
from warren.engines.alive import Alive, new_worker
from warren.engines.entry import Entry, Loaded
from warren.engines.work import Train, work
from warren.errors import InvalidValue, RunFailed, WarrenError
from warren.stores.folder import folder_of
from warren.stores.sqlite import SQLiteStore
from warren.training import Settings, States, Turns
from warren.training.record import settings_of

MISTAKE, FAILED, BROKEN = 2, 1, 3
"""Exit codes: the request was wrong, the run failed, the worker itself broke."""


def main(arguments: list[str]) -> int:
    """Work on a run until there is nothing more to do here.

    Args:
        arguments: One JSON text: ``location``, ``run``, ``worker``, ``entry``, ``parcel`` (bytes that follow on
            standard input), ``errors`` and ``dump`` (file descriptors).

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
    parcel = _receive(order["parcel"])
    stopping = threading.Event()
    threading.Thread(target=_listen, args=(stopping,), name="warren-listen", daemon=True).start()

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
        )
        work(train, turns)
    finally:
        with contextlib.suppress(WarrenError):
            store.expire([me.worker], "its worker left", counts=False)
        alive.let_go(me.worker)
        store.close()


def _request(store: SQLiteStore, entry: Entry, parcel: bytes) -> tuple[Train, Settings]:
    if parcel:
        import cloudpickle

        # From the user's own process over a pipe, never from the store.
        train, settings = cloudpickle.loads(parcel)
        return train, settings
    loaded = Loaded(entry)
    train = loaded.train()
    return train, settings_of(store.config(), loaded.find())


def _receive(size: int) -> bytes:
    """Bytes from standard input, past Python's buffer: a thread that waits in that would abort the exit."""
    data = b""
    while len(data) < size:
        part = os.read(0, size - len(data))
        if not part:
            raise InvalidValue("the supervisor went away before it had sent the training function")
        data += part
    return data


def _listen(stopping: threading.Event) -> None:
    with contextlib.suppress(OSError):
        os.read(0, 1)
    stopping.set()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
