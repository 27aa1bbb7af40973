"""Pieces of words, and batches of like length."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from tests.zoo.translation.catalogue import reversed_language

pytest.importorskip("sentencepiece")

from warren.errors import InvalidValue, MissingExtra
from warren.zoo.translation.corpus import Files
from warren.zoo.translation.messages import PLACE
from warren.zoo.translation.pieces import END, PAD, UNKNOWN, Part, Seal, batches, learned, material, padded


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    source, target = reversed_language(tmp_path_factory.mktemp("text"), 300)
    return [line for path in (source, target) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def test_the_same_texts_give_the_same_pieces(texts: list[str]) -> None:
    one, two, other = learned(texts, 80), learned(texts, 80), learned(texts[:300], 60)
    assert one.serialized_model_proto() == two.serialized_model_proto() != other.serialized_model_proto()
    assert (one.pad_id(), one.unk_id(), one.eos_id(), one.vocab_size()) == (PAD, UNKNOWN, END, 80)


def test_text_comes_back_and_a_place_is_one_piece(texts: list[str]) -> None:
    pieces = learned([*texts, f"gnu {PLACE} hen", f'"{PLACE}" fox'], 90)
    text = f'cat{PLACE} dog "{PLACE}"'
    assert pieces.decode(pieces.encode(text)) == text
    assert pieces.encode(text, out_type=str).count(PLACE) == 2


def test_pieces_are_learned_from_the_training_part_alone(tmp_path: Path) -> None:
    source, target = reversed_language(tmp_path, 400)
    for name, text in {"v.en": "zyzzyva zyzzyva", "v.de": "zyzzyva", "t.en": "yz zy", "t.de": "zy yz"}.items():
        (tmp_path / name).write_text(f"{text}\n" * 500, encoding="utf-8")
    more = {
        f"{part}_{side}": str(tmp_path / f"{part[0]}.{end}")
        for part in ("valid", "test")
        for side, end in (("source", "en"), ("target", "de"))
    }
    data = material(Files(source=source, target=target, **more), split=0, vocabulary=80, longest=40, judged=7)
    assert "zyzzyva" not in data.pieces.decode(data.pieces.encode("zyzzyva"))  # y and z are signs that it never saw
    assert (len(data.validation), len(data.test)) == (7, 7)
    assert data.validation.pairs[0] == ("zyzzyva zyzzyva", "zyzzyva")


def test_other_sentences_have_another_seal(tmp_path: Path) -> None:
    def seal(name: str, **more: int) -> Seal:
        (tmp_path / name).mkdir(exist_ok=True)
        source, target = reversed_language(tmp_path / name, **more)
        return material(Files(source=source, target=target), split=0, vocabulary=80, longest=40, judged=7).seal

    one = seal("one", count=400)
    assert one == seal("two", count=400)
    assert len({one, seal("three", count=401), seal("four", count=400, seed=1)}) == 3
    one.load_state_dict(seal("two", count=400).state_dict())
    with pytest.raises(InvalidValue, match="catalogues or files have changed; put them back") as error:
        one.load_state_dict(seal("three", count=401).state_dict())
    assert "\n" not in str(error.value)


def test_a_seal_is_of_the_pieces_and_of_what_is_held_out_too(tmp_path: Path) -> None:
    source, target = reversed_language(tmp_path, 400)
    one, longer, coarse = (
        material(Files(source=source, target=target), split=0, vocabulary=vocabulary, longest=40, judged=judged)
        for vocabulary, judged in ((80, 7), (80, 8), (70, 7))
    )
    assert one.train.pairs == longer.train.pairs and one.test.pairs == coarse.test.pairs
    assert len({one.seal, longer.seal, coarse.seal}) == 3


def test_a_sentence_that_is_too_long_is_in_no_part(tmp_path: Path) -> None:
    source, target = reversed_language(tmp_path, 400)
    short, long = (
        material(Files(source=source, target=target), split=0, vocabulary=80, longest=longest, judged=1000)
        for longest in (4, 40)
    )
    for name in ("train", "validation", "test"):
        some, all_ = getattr(short, name), getattr(long, name)
        fits = [i for i in range(len(all_)) if len(all_.sources[i]) <= 5 and len(all_.targets[i]) <= 5]  # with END
        assert 0 < len(some) < len(all_) and some.pairs == tuple(all_.pairs[i] for i in fits)
    with pytest.raises(InvalidValue, match="longest=1: every sentence of the train part"):
        material(Files(source=source, target=target), split=0, vocabulary=80, longest=1, judged=10)


def test_a_vocabulary_that_does_not_fit_is_said_in_one_line(texts: list[str]) -> None:
    for vocabulary in (5, 50_000):
        with pytest.raises(
            InvalidValue, match=rf"vocabulary={vocabulary} does not fit 600 sentences: .*ocabulary"
        ) as error:
            learned(texts, vocabulary)
        assert "\n" not in str(error.value) and ".cc" not in str(error.value)


def test_without_sentencepiece_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(MissingExtra, match=r'pip install "warren\[translation\]"'):
        learned(["a"], 10)


def part(lengths: list[int]) -> Part:
    """Sentence i has the number i at its first place."""
    rows = tuple(np.array([i + 10] * length) for i, length in enumerate(lengths))
    return Part(sources=rows, targets=rows, pairs=tuple((str(i), str(i)) for i in range(len(lengths))))


def test_padding_fills_up() -> None:
    assert padded([np.array([5]), np.array([6, 7, 8])]).tolist() == [[5, PAD, PAD], [6, 7, 8]]


def test_a_pass_over_the_data_has_each_sentence_once() -> None:
    lengths = np.random.default_rng(0).integers(2, 20, size=500).tolist()
    some = part(lengths)
    # 20 batches of a twentieth of all pieces are one pass.
    drawn = list(batches(some, np.random.default_rng(1), steps=20, size=round(sum(lengths) / 20)))
    assert len(drawn) == 20
    seen = sorted(int(row[0]) - 10 for source, _ in drawn for row in source)
    assert len(seen) == pytest.approx(500, abs=5) and len(set(seen)) == len(seen)
    pieces = [int((target != PAD).sum()) for _, target in drawn]
    assert max(pieces) - min(pieces) <= 2 * 20  # equal but for the sentence at either end
    shapes = sum(target.size for _, target in drawn)
    assert shapes < 1.1 * sum(pieces)  # of like length; in random order it would be about 1.7 times
    widths = [target.shape[1] for _, target in drawn]
    assert widths != sorted(widths)


def test_more_than_a_pass_comes_back_to_each_sentence_equally_often() -> None:
    drawn = batches(part([4] * 50), np.random.default_rng(1), steps=30, size=20)
    counts = np.bincount([int(row[0]) - 10 for source, _ in drawn for row in source], minlength=50)
    assert counts.sum() == 150 and set(counts) == {3}


def test_batches_are_those_of_their_generator() -> None:
    def first(seed: int) -> list[list[list[int]]]:
        return [
            source.tolist() for source, _ in batches(part([3, 4] * 40), np.random.default_rng(seed), steps=9, size=30)
        ]

    assert first(1) == first(1) != first(2)
