"""Translated messages of programs: from gettext catalogues to pairs of plain sentences."""

from __future__ import annotations

import re
import struct
import sysconfig
import unicodedata
from collections.abc import Iterable, Iterator
from gettext import GNUTranslations
from pathlib import Path

Pair = tuple[str, str]
"""A source sentence and its translation."""

PLACE = "□"
"""Stands for whatever a program puts into its message."""

LEAST_WORDS = 3
"""Shorter messages are mostly names: of languages, places and keys. What they are called elsewhere is not learned."""

SYSTEM = ("/usr/share/locale", "/usr/share/locale-langpack", "/usr/local/share/locale")

# printf's and Python's, <PRIu64> as gettext writes it; str.format's; Qt's %1. Without the flag " ": "100 % sure".
_FORMAT = re.compile(
    r"%(?:\d+\$)?(?:\(\w+\))?[-#0+']*(?:\*|\d+)?(?:\.(?:\*|\d+)?)?(?:<PRI\w+>|(?:hh|h|ll|l|q|j|z|t|L)?[diouxXeEfFgGaAcspm])"
    r"|\{\w*(?:[:!][^{}]*)?\}|%L?\d+"
)
_APOSTROPHES = "'`\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}\N{SINGLE LOW-9 QUOTATION MARK}"
_ANGLES = "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}"
_QUOTES = re.compile(rf"[“”„‟«»{_ANGLES}]|``|''|(?<!\w)[{_APOSTROPHES}]|[{_APOSTROPHES}](?!\w)")
_WORDS = re.compile(r"[^\W\d_]+")


def catalogues(language: str) -> list[Path]:
    """The message catalogues of a language on this machine: of the system, and of installed Python packages.

    Args:
        language: As in ``/usr/share/locale/LANGUAGE/LC_MESSAGES``.
    """
    packages = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    # Not "**": a large package has tens of thousands of folders, and catalogues are at most this deep.
    folders = [
        folder for depth in ("*", "*/*", "*/*/*") for root in packages for folder in _found(root, f"{depth}/locale")
    ]
    folders += [Path(root) for root in SYSTEM]
    return sorted({path.resolve() for folder in folders for path in folder.glob(f"{language}/LC_MESSAGES/*.mo")})


def _found(root: str, pattern: str) -> Iterator[Path]:
    return Path(root).glob(pattern)


def read_catalogue(path: Path) -> Iterator[Pair]:
    """The messages of a catalogue with their translations, as they stand there.

    Of a plural the singular is taken; contexts are left away; the header and what has no translation are not messages.
    A catalogue that is damaged, or is not in the encoding that it names, gives nothing: others are there.

    Args:
        path: Of a ``.mo`` file.
    """
    try:
        with path.open("rb") as file:
            # The module has no public way to list a catalogue. The names are messages, or (message, plural's number).
            messages: dict[str | tuple[str, int], str] = vars(GNUTranslations(file))["_catalog"]
    except (OSError, ValueError, LookupError, struct.error):  # ValueError: not in its encoding; LookupError: none such
        return
    for name, translation in messages.items():
        message, number = name if isinstance(name, tuple) else (name, 0)
        message = message.rpartition("\x04")[2]  # after the context
        if message and translation and number == 0:
            yield message, translation


def sentences(pair: Pair) -> Pair | None:
    """A message and its translation as plain sentences, or None if they are of no use.

    Formats become `PLACE`, one for each; accelerators (``_File``, ``&File``) go; quotation marks become ``"``, since
    every project has its own; white space becomes one blank. Of no use are messages of several lines, those of fewer
    than `LEAST_WORDS` words, those that are not translated, and those with another number of places than their
    translation.

    Args:
        pair: As `read_catalogue` gives it.
    """
    source, target = (text.strip() for text in pair)
    if "\n" in source or "\n" in target:
        return None
    for sign in "_&":
        source, target = _unmarked(source, target, sign)
    source, target = _plain(source), _plain(target)
    if source.count(PLACE) != target.count(PLACE) or key(source) == key(target):
        return None
    if min(len(_WORDS.findall(text)) for text in (source, target)) < LEAST_WORDS:
        return None
    return source, target


def _unmarked(source: str, target: str, sign: str) -> Pair:
    """Without the accelerator, if there is one: one sign on both sides, in words that differ, so that it is no name."""
    marked = re.compile(rf"\w*{sign}\w+")
    found = marked.findall(source), marked.findall(target)
    if source.count(sign) == target.count(sign) == len(found[0]) == len(found[1]) == 1 and found[0] != found[1]:
        return source.replace(sign, ""), target.replace(sign, "")
    return source, target


def _plain(text: str) -> str:
    text = _FORMAT.sub(PLACE, text.replace("%%", "\0")).replace("\0", "%")
    text = (
        _QUOTES.sub('"', unicodedata.normalize("NFC", text))
        .replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
        .replace("...", "…")
    )
    return " ".join(text.split())


def key(text: str) -> str:
    """What two sentences share that differ in nothing but case, spaces, digits, punctuation and places."""
    return " ".join(_WORDS.findall(unicodedata.normalize("NFKC", text).casefold()))


def gathered(pairs: Iterable[Pair]) -> list[Pair]:
    """Each source once, in an order that does not depend on the order of the pairs.

    Args:
        pairs: Any; of several translations for one key the most frequent is kept, of those the first by alphabet.
    """
    counts: dict[str, dict[Pair, int]] = {}
    for pair in pairs:
        if name := key(pair[0]):
            found = counts.setdefault(name, {})
            found[pair] = found.get(pair, 0) + 1
    return [min(found, key=lambda pair: (-found[pair], pair)) for _, found in sorted(counts.items())]
