"""How processors and accelerators are shared among workers."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from warren.errors import InvalidValue

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def cores() -> int:
    """Processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def visible_gpus(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The NVIDIA devices that this process may use, by the names that ``CUDA_VISIBLE_DEVICES`` takes.

    Asks the driver's own tool, so that no framework is loaded for it.

    Args:
        environ: The environment.
    """
    listed = environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        parts = [part.strip() for part in listed.split(",")]
        seen = parts[: parts.index("-1")] if "-1" in parts else parts  # CUDA sees nothing from -1 on
        return tuple(part for part in seen if part)
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    try:
        listing = subprocess.run(
            [tool, "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(line.strip() for line in listing.stdout.splitlines() if line.strip().isdigit())


def default_workers(population: int, gpus: int, per_member: int, processors: int) -> int:
    """How many workers are started unless told: one for each share of GPUs, else one a core.

    Args:
        population: Members; more workers than members would idle.
        gpus: Devices.
        per_member: Devices for each member.
        processors: Cores.
    """
    return max(1, min(population, gpus // per_member if gpus else processors))


def shares(workers: int, gpus: Sequence[str], per_member: int) -> tuple[tuple[str, ...], ...]:
    """Which devices each worker sees.

    Args:
        workers: How many.
        gpus: Devices; empty where there are none.
        per_member: Devices for each worker.

    Returns:
        One tuple a worker. With more workers than shares, workers share devices evenly.

    Raises:
        InvalidValue: A worker is to have more devices than there are.
    """
    if not gpus:
        if per_member > 1:
            raise InvalidValue(f"gpus_per_member={per_member} needs GPUs, and none is visible; leave it out")
        return ((),) * workers
    if per_member > len(gpus):
        raise InvalidValue(
            f"gpus_per_member={per_member} must be at most the number of GPUs, but there are {len(gpus)}"
        )
    blocks = [tuple(gpus[i : i + per_member]) for i in range(0, len(gpus) - per_member + 1, per_member)]
    return tuple(blocks[i % len(blocks)] for i in range(workers))


def environment(environ: Mapping[str, str], threads: int, devices: Sequence[str]) -> dict[str, str]:
    """A worker's environment: its threads, and only its own devices.

    Args:
        environ: The parent's.
        threads: For every framework's own pool; set before the frameworks are imported, when they read it.
        devices: The devices that it sees; empty leaves them as they are.
    """
    result = dict(environ)
    result.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    if devices:
        result["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
    return result
