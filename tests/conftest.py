"""What holds for all tests.

Those that take real processes apart say little about a version of Python, and run on one only. Ctrl-C is heard by what
they start also where a shell has started the tests in the background, and has told them to ignore it.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Else torch takes every core that it sees, in several test processes at once, until some test tells it not to.
os.environ.setdefault("OMP_NUM_THREADS", "1")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a process that is started does not inherit it then

# The same examples everywhere, and however slow the machine is.
settings.register_profile(
    "warren", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("warren")

HERE = Path(__file__).parent
PROCESSES = (
    "faults/",
    "audit/test_audit_replay.py",
    "cli/test_cli_audit.py",
    "cli/test_cli_away.py",
    "cli/test_cli_backup.py",
    "cli/test_cli_interrupt.py",
    "cli/test_cli_live.py",
    "cli/test_cli_mistakes.py",
    "engines/test_engines_kill.py",
    "engines/test_engines_poison.py",
    "engines/test_engines_supervision.py",
    "engines/test_engines_zombies.py",
    "runs/test_runs_conditions.py",
    "stores/test_stores_lockstep.py",
    "stores/test_stores_sqlite_contention.py",
    "stores/test_stores_sqlite_damage.py",
    "strategies/test_strategies_combining.py",
    "strategies/test_strategies_digits.py",
    "training/test_training_retention.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark them; ``-m "not processes"`` leaves them out."""
    for item in items:
        if item.path.is_relative_to(HERE) and item.path.relative_to(HERE).as_posix().startswith(PROCESSES):
            item.add_marker(pytest.mark.processes)
