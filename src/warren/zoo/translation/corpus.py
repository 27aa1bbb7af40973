"""Sentences with their translations in three parts, of which none knows a sentence of another."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from warren.errors import InvalidValue
from warren.zoo.translation.messages import Pair, catalogues, gathered, key, read_catalogue, sentences

SHARE = 0.06
"""Of all sentences, for the validation part and again for the test part."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A corpus in its three parts.

    Attributes:
        train: What gradients and pieces come from.
        validation: What selection goes by.
        test: What is held out from both.
    """

    train: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    test: tuple[Pair, ...]


class Corpus(Protocol):
    """Where sentences come from; a value that can be recorded and hashed."""

    def __hash__(self) -> int: ...

    @property
    def name(self) -> str:
        """What files about it are called."""

    def parts(self, split: int) -> Parts:
        """The sentences.

        Args:
            split: Seed of which go where, for what has no parts of its own.

        Raises:
            InvalidValue: There are none, too few, or they cannot be read.
        """


@dataclass(frozen=True, kw_only=True)
class Catalogues:
    """English messages of programs with their translations, read where they are installed.

    Args:
        language: As in ``/usr/share/locale/LANGUAGE/LC_MESSAGES``.
        folder: Read the catalogues of this folder instead of those that are installed.
        minimum: Fewer sentences are refused.
    """

    language: str = "de"
    folder: str | None = None
    minimum: int = 8000

    @property
    def name(self) -> str:
        return self.language if self.folder is None else Path(self.folder).name

    def parts(self, split: int) -> Parts:
        files = catalogues(self.language) if self.folder is None else sorted(Path(self.folder).glob("*.mo"))
        read = (sentences(pair) for file in files for pair in read_catalogue(file))
        pairs = gathered(pair for pair in read if pair is not None)
        if len(pairs) < self.minimum:
            raise InvalidValue(
                f"language={self.language!r}: {len(files)} catalogues with {len(pairs)} sentences were found in "
                f"{self.folder or 'the system and in Python packages'}, and {self.minimum} are needed; install the "
                f"system's translations (Ubuntu: apt install language-pack-{self.language}; Debian: look whether "
                "/etc/dpkg/dpkg.cfg.d leaves them out), or give parallel text with --source FILE --target FILE"
            )
        return parted(pairs, split)


@dataclass(frozen=True, kw_only=True)
class Files:
    """Parallel text as of WMT: files in UTF-8 with one sentence on each line, and its translation in the same line.

    Of the text to train on, pairs that were there before and pairs of which a side has no letters are left out. Where
    two parts share a sentence, one loses it: the training part to the others, a share to files of their own, the
    validation part to the test part.

    Args:
        source: Sentences to train on.
        target: Their translations.
        valid_source: Those that select, such as newstest2012; without them, a share of the others does.
        valid_target: Their translations.
        test_source: Those that are held out, such as newstest2014; without them, a share of the others is.
        test_target: Their translations.
    """

    source: str
    target: str
    valid_source: str | None = None
    valid_target: str | None = None
    test_source: str | None = None
    test_target: str | None = None

    @property
    def name(self) -> str:
        return "-".join(dict.fromkeys(Path(path).stem for path in (self.source, self.target)))

    def parts(self, split: int) -> Parts:
        given = {
            "test": _optional("test", self.test_source, self.test_target),
            "validation": _optional("valid", self.valid_source, self.valid_target),
        }
        pairs = dict.fromkeys(read_parallel(self.source, self.target))
        own = parted([pair for pair in pairs if all(map(key, pair))], split)
        whole = {"test": own.test, "validation": own.validation, "train": own.train}
        for name, part in given.items():
            if part is not None:
                whole["train"] += whole[name]
                whole[name] = part
        found: dict[str, tuple[Pair, ...]] = {}
        taken: set[str] = set()
        # The first to come keeps its sentences.
        for name in (*sorted(given, key=lambda name: given[name] is None), "train"):
            found[name] = tuple(pair for pair in whole[name] if taken.isdisjoint(map(key, pair)))
            if not found[name]:
                remedy = "other files with --valid-source and --valid-target" if given.get(name) else "longer files"
                raise InvalidValue(
                    f"source={self.source!r}, target={self.target!r}: no sentence is left for the {name} part that no "
                    f"other part has; give {remedy}"
                )
            if name in given:
                taken.update(key(text) for pair in found[name] for text in pair)
        return Parts(**found)


def _optional(name: str, source: str | None, target: str | None) -> tuple[Pair, ...] | None:
    if source is None and target is None:
        return None
    if source is None or target is None:
        raise InvalidValue(
            f"{name}_source={source!r} and {name}_target={target!r}: one is missing; give --{name}-source FILE and "
            f"--{name}-target FILE together"
        )
    return tuple(read_parallel(source, target))


def read_parallel(source: str, target: str) -> list[Pair]:
    """The pairs of two files; lines of which one is empty are left out.

    Args:
        source: File of the sentences.
        target: File of their translations.

    Raises:
        InvalidValue: A file cannot be read, is not UTF-8, is empty, or they differ in length.
    """
    sources, targets = _lines(source), _lines(target)
    if len(sources) != len(targets):
        raise InvalidValue(
            f"{source} has {len(sources)} lines and {target} has {len(targets)}: both need one sentence on each line"
        )
    pairs = [(a.strip(), b.strip()) for a, b in zip(sources, targets, strict=True)]
    found = [pair for pair in pairs if all(pair)]
    if not found:
        raise InvalidValue(f"{source} and {target} have no line that has text in both; give one sentence on each line")
    return found


def _lines(path: str) -> list[str]:
    try:
        # By "\n" alone: str.splitlines would part a sentence at other signs, on one side only.
        return Path(path).read_bytes().decode("utf-8").removesuffix("\n").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError as error:
        raise InvalidValue(f"{path} is not UTF-8 at byte {error.start}; convert it: iconv -t UTF-8") from None
    except OSError as error:
        raise InvalidValue(f"{path} cannot be read: {error.strerror}") from None


def parted(pairs: list[Pair], split: int) -> Parts:
    """Pairs in three parts, by a hash of the translation's key.

    Translations that are alike are in one part. Sources are too where each one's key is there once, as `gathered`
    gives them.

    Args:
        pairs: Any number.
        split: Seed of the hash.
    """
    # In the order of the hash, so that the first ones of a part are a fair sample of it.
    placed = sorted((_place(split, pair), pair) for pair in pairs)
    return Parts(
        train=tuple(pair for place, pair in placed if place >= 2 * SHARE),
        validation=tuple(pair for place, pair in placed if place < SHARE),
        test=tuple(pair for place, pair in placed if SHARE <= place < 2 * SHARE),
    )


def _place(split: int, pair: Pair) -> float:
    return int.from_bytes(sha256(f"{split} {key(pair[1])}".encode()).digest()[:8], "big") / 2**64
