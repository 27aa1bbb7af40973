"""How good a translator is: BLEU, and the loss of each piece."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from warren.errors import MissingExtra
from warren.zoo.translation.decoding import translated
from warren.zoo.translation.pieces import BEGIN, PAD, Material, Part, padded
from warren.zoo.translation.transformer import Transformer

AT_ONCE = 100
"""Sentences of a batch."""


def shifted(target: Tensor) -> Tensor:
    """What the decoder reads while it is asked for `target`: `BEGIN`, and all pieces but the last."""
    return torch.cat([torch.full_like(target[:, :1], BEGIN), target[:, :-1]], dim=1)


def loss_of(logits: Tensor, target: Tensor, smoothing: float) -> Tensor:
    """Cross-entropy with label smoothing (Szegedy et al. 2016), the mean over pieces that are not padding; in nats.

    Args:
        logits: Shape (n, length, vocabulary).
        target: Shape (n, length).
        smoothing: Probability that is spread evenly over the vocabulary, from 0 to 1.
    """
    return F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=PAD, label_smoothing=smoothing)


def loss_on(model: Transformer, part: Part) -> float:
    """Mean loss of a piece without smoothing and dropout, in nats."""
    model.eval()
    total, pieces = 0.0, 0
    with torch.no_grad():
        for chosen in _alike(part):
            source, target = (_tensor(model, [side[i] for i in chosen]) for side in (part.sources, part.targets))
            count = int((target != PAD).sum())
            total += float(loss_of(model(source, shifted(target)), target, 0.0)) * count
            pieces += count
    return total / pieces


def translations(model: Transformer, material: Material, part: Part, *, beam: int = 1) -> list[str]:
    """A translation of each sentence of a part, as text.

    Args:
        model: Is put into evaluation.
        material: Has the pieces.
        part: Whose sources are translated.
        beam: As for `translated`.
    """
    model.eval()
    found: list[list[int]] = [[] for _ in range(len(part))]
    for chosen in _alike(part):
        for place, pieces in zip(
            chosen, translated(model, _tensor(model, [part.sources[i] for i in chosen]), beam=beam), strict=True
        ):
            found[place] = pieces
    texts: list[str] = material.pieces.decode(found)
    return texts


def bleu(texts: Sequence[str], part: Part) -> float:
    """Corpus BLEU from 0 to 100 as sacrebleu counts it by default: 13a tokens, case kept, smoothing "exp".

    Args:
        texts: Translations of a part.
        part: Has the references.

    Raises:
        MissingExtra: Sacrebleu is not installed.
    """
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError:
        raise MissingExtra('translation needs sacrebleu: pip install "warren[translation]"') from None
    return float(BLEU().corpus_score(list(texts), [[target for _, target in part.pairs]]).score)


def _alike(part: Part) -> Iterator[list[int]]:
    """Places of a part in batches of sources of like length."""
    order = np.argsort([len(row) for row in part.sources], kind="stable").tolist()
    for start in range(0, len(order), AT_ONCE):
        yield order[start : start + AT_ONCE]


def _tensor(model: Transformer, rows: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(padded(rows)).to(model.embedding.weight.device)
