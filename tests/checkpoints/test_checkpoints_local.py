from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from warren.checkpoints import CheckpointStore, LocalCheckpoints
from warren.errors import CheckpointDamaged, CheckpointError, StateError
from warren.state import Encoded, decode, encode
from warren.testing.checkpoints import CheckpointStoreContract

STATE = {"w": np.arange(1000.0), "step": 3}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "checkpoints"


@pytest.fixture
def checkpoints(folder: Path) -> LocalCheckpoints:
    return LocalCheckpoints(folder)


class TestLocalCheckpoints(CheckpointStoreContract):
    @pytest.fixture
    def checkpoints(self, folder: Path) -> CheckpointStore:
        return LocalCheckpoints(folder)


def files(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_the_folder_is_made_at_the_first_publication(checkpoints: LocalCheckpoints, folder: Path) -> None:
    assert list(checkpoints.names()) == []
    assert checkpoints.sweep(keep=lambda name: False, older_than=0.0, now=1e12) == ()
    assert not folder.exists()
    published = checkpoints.publish(encode(STATE), "t1")
    assert files(folder) == [published.name]
    assert checkpoints.folder == folder


def test_only_the_owner_may_read(checkpoints: LocalCheckpoints, folder: Path) -> None:
    published = checkpoints.publish(encode(STATE), "t1")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / published.name).stat().st_mode) == 0o600


def test_loading_maps_the_file_and_never_changes_it(checkpoints: LocalCheckpoints, folder: Path) -> None:
    published = checkpoints.publish(encode(STATE), "t1")
    before = (folder / published.name).read_bytes()
    view = checkpoints.load(published.name, published.digest)
    assert type(view.obj).__name__ == "mmap"
    decode(view)["w"][:] = 0.0
    assert (folder / published.name).read_bytes() == before


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:-1] + b"\xff", lambda b: b""])
def test_damage_is_seen(checkpoints: LocalCheckpoints, folder: Path, damage: Callable[[bytes], bytes]) -> None:
    published = checkpoints.publish(encode(STATE), "t1")
    path = folder / published.name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointDamaged, match="changed or is cut short"):
        checkpoints.load(published.name, published.digest)


def test_short_writes_are_continued(checkpoints: LocalCheckpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    write, calls = os.write, []

    def short(descriptor: int, data: memoryview) -> int:
        calls.append(len(data))
        return write(descriptor, data[:100])

    monkeypatch.setattr(os, "write", short)
    published = checkpoints.publish(encode(STATE), "t1")
    assert len(calls) > 80
    checkpoints.load(published.name, published.digest)


@pytest.mark.parametrize("call", ["write", "fsync", "rename"])
@pytest.mark.parametrize(
    ("number", "says"),
    [(errno.ENOSPC, "is full.*make space"), (errno.EDQUOT, "is full"), (errno.EIO, "cannot write")],
)
def test_failures_of_the_disk_leave_nothing_behind_and_lose_nothing(
    checkpoints: LocalCheckpoints,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    number: int,
    says: str,
) -> None:
    before = checkpoints.publish(encode(STATE), "t0")
    real, count = getattr(os, call), [0]

    def fail(*args: object) -> object:
        count[0] += 1
        if call == "write" and count[0] == 1:  # a part is written first, as on a real disk
            return real(args[0], args[1][:10])  # type: ignore[index]
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(CheckpointError, match=says) as caught:
            checkpoints.publish(encode({"w": np.ones(1000)}), "t1")
    assert str(folder) in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    assert files(folder) == [before.name]
    checkpoints.load(before.name, before.digest)
    checkpoints.publish(encode({"w": np.ones(1000)}), "t1")  # and goes on when there is space


def test_the_folder_is_synced_after_the_rename(
    checkpoints: LocalCheckpoints, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.publish(encode(STATE), "t0")
    fsync, rename, done = os.fsync, os.rename, []

    def watch_fsync(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def watch_rename(source: Path, target: Path) -> None:
        assert "t1" in source.name
        done.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", watch_fsync)
    monkeypatch.setattr(os, "rename", watch_rename)
    checkpoints.publish(encode(STATE), "t1")
    assert done == ["file", "rename", "folder"]


def test_a_folder_that_cannot_be_synced_publishes_nothing(
    checkpoints: LocalCheckpoints, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints.publish(encode(STATE), "t0")
    fsync = os.fsync

    def fail(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "broken")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(CheckpointError, match="broken"):
        checkpoints.publish(encode(STATE), "t1")
    assert len(files(folder)) == 1


@pytest.mark.parametrize("error", [StateError("no"), KeyboardInterrupt(), RuntimeError("device lost")])
def test_a_state_that_cannot_be_read_leaves_nothing_behind(
    checkpoints: LocalCheckpoints, folder: Path, error: BaseException
) -> None:
    def fail() -> memoryview:
        raise error

    good = encode(STATE)
    bad = Encoded(header=good.header, leaves=tuple(leaf._replace(read=fail) for leaf in good.leaves), size=good.size)
    with pytest.raises(type(error)):
        checkpoints.publish(bad, "t1")
    assert files(folder) == []


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    checkpoints = LocalCheckpoints(tmp_path / "file")
    with pytest.raises(CheckpointError, match="can be written"):
        checkpoints.publish(encode(STATE), "t1")
    with pytest.raises(CheckpointError, match="list"):
        list(checkpoints.names())


def test_sweep_takes_temporary_files_and_leaves_what_is_not_ours(checkpoints: LocalCheckpoints, folder: Path) -> None:
    kept = checkpoints.publish(encode(STATE), "t1")
    (folder / "tmp-t2-0123abcd").write_bytes(b"half")
    (folder / "notes.txt").write_text("mine")
    (folder / "tmp-mine").write_text("mine")
    later = (folder / kept.name).stat().st_mtime + 100.0
    assert checkpoints.sweep(keep=lambda name: True, older_than=200.0, now=later) == ()
    assert checkpoints.sweep(keep=lambda name: True, older_than=50.0, now=later) == ("tmp-t2-0123abcd",)
    assert files(folder) == sorted([kept.name, "notes.txt", "tmp-mine"])
    assert list(checkpoints.names()) == [kept.name]


def test_a_directory_under_a_checkpoints_name(checkpoints: LocalCheckpoints, folder: Path) -> None:
    name = "0" * 64 + "-a.safetensors"
    (folder / name).mkdir(parents=True)
    with pytest.raises(CheckpointError, match="cannot"):
        checkpoints.load(name, "0" * 64)
    with pytest.raises(CheckpointError, match="cannot delete"):
        checkpoints.delete(name)


def test_a_folder_that_is_away_is_no_missing_checkpoint(checkpoints: LocalCheckpoints, folder: Path) -> None:
    """What is missing is given up for good; a disk that is not mounted must not come to that."""
    published = checkpoints.publish(encode(STATE), "t1")
    os.rename(folder, folder.with_name("elsewhere"))
    with pytest.raises(CheckpointError, match=r"the folder .*checkpoints is not there; put it back") as caught:
        checkpoints.load(published.name, published.digest)
    assert type(caught.value) is CheckpointError
    os.rename(folder.with_name("elsewhere"), folder)
    checkpoints.load(published.name, published.digest)


@pytest.mark.parametrize("seen_by", ["publishing", "loading"])
def test_a_folder_that_went_away_is_not_made_anew(checkpoints: LocalCheckpoints, folder: Path, seen_by: str) -> None:
    published = checkpoints.publish(encode(STATE), "t1")
    if seen_by == "loading":
        checkpoints = LocalCheckpoints(folder)
        checkpoints.load(published.name, published.digest)
    os.rename(folder, folder.with_name("elsewhere"))
    with pytest.raises(CheckpointError, match="not there any more; put it back"):
        checkpoints.publish(encode(STATE), "t2")
    assert not folder.exists()


PEAK = """
    import sys, tempfile
    from pathlib import Path
    import numpy as np
    from warren.checkpoints import LocalCheckpoints
    from warren.state import decode, encode

    def peak():  # bytes; ru_maxrss would not do, as a process inherits that of the one which started it
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM")))

    with tempfile.TemporaryDirectory(dir=sys.argv[1]) as folder:
        checkpoints = LocalCheckpoints(folder)
        warm = checkpoints.publish(encode({"w": np.zeros(3)}), "warm")
        decode(checkpoints.load(warm.name, warm.digest))
        start = peak()
        state = {f"layer{i}": np.full(5_000_000, i, np.float32) for i in range(10)}  # 10 x 20 MB
        published = checkpoints.publish(encode(state), "t1")
        print((peak() - start) / published.size)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak of memory from /proc")
def test_publishing_makes_no_second_copy_of_the_state(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PEAK), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert 0.9 < float(done.stdout) < 1.2
