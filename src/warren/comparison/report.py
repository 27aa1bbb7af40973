"""A comparison as one HTML page that needs nothing from a network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from warren.comparison import plots, telling
from warren.comparison.compared import Compared
from warren.results.page import card, page, place, table, text
from warren.results.plots import Figure

STATUS = {"better": "done", "worse": "failed", "no evidence": "stopped", "too few seeds": "running"}


def render(compared: Compared) -> str:
    """The page.

    Args:
        compared: What came out.

    Returns:
        A whole HTML document with everything inside it.

    Raises:
        MissingExtra: Plotly is not installed.
    """
    figures: list[Figure] = []
    body = "\n".join([
        *_head(compared),
        *_differences(compared, figures),
        *_course(compared, figures),
        *_profile(compared, figures),
        *_flattery(compared, figures),
        *_retraining(compared, figures),
        *_compute(compared),
    ])  # fmt: skip
    design = compared.design
    return page(f"{design.candidate} against {design.primary} · warren", body, figures)


def _head(compared: Compared) -> Iterable[str]:
    design, primary = compared.design, compared.contrasts[0]
    yield (
        f"<header><h1>{text(design.candidate)} against {text(design.primary)}</h1>"
        f'<span class="status {STATUS[compared.verdict]}">{text(compared.verdict)}</span></header>'
    )
    sentence = telling.sentence(compared)
    yield f'<p class="soft">{text(sentence[:1].upper() + sentence[1:])}.</p>'
    yield '<div class="cards">'
    yield card(f"{design.held_out}, better by", f"{primary.mean:+.4g}", _interval(primary.low, primary.high), "best")
    yield card("wins", f"{primary.wins} of {compared.seeds}", f"p {primary.p:.3g} by flipping signs")
    yield card("visible from", f"{primary.detectable:.3g}", "a smaller difference would have been missed too often")
    yield card("compute", f"{design.budget:g} units", f"a run; {len(design.arms)} strategies on {compared.seeds} seeds")
    yield "</div>"
    for note in telling.notes(compared):
        yield f'<p class="note">{text(note[:1].upper() + note[1:])}.</p>'


def _interval(low: float, high: float) -> str:
    return f"95 % interval {low:+.4g} to {high:+.4g}" if math.isfinite(low) else "one seed has no interval"


def _differences(compared: Compared, figures: list[Figure]) -> Iterable[str]:
    figures.append(plots.differences_figure(compared))
    yield "<section><h2>Paired differences</h2>"
    yield (
        '<p class="about">Each dot is a seed: two populations that began with the same hyperparameters and weights. '
        "The verdict is about the primary control alone, which was named before the first run; for the others the "
        "p-values are adjusted for their number by Holm&rsquo;s rule.</p>"
    )
    yield place(figures, "Paired differences between the candidate and each other strategy")
    yield _table(*telling.differences_table(compared)) + "</section>"


def _course(compared: Compared, figures: list[Figure]) -> Iterable[str]:
    figures.append(plots.course_figure(compared))
    yield "<section><h2>Along the budget</h2>"
    yield (
        f'<p class="about">{text(compared.design.held_out)} of the member that looks best by its last score, when all '
        "members together have spent so much. Means over the seeds.</p>"
    )
    yield place(figures, "The held-out metric along the budget") + "</section>"


def _profile(compared: Compared, figures: list[Figure]) -> Iterable[str]:
    figures.append(plots.profile_figure(compared))
    yield "<section><h2>Performance profile</h2>"
    yield '<p class="about">The share of runs that end better than each value: a line above another is better.</p>'
    yield place(figures, "The share of runs that are better than each value")
    yield _table(*telling.values_table(compared)) + "</section>"


def _flattery(compared: Compared, figures: list[Figure]) -> Iterable[str]:
    figures.append(plots.flattery_figure(compared))
    yield "<section><h2>What selection saw, and what it did not</h2>"
    yield (
        '<p class="about">The best score of a whole run was picked from all that it reported, so it flatters most. '
        "What is compared above is the held-out value of the member that looks best at the end.</p>"
    )
    yield place(figures, "Score against the held-out metric of each run") + "</section>"


def _retraining(compared: Compared, figures: list[Figure]) -> Iterable[str]:
    if not compared.retrained:
        return
    figures.append(plots.retraining_figure(compared))
    yield "<section><h2>The schedules, trained again</h2>"
    yield (
        '<p class="about">The hyperparameters that led to the best run of the candidate and of the best control, on '
        "seeds that no search has seen: what the schedule is worth without the search.</p>"
    )
    yield place(figures, "Held-out metric of the schedules on fresh seeds")
    yield _table(*telling.retraining_table(compared)) + "</section>"


def _compute(compared: Compared) -> Iterable[str]:
    yield "<section><h2>What it cost</h2>"
    yield '<p class="about">Per run. Reports beyond the budget do not count.</p>'
    yield _table(*telling.compute_table(compared)) + "</section>"
    design = compared.design
    seeds = f"seeds {design.seed} to {design.seed + design.seeds - 1}"
    yield f"<footer>{text(design.population)} members, {text(design.intervals)} intervals, {text(seeds)}.</footer>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return table(head, [("best" if i == 0 else "", row) for i, row in enumerate(rows)])
