from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from warren.errors import InvalidTransition
from warren.population import Assign, CheckpointRow, MemberRow, Report, boundary, set_aside, transition
from warren.population.transition import (
    ALLOWED,
    Assigned,
    Claim,
    Extend,
    Failed,
    FellBack,
    Held,
    Release,
    Reported,
    Retired,
)

ASSIGN = Assign(member=0, hyperparameters={"x": 2.0}, via="keep")
SAVED = CheckpointRow(name="saved", digest="d", size=1)


def reported(score: float | None = 1.0, *, saved: bool = True, **fields: Any) -> Reported:
    given = {"id": 9, "limit": 10, "tries": 3, "keep": True}
    given.update({name: fields.pop(name) for name in list(fields) if name in given})
    fields.setdefault("status", "ok" if score is not None else "diverged")
    checkpoint = SAVED if saved and fields["status"] != "diverged" else None
    return Reported(report=Report(score=score, checkpoint=checkpoint, **fields), **given)


EVENTS: dict[str, Any] = {
    "claim": Claim(token="t2", worker="w2"),
    "assign": Assigned(assign=ASSIGN),
    "report": reported(),
    "fail": Failed(error="Boom", tries=3),
    "release": Release(),
    "retire": Retired(),
    "hold": Held(until=3),
    "extend": Extend(),
    "fall back": FellBack(source=SAVED),
}
STATES = ("waiting", "leased", "done", "quarantined")
TABLE = {
    ("waiting", "claim"): "leased",
    ("waiting", "assign"): "waiting",
    ("leased", "assign"): "leased",
    ("leased", "report"): "leased",  # due later, in the row below
    ("leased", "fail"): "waiting",
    ("leased", "release"): "waiting",
    ("waiting", "retire"): "done",
    ("leased", "retire"): "done",
    ("waiting", "hold"): "waiting",
    ("leased", "hold"): "waiting",
    ("done", "extend"): "waiting",
    ("quarantined", "extend"): "waiting",
    ("leased", "fall back"): "waiting",
    ("waiting", "fall back"): "waiting",
    ("done", "fall back"): "done",
    ("quarantined", "fall back"): "quarantined",
}


def member(state: Any = "leased", **fields: Any) -> MemberRow:
    held = {"token": "t1", "worker": "w1"} if state == "leased" else {}
    given: dict[str, Any] = {"budget": 4, "saved": 4, "age": 6, "due": 6, "start": "own", "parents": (4,)}
    return MemberRow(member=0, state=state, hyperparameters={"x": 1.0}, **{**held, **given, **fields})


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("event", EVENTS)
def test_the_table(state: str, event: str) -> None:
    row = member(state)
    if (state, event) in TABLE:
        after = transition(row, EVENTS[event])
        assert after.state == TABLE[state, event]
        assert (after.token is not None) == (after.worker is not None) == (after.state == "leased")
        return
    with pytest.raises(InvalidTransition) as caught:
        transition(row, EVENTS[event])
    assert state in str(caught.value)
    assert repr(row) in str(caught.value)  # the whole story
    assert repr(EVENTS[event]) in str(caught.value)


def test_every_event_is_in_the_table() -> None:
    assert {type(event) for event in EVENTS.values()} == set(ALLOWED)
    assert {(s, type(EVENTS[e])) for s, e in TABLE} == {(s, kind) for kind, states in ALLOWED.items() for s in states}


def test_a_row_is_not_changed() -> None:
    row = member()
    copy = replace(row)
    transition(row, reported())
    assert row == copy


@pytest.mark.parametrize(
    ("row", "event", "state"),
    [
        (member(due=6), reported(), "leased"),
        (member(due=5), reported(), "waiting"),
        (member(due=6), reported(keep=False), "waiting"),
        (member(due=6), reported(due=5), "waiting"),
        (member(due=5), reported(due=7), "leased"),
        (member(due=6), reported(limit=5), "done"),
        (member(due=6), reported(limit=4), "done"),
        (member(due=6), reported(None), "waiting"),
        (member(due=6, failures=2), reported(None), "quarantined"),
        (member(due=6, failures=2), reported(None, limit=5), "quarantined"),
        (member(due=6), reported(None, limit=5), "done"),
        (member(due=6, failures=2), reported(), "leased"),
        (member(due=6), reported(None, status="pending"), "leased"),
        (member(due=6, next={"member": 0}), reported(), "leased"),  # it lands where the member is due
        (member(due=5, next={"member": 0}), reported(), "waiting"),
        (member(failures=2), Failed(error="Boom", tries=3), "quarantined"),
        (member(failures=2), Failed(error="Boom", tries=3, counts=False), "waiting"),
    ],
)
def test_where_a_report_or_failure_leads(row: MemberRow, event: Any, state: str) -> None:
    after = transition(row, event)
    assert after.state == state
    assert (after.token is not None) == (after.worker is not None) == (state == "leased")  # the lease ends with it


def test_a_saved_report() -> None:
    after = transition(member(origin="exploit", kept="before", sources=("a", "b"), via="mean"), reported())
    assert (after.budget, after.saved, after.age, after.start, after.parents) == (5, 5, 7, "saved", (9,))
    assert (after.origin, after.kept, after.sources, after.via, after.last) == ("continue", None, (), "keep", None)


def test_a_provisional_report() -> None:
    after = transition(member(origin="exploit", kept="before"), reported(saved=False))
    assert (after.budget, after.saved, after.age, after.start, after.parents) == (5, 4, 7, "own", (4,))
    assert (after.origin, after.kept, after.last) == ("exploit", "before", 9)


@pytest.mark.parametrize(
    "event", [Release(), Failed(error="Boom", tries=3), Failed(error="Boom", tries=3, counts=False)]
)
def test_what_was_provisional_is_taken_back(event: Any) -> None:
    after = transition(member(budget=6, saved=4, age=8, last=9), event)
    assert (after.budget, after.saved, after.age, after.last, after.start) == (4, 4, 6, None, "own")


def test_a_divergence() -> None:
    """It uses up its interval, and the stretch's work that was not saved."""
    after = transition(member(budget=6, saved=4, age=8, last=9), reported(None))
    assert (after.budget, after.saved, after.age, after.last, after.start) == (7, 7, 6, None, "own")
    assert (after.failures, after.due, after.parents) == (1, 6, (4,))


@pytest.mark.parametrize(("failures", "due"), [(0, 9), (1, 4), (2, 4)])
def test_the_first_failure_is_tried_again_as_it_is(failures: int, due: int) -> None:
    after = transition(member(failures=failures, due=9), Failed(error="Boom", tries=9))
    assert (after.failures, after.due, after.error) == (failures + 1, due, "Boom")


def test_a_success_forgives() -> None:
    assert transition(member(failures=2), reported()).failures == 0
    assert transition(member(failures=2), reported(saved=False)).failures == 2  # its state may yet be lost


@pytest.mark.parametrize(
    ("row", "source", "origin", "parents", "age"),
    [
        (member(), CheckpointRow(name="c", digest="", size=1, member=1, age=3, source=7), "exploit", (7,), 3),
        (
            member(failures=1),
            CheckpointRow(name="c", digest="", size=1, member=1, age=3, source=7),
            "rescue",
            (7,),
            3,
        ),
        (member(), CheckpointRow(name="c", digest="", size=1, age=2), "warm", (), 2),
    ],
)
def test_a_copy(row: MemberRow, source: CheckpointRow, origin: str, parents: tuple[int, ...], age: int) -> None:
    assign = Assign(member=0, hyperparameters={"x": 2.0}, sources=("c",), intervals=3, group="g", tag=1)
    after = transition(row, Assigned(assign=assign, sources=(source,)))
    assert (after.start, after.origin, after.parents, after.age, after.kept) == ("c", origin, parents, age, "own")
    assert (after.budget, after.saved, after.due, after.group, after.role, after.tag) == (4, 4, 7, "g", "train", 1)
    assert (after.token, after.failures, after.sources) == (row.token, row.failures, ())


def test_fresh() -> None:
    assign = Assign(member=0, hyperparameters={"x": 2.0}, via="fresh")
    after = transition(member(kept="k", sources=("a", "b")), Assigned(assign=assign))
    assert (after.start, after.age, after.parents, after.origin, after.birth) == (None, 0, (), "fresh", 1)
    assert (after.kept, after.sources, after.budget, after.saved) == (None, (), 4, 4)
    new = transition(MemberRow(member=0, hyperparameters={}), Assigned(assign=assign))
    assert (new.birth, new.due) == (0, 1)
    again = transition(MemberRow(member=0, hyperparameters={}, failures=1), Assigned(assign=assign))
    assert again.birth == 1  # or it would be born the same


def test_a_fall_to_an_older_state() -> None:
    """The budget stays, what was provisional goes, and the hyperparameters are those of that state."""
    older = CheckpointRow(name="older", digest="", size=1, member=0, interval=2, age=3, source=7)
    row = member(budget=6, saved=4, age=8, last=9, due=7, kept="k", sources=("a", "b"))
    after = transition(row, FellBack(source=older, hyperparameters={"x": 0.5}))
    assert (after.start, after.age, after.parents, after.origin) == ("older", 3, (7,), "fallback")
    assert (after.budget, after.saved, after.last, after.due, after.kept, after.sources) == (4, 4, None, 7, None, ())
    assert (after.hyperparameters, after.failures, after.birth) == ({"x": 0.5}, row.failures, row.birth)
    copied = transition(member(origin="exploit", due=9), FellBack(source=older, hyperparameters={"x": 0.5}))
    assert copied.due == copied.budget  # what it wanted to copy is gone: it may choose again
    warm = CheckpointRow(name="warm", digest="", size=1, age=2)
    assert transition(member(), FellBack(source=warm)).origin == "warm"


def test_a_fall_to_nothing() -> None:
    after = transition(member(due=9), FellBack())
    assert (after.start, after.age, after.parents, after.origin, after.due) == (None, 0, (), "fallback", 4)
    assert after.budget == after.saved == 4
    copy = CheckpointRow(name="c", digest="", size=1, member=1, age=3, source=7)
    given = transition(after, Assigned(assign=Assign(member=0, hyperparameters={}, sources=("c",)), sources=(copy,)))
    assert (given.origin, given.kept) == ("rescue", None)


def test_at_least_one_interval() -> None:
    assert transition(member(), Assigned(assign=replace(ASSIGN, intervals=0))).due == 5


@pytest.mark.parametrize(
    ("row", "report", "limit", "ends"),
    [
        (member(due=6), Report(score=1.0), 10, False),
        (member(due=5), Report(score=1.0), 10, True),
        (member(due=6), Report(score=1.0, due=5), 10, True),
        (member(due=5), Report(score=1.0, due=6), 10, False),
        (member(due=6), Report(score=1.0), 5, True),
        (member(due=6), Report(score=None, status="diverged"), 10, True),
        (member(due=2), Report(score=1.0), 10, True),
    ],
)
def test_boundaries(row: MemberRow, report: Report, limit: int, ends: bool) -> None:
    assert boundary(row, report, limit) is ends


def copies(*names: str) -> tuple[CheckpointRow, ...]:
    """Checkpoints of other members, of the ages 7, 8, ... and intervals 70, 71, ..."""
    return tuple(
        CheckpointRow(name=name, digest="", size=0, member=9, interval=3, age=7 + i, source=70 + i)
        for i, name in enumerate(names)
    )


def test_a_combination_has_all_sources_as_parents_and_the_age_of_the_first() -> None:
    assign = Assign(member=0, hyperparameters={"x": 2.0}, sources=("a", "b"), via="mean", intervals=2)
    after = transition(member(start="own", birth=1), Assigned(assign=assign, sources=copies("a", "b")))
    assert (after.start, after.sources, after.via, after.origin) == ("a", ("a", "b"), "mean", "exploit")
    assert (after.parents, after.age, after.kept, after.birth) == ((70, 71), 7, "own", 2)
    alone = replace(assign, sources=("a",))
    assert transition(member(), Assigned(assign=alone, sources=copies("a"))).sources == ("a",)


def test_a_copy_of_several_is_one_of_the_first() -> None:
    assign = Assign(member=0, hyperparameters={}, sources=("a", "b"))
    after = transition(member(birth=1), Assigned(assign=assign, sources=copies("a", "b")))
    assert (after.start, after.sources, after.via, after.parents, after.birth) == ("a", (), "copy", (70,), 1)


def test_what_is_still_to_be_combined_stays_so() -> None:
    """Until it was saved: through a failure, a divergence, and a decision that only changes hyperparameters."""
    row = member(via="mean", sources=("a", "b"), start="a", parents=(70, 71), origin="exploit")
    for event in (Failed(error="it broke", tries=3), Release(), reported(score=None, status="diverged")):
        after = transition(row, event)
        assert (after.sources, after.via, after.parents) == (("a", "b"), "mean", (70, 71))
    kept = transition(row, Assigned(assign=ASSIGN))
    assert (kept.sources, kept.via, kept.hyperparameters) == (("a", "b"), "mean", {"x": 2.0})
    for assign, expected in (
        (Assign(member=0, hyperparameters={}, via="fresh"), ((), "fresh")),
        (Assign(member=0, hyperparameters={}, sources=("c",)), ((), "copy")),
    ):
        other = transition(row, Assigned(assign=assign, sources=copies("c")))
        assert (other.sources, other.via) == expected
    assert transition(row, FellBack(source=copies("old")[0])).sources == ()


def test_who_is_set_aside() -> None:
    assert set_aside(member(state="quarantined"))
    assert set_aside(transition(member(), Retired()))
    assert not set_aside(member(state="done"))
    assert not set_aside(member())
