from __future__ import annotations

import pytest

from warren.stores import MemoryStore, Store
from warren.testing.stores import StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


def test_the_contract_needs_a_fixture() -> None:
    with pytest.raises(NotImplementedError, match="override"):
        StoreContract.store.__wrapped__(StoreContract())  # type: ignore[attr-defined]
