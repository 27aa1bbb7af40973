"""One HTML page that needs nothing from a network: what the reports of a run and of a comparison are made of."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Sequence
from typing import Any

from warren.errors import MissingExtra
from warren.results.plots import Figure
from warren.results.style import CSS, SCRIPT


def _library() -> str:
    """The source of plotly.js."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise MissingExtra('the report needs Plotly: pip install "warren[report]"') from None
    return str(get_plotlyjs()).replace("\r\n", "\n")


def page(title: str, body: str, figures: Sequence[Figure]) -> str:
    """A whole HTML document with everything inside it.

    Args:
        title: Of the window.
        body: HTML; figures stand where `place` put them.
        figures: In the order in which they were placed.

    Raises:
        MissingExtra: Plotly is not installed.
    """
    library = _library()
    # The policy makes the browser keep the promise: only these two scripts run, and nothing is fetched from anywhere.
    hashes = " ".join(f"'sha256-{_sha256(script)}'" for script in (library, SCRIPT))
    policy = f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(title)}</title>
<style>{CSS}</style>
</head>
<body>
<main>
{body}
</main>
<script type="application/json" id="figures">{_json(figures)}</script>
<script>{library}</script>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _json(value: Any) -> str:
    """JSON that may stand inside a script element."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def text(value: object) -> str:
    """Anything a user named, as text."""
    # A path in a traceback may hold bytes that are no text; they must not keep the page from being written.
    return html.escape(str(value)).encode("utf-8", "replace").decode()


def count(number: int, noun: str) -> str:
    """So many of something."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def card(label: str, value: str, more: str = "", kind: str = "") -> str:
    """A number with what it is."""
    return (
        f'<div class="card {kind}"><span class="label">{text(label)}</span><b>{text(value)}</b>'
        f'<span class="more">{text(more)}</span></div>'
    )


def place(figures: Sequence[Figure], label: str) -> str:
    """Where the last one of the figures is drawn."""
    height = figures[-1]["layout"]["height"]
    return (
        f'<div class="figure" role="img" aria-label="{text(label)}" data-figure="{len(figures) - 1}" '
        f'style="height:{height}px"></div>'
    )


def table(heads: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    """A table; each row with its class, or an empty string."""
    lines = ['<div class="wide"><table><thead><tr>']
    lines += [f'<th class="long" title="{text(head)}">{text(head)}</th>' for head in heads]
    lines.append("</tr></thead><tbody>")
    for kind, cells in rows:
        inside = "".join(f'<td class="long" title="{text(cell)}">{text(cell)}</td>' for cell in cells)
        lines.append(f'<tr class="{kind}">{inside}</tr>' if kind else f"<tr>{inside}</tr>")
    lines.append("</tbody></table></div>")
    return "".join(lines)
