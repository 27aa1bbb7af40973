"""`warren check`: what it prints, and how it ends."""

import math
import os
import signal
from pathlib import Path

import pytest
from tests.cli.helpers import COMPLETE, SPACE, TRAINING, here, start, wait_until, warren

FORGETFUL = COMPLETE.replace("point = Point(slot.seed)", "point = Point(slot.seed)\n    mean = np.zeros(1)").replace(
    "        member.report",
    "        mean = 0.9 * mean + point.x\n        point.x = point.x + 0.1 * mean\n        member.report",
)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long it takes is told where that is long, as on a busy machine."""
    monkeypatch.setattr("warren.preflight.check._LONG", math.inf)


def test_a_sound_file(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(COMPLETE)
    done = here(tmp_path, "check", "toy.py", "--workers", 2, "--store", "runs/toy.db", "--held-out", "unseen")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split("  ")[0] for line in lines[:5]] == [
        "an interval", "the whole run", "a checkpoint", "disk at most", "memory",
    ]  # fmt: skip
    assert lines[1].endswith("(4 members x 3 intervals, 2 workers)") and "are free" in lines[3]
    assert lines[-1].startswith("no fault in 7 intervals, ")
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["toy.py"]


def test_a_file_with_a_fault(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(FORGETFUL)
    done = here(tmp_path, "check", "toy.py")
    assert (done.returncode, done.stderr) == (1, "")
    first, second, *_, last = done.stdout.splitlines()
    assert first.startswith("fault  array 'mean' keeps state that is not tracked: after a move to a fresh slot")
    assert second.startswith("       write slot.track(mean=mean)") and last.startswith("1 fault in ")


def test_options_win_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(COMPLETE.replace("def train(", "def other(").replace("space =", "ranges ="))
    more = ("--name", "other", "--space", "ranges", "--goal", "min", "--population", 6, "--intervals", 5)
    done = here(tmp_path, "check", "toy.py", *more, "--seed", 3, "--workers", 1)
    assert done.returncode == 0 and "(6 members x 5 intervals, 1 worker)" in done.stdout


def test_user_code_that_raises_is_one_line_and_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(COMPLETE.replace("point.x = point.x", "raise ValueError('boo') #"))
    done = here(tmp_path, "check", "toy.py")
    assert (done.returncode, done.stderr) == (1, "")
    first, _, *rest, empty, last = done.stdout.splitlines()
    assert first.endswith("interval 1 of member 0 raised ValueError: boo") and "toy.py:" in first
    assert all(line.startswith("           ") for line in rest) and rest[-1].strip() == "ValueError: boo"
    assert empty == "" and last.startswith("1 fault in 0 intervals")


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        (None, (), ("no file file.py",)),
        (TRAINING + 'goal = "max"\n', (), ("'space'", "--space")),
        ("import warren\n" + SPACE + "def train(slot): pass\n", (), ("'goal'", "--goal max")),
        ("def train(:\n", (), ("SyntaxError", "line 1")),
        (COMPLETE, ("--population", "0"), ("population", "at least 1")),
        (COMPLETE, ("--workers", "0"), ("workers", "at least 1")),
        (COMPLETE, ("--frob",), ("--frob", "warren check --help")),
        (COMPLETE + "warren.check(train, space=space, goal=goal)\n", (), ("warren.check", "__main__")),
    ],
)
def test_a_wrong_request_is_one_line(
    tmp_path: Path, text: "str | None", arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    if text is not None:
        (tmp_path / "file.py").write_text(text)
    done = here(tmp_path, "check", "file.py", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("warren: ") and all(word in line for word in words), line


def test_ctrl_c_ends_it_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(COMPLETE.replace("time.sleep(", "open('begun', 'w').close(); time.sleep("))
    folder = tmp_path / "temporary"
    folder.mkdir()
    process = start(tmp_path, "check", "toy.py", PACE="60", TMPDIR=str(folder))
    try:
        wait_until((tmp_path / "begun").exists, "the first interval")
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=240)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert (process.returncode, out, err) == (130, "", "warren: interrupted; nothing was kept\n")
    assert list(folder.iterdir()) == []


def test_it_runs_as_a_command(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(COMPLETE)
    done = warren(tmp_path, "check", "toy.py", "--workers", 1)
    assert done.returncode == 0
    assert all(line.startswith("warren: an interval takes ") for line in done.stderr.splitlines())  # on a busy machine
    assert done.stdout.splitlines()[-1].startswith("no fault in 7 intervals, ")
