from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import warren
from warren.errors import MissingExtra, RunFailed
from warren.population import IntervalRow, MemberRow
from warren.results.figures import Panel, Story, first_view, spans_decades, story, thin
from warren.results.plots import panel_figure, score_figure, shown, tree_figure
from warren.results.report import render
from warren.results.result import Result

pytest.importorskip("plotly")

SPACE = {
    "optimizer": {
        "lr": warren.Float(1e-4, 1.0, scale="log"),
        "momentum": warren.Float(0.5, 0.999, scale="one_minus"),
    },
    "layers": warren.Int(1, 4),
    "augment": warren.Choice(("none", "crop", True, None)),
}


def init(seed: int, hyperparameters: dict[str, Any]) -> np.ndarray:
    return np.zeros(1)


def train(state: np.ndarray, hyperparameters: dict[str, Any], rng: Any) -> np.ndarray:
    return state + hyperparameters["optimizer"]["lr"]


def evaluate(state: np.ndarray, rng: Any) -> tuple[float, dict[str, float]]:
    return float(state[0]), {"test": float(state[0]) - 0.5}


TASK = warren.Task(init=init, train_interval=train, evaluate=evaluate)


def trained(task: Any = TASK, **more: Any) -> Result:
    options: dict[str, Any] = {"space": SPACE, "goal": "max", "population": 6, "intervals": 8, "seed": 4}
    return warren.run(task, **{**options, **more})


class Page(HTMLParser):
    """What a browser would find in a page: elements, text, and the figures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[str] = []
        self._inside: str | None = None
        self.feed(text)
        self.close()
        self.figures = json.loads(self.scripts[0])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def result() -> Result:
    return trained(held_out="test", name="a run")


@pytest.fixture(scope="module")
def page(result: Result) -> Page:
    return Page(render(result))


def row(id: int, member: int, interval: int, **more: Any) -> IntervalRow:
    fields: dict[str, Any] = {"age": interval, "hyperparameters": {"lr": 0.1}, "score": float(interval)}
    return IntervalRow(id=id, member=member, interval=interval, **{**fields, **more})


def told(rows: list[IntervalRow], ends: dict[int, int], best: int | None = None, space: Any = None) -> Story:
    """The story of rows whose members end on these intervals; the best one's lineage by first parents."""
    members = [MemberRow(member=m, hyperparameters={}, parents=(end,) if end else ()) for m, end in ends.items()]
    known, chain = {row.id: row for row in rows}, []
    while best is not None:
        chain.append(known[best])
        best = known[best].parents[0] if known[best].parents else None
    return story(rows, members, chain[::-1], space)


# Member 1 trains two intervals, is given up, and takes over member 0 after its second one.
COPIED = [
    row(1, 0, 1),
    row(2, 1, 1, score=-1.0),
    row(3, 0, 2, parents=(1,)),
    row(4, 1, 2, parents=(2,), score=-2.0),
    row(5, 0, 3, parents=(3,)),
    row(6, 1, 3, parents=(3,), origin="exploit", score=9.0),
    row(7, 1, 4, parents=(6,), score=10.0),
]


def joined(trace: dict[str, Any]) -> list[list[tuple[Any, Any]]]:
    """The lines of a trace: its points between the gaps."""
    lines: list[list[tuple[Any, Any]]] = [[]]
    for x, y in zip(trace["x"], trace["y"], strict=True):
        if x is None:
            lines.append([])
        else:
            lines[-1].append((x, y))
    return lines


def named(figure: dict[str, Any], name: str) -> dict[str, Any]:
    return next(trace for trace in figure["data"] if trace["name"] == name)


# -- the page -------------------------------------------------------------------------------------------------------


def test_page_needs_no_network(page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "object", "embed", "img", "base"}
        assert not {"src", "href", "srcset", "data"} & set(attributes)
    style = page.named("style")
    assert len(style) == 1
    assert len(page.scripts) == 3
    assert page.scripts[1].count("plotly.js v") >= 1  # the library itself, once
    assert "plotly.js v" not in page.scripts[0] + page.scripts[2]


def test_policy_lets_only_the_two_scripts_run(page: Page) -> None:
    policy = next(meta for meta in page.named("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    allowed = str(policy["content"])
    assert "default-src 'none'" in allowed
    assert "http" not in allowed
    hashes = re.findall(r"'sha256-([^']+)'", allowed)
    assert hashes == [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in page.scripts[1:]
    ]


def test_styles_load_nothing(result: Result) -> None:
    style = re.search(r"<style>(.*?)</style>", render(result), re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_page_tells_the_outcome(page: Page, result: Result) -> None:
    text = page.text
    best = result.best
    assert "a run" in text
    assert "done: every member has had its intervals" in text
    assert f"best score (highest) {shown(best.score)}" in text
    assert f"test, held out {shown(best.held_out)}" in text
    assert "The best score flatters" in text
    assert "48 of 48 intervals reported" in text
    assert f"{result.cost.copies} {len([step for step in result.schedule if step.copied])} of them" in text
    assert str(result.cost) in text
    for name, value in best.hyperparameters.items():
        assert f"{name} {shown(value)}" in text


def test_page_has_a_figure_in_each_place(page: Page) -> None:
    places = [int(str(div["data-figure"])) for div in page.named("div") if "data-figure" in div]
    assert places == list(range(len(page.figures)))
    assert len(page.figures) == 1 + 4 + 1  # scores, four hyperparameters, family tree


def test_figures_are_valid_for_plotly(page: Page) -> None:
    from plotly import graph_objects

    for figure in page.figures:
        graph_objects.Figure(data=figure["data"], layout=figure["layout"])
        for trace in figure["data"]:
            assert len(trace["x"]) == len(trace["y"]) == len(trace["hovertext"])


def test_schedule_table_is_folded_by_equal_steps(page: Page, result: Result) -> None:
    copies = sum(step.copied for step in result.schedule)
    assert "details" in {tag for tag, _ in page.tags}
    assert f"8 intervals, {copies + 1} step{'s' if copies else ''}" in page.text  # without a copy nothing changes


def test_report_writes_the_page(result: Result, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    result.report(file)
    text = file.read_text(encoding="utf-8")
    assert text == render(result)
    assert 1e6 < len(text) < 8e6


def test_missing_plotly_is_one_line(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(MissingExtra) as caught:
        render(result)
    assert 'pip install "warren[report]"' in str(caught.value)
    assert "\n" not in str(caught.value)


NASTY = "</script><script>alert('x')</script><img src=//x onerror=a>&amp;"


def test_all_words_of_the_user_are_text() -> None:
    space = {NASTY: warren.Float(0.1, 1.0), "rule": warren.Choice((NASTY, "b"))}

    def adds(state: np.ndarray, hyperparameters: dict[str, Any], rng: Any) -> np.ndarray:
        return state + hyperparameters[NASTY]

    def scored(state: np.ndarray, rng: Any) -> tuple[float, dict[str, float]]:
        return float(state[0]), {"<b>": 1.0}

    task = warren.Task(init=init, train_interval=adds, evaluate=scored)
    seen = Page(render(trained(task, space=space, name=NASTY, held_out="<b>")))
    assert len(seen.scripts) == 3
    assert not seen.named("img")
    assert NASTY in seen.text
    for figure in seen.figures:
        for trace in figure["data"]:
            assert not any("<script" in str(text) or "<img" in str(text) for text in trace["hovertext"])
        assert "<script" not in json.dumps(figure["layout"])


def test_failures_are_told_with_their_tracebacks() -> None:
    failed: list[int] = []

    def fails(slot: warren.Slot) -> None:
        x = np.zeros(1)
        slot.track(x=x)
        for member in slot:
            if member.id == 1 and member.budget >= 2:
                failed.append(member.budget)
                raise ValueError("bad <b>batch</b> \udcff")
            x += member["gain"]
            member.report(math.nan if member.id == 2 and member.budget == 1 else float(x[0]))

    result = warren.run(fails, space={"gain": warren.Float(0.1, 1.0)}, goal="max", population=4, intervals=5)
    text = render(result)
    text.encode("utf-8")
    page = Page(text)
    assert "quarantined: 1 member (1)" in page.text
    assert f"{len(failed) + 1}" in page.text
    assert "1 not finite" in page.text
    assert "ValueError: bad <b>batch</b>" in page.text
    assert "Traceback (most recent call last)" in page.text
    assert "member 1 is quarantined" in page.text
    crosses = named(page.figures[-1], "not finite")
    assert list(zip(crosses["x"], crosses["y"], strict=True)) == [(2, 2)]


def test_warnings_stand_on_the_page() -> None:
    from warren.population import EventRow

    result = trained(population=1, intervals=1)
    result.store.note(EventRow(kind="warning", body="lr was <never> read"))
    assert "lr was <never> read" in Page(render(result)).text


def test_no_best_yet() -> None:
    seen: list[Result] = []
    with pytest.raises(RunFailed):
        trained(warren.Task(init=init, train_interval=train, evaluate=lambda state, rng: math.nan), watch=seen.append)
    page = Page(render(seen[-1]))
    assert "none yet" in page.text
    assert "No interval has reported a finite score so far" in page.text
    assert "No member has a scored state" in page.text
    assert "failed: every member is quarantined" in page.text
    assert len(page.figures) == 4 + 1


def test_run_that_has_not_begun() -> None:
    seen: list[Result] = []

    def stops(result: Result) -> None:
        seen.append(result)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(watch=stops)
    page = Page(render(seen[0]))
    assert "not over" in page.text
    assert "of 48 intervals reported" in page.text


@pytest.mark.parametrize("goal", ["max", "min"])
def test_population_of_one(goal: str) -> None:
    page = Page(render(trained(population=1, intervals=3, goal=goal)))
    assert "no state was taken over" in page.text
    assert "No state was copied in this run" in page.text
    assert f"best score ({'highest' if goal == 'max' else 'lowest'})" in page.text


def test_pending_scores_are_gaps() -> None:
    def later(slot: warren.Slot) -> None:
        x = np.zeros(1)
        slot.track(x=x)
        for member in slot:
            x += 1
            member.report(warren.PENDING if member.budget == 1 else float(x[0]))

    page = Page(render(warren.run(later, space={"g": warren.Float(0, 1)}, goal="max", population=2, intervals=3)))
    assert "2 scores to come" in page.text
    kept = named(page.figures[0], "lives on at the end")
    assert [y for x, y in zip(kept["x"], kept["y"], strict=True) if x == 2] == [None, None]


def test_target_score_is_the_reason_to_stop() -> None:
    page = Page(render(trained(stop=warren.Stop(intervals=7))))
    assert "stopped: 7 intervals over all members" in page.text


# -- what is drawn --------------------------------------------------------------------------------------------------


def test_no_curve_goes_back(page: Page) -> None:
    for figure in page.figures[:-1]:
        for trace in figure["data"]:
            if "lines" in trace["mode"]:
                for line in joined(trace):
                    ages = [x for x, _ in line]
                    assert ages == sorted(ages)
                    assert figure is not page.figures[0] or len(set(ages)) == len(ages)


def test_donors_that_are_ahead_do_not_lead_back() -> None:
    rows = [
        row(1, 0, 1),
        row(2, 0, 2, parents=(1,)),
        row(3, 0, 3, parents=(2,)),
        row(4, 1, 1, score=0.0),
        row(5, 1, 2, parents=(3,), origin="exploit", age=4, score=7.0),
    ]
    figure, _ = score_figure(told(rows, {0: 3, 1: 5}, best=5), "max")
    assert joined(named(figure, "lineage of the best")) == [[(1, 1.0), (2, 2.0), (3, 3.0), (4, 7.0)]]


def test_inherited_score_is_the_donors() -> None:
    figure, _ = score_figure(told(COPIED, {0: 5, 1: 7}, best=7), "max")
    lost, kept = named(figure, "given up"), named(figure, "lives on at the end")
    assert joined(lost) == [[(1, -1.0), (2, -2.0)]]  # member 1's own line ends with its own score
    assert joined(kept) == [[(1, 1.0), (2, 2.0), (3, 3.0)], [(2, 2.0), (3, 9.0), (4, 10.0)]]
    assert joined(named(figure, "lineage of the best")) == [[(1, 1.0), (2, 2.0), (3, 9.0), (4, 10.0)]]
    copied = named(figure, "copied here")
    assert (copied["x"], copied["y"]) == ([3], [9.0])
    assert "copied from member 0, interval 2" in copied["hovertext"][0]


def test_family_tree_joins_donor_and_recipient() -> None:
    figure, _ = tree_figure(told(COPIED, {0: 5, 1: 7}, best=7))
    assert joined(named(figure, "given up")) == [[(0, 1), (1, 1), (2, 1)]]
    assert joined(named(figure, "lives on at the end")) == [[(0, 0), (1, 0), (2, 0), (3, 0)], [(2, 0), (3, 1), (4, 1)]]
    assert joined(named(figure, "lineage of the best")) == [[(0, 0), (1, 0), (2, 0), (3, 1), (4, 1)]]
    assert "lr = 0.1" in named(figure, "copied here")["hovertext"][0]
    assert figure["layout"]["yaxis"]["range"] == [1.7, -0.7]  # member 0 on top


def test_copy_of_a_state_that_died_later_is_given_up() -> None:
    rows = [row(1, 0, 1), row(2, 1, 1), row(3, 1, 2, parents=(1,), origin="exploit"), row(4, 1, 3, parents=(1,), age=2)]
    pieces = told(rows, {0: 1, 1: 4}).pieces
    assert [([row.id for row in piece.rows], piece.fate) for piece in pieces] == [
        ([1], "kept"), ([2], "lost"), ([3], "lost"), ([4], "kept"),
    ]  # fmt: skip


def test_line_starts_again_after_a_nan() -> None:
    rows = [
        row(1, 0, 1),
        row(2, 0, 2, parents=(1,), status="diverged", score=None),
        row(3, 0, 3, parents=(1,), age=2),
    ]
    figure, _ = score_figure(told(rows, {0: 3}, best=3), "max")
    assert joined(named(figure, "lives on at the end")) == [[(1, 1.0)], [(1, 1.0), (2, 3.0)]]
    assert joined(named(figure, "lineage of the best")) == [[(1, 1.0), (2, 3.0)]]


def test_every_interval_is_in_one_piece(result: Result) -> None:
    tale = story(result.intervals, result.members, result.lineage(), None)
    drawn = [row.id for piece in tale.pieces for row in piece.rows]
    assert sorted(drawn) == sorted(row.id for row in result.intervals)
    for piece in tale.pieces:
        assert {row.member for row in piece.rows} == {piece.rows[0].member}


def test_panels_follow_the_space(page: Page, result: Result) -> None:
    space = result.store.config()["space"]  # type: ignore[index,call-overload]
    panels = story(result.intervals, result.members, result.lineage(), space).panels
    assert [(panel.name, panel.axis) for panel in panels] == [
        ("optimizer.lr", "log"), ("optimizer.momentum", "one_minus"), ("layers", "linear"), ("augment", "choice"),
    ]  # fmt: skip
    assert (panels[0].low, panels[0].high) == (1e-4, 1.0)
    assert panels[3].choices == ("none", "crop", True, None)
    lr, momentum, layers, augment = (figure["layout"]["yaxis"] for figure in page.figures[1:5])
    assert lr["type"] == "log"
    assert lr["range"] == pytest.approx([-4.2, 0.2])
    assert lr["ticktext"] == ["1e-4", "0.001", "0.01", "0.1", "1"]
    assert momentum["type"] == "log"
    assert momentum["range"][0] > momentum["range"][1]  # near 1 on top
    assert {"0.9", "0.99", "0.999"} <= set(momentum["ticktext"])
    assert layers["range"] == pytest.approx([0.85, 4.15])
    assert augment["ticktext"] == ["none", "crop", "True", "None"]


def test_schedule_is_drawn_as_steps(page: Page, result: Result) -> None:
    line = named(page.figures[1], "lineage of the best")
    lrs = [step.hyperparameters["optimizer.lr"] for step in result.schedule]
    assert line["line"]["shape"] == "vh"  # a point is the end of its interval
    assert line["x"] == list(range(9))
    assert line["y"] == pytest.approx([lrs[0], *lrs], rel=1e-6)


def test_place_on_an_axis() -> None:
    assert Panel(name="m", axis="one_minus").place(0.75) == 0.25
    assert Panel(name="m", axis="one_minus").place(1.0) is None
    assert Panel(name="m", axis="log").place(0) is None
    assert Panel(name="m", axis="linear").place(-2) == -2.0
    assert Panel(name="m", axis="linear").place("x") is None
    assert Panel(name="m", axis="linear").place(None) is None
    choice = Panel(name="m", axis="choice", choices=(1, True, "1", None))
    assert [choice.place(value) for value in (1, True, "1", None, "else")] == [0, 1, 2, 3, None]


def test_hyperparameters_that_are_not_in_the_space_get_a_panel() -> None:
    rows = [row(1, 0, 1, hyperparameters={"a": 0.5, "b": "x"}), row(2, 0, 2, hyperparameters={"a": 2}, parents=(1,))]
    tale = told(rows, {0: 2}, best=2, space={"a": {"$": "w:Float", "low": 1e-3, "high": 1, "scale": "log"}})
    assert [(panel.name, panel.axis) for panel in tale.panels] == [("a", "log"), ("b", "choice")]
    assert tale.panels[0].high == 2.0  # what was there counts, whatever the space says
    assert joined(named(panel_figure(tale, tale.panels[1]), "lineage of the best")) == [[(0, 0), (1, 0), (2, None)]]


def test_a_few_bad_scores_do_not_flatten_the_rest() -> None:
    good = [0.5 + 0.005 * i for i in range(99)]  # 0.5 to 0.99
    view = first_view([*good, -1000.0], "max")
    assert view is not None
    assert -1 < view[0] <= 0.53
    assert view[1] > 0.99
    low = first_view([*(-score for score in good), 1000.0], "min")
    assert low is not None
    assert low == pytest.approx((-view[1], -view[0]))
    assert first_view(good, "max") is None
    assert first_view([1.0] * 50, "max") is None
    assert first_view([1.0, -1e9], "max") is None  # two scores: both are wanted
    rows = [row(i, i, 1, score=score) for i, score in enumerate([*good, -1000.0], start=1)]
    _, notes = score_figure(told(rows, {}), "max")
    assert any("outside the first view" in note for note in notes)


def test_losses_over_decades_get_a_log_axis() -> None:
    assert spans_decades([1e-3, 10.0], "min")
    assert not spans_decades([1e-3, 10.0], "max")
    assert not spans_decades([0.0, 10.0], "min")
    assert not spans_decades([1.0, 10.0], "min")
    assert not spans_decades([], "min")
    rows = [row(1, 0, 1, score=10.0), row(2, 0, 2, parents=(1,), score=0.01)]
    figure, _ = score_figure(told(rows, {0: 2}, best=2), "min")
    assert figure["layout"]["yaxis"]["type"] == "log"


def long_run(members: int, intervals: int, copy_every: int) -> Story:
    """Members that all take over member 0 now and then."""
    rows: list[IntervalRow] = []
    last: dict[int, int] = {}
    for interval in range(1, intervals + 1):
        before = dict(last)
        for member in range(members):
            copied = interval > 1 and interval % copy_every == 0 and member > 0
            parent = before.get(0 if copied else member)
            rows.append(
                row(
                    len(rows) + 1, member, interval,
                    parents=() if parent is None else (parent,), origin="exploit" if copied else "continue",
                )
            )  # fmt: skip
            last[member] = rows[-1].id
    return told(rows, last, best=last[0])


@pytest.mark.parametrize("copy_every", [5, 10_000])
def test_large_runs_are_thinned_and_say_so(copy_every: int) -> None:
    tale = long_run(50, 500, copy_every)
    assert len(tale.rows) == 25_000
    left = thin(tale.pieces, 5_000)
    assert sum(len(piece.rows) for piece in left) <= 5_000 * 1.1
    for figure, notes in (score_figure(tale, "max"), tree_figure(tale)):
        assert any("thinned" in note and "of 25,000 intervals" in note for note in notes)
        assert len(figure["data"]) <= 6
        assert [x for x, _ in joined(named(figure, "lineage of the best"))[0]][-500:] == list(range(1, 501))


def test_thinning_leaves_small_runs_alone() -> None:
    tale = long_run(5, 20, 4)
    assert thin(tale.pieces, 100) == list(tale.pieces)


def test_tree_stays_readable_for_many_members() -> None:
    figure, _ = tree_figure(long_run(40, 100, 5))
    assert len(figure["data"]) <= 6
    assert figure["layout"]["height"] <= 1100
    assert figure["layout"]["yaxis"]["ticktext"] == [str(member) for member in range(40)]


def test_shown_is_short() -> None:
    values = [0.0, 1.0, 0.1 + 0.2, 12345.678, 1234567.0, 2.5e-5, -1e-10, 3, True, None, "text", math.nan]
    assert [shown(value) for value in values] == [
        "0", "1", "0.3", "12346", "1.235e6", "2.5e-5", "-1e-10", "3", "True", "None", "text", "nan",
    ]  # fmt: skip
