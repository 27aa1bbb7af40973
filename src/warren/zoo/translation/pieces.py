"""Sentences as numbers: pieces of words, learned from the training part, and batches of like length."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warren.errors import InvalidValue, MissingExtra
from warren.zoo.translation.corpus import Corpus
from warren.zoo.translation.messages import PLACE, Pair

PAD, UNKNOWN, BEGIN, END = 0, 1, 2, 3

MOST = 1_000_000
"""Sentences that pieces are learned from, spread evenly over the training part."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some sentences with their translations.

    Attributes:
        sources: Pieces and `END`, each of shape (length,), int64.
        targets: The same of the translations.
        pairs: As text.
    """

    sources: tuple[NDArray[np.int64], ...]
    targets: tuple[NDArray[np.int64], ...]
    pairs: tuple[Pair, ...]

    def __len__(self) -> int:
        return len(self.pairs)


@dataclass(frozen=True, kw_only=True)
class Seal:
    """Refuses a state that was trained on other sentences, whose embeddings are those of other pieces.

    Attributes:
        digest: Of the pieces and of all sentences.
    """

    digest: str

    def state_dict(self) -> dict[str, str]:
        """The digest."""
        return {"digest": self.digest}

    def load_state_dict(self, state: Mapping[str, str]) -> None:
        """Compare.

        Raises:
            InvalidValue: The state has another digest.
        """
        if state["digest"] != self.digest:
            raise InvalidValue(
                f"digest={state['digest'][:12]!r} of the pieces and sentences that it was trained on, and now they "
                f"have {self.digest[:12]!r}: catalogues or files have changed; put them back, or begin a new run"
            )


@dataclass(frozen=True, kw_only=True)
class Material:
    """All that a translator learns from and is judged by.

    Attributes:
        pieces: SentencePiece's processor.
        train: What gradients come from.
        validation: What selection goes by.
        test: What is held out from both.
        seal: Tracked beside what was learned from this.
    """

    pieces: Any
    train: Part
    validation: Part
    test: Part
    seal: Seal


@lru_cache(maxsize=2)  # once a process and not once a member: it takes seconds
def material(corpus: Corpus, *, split: int, vocabulary: int, longest: int, judged: int) -> Material:
    """Read a corpus, learn pieces from its training part alone, and encode all of it.

    Args:
        corpus: Where sentences come from.
        split: Seed of its parts.
        vocabulary: Pieces, shared by both languages.
        longest: Sentences with more pieces, on either side, are left out, from every part.
        judged: Sentences of the validation part, and again of the test part; the first ones that are not too long.

    Raises:
        InvalidValue: The corpus has too few sentences for that.
        MissingExtra: SentencePiece is not installed.
    """
    parts = corpus.parts(split)
    pieces = learned([text for pair in parts.train for text in pair], vocabulary)
    found = {
        "train": encoded(pieces, parts.train, longest, len(parts.train)),
        "validation": encoded(pieces, parts.validation, longest, judged),
        "test": encoded(pieces, parts.test, longest, judged),
    }
    for name, part in found.items():
        if not part:
            raise InvalidValue(
                f"longest={longest}: every sentence of the {name} part has more pieces; choose a higher number"
            )
    # Not the model's own bytes, which may be others for the same pieces in another version of SentencePiece.
    digest = sha256("\0".join(pieces.id_to_piece(i) for i in range(vocabulary)).encode())
    for part in found.values():
        for pair in (*part.pairs, ("", "")):
            digest.update("".join(f"\0{text}" for text in pair).encode())
    return Material(pieces=pieces, **found, seal=Seal(digest=digest.hexdigest()))


def learned(texts: Sequence[str], vocabulary: int) -> Any:
    """Byte-pair pieces (Sennrich et al. 2016) as SentencePiece learns them; the same texts give the same pieces.

    Args:
        texts: Of both languages.
        vocabulary: Number of pieces.

    Returns:
        SentencePiece's processor, with the numbers `PAD`, `UNKNOWN`, `BEGIN` and `END`.

    Raises:
        InvalidValue: The texts do not have as many pieces, or have more signs than that.
        MissingExtra: SentencePiece is not installed.
    """
    try:
        import sentencepiece
    except ImportError:
        raise MissingExtra('translation needs SentencePiece: pip install "warren[translation]"') from None
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts[:: -(-len(texts) // MOST)]),
            model_writer=model,
            model_type="bpe",
            vocab_size=vocabulary,
            character_coverage=0.9999,  # rare signs of other scripts would take the place of pieces
            normalization_rule_name="identity",  # what is decoded is compared with the text as it was
            user_defined_symbols=[PLACE],
            pad_id=PAD, unk_id=UNKNOWN, bos_id=BEGIN, eos_id=END,
            num_threads=1,
            minloglevel=2,
        )  # fmt: skip
    except RuntimeError as error:  # of many lines, with the library's own line numbers
        said = next((line for line in str(error).splitlines() if "ocabulary size" in line), str(error))
        raise InvalidValue(
            f"vocabulary={vocabulary} does not fit {len(texts)} sentences: {said.rpartition(') [')[2].strip()}"
        ) from None
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def encoded(pieces: Any, pairs: Sequence[Pair], longest: int, most: int) -> Part:
    """The first pairs whose sides are not too long.

    Args:
        pieces: SentencePiece's processor.
        pairs: As text.
        longest: Pieces of a side, without `END`.
        most: Pairs.
    """
    sources, targets = (pieces.encode([pair[side] for pair in pairs]) for side in (0, 1))
    kept = [i for i in range(len(pairs)) if min(len(sources[i]), len(targets[i])) > 0]
    kept = [i for i in kept if max(len(sources[i]), len(targets[i])) <= longest][:most]
    return Part(
        sources=tuple(np.array([*sources[i], END]) for i in kept),
        targets=tuple(np.array([*targets[i], END]) for i in kept),
        pairs=tuple(pairs[i] for i in kept),
    )


def padded(rows: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Rows as one array of shape (rows, greatest length), filled up with `PAD`."""
    whole = np.full((len(rows), max(map(len, rows))), PAD)
    for i, row in enumerate(rows):
        whole[i, : len(row)] = row
    return whole


def batches(
    part: Part, rng: np.random.Generator, *, steps: int, size: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Batches of sentences of like length, in random order; over many, each sentence comes equally often.

    Args:
        part: Drawn from.
        rng: Draws.
        steps: Batches.
        size: Pieces of the translations in a batch, about, padding not counted.

    Yields:
        Sources and targets, each of shape (sentences, greatest length).
    """
    lengths = np.array([[len(row) for row in side] for side in (part.sources, part.targets)])
    count = max(steps, round(steps * size / lengths[1].mean()))
    order = np.concatenate([rng.permutation(len(part)) for _ in range(-(-count // len(part)))])[:count]
    order = order[np.lexsort(lengths[:, order])]
    # Cut where an equal share of the pieces is reached, so that a batch of short sentences has more of them.
    reached = np.cumsum(lengths[1, order])
    cuts = np.searchsorted(reached, reached[-1] * np.arange(1, steps) / steps)
    chunks = [chunk for chunk in np.split(order, cuts) if len(chunk)]
    for place in rng.permutation(len(chunks)):
        chosen = chunks[place]
        yield padded([part.sources[i] for i in chosen]), padded([part.targets[i] for i in chosen])
