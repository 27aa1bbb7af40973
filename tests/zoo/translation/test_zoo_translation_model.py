"""The Transformer, its loss and its decoding, against arithmetic in NumPy and by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402

from warren.zoo.translation import decoding  # noqa: E402
from warren.zoo.translation.decoding import translated  # noqa: E402
from warren.zoo.translation.judging import loss_of, shifted  # noqa: E402
from warren.zoo.translation.pieces import BEGIN, END, PAD, UNKNOWN  # noqa: E402
from warren.zoo.translation.transformer import Attention, Dropouts, Shape, Transformer, positions  # noqa: E402

SHAPE = Shape(layers=2, width=8, heads=2, hidden=16)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def small(vocabulary: int = 11, sharp: float = 1.0, ends: float = 0.0) -> Transformer:
    """A model in evaluation; `sharp` makes its odds less even, and `ends` makes it write `END` more often."""
    model = Transformer(SHAPE, vocabulary, 30).eval()
    with torch.no_grad():
        model.embedding.weight *= sharp
        model.norms[1].bias += ends * F.normalize(model.embedding.weight[END], dim=0)
    return model


SOURCE = torch.tensor([[5, 6, 7, END], [8, END, PAD, PAD]])
TARGET = torch.tensor([[5, 9, 4, END], [6, END, PAD, PAD]])


def test_positions_are_sines_and_cosines() -> None:
    # Width 4: the second pair of columns goes 10000^(2/4) = 100 times as slowly.
    by_hand = [[math.sin(p), math.cos(p), math.sin(p / 100), math.cos(p / 100)] for p in range(7)]
    assert np.allclose(positions(7, 4).numpy(), by_hand, atol=1e-6)


def test_attention_is_that_of_numpy() -> None:
    attention = Attention(SHAPE, Dropouts()).eval()
    x, y = torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    seen = torch.tensor([True, True, False, True, False])
    with torch.no_grad():
        out = attention(x, attention.project(y), seen[None, None, None]).numpy()[0]

    def linear(layer: torch.nn.Linear, value: np.ndarray) -> np.ndarray:
        return value @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()

    queries, both = linear(attention.query, x.numpy()[0]), linear(attention.keys_values, y.numpy()[0])
    heads = []
    for head in (slice(0, 4), slice(4, 8)):
        logits = queries[:, head] @ both[:, :8][:, head].T / math.sqrt(4)
        weights = np.exp(logits) * seen.numpy()
        heads.append(weights / weights.sum(1, keepdims=True) @ both[:, 8:][:, head])
    assert np.allclose(out, linear(attention.out, np.concatenate(heads, axis=1)), atol=1e-5)


def test_the_loss_is_that_of_numpy() -> None:
    logits, target = torch.randn(2, 3, 5), torch.tensor([[1, 4, END], [2, END, PAD]])
    odds = np.log(np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(-1, keepdims=True))
    terms = []
    for i, j in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1)):  # and not the padding
        aim = np.full(5, 0.1 / 5)
        aim[int(target[i, j])] += 0.9
        terms.append(-(aim * odds[i, j]).sum())
    assert float(loss_of(logits, target, 0.1)) == pytest.approx(np.mean(terms), rel=1e-5)
    # By hand: even odds over 5 cost ln 5, whatever the smoothing.
    assert float(loss_of(torch.zeros(2, 3, 5), target, 0.3)) == pytest.approx(math.log(5))


def test_the_decoder_is_asked_for_what_it_has_not_read() -> None:
    assert shifted(TARGET).tolist() == [[BEGIN, 5, 9, 4], [BEGIN, 6, END, PAD]]


def test_the_future_is_not_seen() -> None:
    model, read = small(), shifted(TARGET)
    with torch.no_grad():
        before = model(SOURCE, read)
        for place in range(4):
            other = read.clone()
            other[:, place] = 10
            same = torch.isclose(model(SOURCE, other), before, atol=1e-6).all(-1).all(0)
            assert same.tolist() == [at < place for at in range(4)]


def test_padding_of_the_source_is_not_seen_and_all_else_is() -> None:
    model, read = small(), shifted(TARGET)
    with torch.no_grad():
        before = model(SOURCE, read)
        longer = model(F.pad(SOURCE, (0, 3), value=PAD), read)
        assert torch.allclose(longer, before, atol=1e-6)
        for place in range(4):
            other = SOURCE.clone()
            other[0, place] = 10
            assert not torch.isclose(model(other, read)[0], before[0], atol=1e-6).all(-1).any()


def test_dropout_rates_are_where_they_say() -> None:
    model = small().train()
    read = shifted(TARGET)

    def spread(**rates: float) -> bool:
        model.set_dropout(**{"attention": 0.0, "layer": 0.0, "relu": 0.0, **rates})
        return not torch.equal(model(SOURCE, read), model(SOURCE, read))

    assert not spread()
    assert spread(attention=0.5) and spread(layer=0.5) and spread(relu=0.5)
    model.set_dropout(attention=0.0, layer=1.0, relu=0.0)  # nothing is added to nothing: every position is alike
    logits = model(SOURCE, read)
    assert torch.equal(logits, logits[:1, :1].expand_as(logits))
    model.eval()
    assert torch.equal(model(SOURCE, read), model(SOURCE, read))


def test_one_table_embeds_both_sides_and_reads_the_output() -> None:
    model = small()
    assert [name for name, value in model.named_parameters() if 11 in value.shape] == ["embedding.weight"]
    # A piece that stands in none of the three places gets a gradient from the output alone, one of a source from both.
    only_source = torch.autograd.grad(model(SOURCE, shifted(TARGET))[..., 5].sum(), model.embedding.weight)[0]
    assert only_source[[5, 7, 8]].abs().sum(1).min() > 0  # 7 and 8 stand in the source alone
    assert float(only_source[10].abs().sum()) == 0  # 10 stands nowhere, and its logit was not asked for
    assert float(only_source[4].abs().sum()) > 0  # 4 stands in the target alone


def test_a_state_that_is_loaded_is_tied_as_before() -> None:
    model, other = small(), small()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(SOURCE, shifted(TARGET)), model(SOURCE, shifted(TARGET)))
    with torch.no_grad():
        other.embedding.weight[5] += torch.randn(8)  # a constant would be lost in the normalisation
    # The one change shows in what is read (5 is in the source) and in what is written (its logit).
    with torch.no_grad():
        changed = (other(SOURCE, shifted(TARGET)) - model(SOURCE, shifted(TARGET))).abs()
    assert float(changed[0, 0, 10]) > 1e-6 and float(changed[0, 0, 5]) > 1e-6
    assert "places" not in model.state_dict()  # computed, not learned


def test_decoding_piece_by_piece_is_decoding_at_once() -> None:
    model, read = small(), shifted(TARGET)
    with torch.no_grad():
        whole = model(SOURCE, read)
        mask, past = model.read(SOURCE)
        parts = []
        for start, end in ((0, 1), (1, 2), (2, 4)):
            logits, past = model.write(read[:, start:end], past, mask)
            parts.append(logits)
    assert torch.allclose(torch.cat(parts, dim=1), whole, atol=1e-5)


def likeliest(model: Transformer, source: torch.Tensor) -> list[int]:
    """Greedy decoding of one sentence, the whole of it anew for every piece."""
    written = [BEGIN]
    for _ in range(len(source) + decoding.EXTRA):
        logits = model(source[None], torch.tensor([written]))[0, -1]
        logits[[PAD, BEGIN]] = -math.inf
        written.append(int(logits.argmax()))
        if written[-1] == END:
            return written[1:-1]
    return written[1:]


def test_a_beam_of_one_takes_the_likeliest_piece() -> None:
    lengths = set()
    for seed in range(6):
        torch.manual_seed(seed)
        model = small(sharp=3.0, ends=1.5)
        source = torch.randint(4, 11, (4, 4))
        with torch.no_grad():
            alone = [likeliest(model, row) for row in source]
        assert translated(model, source) == alone
        lengths |= {len(row) for row in alone}
    assert len(lengths) > 2  # some end early, some never


def test_a_wide_beam_finds_the_best_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "EXTRA", 1)
    # All that can be written in three places: what goes on to the last, and what ends before it.
    products = itertools.product((UNKNOWN, END, 4, 5), repeat=3)
    texts = sorted({text[: text.index(END) + 1] if END in text else text for text in products})
    read = torch.tensor([[BEGIN, *text[:-1], *[PAD] * (3 - len(text))] for text in texts])
    better, lengths = 0, set()
    for seed in range(12):
        torch.manual_seed(seed)
        model = small(6)
        with torch.no_grad():  # what was written before counts for much
            for layer in model.decoder:
                layer.attention.out.weight *= 4
        source = torch.tensor([[4, 5], [5, END]])
        found = translated(model, source, beam=64, alpha=0.6)
        for row, got in zip(source, found, strict=True):
            with torch.no_grad():
                logits = model(row.expand(len(texts), -1), read)
            logits[..., [PAD, BEGIN]] = -math.inf
            odds = logits.log_softmax(-1).numpy()
            scores = [
                sum(odds[i, j, piece] for j, piece in enumerate(text)) / ((5 + len(text)) / 6) ** 0.6
                for i, text in enumerate(texts)
            ]
            best = [piece for piece in texts[int(np.argmax(scores))] if piece != END]
            assert got == best
            lengths.add(len(best))
            better += got != translated(model, row[None], beam=1)[0]
    assert better > 0 and len(lengths) > 1  # the likeliest pieces are not always the best translation


def test_a_sentence_is_translated_alike_in_any_batch() -> None:
    model = small(sharp=3.0)
    for beam in (1, 3):
        both = translated(model, SOURCE, beam=beam)
        assert both[0] == translated(model, SOURCE[:1], beam=beam)[0]
        # Alone it has a shorter limit, so a translation that goes on to the end is cut there.
        alone = translated(model, SOURCE[1:, :2], beam=beam)[0]
        assert both[1][: len(alone)] == alone
