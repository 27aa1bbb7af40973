from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from warren.errors import StoreError
from warren.stores import sqlite
from warren.stores.filesystem import NETWORK, filesystem_of, mounts
from warren.stores.sqlite import SQLiteStore

MOUNTS = r"""
22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
23 22 0:21 / /proc rw,nosuid - proc proc rw
40 22 0:40 / /home rw,relatime shared:1 master:2 - nfs4 server:/home rw,vers=4.2
41 40 0:41 / /home/me/local\040disk rw - xfs /dev/vdb rw
42 22 0:42 / /mnt/tab\011and\134slash rw - fuse.sshfs me@there:/ rw
43 22 0:43 / /data rw - autofs systemd-1 rw
44 43 0:44 / /data rw - cifs //server/data rw
45 22 0:45 / /shared rw - 9p shared rw
this line is broken
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/srv/a.db", "ext4"),
        ("/home", "nfs4"),
        ("/home/me/a.db", "nfs4"),
        ("/homes/me/a.db", "ext4"),  # another folder, whose name begins alike
        ("/home/me/local disk/a.db", "xfs"),
        ("/home/me/local/a.db", "nfs4"),
        ("/mnt/tab\tand\\slash/a.db", "fuse.sshfs"),
        ("/data/a.db", "cifs"),  # what was mounted over the other
        ("/shared/runs/a.db", "9p"),
    ],
)
def test_the_file_system_of_a_path_is_that_of_the_nearest_mount_above_it(path: str, kind: str) -> None:
    assert filesystem_of(path, MOUNTS) == kind


def test_without_a_list_of_mounts_nothing_is_known() -> None:
    assert filesystem_of("/srv/a.db", "") is None
    assert filesystem_of("/srv/a.db", "22 1 254:0 / /elsewhere rw - ext4 /dev/vda rw\n") is None


def mounted(folder: Path, kind: str) -> str:
    escaped = str(folder).replace("\\", "\\134").replace(" ", "\\040")
    return f"{mounts()}99 1 0:99 / {escaped} rw,relatime shared:7 - {kind} somewhere:/ rw\n"


@pytest.mark.parametrize("kind", sorted(NETWORK))
def test_a_store_on_a_network_file_system_is_refused_before_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(sqlite, "mounts", lambda: mounted(tmp_path, kind))
    with pytest.raises(StoreError) as caught:
        SQLiteStore(tmp_path / "runs" / "a.db")
    for word in (str(tmp_path / "runs" / "a.db"), f"({kind})", "locks", "warren backup"):
        assert word in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "zfs", "overlay", "tmpfs", "9p", "virtiofs", "fuseblk"])
def test_file_systems_of_this_machine_are_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(sqlite, "mounts", lambda: mounted(tmp_path, kind))
    SQLiteStore(tmp_path / "runs" / "a.db").close()


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "lustre", "fuse.sshfs", "drvfs", "vboxsf"])
def test_file_systems_that_others_write_to_are_known(kind: str) -> None:
    assert kind in NETWORK


def test_a_link_does_not_hide_a_network_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "far away").mkdir()
    (tmp_path / "near").symlink_to(tmp_path / "far away")
    monkeypatch.setattr(sqlite, "mounts", lambda: mounted(tmp_path / "far away", "nfs"))
    with pytest.raises(StoreError, match="nfs"):
        SQLiteStore(tmp_path / "near" / "a.db")
    SQLiteStore(tmp_path / "a.db").close()


def test_what_is_mounted_on_demand_is_in_the_list_when_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An automounter mounts when a path below it is looked up, and not before."""
    asked: list[str] = []
    stat = os.stat

    def looked_up(path: Any, **more: Any) -> os.stat_result:
        asked.append(str(path))
        return stat(path, **more)

    monkeypatch.setattr(os, "stat", looked_up)
    below = f"{tmp_path}/"
    monkeypatch.setattr(
        sqlite, "mounts", lambda: mounted(tmp_path, "nfs4") if any(one.startswith(below) for one in asked) else ""
    )
    with pytest.raises(StoreError, match="nfs4"):
        SQLiteStore(tmp_path / "a.db")
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_came_to_be_on_one_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SQLiteStore(tmp_path / "a.db").close()
    monkeypatch.setattr(sqlite, "mounts", lambda: mounted(tmp_path, "nfs4"))
    with pytest.raises(StoreError, match="nfs4"):
        SQLiteStore(tmp_path / "a.db", create=False)
