from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from warren.checkpoints import LocalCheckpoints, Published
from warren.checkpoints.packs import copy_pack, listed, opened
from warren.errors import CheckpointDamaged, CheckpointError, CheckpointMissing
from warren.state import Encoded, encode

LATER = 4e9


@pytest.fixture
def checkpoints(tmp_path: Path) -> LocalCheckpoints:
    return LocalCheckpoints(tmp_path / "checkpoints")


@pytest.fixture
def folder(checkpoints: LocalCheckpoints) -> Path:
    return checkpoints.folder


def states(count: int = 8, size: int = 500) -> list[Encoded]:
    return [encode({"w": np.full(size, float(value)), "step": value}) for value in range(count)]


def files(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def names(some: list[Published]) -> list[str]:
    return [one.name for one in some]


def loads(checkpoints: LocalCheckpoints, some: list[Published]) -> None:
    for one in some:
        checkpoints.load(one.name, one.digest)


def test_states_published_together_are_one_file_that_only_its_owner_may_read(
    checkpoints: LocalCheckpoints, folder: Path
) -> None:
    published = checkpoints.publish_all(states(), "t1")
    assert files(folder) == ["pack-t1"]
    assert stat.S_IMODE((folder / "pack-t1").stat().st_mode) == 0o600
    view = checkpoints.load(published[3].name, published[3].digest)
    assert type(view.obj).__name__ == "mmap"


def test_each_state_lies_whole_and_aligned_in_the_pack(checkpoints: LocalCheckpoints, folder: Path) -> None:
    encoded = [*states(), *states(3, 100_000)]
    checkpoints.publish_all(encoded, "t1")
    content = (folder / "pack-t1").read_bytes()
    with opened(folder / "pack-t1", os.O_RDONLY) as descriptor:
        there = listed(descriptor, "pack-t1")
    assert [one.begin % 64 for one in there] == [0] * 11
    for one, state in zip(there, encoded, strict=True):
        assert content[one.begin : one.begin + one.size] == state.tobytes()


def test_ten_thousand_states(checkpoints: LocalCheckpoints, folder: Path) -> None:
    published = checkpoints.publish_all(states(20, 3) * 500, "t1")
    assert len(set(names(published))) == 10_000
    assert set(checkpoints.names()) == set(names(published))
    loads(checkpoints, published[9_990:])
    checkpoints.delete_all(names(published))
    assert files(folder) == []


def watch(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls that change files, in their order."""
    done: list[str] = []

    def watched(name: str, what: Callable[..., str]) -> None:
        real = getattr(os, name)

        def call(*args: Any) -> Any:
            done.append(what(*args))
            return real(*args)

        monkeypatch.setattr(os, name, call)

    watched("write", lambda descriptor, data: "write")
    watched("fsync", lambda descriptor: "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
    watched("rename", lambda source, target: f"rename to {Path(target).name[:4]}")
    watched("unlink", lambda path: f"unlink {Path(path).name[:4]}")
    watched("pwrite", lambda descriptor, data, at: f"mark {len(data)}")
    return done


def test_many_small_arrays_are_written_with_few_calls_and_one_sync(
    checkpoints: LocalCheckpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = [encode({str(i): np.full(40, i) for i in range(10)}) for _ in range(128)]
    checkpoints.publish(encoded[0], "first")
    done = watch(monkeypatch)
    checkpoints.publish_all(encoded, "t1")
    assert done[-4:] == ["write", "file", "rename to pack", "folder"]
    assert set(done[:-4]) == {"write"} and len(done) < 15


def test_a_file_of_its_own_counts_before_the_pack(checkpoints: LocalCheckpoints, folder: Path) -> None:
    encoded = states()
    published = checkpoints.publish_all(encoded, "t1")
    (folder / published[2].name).write_bytes(encoded[2].tobytes())
    (folder / "pack-t1").write_bytes(b"")
    loads(checkpoints, published[2:3])


def test_a_pack_goes_when_all_of_it_is_deleted(checkpoints: LocalCheckpoints, folder: Path) -> None:
    published = checkpoints.publish_all(states(), "t1")
    checkpoints.delete_all(names(published))
    assert files(folder) == []


def test_what_is_left_of_a_pack_becomes_files(checkpoints: LocalCheckpoints, folder: Path) -> None:
    published = checkpoints.publish_all(states(), "t1")
    for count in range(1, 6):
        checkpoints.delete(published[count].name)
        assert files(folder) == ["pack-t1"]
    views = [checkpoints.load(one.name, one.digest) for one in (published[0], published[6], published[7])]
    checkpoints.delete(published[6].name)
    assert files(folder) == sorted([published[0].name, published[7].name])
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    loads(checkpoints, [published[0], published[7]])
    assert [bytes(view) for view in views] == [states()[place].tobytes() for place in (0, 6, 7)]


def test_what_counts_is_the_space_that_is_left(checkpoints: LocalCheckpoints, folder: Path) -> None:
    published = checkpoints.publish_all([*states(9, 10), encode({"w": np.zeros(100_000)})], "t1")
    checkpoints.delete_all(names(published[:8]))
    assert files(folder) == ["pack-t1"]
    checkpoints.delete(published[9].name)
    assert files(folder) == [published[8].name]


def test_the_disk_is_bounded(checkpoints: LocalCheckpoints, folder: Path) -> None:
    """Of each pack a tenth is left: at most four times what is there lies on the disk."""
    kept = 0
    for number in range(20):
        published = checkpoints.publish_all(states(10, 2_000), f"t{number}")
        kept += published[number % 10].size
        checkpoints.delete_all([one.name for place, one in enumerate(published) if place != number % 10])
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 4 * kept


def test_what_is_taken_out_is_on_the_disk_before_the_pack_goes(
    checkpoints: LocalCheckpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = checkpoints.publish_all(states(), "t1")
    done = watch(monkeypatch)
    checkpoints.delete_all(names(published[2:]))
    assert [one for one in done if not one.startswith("unlink ") or "pack" in one] == [
        "mark 6", "write", "file", f"rename to {published[0].name[:4]}", "write", "file",
        f"rename to {published[1].name[:4]}", "folder", "unlink pack",
    ]  # fmt: skip


@pytest.mark.parametrize("call", ["fsync", "rename", "unlink"])
def test_a_disk_that_fails_while_states_are_taken_out_loses_none(
    checkpoints: LocalCheckpoints, folder: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    published, single = checkpoints.publish_all(states(), "t1"), checkpoints.publish(states()[0], "t2")
    real = getattr(os, call)

    def fail(*args: Any) -> Any:
        if call == "unlink" and "pack-" not in str(args[0]):
            return real(*args)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(CheckpointError, match="is full"):
            checkpoints.delete_all([*names(published[2:]), single.name])
    assert not any(file.startswith("tmp-") for file in files(folder))
    assert list(checkpoints.names()) == sorted(names(published[:2]))  # also what came after the pack was deleted
    loads(checkpoints, published[:2])
    checkpoints.delete(published[1].name)
    assert files(folder) == [published[0].name]
    loads(checkpoints, published[:1])


def test_a_state_that_is_a_file_and_in_its_pack_is_one(checkpoints: LocalCheckpoints, folder: Path) -> None:
    """A process died while it took states out."""
    encoded = states()
    published = checkpoints.publish_all(encoded, "t1")
    for place in (0, 1, 2):
        (folder / published[place].name).write_bytes(encoded[place].tobytes())
    assert list(checkpoints.names()) == sorted(names(published))
    checkpoints.delete(published[0].name)
    assert list(checkpoints.names()) == sorted(names(published[1:]))
    with pytest.raises(CheckpointMissing):
        checkpoints.load(published[0].name, published[0].digest)
    removed = checkpoints.sweep(keep={published[1].name}.__contains__, older_than=0.0, now=LATER)
    assert removed == tuple(sorted(names(published[2:])))
    assert files(folder) == [published[1].name]


def test_a_sweep_ends_what_a_dead_process_began(checkpoints: LocalCheckpoints, folder: Path) -> None:
    published = checkpoints.publish_all(states(), "t1")
    with opened(folder / "pack-t1", os.O_RDWR) as descriptor:
        os.pwrite(descriptor, b"\1" * 7, 16 + 8 * 56)
    (folder / "tmp-t2-0123abcd").write_bytes(b"half")
    assert checkpoints.sweep(keep=lambda name: True, older_than=0.0, now=LATER) == ("tmp-t2-0123abcd",)
    assert files(folder) == [published[7].name]


# -- at once ----------------------------------------------------------------------------------------------------------


def test_a_state_that_is_taken_out_while_it_is_looked_for_is_found(
    checkpoints: LocalCheckpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = checkpoints.publish_all(states(), "t1")
    real = os.open
    others = iter(range(1))

    def late(path: Any, *args: Any) -> int:
        if Path(path).name == "pack-t1" and next(others, None) is not None:
            LocalCheckpoints(checkpoints.folder).delete_all(names(published[1:]))
        return real(path, *args)

    monkeypatch.setattr(os, "open", late)
    loads(checkpoints, published[:1])
    assert next(others, None) is None


def test_what_one_deletes_another_does_not_bring_back(
    checkpoints: LocalCheckpoints, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A state is deleted while another process takes it out of its pack."""
    published = checkpoints.publish_all(states(), "t1")
    real, reached, go_on = os.rename, threading.Event(), threading.Event()

    def slow(source: Any, target: Any) -> None:
        if not reached.is_set():
            reached.set()
            assert go_on.wait(240)
        real(source, target)

    monkeypatch.setattr(os, "rename", slow)
    first = threading.Thread(target=checkpoints.delete_all, args=(names(published[2:]),))
    second = threading.Thread(target=LocalCheckpoints(folder).delete, args=(published[0].name,))
    first.start()
    assert reached.wait(240)
    second.start()
    second.join(0.3)  # it cannot end now; without the lock it does
    go_on.set()
    first.join()
    second.join()
    assert files(folder) == [published[1].name]


def test_who_waited_for_a_pack_that_is_gone_leaves_it_alone(
    checkpoints: LocalCheckpoints, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = checkpoints.publish_all(states(), "t1")
    real, others = fcntl.flock, iter(range(1))

    def late(descriptor: int, how: int) -> None:
        if next(others, None) is not None:
            LocalCheckpoints(folder).delete_all(names(published[2:]))
            LocalCheckpoints(folder).delete(published[1].name)
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    checkpoints.delete(published[0].name)
    assert files(folder) == []


def test_several_delete_and_load_at_once(checkpoints: LocalCheckpoints, folder: Path) -> None:
    published = checkpoints.publish_all(states(60, 20), "t1")
    wrong: list[BaseException] = []

    def run(work: Callable[..., None], *args: int) -> None:
        try:
            work(LocalCheckpoints(folder), *args)
        except BaseException as error:
            wrong.append(error)

    def delete(own: LocalCheckpoints, part: int) -> None:
        for one in published[part:56:4]:
            own.delete(one.name)

    def load(own: LocalCheckpoints) -> None:
        while any(thread.is_alive() for thread in deleting):
            loads(own, published[56:])
        loads(own, published[56:])

    deleting = [threading.Thread(target=run, args=(delete, part)) for part in range(4)]
    loading = [threading.Thread(target=run, args=(load,)) for _ in range(2)]
    for thread in (*deleting, *loading):
        thread.start()
    for thread in (*deleting, *loading):
        thread.join()
    assert wrong == []
    assert files(folder) == sorted(names(published[56:]))


# -- damage -----------------------------------------------------------------------------------------------------------


def change(path: Path, at: int, data: bytes = b"\xff") -> None:
    with opened(path, os.O_RDWR) as descriptor:
        os.pwrite(descriptor, data, at)


def test_a_damaged_state_costs_no_other(checkpoints: LocalCheckpoints, folder: Path) -> None:
    published = checkpoints.publish_all(states(), "t1")
    with opened(folder / "pack-t1", os.O_RDONLY) as descriptor:
        begin = listed(descriptor, "pack-t1")[3].begin
    change(folder / "pack-t1", begin + 200)
    with pytest.raises(CheckpointDamaged, match="changed or is cut short"):
        checkpoints.load(published[3].name, published[3].digest)
    loads(checkpoints, published[:3] + published[4:])


def test_a_damaged_entry_costs_no_other(checkpoints: LocalCheckpoints, folder: Path) -> None:
    published = checkpoints.publish_all(states(), "t1")
    change(folder / "pack-t1", 16 + 3 * 56 + 39)  # a byte of an offset
    with pytest.raises(CheckpointDamaged, match="head of pack-t1") as caught:
        checkpoints.load(published[3].name, published[3].digest)
    assert published[3].name in str(caught.value) and "\n" not in str(caught.value)
    others = published[:3] + published[4:]
    loads(checkpoints, others)
    assert list(checkpoints.names()) == sorted(names(others))
    checkpoints.delete_all(names(others))
    assert files(folder) == []


@pytest.mark.parametrize("cut", [0, 10, 100, 471], ids=str)
def test_a_pack_without_its_head_is_damaged_and_left_as_it_is(
    checkpoints: LocalCheckpoints, folder: Path, cut: int
) -> None:
    published = checkpoints.publish_all(states(), "t1")
    (folder / "pack-t1").write_bytes((folder / "pack-t1").read_bytes()[:cut])
    for one in published:
        with pytest.raises(CheckpointDamaged, match="changed or is cut short"):
            checkpoints.load(one.name, one.digest)
    checkpoints.delete_all(names(published))
    checkpoints.sweep(keep=lambda name: False, older_than=0.0, now=LATER)
    assert list(checkpoints.names()) == []
    assert files(folder) == ["pack-t1"]


def test_a_pack_of_another_version_is_left_as_it_is(checkpoints: LocalCheckpoints, folder: Path) -> None:
    published = checkpoints.publish_all(states(), "t1")
    change(folder / "pack-t1", 7, b"\2")
    with pytest.raises(CheckpointDamaged, match="head of pack-t1"):
        checkpoints.load(published[0].name, published[0].digest)
    checkpoints.delete_all(names(published))
    checkpoints.sweep(keep=lambda name: False, older_than=0.0, now=LATER)
    assert files(folder) == ["pack-t1"]


def test_a_pack_that_is_cut_short_costs_what_is_missing(checkpoints: LocalCheckpoints, folder: Path) -> None:
    published = checkpoints.publish_all(states(), "t1")
    os.truncate(folder / "pack-t1", (folder / "pack-t1").stat().st_size - 10)
    with pytest.raises(CheckpointDamaged):
        checkpoints.load(published[7].name, published[7].digest)
    loads(checkpoints, published[:7])
    checkpoints.delete_all(names(published[:7]))
    with pytest.raises(CheckpointDamaged):
        checkpoints.load(published[7].name, published[7].digest)


def test_names_that_no_pack_has_given_are_missing(checkpoints: LocalCheckpoints) -> None:
    published = checkpoints.publish_all(states(), "t1")
    digest = published[0].digest
    for place in ("1", "8", "99999999999999999999", "01"):
        with pytest.raises(CheckpointMissing):
            checkpoints.load(f"{digest}-t1_{place}.safetensors", digest)
        checkpoints.delete(f"{digest}-t1_{place}.safetensors")
    loads(checkpoints, published)


def test_files_of_others_under_names_of_packs_are_left_alone(checkpoints: LocalCheckpoints, folder: Path) -> None:
    published = checkpoints.publish_all(states(), "t1")
    (folder / "pack-mine").write_text("mine")
    checkpoints.sweep(keep=lambda name: False, older_than=0.0, now=LATER)
    assert published and files(folder) == ["pack-mine"]


# -- copies -----------------------------------------------------------------------------------------------------------


def test_a_copy_of_a_pack_has_what_is_wanted_of_it(checkpoints: LocalCheckpoints, tmp_path: Path) -> None:
    published = checkpoints.publish_all(states(8, 10_000), "t1")
    checkpoints.delete(published[5].name)  # its bytes are still there
    wanted = {one.name: one.digest for one in (published[0], published[5])}
    copies = LocalCheckpoints(tmp_path)
    size = copy_pack(checkpoints.folder / "pack-t1", tmp_path / "pack-t1", wanted)
    assert sum(one.size for one in published[:2]) < size < sum(one.size for one in published[:3])
    assert list(copies.names()) == sorted(wanted)
    loads(copies, [published[0], published[5]])
    copies.delete_all(list(wanted)[:1])
    loads(copies, published[5:6])


@pytest.mark.parametrize(("name", "digest"), [(0, 1), (8, 8)], ids=["another digest", "never there"])
def test_a_copy_is_whole_or_refused(checkpoints: LocalCheckpoints, tmp_path: Path, name: int, digest: int) -> None:
    published = [*checkpoints.publish_all(states(), "t1"), *checkpoints.publish_all(states()[:1], "t2")]
    with pytest.raises(CheckpointDamaged if name == 0 else CheckpointMissing):
        wanted = {published[name].name: published[digest].digest}
        copy_pack(checkpoints.folder / "pack-t1", tmp_path / "pack-t1", wanted)
