"""Which file system a path is on, and which of them no store may be on."""

from __future__ import annotations

import re
from pathlib import Path

from warren.errors import StoreError

NETWORK = frozenset(
    {
        "nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "coda", "davfs",
        "ceph", "lustre", "gpfs", "beegfs", "glusterfs", "orangefs", "pvfs2", "panfs", "wekafs",
        "fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "fuse.glusterfs", "fuse.davfs2", "fuse.mount_s3",
        "fuse.mountpoint-s3", "fuse.goofys", "fuse.juicefs", "fuse.blobfuse", "fuse.blobfuse2", "fuse.ceph-fuse",
        "fuse.curlftpfs", "fuse.seaweedfs", "fuse.lizardfs", "fuse.mfs", "drvfs", "vboxsf",
    }
)  # fmt: skip
"""Types on which locks or writes of one machine, or of a virtual one's host, may not be seen by another."""

_OCTAL = re.compile(r"\\([0-7]{3})")


def filesystem_of(path: str, mounts: str) -> str | None:
    """The type of the file system that holds a path.

    Args:
        path: Absolute, with no symbolic links in it.
        mounts: The text of ``/proc/self/mountinfo``.

    Returns:
        The type, or None where no line of the text tells.
    """
    kind, longest = None, -1
    for line in mounts.splitlines():
        # Fields before a lone "-" vary in number; the mount point is the fifth, the type the first after it.
        mount, _, rest = line.partition(" - ")
        fields, types = mount.split(" "), rest.split(" ")
        if len(fields) < 6 or not types[0]:
            continue
        point = _plain(fields[4])
        below = path == point or path.startswith(point.rstrip("/") + "/")
        if below and len(point) >= longest:  # of two at one place the later one covers the earlier
            kind, longest = _plain(types[0]), len(point)
    return kind


def refuse_network(path: Path, mounts: str) -> None:
    """Refuse a place that is on a network file system.

    Args:
        path: Where the store shall be; need not exist.
        mounts: The text of ``/proc/self/mountinfo``; nothing is refused where it is empty.

    Raises:
        StoreError: It is on one.
    """
    kind = filesystem_of(str(path.resolve()), mounts)
    if kind in NETWORK:
        raise StoreError(
            f"the store {path} would be on a network file system ({kind}), where SQLite's locks are not kept and "
            "commits could be lost; put it on a disk of this machine, and copy it there with warren backup"
        )


def mounts() -> str:
    """The mounts that this process sees; empty on systems that do not list them."""
    try:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _plain(field: str) -> str:
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), field)
