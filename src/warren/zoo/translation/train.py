"""The training loop of the translators, as a user writes it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn.utils import clip_grad_norm_

from warren.space import Float
from warren.training import Slot
from warren.zoo.translation.corpus import Corpus
from warren.zoo.translation.decoding import EXTRA
from warren.zoo.translation.judging import bleu, loss_of, loss_on, shifted, translations
from warren.zoo.translation.pieces import Material, batches, material
from warren.zoo.translation.transformer import Shape, Transformer


def space() -> dict[str, Float]:
    """What is tuned. The learning rate is the one at the end of warm-up, from where it falls."""
    return {
        "lr": Float(1e-4, 1e-2, scale="log"),
        "attention_dropout": Float(0.0, 0.5),
        "layer_dropout": Float(0.0, 0.5),
        "relu_dropout": Float(0.0, 0.5),
    }


@dataclass(frozen=True, kw_only=True)
class Translator:
    """The training function; a value, so that it travels to worker processes and can be found again from the store.

    Args:
        corpus: Where sentences come from.
        shape: Sizes of the Transformer.
        split: Seed of the corpus's parts.
        vocabulary: Pieces, shared by both languages.
        longest: Sentences with more pieces are left out.
        judged: Sentences of the validation part, and of the test part, that BLEU is counted on after each interval.
        steps: Gradient steps in an interval.
        batch: Pieces of the translations in a step, about.
        warmup: Steps until the learning rate is reached.
        smoothing: Of the labels, from 0 to 1.
        beam: Translations that are kept while one is searched for; 1 is greedy.
        device: As torch names it.
        threads: Of a worker.
    """

    corpus: Corpus
    shape: Shape
    split: int = 0
    vocabulary: int = 2000
    longest: int = 16
    judged: int = 400
    steps: int = 100
    batch: int = 700
    warmup: int = 100
    smoothing: float = 0.1
    beam: int = 1
    device: str = "cpu"
    threads: int = 1

    def __call__(self, slot: Slot) -> None:
        """Train members."""
        torch.set_num_threads(self.threads)
        data = self.material()
        torch.manual_seed(slot.seed)
        model = self.model()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.98), eps=1e-9)
        # The scheduler counts the steps. It is tracked, so a copy goes on from the donor's place in the schedule, and
        # bound, so that its factor multiplies the learning rate of the member.
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor(step + 1, self.warmup))
        slot.track(model=model, optimizer=optimizer, scheduler=scheduler, sentences=data.seal)
        slot.bind(optimizer, "lr", scheduler=scheduler)
        for member in slot:
            model.set_dropout(
                attention=member["attention_dropout"], layer=member["layer_dropout"], relu=member["relu_dropout"]
            )
            model.train()
            # Drawn anew in each interval: there is no place in the data that a copy could take over.
            for source, target in batches(data.train, member.rng, steps=self.steps, size=self.batch):
                sources, targets = (torch.from_numpy(side).to(self.device) for side in (source, target))
                loss = loss_of(model(sources, shifted(targets)), targets, self.smoothing)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                scheduler.step()
            validation_loss = loss_on(model, data.validation)
            # Weights that are not finite have a BLEU of 0, as a beginner's have: only the loss tells them apart.
            score, test = (
                bleu(translations(model, data, part, beam=self.beam), part)
                if math.isfinite(validation_loss)
                else math.nan
                for part in (data.validation, data.test)
            )
            member.report(score, loss=validation_loss, test=test)

    def material(self) -> Material:
        """The sentences, read once a process."""
        return material(
            self.corpus, split=self.split, vocabulary=self.vocabulary, longest=self.longest, judged=self.judged
        )

    def model(self) -> Transformer:
        """A fresh model, drawn from torch's global generator."""
        return Transformer(self.shape, self.vocabulary, self.longest + 1 + EXTRA).to(self.device)


def factor(step: int, warmup: int) -> float:
    """What the learning rate is multiplied by: min(step / warmup, sqrt(warmup / step)).

    Vaswani et al. (2017), equation 3, but scaled so that its peak is 1 and the learning rate can be said by itself.

    Args:
        step: From 1.
        warmup: Step of the peak, from 1.
    """
    return float(min(step / warmup, (warmup / step) ** 0.5))
