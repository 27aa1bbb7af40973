"""The Transformer of Vaswani et al. (2017): encoder, decoder, sinusoidal positions, one table of embeddings."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from warren.zoo.translation.pieces import PAD


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of a Transformer; the defaults are the paper's base model.

    Args:
        layers: Of the encoder, and again of the decoder.
        width: Of a position; a multiple of `heads`, and even.
        heads: Of each attention.
        hidden: Width inside the feed-forward part of a layer.
    """

    layers: int = 6
    width: int = 512
    heads: int = 8
    hidden: int = 2048


class Dropouts(nn.Module):
    """The three dropout rates, one module for all layers, so that a rate is written in one place.

    Attributes:
        attention: Of the attention weights.
        layer: Of what each part of a layer adds, and of the embeddings.
        relu: Of the activations inside the feed-forward part.
    """

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.layer, self.relu = nn.Dropout(0.1), nn.Dropout(0.1), nn.Dropout(0.1)


KeysValues = tuple[Tensor, Tensor]
"""Keys and values of an attention, each of shape (n, heads, length, width / heads)."""


class Attention(nn.Module):
    """Multi-head attention (section 3.2.2)."""

    def __init__(self, shape: Shape, dropouts: Dropouts) -> None:
        super().__init__()
        self.heads, self.dropouts = shape.heads, dropouts
        self.query, self.out = nn.Linear(shape.width, shape.width), nn.Linear(shape.width, shape.width)
        self.keys_values = nn.Linear(shape.width, 2 * shape.width)

    def project(self, x: Tensor) -> KeysValues:
        """Keys and values of positions x, of shape (n, length, width)."""
        keys, values = self.keys_values(x).chunk(2, dim=-1)
        return self._split(keys), self._split(values)

    def forward(self, x: Tensor, keys_values: KeysValues, mask: Tensor | None) -> Tensor:
        """What positions x see; `mask` is True where they may, and broadcasts to (n, heads, queries, keys)."""
        rate = self.dropouts.attention.p if self.training else 0.0
        seen = F.scaled_dot_product_attention(self._split(self.query(x)), *keys_values, attn_mask=mask, dropout_p=rate)
        out: Tensor = self.out(seen.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


class FeedForward(nn.Module):
    """The part of a layer that sees one position at a time (section 3.3)."""

    def __init__(self, shape: Shape, dropouts: Dropouts) -> None:
        super().__init__()
        self.dropouts = dropouts
        self.inner, self.outer = nn.Linear(shape.width, shape.hidden), nn.Linear(shape.hidden, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.outer(self.dropouts.relu(F.relu(self.inner(x))))
        return out


class EncoderLayer(nn.Module):
    """Each part sees its normalised input and adds to it, as later versions of the authors' own code do.

    The paper normalises after the sum; that needs more care with the learning rate (Xiong et al. 2020).
    """

    def __init__(self, shape: Shape, dropouts: Dropouts) -> None:
        super().__init__()
        self.dropouts = dropouts
        self.attention, self.feed_forward = Attention(shape, dropouts), FeedForward(shape, dropouts)
        self.norms = nn.ModuleList(nn.LayerNorm(shape.width) for _ in range(2))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        normed = self.norms[0](x)
        x = x + self.dropouts.layer(self.attention(normed, self.attention.project(normed), mask))
        out: Tensor = x + self.dropouts.layer(self.feed_forward(self.norms[1](x)))
        return out


@dataclass(frozen=True, kw_only=True)
class Past:
    """What a layer of the decoder looks back at.

    Attributes:
        own: Keys and values of the positions before; None at the first.
        source: Those of the encoder's output.
    """

    own: KeysValues | None
    source: KeysValues

    def rows(self, chosen: Tensor) -> Past:
        """Of some rows of the batch, in the order of `chosen`."""
        own = None if self.own is None else (self.own[0][chosen], self.own[1][chosen])
        return Past(own=own, source=(self.source[0][chosen], self.source[1][chosen]))


class DecoderLayer(nn.Module):
    """As `EncoderLayer`, with a look at the source between the parts."""

    def __init__(self, shape: Shape, dropouts: Dropouts) -> None:
        super().__init__()
        self.dropouts = dropouts
        self.attention, self.across = Attention(shape, dropouts), Attention(shape, dropouts)
        self.feed_forward = FeedForward(shape, dropouts)
        self.norms = nn.ModuleList(nn.LayerNorm(shape.width) for _ in range(3))

    def forward(self, x: Tensor, past: Past, mask: Tensor, source_mask: Tensor) -> tuple[Tensor, Past]:
        normed = self.norms[0](x)
        own = self.attention.project(normed)
        if past.own is not None:
            own = torch.cat([past.own[0], own[0]], dim=2), torch.cat([past.own[1], own[1]], dim=2)
        x = x + self.dropouts.layer(self.attention(normed, own, mask))
        x = x + self.dropouts.layer(self.across(self.norms[1](x), past.source, source_mask))
        x = x + self.dropouts.layer(self.feed_forward(self.norms[2](x)))
        return x, Past(own=own, source=past.source)


class Transformer(nn.Module):
    """Encoder and decoder; the embeddings of both and the output share one table (section 3.4).

    Args:
        shape: Sizes.
        vocabulary: Rows of the table.
        reach: Positions of the longest sentence that is ever read or written.
    """

    places: Tensor

    def __init__(self, shape: Shape, vocabulary: int, reach: int) -> None:
        super().__init__()
        self.dropouts = Dropouts()
        self.embedding = nn.Embedding(vocabulary, shape.width)
        self.encoder = nn.ModuleList(EncoderLayer(shape, self.dropouts) for _ in range(shape.layers))
        self.decoder = nn.ModuleList(DecoderLayer(shape, self.dropouts) for _ in range(shape.layers))
        self.norms = nn.ModuleList(nn.LayerNorm(shape.width) for _ in range(2))
        self.register_buffer("places", positions(reach, shape.width), persistent=False)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        nn.init.normal_(self.embedding.weight, std=shape.width**-0.5)

    def set_dropout(self, *, attention: float, layer: float, relu: float) -> None:
        """Write the rates, each from 0 to 1."""
        self.dropouts.attention.p, self.dropouts.layer.p, self.dropouts.relu.p = attention, layer, relu

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits of the next piece at every position.

        Args:
            source: Pieces of shape (n, source length).
            target: Pieces before those that are asked for, `BEGIN` first; shape (n, target length).

        Returns:
            Shape (n, target length, vocabulary).
        """
        mask, past = self.read(source)
        return self.write(target, past, mask)[0]

    def read(self, source: Tensor) -> tuple[Tensor, list[Past]]:
        """Run the encoder.

        Returns:
            The mask of the source, and what each layer of the decoder looks back at before its first position.
        """
        mask = (source != PAD)[:, None, None, :]
        x = self._embed(source, 0)
        for layer in self.encoder:
            x = layer(x, mask)
        x = self.norms[0](x)
        return mask, [Past(own=None, source=layer.across.project(x)) for layer in self.decoder]  # type: ignore[union-attr,operator]

    def write(self, target: Tensor, past: list[Past], source_mask: Tensor) -> tuple[Tensor, list[Past]]:
        """Run the decoder over positions that follow those of `past`.

        Returns:
            Logits of shape (n, target length, vocabulary), and what the positions after these look back at.
        """
        before = 0 if past[0].own is None else past[0].own[0].shape[2]
        length = target.shape[1]
        # A position sees itself and those before it. Padding comes after all that counts, and needs no mask.
        mask = torch.ones(length, before + length, dtype=torch.bool, device=target.device).tril(before)
        x, after = self._embed(target, before), []
        for layer, one in zip(self.decoder, past, strict=True):
            x, one = layer(x, one, mask, source_mask)
            after.append(one)
        return F.linear(self.norms[1](x), self.embedding.weight), after

    def _embed(self, pieces: Tensor, start: int) -> Tensor:
        x = self.embedding(pieces) * math.sqrt(self.embedding.embedding_dim)
        out: Tensor = self.dropouts.layer(x + self.places[start : start + pieces.shape[1]])
        return out


def positions(length: int, width: int) -> Tensor:
    """Sines and cosines of each position (section 3.5): sin(p / 10000^(2i / width)) at 2i, the cosine at 2i + 1.

    Returns:
        Shape (length, width).
    """
    angles = torch.arange(length)[:, None] * torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
