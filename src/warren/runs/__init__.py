"""The face of the library: the only room that puts the others together.

Names are loaded when they are first used: a run needs neither the audit nor the pre-flight.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from warren.audit import Step as Step
    from warren.runs.audits import Verified as Verified
    from warren.runs.audits import mend as mend
    from warren.runs.audits import replay as replay
    from warren.runs.audits import retrace as retrace
    from warren.runs.audits import verify as verify
    from warren.runs.backups import Backup as Backup
    from warren.runs.backups import backup as backup
    from warren.runs.face import join as join
    from warren.runs.face import load_file as load_file
    from warren.runs.face import open_result as open_result
    from warren.runs.face import resume as resume
    from warren.runs.face import run as run
    from warren.runs.preflight import check as check
    from warren.runs.working import Watch as Watch

_FILES = {
    "Backup": "warren.runs.backups",
    "Step": "warren.audit",
    "Verified": "warren.runs.audits",
    "Watch": "warren.runs.working",
    "backup": "warren.runs.backups",
    "check": "warren.runs.preflight",
    "join": "warren.runs.face",
    "load_file": "warren.runs.face",
    "mend": "warren.runs.audits",
    "open_result": "warren.runs.face",
    "replay": "warren.runs.audits",
    "resume": "warren.runs.face",
    "retrace": "warren.runs.audits",
    "run": "warren.runs.face",
    "verify": "warren.runs.audits",
}

__all__ = [*_FILES]


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module 'warren.runs' has no attribute {name!r}")
    value = getattr(importlib.import_module(_FILES[name]), name)
    globals()[name] = value
    return value
