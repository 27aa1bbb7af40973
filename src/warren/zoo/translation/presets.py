"""Translation as it is run: as a demonstration, in a study of strategies, and as in the paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from warren.strategies import PBT
from warren.zoo.translation.corpus import Catalogues, Corpus
from warren.zoo.translation.train import Translator, space
from warren.zoo.translation.transformer import Shape
from warren.zoo.workload import Workload

GERMAN = Catalogues()

USUAL = {"lr": 2e-3, "attention_dropout": 0.1, "layer_dropout": 0.1, "relu_dropout": 0.1}
"""Vaswani et al. (2017) drop 0.1 of what a layer adds; so small ones bear a higher learning rate than theirs."""


def small(corpus: Corpus = GERMAN) -> Workload:
    """Six members of 0.4 million parameters; 800 steps each.

    Args:
        corpus: Where sentences come from.
    """
    return workload(f"translation-{corpus.name}", SMALL, corpus, population=6, intervals=10)


def study(corpus: Corpus = GERMAN) -> Workload:
    """Eight members of one layer each way, on shorter sentences.

    Args:
        corpus: Where sentences come from.
    """
    return workload(f"translation-{corpus.name}-study", STUDY, corpus, population=8, intervals=6)


def paper(corpus: Corpus = GERMAN) -> Workload:
    """Transformer base on WMT14, as Jaderberg et al. (2017) tuned it; with the files as corpus.

    Theirs are the population, the hyperparameters, the score, the interval, the exploit and the factors. The shape, the
    pieces, the batch, the warm-up and the beam are those of Vaswani et al. (2017), and so are 120,000 steps, about:
    the base model had 100,000. The ranges are ours.

    Args:
        corpus: Where sentences come from.
    """
    made = workload(f"translation-{corpus.name}-paper", PAPER, corpus, population=32, intervals=60)
    return replace(made, usual={**USUAL, "lr": 7e-4})


def workload(name: str, translator: Translator, corpus: Corpus, *, population: int, intervals: int) -> Workload:
    """Translators of a corpus, tuned as in the paper.

    Args:
        name: Of the store and the report.
        translator: With any corpus.
        corpus: Takes its place.
        population: Members.
        intervals: For each member.
    """
    translator = replace(translator, corpus=corpus)
    return Workload(
        name=name,
        told="Transformers learn to translate; BLEU on sentences that no gradient saw selects, and on others that "
        "selection does not see either it is reported.",
        make=lambda split: replace(translator, split=split),
        space=space(),
        goal="max",
        held_out="test",
        held_out_goal="max",
        population=population,
        intervals=intervals,
        # As the paper has it for translation: against one opponent that is drawn; x 0.8 or x 1.2.
        strategy=PBT(exploit="tournament", explore="perturb"),
        usual=USUAL,
    )


SMALL = Translator(corpus=GERMAN, shape=Shape(layers=2, width=64, heads=4, hidden=256), steps=80)
STUDY = Translator(
    corpus=GERMAN,
    shape=Shape(layers=1, width=64, heads=4, hidden=256),
    longest=12,
    steps=60,
    batch=300,
    warmup=60,
)
PAPER = Translator(
    corpus=GERMAN,
    shape=Shape(),
    vocabulary=37000,
    longest=254,
    judged=4000,
    steps=2000,
    batch=25000,
    warmup=4000,
    beam=4,
    device="cuda",
)

PRESETS: Mapping[str, Callable[..., Workload]] = {"small": small, "study": study, "paper": paper}
