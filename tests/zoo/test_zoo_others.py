"""Any strategy on the hill of Figure 2."""

from __future__ import annotations

from pathlib import Path

import pytest

import warren
from warren.errors import InvalidValue, UnknownName
from warren.strategies import PBT, RandomSearch
from warren.zoo.toy import command
from warren.zoo.toy.others import INTERVALS, run_strategy
from warren.zoo.toy.tasks import HILL_BY_FOURS


def test_a_control_ends_where_its_draws_lead() -> None:
    """200 steps with h leave 0.9 * (1 - 0.02 h) ** 200 on each axis; the best of one member is that member."""
    result = warren.run(
        HILL_BY_FOURS,
        space={"h0": warren.Float(0.0, 1.0), "h1": warren.Float(0.0, 1.0)},
        goal="max",
        population=1,
        intervals=INTERVALS,
        strategy=RandomSearch(),
        seed=3,
        watch=lambda result: None,
    )
    h = result.intervals[0].hyperparameters
    left = [0.9 * (1 - 0.02 * h[name]) ** 200 for name in ("h0", "h1")]
    expected = 1.2 - left[0] ** 2 - left[1] ** 2
    assert run_strategy(RandomSearch(), 3, population=1) == pytest.approx(expected, abs=1e-12)


def test_selection_gains_on_the_control() -> None:
    """Of 16 members each, over seeds: PBT is nearer to the peak than the best of as many draws."""
    regrets = [[1.2 - run_strategy(one, seed) for seed in range(5)] for one in (PBT(), RandomSearch())]
    assert sorted(regrets[0])[2] < sorted(regrets[1])[2] / 2


def test_the_panels_stay_as_they_are_without_a_strategy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command.main(["--seeds", "1"], live=None) == 0  # type: ignore[arg-type]
    assert "grid             0.38975   0.38975       8.10e-01" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        (["--strategy", "PTB"], UnknownName, "there is no strategy 'PTB'"),
        (["--strategy", "PBT", "--population", "0"], InvalidValue, "--population: '0' must be a whole number"),
        (["--strategy", "Cosine"], InvalidValue, "no Float on a log scale"),
    ],
)
def test_a_wrong_option_is_said_in_one_line(arguments: list[str], kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said) as caught:
        command.main(arguments, live=None)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
