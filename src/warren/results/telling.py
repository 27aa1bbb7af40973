"""What happened, in words."""

from __future__ import annotations

from typing import Any

from warren.population import EventRow


def damage(event: EventRow) -> str:
    """One line on a checkpoint that was found damaged: whose it was, and who goes on from where.

    Args:
        event: Of the kind ``damaged``.
    """
    body: Any = event.body
    whose = "a checkpoint" if event.member is None else f"a checkpoint of member {event.member}"
    if body["interval"] is not None:
        whose += f" at interval {body['interval']}"
    line = f"{whose} is damaged ({str(body['error']).partition(';')[0]})"
    for one in body["fell_back"]:
        line += f"; member {one['member']} {_goes_on(one['to'])}"
    for member in body.get("bare", ()):
        line += f"; what member {member} keeps for itself at a copy starts anew"
    return line


def _goes_on(interval: int | None) -> str:
    if interval is None:
        return "has no state of its own left"
    return f"goes on from its interval {interval}" if interval else "goes on from the state that the run began with"
