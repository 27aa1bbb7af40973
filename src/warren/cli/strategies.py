"""``warren strategies``: what can decide for a population."""

from __future__ import annotations

import inspect
from typing import Annotated

import typer

from warren.cli.show import Output
from warren.strategies.catalogue import entries, entry


def strategies(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", show_default=False)] = None,
) -> None:
    """List the strategies with a line each; with a name, say all that there is to say of that one."""
    output = Output()
    if name is not None:
        found = entry(name)
        output.print(f"{found.name}: {inspect.getdoc(found.kind)}", soft_wrap=True)
        return
    known = entries()
    width = max(len(one.name) for one in known)
    for one in known:
        output.print(f"{one.name:<{width}}  {one.about}", soft_wrap=True)
