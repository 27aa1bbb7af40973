"""How a death is put into words."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

import warren
from warren.engines.deaths import Frame, OomKills, ending, frames, oom_kills, oom_texts, own_line, told

CTYPES = next(iter(Path(signal.__file__).parent.glob("ctypes/__init__.py")))
DUMP = f"""Fatal Python error: Aborted

Current thread 0x00007f (most recent call first):
  File "/home/me/old.py", line 1 in old

Fatal Python error: Segmentation fault

Current thread 0x00007f0b1c4c9740 (most recent call first):
  File "{CTYPES}", line 519 in string_at
  File "/home/me/my train.py", line 12 in <lambda>
  File "/home/me/my train.py", line 40 in train
  File "{Path(warren.__file__).parent}/engines/work.py", line 33 in work
  File "<frozen runpy>", line 88 in _run_code

Extension modules: numpy.core._multiarray_umath, torch._C (total: 2)
"""


def test_the_newest_stack_is_read_from_a_dump() -> None:
    found = frames(DUMP)
    assert [frame.line for frame in found] == [519, 12, 40, 33, 88]
    assert found[1] == Frame(file="/home/me/my train.py", line=12, function="<lambda>")
    assert frames("") == []


def test_the_users_own_line_is_the_newest_one_outside_libraries() -> None:
    found = frames(DUMP)
    assert own_line(found, "/home/me/other.py") == "/home/me/my train.py:12 in <lambda>"
    installed = [Frame(file="/v/lib/site-packages/mine/train.py", line=3, function="train")]
    assert own_line([found[0], *installed], installed[0].file) == "/v/lib/site-packages/mine/train.py:3 in train"
    assert own_line([found[0], *installed], "/elsewhere.py") == ""


def test_the_error_ends_in_one_line_that_says_all() -> None:
    lines = told("its worker died: signal SIGSEGV", frames(DUMP), "/home/me/my train.py").splitlines()
    assert lines[0] == "Stack of its worker (most recent call last):"
    assert lines[-2] == f'  File "{CTYPES}", line 519, in string_at'
    assert lines[-1] == "its worker died: signal SIGSEGV, at /home/me/my train.py:12 in <lambda>"
    assert told("gone", [], "", "; do this") == "gone; do this"


@pytest.mark.parametrize(
    ("code", "sent", "after", "words"),
    [
        (3, False, (0, 0), "exit code 3"),
        (-signal.SIGSEGV, False, (1, 1), "signal SIGSEGV"),
        (-signal.SIGKILL, False, (0, 0), "signal SIGKILL"),
        (-signal.SIGKILL, False, (1, 0), "killed by the system for memory (signal SIGKILL)"),
        (-signal.SIGKILL, False, (0, 1), "signal SIGKILL"),  # it was somebody else, and our group says so
        (-signal.SIGKILL, False, (None, 1), "perhaps killed by the system for memory (signal SIGKILL)"),
        (-signal.SIGKILL, False, (None, 0), "signal SIGKILL"),
        (-signal.SIGKILL, False, (None, None), "signal SIGKILL"),
        (-signal.SIGKILL, True, (1, 1), "signal SIGKILL"),
        (-60, False, (0, 0), "signal 60"),
    ],
)
def test_how_a_process_ended(code: int, sent: bool, after: tuple[int | None, int | None], words: str) -> None:
    group, machine = after
    before = OomKills(group=None if group is None else 0, machine=None if machine is None else 0)
    assert ending(code, sent=sent, before=before, after=OomKills(group=group, machine=machine)).split(";")[0] == words


def test_the_counters_of_the_system() -> None:
    events = "low 0\nhigh 0\nmax 9\noom 4\noom_kill 3\noom_group_kill 1\n"
    assert oom_kills(events, "pgfault 5\noom_kill 7\n") == OomKills(group=3, machine=7)
    older = "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"
    assert oom_kills(older, "") == OomKills(group=2, machine=None)
    assert oom_kills("", "") == OomKills(group=None, machine=None)
    found = oom_kills(*oom_texts())
    assert all(count is None or count >= 0 for count in (found.group, found.machine))
