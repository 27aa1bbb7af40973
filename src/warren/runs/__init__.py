"""The face of the library: the only room that puts the others together."""

from warren.runs.face import join, load_file, open_result, resume, run
from warren.runs.working import Watch

__all__ = ["Watch", "join", "load_file", "open_result", "resume", "run"]
