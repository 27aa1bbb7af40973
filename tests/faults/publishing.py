"""What children do to checkpoints in files."""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tests.faults.forks import Child

from warren.checkpoints import LocalCheckpoints
from warren.errors import WarrenError
from warren.state import Encoded, encode


def state(value: float) -> Encoded:
    """Three arrays, so that there is more than one write."""
    return encode({name: np.full(4_000, value) for name in ("a", "b", "c")})


def warm() -> None:
    """What a process does before it forks, so that its children need not."""
    with tempfile.TemporaryDirectory() as folder:
        published = LocalCheckpoints(folder).publish(state(0.0), "warm")
        LocalCheckpoints(folder).load(published.name, published.digest)


def publish(child: Child, folder: str) -> None:
    """Publish a second state, and say its name and digest."""
    checkpoints, encoded = LocalCheckpoints(folder), state(2.0)
    child.arm()
    published = checkpoints.publish(encoded, "t2")
    child.say([published.name, published.digest])


def refused(child: Child, folder: str) -> None:
    """Publish a state on a disk that fails, at each of its calls; says the error and the files, before and after."""
    for nth in itertools.count(1):
        child.fault = replace(child.fault, nth=nth)
        path, error = Path(folder) / str(nth) / "checkpoints", None
        path.parent.mkdir()
        checkpoints, encoded = LocalCheckpoints(path), state(2.0)
        first = checkpoints.publish(state(1.0), "t1")
        child.arm()
        try:
            second = checkpoints.publish(encoded, "t2")
        except WarrenError as raised:
            error = f"{type(raised).__name__}: {raised}"
        finally:
            hits = child.injector.hits
            child.injector.disarm()
        if not hits:
            break
        if error is None:
            checkpoints.load(second.name, second.digest)
        left = sorted(file.name for file in path.iterdir())
        checkpoints.load(first.name, first.digest)
        again = checkpoints.publish(encoded, "t2")
        checkpoints.load(again.name, again.digest)
        child.say([error, left, [first.name, again.name]])


def together(*values: float) -> list[Encoded]:
    """As many states, one array each: enough for one write, and too long to be gathered."""
    return [encode({"w": np.full(3_000, value)}) for value in values]


def publish_all(child: Child, folder: str) -> None:
    """Publish three states together, and say their names and digests."""
    checkpoints, encoded = LocalCheckpoints(folder), together(2.0, 3.0, 4.0)
    child.arm()
    published = checkpoints.publish_all(encoded, "t2")
    child.say([[one.name, one.digest] for one in published])


def delete_all(child: Child, folder: str, names: list[str]) -> None:
    """Delete checkpoints, and say that it was done."""
    checkpoints = LocalCheckpoints(folder)
    child.arm()
    checkpoints.delete_all(names)
    child.injector.disarm()
    child.say(child.injector.hits)


def refused_all(child: Child, folder: str) -> None:
    """As `refused`, with three states together of which two are deleted, so that the last one is taken out."""
    for nth in itertools.count(1):
        child.fault = replace(child.fault, nth=nth)
        path, error, published = Path(folder) / str(nth) / "checkpoints", None, []
        path.parent.mkdir()
        checkpoints, encoded = LocalCheckpoints(path), together(2.0, 3.0, 4.0, 5.0)
        first = checkpoints.publish(state(1.0), "t1")
        child.arm()
        try:
            published = checkpoints.publish_all(encoded, "t2")
            checkpoints.delete_all([one.name for one in published[1:]])
        except WarrenError as raised:
            error = f"{type(raised).__name__}: {raised}"
        finally:
            hits = child.injector.hits
            child.injector.disarm()
        if not hits:
            break
        left = sorted(file.name for file in path.iterdir())
        kept = [first, *published[:1]]
        for one in kept:
            checkpoints.load(one.name, one.digest)
        checkpoints.delete_all([one.name for one in published[1:]])
        again = checkpoints.publish_all(encoded, "t2")
        for one in (*again, *kept):
            checkpoints.load(one.name, one.digest)
        child.say([error, bool(published), left, [one.name for one in kept]])


def read(child: Child, folder: str, name: str, digest: str) -> None:
    """Load a checkpoint; says how many bytes it has."""
    checkpoints = LocalCheckpoints(folder)
    child.arm()
    size: Any = len(checkpoints.load(name, digest))
    child.injector.disarm()
    child.say([size, child.injector.hits])
