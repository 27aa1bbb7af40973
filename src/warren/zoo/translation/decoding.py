"""From a source to its translation: beam search over a batch, with the keys and values of earlier positions kept."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from warren.zoo.translation.pieces import BEGIN, END, PAD
from warren.zoo.translation.transformer import Transformer

EXTRA = 10
"""Pieces that a translation may have more than the longest source of its batch."""

NEVER = -math.inf


@torch.no_grad()
def translated(model: Transformer, source: Tensor, *, beam: int = 1, alpha: float = 0.6) -> list[list[int]]:
    """Translate a batch. With a beam of 1 this takes the likeliest piece at each position.

    Finished translations stay in the beam and go on with `PAD` at no cost. The penalty for short ones, ((5 + length) /
    6)^alpha (Wu et al. 2016, equation 14), decides between those that are left in the end, and not on the way.

    Args:
        model: Not in training.
        source: Pieces of shape (n, length), padded.
        beam: Translations that are kept at each position.
        alpha: Exponent of the penalty, from 0.

    Returns:
        Pieces of each translation, without `END`.
    """
    n = len(source)
    mask, past = model.read(source)
    # Row i * beam + j is translation j of source i.
    every = torch.arange(n, device=source.device).repeat_interleave(beam)
    mask, past = mask[every], [one.rows(every) for one in past]
    written = torch.full((n * beam, 1), BEGIN, device=source.device)
    # At first all of a beam are the same: but one is out of the race.
    scores = torch.full((n, beam), NEVER, device=source.device)
    scores[:, 0] = 0.0
    for _ in range(source.shape[1] + EXTRA):
        logits, past = model.write(written[:, -1:], past, mask)
        logits[:, -1, [PAD, BEGIN]] = NEVER
        odds = logits[:, -1].log_softmax(-1)
        over = (written[:, -1] == END) | (written[:, -1] == PAD)
        odds[over] = NEVER
        odds[over, PAD] = 0.0
        scores, chosen = (scores[..., None] + odds.view(n, beam, -1)).flatten(1).topk(beam)
        rows = (torch.arange(n, device=source.device)[:, None] * beam + chosen // odds.shape[1]).flatten()
        written = torch.cat([written[rows], (chosen % odds.shape[1]).flatten()[:, None]], dim=1)
        if beam > 1:
            past = [one.rows(rows) for one in past]
        if bool(((written[:, -1] == END) | (written[:, -1] == PAD)).all()):
            break
    lengths = (written != PAD).sum(1).view(n, beam) - 1
    best = (scores / ((5 + lengths) / 6) ** alpha).argmax(1)
    return [_text(row) for row in written.view(n, beam, -1)[torch.arange(n, device=source.device), best].tolist()]


def _text(row: list[int]) -> list[int]:
    pieces = row[1:]
    return pieces[: pieces.index(END)] if END in pieces else pieces
