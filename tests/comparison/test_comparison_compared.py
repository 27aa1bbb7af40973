"""Differences, verdicts and words, from held-out values that are given."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from tests.comparison.tasks import compared, replicate

from warren.comparison import Compared, standard
from warren.comparison.arms import as_arms
from warren.comparison.telling import lines, notes, record, sentence
from warren.errors import InvalidType, InvalidValue
from warren.space import Choice, Float
from warren.strategies import PBT, RandomSearch
from warren.strategies.controls import Cosine, SuccessiveHalving

UP = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]
FLAT = [5.0] * 10


def test_a_contrast_by_hand() -> None:
    """Differences 1 .. 10 minus 5: mean 0.5, s = 3.027650; 2.262157 x 3.027650 / sqrt(10) = 2.165851."""
    one = compared({"pbt": UP, "cosine": FLAT}).contrasts[0]
    assert one.differences == (-4, -3, -2, -1, 0, 1, 2, 3, 4, 5)
    assert one.mean == 0.5
    assert (one.low, one.high) == pytest.approx((-1.665851, 2.665851), abs=2e-6)
    assert (one.wins, one.verdict) == (5, "no evidence")
    assert one.improvement == 0.55  # five of ten values are above 5, and one is 5
    assert one.detectable == pytest.approx((2.262157 + 0.883404) * 3.027650 / math.sqrt(10), abs=1e-5)


def test_a_metric_that_is_better_when_smaller_is_turned() -> None:
    """The same values, to be made small: the candidate is better by -0.5."""
    one = compared({"pbt": UP, "cosine": FLAT}, goal="min").contrasts[0]
    assert one.mean == -0.5
    assert one.wins == 4
    assert one.improvement == 0.45


@pytest.mark.parametrize(
    ("shift", "verdict"),
    [(0.0, "no evidence"), (2.0, "better"), (-3.0, "worse"), (1.6, "no evidence"), (1.7, "better")],
)
def test_the_verdict_goes_by_the_interval(shift: float, verdict: str) -> None:
    """Mean 0.5 + shift, half width 2.165851: 2.1 is inside, 2.2 is not."""
    found = compared({"pbt": [value + shift for value in UP], "cosine": FLAT})
    assert found.verdict == verdict
    assert (found.contrasts[0].low > 0) == (verdict == "better")


def test_nine_seeds_are_too_few_whatever_they_show() -> None:
    found = compared({"pbt": [value + 100 for value in UP[:9]], "cosine": FLAT[:9]})
    assert found.verdict == "too few seeds"
    assert sentence(found).startswith("no verdict on pbt against cosine: 9 seeds, and 10 are needed")
    alone = compared({"pbt": [2.0], "cosine": [1.0]})
    assert (alone.verdict, alone.contrasts[0].low) == ("too few seeds", -math.inf)
    json.dumps(record(alone), allow_nan=False)
    assert lines(alone)


def test_the_primary_stands_alone_and_the_others_are_adjusted() -> None:
    """All ten of one sign: p = 2 / 1024. Three others of that p: 3 x 2 / 1024; the primary's stays."""
    better = [value + 9 for value in FLAT]
    found = compared({"pbt": better, "a": FLAT, "b": FLAT, "primary": FLAT, "c": UP}, primary="primary")
    assert [one.other for one in found.contrasts] == ["primary", "a", "b", "c"]
    # c: differences 14 - 1 .. 14 - 10, all positive
    assert [one.p for one in found.contrasts] == [2 / 1024] * 4
    assert [one.adjusted for one in found.contrasts] == pytest.approx([2 / 1024] + [6 / 1024] * 3)
    assert {one.verdict for one in found.contrasts} == {"better"}


def test_others_are_flagged_by_their_adjusted_p_only() -> None:
    """p = 16 / 1024 alone would be below 0.05; times 4 it is 0.0625."""
    # 10 differences of which the smallest two are negative: |sum| >= 49 of 55: see below
    values = [-1.0, -2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]
    found = compared(
        {"pbt": values, "p": [0.0] * 10, "a": [0.0] * 10, "b": [0.0] * 10, "c": [0.0] * 10, "d": [0.0] * 10}
    )
    # subsets of 1 .. 10 with a sum of at most 3: {}, {1}, {2}, {3}, {1, 2}: five of 1024 at each end
    assert found.contrasts[1].p == 10 / 1024
    assert found.contrasts[1].adjusted == pytest.approx(40 / 1024)
    assert found.contrasts[1].verdict == "better"
    six = compared({"pbt": values, **{name: [0.0] * 10 for name in "pabcdef"}})
    assert six.contrasts[1].adjusted == pytest.approx(60 / 1024)
    assert six.contrasts[1].verdict == "no evidence"
    assert six.contrast("pbt", "a").verdict == "better"  # by itself


def test_a_run_without_a_value_counts_as_the_worst_of_all() -> None:
    """NaN on seed 0: the worst of all values is 1, at which `cosine` ended on seed 3."""
    found = compared({"pbt": [math.nan, *UP[1:]], "cosine": [5.0, 5.0, 5.0, 1.0, *FLAT[4:]]})
    assert found.held_out("pbt")[0] == 1.0
    assert found.failed == ("pbt/0",)
    assert "pbt/0" in notes(found)[0]
    turned = compared({"pbt": [math.nan, *UP[1:]], "cosine": FLAT}, goal="min")
    assert turned.held_out("pbt")[0] == 10.0
    with pytest.raises(InvalidValue, match="finite test"):
        compared({"pbt": [math.nan] * 2, "cosine": [math.nan] * 2}).held_out("pbt")


def test_final_and_best_ever_are_both_told() -> None:
    """Best ever flatters here by 0.5 on each seed."""
    found = compared({"pbt": UP, "cosine": FLAT})
    runs = {
        name: [replicate(name, seed, value, value + 0.5) for seed, value in enumerate(found.held_out(name).tolist())]
        for name in found.replicates
    }
    told = Compared(found.design, runs)
    assert told.held_out("pbt", "best").tolist() == [value + 0.5 for value in UP]
    assert told.contrast("pbt", "cosine", "best").mean == 0.5
    assert any("+0.5" in line and line.startswith("pbt") for line in lines(told))


def test_the_words_of_each_verdict() -> None:
    said = str(compared({"pbt": UP, "cosine": FLAT}))
    assert said.startswith(
        "no evidence that pbt is better or worse than cosine: test better by +0.5, 95 % interval [-1."
    )
    assert "3.012 would have been seen" in said  # 3.145561 x 3.027650 / sqrt(10) = 3.01165
    good = str(compared({"pbt": [value + 5 for value in UP], "cosine": FLAT}))
    assert good.startswith("pbt is better than cosine: test better by +5.5")
    assert str(compared({"pbt": [value - 9 for value in UP], "cosine": FLAT})).startswith("pbt is worse than cosine")


def test_seeds_that_were_raised_are_told() -> None:
    assert "raised from 10, 15 to 20" in notes(compared({"pbt": UP * 2, "cosine": FLAT * 2}, raised=(10, 15)))[0]


def test_the_record_is_json_and_complete() -> None:
    body = json.loads(json.dumps(record(compared({"pbt": [math.nan, *UP[1:]], "cosine": FLAT})), allow_nan=False))
    assert body["verdict"] == "no evidence"
    assert body["strategies"]["pbt"][0]["final"] == {"score": 0.0, "held_out": None}
    assert body["design"]["primary"] == "cosine"
    assert body["contrasts"][0]["other"] == "cosine"


def test_the_standard_set_switches_one_thing_off_at_a_time() -> None:
    """Halving: 24 members over 9 intervals of 8 x 9 = 72 units: 24 x 1 + 8 x 2 + 2 x 6 = 52; 33: 33 + 22 + 18 = 73."""
    space = {"lr": Float(1e-3, 1.0, scale="log")}
    found = standard(space, candidate=PBT(drift_free=True, every=2), population=8, intervals=9)
    assert list(found) == [
        "pbt", "cosine", "random", "no-explore", "no-exploit", "hyperparameters-only", "weights-only", "every-1",
        "every-5", "halving",
    ]  # fmt: skip
    assert found["no-explore"] == PBT(every=2, explore="none")
    assert found["no-exploit"] == PBT(every=2, exploit="none", explorers="ready", drift_free=True)
    assert found["weights-only"] == PBT(every=2, copy="weights", drift_free=True)
    assert found["cosine"] == Cosine()
    halving = as_arms(found)["halving"]
    assert halving.population == 32
    assert SuccessiveHalving().spend(32, 9) == 32 + 20 + 18
    assert SuccessiveHalving().spend(33, 9) == 33 + 22 + 18


def test_a_candidate_that_is_a_control_keeps_its_settings() -> None:
    """A cosine with a floor beside the plain one; the plain one, and random search, not beside themselves."""
    space = {"lr": Float(1e-3, 1.0, scale="log")}
    found = standard(space, candidate=Cosine(floor=0.1))
    assert list(found)[:4] == ["own-cosine", "pbt", "cosine", "random"]
    assert (found["own-cosine"], found["cosine"]) == (Cosine(floor=0.1), Cosine())
    assert list(standard(space, candidate=Cosine()))[:3] == ["cosine", "pbt", "random"]
    assert list(standard(space, candidate=RandomSearch()))[:4] == ["randomsearch", "pbt", "cosine", "no-explore"]


def test_a_space_without_a_log_scale_has_no_cosine_and_another_strategy_has_pbt_beside_it() -> None:
    found = standard({"act": Choice(("a", "b"))}, candidate=RandomSearch())
    assert list(found)[:3] == ["randomsearch", "pbt", "no-explore"]
    assert "cosine" not in found


@pytest.mark.parametrize(
    ("strategies", "error", "words"),
    [
        ({"pbt": PBT()}, InvalidValue, "at least two"),
        ([PBT()], InvalidType, "must be a mapping"),
        ({"a/b": PBT(), "c": PBT()}, InvalidValue, "without '/'"),
        ({"a": PBT, "c": PBT()}, InvalidType, r"strategies\['a'\]"),
        ({"a": 3, "c": PBT()}, InvalidType, r"strategies\['a'\]"),
    ],
)
def test_what_are_no_strategies_is_refused(strategies: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        as_arms(strategies)  # type: ignore[arg-type]


def test_the_page_has_its_pictures(tmp_path: Path) -> None:
    """Five figures and four tables with retraining, nothing of a name that could be markup."""
    pytest.importorskip("plotly")
    from warren.comparison import Retrained

    found = compared({"p<b>t": UP, "cosine": FLAT, "random": UP[::-1]})
    again = Retrained(arm="p<b>t", found_on=3, schedule=({"lr": 0.1},), single=(1.0, math.nan), best_of=(2.0, 3.0))
    Compared(found.design, found.replicates, [again]).report(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert page.count("data-figure=") == 5
    assert page.count("<table>") == 4
    assert "<h1>p&lt;b&gt;t against cosine</h1>" in page
    figures = json.loads(page.split('id="figures">')[1].split("</script>")[0])
    names = [str(trace.get("name")) for figure in figures for trace in figure["data"]]
    assert any("p&lt;b&gt;t" in name for name in names)
    assert not any("p<b>t" in name for name in names)
    diamonds = next(trace for trace in figures[0]["data"] if trace.get("name") == "mean")
    assert diamonds["x"] == [0.0, 0.5]  # against random the mean is 0, and the primary control is on top
