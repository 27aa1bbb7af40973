"""What has returned is on the disk, and in the right order: every write of a step is synced before its call returns."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from tests.faults import script
from tests.faults.injector import CHANGES, ROOT, Fault, Forks, environment

Call = tuple[str, str]
"""Name and path of a call; ``begin`` and ``end`` with the name of a step."""


def changes(calls: Iterable[Call]) -> Iterator[tuple[str, str, set[str]]]:
    """Each call with what is not yet on the disk when it is made: files, and folders whose entries have changed."""
    unsynced: set[str] = set()
    for name, path in calls:
        yield name, path, set(unsynced)
        if name in ("write", "truncate") and not path.endswith("-shm"):  # made anew after a crash
            unsynced.add(path)
        elif name in ("rename", "create", "mkdir") and not path.endswith(("-shm", "/lock", "/queue")):
            unsynced.add(os.path.dirname(path))
        elif name == "fsync":
            unsynced.discard(path)


def ordered(calls: list[Call], *, wal: bool) -> int:
    """Assert what a power cut must not break; gives the number of files that were published."""
    published = renamed = 0
    journal = "-wal" if wal else "-journal"
    for name, path, unsynced in changes(calls):
        if name == "end":
            assert unsynced == set(), f"{path} has returned"
            assert published == renamed
        elif name == "rename":
            assert path.rpartition("/")[0].endswith("/checkpoints")
            assert not any("/tmp-" in file for file in unsynced), "the bytes come before the name"
            renamed += 1
        elif name == "fsync" and path.endswith("/checkpoints"):
            published = renamed
        elif name == "write" and re.search(r"run\.db(-\w+)?$", path):
            # The record is written when the file that it will name is on the disk under that name.
            assert published == renamed
            if path.endswith("run.db"):
                assert not any(file.endswith(journal) for file in unsynced), "the journal comes before what it undoes"
    return published


def play(folder: Path, wal: bool) -> Iterator[tuple[str, str]]:
    """The script, told of before and after each step."""
    for number, step in enumerate(script.STEPS):
        yield "begin", step.__name__
        player = script.Play(folder, number, wal=wal)
        step(player)
        yield "end", step.__name__
        player.close()


@pytest.mark.parametrize("wal", [False, True], ids=["journal", "wal"])
def test_what_has_returned_is_synced_and_in_order(forks: Forks, tmp_path: Path, wal: bool) -> None:
    (tmp_path / "run").mkdir()
    log = tmp_path / "log"
    fault = Fault(action="nothing", calls=CHANGES, path=str(tmp_path / "run"))
    ended = forks.call("tests.faults.script:logged", fault, folder=str(tmp_path / "run"), log=str(log), wal=wal)
    assert not ended.signal and not ended.kinds, ended
    calls = []
    for line in log.read_text().splitlines():
        name, *paths = line.split("\t")
        calls.append((name, paths[-1]))
    assert ordered(calls, wal=wal) == 8
    assert [path for name, path in calls if name == "end"] == script.NAMES


STRACE = shutil.which("strace")
PLAYER = """
import os, sys
from pathlib import Path
from tests.faults.test_faults_syncs import play
for words in play(Path(sys.argv[1]), False):
    os.write(1, " ".join(words).encode())
"""
_LINE = re.compile(r'(?:\d+ +)?(\w+)\((?:AT_FDCWD(?:<[^>]*>)?, )?(?:(\d+)<([^>]*)>|"([^"]*)")(?:, "([^"]*)")?.*= \d+$')
_NAMES = {"pwrite64": "write", "write": "write", "fdatasync": "fsync", "fsync": "fsync", "rename": "rename"}


@pytest.mark.skipif(STRACE is None, reason="there is no strace")
def test_what_has_returned_is_synced_as_the_kernel_sees_it(tmp_path: Path) -> None:
    """As above, from the system calls themselves."""
    assert STRACE is not None
    if subprocess.run([STRACE, "-f", "-o", os.devnull, "true"], capture_output=True).returncode != 0:
        pytest.skip("strace may not trace here (ptrace is not permitted)")
    folder, log = tmp_path / "run", tmp_path / "log"
    folder.mkdir()
    trace = [STRACE, "-f", "-y", "-o", str(log), "-e", "trace=pwrite64,write,fdatasync,fsync,rename"]
    command = [*trace, sys.executable, "-c", PLAYER, str(folder)]
    subprocess.run(command, env=environment(), cwd=ROOT, check=True, stdout=subprocess.PIPE)
    calls: list[Call] = []
    for line in log.read_text(errors="replace").splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        call, descriptor, opened, path, second = found.groups()
        if descriptor == "1" and second is not None:
            name, _, words = second.partition(" ")
            calls.append((name, words))
        elif str(folder) in (opened or path):
            calls.append((_NAMES[call], opened or second or path))
    assert [path for name, path in calls if name == "end"] == script.NAMES
    assert sum(name == "fsync" for name, _ in calls) >= 2 * len(script.STEPS)
    assert ordered(calls, wal=False) == 8
