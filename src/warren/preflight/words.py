"""Findings in words: what was seen, and the line to write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from warren.preflight.compare import Difference
from warren.preflight.evaluation import Trained
from warren.preflight.findings import Finding, Level
from warren.preflight.hunt import Hunt
from warren.preflight.kinds import Kind
from warren.preflight.places import Place

_WORDS: dict[Kind, str] = {"container": "variable", "number": "variable"}


def unseeded(hunt: Hunt, difference: Difference, member: int, level: Level = "fault") -> Iterable[Finding]:
    """Two fresh starts of one member were not equal."""
    seen = f"two equal starts of member {member} differ ({difference})"
    for group in _groups(hunt.culprits) if hunt.proven else ():
        place = group[0]
        what = f"{_what(place)} ({'of the file' if place.scope == 'global' else 'local'})"
        if place.scope == "global":
            why = f"{what} goes on from where the interval before left it, whoever's that was"
        elif place.kind == "generator":
            why = f"{what} is made without a seed of warren's"
        else:
            why = f"{what} is another one at each call"
        yield Finding(
            level=level, kind="unseeded", subject=place.name, message=f"{why}: {seen}", remedy=_start_anew(place)
        )
    if hunt.proven and hunt.culprits:
        return
    if hunt.initial and hunt.proven:
        message = f"{seen}, from the first state on: something that is built draws numbers that warren does not seed"
    else:
        message = f"{seen}: something draws numbers that warren does not seed{_suspects(hunt)}"
    yield Finding(
        level=level, kind="unseeded", subject="", message=message,
        remedy="draw from member.rng, from the global generators, or from generators that are seeded with slot.seed",
    )  # fmt: skip


def inexact(difference: Difference, member: int, *, mended: bool) -> Finding:
    """Two fresh starts of one member differed by the arithmetic only."""
    if mended:
        why = "are equal with deterministic algorithms: the arithmetic of the GPU does not repeat to the bit"
        remedy = "the rest was compared with torch.use_deterministic_algorithms(True); set it where runs shall repeat"
    else:
        why = f"by {difference.distance:.1g} of their size: the arithmetic does not seem to repeat to the bit"
        remedy = "differences of that size were taken for none in all the rest"
    message = f"two equal starts of member {member} differ {'and ' if mended else ''}{why}"
    return Finding(level="note", kind="unseeded", subject="", message=message, remedy=remedy)


def lost(hunt: Hunt, difference: Difference, level: Level = "fault") -> Iterable[Finding]:
    """A move to a fresh slot changed the next interval."""
    seen = f"after a move to a fresh slot, interval 2 came out otherwise ({difference})"
    yield from _state(hunt, seen, "lost", level)


def survives(hunt: Hunt, difference: Difference, level: Level = "fault") -> Iterable[Finding]:
    """What another member left in the slot changed the next interval."""
    seen = f"in a slot that had another member before, interval 2 came out otherwise ({difference})"
    yield from _state(hunt, seen, "survives", level)


def _state(hunt: Hunt, seen: str, which: Literal["lost", "survives"], level: Level) -> Iterable[Finding]:
    # What is bound to a tracked name in place of the tracked array is no suspicion.
    known = hunt.culprits if hunt.proven else tuple(filter(_rebound, hunt.culprits))
    for group in _groups(known):
        place = group[0]
        if _rebound(place):
            why = f"{place.name!r} is tracked, and the loop binds the name to another {place.kind}"
            remedy = f"write into it in place: {place.name}[...] = ..., or +=, -=, *="
        elif place.tracked is not None:
            names = ", ".join(repr(one.name) for one in group)
            why = f"{names} is not in the state that {place.tracked!r} gives"
            remedy = f"add it to state_dict() and load_state_dict() of {place.owner}"
        elif place.kind == "environment":
            why = f"environment {place.name!r} goes on from interval to interval"
            remedy = f'reset it at the top of each pass: if member.arrival != "same": {place.name}.reset()'
        else:
            why = f"{_what(place)} keeps state that is not tracked"
            remedy = _keep(place)
            if which == "survives" and place.kind in ("number", "container"):
                remedy = f"set {place.name} anew in each pass"
        yield Finding(level=level, kind=which, subject=place.name, message=f"{why}: {seen}", remedy=remedy)
    if not known:
        yield Finding(
            level=level, kind=which, subject="",
            message=f"something keeps state that is not tracked{_suspects(hunt)}: {seen}",
            remedy="track what has learned with slot.track(...), or make it anew in each pass",
        )  # fmt: skip


def evaluation(seen: Trained) -> Finding:
    """Evaluation trains."""
    where = f"{seen.function}()" if seen.function else "the evaluation in the loop"
    if seen.layer:
        message = f"{where} runs {seen.layer} {seen.subject!r} in training mode without gradients"
        remedy = f"call {seen.subject.partition('.')[0]}.eval() before the evaluation, and .train() after it"
    else:
        message = f"{where} changes {'the state' if seen.subject == 'state' else repr(seen.subject)}: evaluation trains"
        remedy = "work on a copy, or call .eval() and use torch.no_grad() where it is a network"
    subject = seen.function or seen.subject
    return Finding(level="fault", kind="evaluation", subject=subject, message=message, remedy=remedy)


def no_effect(name: str, value: object, tried: Sequence[object], level: Level) -> Finding:
    """No value of a hyperparameter made a difference."""
    values = ", ".join(_number(one) for one in tried)
    return Finding(
        level=level, kind="no effect", subject=name,
        message=f"hyperparameter {name!r} changes nothing: {_number(value)}, {values} gave the same state and score",
        remedy=f"apply member[{name!r}] in each pass, or take it out of the space"
        if level == "fault"
        else "as it should be where it acts later, or only at a limit",
    )  # fmt: skip


def diverged(member: int, count: int) -> Finding:
    """No member that was tried had two finite scores."""
    who = f"member {member}" if count == 1 else f"each of {count} members"
    return Finding(
        level="fault", kind="score", subject="",
        message=f"{who} reported a score that is not finite (NaN or an infinity), which marks a member as diverged",
        remedy="look at the loss in the first two intervals, and at the ranges of the space; the rest was left out",
    )  # fmt: skip


def _rebound(place: Place) -> bool:
    return place.tracked is not None and place.kind in ("array", "tensor") and place.name == place.root


def _keep(place: Place) -> str:
    short = place.name.rpartition(".")[2]
    name = short if short.isidentifier() else place.root
    if place.kind == "iterator":
        return f"make {place.name} anew in each pass, in an order from member.rng: an iterator cannot be moved"
    if place.kind in ("array", "tensor") and place.name == place.root:
        return f"write slot.track({name}={place.name}), and change it in place only ({place.name}[...] = ..., or +=)"
    if place.kind in ("array", "tensor", "number", "container", "object") and place.owner and place.name != place.root:
        held = place.name.rpartition(".")[0] or place.root
        short = held.rpartition(".")[2]
        return f"give {place.owner} state_dict() and load_state_dict(), and write slot.track({short}={held})"
    if place.kind in ("number", "container"):
        return f"keep {place.name} in member.state, or in a tracked array; a count of steps follows from member.age"
    if place.kind == "generator":
        return f"write slot.track({name}={place.name}), or draw from member.rng"
    return f"write slot.track({name}={place.name})"


def _start_anew(place: Place) -> str:
    if place.kind == "generator" and place.type.startswith("torch"):
        return "make it in the training function: torch.Generator().manual_seed(slot.seed), and track it"
    if place.kind == "generator":
        return "draw from member.rng, or make it in the training function from slot.seed, and track it"
    if place.kind == "environment":
        return f'reset it at the top of each pass: if member.arrival != "same": {place.name}.reset()'
    return "make it in the training function, and track it"


def _groups(culprits: Iterable[Place]) -> list[list[Place]]:
    """Culprits by the object that they belong to."""
    groups: dict[str, list[Place]] = {}
    for place in culprits:
        groups.setdefault(place.name.rpartition(".")[0] or place.key, []).append(place)
    return list(groups.values())


def _what(place: Place) -> str:
    word = place.type.rpartition(".")[2] if place.kind in ("keeper", "object") else _WORDS.get(place.kind, place.kind)
    return f"{word} {place.name!r}"


def _suspects(hunt: Hunt) -> str:
    names = ", ".join(dict.fromkeys(repr(place.name) for place in hunt.culprits))
    return f" (perhaps {names})" if names else ""


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else repr(value)
