import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.helpers import COMPLETE, environment, here, opened, start, wait_until, warren

import warren as library


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "toy.py").write_text(COMPLETE)
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that is over; only looked at."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "toy.py").write_text(COMPLETE)
    done = here(folder, "run", "toy.py", "--workers", 1, "--held-out", "unseen", "--intervals", 5)
    assert done.returncode == 0, done.stderr
    return folder


def test_run_prints_what_came_out(folder: Path) -> None:
    done = warren(folder, "run", "toy.py", "--workers", 2, "--held-out", "unseen", "--seed", 3)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("done, 12 intervals\nbest score -")
    assert "unseen" in done.stdout and "(held out)" in done.stdout
    assert "lr: " in done.stdout
    assert "PBT " in done.stdout and " in all" in done.stdout
    assert "store runs/toy.db" in done.stdout
    bound, *between, progress = done.stderr.splitlines()
    assert bound.startswith("warren: keeps at most 18 checkpoints at a time, in ")
    assert all(re.match(r"warren: \d+/12 intervals", line) for line in between)  # told every few seconds
    assert progress.startswith("warren: 12/12 intervals")
    with opened(folder / "runs" / "toy.db") as result:
        assert [member.budget for member in result.members] == [3, 3, 3, 3]


def test_the_same_command_again_changes_nothing_and_more_intervals_go_on(folder: Path) -> None:
    assert here(folder, "run", "toy.py", "--workers", 1).returncode == 0
    first = _digest(folder / "runs" / "toy.db")
    assert here(folder, "run", "toy.py", "--workers", 1).returncode == 0
    assert _digest(folder / "runs" / "toy.db") == first
    more = here(folder, "run", "toy.py", "--workers", 1, "--intervals", 4)
    assert more.returncode == 0
    assert "16 intervals" in more.stdout


def test_options_win_over_the_file(folder: Path) -> None:
    arguments = ("--population", 2, "--intervals", 1, "--goal", "min", "--store", "other.db", "--run", "mine")
    done = here(folder, "run", "toy.py", *arguments)
    assert done.returncode == 0, done.stderr
    with opened(folder / "other.db", "mine") as result:
        assert (len(result.members), result.goal, len(result.intervals)) == (2, "min", 2)


def test_other_names_in_the_file(folder: Path) -> None:
    renamed = COMPLETE.replace("def train", "def fit").replace("space =", "search =").replace("goal =", "better =")
    (folder / "named.py").write_text(renamed)
    done = here(folder, "run", "named.py", "--name", "fit", "--space", "search", "--goal", "better", "--workers", 1)
    assert done.returncode == 0, done.stderr


def test_a_stopping_rule_ends_the_run(folder: Path) -> None:
    done = here(folder, "run", "toy.py", "--workers", 1, "--stop-intervals", 5)
    assert done.returncode == 0
    assert done.stdout.startswith("stopped: 5 intervals over all members, 5 intervals")


def test_resume_needs_the_store_alone(folder: Path) -> None:
    assert here(folder, "run", "toy.py", "--workers", 1).returncode == 0
    done = here(folder, "resume", "runs/toy.db", "--workers", 1, "--intervals", 5)
    assert done.returncode == 0, done.stderr
    assert "done, 20 intervals" in done.stdout


def test_a_worker_joins_and_the_run_ends_for_both(folder: Path) -> None:
    """The first worker waits in a second interval until the other one has done something."""
    waits = 'while "WAITS" in os.environ and member.budget and not os.path.exists("go"): time.sleep(0.02)'
    (folder / "toy.py").write_text(COMPLETE.replace('time.sleep(float(os.environ.get("PACE", "0")))', waits))
    first = start(folder, "run", "toy.py", "--workers", 1, "--intervals", 40, WAITS="1")
    wait_until(lambda: _workers(folder / "runs" / "toy.db") == 1, "an interval")
    second = start(folder, "worker", "runs/toy.db")
    wait_until(lambda: _workers(folder / "runs" / "toy.db") == 2, "an interval of the second worker")
    (folder / "go").touch()
    said = [process.communicate(timeout=240) for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), said
    assert all(out.startswith("done, 160 intervals") for out, _ in said)
    with opened(folder / "runs" / "toy.db") as result:
        assert {member.budget for member in result.members} == {40}


def test_a_worker_of_a_finished_run_has_nothing_to_do(finished: Path) -> None:
    done = here(finished, "worker", "runs/toy.db")
    assert done.returncode == 0
    assert done.stdout.startswith("done, 20 intervals")


def test_status_shows_the_members(finished: Path) -> None:
    done = here(finished, "status", "runs/toy.db")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "run default in runs/toy.db: done"
    assert lines[1].startswith("20/20 intervals, ")
    assert lines[2].startswith("best -") and "unseen" in lines[2]
    heads = lines[4].split()
    assert heads == ["member", "state", "interval", "age", "score", "trend", "lr", "copied"]
    rows = [line.split() for line in lines[6:10]]
    assert sorted(row[0] for row in rows) == ["0", "1", "2", "3"]
    assert all(row[1:3] == ["done", "5/5"] for row in rows)
    scores = [float(row[4]) for row in rows]
    assert scores == sorted(scores, reverse=True)


def test_status_for_programs_says_the_same(finished: Path) -> None:
    done = here(finished, "status", "runs/toy.db", "--json")
    body = json.loads(done.stdout)
    with opened(finished / "runs" / "toy.db") as result:
        assert body["intervals"] == {"done": 20, "total": 20, "per_member": 5}
        assert body["best"]["score"] == result.best.score
        assert body["best"]["held_out_score"] == result.best.held_out
        assert body["copies"] == result.cost.copies > 0
        for shown, member in zip(body["members"], result.members, strict=True):
            own = [row for row in result.intervals if row.member == member.member]
            assert (shown["budget"], shown["age"], shown["score"]) == (member.budget, member.age, own[-1].score)
            copies = [row for row in own if row.origin in ("exploit", "rescue")]
            if copies:
                donor = result.store.interval(copies[-1].parents[0]).member
                assert shown["copied"] == {"donor": donor, "interval": copies[-1].interval - 1}
            else:
                assert shown["copied"] is None


def test_schedule_as_table_and_as_json(finished: Path, tmp_path: Path) -> None:
    with opened(finished / "runs" / "toy.db") as result:
        schedule = result.schedule
    table = here(finished, "schedule", "runs/toy.db")
    assert table.returncode == 0
    assert table.stdout.split()[:4] == ["age", "member", "lr", "score"]
    printed = json.loads(here(finished, "schedule", "runs/toy.db", "--json").stdout)
    path = tmp_path / "schedule.json"
    written = here(finished, "schedule", "runs/toy.db", "-o", path)
    assert (written.returncode, written.stdout) == (0, f"schedule {path}\n")
    assert json.loads(path.read_text()) == printed
    assert list(library.Schedule.load(path)) == list(schedule)


def test_report_is_written(finished: Path, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    path = tmp_path / "report.html"
    done = here(finished, "report", "runs/toy.db", "-o", path)
    assert (done.returncode, done.stdout) == (0, f"report {path}\n"), done.stderr
    assert "<html" in path.read_text()[:2000]


def test_nothing_is_asked_of_stdin_and_a_reader_that_leaves_is_no_error(finished: Path) -> None:
    # Through a shell, since only there the reader is a process of its own that ends early.
    command = f"{sys.executable} -m warren status runs/toy.db --json | true"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=finished, env=environment(), capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_version_and_help(tmp_path: Path) -> None:
    assert here(tmp_path, "--version").stdout == f"warren {library.__version__}\n"
    for arguments in ((), ("--help",)):
        done = here(tmp_path, *arguments)
        assert done.returncode == 0
        for command in ("run", "worker", "resume", "status", "report", "schedule", "demo"):
            assert command in done.stdout


DEMOS = ["digits", "gan", "ppo", "rl", "toy", "translation"]


def test_demos_are_listed_without_being_imported(tmp_path: Path) -> None:
    code = "import sys; from warren.cli.demo import demos; print(list(demos())); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    names, torch = done.stdout.splitlines()
    assert (names, torch) == (str(DEMOS), "False")
    listed = here(tmp_path, "demo")
    assert listed.returncode == 0
    assert [line.partition(":")[0] for line in listed.stdout.splitlines()] == DEMOS


def test_options_of_a_demo_are_its_own(tmp_path: Path) -> None:
    done = here(tmp_path, "demo", "toy", "--help")
    assert done.returncode == 0
    assert "--seeds" in done.stdout


def _workers(store: Path) -> int:
    try:
        with opened(store) as result:
            return len({row.worker for row in result.intervals})
    except library.WarrenError:  # not yet made
        return 0


def _digest(store: Path) -> str:
    with opened(store) as result:
        return result.digest
