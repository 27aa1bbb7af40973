from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.faults.script")

from tests.faults.injector import Forks, build, why_not  # noqa: E402


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The injector, compiled."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    return build(tmp_path_factory.mktemp("inject"))


@pytest.fixture(scope="session")
def forks(library: Path) -> Iterator[Forks]:
    """A process that runs with the injector."""
    process = Forks(library, library.with_name("errors.txt"))
    yield process
    process.close()
