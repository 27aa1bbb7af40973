"""What ``warren demo translation`` does: trains a population with a live view, and says what came out."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from warren.errors import InvalidValue
from warren.zoo.demonstrate import Live, demonstrate, needs, parser, schedule_lines
from warren.zoo.options import Parser
from warren.zoo.translation.corpus import Catalogues, Corpus, Files

if TYPE_CHECKING:
    from warren.results import Result
    from warren.zoo.translation.train import Translator

EXAMPLES = 6

FILES = ("source", "target", "valid_source", "valid_target", "test_source", "test_target")


def main(arguments: list[str], *, live: Live) -> int:
    """Run the demo.

    Args:
        arguments: Options as on the command line.
        live: Makes the live view.

    Returns:
        The exit code.

    Raises:
        MissingExtra: PyTorch, SentencePiece or sacrebleu is not installed.
        InvalidValue: An option breaks a rule, there is no GPU for the preset, or there are too few sentences.
        RunMismatch: The store holds a run with other settings.
    """
    options = _parser().parse_args(arguments)
    corpus = _corpus(options)
    needs("translation", "torch", "sentencepiece", "sacrebleu")
    import torch

    from warren.zoo.translation.presets import PRESETS

    made = PRESETS[options.preset](corpus)
    translator: Translator = made.make(0)
    if torch.device(translator.device).type == "cuda" and not torch.cuda.is_available():
        raise InvalidValue(
            f"--preset {options.preset} trains on device={translator.device!r}, and torch sees no GPU; choose --preset "
            "small or study, or install a torch for CUDA where a GPU is"
        )
    # Here as well as in the workers, so that what is missing is said before they start.
    data = translator.material()
    print(
        f"{len(data.train):,} sentences to train on, {len(data.validation)} to select by, {len(data.test)} held out; "
        f"of at most {translator.longest} pieces."
    )
    demonstrate(made, options, live=live, summary=_summary(translator))
    return 0


def _corpus(options: argparse.Namespace) -> Corpus:
    files = {name: getattr(options, name) for name in FILES}
    if not any(files.values()):
        return Catalogues() if options.language is None else Catalogues(language=options.language)
    if options.language is not None:
        raise InvalidValue(
            f"--language {options.language} is of the installed message catalogues, and --source FILE takes their "
            "place; leave one of them out"
        )
    if options.source is None or options.target is None:
        raise InvalidValue("--source FILE and --target FILE go together, and the other files go with them")
    return Files(**files)


def _summary(translator: Translator) -> Callable[[Result], str]:
    """Makes what is said in the end; the translations are made with the best checkpoint."""

    def summary(result: Result) -> str:
        import torch

        from warren.zoo.translation.judging import bleu, translations

        data = translator.material()
        torch.manual_seed(0)
        model = translator.model()
        untrained = bleu(translations(model, data, data.test), data.test)
        result.best.load(model=model, sentences=data.seal)
        texts = translations(model, data, data.test, beam=translator.beam)
        schedule = result.schedule
        lines = [
            "",
            "BLEU on the test part, never selected on:",
            f"  {'untrained':<40}{untrained:>6.2f}",
            _early(result),
            f"  {'best of the whole run':<40}{bleu(texts, data.test):>6.2f}",
            "",
            *_examples(data.test.pairs, texts),
            *schedule_lines(schedule, score="BLEU"),
            "",
            str(result.cost),
        ]
        return "\n".join(lines)

    return summary


def _early(result: Result) -> str:
    """BLEU on the test part of the member that had the best score after a tenth of the intervals."""
    scored = [row for row in result.intervals if row.score is not None]
    last = max(row.interval for row in scored)
    tenth = min(row.interval for row in scored if row.interval >= last / 10)  # all may have diverged in the first
    best = max((row for row in scored if row.interval == tenth), key=lambda row: row.score or 0.0)
    return f"  {f'best after {tenth} of {last} intervals':<40}{best.metrics['test']:>6.2f}"


def _examples(pairs: tuple[tuple[str, str], ...], texts: list[str]) -> list[str]:
    lines = []
    for (source, target), text in list(zip(pairs, texts, strict=True))[:EXAMPLES]:
        lines += [f"  source    {source}", f"  written   {text}", f"  reference {target}", ""]
    return lines


def _parser() -> Parser:
    made = parser("translation", "Population Based Training of Transformers that translate.")
    add = made.add_argument
    add("--preset", choices=("small", "study", "paper"), default="small", help="sizes (default: %(default)s)")
    add("--language", help=f"of the installed message catalogues (default: {Catalogues().language})")
    for name in FILES:
        what = "sentences" if name.endswith("source") else "translations"
        part = {"v": "that select", "t": "held out"}.get(name[0] if "_" in name else "", "to train on")
        add(f"--{name.replace('_', '-')}", metavar="FILE", help=f"{what} {part}, one on each line, in UTF-8")
    return made
