"""``warren backup``: a copy of a store that can be resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from warren import runs
from warren.cli.show import Output
from warren.cli.train import StoreArgument


def backup(
    store: StoreArgument,
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="The file of the copy; must not be there yet.")],
) -> None:
    """Copy a store with its checkpoints, also while it is worked on; warren resume TARGET goes on from there."""
    made = runs.backup(store, target)
    what = f"{_many(made.runs, 'run')}, {_many(made.checkpoints, 'checkpoint file')}, {made.size / 2**20:.1f} MiB"
    Output().print(f"backup {target}: {what}", soft_wrap=True)


def _many(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
