"""``warren status``, ``report`` and ``schedule``: the commands that look at a run."""

from __future__ import annotations

import json
import math
import os
import socket
from pathlib import Path
from typing import Annotated, Any

import typer

from warren.cli.find import result_in, run_in
from warren.cli.follow import Follower, Snapshot, failures, said
from warren.cli.show import Output, best_line, copies_of, members_table, schedule_table, span
from warren.cli.train import RunOption, StoreArgument, write_report
from warren.errors import InvalidValue
from warren.results import Result

_EVENTS = 8


def status(
    store: StoreArgument,
    run_name: RunOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show how a run stands: its members, its best, what happened."""
    name = run_in(store, run_name)
    with result_in(store, name) as result:
        snapshot = Follower().look(result)
        if as_json:
            print(json.dumps(_record(result, snapshot, store, name), indent=1, allow_nan=False))
        else:
            _print(result, snapshot, store, name, Output())


def report(
    store: StoreArgument,
    run_name: RunOption = None,
    path: Annotated[Path, typer.Option("--output", "-o", metavar="PATH", help="The file to write.")] = Path(
        "report.html"
    ),
) -> None:
    """Write one HTML file with the curves, the schedule and the family tree; it opens without a network."""
    with result_in(store, run_name) as result:
        write_report(result, path)
    Output().print(f"report {path}", soft_wrap=True)


def schedule(
    store: StoreArgument,
    run_name: RunOption = None,
    path: Annotated[Path | None, typer.Option("--output", "-o", metavar="PATH", help="Write it there as JSON.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show the hyperparameters along the lineage of the best state, or write them as JSON."""
    with result_in(store, run_name) as result:
        found = result.schedule
    output = Output()
    if path is not None:
        try:
            found.save(path)
        except OSError as error:
            raise InvalidValue(f"the schedule {path} cannot be written: {error.strerror}") from None
        output.print(f"schedule {path}", soft_wrap=True)
    elif as_json:
        print(json.dumps({"steps": [vars(step) for step in found]}, indent=1))
    else:
        output.print(schedule_table(found))


def _print(result: Result, snapshot: Snapshot, store: Path, name: str, output: Output) -> None:
    run = snapshot.run
    at_work = _at_work(result)
    state = f"{run.status}{f': {run.reason}' if run.reason else ''}"
    if run.status == "running":
        state = f"running, {at_work} at work" if at_work else f"not finished, nobody at work; warren resume {store}"
    output.print(f"run {name} in {store}: {state}", soft_wrap=True)
    output.print(
        f"{run.total}/{snapshot.total} intervals, {copies_of(snapshot)}, {span(run.elapsed)} of wall time",
        soft_wrap=True,
    )
    output.print(best_line(snapshot), soft_wrap=True)
    output.print()
    output.print(members_table(snapshot, snapshot.ranked, output))
    lines = failures(snapshot, most=_EVENTS)
    happened = said(result.events)
    lines += happened[-_EVENTS:]
    if lines:
        output.print()
    if len(happened) > _EVENTS:
        output.print(f"the last {_EVENTS} of {len(happened)} events (all of them: --json):", soft_wrap=True)
    for line in lines:
        output.print(line, soft_wrap=True)


def _at_work(result: Result) -> int:
    """Workers that have not left and are not known to be dead."""
    here = socket.gethostname()
    return sum(row.host != here or _lives(row.pid) for row in result.store.workers())


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _record(result: Result, snapshot: Snapshot, store: Path, name: str) -> Any:
    run, best = snapshot.run, snapshot.best
    return _finite(
        {
            "store": str(store),
            "run": name,
            "status": run.status,
            "reason": run.reason,
            "goal": run.goal,
            "workers": _at_work(result),
            "intervals": {"done": run.total, "total": snapshot.total, "per_member": run.limit},
            "copies": snapshot.copies,
            "elapsed": run.elapsed,
            "best": None
            if best is None
            else {
                "member": best.member,
                "interval": best.interval,
                "age": best.age,
                "score": best.score,
                "hyperparameters": best.hyperparameters,
                "metrics": best.metrics,
                "held_out": snapshot.held_out,
                "held_out_score": snapshot.held_out_score,
            },
            "members": [
                {
                    "member": one.row.member,
                    "state": one.row.state,
                    "budget": one.row.budget,
                    "age": one.row.age,
                    "score": one.score,
                    "diverged": one.diverged,
                    "hyperparameters": one.row.hyperparameters,
                    "copied": None
                    if one.copied is None
                    else {"donor": one.copied.donor, "interval": one.copied.interval},
                    "failures": one.row.failures,
                    "error": one.row.error,
                }
                for one in snapshot.standings
            ],
            "warnings": result.warnings,
            "events": [
                {"kind": event.kind, "member": event.member, "body": event.body, "revision": event.revision}
                for event in result.events
                if event.kind != "decision"
            ],
        }
    )


def _finite(value: Any) -> Any:
    """JSON has no word for what is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return value
