"""Which run of a store is meant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from warren.errors import StoreError
from warren.results import Result
from warren.runs import open_result
from warren.stores.sqlite import runs_in


def run_in(store: Path, name: str | None) -> str:
    """The name of a run that is there.

    Args:
        store: The file.
        name: Asked for; None is the only run, or ``default``.

    Raises:
        StoreError: There is no such store or run.
    """
    there = runs_in(store)
    listed = ", ".join(there)
    if not there:
        raise StoreError(f"the store {store} holds no run yet")
    if name is None:
        name = there[0] if len(there) == 1 else "default"
        if name not in there:
            raise StoreError(f"the store {store} holds several runs ({listed}); say which with --run NAME")
    if name not in there:
        raise StoreError(f"there is no run {name!r} in {store}; it holds {listed}")
    return name


@contextmanager
def result_in(store: Path, name: str | None) -> Iterator[Result]:
    """The result of a run so far; its store is closed at the end."""
    result = open_result(store, run_in(store, name))
    try:
        yield result
    finally:
        result.store.close()
