"""Sheets of samples: a few images from the same noise at some ages, which a member carries along in its state.

A copy takes over the donor's sheets with its weights, so that a state's sheets are those of its lineage, and nothing
but that state has to be kept to show how it came about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from warren.results.sections import Picture, Section

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from warren.results import Result, Trained

ROOM = 8
"""Sheets that a state has room for; its size does not grow with the run."""


class Sheets:
    """Sheets at ages spread over a history of any length: the first, the newest, and every 2nd, 4th, 8th ... between.

    Args:
        height: Of a sheet, in pixels.
        width: Of a sheet, in pixels.
        channels: 1 or 3.
    """

    def __init__(self, height: int, width: int, channels: int) -> None:
        self.pixels = np.zeros((ROOM, height, width, channels), np.uint8)
        self.ages = np.zeros(ROOM, np.int64)  # 0: empty

    def add(self, age: int, sheet: NDArray[np.uint8]) -> None:
        """Put in the newest, and let go of those that it leaves no room for. In place, since the arrays are tracked.

        Args:
            age: Intervals behind the state, from 1 on and greater than those before.
            sheet: Shape (height, width, channels).
        """
        stride = spacing(age)
        keep = [place for place, old in enumerate(self.ages) if old == 1 or (old and old % stride == 0)]
        ages, pixels = self.ages[keep], self.pixels[keep]
        self.ages[:], self.pixels[:] = 0, 0
        self.ages[: len(keep)], self.pixels[: len(keep)] = ages, pixels
        self.ages[len(keep)], self.pixels[len(keep)] = age, sheet


def spacing(age: int) -> int:
    """The smallest power of two of whose multiples below an age there is room for, beside the first and the newest."""
    stride = 1
    while (age - 1) // stride + (stride > 1) >= ROOM:
        stride *= 2
    return stride


def grid(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Images as one square sheet, row by row, with a grey line of one pixel between them.

    Args:
        images: From -1 to 1; shape (rows x rows, channels, height, width). What is not a number becomes grey.

    Returns:
        Shape (rows x (height + 1) - 1, rows x (width + 1) - 1, channels).
    """
    n, channels, height, width = images.shape
    rows = int(np.sqrt(n))
    values = np.nan_to_num((images + 1) * 127.5, nan=127.5, posinf=255.0, neginf=0.0)
    cells = np.full((rows, rows, channels, height + 1, width + 1), 128, np.uint8)
    cells[..., :-1, :-1] = np.rint(values.clip(0, 255)).reshape(rows, rows, channels, height, width)
    sheet = cells.transpose(0, 3, 1, 4, 2).reshape(rows * (height + 1), rows * (width + 1), channels)
    return np.ascontiguousarray(sheet[:-1, :-1])


def sections(result: Result) -> list[Section]:
    """What the report shows of a run: sheets along the lineage of the best state, and one of each member at the end."""
    best = result.best
    state = best.state()
    ages, pixels = state["ages"], state["sheets"]
    lineage = [Picture(pixels=pixels[place], caption=f"age {ages[place]}") for place in range(len(ages)) if ages[place]]
    final = [Picture(pixels=_newest(trained), caption=_caption(trained)) for trained in result.final]
    return [
        Section(
            title="Samples along the lineage of the best state",
            about="Each place of a sheet has the same noise at all ages. A state has room for so many sheets; the last "
            "one is the best state's own.",
            pictures=lineage,
        ),
        Section(
            title="Samples of the members at the end",
            about="From the same noise as above, the best first.",
            pictures=final,
        ),
    ]


def _newest(trained: Trained) -> NDArray[np.uint8]:
    state = trained.state()
    newest: NDArray[np.uint8] = state["sheets"][int(np.argmax(state["ages"]))]
    return newest


def _caption(trained: Trained) -> str:
    score = "" if trained.score is None else f", score {trained.score:.2f}"
    distance = trained.metrics.get("distance")
    return f"member {trained.member}{score}" + ("" if distance is None else f", distance {distance:.1f}")
