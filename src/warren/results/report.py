"""The run as one HTML page that needs nothing from a network."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

from warren.population import EventRow, IntervalRow
from warren.results.figures import COPIES, Panel, Story, story
from warren.results.page import card, count, page, place, table, text
from warren.results.plots import Figure, panel_figure, score_figure, shown, tree_figure
from warren.results.result import Result, Trained
from warren.results.sections import Section, rendered

FAILURES = 10
"""How many of the last failures are told with their tracebacks."""


def render(result: Result, sections: Sequence[Section] = ()) -> str:
    """The page.

    Args:
        result: The run, finished or not.
        sections: What else it shows, after the family tree.

    Returns:
        A whole HTML document with everything inside it.

    Raises:
        MissingExtra: Plotly is not installed.
    """
    config = result.store.config()
    best = result.best if result.run.best is not None else None
    lineage = result.lineage() if best is not None else []
    told = story(result.intervals, result.members, lineage, config.get("space") if isinstance(config, dict) else None)
    figures: list[Figure] = []
    body = "\n".join(
        [
            *_head(result, best, told),
            *_scores(result, told, figures),
            *_panels(told, figures),
            *_tree(told, figures),
            *rendered(sections),
            *_final(result, best, told),
            *_schedule(told),
            *_failures(result),
            _foot(result, config),
        ]
    )
    return page(f"{result.name} · warren", body, figures)


# -- the sections ---------------------------------------------------------------------------------------------------


def _head(result: Result, best: Trained | None, told: Story) -> Iterable[str]:
    run = result.run
    yield f'<header><h1>{text(result.name)}</h1><span class="status {run.status}">{run.status}</span></header>'
    yield f'<p class="soft">Population Based Training, {_why(result)}.</p>'
    yield '<div class="cards">'
    goal = "highest" if result.goal == "max" else "lowest"
    if best is None:
        yield card("best score", "none yet", "no finite score with a kept state", "best")
    else:
        yield card(f"best score ({goal})", shown(best.score), f"member {best.member}, interval {best.interval}", "best")
        if result.held_out is not None:
            value = "not reported" if best.held_out is None else shown(float(best.held_out))
            yield card(f"{result.held_out}, held out", value, "of the same state; selection did not see it")
    planned = len(told.members) * run.limit
    yield card("population", f"{len(told.members):,}", f"{len(told.rows):,} of {count(planned, 'interval')} reported")
    rescues = sum(row.origin == "rescue" for row in told.rows)
    copies = sum(row.origin in COPIES for row in told.rows)
    parts = [f"{len(told.links)} of them in the lineage of the best"] if best is not None and copies else []
    parts += [count(rescues, "rescue")] if rescues else []
    yield card("copies", f"{copies:,}", ", ".join(parts) or ("" if copies else "no state was taken over"))
    yield card(*_trouble(result, told))
    yield "</div>"
    if best is not None:
        yield "<section><h2>The best state was last trained with</h2>"
        values = (f"<li><span>{text(name)}</span> {text(shown(v))}</li>" for name, v in best.hyperparameters.items())
        yield f'<ul class="values">{"".join(values)}</ul>'
        yield f'<p class="about after">{_flatters(result, best, told)}</p></section>'
    for warning in result.warnings:
        yield f'<p class="note">{text(warning)}</p>'


def _flatters(result: Result, best: Trained, told: Story) -> str:
    """What to make of the best score and its hyperparameters."""
    scores = count(sum(row.score is not None for row in told.rows), "score")
    said = f"The best score flatters: it was selected on, as the best of {scores}."
    if best.held_out is not None and math.isfinite(best.held_out):
        said += f" The held-out <b>{text(result.held_out)}</b> is the one to quote."
    else:
        said += " Measure the model on data that selection has not seen before quoting a number."
    changes = sum(1 for _ in itertools.groupby(told.lineage, key=lambda row: row.hyperparameters))
    if changes > 1:
        said += f" These values are the last of {changes} along its lineage; the schedule below has them all."
    return said


def _why(result: Result) -> str:
    """How the run stands, in words."""
    run = result.run
    if run.status == "done":
        return "done: every member has had its intervals or is out"
    if run.status == "running":
        return f"not over: {count(run.total, 'interval')} so far; the same call goes on with it"
    return f"{run.status}: {text(run.reason or 'no reason was given')}"


def _trouble(result: Result, told: Story) -> tuple[str, str, str]:
    failures = sum(event.kind in ("failure", "lost") for event in result.events)
    diverged = sum(row.status == "diverged" for row in told.rows)
    pending = sum(row.status == "pending" for row in told.rows)
    out = [row.member for row in told.members if row.state == "quarantined"]
    parts = []
    if failures:
        parts.append(f"{count(failures, 'exception')} or lost workers")
    if diverged:
        parts.append(f"{diverged} not finite")
    if out:
        named = ", ".join(map(str, out[:8])) + (" …" if len(out) > 8 else "")
        parts.append(f"quarantined: {count(len(out), 'member')} ({named})")
    if pending:
        parts.append(f"{pending} scores to come")
    return "failures", f"{failures + diverged:,}", ", ".join(parts) or "every interval came to its end"


def _scores(result: Result, told: Story, figures: list[Figure]) -> Iterable[str]:
    yield "<section><h2>Scores along lineages</h2>"
    if all(row.score is None for row in told.rows):
        yield '<p class="about">No interval has reported a finite score so far.</p></section>'
        return
    figure, notes = score_figure(told, "max" if result.goal == "max" else "min")
    figures.append(figure)
    yield (
        '<p class="about">Each line is a state that is being trained. Where a member takes over another one&rsquo;s '
        "state, its own line ends, and a branch of the donor&rsquo;s goes on with the scores that the recipient "
        f"reaches itself; an inherited score is never drawn as its own. {_told(notes)}</p>"
    )
    yield place(figures, "Scores of all members, with the lineage of the best state") + "</section>"


def _panels(told: Story, figures: list[Figure]) -> Iterable[str]:
    if not told.panels:
        return
    yield "<section><h2>Hyperparameters over time</h2>"
    yield (
        '<p class="about">What states were trained with at each age, over the range of the space. The bold line is '
        'the schedule that made the best state.</p><div class="panels">'
    )
    for panel in told.panels:
        figures.append(panel_figure(told, panel))
        yield f"<div><h3>{text(panel.name)} <small>{_scale(panel)}</small></h3>"
        yield place(figures, f"{panel.name} over time") + "</div>"
    yield "</div></section>"


def _scale(panel: Panel) -> str:
    if panel.axis == "choice":
        return "each member in its own lane"
    return {"log": "log scale", "one_minus": "log scale of 1 &minus; value", "linear": ""}[panel.axis]


def _tree(told: Story, figures: list[Figure]) -> Iterable[str]:
    figure, notes = tree_figure(told)
    figures.append(figure)
    copies = any(row.origin in COPIES for row in told.rows)
    yield "<section><h2>Family tree</h2>"
    yield (
        '<p class="about">A row for each member. A slanted line is a copy, from the donor&rsquo;s state to the '
        "interval that the recipient trained on it; a row that breaks off is a state that was given up. "
        if copies
        else '<p class="about">A row for each member. No state was copied in this run. '
    )
    yield f"Point at a line for scores and hyperparameters. {_told(notes)}</p>"
    yield place(figures, "Which state came from which") + "</section>"


def _told(notes: Iterable[str]) -> str:
    return " ".join(map(text, notes))


def _final(result: Result, best: Trained | None, told: Story) -> Iterable[str]:
    final = result.final
    yield "<section><h2>Members at the end</h2>"
    if not final:
        yield '<p class="about">No member has a scored state.</p></section>'
        return
    missing = len(told.members) - len(final)
    left = f" {count(missing, 'member')} never had a scored state." if missing else ""
    best_id = None if best is None else (best.member, best.interval)
    marked = any((trained.member, trained.interval) == best_id for trained in final)
    mark = " The best state of the run is marked." if marked else " The best state of the run is an earlier one."
    yield f'<p class="about">The last scored state of each, best first.{mark if best else ""}{left}</p>'
    names = [panel.name for panel in told.panels]
    states = {row.member: row.state for row in told.members}
    told_states = set(states.values()) != {"done"}
    heads = ["member", "score"] + ([result.held_out] if result.held_out is not None else []) + ["interval", "age"]
    rows = []
    for trained in final:
        cells = [str(trained.member), _number(trained.score)]
        if result.held_out is not None:
            cells.append(_number(trained.held_out))
        cells += [str(trained.interval), str(trained.age)]
        cells += [shown(trained.hyperparameters[name]) if name in trained.hyperparameters else "" for name in names]
        cells += [states[trained.member]] if told_states else []
        rows.append(("best" if (trained.member, trained.interval) == best_id else "", cells))
    yield table(heads + names + (["state"] if told_states else []), rows) + "</section>"


def _schedule(told: Story) -> Iterable[str]:
    if not told.lineage:
        return
    names = [panel.name for panel in told.panels]
    donors = {link.row.id: link.donor for link in told.links}
    stretches: list[list[IntervalRow]] = []
    for row in told.lineage:
        if stretches and row.id not in donors and row.hyperparameters == stretches[-1][0].hyperparameters:
            stretches[-1].append(row)
        else:
            stretches.append([row])
    rows = []
    for stretch in stretches:
        first, last = stretch[0], stretch[-1]
        ages = str(first.age) if first is last else f"{first.age} to {last.age}"
        donor = donors.get(first.id)
        came = "" if donor is None else f"{donor.member} → {first.member}"
        cells = [ages, str(first.member), came, _number(last.score)]
        cells += [shown(first.hyperparameters[name]) if name in first.hyperparameters else "" for name in names]
        rows.append(("", cells))
    yield (
        "<section><details><summary><h2>The schedule that made the best state</h2> "
        f'<span class="soft">{count(len(told.lineage), "interval")}, {count(len(rows), "step")}</span></summary>'
    )
    yield table(["age", "member", "copied", "score after", *names], rows)
    yield '<p class="about">As a file: <code>result.schedule.save("schedule.json")</code></p></details></section>'


def _failures(result: Result) -> Iterable[str]:
    events = [event for event in result.events if event.kind in ("failure", "lost", "quarantine")]
    if not events:
        return
    yield f"<section><h2>{'Failures' if len(events) <= FAILURES else f'The last {FAILURES} failures'}</h2>"
    for event in reversed(events[-FAILURES:]):
        yield _failure(event)
    yield "</section>"


def _failure(event: EventRow) -> str:
    body = event.body if isinstance(event.body, dict) else {}
    error = str(body.get("error") or "").strip()
    last = error.splitlines()[-1] if error else "no words were left"
    when = f", interval {text(body['interval'])}" if "interval" in body else ""
    what = {"failure": "failed", "lost": "lost its worker", "quarantine": "is quarantined"}[event.kind]
    said = f"<b>member {event.member}</b> {what}{when}: {text(last)}"
    if event.kind == "quarantine" or "\n" not in error:
        return f'<p class="about">{said}</p>'
    return f'<details><summary class="about">{said}</summary><pre>{text(error)}</pre></details>'


def _foot(result: Result, config: Any) -> str:
    seed = f"seed {text(config['seed'])}. " if isinstance(config, dict) and "seed" in config else ""
    return f"<footer>{text(result.cost)}. {seed}</footer>"


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else shown(float(value))
