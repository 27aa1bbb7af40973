from __future__ import annotations

import pytest

from warren.checkpoints import CheckpointStore, MemoryCheckpoints
from warren.errors import CheckpointDamaged
from warren.state import encode
from warren.testing.checkpoints import CheckpointStoreContract


class TestMemoryCheckpoints(CheckpointStoreContract):
    @pytest.fixture
    def checkpoints(self) -> CheckpointStore:
        return MemoryCheckpoints()


def test_the_clock_is_given() -> None:
    now = [100.0]
    checkpoints = MemoryCheckpoints(clock=lambda: now[0])
    old = checkpoints.publish(encode(1), "old")
    now[0] = 150.0
    young = checkpoints.publish(encode(2), "young")
    assert checkpoints.sweep(keep=lambda name: False, older_than=30.0, now=160.0) == (old.name,)
    assert list(checkpoints.names()) == [young.name]


def test_contract_needs_a_fixture() -> None:
    with pytest.raises(NotImplementedError, match="override"):
        CheckpointStoreContract.checkpoints.__wrapped__(CheckpointStoreContract())  # type: ignore[attr-defined]


def test_a_name_with_the_digest_of_another_checkpoint_is_refused() -> None:
    checkpoints = MemoryCheckpoints()
    one, two = checkpoints.publish(encode(1), "t1"), checkpoints.publish(encode(2), "t2")
    with pytest.raises(CheckpointDamaged, match="older checkpoint"):
        checkpoints.load(one.name, two.digest)
