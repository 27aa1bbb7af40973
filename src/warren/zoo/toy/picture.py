"""The four panels as one page: paths of theta over the contours of Q."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from warren.errors import MissingExtra
from warren.zoo.toy.figure2 import PANELS, Outcome
from warren.zoo.toy.tasks import PEAK, START

COLOURS = ("#f59e0b", "#1d4ed8")


def draw(outcomes: Mapping[str, Outcome], path: str | os.PathLike[str]) -> None:
    """Write one HTML file that opens without a network.

    Args:
        outcomes: A run of each panel, by its name.
        path: The file.

    Raises:
        MissingExtra: Plotly is not installed.
        OSError: The file cannot be written.
    """
    try:
        import plotly.graph_objects as go
        from plotly.subplots import make_subplots
    except ImportError:
        raise MissingExtra('the picture needs Plotly: pip install "warren[report]"') from None

    titles = [f"{panel}: Q = {outcomes[panel].best:.4f}" for panel in PANELS]
    figure = make_subplots(2, 2, subplot_titles=titles, horizontal_spacing=0.09, vertical_spacing=0.12)
    axis = np.linspace(-0.1, 1.0, 56)
    height = PEAK - axis[:, None] ** 2 - axis[None, :] ** 2
    for place, panel in enumerate(PANELS):
        where = {"row": place // 2 + 1, "col": place % 2 + 1}
        figure.add_trace(
            go.Contour(
                x=axis, y=axis, z=height, showscale=False, hoverinfo="skip", colorscale="Greys", opacity=0.55,
                contours={"coloring": "lines", "start": -0.8, "end": PEAK, "size": 0.1},
            ),
            **where,
        )  # fmt: skip
        outcome = outcomes[panel]
        for member, (colour, points) in enumerate(zip(COLOURS, outcome.paths, strict=True)):
            # A copy jumps to where the other member stood: the line is broken there. And where both went the same
            # way, the wider one shows under the narrower one.
            line = np.insert(points, np.flatnonzero(outcome.copied[member]), np.nan, axis=0)
            figure.add_trace(
                go.Scatter(
                    x=line[:, 0], y=line[:, 1], mode="lines+markers", name=f"member {member}",
                    legendgroup=str(member), showlegend=place == 0,
                    marker={"size": 7 - 4 * member, "color": colour},
                    line={"width": 1, "color": colour},
                    hovertemplate="θ = (%{x:.3f}, %{y:.3f})",
                ),
                **where,
            )  # fmt: skip
        stands = {"x": [0.0], "y": [0.0], "marker": {"symbol": "star", "size": 13, "color": "#15803d"}}
        begins = {"x": START[:1], "y": START[1:], "marker": {"symbol": "circle-open", "size": 11, "color": "#111"}}
        for name, mark in (("start", begins), ("peak of Q", stands)):
            figure.add_trace(
                go.Scatter(**mark, mode="markers", name=name, legendgroup=name, showlegend=place == 0), **where
            )
    figure.update_xaxes(title_text="θ₀", range=[-0.1, 1.0], dtick=0.2, constrain="domain")
    figure.update_yaxes(title_text="θ₁", range=[-0.1, 1.0], dtick=0.2)
    for place in range(len(PANELS)):
        number = "" if place == 0 else str(place + 1)
        figure.update_yaxes(scaleanchor=f"x{number}", row=place // 2 + 1, col=place % 2 + 1)
    figure.update_layout(
        title="Figure 2 of the paper: two members climb Q = 1.2 - θ₀² - θ₁², each seeing only part of it",
        template="plotly_white", width=1000, height=980,
        legend={"orientation": "h", "y": -0.06},
    )  # fmt: skip
    figure.write_html(path, include_plotlyjs=True, full_html=True)
