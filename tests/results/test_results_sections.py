from __future__ import annotations

import base64
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

import warren
from warren.errors import InvalidType, InvalidValue
from warren.results import Picture, Section
from warren.results.sections import png, rendered


def unpacked(file: bytes) -> tuple[dict[bytes, bytes], np.ndarray]:
    """The chunks of a PNG file, their sums checked, and its lines with the filter bytes in front."""
    assert file[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, place = {}, 8
    while place < len(file):
        (size,) = struct.unpack(">I", file[place : place + 4])
        kind, body = file[place + 4 : place + 8], file[place + 8 : place + 8 + size]
        assert struct.unpack(">I", file[place + 8 + size : place + 12 + size]) == (zlib.crc32(kind + body),)
        chunks[kind] = body
        place += 12 + size
    height = struct.unpack(">I", chunks[b"IHDR"][4:8])[0]
    return chunks, np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, -1)


@pytest.mark.parametrize(("shape", "colour"), [((2, 3), 0), ((2, 3, 1), 0), ((2, 3, 3), 2)])
def test_a_png_holds_the_pixels(shape, colour):
    pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    chunks, lines = unpacked(png(pixels))
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (3, 2, 8, colour, 0, 0, 0)
    assert not lines[:, 0].any()
    assert lines[:, 1:].tolist() == pixels.reshape(2, -1).tolist()


def test_pixels_of_another_kind_or_shape_are_refused():
    with pytest.raises(InvalidType, match=r"must be uint8.*float64"):
        Picture(pixels=np.zeros((2, 2)))
    for shape in ((4,), (2, 2, 4), (0, 2), (1, 2, 3, 3)):
        with pytest.raises(InvalidValue, match="pixels must have shape"):
            Picture(pixels=np.zeros(shape, np.uint8))


def test_words_of_a_section_are_text():
    nasty = '"><script>alert(1)</script>'
    picture = Picture(pixels=np.zeros((1, 1), np.uint8), caption=nasty)
    html = "".join(rendered([Section(title=nasty, about=nasty, pictures=[picture])]))
    assert "<script" not in html
    assert html.count("&quot;&gt;&lt;script&gt;") == 4  # title, about, alt and caption


def test_a_section_without_pictures_is_its_words():
    assert "".join(rendered([Section(title="a < b")])) == "<section><h2>a &lt; b</h2></section>"


def test_the_report_shows_sections_in_order(tmp_path):
    pytest.importorskip("plotly")

    def train(slot):
        x = np.zeros(1)
        slot.track(x=x)
        for member in slot:
            x += member["gain"]
            member.report(float(x[0]))

    result = warren.run(train, space={"gain": warren.Float(0.1, 1.0)}, goal="max", population=2, intervals=2)
    pixels = np.array([[0, 255]], np.uint8)
    shown = [Section(title="first", pictures=[Picture(pixels=pixels, caption="black, white")]), Section(title="second")]
    result.report(tmp_path / "with.html", sections=shown)
    result.report(tmp_path / "without.html")
    page = (tmp_path / "with.html").read_text(encoding="utf-8")
    places = [page.index(f"<h2>{title}</h2>") for title in ("Family tree", "first", "second", "Members at the end")]
    assert places == sorted(places)
    found = re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="black, white">', page)
    assert [unpacked(base64.b64decode(one))[1].tolist() for one in found] == [[[0, 0, 255]]]
    # The policy of the page lets no picture be fetched, and these need not be.
    assert "img-src data:" in page
    assert "<img" not in (tmp_path / "without.html").read_text(encoding="utf-8")


def test_the_example_of_the_page_runs(tmp_path, monkeypatch):
    pytest.importorskip("plotly")
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "gan.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(compile(example, "gan.md", "exec"), {"__name__": "example"})
    assert "<h2>Patterns</h2>" in (tmp_path / "report.html").read_text(encoding="utf-8")
