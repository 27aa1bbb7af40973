from __future__ import annotations

from pathlib import Path

import pytest

import warren
from warren.engines import Engine, Inline, Vectorised
from warren.engines.processes import Processes
from warren.testing.engines import QUADRATIC, SPACE, EngineContract, LoopContract


class TestInline(LoopContract):
    @pytest.fixture
    def engine(self) -> Engine:
        return Inline()


class TestProcesses(LoopContract):
    @pytest.fixture
    def engine(self) -> Engine:
        return Processes()


class TestVectorised(EngineContract):
    at_once = 4

    @pytest.fixture
    def engine(self) -> Engine:
        return Vectorised()


def test_every_engine_and_store_gives_one_digest(tmp_path: Path) -> None:
    arguments = {"space": SPACE, "goal": "max", "population": 4, "intervals": 4, "seed": 1, "workers": 1}
    memory = warren.run(QUADRATIC, **arguments)  # type: ignore[arg-type]
    inline = warren.run(QUADRATIC, store=tmp_path / "a.db", engine="inline", **arguments)  # type: ignore[arg-type]
    process = warren.run(QUADRATIC, store=tmp_path / "b.db", engine="processes", **arguments)  # type: ignore[arg-type]
    assert memory.digest == inline.digest == process.digest
    for result in (memory, inline, process):
        result.store.close()


def test_the_contract_needs_a_fixture() -> None:
    with pytest.raises(NotImplementedError, match="override"):
        EngineContract.engine.__wrapped__(EngineContract())  # type: ignore[attr-defined]
