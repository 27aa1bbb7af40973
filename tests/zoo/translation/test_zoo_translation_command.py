"""What ``warren demo translation`` prints, and how it refuses."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.zoo.translation.catalogue import reversed_language

from warren.errors import InvalidValue, MissingExtra
from warren.zoo.translation import command, messages


@contextmanager
def live():  # type: ignore[no-untyped-def]
    yield lambda result: None


def demo(folder: Path, *more: str) -> int:
    return command.main(["--store", str(folder / "a.db"), "--report", str(folder / "a.html"), *more], live=live)


def files(folder: Path) -> list[str]:
    source, target = reversed_language(folder, 900)
    return ["--source", source, "--target", target]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small preset, smaller still."""
    pytest.importorskip("torch")
    pytest.importorskip("sentencepiece")
    pytest.importorskip("sacrebleu")
    from warren.zoo.translation import presets
    from warren.zoo.translation.transformer import Shape

    shape = Shape(layers=1, width=16, heads=2, hidden=32)
    quick = replace(presets.SMALL, shape=shape, vocabulary=60, judged=20, steps=3, batch=100)
    monkeypatch.setattr(presets, "SMALL", quick)


def test_the_demo_says_what_came_out(tmp_path: Path, quick: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo(tmp_path, *files(tmp_path), "--population", "2", "--intervals", "11", "--workers", "1") == 0
    said = capsys.readouterr().out
    assert "20 to select by, 20 held out; of at most 16 pieces" in said
    assert "untrained" in said and "best after 2 of 11 intervals" in said and "best of the whole run" in said
    assert said.count("  source    ") == said.count("  written   ") == said.count("  reference ") == 6
    for name in ("lr", "attention_dropout", "layer_dropout", "relu_dropout"):
        assert name in said
    import warren

    result = warren.open_result(tmp_path / "a.db")
    assert f"best of the whole run                   {result.best.held_out:>6.2f}" in said
    second = max((row for row in result.intervals if row.interval == 2), key=lambda row: row.score or 0.0)
    assert f"best after 2 of 11 intervals            {second.metrics['test']:>6.2f}" in said
    assert "sources" not in said and not result.warnings
    assert importlib.util.find_spec("plotly") is None or (tmp_path / "a.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--preset", "huge"], "--preset"),
        (["--population", "0"], "--population: '0' must be"),
        (["--source", "a.en"], "--source FILE and --target FILE go together"),
        (["--valid-source", "a.en"], "--source FILE and --target FILE go together"),
        (["--language", "fr", "--source", "a.en", "--target", "a.fr"], "--language fr is .*; leave one of them out"),
    ],
)
def test_a_wrong_option_is_said_in_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    with pytest.raises(InvalidValue, match=said) as error:
        demo(tmp_path, *arguments)
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


def test_a_language_without_catalogues_is_said_in_one_line(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "SYSTEM", ())
    with pytest.raises(InvalidValue, match="language='xx': 0 catalogues with 0 sentences"):
        demo(tmp_path, "--language", "xx")
    assert not list(tmp_path.iterdir())


def test_the_language_and_the_preset_are_in_the_names_of_files(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    monkeypatch.setattr(command, "demonstrate", lambda workload, *arguments, **options: made.append(workload.name))
    assert command.main(files(tmp_path), live=live) == 0
    assert made == ["translation-animals"]


def test_a_preset_for_a_gpu_is_refused_where_there_is_none(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from warren.zoo.translation.train import Translator

    def read(self: Translator) -> None:
        raise AssertionError("the sentences were read first")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(Translator, "material", read)
    with pytest.raises(
        InvalidValue, match="--preset paper trains on device='cuda', and torch sees no GPU; choose"
    ) as error:
        demo(tmp_path, "--preset", "paper")
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(AssertionError, match="the sentences were read first"):
        demo(tmp_path, "--preset", "paper")


def test_files_that_do_not_fit_are_said_before_the_run(tmp_path: Path, quick: None) -> None:
    arguments = files(tmp_path)
    with open(arguments[1], "a", encoding="utf-8") as file:
        file.write("one more\n")
    with pytest.raises(InvalidValue, match=r"has 901 lines and .* has 900"):
        demo(tmp_path, *arguments)
    assert not (tmp_path / "a.db").exists()


@pytest.mark.parametrize("missing", ["torch", "sentencepiece", "sacrebleu"])
def test_a_missing_package_names_the_extra(tmp_path: Path, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> Any:
        return None if name == missing else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    with pytest.raises(MissingExtra, match=rf'{missing}.*pip install "warren\[translation\]"') as error:
        demo(tmp_path)
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())


def test_the_room_is_imported_without_its_packages() -> None:
    code = (
        "import sys, warren.zoo.translation.command; print({'torch', 'sentencepiece', 'sacrebleu'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
