"""docs/check.md is true: its snippet runs, and what it says that the check says, it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.preflight import loops
from tests.preflight.test_preflight_faults import found

import warren
from warren.preflight import words
from warren.preflight.evaluation import Trained

PAGE = (Path(__file__).parents[2] / "docs" / "check.md").read_text(encoding="utf-8")
ROWS = [re.findall(r"`([^`]+)`", row) for row in re.findall(r"^\| ([^|]*`[^|]*) \|", PAGE, re.MULTILINE)]


@pytest.fixture(scope="module")
def said() -> str:
    trains = (
        loops.array_untracked, loops.state_lossy, loops.array_rebound, loops.environment_survives, loops.first_lr_stays,
        loops.data_keeps_its_place, loops.state_deaf, loops.generator_global, loops.never_read, loops.evaluation_trains,
        loops.score_nan, loops.raises,
    )  # fmt: skip
    space = {**loops.SPACE, **loops.NOISE}
    messages = [one.message for train in trains for one in found(train, space).all]
    messages.append(words.evaluation(Trained(function="evaluate", subject="net.1", layer="Dropout")).message)
    return "\n".join(messages)


def test_the_snippet_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "check.md", "exec"), {"warren": warren, "__name__": "page"})


def test_there_are_rows() -> None:
    assert len(ROWS) >= 13


@pytest.mark.parametrize("phrases", ROWS, ids=lambda phrases: phrases[0])
def test_the_messages_on_the_page_are_real(phrases: list[str], said: str) -> None:
    # What a run warns of in torch's name is shown by the tests with torch.
    for phrase in phrases if "overwrites" not in phrases else phrases[:1]:
        pattern = ".*".join(re.escape(part) for part in phrase.replace(" ...", "...").split("..."))
        assert re.search(pattern, said), f"{phrase!r} is not in\n{said}"


def test_an_example_of_the_page_looks_as_the_report_does() -> None:
    (shown,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    report: Any = str(found(loops.array_untracked, loops.SPACE)).splitlines()
    heads = [line[:16].rstrip() for line in report[3:8]]
    assert all(re.search(rf"^{head} ", shown, re.MULTILINE) for head in heads) and heads[0] == "an interval"
    assert re.search(r"^3 faults in \d+ intervals, .* s$", shown, re.MULTILINE)
