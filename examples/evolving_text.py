"""Evolving text: the form of Promptbreeder (Fernando et al. 2023) and FORGE, with a stand-in for the language model.

    python evolving_text.py            # some seconds

A member's state is a text. In an interval a model is asked, some times, to rewrite it as an instruction says, and what
scores better is kept. The instruction is the hyperparameter. The explore is the user's own: it reads which instruction
gained how much along the lineage, and tells the next one by that; now and then it tries any. Selection is a binary
tournament, as Promptbreeder's.

`ask` and `score` stand for a language model and for its answers on a task: put yours in their place. Where they cost
money or seconds, nothing else changes. A score is kept beside its text, so that a text is scored once, when it is
written: 20 calls of each function in an interval. With a store, `evolve` goes on where it was stopped, and what was
written and scored in intervals that are over is not paid for again.

It prints the best text and what it scores; beside it those that were written without selection, by instructions that
change by the same rule, and by members that each keep their first instruction; and the instructions that made it.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np

import warren

GOOD = "first read the question aloud then think step by step and check every number before you answer"
OTHERS = "please banana maybe never the a of it quickly guess shout purple answer twice"
WANTED, WORDS = GOOD.split(), sorted({*GOOD.split(), *OTHERS.split()})
INSTRUCTIONS = ["add a word", "drop a word", "replace a word", "swap two neighbours"]


def ask(text: str, instruction: str, rng: np.random.Generator) -> str:
    """Stands for a language model that rewrites a text."""
    words, word = text.split(), str(rng.choice(WORDS))
    place = int(rng.integers(len(words) + 1)) if words else 0
    if instruction == "add a word":
        words.insert(place, word)
    elif words and instruction == "drop a word":
        del words[place - 1]
    elif words and instruction == "replace a word":
        words[place - 1] = word
    elif len(words) > 1:
        words[place - 1], words[place - 2] = words[place - 2], words[place - 1]
    return " ".join(words)


def score(text: str) -> float:
    """Stands for how well a task is done with a text: what of the wanted words is there, and follows in their order."""
    words, wanted = text.split(), Counter(WANTED)
    there = sum((Counter(words) & wanted).values())
    pairs = set(pairwise(WANTED))
    in_order = len(pairs & set(pairwise(words)))
    return (there + in_order - 0.3 * max(0, len(words) - there)) / (len(WANTED) + len(pairs))


def train(slot: warren.Slot) -> None:
    for member in slot:
        text, best = (member.state["text"], member.state["score"]) if member.state else ("", score(""))
        for _ in range(20):
            asked = ask(text, member["instruction"], member.rng)
            if (scored := score(asked)) > best:
                text, best = asked, scored
        member.state = {"text": text, "score": best}
        member.report(best)


def explore(view, hyperparameters, keys):
    """The instruction that gained most along this state's own lineage, or, one time in three, any."""
    rng = keys.generator("instruction")
    rows = [] if view.report is None else [row for row in view.lineage(view.report) if row.score is not None]
    gains = {name: [0.05] for name in INSTRUCTIONS}  # what was not tried yet is worth a try
    for row, before in pairwise(rows):
        gains[row.hyperparameters["instruction"]].append(row.score - before.score)
    best = max(INSTRUCTIONS, key=lambda name: (np.mean(gains[name][-3:]), rng.random()))
    drawn = INSTRUCTIONS[int(rng.integers(len(INSTRUCTIONS)))]
    return {**hyperparameters, "instruction": drawn if rng.random() < 1 / 3 else best}


def breeding(exploit: str = "tournament") -> warren.PBT:
    return warren.PBT(exploit=exploit, explore=explore, explorers="ready")


def evolve(strategy=None, population: int = 12, intervals: int = 40, seed: int = 0, store=None) -> warren.Result:
    return warren.run(
        train,
        space={"instruction": warren.Choice(INSTRUCTIONS)},
        goal="max",
        population=population,
        intervals=intervals,
        strategy=strategy or breeding(),
        seed=seed,
        store=store,
    )


if __name__ == "__main__":
    strategies = {"evolved": breeding(), "no selection": breeding("none"), "one instruction": warren.RandomSearch()}
    results = {name: evolve(strategy) for name, strategy in strategies.items()}
    for name, result in results.items():
        print(f"{name:<15} {result.best.score:.3f}  {result.best.state()['state']['text']}")
    used = Counter(step.hyperparameters["instruction"] for step in results["evolved"].schedule)
    print("instructions along the lineage:", ", ".join(f"{name} x {count}" for name, count in used.most_common()))
