"""How a worker died, in words: by which signal, for want of memory, and where in the user's code."""

from __future__ import annotations

import re
import signal
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

DUMPING = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL})
"""Signals on which `faulthandler` writes the stack."""

_FATAL = "Fatal Python error: "
_FRAME = re.compile(r'^ *File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.*)$', re.MULTILINE)
_MOST = 30
_WARREN = str(Path(__file__).parents[1])
_LIBRARIES = (sysconfig.get_paths()["stdlib"], sysconfig.get_paths()["platstdlib"], "<frozen", _WARREN)
_INSTALLED = ("site-packages", "dist-packages")


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One call on a stack.

    Attributes:
        file: Where it is.
        line: The line.
        function: The function's name.
    """

    file: str
    line: int
    function: str


@dataclass(frozen=True, kw_only=True)
class OomKills:
    """How often the system has killed for want of memory; None where it does not say.

    Attributes:
        group: In this process's control group, which workers are in.
        machine: Anywhere on this machine.
    """

    group: int | None
    machine: int | None


def oom_kills(group: str, machine: str) -> OomKills:
    """Read the system's counters.

    Args:
        group: Content of the control group's ``memory.events`` or ``memory.oom_control``; empty where there is none.
        machine: Content of ``/proc/vmstat``, likewise.
    """
    return OomKills(group=_count(group), machine=_count(machine))


def _count(text: str) -> int | None:
    words = (line.split() for line in text.splitlines())
    return next((int(w[1]) for w in words if len(w) == 2 and w[0] == "oom_kill" and w[1].isdigit()), None)


def oom_texts() -> tuple[str, str]:
    """The counters of this process's control group and of this machine, as `oom_kills` takes them."""
    events = ""
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        number, controllers, group = (line.split(":", 2) + ["", ""])[:3]
        if number == "0" and not controllers:
            events = events or _text(Path(f"/sys/fs/cgroup{group}/memory.events"))
        elif "memory" in controllers.split(","):  # the older kind of control groups
            events = events or _text(Path(f"/sys/fs/cgroup/memory{group}/memory.oom_control"))
    return events, _text(Path("/proc/vmstat"))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""  # another system, or not for us to read: then nothing is known


def ending(code: int, *, sent: bool, before: OomKills, after: OomKills) -> str:
    """How a process ended.

    Args:
        code: As `subprocess` gives it: negative for a signal.
        sent: SIGKILL was sent by the supervisor itself.
        before: `oom_kills` when the process was started.
        after: `oom_kills` now.
    """
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:  # a real-time signal
        name = str(-code)
    if -code == signal.SIGKILL and not sent:
        words = "killed by the system for memory (signal SIGKILL); use fewer workers or smaller members"
        if before.group is not None and after.group is not None:
            # It counts what happens to these workers, and what happens to others must not be taken for it.
            return words if after.group > before.group else f"signal {name}"
        if before.machine is not None and after.machine is not None and after.machine > before.machine:
            return f"perhaps {words}"
    return f"signal {name}"


def frames(dump: str) -> list[Frame]:
    """The newest stack in what `faulthandler` wrote, the most recent call first."""
    block = dump[max(0, dump.rfind(_FATAL)) :]
    return [
        Frame(file=found["file"], line=int(found["line"]), function=found["function"])
        for found in _FRAME.finditer(block)
    ]


def own_line(stack: Iterable[Frame], file: str) -> str:
    """The newest call of the user's own code as ``file:line in function``, or the empty string.

    Args:
        stack: The most recent call first.
        file: The file of the training function, where it has one.
    """
    for frame in stack:
        library = frame.file.startswith(_LIBRARIES) or any(name in frame.file for name in _INSTALLED)
        if frame.file == file or not library:
            return f"{frame.file}:{frame.line} in {frame.function}"
    return ""


def told(words: str, stack: list[Frame], file: str, rest: str = "") -> str:
    """The error of a member whose worker died, as Python writes one: the stack first, what happened in the last line.

    Args:
        words: What happened.
        stack: The most recent call first; may be empty.
        file: The file of the training function, where it has one.
        rest: What there is to say after the place.
    """
    own = own_line(stack, file)
    last = f"{words}{', at ' if own else ''}{own}{rest}"
    if not stack:
        return last
    calls = [f'  File "{frame.file}", line {frame.line}, in {frame.function}' for frame in reversed(stack[:_MOST])]
    return "\n".join(["Stack of its worker (most recent call last):", *calls, last])
