"""The examples run, and the page that explains them is true: its diff, its snippets, its messages."""

from __future__ import annotations

import difflib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import warren
from warren.errors import LoopError

ROOT = Path(__file__).parents[1]
PLAIN, CHANGED = ROOT / "examples" / "gpt.py", ROOT / "examples" / "gpt_warren.py"
PAGE = (ROOT / "docs" / "from-your-loop.md").read_text()

TINY = {
    **{"EPOCHS": "2", "STEPS": "2", "WARMUP": "1", "BATCH": "2", "CONTEXT": "16", "LAYERS": "1", "WIDTH": "16"},
    **{"EVAL_BATCHES": "2", "SAMPLE": "20", "DEVICE": "cpu"},
}


def difference() -> list[str]:
    plain, changed = PLAIN.read_text().splitlines(), CHANGED.read_text().splitlines()
    names = {"fromfile": "examples/gpt.py", "tofile": "examples/gpt_warren.py"}
    return [line.rstrip() for line in difflib.unified_diff(plain, changed, **names, lineterm="")]


def start(file: Path, folder: Path) -> str:
    environ = {**os.environ, **{f"GPT_{name}": value for name, value in TINY.items()}}
    done = subprocess.run(
        [sys.executable, str(file)], cwd=folder, env=environ, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- the scripts ------------------------------------------------------------------------------------------------------


def test_the_plain_script_runs(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    said = start(PLAIN, tmp_path)
    assert re.search(r"^epoch   2  train \d\.\d+  val \d\.\d+$", said, re.MULTILINE)
    assert re.search(r"^best weights: val \d\.\d+  test \d\.\d+$", said, re.MULTILINE)
    assert (tmp_path / "gpt.pt").exists() and "warren" not in PLAIN.read_text()


def test_the_changed_script_runs(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    said = start(CHANGED, tmp_path)
    result = warren.open_result(tmp_path / "runs" / "gpt.db")
    assert result.run.status == "done" and result.run.total == 2 * len(result.members)
    assert result.warnings == []
    # What the script measures on the loaded weights is what the run recorded for them.
    assert f"best weights: val {-result.best.score:.4f}  test {result.best.held_out:.4f}" in said


@pytest.mark.parametrize("workers", [1, 2])
def test_a_population_of_it(workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    for name, value in TINY.items():
        monkeypatch.setenv(f"GPT_{name}", value)
    threads = torch.get_num_threads()
    spec = importlib.util.spec_from_file_location("gpt_warren", CHANGED)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gpt_warren", script)
    try:
        spec.loader.exec_module(script)
        result = warren.run(
            script.train, space=script.space, goal="max", held_out="test", population=4, intervals=4,
            workers=workers, synchronous=True, store=tmp_path / "gpt.db",
        )  # fmt: skip
        assert [event.body for event in result.events if event.kind in ("failure", "warning")] == []
        assert result.run.total == 16 and result.cost.copies > 0
        for trained in result.final:
            state = trained.state()
            decayed, plain = state["optimizer"]["param_groups"]
            assert decayed["weight_decay"] == trained.hyperparameters["weight_decay"] and plain["weight_decay"] == 0
            steps = state["scheduler"]["last_epoch"]
            assert steps == trained.age * script.config.steps
            for group in (decayed, plain):
                expected = trained.hyperparameters["lr"] * script.warmup_then_cosine(steps)
                assert group["lr"] == pytest.approx(expected, rel=1e-6)
    finally:
        torch.set_num_threads(threads)


# -- the page ---------------------------------------------------------------------------------------------------------


def test_at_most_ten_lines_change() -> None:
    lines = difference()[2:]
    assert 0 < len([line for line in lines if line.startswith("+")]) <= 10
    assert 0 < len([line for line in lines if line.startswith("-")]) <= 10
    assert 270 <= len(PLAIN.read_text().splitlines()) <= 310


def test_the_page_shows_the_real_difference() -> None:
    shown = re.search(r"```diff\n(.*?)\n```", PAGE, re.DOTALL)
    assert shown is not None
    real = "\n".join(difference())
    assert [line.rstrip() for line in shown[1].splitlines()] == real.splitlines(), f"put this on the page:\n{real}"


SNIPPETS = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", PAGE, re.DOTALL)


@pytest.mark.parametrize("place", range(len(SNIPPETS)))
def test_the_snippets_run(place: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, expected = SNIPPETS[place]
    if "import torch" in code:
        pytest.importorskip("torch")
    page = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", page)  # where a dataclass looks up what its annotations name
    vars(page).update(np=np, warren=warren)
    exec(compile(code, f"from-your-loop.md, snippet {place}", "exec"), vars(page))
    said = capsys.readouterr()
    assert said.out == expected
    assert "failed" not in said.err  # what a training function raises is its member's failure, and ends no run
    assert bool(expected) == ("hyperparameter" in said.err)


def looped(body: Any) -> Any:
    def train(slot: warren.Slot) -> None:
        count = np.zeros(1)
        slot.track(count=count)
        for member in slot:
            body(slot, member)

    return train


def no_track(slot: warren.Slot) -> None:
    for member in slot:
        member.report(member["lr"])


def other_names(slot: warren.Slot) -> None:
    slot.track(**{f"count{slot.seed}": np.zeros(1)})
    for member in slot:
        member.report(member["lr"])


@pytest.mark.parametrize(
    ("words", "train", "arguments"),
    [
        ("did not report in interval", looped(lambda slot, member: None), {}),
        ("reported twice in interval", looped(lambda slot, member: [member.report(1.0), member.report(1.0)]), {}),
        ("must be one number", looped(lambda slot, member: member.report(np.zeros(2))), {}),
        ("there is no hyperparameter", looped(lambda slot, member: member["rate"]), {}),
        ("is read before the loop", looped(lambda slot, member: slot["lr"]), {}),
        ("must come before the loop", looped(lambda slot, member: slot.track(late=np.zeros(1))), {}),
        ("there is nothing to save", no_track, {}),
        ("returned before it took a member", lambda slot: None, {}),
        ("must track the same names", other_names, {}),
        ("is not among the reported metrics", looped(lambda slot, member: member.report(1.0)), {"held_out": "test"}),
        ("need a store that they can share", no_track, {"workers": 2}),
    ],
)
def test_the_messages_on_the_page_are_real(words: str, train: Any, arguments: dict[str, Any]) -> None:
    assert f"| `{words}` |" in PAGE
    space = {"lr": warren.Float(0.1, 0.9)}
    with pytest.raises(warren.WarrenError) as caught:
        warren.run(train, **{"space": space, "goal": "max", "population": 3, "intervals": 4, **arguments})
    assert words in str(caught.value)


def test_another_space_in_the_same_store_is_refused_as_the_page_says(tmp_path: Path) -> None:
    words = "was made with other settings"
    assert f"| `{words}` |" in PAGE
    store = tmp_path / "run.db"
    train = looped(lambda slot, member: member.report(member["lr"]))
    common: dict[str, Any] = {"goal": "max", "population": 2, "intervals": 2, "store": store, "workers": 1}
    warren.run(train, space={"lr": warren.Float(0.1, 0.9)}, **common)
    with pytest.raises(warren.errors.RunMismatch, match=words):
        warren.run(train, space={"lr": warren.Float(0.1, 0.8)}, **common)


def test_a_mistake_can_be_mended_and_the_same_call_goes_on(tmp_path: Path) -> None:
    store = tmp_path / "run.db"
    common: dict[str, Any] = {"space": {"lr": warren.Float(0.1, 0.9)}, "goal": "max", "population": 2, "intervals": 3}
    with pytest.raises(LoopError):
        warren.run(
            looped(lambda slot, member: member.report(1.0) if member.budget < 2 else None),
            **common, store=store, workers=1,
        )  # fmt: skip
    kept = warren.open_result(store).run.total
    assert kept > 0
    result = warren.run(looped(lambda slot, member: member.report(member["lr"])), **common, store=store, workers=1)
    assert result.run.total == 6
