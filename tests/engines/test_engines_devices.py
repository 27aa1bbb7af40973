from __future__ import annotations

import math
import os
import stat
from pathlib import Path

import pytest

from warren.engines.devices import (
    THREAD_VARIABLES,
    cores,
    default_workers,
    environment,
    shares,
    visible_gpus,
)
from warren.errors import InvalidValue


@pytest.mark.parametrize(
    ("population", "gpus", "per_member", "processors", "workers"),
    [
        (16, 0, 1, 8, 8),
        (4, 0, 1, 8, 4),
        (16, 4, 1, 64, 4),
        (16, 8, 2, 64, 4),
        (2, 8, 1, 64, 2),
        (16, 3, 2, 64, 1),
        (16, 1, 2, 64, 1),
        (1, 0, 1, 1, 1),
    ],
)
def test_how_many_workers(population: int, gpus: int, per_member: int, processors: int, workers: int) -> None:
    assert default_workers(population, gpus, per_member, processors) == workers


@pytest.mark.parametrize(
    ("workers", "gpus", "per_member", "expected"),
    [
        (3, "", 1, [(), (), ()]),
        (2, "01", 1, [("0",), ("1",)]),
        (4, "01", 1, [("0",), ("1",), ("0",), ("1",)]),
        (2, "0123", 2, [("0", "1"), ("2", "3")]),
        (3, "0123", 2, [("0", "1"), ("2", "3"), ("0", "1")]),
        (1, "01", 1, [("0",)]),
        (2, "012", 2, [("0", "1"), ("0", "1")]),  # one is left over
        (1, "012", 3, [("0", "1", "2")]),
    ],
)
def test_shares(workers: int, gpus: str, per_member: int, expected: list[tuple[str, ...]]) -> None:
    assert shares(workers, list(gpus), per_member) == tuple(expected)


@pytest.mark.parametrize("workers", range(1, 13))
@pytest.mark.parametrize("per_member", [1, 2, 3])
def test_shares_are_even(workers: int, per_member: int) -> None:
    found = shares(workers, [str(i) for i in range(6)], per_member)
    counts = [found.count(share) for share in set(found)]
    assert len(found) == workers
    assert max(counts) - min(counts) <= 1
    assert len(set(found)) == min(workers, 6 // per_member)
    assert max(counts) == math.ceil(workers / (6 // per_member))
    assert all(len(set(share)) == per_member for share in found)


def test_more_devices_than_there_are() -> None:
    with pytest.raises(InvalidValue, match=r"gpus_per_member=4 .* there are 2"):
        shares(1, ["0", "1"], 4)


def test_the_environment_of_a_worker() -> None:
    parent = {"HOME": "/home/me", "OMP_NUM_THREADS": "64", "CUDA_VISIBLE_DEVICES": "0,1,2,3"}
    made = environment(parent, 3, ("2", "3"))
    assert made == {
        **parent, **dict.fromkeys(THREAD_VARIABLES, "3"), "CUDA_VISIBLE_DEVICES": "2,3",
    }  # fmt: skip
    assert {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"} <= set(THREAD_VARIABLES)
    assert parent["OMP_NUM_THREADS"] == "64"
    assert environment(parent, 1, ())["CUDA_VISIBLE_DEVICES"] == "0,1,2,3"
    assert "CUDA_VISIBLE_DEVICES" not in environment({}, 1, ())


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("0,1", ("0", "1")),
        (" 2 , GPU-abc ", ("2", "GPU-abc")),
        ("", ()),
        ("-1", ()),
        ("MIG-1/2", ("MIG-1/2",)),
    ],
)
def test_devices_that_the_environment_names(listed: str, expected: tuple[str, ...]) -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": listed}) == expected


def test_devices_end_where_one_is_hidden() -> None:
    """As CUDA reads the variable: what stands after -1 is invisible."""
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "0,-1,1"}) == ("0",)


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 0; echo 1", ("0", "1")),
        ("echo 'NVIDIA-SMI has failed'; exit 9", ()),
        ("exit 1", ()),
    ],
)
def test_devices_that_the_driver_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, expected: tuple[str, ...]
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert visible_gpus({}) == expected


def test_no_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus({}) == ()


def test_cores_that_this_process_may_use() -> None:
    own = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(own)})
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, own)
    assert cores() == len(own)


def test_cores_where_the_system_does_not_say_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cores() == os.cpu_count()
