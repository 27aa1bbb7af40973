"""``python -m tests.faults.forks``: reads orders and carries each out in a forked child.

No connection crosses a fork: whatever a module opens while it warms up is closed before.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
from typing import Any

from tests.faults.injector import Fault, Injector

PATIENCE = 60
"""Seconds after which a child that hangs is ended by a signal of its own kind."""


class Child:
    """What a function gets in its child.

    Attributes:
        injector: Arms itself when the function says so.
        fault: What the test wants to happen.
    """

    def __init__(self, injector: Injector, fault: Fault) -> None:
        self.injector = injector
        self.fault = fault

    def arm(self) -> None:
        """From here on the fault may happen."""
        signal.alarm(PATIENCE)
        self.injector.arm(self.fault)

    def say(self, words: Any) -> None:
        """Tell the test, before anything else happens."""
        _send({"said": words})


def _send(body: dict[str, Any]) -> None:
    os.write(1, (json.dumps(body) + "\n").encode())


def _carry_out(order: dict[str, Any], injector: Injector) -> None:
    signal.alarm(PATIENCE)
    try:
        module, _, name = order["function"].partition(":")
        child = Child(injector, Fault(**order["fault"]))
        getattr(importlib.import_module(module), name)(child, **order["arguments"])
    except BaseException as error:
        injector.disarm()
        _send({"kinds": [kind.__name__ for kind in type(error).__mro__], "message": str(error)})


def main() -> None:
    """Until standard input ends."""
    injector = Injector()
    known = set()
    for line in sys.stdin:
        order = json.loads(line)
        name = order["function"].partition(":")[0]
        if name not in known:
            known.add(name)
            importlib.import_module(name).warm()
            gc.freeze()  # what is not looked at by the collector need not be copied
        child = os.fork()
        if not child:
            _carry_out(order, injector)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        _send({"ended": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0})


if __name__ == "__main__":
    main()
