"""How many checkpoint files a run has at a time, counted while it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import warren
from warren.population import most_checkpoints


def large(slot: warren.Slot) -> None:
    """Counts, at each pass, the files that are there, into a file of its own."""
    w = np.zeros(10_000)
    slot.track(w=w)
    for member in slot:
        w += member["lr"]
        member.report(float(member.rng.random()))


@pytest.mark.parametrize(("workers", "every", "saved"), [(1, 1, 1), (1, 4, 1), (3, 1, 1), (3, 3, 1), (2, 4, 2)])
def test_the_bound_that_is_printed_holds(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], workers: int, every: int, saved: int
) -> None:
    store = tmp_path / "run.db"
    folder = tmp_path / "run.db.d" / "checkpoints"
    seen: list[int] = []

    def watch(result: Any) -> None:
        seen.append(sum(1 for path in folder.glob("*.safetensors")) if folder.is_dir() else 0)

    result = warren.run(
        large, space={"lr": warren.Float(0.1, 1.0)}, goal="max", population=6, intervals=24, store=store,
        workers=workers, strategy=warren.PBT(every=every), checkpoint_every=saved, watch=watch,
    )  # fmt: skip
    most = most_checkpoints(6, workers, pins=1)
    assert f"keeps at most {most} checkpoints at a time" in capfd.readouterr().err
    assert result.run.total == 144
    assert most == 12 + 4 * workers + 2  # and not 144
    assert 0 < max(seen) <= most
    assert len(list(folder.iterdir())) == len(result.store.kept()) <= 2 * 6 + 1
