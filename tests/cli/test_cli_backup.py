import os
import resource
import shutil
import stat
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from tests.cli.helpers import COMPLETE, environment, here, interrupt, opened, start, wait_until, warren
from tests.cli.test_cli_mistakes import one_line

import warren as library
from warren.checkpoints import LocalCheckpoints
from warren.errors import CheckpointDamaged, InvalidValue, StoreError
from warren.population import CheckpointRow, RunRow
from warren.runs import backups
from warren.state import Tree, encode
from warren.stores.folder import folder_of
from warren.stores.sqlite import SQLiteStore, runs_in
from warren.testing.check import check
from warren.training import States

# States that are files of 400 KB: larger than the record.
LARGE = COMPLETE.replace("np.array([float(seed % 5)])", "np.full(50_000, float(seed % 5))")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    (folder / "toy.py").write_text(LARGE)
    for seed, name in enumerate(("default", "second")):
        done = here(folder, "run", "toy.py", "--workers", 1, "--run", name, "--seed", seed)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "folder")
    return tmp_path / "folder"


def sound(path: Path, name: str = "default") -> RunRow:
    """A copy's run, after its record was checked with every checkpoint that it names."""
    with closing(SQLiteStore(path, name, create=False)) as store:
        states = States(store, LocalCheckpoints(folder_of(path) / "checkpoints"))
        assert check(store, states) == []
        store.verify()
        # Nobody is at work in it.
        assert store.workers() == []
        assert [row for row in store.members() if row.state == "leased"] == []
        return store.run()


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def folders_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_dir()}


def test_a_copy_holds_every_run_with_its_checkpoints_and_can_be_resumed(folder: Path) -> None:
    before, folders = everything_in(folder), folders_in(folder)
    done = here(folder, "backup", "runs/toy.db", "far/away/copy.db")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("backup far/away/copy.db: 2 runs, ")
    after = everything_in(folder)
    assert {name: data for name, data in after.items() if not name.startswith("far")} == before
    assert {name for name in folders_in(folder) if not name.startswith("far")} == folders  # nothing is left behind
    copy = folder / "far" / "away" / "copy.db"
    assert runs_in(copy) == ["default", "second"]
    for name in ("default", "second"):
        sound(copy, name)
        with opened(folder / "runs" / "toy.db", name) as old, opened(copy, name) as new:
            assert [vars(row) for row in new.intervals] == [vars(row) for row in old.intervals]
            assert new.best.score == old.best.score
            assert new.best.state().keys() == old.best.state().keys()
    shutil.rmtree(folder / "runs")
    done = here(folder, "run", "toy.py", "--store", copy, "--workers", 1, "--intervals", 5)
    assert done.returncode == 0, done.stderr
    done = here(folder, "resume", "far/away/copy.db", "--run", "second", "--workers", 1, "--intervals", 4)
    assert done.returncode == 0, done.stderr
    for name, total in (("default", 20), ("second", 16)):
        sound(copy, name)
        with opened(copy, name) as result:
            assert result.run.total == total


def test_only_the_owner_may_read_a_copy(folder: Path) -> None:
    old = os.umask(0)
    try:
        assert here(folder, "backup", "runs/toy.db", "copy.db").returncode == 0
    finally:
        os.umask(old)
    for path in (folder / "copy.db", *(folder / "copy.db.d").rglob("*"), folder / "copy.db.d"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


INTERVALS = 100


def test_backups_of_a_run_that_goes_on_are_whole(tmp_path: Path) -> None:
    """Members come as far as a file is long, so that the run is never over too soon."""
    waits = 'while member.budget >= os.path.getsize("allowed"): time.sleep(0.01)'
    (tmp_path / "toy.py").write_text(LARGE.replace('time.sleep(float(os.environ.get("PACE", "0")))', waits))

    def allow(more: int) -> None:
        with open(tmp_path / "allowed", "a") as allowed:
            allowed.write(more * "x")

    allow(5)
    store = tmp_path / "runs" / "toy.db"
    process = start(
        tmp_path, "run", "toy.py", "--intervals", INTERVALS, "--workers", 2, "--plain",
        OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1",
    )  # fmt: skip
    try:
        wait_until(lambda: _total(store) > 0, "an interval")
        revisions, held = [], 0
        for number in range(8):
            copy = tmp_path / f"copy-{number}.db"
            allow(5)
            library.backup(store, copy)
            before = _total(store)
            allow(5)
            wait_until(lambda before=before: _total(store) > before + 3, "work beside a backup")  # type: ignore[misc]
            run = sound(copy)
            assert run.status == "running"
            with opened(copy) as result:
                held += any(event.kind == "lost" for event in result.events)
            revisions.append(run.revision)
        assert revisions == sorted(set(revisions))
        assert held > 0  # what was being trained is given back in the copy, else this has shown nothing
    finally:
        interrupt(process)
        allow(INTERVALS)
        out, err = process.communicate(timeout=240)
    assert process.returncode == 130, err + out
    assert not any(path.name.startswith(("backup-", "new-")) for path in folder_of(store).iterdir())
    last = sound(copy)
    shutil.rmtree(store.parent)  # the copy needs nothing of it
    done = warren(tmp_path, "resume", copy.name, "--workers", 2, "--plain")
    assert done.returncode == 0, done.stderr
    run = sound(copy)
    assert (run.status, run.total) == ("done", 4 * INTERVALS)
    assert run.total > last.total


def _total(store: Path) -> int:
    try:
        with opened(store) as result:
            return result.run.total
    except library.WarrenError:  # not yet made
        return 0


# -- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", ["copy.db", "copy.db.d", "copy.db-journal", "copy.db-wal"])
def test_what_is_there_is_never_written_over(folder: Path, there: str) -> None:
    (folder / there).mkdir() if there.endswith(".d") else (folder / there).write_text("mine")
    before, folders = everything_in(folder), folders_in(folder)
    one_line(here(folder, "backup", "runs/toy.db", "copy.db"), f"{there} is there already", "another path")
    assert (everything_in(folder), folders_in(folder)) == (before, folders)


def test_a_store_is_not_copied_onto_itself(folder: Path) -> None:
    before = everything_in(folder)
    (folder / "runs too").symlink_to("runs")
    for target in ("runs/toy.db", "runs too/toy.db"):
        one_line(here(folder, "backup", "runs/toy.db", target), "the store itself", "another path")
    assert everything_in(folder) == before


def test_a_store_that_is_not_there_is_not_copied(tmp_path: Path) -> None:
    one_line(here(tmp_path, "backup", "runs/toy.db", "far/copy.db"), "no store at", "runs/toy.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("harm", ["damaged", "missing"])
def test_a_copy_with_a_checkpoint_that_is_not_what_it_was_is_not_taken(folder: Path, harm: str) -> None:
    victim = sorted((folder / "runs" / "toy.db.d" / "checkpoints").iterdir())[3]
    if harm == "missing":
        victim.unlink()
    else:
        data = bytearray(victim.read_bytes())
        data[len(data) // 2] ^= 1
        victim.write_bytes(data)
    before, folders = everything_in(folder), folders_in(folder)
    one_line(here(folder, "backup", "runs/toy.db", "far/copy.db"), victim.name)
    assert (everything_in(folder), folders_in(folder)) == (before, folders)


def test_a_checkpoint_that_is_missing_is_given_up_by_the_command_that_is_named(folder: Path) -> None:
    victim = sorted((folder / "runs" / "toy.db.d" / "checkpoints").iterdir())[3]
    victim.unlink()
    line = one_line(here(folder, "backup", "runs/toy.db", "copy.db"), victim.name, "put it back", "--mend")
    assert "warren resume" not in line
    for name in ("default", "second"):
        here(folder, "verify", "runs/toy.db", "--run", name, "--mend")
    assert here(folder, "backup", "runs/toy.db", "copy.db").returncode == 0


@pytest.mark.parametrize("target", ["runs", "/", "."])
def test_a_copy_is_a_file(folder: Path, target: str) -> None:
    one_line(here(folder, "backup", "runs/toy.db", target), "is a folder; give the path of a file")


def test_a_store_without_files_needs_no_folder_beside_it(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(COMPLETE)
    assert here(tmp_path, "run", "toy.py", "--workers", 1).returncode == 0
    shutil.rmtree(tmp_path / "runs" / "toy.db.d")
    done = here(tmp_path, "backup", "runs/toy.db", "copy.db")
    assert done.returncode == 0, done.stderr
    sound(tmp_path / "copy.db")


@pytest.mark.parametrize("limit", [40_000, 300_000], ids=["the record", "a checkpoint"])
def test_a_full_disk_is_one_line_and_leaves_nothing(folder: Path, limit: int) -> None:
    """A limit on the size of files ends a write in its middle, as a full disk does."""
    assert 40_000 < (folder / "runs" / "toy.db").stat().st_size < 300_000
    before, folders = everything_in(folder), folders_in(folder)
    done = subprocess.run(
        [sys.executable, "-m", "warren", "backup", "runs/toy.db", "far/copy.db"],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=240, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    one_line(done, "cannot be copied" if limit == 40_000 else "far/copy.db")
    assert (everything_in(folder), folders_in(folder)) == (before, folders)


def test_an_interrupt_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, folders = everything_in(folder), folders_in(folder)
    whole = backups._copy
    for last in (1, 5, 10**6):
        copied = iter(range(last))

        def interrupted(
            source: Path, target: Path, name: str = "", digest: str = "", copied: Iterator[int] = copied
        ) -> int:
            size = whole(source, target, name, digest)
            if next(copied, None) is None or source.name == "record.db":
                raise KeyboardInterrupt
            return size

        monkeypatch.setattr(backups, "_copy", interrupted)
        with pytest.raises(KeyboardInterrupt):
            library.backup(folder / "runs" / "toy.db", folder / "far" / "copy.db")
        assert (everything_in(folder), folders_in(folder)) == (before, folders)


_KILLED = """
import os, signal, sys
import warren
from warren.runs import backups

whole, left = backups._copy, int(sys.argv[1])


def killed(*arguments):
    global left
    size = whole(*arguments)
    left -= 1
    if left == 0 or arguments[0].name == "record.db":
        os.kill(os.getpid(), signal.SIGKILL)
    return size


backups._copy = killed
warren.backup("runs/toy.db", "copy.db")
"""


@pytest.mark.parametrize("after", [2, 10**6], ids=["between checkpoints", "before the record has its name"])
def test_a_backup_that_was_killed_is_never_taken_for_a_whole_one(folder: Path, after: int) -> None:
    command = [sys.executable, "-c", _KILLED, str(after)]
    assert subprocess.run(command, cwd=folder, env=environment(), timeout=240, check=False).returncode == -9
    one_line(here(folder, "status", "copy.db"), "no store at copy.db")
    one_line(here(folder, "run", "toy.py", "--store", "copy.db", "--workers", 1), "gone or empty")
    one_line(here(folder, "backup", "runs/toy.db", "copy.db"), "copy.db.d is there already")
    # The next one takes away what it left beside the store.
    assert any(path.name.startswith("backup-") for path in (folder / "runs" / "toy.db.d").iterdir())
    assert here(folder, "backup", "runs/toy.db", "other.db").returncode == 0
    assert not any(path.name.startswith("backup-") for path in (folder / "runs" / "toy.db.d").iterdir())
    sound(folder / "other.db")


def test_what_another_backup_works_with_is_left_to_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, others = backups._copy, iter(range(1))

    def beside(source: Path, target: Path, name: str = "", digest: str = "") -> int:
        if next(others, None) is not None:
            library.backup(folder / "runs" / "toy.db", folder / "other.db")
        return whole(source, target, name, digest)

    monkeypatch.setattr(backups, "_copy", beside)
    library.backup(folder / "runs" / "toy.db", folder / "copy.db")
    sound(folder / "copy.db")
    sound(folder / "other.db")


def test_file_systems_without_links_are_copied_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    made = library.backup(folder / "runs" / "toy.db", folder / "copy.db")
    assert made.checkpoints > 4
    sound(folder / "copy.db")


def saved_together(states: States, tree: Tree) -> CheckpointRow:
    """As a state is kept that was published with two others, which were never reported."""
    others = [encode({"x": np.full(20_000, value)}) for value in (1.0, 2.0)]
    encoded = [others[0], encode(tree), others[1]]
    published = states._checkpoints.publish_all(encoded, f"together-{uuid.uuid4().hex}")[1]
    return CheckpointRow(name=published.name, digest=published.digest, size=published.size)


def _train_large(slot: library.Slot) -> None:
    for member in slot:
        member.state = {"x": np.full(50_000, float(member.budget))}
        member.report(member["lr"] + member.budget)


def run_large(store: Path, intervals: int) -> None:
    result = library.run(
        _train_large, space={"lr": library.Float(0.1, 0.2)}, goal="max", population=3, intervals=intervals,
        workers=1, store=store,
    )  # fmt: skip
    assert result.run.total == 3 * intervals
    result.store.close()


@pytest.fixture
def packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose states lie in packs."""
    with monkeypatch.context() as patch:
        patch.setattr(States, "save", saved_together)
        run_large(tmp_path / "run.db", 4)
    return tmp_path / "run.db"


def test_a_copy_of_a_run_with_packs_holds_what_the_record_names_and_can_be_gone_on_with(packed: Path) -> None:
    there = packed.with_name("run.db.d") / "checkpoints"
    before = everything_in(there)
    assert before and all(name.startswith("pack-") for name in before)
    with closing(SQLiteStore(packed, create=False)) as store:
        named = sorted(name for name, _ in store.files())
    made = library.backup(packed, packed.with_name("copy.db"))
    assert made.checkpoints == len(named) > 4
    assert everything_in(there) == before
    copied = packed.with_name("copy.db.d") / "checkpoints"
    assert list(LocalCheckpoints(copied).names()) == named
    assert made.size < packed.stat().st_size + len(named) * 410_000  # and nothing of those that nobody named
    sound(packed.with_name("copy.db"))
    shutil.rmtree(there)
    run_large(packed.with_name("copy.db"), 6)
    sound(packed.with_name("copy.db"))


def test_a_damaged_state_in_a_pack_refuses_the_copy(packed: Path) -> None:
    for pack in (packed.with_name("run.db.d") / "checkpoints").iterdir():
        content = pack.read_bytes()
        pack.write_bytes(content[:300_000] + b"?" + content[300_001:])
    with pytest.raises(CheckpointDamaged, match="older checkpoint"):
        library.backup(packed, packed.with_name("copy.db"))
    assert not list(packed.parent.glob("copy.db*"))


def test_a_state_that_is_taken_out_of_its_pack_during_a_backup_is_copied(
    packed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = LocalCheckpoints(packed.with_name("run.db.d") / "checkpoints")
    with closing(SQLiteStore(packed, create=False)) as store:
        named = {name for name, _ in store.files()}
    link = os.link

    def late(source: Path, target: Path) -> None:
        if source.name.startswith("pack-") and source.exists():
            (own,) = named & set(name for name in there.names() if source.name.partition("-")[2] in name)
            (there.folder / own).write_bytes(there.load(own, own[:64]))
            source.unlink()
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    library.backup(packed, packed.with_name("copy.db"))
    assert {path.name for path in (packed.with_name("copy.db.d") / "checkpoints").iterdir()} == named
    sound(packed.with_name("copy.db"))


def test_a_lost_record_beside_packs_is_not_made_anew(packed: Path) -> None:
    packed.unlink()
    with pytest.raises(StoreError, match="gone or empty"):
        run_large(packed, 4)


def test_a_copy_can_be_taken_from_inside_the_run(tmp_path: Path) -> None:
    taken = []

    def take(result: library.Result) -> None:
        if not taken and result.run.total > 0:
            taken.append(library.backup(tmp_path / "run.db", tmp_path / "copy.db"))
            with pytest.raises(InvalidValue, match="already"):
                library.backup(tmp_path / "run.db", tmp_path / "copy.db")

    result = library.run(
        _train, space={"lr": library.Float(0.1, 0.2)}, goal="max", population=2, intervals=300, workers=1,
        store=tmp_path / "run.db", watch=take,
    )  # fmt: skip
    assert result.run.total == 600
    result.store.close()
    assert (taken[0].runs, taken[0].checkpoints, taken[0].path) == (1, 0, tmp_path / "copy.db")
    sound(tmp_path / "copy.db")


def _train(slot: library.Slot) -> None:
    for member in slot:
        member.state = {"x": 1}
        member.report(member["lr"])
