"""What an engine is given, and what it promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from warren.engines.entry import Entry
from warren.engines.work import Train
from warren.population import Stop
from warren.stores import Store
from warren.training import Settings, States


@dataclass(frozen=True, kw_only=True)
class Job:
    """A run that is ready to be worked on.

    Attributes:
        store: The run.
        states: Where members' states are kept.
        settings: The fixed part of the run.
        train: The training function, where this process has it.
        entry: How another process finds it.
        location: The store's file, or None where it cannot be shared.
        run: Name of the run in the store.
        stop: The stopping rule; engines look after its wall time.
        workers: How many members train at a time.
        threads: Processor threads that each worker's frameworks may use.
        devices: For each worker the accelerators that it sees, or an empty tuple where there are none.
        lease: Seconds without a sign of life after which a worker's members are taken back.
        hang: Seconds without progress after which a worker is taken to hang, or None for `progress.patience`.
        observe: Called now and then while the run goes on; for progress.
    """

    store: Store
    states: States
    settings: Settings
    train: Train | None
    entry: Entry
    location: Path | None
    run: str
    stop: Stop
    workers: int = 1
    threads: int = 1
    devices: tuple[tuple[str, ...], ...] = ()
    lease: float = 60.0
    hang: float | None = None
    observe: Callable[[], None] = field(default=lambda: None)

    @property
    def beat(self) -> float:
        """Seconds between two signs of life: a lease outlasts several, so that one may come late or fail."""
        return min(10.0, self.lease / 6)


class Engine(Protocol):
    """Works on a run until it is done, stopped, failed or interrupted.

    Requirements on every implementation: whatever way it returns or raises, no lease is left behind that it took; an
    interval that was acknowledged stays; decisions are those of the strategy on the store's record.
    """

    def run(self, job: Job) -> None:
        """Work.

        Raises:
            WarrenError: The user's code broke the slot's protocol, or the run failed.
            KeyboardInterrupt: The user interrupted; members are given back.
        """
        ...
