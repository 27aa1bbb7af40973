"""What a caller adds to the report of a run: a heading, a few words, pictures."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from warren.errors import InvalidType, InvalidValue
from warren.results.page import text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Picture:
    """An array of pixels, shown enlarged and unblurred.

    Attributes:
        pixels: Shape (height, width) or (height, width, 1) for grey, (height, width, 3) for red, green and blue; uint8.
        caption: Plain text below it.

    Raises:
        InvalidType: The pixels are not uint8.
        InvalidValue: They are of another shape, or there are none.
    """

    pixels: NDArray[np.uint8]
    caption: str = ""

    def __post_init__(self) -> None:
        shape, kind = tuple(self.pixels.shape), str(self.pixels.dtype)
        if kind != "uint8":
            raise InvalidType(f"Picture: pixels must be uint8, from 0 to 255, but got {kind}")
        if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3)) or 0 in shape:
            raise InvalidValue(
                f"Picture: pixels must have shape (height, width) or (height, width, 1 or 3), none 0, but got {shape}"
            )


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section of the report; all words are plain text, and nothing in it is taken for HTML.

    Attributes:
        title: Its heading.
        about: What is to be seen, in a sentence or two.
        pictures: Side by side, in this order.
    """

    title: str
    about: str = ""
    pictures: Sequence[Picture] = ()


def rendered(sections: Iterable[Section]) -> Iterable[str]:
    """The sections as HTML."""
    for section in sections:
        yield f"<section><h2>{text(section.title)}</h2>"
        if section.about:
            yield f'<p class="about">{text(section.about)}</p>'
        if section.pictures:
            yield '<div class="pictures">'
            yield from map(_figure, section.pictures)
            yield "</div>"
        yield "</section>"


def _figure(picture: Picture) -> str:
    source = base64.b64encode(png(picture.pixels)).decode()
    caption = text(picture.caption)
    return (
        f'<figure><img src="data:image/png;base64,{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
    )


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels as a PNG file; three chunks, for which a library would be one more that the report needs.

    Args:
        pixels: As `Picture` has them.

    Returns:
        The bytes (PNG specification, third edition, sections 5 and 11), without filters.
    """
    height, width = pixels.shape[:2]
    colour = 2 if pixels.ndim == 3 and pixels.shape[2] == 3 else 0
    lines = pixels.reshape(height, -1)
    raw = b"".join(b"\0" + line.tobytes() for line in lines)
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(raw, 9)), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
