"""An engine at work on a run, what the user is told meanwhile, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from warren.engines import Engine, Job, Vectorised
from warren.engines.say import say
from warren.errors import RunFailed
from warren.population import EventRow, most_checkpoints, most_in_rounds
from warren.results import Result, damage
from warren.runs.opening import Opened
from warren.stores import Store
from warren.stores.folder import folder_of
from warren.training import Settings

Watch = Callable[[Result], None]
"""Called now and then while a run goes on, with what there is so far."""

Tell = Callable[[str], None]
"""Called with each line that the user is told."""


def told(line: str) -> None:
    """Where lines go that nobody asks for: to standard error."""
    say(f"warren: {line}")


def work_on(
    opened: Opened,
    settings: Settings,
    job: Job,
    engine: Engine,
    watch: Watch | None,
    *,
    since: int | None = None,
    tell: Tell = told,
) -> Result:
    """Let the engine work, tell the user what happened meanwhile, and see how it ended."""
    teller = Teller(opened.store, since, tell)
    before = opened.store.run().total

    def observe() -> None:
        teller.tell()
        if watch is not None:
            watch(opened.result(goal=settings.goal, held_out=settings.held_out))

    opened.states.sweep(time.time())
    if opened.store.run().status == "running":
        if opened.location is not None:
            # Said before the first is written; a warm start is pinned.
            if isinstance(engine, Vectorised):
                most = most_in_rounds(settings.population, pins=1)
            else:
                most = most_checkpoints(settings.population, job.workers, pins=1)
            tell(f"keeps at most {most} checkpoints at a time, in {folder_of(opened.location)}")
        engine.run(replace(job, observe=observe))
    observe()
    current = opened.store.run()
    members = opened.store.members()
    if members and all(row.state == "quarantined" for row in members):
        current = opened.store.update(status="failed", reason="every member is quarantined")
        raise RunFailed(f"every member has failed too often; the last error was:\n{members[-1].error}")
    if current.status == "failed":
        raise RunFailed(current.reason or "the run failed")
    over = all(row.state in ("done", "quarantined") for row in members)
    if current.status == "running" and over:
        opened.store.update(status="done")
    result = opened.result(goal=settings.goal, held_out=settings.held_out)
    if watch is None and result.run.total > before:
        tell(str(result.cost))
    return result


class Teller:
    """Tells what the user must know, once, as it happens."""

    def __init__(self, store: Store, since: int | None = None, tell: Tell = told) -> None:
        self._store = store
        self._tell = tell
        self._revision = store.run().revision if since is None else since

    def tell(self) -> None:
        for event in self._store.events(self._revision):
            self._revision = max(self._revision, event.revision)
            message = _message(event)
            if message is not None:
                self._tell(message)


def _message(event: EventRow) -> str | None:
    body = event.body
    if event.kind == "warning":
        return str(body)
    if event.kind == "damaged":
        return damage(event)
    error = str(body.get("error", "")) if isinstance(body, dict) else ""
    last = error.strip().splitlines()[-1] if error.strip() else ""
    if event.kind == "failure":
        return f"member {event.member} failed: {last}"
    if event.kind == "lost":
        return f"member {event.member} lost its interval: {last}"
    if event.kind == "quarantine":
        return f"member {event.member} is quarantined after failing again and again: {last}"
    return None
