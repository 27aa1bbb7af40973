"""A process that dies at any system call of a commit, and a disk that fails there."""

from __future__ import annotations

import errno
import itertools
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from tests.faults import script
from tests.faults.injector import Ended, Fault, Forks

Facts = dict[str, Any] | None


@dataclass
class Place:
    """A step of the script, played again and again from the files that were there before it.

    Attributes:
        number: Of the step.
        wal: The store has a write-ahead log.
        files: As they were before the step.
        before: What the store told before it.
        after: What it told after it.
        folder: Where it is played.
    """

    number: int
    wal: bool
    files: Path
    before: Facts
    after: Facts
    folder: Path
    _finished: list[Facts] = field(default_factory=list)

    def again(self, files: Path | None = None) -> Path:
        """The files as they were before the step, or as somewhere else."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(files or self.files, self.folder)
        return self.folder

    def check(self, *expected: Facts) -> None:
        """All is well, the store tells what is expected, and the run can be finished from there."""
        found = script.inspect(self.folder, wal=self.wal)
        assert found in expected
        if found not in self._finished:
            self._finished.append(found)
            script.finish(self.folder, wal=self.wal)


def _history(folder: Path, *, wal: bool) -> Callable[[int, Path], Place]:
    """Play the script once, and keep a copy of the files before each step with what the store told then."""
    work, told = folder / "work", []
    work.mkdir()
    for number, step in enumerate(script.STEPS):
        shutil.copytree(work, folder / str(number))
        told.append(None if number == 0 else script.inspect(work, wal=wal))
        play = script.Play(work, number, wal=wal)
        step(play)
        play.close()
    told.append(script.inspect(work, wal=wal))
    return lambda number, target: Place(
        number, wal, files=folder / str(number), before=told[number], after=told[number + 1], folder=target
    )


@pytest.fixture(scope="session")
def histories(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Callable[[int, Path], Place]]:
    return {wal: _history(tmp_path_factory.mktemp("history"), wal=wal) for wal in (False, True)}


@pytest.fixture
def place(
    histories: dict[bool, Callable[[int, Path], Place]], tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Place]:
    number, wal = request.param
    yield histories[wal](number, tmp_path / "run")
    shutil.rmtree(tmp_path, ignore_errors=True)  # hundreds of copies


def steps(*names: str, wal: tuple[str, ...] = ()) -> pytest.MarkDecorator:
    """A test for each of some steps with a rollback journal, and for some with a write-ahead log."""
    given = [(script.NAMES.index(name), False) for name in names] + [(script.NAMES.index(name), True) for name in wal]
    ids = [script.NAMES[number] + ("-wal" if is_wal else "") for number, is_wal in given]
    return pytest.mark.parametrize("place", given, ids=ids, indirect=True)


def deaths(place: Place, forks: Forks, function: str, fault: Fault, files: Path | None = None) -> Iterator[Ended]:
    """Kill a function's process at each of its calls, until it ends without having met it."""
    for nth in itertools.count(1):
        folder = place.again(files)
        fault = replace(fault, nth=nth, path=str(folder))
        ended = forks.call(
            f"tests.faults.script:{function}", fault, folder=str(folder), step=place.number, wal=place.wal
        )
        assert not ended.kinds, ended
        if not ended.signal:
            return
        assert ended.signal == signal.SIGKILL
        yield ended


@steps(
    "open_store", "create", "register", "claim", "report_a_file", "report_inline", "report_and_collect",
    "exploit", "fail", "expire", "score", "a_round", "extend", "note", "damage",
    wal=("open_store", "report_and_collect", "exploit", "a_round"),
)  # fmt: skip
def test_death_before_any_call_of_a_step_leaves_it_undone_or_done(place: Place, forks: Forks) -> None:
    """The record is as it was before the step or as after it, to the last field; after it where that was said."""
    seen = []
    for ended in deaths(place, forks, "killed", Fault(action="kill")):
        place.check(*([place.after] if ended.said else [place.before, place.after]))
        seen.append(ended)
    assert len(seen) >= 5


@steps("report_and_collect", "exploit", "a_round", wal=("report_and_collect",))
def test_death_in_the_middle_of_any_write(place: Place, forks: Forks) -> None:
    """Half of a page is in the file."""
    seen = []
    for ended in deaths(place, forks, "killed", Fault(action="torn", calls="write")):
        place.check(*([place.after] if ended.said else [place.before, place.after]))
        seen.append(ended)
    assert len(seen) >= 5


@steps("report_and_collect")
def test_death_while_another_death_is_recovered_from(place: Place, forks: Forks, tmp_path: Path) -> None:
    """What a killed process leaves is opened by one that is killed at each of its own calls, and then by us."""
    left, seen = tmp_path / "left", []
    for ended in deaths(place, forks, "killed", Fault(action="kill", calls="fsync")):
        shutil.copytree(place.folder, left)
        for _ in deaths(place, forks, "recovered", Fault(action="kill", calls="write,fsync,truncate,unlink"), left):
            place.check(*([place.after] if ended.said else [place.before, place.after]))
            seen.append(ended)
        shutil.rmtree(left)
    assert len(seen) >= 5


DISKS = {
    "an error once": Fault(action="fail", error=errno.EIO),
    "errors from then on": Fault(action="fail", error=errno.EIO, lasting=True),
    "full": Fault(action="fail", error=errno.ENOSPC, calls="write,truncate,create,mkdir,rename", lasting=True),
}


@steps(
    "open_store", "create", "claim", "report_inline", "report_and_collect", "exploit", "fail", "expire", "a_round",
    wal=("report_and_collect",),
)  # fmt: skip
@pytest.mark.parametrize("disk", DISKS)
def test_a_disk_that_fails_at_any_call_of_a_step_is_told_of_and_loses_nothing(
    place: Place, forks: Forks, disk: str, tmp_path: Path
) -> None:
    """One line that names the file; and the step can be done when the disk works again, over the same connection."""
    folder = tmp_path / "disk"
    folder.mkdir()
    fault = replace(DISKS[disk], path=str(folder))
    arguments = {"folder": str(folder), "before": str(place.files), "step": place.number, "wal": place.wal}
    ended = forks.call("tests.faults.script:refused", fault, **arguments)
    assert not ended.signal and not ended.kinds, ended
    unsure = 0
    for nth, error, effect in ended.said:
        place.folder = folder / str(nth)
        place.check(place.after)
        assert effect or error is not None
        if error is not None:
            unsure += effect and place.number > 0
            kind, _, words = error.partition(": ")
            assert kind in ("StoreError", "CheckpointError")
            assert str(folder) in words and "\n" not in words
    assert len(ended.said) >= 5
    # A commit whose very last sync fails has happened, and nobody can know whether it will last.
    assert unsure <= 1
