"""``warren verify``, ``replay`` and ``retrace``: the commands that hold a run against its own record."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from warren import runs
from warren.cli.find import result_in, run_in
from warren.cli.show import Output
from warren.cli.train import RunOption, StoreArgument
from warren.engines.devices import THREAD_VARIABLES, environment
from warren.engines.say import say
from warren.errors import InvalidValue
from warren.results import write_state
from warren.runs import Step

_SHOWN = 20


def verify(
    store: StoreArgument,
    run_name: RunOption = None,
    mend: Annotated[
        bool, typer.Option("--mend", help="Give up damaged checkpoints: members and the best fall back.")
    ] = False,
) -> None:
    """Read all of a run and say what is wrong with it: the file, the record, every checkpoint's digest."""
    name = run_in(store, run_name)
    found = runs.mend(store, name) if mend else runs.verify(store, name)
    output = Output()
    for problem in found.problems[:_SHOWN]:
        output.print(problem, soft_wrap=True)
    if len(found.problems) > _SHOWN:
        output.print(f"and {len(found.problems) - _SHOWN} more", soft_wrap=True)
    output.print(str(found), soft_wrap=True)
    if found.damaged and not mend:
        output.print(f"{len(found.damaged)} checkpoints are damaged; warren verify {store} --mend gives them up")
    if found.problems:
        raise typer.Exit(1)


def replay(store: StoreArgument, run_name: RunOption = None) -> None:
    """Take every decision of a run again, from what its worker had seen, and say whether it comes out the same."""
    found = runs.replay(store, run_in(store, run_name))
    output = Output()
    for difference in found.different[:_SHOWN]:
        output.print(str(difference), soft_wrap=True)
    output.print(str(found), soft_wrap=True)
    if found.different:
        raise typer.Exit(1)


def retrace(
    store: StoreArgument,
    run_name: RunOption = None,
    member: Annotated[
        int | None, typer.Option(metavar="N", help="Whose state. Default: the best one of the run.")
    ] = None,
    interval: Annotated[
        int | None, typer.Option(metavar="N", help="At which of its intervals. Default: the newest that was saved.")
    ] = None,
    path: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PATH", help="Write the state there as safetensors.")
    ] = None,
) -> None:
    """Train the lineage of the best state again, alone, and compare every score and state with the record."""
    name = run_in(store, run_name)
    if path is not None and (path.is_dir() or not os.access(path.absolute().parent, os.W_OK)):
        raise InvalidValue(f"the state {path} cannot be written: {path.absolute().parent} is no folder to write in")
    with result_in(store, name) as result:
        config = result.store.config()
    threads = config.get("threads") if isinstance(config, dict) else None
    threads = threads if isinstance(threads, int) else 1
    if any(os.environ.get(variable) != str(threads) for variable in THREAD_VARIABLES):
        # Frameworks read these when they are loaded, and NumPy is loaded already: a new process, as workers are.
        code = subprocess.run(
            [sys.executable, "-m", "warren", *_again(store, name, member, interval, path)],
            env=environment(os.environ, threads, ()),
        ).returncode
        raise typer.Exit(code if code >= 0 else 130)
    found = runs.retrace(store, name=name, member=member, interval=interval, observe=_Progress())
    output = Output()
    output.print(str(found), soft_wrap=True)
    if path is not None:
        try:
            write_state(found.state, path)
        except OSError as error:
            raise InvalidValue(f"the state {path} cannot be written: {error.strerror}") from None
        output.print(f"state {path}", soft_wrap=True)
    if found.different is not None:
        raise typer.Exit(1)


def _again(store: Path, name: str, member: int | None, interval: int | None, path: Path | None) -> list[str]:
    options = {"--run": name, "--member": member, "--interval": interval, "--output": path}
    given = [part for option, value in options.items() if value is not None for part in (option, str(value))]
    return ["retrace", str(store), *given]


class _Progress:
    """A line on standard error now and then."""

    def __init__(self) -> None:
        self._next = time.monotonic() + 5.0
        self._done = 0

    def __call__(self, step: Step, left: int) -> None:
        self._done += 1
        now = time.monotonic()
        if now >= self._next:
            self._next = now + 5.0
            say(f"warren: {self._done} of {self._done + left} intervals")
