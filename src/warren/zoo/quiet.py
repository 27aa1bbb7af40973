"""For studies of many short runs, of which none shall print anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warren.results import Result


def quiet(result: Result) -> None:
    """A `watch` that shows nothing; without one, each run would end with a line on its cost."""
