from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("sklearn")

from warren.zoo.gan.sheets import ROOM, Sheets, grid


def carried(ages: int) -> Sheets:
    sheets = Sheets(1, 1, 1)
    for age in range(1, ages + 1):
        sheets.add(age, np.full((1, 1, 1), age, np.uint8))
    return sheets


def test_a_short_history_is_kept_whole():
    assert carried(3).ages.tolist() == [1, 2, 3, 0, 0, 0, 0, 0]
    assert carried(8).ages.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_longer_history_is_thinned_and_keeps_its_ends():
    assert carried(9).ages.tolist() == [1, 2, 4, 6, 8, 9, 0, 0]
    assert carried(14).ages.tolist() == [1, 2, 4, 6, 8, 10, 12, 14]
    assert carried(20).ages.tolist() == [1, 4, 8, 12, 16, 20, 0, 0]
    assert carried(28).ages.tolist() == [1, 4, 8, 12, 16, 20, 24, 28]


@pytest.mark.parametrize("ages", [1, 7, 16, 17, 33, 100, 250])
def test_ages_are_evenly_spread_and_sheets_are_theirs(ages):
    sheets = carried(ages)
    kept = [int(age) for age in sheets.ages if age]
    assert kept[0] == 1 and kept[-1] == ages
    if ages <= ROOM:
        assert kept == list(range(1, ages + 1))
    else:
        assert len(kept) > ROOM // 2
        assert len(set(np.diff([0, *kept[1:-1]]))) == 1  # evenly spread between the ends
    assert [int(sheet[0, 0, 0]) for sheet in sheets.pixels[: len(kept)]] == kept
    assert not sheets.pixels[len(kept) :].any()


def test_a_grid_has_images_row_by_row():
    # Four images of 1 x 2 pixels: -1 is black, 1 is white, 0 in the middle, and NaN as grey as that.
    images = np.array([[-1, 1], [0, -1], [1, 1], [np.nan, 5]]).reshape(4, 1, 1, 2)
    # A grey line parts the columns, and one the rows.
    assert grid(images)[..., 0].tolist() == [[0, 255, 128, 128, 0], [128] * 5, [255, 255, 128, 128, 255]]


def test_a_grid_keeps_colours_apart():
    images = np.stack([np.full((2, 2), value) for value in (-1.0, 0.2, 1.0)])[None]
    assert grid(images).tolist() == [[[0, 153, 255]] * 2] * 2  # 1.2 * 127.5 = 153
