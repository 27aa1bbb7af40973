"""What users get wrong: one line that says what and how to mend it, exit code 2, and nothing is lost."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.helpers import COMPLETE, SPACE, TRAINING, environment, here, opened, warren

from warren.cli import app


def complaints(done: "subprocess.CompletedProcess[str]") -> list[str]:
    """Without what a run says of itself before it begins, and every few seconds."""
    said = re.compile(r"warren: (keeps at most |\d+/\d+ intervals)")
    return [line for line in done.stderr.splitlines() if not said.match(line)]


def one_line(done: "subprocess.CompletedProcess[str]", *words: str, code: int = 2) -> str:
    assert done.returncode == code, done.stderr + done.stdout
    lines = complaints(done)
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("warren: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    for word in words:
        assert word in lines[0], lines[0]
    return lines[0]


@pytest.mark.parametrize(
    ("text", "arguments", "words"),
    [
        (None, (), ("no file file.py",)),
        ("x = 1\n", (), ("'train'", "--name")),
        ("import warren\n" + SPACE + "def train(slot): pass\n", (), ("'goal'", "--goal max")),
        (TRAINING + 'goal = "max"\n', (), ("'space'", "--space")),
        (TRAINING + SPACE + 'goal = "best"\n', (), ("goal must be 'max' or 'min'",)),
        (TRAINING + SPACE.replace("1e-3, 0.5", "0.5, 1e-3") + 'goal = "max"\n', (), ("low <= high", "0.5")),
        ("def train(:\n", (), ("SyntaxError", "line 1")),
        ("import a_module_that_is_not_there\n", (), ("ModuleNotFoundError", "a_module_that_is_not_there")),
        ("raise SystemExit(3)\n", (), ("ended the process", "3")),
        (SPACE.replace("space =", "import warren; space =") + "goal = 'max'\ntrain = 3\n", (), ("train", "3")),
        (COMPLETE, ("--population", "0"), ("population", "at least 1")),
        (COMPLETE, ("--population", "many"), ("--population", "warren run --help")),
        (COMPLETE, ("--intervals", "0"), ("intervals", "at least 1")),
        (COMPLETE, ("--workers", "0"), ("workers", "at least 1")),
        (COMPLETE, ("--seed", "-1"), ("seed",)),
        (COMPLETE, ("--patience", "0"), ("patience", "positive")),
        (COMPLETE, ("--gpus", "", "--gpus-per-member", "2"), ("--gpus-per-member 2", "--gpus")),
        (COMPLETE, ("--gpus", "0", "--gpus-per-member", "2"), ("gpus_per_member=2", "1")),
        (COMPLETE, ("--report", "no/such/folder.html"), ("report", "no/such")),
        (COMPLETE, ("--store", "file.py/runs/x.db"), ("file.py/runs/x.db", "cannot be made")),
        (COMPLETE + "initial = [{'momentum': 0.9}]\n", (), ("initial[0]", "momentum", "lr")),
        (COMPLETE + "warren.run(train, space=space, goal=goal)\n", (), ("__main__",)),
        (COMPLETE.replace("member.report", "(lambda *a, **k: 0)"), ("--workers", "1"), ("did not report",)),
        (COMPLETE.replace('member["lr"]', 'member["lrr"]'), ("--workers", "1"), ("lrr", "lr")),
    ],
)
def test_a_wrong_request_is_one_line(
    tmp_path: Path, text: "str | None", arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    if text is not None:
        (tmp_path / "file.py").write_text(text)
    one_line(here(tmp_path, "run", "file.py", *arguments), *words)


def test_what_a_worker_process_finds_wrong_is_one_line_too(tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text(COMPLETE.replace("member.report", "(lambda *a, **k: 0)"))
    one_line(warren(tmp_path, "run", "file.py", "--workers", 2), "did not report")


def test_no_visible_gpu_for_members_that_need_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file.py").write_text(COMPLETE)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = here(tmp_path, "run", "file.py", "--gpus-per-member", 2)
    one_line(done, "--gpus-per-member 2", "none is visible")


def test_commands_and_options_that_are_not_there(tmp_path: Path) -> None:
    one_line(here(tmp_path, "frobnicate"), "frobnicate", "warren --help")
    one_line(here(tmp_path, "run"), "FILE", "warren run --help")
    one_line(here(tmp_path, "status", "x.db", "--frob"), "--frob", "warren status --help")
    one_line(here(tmp_path, "demo", "nope"), "'nope'", "digits, gan, ppo, rl, toy, translation")


@pytest.mark.parametrize("command", ["status", "report", "schedule", "resume", "worker"])
def test_a_store_that_is_not_there_or_is_none(tmp_path: Path, command: str) -> None:
    one_line(here(tmp_path, command, "no.db"), "no store at no.db")
    assert list(tmp_path.iterdir()) == []
    text = tmp_path / "text.db"
    text.write_bytes(b"dear diary\n" * 100)
    one_line(here(tmp_path, command, "text.db"), "text.db", "not a database")
    assert text.read_bytes() == b"dear diary\n" * 100


@pytest.mark.parametrize("command", ["resume", "worker"])
def test_a_hang_that_cannot_be_kept_is_refused_wherever_it_is_given(tmp_path: Path, command: str) -> None:
    (tmp_path / "toy.py").write_text(COMPLETE)
    assert here(tmp_path, "run", "toy.py", "--workers", 1).returncode == 0
    one_line(here(tmp_path, command, "runs/toy.db", "--hang", 0.5), "hang must be at least 1 s")
    assert here(tmp_path, command, "runs/toy.db", "--hang", 900).returncode == 0
    with opened(tmp_path / "runs" / "toy.db") as result:
        # Who joins speaks for its own workers, who resumes for the run.
        assert result.store.config()["hang"] == (900.0 if command == "resume" else None)


def test_an_output_that_cannot_be_written_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no full device")
    monkeypatch.setattr(app, "_carry_out", lambda arguments: print("a line") or 0)
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert app.main(["status"]) == 1
    assert capsys.readouterr().err == "warren: the output cannot be written: [Errno 28] No space left on device\n"


def test_a_run_into_a_file_that_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(COMPLETE)
    text = tmp_path / "text.db"
    text.write_bytes(b"dear diary\n" * 100)
    one_line(warren(tmp_path, "run", "toy.py", "--store", "text.db"), "text.db", "not a database")
    assert text.read_bytes() == b"dear diary\n" * 100


def test_an_unknown_run_names_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(COMPLETE)
    for name in ("first", "second"):
        done = here(tmp_path, "run", "toy.py", "--store", "x.db", "--run", name, "--workers", 1)
        assert done.returncode == 0
    one_line(here(tmp_path, "status", "x.db", "--run", "third"), "'third'", "first, second")
    one_line(here(tmp_path, "status", "x.db"), "several runs", "first, second", "--run")


def test_a_changed_space_refuses_and_says_what_differs(tmp_path: Path) -> None:
    file = tmp_path / "toy.py"
    file.write_text(COMPLETE)
    assert here(tmp_path, "run", "toy.py", "--workers", 1).returncode == 0
    with opened(tmp_path / "runs" / "toy.db") as result:
        before = result.digest
    file.write_text(COMPLETE.replace("0.5, scale", "0.7, scale"))
    one_line(here(tmp_path, "run", "toy.py", "--workers", 1), "space: lr", "0.5", "0.7")
    with opened(tmp_path / "runs" / "toy.db") as result:
        assert result.digest == before


def test_no_best_state_yet(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(COMPLETE.replace("-abs(float(10 - point.x[0]))", "float('nan')"))
    here(tmp_path, "run", "toy.py", "--workers", 1)
    one_line(here(tmp_path, "schedule", "runs/toy.db"), "no interval has reported a finite score", code=1)
    assert here(tmp_path, "status", "runs/toy.db").returncode == 0


def test_outputs_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(COMPLETE)
    assert here(tmp_path, "run", "toy.py", "--workers", 1).returncode == 0
    one_line(here(tmp_path, "schedule", "runs/toy.db", "-o", "toy.py/s.json"), "toy.py/s.json", "cannot be written")
    pytest.importorskip("plotly")
    one_line(here(tmp_path, "report", "runs/toy.db", "-o", "toy.py/r.html"), "toy.py/r.html", "cannot be written")


def test_user_code_that_always_fails_is_a_failed_run_with_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "toy.py").write_text(COMPLETE.replace("point.x = point.x", "raise ValueError('boo') #"))
    done = warren(tmp_path, "run", "toy.py", "--workers", 1)
    assert done.returncode == 1
    first, *rest = [line for line in complaints(done) if not line.startswith("warren: member")]
    assert first.startswith("warren: no interval has succeeded")
    assert all(line.startswith("    ") for line in rest)
    assert rest[-1] == "    ValueError: boo"


def test_a_script_without_a_guard_is_told_of_it(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        COMPLETE.partition("if __name__")[0]
        + SPACE
        + 'warren.run(train, space=space, goal="max", population=4, intervals=2, workers=2, store="x.db")\n'
    )
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("warren.errors.InvalidValue: ")
    assert '`if __name__ == "__main__":`' in last
