"""What the tests translate: catalogues that they write themselves, and a language of twelve words."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

WORDS = ("ape", "bee", "cat", "dog", "elk", "fox", "gnu", "hen", "ibex", "jay", "koi", "lynx")
WORTE = ("Affe", "Biene", "Katze", "Hund", "Elch", "Fuchs", "Wild", "Henne", "Bock", "Vogel", "Karpfen", "Luchs")


def write_mo(path: Path, messages: dict[str, str], charset: str = "utf-8", said: str | None = None) -> Path:
    """A .mo file as GNU gettext's manual lays it out ("The Format of GNU MO Files"), without a hash table."""
    header = f"Content-Type: text/plain; charset={said or charset}\nPlural-Forms: nplurals=2; plural=(n != 1);\n"
    entries = sorted((a.encode(charset), b.encode(charset)) for a, b in {"": header, **messages}.items())
    start = 7 * 4
    place = start + 16 * len(entries)
    tables, texts = [b"", b""], b""
    for side in (0, 1):
        for entry in entries:
            tables[side] += struct.pack("<II", len(entry[side]), place + len(texts))
            texts += entry[side] + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(entries), start, start + 8 * len(entries), 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + b"".join(tables) + texts)
    return path


def reversed_language(folder: Path, count: int = 1500, seed: int = 0) -> tuple[str, str]:
    """Two files: sentences of three to five animals, and the same animals in German, last one first."""
    rng = np.random.default_rng(seed)
    rows = [rng.integers(len(WORDS), size=rng.integers(3, 6)) for _ in range(count)]
    source, target = folder / "animals.en", folder / "animals.de"
    source.write_text("".join(" ".join(WORDS[i] for i in row) + "\n" for row in rows), encoding="utf-8")
    target.write_text("".join(" ".join(WORTE[i] for i in row[::-1]) + "\n" for row in rows), encoding="utf-8")
    return str(source), str(target)
