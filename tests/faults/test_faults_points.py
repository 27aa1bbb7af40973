"""A worker killed at every point of an interval's way, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.faults import points

import warren
from warren.engines.processes import Processes
from warren.testing.check import check

ARGUMENTS: dict[str, Any] = {"space": points.SPACE, "goal": "max", "population": 3, "intervals": 4, "seed": 3}
LATER = 4e9

# A point, the how-manieth time, whether a member is held there, and whether a whole pass is done and not yet reported.
POINTS = [
    ("claim: before", 1, False, False),
    ("claim: before COMMIT", 1, False, False),
    ("claim: after", 1, True, False),
    ("train", 4, True, False),
    ("publish: before", 5, True, True),
    ("publish: renamed", 5, True, True),
    ("publish: after", 5, True, True),
    ("report: before", 6, True, True),
    ("report: before COMMIT", 6, True, True),
    ("report: after", 6, True, False),
    ("commit: before", 1, True, False),
    ("commit: before COMMIT", 2, True, False),
    ("commit: after", 1, True, False),
    ("delete: before", 1, True, False),
    ("delete: after", 2, True, False),
]


@pytest.fixture(scope="module")
def expected() -> str:
    """Digest of the run that nothing happens to."""
    return warren.run(points.train, **ARGUMENTS).digest


@pytest.mark.parametrize(("point", "nth", "held", "worked"), POINTS, ids=[point for point, *_ in POINTS])
def test_a_worker_killed_at_a_point_costs_one_interval_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: str, point: str, nth: int, held: bool, worked: bool
) -> None:
    monkeypatch.setenv(points.POINT, f"{point} {nth}")
    monkeypatch.setenv(points.FOLDER, str(tmp_path))
    result = warren.run(points.train, **ARGUMENTS, store=tmp_path / "run.db", workers=1, engine=Processes())
    assert (tmp_path / "dead").exists(), "no worker has come by this point"
    assert result.digest == expected
    assert check(result.store, result.states) == []
    # Counted once, where a member was held at all.
    kinds = [event.kind for event in result.events]
    assert kinds.count("lost") == int(held)
    assert "failure" not in kinds and "quarantine" not in kinds
    assert [row.failures for row in result.members] == [0, 0, 0]
    passes = (tmp_path / "passes").read_text().splitlines()
    assert len(set(passes)) == 12
    assert len(passes) == 12 + int(worked)
    result.states.sweep(LATER)
    files = {path.name for path in (tmp_path / "run.db.d" / "checkpoints").iterdir()}
    assert files == result.store.kept()
    result.store.close()
