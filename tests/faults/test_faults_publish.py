"""Checkpoints in files: a process that dies while it publishes one, and a disk that fails, is full or is damaged."""

from __future__ import annotations

import errno
import itertools
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from tests.faults.injector import Fault, Forks
from tests.faults.publishing import state, together

from warren.checkpoints import LocalCheckpoints, Published
from warren.state import digest, encode

LATER = 4e9
FAILS = "write,fsync,truncate,rename,mkdir,create"


def whole(folder: Path, *expected: Published) -> None:
    """No file has the name of another content; what was published can be loaded, and a sweep takes the rest."""
    checkpoints = LocalCheckpoints(folder)
    for name in checkpoints.names():
        assert name.startswith(digest([(folder / name).read_bytes()]))
    wanted = {one.name for one in expected}
    checkpoints.sweep(keep=wanted.__contains__, older_than=0.0, now=LATER)
    assert {path.name for path in folder.iterdir()} == wanted
    for one in expected:
        checkpoints.load(one.name, one.digest)


@pytest.mark.parametrize("first", [True, False], ids=["the first one", "a later one"])
@pytest.mark.parametrize("fault", [Fault(action="kill"), Fault(action="torn")], ids=["before", "in the middle"])
def test_death_at_any_call_leaves_no_half_of_a_file(forks: Forks, tmp_path: Path, fault: Fault, first: bool) -> None:
    """A file under its final name is whole; what is not is swept away; what was there before stays."""
    calls = 0
    for nth in itertools.count(1):
        folder = tmp_path / str(nth) / "checkpoints"
        folder.parent.mkdir()
        there = [] if first else [LocalCheckpoints(folder).publish(state(1.0), "t1")]
        ended = forks.call("tests.faults.publishing:publish", replace_path(fault, nth, folder), folder=str(folder))
        assert not ended.kinds, ended
        folder.mkdir(exist_ok=True)  # death may have come before it was made
        there += [Published(name=name, digest=found, size=0) for name, found in ended.said]
        whole(folder, *there)
        shutil.rmtree(folder)
        if not ended.signal:
            break
        assert ended.signal == signal.SIGKILL
        calls += 1
    assert calls >= 8, "mkdir and its sync at first, then create, writes, sync, rename, sync"


def replace_path(fault: Fault, nth: int, folder: Path) -> Fault:
    return Fault(action=fault.action, nth=nth, path=str(folder.parent), calls=fault.calls)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC], ids=["error", "full"])
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "lasting"])
def test_a_disk_that_fails_at_any_call_leaves_what_was_there(
    forks: Forks, tmp_path: Path, number: int, lasting: bool
) -> None:
    """One line that names the folder, nothing left behind, and the same publication works afterwards."""
    fault = Fault(action="fail", error=number, lasting=lasting, calls=FAILS, path=str(tmp_path))
    ended = forks.call("tests.faults.publishing:refused", fault, folder=str(tmp_path))
    assert not ended.signal and not ended.kinds, ended
    for error, left, (first, _) in ended.said:
        assert error is not None and error.startswith("CheckpointError: ") and str(tmp_path) in error
        assert "\n" not in error and ("is full" in error) == (number == errno.ENOSPC)
        assert left == [first]
    assert len(ended.said) >= 7


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "always"])
def test_short_writes_are_gone_on_with(forks: Forks, tmp_path: Path, lasting: bool) -> None:
    fault = Fault(action="short", lasting=lasting, calls="write", path=str(tmp_path))
    ended = forks.call("tests.faults.publishing:refused", fault, folder=str(tmp_path))
    assert not ended.signal and not ended.kinds, ended
    for error, left, both in ended.said:
        assert error is None
        assert left == sorted(both)
    assert len(ended.said) >= 4


# -- several at once -------------------------------------------------------------------------------------------------


def all_whole(folder: Path, *expected: Published) -> None:
    """Whatever has a name can be loaded, files of one state are what their names say, and a sweep takes the rest."""
    checkpoints = LocalCheckpoints(folder)
    there = list(checkpoints.names())
    for name in there:
        checkpoints.load(name, name[:64])
        if (folder / name).exists():
            assert name.startswith(digest([(folder / name).read_bytes()]))
    wanted = {one.name for one in expected}
    assert wanted <= set(there)
    checkpoints.sweep(keep=wanted.__contains__, older_than=0.0, now=LATER)
    assert set(checkpoints.names()) == wanted
    assert not any(path.name.startswith("tmp-") for path in folder.iterdir())
    for one in expected:
        checkpoints.load(one.name, one.digest)


@pytest.mark.parametrize("fault", [Fault(action="kill"), Fault(action="torn")], ids=["before", "in the middle"])
def test_death_while_states_are_published_together_leaves_all_or_none(
    forks: Forks, tmp_path: Path, fault: Fault
) -> None:
    calls = 0
    for nth in itertools.count(1):
        folder = tmp_path / str(nth) / "checkpoints"
        there = LocalCheckpoints(folder).publish_all(together(0.0, 1.0), "t1")
        ended = forks.call("tests.faults.publishing:publish_all", replace_path(fault, nth, folder), folder=str(folder))
        assert not ended.kinds, ended
        assert len(list(LocalCheckpoints(folder).names())) in (2, 5)
        there += [Published(name=name, digest=found, size=0) for said in ended.said for name, found in said]
        assert len(there) == (2 if ended.signal else 5)
        all_whole(folder, *there)
        if not ended.signal:
            break
        calls += 1
    assert calls >= 7, "create, the writes of three states and the head, sync, rename, sync"


@pytest.mark.parametrize("fault", [Fault(action="kill"), Fault(action="torn")], ids=["before", "in the middle"])
def test_death_while_states_are_deleted_together_costs_none_of_the_others(
    forks: Forks, tmp_path: Path, fault: Fault
) -> None:
    calls = 0
    for nth in itertools.count(1):
        folder = tmp_path / str(nth) / "checkpoints"
        published = LocalCheckpoints(folder).publish_all(together(*range(10)), "t1")
        kept, gone = published[3:5], [one.name for one in published[:3] + published[5:]]
        ended = forks.call(
            "tests.faults.publishing:delete_all", replace_path(fault, nth, folder), folder=str(folder), names=gone
        )
        assert not ended.kinds, ended
        left = set(LocalCheckpoints(folder).names())
        assert {one.name for one in kept} <= left
        for one in kept:
            LocalCheckpoints(folder).load(one.name, one.digest)
        LocalCheckpoints(folder).delete_all(gone)
        assert sorted(path.name for path in folder.iterdir() if "tmp-" not in path.name) == sorted(
            one.name for one in kept
        )
        all_whole(folder, *kept)
        if not ended.signal:
            break
        calls += 1
    assert calls >= 11, "the marks, two files with create, write, sync and rename, the folder's sync, and unlink"


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC], ids=["error", "full"])
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "lasting"])
def test_a_disk_that_fails_while_several_are_published_or_deleted_loses_none(
    forks: Forks, tmp_path: Path, number: int, lasting: bool
) -> None:
    """One line; nothing of what was not published, all of what was not deleted; and both work afterwards."""
    fault = Fault(action="fail", error=number, lasting=lasting, calls=f"{FAILS},unlink", path=str(tmp_path))
    ended = forks.call("tests.faults.publishing:refused_all", fault, folder=str(tmp_path))
    assert not ended.signal and not ended.kinds, ended
    for error, published, left, kept in ended.said:
        assert error is not None and error.startswith("CheckpointError: ") and str(tmp_path) in error
        assert "\n" not in error and ("is full" in error) == (number == errno.ENOSPC)
        if not lasting:  # else the remains cannot be taken away either
            assert not any(name.startswith("tmp-") for name in left)
            assert published or left == kept
    assert len(ended.said) >= 13
    assert {published for _, published, _, _ in ended.said} == {False, True}


def test_short_writes_of_several_are_gone_on_with(forks: Forks, tmp_path: Path) -> None:
    fault = Fault(action="short", lasting=True, calls="write", path=str(tmp_path))
    ended = forks.call("tests.faults.publishing:refused_all", fault, folder=str(tmp_path))
    assert not ended.signal and not ended.kinds, ended
    assert all(error is None and left == sorted(kept) for error, _, left, kept in ended.said)
    assert len(ended.said) >= 7


# -- reading --------------------------------------------------------------------------------------------------------


@pytest.fixture
def published(tmp_path: Path) -> Published:
    return LocalCheckpoints(tmp_path).publish(encode({"w": np.ones(600_000)}), "t1")  # two pieces


def load(
    forks: Forks, folder: Path, published: Published, fault: Fault
) -> tuple[list[list[int]], tuple[str, ...], str]:
    ended = forks.call(
        "tests.faults.publishing:read", fault, folder=str(folder), name=published.name, digest=published.digest
    )
    assert not ended.signal, "a fault of the disk must not end the process"
    return ended.said, ended.kinds, ended.message


@pytest.fixture
def packed(tmp_path: Path) -> Published:
    return LocalCheckpoints(tmp_path).publish_all(together(0.0, 1.0, 2.0), "t1")[1]


@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_a_sector_of_a_pack_that_cannot_be_read_is_damage(
    forks: Forks, tmp_path: Path, packed: Published, nth: int
) -> None:
    """The count, the entry and the mark in its head, and its bytes."""
    fault = Fault(action="fail", error=errno.EIO, nth=nth, calls="read", path="pack-t1")
    said, kinds, message = load(forks, tmp_path, packed, fault)
    assert said == [] and kinds[0] == "CheckpointDamaged"
    assert packed.name in message and "cannot be read" in message and "\n" not in message


@pytest.mark.parametrize("nth", [1, 4])
def test_another_error_while_reading_a_pack_is_no_damage(
    forks: Forks, tmp_path: Path, packed: Published, nth: int
) -> None:
    fault = Fault(action="fail", error=errno.ESTALE, nth=nth, calls="read", path="pack-t1")
    said, kinds, message = load(forks, tmp_path, packed, fault)
    assert said == [] and kinds[0] == "CheckpointError" and packed.name in message


def test_short_reads_of_a_pack_are_gone_on_with(forks: Forks, tmp_path: Path, packed: Published) -> None:
    fault = Fault(action="short", nth=1, lasting=True, calls="read", path="pack-t1")
    said, kinds, _ = load(forks, tmp_path, packed, fault)
    assert not kinds
    assert said[0][0] == packed.size and said[0][1] >= 6


@pytest.mark.parametrize("nth", [1, 2])
def test_a_sector_that_cannot_be_read_is_damage(forks: Forks, tmp_path: Path, published: Published, nth: int) -> None:
    """An error that falling back is for, and not SIGBUS in a mapping."""
    fault = Fault(action="fail", error=errno.EIO, nth=nth, calls="read", path=published.name)
    said, kinds, message = load(forks, tmp_path, published, fault)
    assert said == [] and kinds[0] == "CheckpointDamaged"
    assert published.name in message and "cannot be read" in message and "\n" not in message


def test_another_error_while_reading_is_no_damage(forks: Forks, tmp_path: Path, published: Published) -> None:
    fault = Fault(action="fail", error=errno.ESTALE, nth=1, calls="read", path=published.name)
    said, kinds, message = load(forks, tmp_path, published, fault)
    assert said == [] and kinds[0] == "CheckpointError" and published.name in message


def test_short_reads_are_gone_on_with(forks: Forks, tmp_path: Path, published: Published) -> None:
    fault = Fault(action="short", nth=1, lasting=True, calls="read", path=published.name)
    said, kinds, _ = load(forks, tmp_path, published, fault)
    assert not kinds
    assert said[0][0] == published.size and said[0][1] >= 3


PEAK = """
    import sys
    from pathlib import Path
    import numpy as np
    from warren.checkpoints import LocalCheckpoints
    from warren.state import encode

    def peak():
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))

    checkpoints = LocalCheckpoints(sys.argv[1])
    small = checkpoints.publish(encode({"w": np.zeros(2**20)}), "t0")
    checkpoints.load(small.name, small.digest)
    before = peak()
    view = checkpoints.load(*sys.argv[2:])
    print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory from /proc")
def test_a_load_takes_no_memory_of_its_own(tmp_path: Path) -> None:
    size = 2**26
    big = LocalCheckpoints(tmp_path).publish(encode({"w": np.ones(size // 8)}), "t1")
    command = [sys.executable, "-c", textwrap.dedent(PEAK), str(tmp_path), big.name, big.digest]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < size / 4
