"""Translators that train: a language of twelve words, the warm-up, the pre-flight, the presets."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.zoo.translation.catalogue import WORDS, WORTE, reversed_language

torch = pytest.importorskip("torch")
pytest.importorskip("sentencepiece")
pytest.importorskip("sacrebleu")

import warren  # noqa: E402
from warren.engines import Inline  # noqa: E402
from warren.errors import MissingExtra, WarrenError  # noqa: E402
from warren.strategies import PBT, Perturb  # noqa: E402
from warren.zoo.translation.corpus import Catalogues, Files  # noqa: E402
from warren.zoo.translation.judging import bleu, loss_of, loss_on, shifted, translations  # noqa: E402
from warren.zoo.translation.pieces import Part  # noqa: E402
from warren.zoo.translation.presets import PRESETS, USUAL  # noqa: E402
from warren.zoo.translation.train import Translator, factor, space  # noqa: E402
from warren.zoo.translation.transformer import Shape  # noqa: E402


@pytest.fixture(scope="module")
def animals(tmp_path_factory: pytest.TempPathFactory) -> Files:
    source, target = reversed_language(tmp_path_factory.mktemp("animals"))
    return Files(source=source, target=target)


@pytest.fixture
def tiny(animals: Files) -> Translator:
    return Translator(
        corpus=animals,
        shape=Shape(layers=1, width=32, heads=2, hidden=64),
        vocabulary=60,
        longest=12,
        judged=30,
        steps=5,
        batch=200,
        warmup=8,
    )


def run(train: Any, **more: Any) -> warren.Result:
    arguments: dict[str, Any] = {
        "space": space(), "goal": "max", "population": 2, "intervals": 2, "held_out": "test", "seed": 0,
        "workers": 1, "engine": "inline", "watch": lambda result: None,
    }  # fmt: skip
    return warren.run(train, **{**arguments, **more})


# -- learning ---------------------------------------------------------------------------------------------------------


def test_it_learns_to_translate_backwards(animals: Files) -> None:
    translator = Translator(
        corpus=animals,
        shape=Shape(layers=1, width=48, heads=4, hidden=96),
        vocabulary=60,
        longest=12,
        judged=60,
        steps=400,
        batch=300,
        warmup=40,
    )
    usual = {"lr": 5e-3, "attention_dropout": 0.0, "layer_dropout": 0.0, "relu_dropout": 0.0}
    result = run(translator, population=1, intervals=1, initial=[usual])
    model = translator.model()
    data = translator.material()
    # Sentences that it has never seen, far better than the right words in the order of the source are.
    meaning = dict(zip(WORDS, WORTE, strict=True))
    in_order = bleu([" ".join(meaning[word] for word in source.split()) for source, _ in data.test.pairs], data.test)
    assert result.best.held_out > in_order + 30
    assert bleu(translations(model, data, data.test), data.test) < 5
    result.best.load(model=model)
    assert bleu(translations(model, data, data.test), data.test) == result.best.held_out
    assert loss_on(model, data.validation) == pytest.approx(result.best.metrics["loss"], rel=1e-5)


def test_a_run_copies_members_with_their_place_in_the_warm_up(tiny: Translator) -> None:
    result = run(tiny, population=3, intervals=3, strategy=PBT(exploit="truncation"), seed=1)
    assert result.cost.copies > 0 and result.warnings == []
    assert all(set(row.metrics) == {"loss", "test"} for row in result.intervals)
    for member in result.final:
        state = member.state()
        # Steps of a state are intervals of its history times 5; the rate is the member's own times the factor.
        assert state["scheduler"]["last_epoch"] == 5 * member.age
    copies = [row for row in result.intervals if row.origin == "exploit"]
    assert copies


def test_the_learning_rate_that_steps_are_made_with_is_the_member_s(tiny: Translator, monkeypatch: Any) -> None:
    rates: list[float] = []
    step = torch.optim.Adam.step

    def watched(self: Any, *arguments: Any) -> Any:
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    run(tiny, population=1, intervals=2, initial=[{**USUAL, "lr": 8e-3}])
    # By hand: up in eighths to the eighth step, then by the root of 8/9 and 8/10.
    by_hand = [1e-3 * i for i in range(1, 9)] + [8e-3 * (8 / 9) ** 0.5, 8e-3 * (8 / 10) ** 0.5]
    assert rates == pytest.approx(by_hand)


def test_the_factor_rises_and_falls_by_hand() -> None:
    assert [factor(step, 4) for step in (1, 2, 4, 16, 64)] == [0.25, 0.5, 1.0, 0.5, 0.25]
    # Equation 3 of Vaswani et al. (2017), width 512 and warm-up 4000, over its peak at step 4000.
    for step in (1, 777, 4000, 123456):
        theirs = 512**-0.5 * min(step**-0.5, step * 4000**-1.5)
        assert factor(step, 4000) == pytest.approx(theirs / (512**-0.5 * 4000**-0.5))


def test_dropout_rates_are_the_member_s(tiny: Translator, monkeypatch: Any) -> None:
    from warren.zoo.translation import transformer

    seen = []
    plain = transformer.Transformer.set_dropout
    monkeypatch.setattr(
        transformer.Transformer, "set_dropout", lambda self, **rates: (seen.append(rates), plain(self, **rates))[1]
    )
    values = {"lr": 1e-3, "attention_dropout": 0.1, "layer_dropout": 0.2, "relu_dropout": 0.3}
    run(tiny, population=1, intervals=1, initial=[values])
    assert seen == [{"attention": 0.1, "layer": 0.2, "relu": 0.3}]


def test_the_loss_of_a_part_is_the_mean_over_its_pieces(tiny: Translator) -> None:
    data, model = tiny.material(), tiny.model().eval()
    sums = []
    for source, target in zip(data.test.sources, data.test.targets, strict=True):  # one at a time, without padding
        row = torch.from_numpy(target)[None]
        with torch.no_grad():
            sums += [float(loss_of(model(torch.from_numpy(source)[None], shifted(row)), row, 0.0))] * len(target)
    assert loss_on(model.train(), data.test) == pytest.approx(np.mean(sums), rel=1e-4)


def test_bleu_is_by_hand() -> None:
    def part(*texts: str) -> Part:
        return Part(sources=(), targets=(), pairs=tuple(("", text) for text in texts))

    assert bleu(["a b c d e"], part("a b c d e")) == pytest.approx(100)
    # 4 of 5 words, 3 of 4 pairs, 2 of 3 threes, 1 of 2 fours; as long as the reference.
    assert bleu(["a b c d x"], part("a b c d e")) == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    # All of it is right, but 4 words stand for 8: the brevity penalty exp(1 - 8/4).
    assert bleu(["a b c d"], part("a b c d e f g h")) == pytest.approx(100 * np.exp(-1))


# -- as a workload ----------------------------------------------------------------------------------------------------


def test_the_pre_flight_finds_nothing(tiny: Translator) -> None:
    findings = warren.check(
        replace(tiny, steps=2), space=space(), goal="max", population=2, intervals=3, workers=1, tell=lambda line: None
    )
    assert findings.all == (), str(findings)


def test_a_translator_is_found_again_from_its_store(tiny: Translator, tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    assert run(replace(tiny, steps=2), store=store).run.total == 4
    again = warren.resume(store, intervals=3, engine=Inline())  # from the record alone
    assert again.run.total == 6
    straight = run(replace(tiny, steps=2), intervals=3)
    assert again.digest == straight.digest


def test_a_run_whose_sentences_have_changed_is_not_gone_on_with(tiny: Translator, tmp_path: Path) -> None:
    from warren.zoo.translation import pieces

    source, target = reversed_language(tmp_path, 600)
    task, store = replace(tiny, corpus=Files(source=source, target=target), steps=2), tmp_path / "a.db"
    run(task, store=store)
    reversed_language(tmp_path, 600, seed=1)
    pieces.material.cache_clear()  # as in another process
    with pytest.raises(WarrenError, match=r"sentences: .*catalogues or files have changed") as error:
        run(task, store=store, intervals=3)
    assert "\n" not in str(error.value)
    reversed_language(tmp_path, 600)
    pieces.material.cache_clear()
    assert run(task, store=store, intervals=3).run.total == 6


def test_weights_that_are_not_finite_count_as_diverged(tiny: Translator, monkeypatch: Any) -> None:
    """A BLEU of 0 is that of any beginner, and PBT would hand such weights on."""
    broken = tiny.model()
    torch.nn.init.constant_(broken.embedding.weight, math.nan)
    data = tiny.material()
    assert bleu(translations(broken, data, data.validation), data.validation) == 0.0
    steps = torch.optim.Adam.step

    def step(self: Any, *arguments: Any) -> Any:
        found = steps(self, *arguments)
        if self.param_groups[0]["lr"] > 5e-3 / 8:  # of the first member alone, at an eighth of the warm-up
            self.param_groups[0]["params"][0].data.fill_(math.nan)
        return found

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    initial = [{**USUAL, "lr": 9e-3}, {**USUAL, "lr": 1e-3}]
    result = run(replace(tiny, steps=1), intervals=1, initial=initial)
    scores = {row.member: row.score for row in result.intervals}
    assert scores[0] is None and scores[1] is not None
    assert {row.member: row.status for row in result.intervals} == {0: "diverged", 1: "ok"}


def test_without_sacrebleu_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics.bleu", None)
    with pytest.raises(MissingExtra, match=r'pip install "warren\[translation\]"'):
        bleu(["a"], Part(sources=(), targets=(), pairs=(("a", "a"),)))


def test_the_page_has_the_presets_as_they_are() -> None:
    page = (Path(__file__).parents[3] / "docs" / "translation.md").read_text(encoding="utf-8")
    made = [PRESETS[name]() for name in ("small", "study", "paper")]
    tasks = [workload.make(0) for workload in made]
    rows = {
        "population, intervals, steps in each": [
            (one.population, one.intervals, task.steps) for one, task in zip(made, tasks, strict=True)
        ],
        "layers each way, width, hidden width": [
            (task.shape.layers, task.shape.width, task.shape.hidden) for task in tasks
        ],
        "pieces, longest sentence": [(task.vocabulary, task.longest) for task in tasks],
        "pieces in a step, steps of warm-up": [(task.batch, task.warmup) for task in tasks],
    }
    for label, values in rows.items():
        cells = [", ".join(f"{value:,}" for value in some) for some in values]
        assert f"| {label} | {' | '.join(cells)} |" in page


def test_a_preset_of_a_corpus_has_a_name_of_its_own(animals: Files) -> None:
    corpora = (Catalogues(), Catalogues(language="fr"), Catalogues(folder="/some/where"), animals)
    names = [[PRESETS[preset](corpus).name for preset in ("small", "study", "paper")] for corpus in corpora]
    assert names[0] == ["translation-de", "translation-de-study", "translation-de-paper"]
    assert [row[0] for row in names[1:]] == ["translation-fr", "translation-where", "translation-animals"]
    assert Files(source="/a/news.en", target="/b/neues.de").name == "news-neues"
    assert len({name for row in names for name in row}) == 12


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_are_whole(preset: str, animals: Files) -> None:
    workload = PRESETS[preset](animals)
    assert set(workload.usual) == set(workload.space) == set(space())
    for name, dimension in workload.space.items():
        assert dimension.low <= workload.usual[name] <= dimension.high
    assert workload.make(3).split == 3 and workload.make(0).corpus == animals
    assert workload.make(0).judged >= 300


class Once:
    """A slot for one interval of one member, whose state nobody keeps."""

    seed = 0

    def __init__(self, values: dict[str, float]) -> None:
        self.values, self.rng, self.reported = values, np.random.default_rng(0), {}

    def track(self, **objects: Any) -> None:
        self.tracked = objects

    def bind(self, optimizer: Any, name: str, scheduler: Any) -> None:
        self.tracked["optimizer"] = optimizer

    def __iter__(self) -> Iterator[Once]:
        yield self

    def __getitem__(self, name: str) -> float:
        return self.values[name]

    def report(self, score: float, **metrics: float) -> None:
        self.reported = {"score": score, **metrics}


def test_the_paper_s_preset_is_as_in_the_paper_and_trains(animals: Files) -> None:
    workload = PRESETS["paper"](animals)
    assert workload.population == 32 and workload.make(0).steps == 2000
    assert workload.strategy == PBT(exploit="tournament", explore="perturb")
    assert Perturb().factors == (0.8, 1.2)
    whole = workload.make(0)
    short = replace(whole, vocabulary=60, longest=12, judged=2, steps=1, batch=40, beam=2, device="cpu")
    slot = Once(dict(workload.usual))
    short(slot)  # type: ignore[arg-type]
    # Vaswani et al. (2017), table 3: 65 million parameters, of which 37,000 x 512 are embeddings. By hand: a layer of
    # the encoder has 4 (512² + 512) + 2 x 512 x 2048 + 2048 + 512 + 2 x 1024, the decoder's an attention and norm more
    attention, forward, norm = 4 * (512**2 + 512), 2 * 512 * 2048 + 2048 + 512, 2 * 512
    layers = 6 * (attention + forward + 2 * norm) + 6 * (2 * attention + forward + 3 * norm) + 2 * norm
    assert sum(one.numel() for one in slot.tracked["model"].parameters()) == layers + 60 * 512
    assert round((layers + 37000 * 512) / 1e6) == 63
    assert set(slot.reported) == {"score", "loss", "test"}
