"""``warren demo``: the workloads that warren brings along."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from typing import Annotated

import typer

from warren.cli.live import live_view
from warren.cli.show import Output
from warren.errors import UnknownName


def demo(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", show_default=False)] = None,
    options: Annotated[list[str] | None, typer.Argument(metavar="[OPTIONS]...", show_default=False)] = None,
) -> None:
    """Run a demonstration; without a name, list what there is. What follows the name goes to the demonstration."""
    output, known = Output(), demos()
    if name in (None, "--help", "-h"):
        if name is not None:
            output.print(f"{context.get_usage()}\n", soft_wrap=True)
        for title, about in known.items():
            output.print(f"{title}: {about}", soft_wrap=True)
        return
    if name not in known:
        raise UnknownName(f"there is no demo {name!r}; there is {', '.join(known) or 'none'}")
    # By name, since rooms on a floor do not import each other.
    command = importlib.import_module(f"warren.zoo.{name}.command")
    try:
        code = command.main(list(options or ()), live=live_view)
    except SystemExit as ended:  # argparse, after --help or a wrong option
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    raise typer.Exit(int(code))


def demos() -> dict[str, str]:
    """Names of the demonstrations, each with the first line of what it says of itself: packages with a `command`."""
    zoo = importlib.import_module("warren.zoo")
    found = {}
    for module in pkgutil.iter_modules(zoo.__path__):
        name = f"warren.zoo.{module.name}"
        if module.ispkg and importlib.util.find_spec(f"{name}.command") is not None:
            found[module.name] = (importlib.import_module(name).__doc__ or "").partition("\n")[0]
    return found
