import fcntl
import io
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from tests.cli.helpers import COMPLETE, environment

import warren
from warren.cli.follow import Copy, Follower, failures
from warren.cli.live import Lines, Looker, drawing, line, live_view
from warren.cli.show import assignments, changes, span, spark


class Point:
    def __init__(self) -> None:
        self.x = np.zeros(1)

    def state_dict(self) -> dict[str, Any]:
        return {"x": self.x}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.x = np.array(state["x"])


def train(slot: warren.Slot) -> None:
    point = Point()
    slot.track(point=point)
    for member in slot:
        point.x = point.x + member["lr"]
        member.report(float(point.x[0]), unseen=0.5)


def run(**more: Any) -> warren.Result:
    arguments: dict[str, Any] = {"population": 6, "intervals": 8, "seed": 1, **more}
    if "train" not in arguments:
        arguments["held_out"] = "unseen"
    space = arguments.pop("space", {"lr": warren.Float(0.01, 1.0)})
    return warren.run(arguments.pop("train", train), space=space, goal="max", **arguments)


def drawn(snapshot: Any, width: int = 100, height: int = 30, encoding: str = "utf-8") -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    console = Console(file=file, width=width, height=height, force_terminal=True, color_system=None, markup=False)
    console.print(drawing(snapshot, console))
    file.flush()
    return file.buffer.getvalue().decode(encoding).splitlines()  # type: ignore[attr-defined]


def test_what_is_followed_piece_by_piece_is_what_is_read_at_once() -> None:
    piecewise = Follower(clock=lambda: 0.0)
    result = run(watch=piecewise.look)
    followed, read = piecewise.look(result), Follower(clock=lambda: 0.0).look(result)
    assert followed == read
    assert followed.copies == result.cost.copies > 0
    assert followed.best == result.store.interval(result.run.best or 0)
    for one in followed.standings:
        own = [row for row in result.intervals if row.member == one.row.member]
        assert one.score == own[-1].score
        assert list(one.recent) == [row.score for row in own][-12:]


def test_intervals_taken_back_are_taken_back_here() -> None:
    calls = []

    def fails(slot: warren.Slot) -> None:
        slot.track(point=Point())
        for member in slot:
            if member.id == 1 and member.budget == 3 and not calls:
                calls.append(member.id)
                raise ValueError("once")
            member.report(float(member.budget))

    piecewise = Follower(clock=lambda: 0.0)
    # Checkpoints are rare and decisions too: the failure takes back what was reported since the last one.
    strategy = warren.PBT(every=4)
    result = run(train=fails, watch=piecewise.look, strategy=strategy, checkpoint_every=4, population=2)
    assert calls and any(row.voided for row in result.store.changes(0).news)
    assert piecewise.look(result) == Follower(clock=lambda: 0.0).look(result)


def test_time_left_follows_the_pace_since_the_first_interval_that_was_seen() -> None:
    now = [0.0]
    looks: list[Any] = []
    follower = Follower(clock=lambda: now[0])

    def watch(result: warren.Result) -> None:
        now[0] += 2.0
        looks.append(follower.look(result))

    run(watch=watch, train=_slow(0.25), population=2, intervals=4)
    lefts = [(one.run.total, one.left) for one in looks]
    assert lefts[0][1] is None
    known = [(total, left) for total, left in lefts if left is not None]
    assert known and all(left >= 0 for _, left in known)
    assert [left for _, left in known] == sorted((left for _, left in known), reverse=True)


def _slow(seconds: float) -> Any:
    import time

    def slow(slot: warren.Slot) -> None:
        slot.track(point=Point())
        for member in slot:
            time.sleep(seconds)
            member.report(0.0)

    return slow


def test_the_drawing_shows_members_copies_and_the_best() -> None:
    result = run()
    snapshot = Follower().look(result)
    lines = drawn(snapshot)
    assert lines[0].startswith("48/48 intervals")
    assert lines[0].rstrip().endswith("done")
    assert lines[1].startswith("best ") and "unseen 0.5 (held out)" in lines[1]
    assert "lr" in lines[2] and "trend" in lines[2]
    assert [line.split()[0] for line in lines[4:10]] == [str(one.row.member) for one in snapshot.ranked]
    assert lines[10].startswith(f"{snapshot.copies} copies: ") and " <- " in lines[10]


@pytest.mark.parametrize("height", [10, 15, 24, 80])
def test_a_large_population_fits_the_window_and_says_how_many_are_hidden(height: int) -> None:
    snapshot = Follower().look(run(population=50, intervals=2))
    lines = drawn(snapshot, height=height)
    assert len(lines) < height
    shown = [text.split()[0] for text in lines if text.split() and text.split()[0].isdigit() and "/2" in text]
    ranked = [str(one.row.member) for one in snapshot.ranked]
    if height == 80:
        assert shown == ranked
    else:
        hidden = next(text for text in lines if "hidden" in text)
        assert f"{50 - len(shown)} hidden" in hidden
        assert shown[0] == ranked[0] and shown[-1] == ranked[-1]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_window_and_scores_are_whole(width: int) -> None:
    space = {f"a_rather_long_name_{i}": warren.Float(0.1, 1.0) for i in range(9)}

    def many(slot: warren.Slot) -> None:
        slot.track(point=Point())
        for member in slot:
            member.report(sum(member[name] for name in space))

    snapshot = Follower().look(run(train=many, space=space, intervals=3))
    lines = drawn(snapshot, width=width)
    assert max(map(len, lines)) <= width
    if width >= 60:
        best = snapshot.ranked[0]
        assert any(f"{best.score:.5g}" in text for text in lines[4:])


def test_names_of_the_user_are_no_markup_and_ascii_terminals_are_served() -> None:
    def odd(slot: warren.Slot) -> None:
        slot.track(point=Point())
        for member in slot:
            if member.id == 0 and member.budget == 1:
                raise ValueError("oh [red] no [/nothing]")
            member.report(member["[bold]lr[/x]"])

    snapshot = Follower().look(run(train=odd, space={"[bold]lr[/x]": warren.Float(0.1, 1.0)}))
    assert any("[bold]lr[/x]" in text for text in drawn(snapshot))
    assert any("oh [red] no [/nothing]" in text for text in failures(snapshot))
    assert any("oh [red] no [/nothing]" in text for text in drawn(snapshot))
    # Strict encoding: a character that ASCII does not have would raise.
    assert drawn(snapshot, encoding="ascii")


def test_a_plain_line_comes_every_five_seconds_and_at_the_end() -> None:
    now = [0.0]
    written: list[str] = []
    lines = Lines(Looker(lambda: now[0]), lambda: now[0], written.append)
    result = run()
    for _ in range(24):
        now[0] += 0.25
        lines(result)
    assert len(written) == 1
    lines.close()
    assert len(written) == 1  # nothing new
    assert written[0].startswith("48/48 intervals · best ")
    assert "(unseen 0.5, member " in written[0]
    assert line(Follower().look(result)) == written[0]


def test_looks_become_rare_where_they_are_slow() -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 0.01  # every reading of the clock: a look takes as long
        return now[0]

    looker = Looker(clock)
    result = run(intervals=1)
    looks = 0
    for _ in range(200):
        before = looker.snapshot
        looker(result)
        looks += looker.snapshot is not before
    assert 1 < looks < 20


def test_a_console_that_is_given_is_drawn_on_and_restored() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=100, height=30)
    with pytest.raises(KeyboardInterrupt), live_view(console) as watch:
        watch(run())
        raise KeyboardInterrupt
    shown = file.getvalue()
    assert "48/48 intervals" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is there again
    assert not any(thread.name == "warren-live" for thread in threading.enumerate())


def test_in_a_terminal_what_training_prints_stands_above_the_view_whole(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(COMPLETE.replace("time.sleep(", "print('said by', member.id); time.sleep("))
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "warren", "run", "toy.py", "--workers", "2"],
        cwd=tmp_path, env=environment(TERM="xterm", PACE="0.1"), stdin=terminal, stdout=terminal, stderr=terminal,
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    while True:
        try:
            part = os.read(controller, 65536)
        except OSError:  # Linux says so when nobody has the other end open
            break
        if not part:
            break
        shown += part
    os.close(controller)
    assert process.wait(timeout=240) == 0
    text = shown.decode()
    assert text.count("said by") == 12
    assert "12/12 intervals" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert "store runs/toy.db" in text.rpartition("\x1b[?25h")[2]


def test_small_things() -> None:
    assert [span(seconds) for seconds in (0, 42.4, 125, 3723)] == ["0:00", "0:42", "2:05", "1:02:03"]
    assert [spark(values) for values in ([], [1.0], [1.0, 1.0], [0.0, 1.0])] == ["", "", "▄▄", "▁█"]
    assert assignments({"lr": 0.000123456, "n": 3, "on": True, "kind": "a"}) == "lr=0.0001235, n=3, on=True, kind=a"
    assert str(Copy(recipient=7, donor=3, interval=12)) == "7 <- 3 at interval 12"
    steps = [warren.Schedule.of([])]
    assert changes(steps[0]) == []
