"""The face of the library: the only room that puts the others together."""

from warren.audit import Step
from warren.runs.audits import Verified, mend, replay, retrace, verify
from warren.runs.backups import Backup, backup
from warren.runs.face import join, load_file, open_result, resume, run
from warren.runs.preflight import check
from warren.runs.working import Watch

__all__ = [
    "Backup",
    "Step",
    "Verified",
    "Watch",
    "backup",
    "check",
    "join",
    "load_file",
    "mend",
    "open_result",
    "replay",
    "resume",
    "retrace",
    "run",
    "verify",
]
