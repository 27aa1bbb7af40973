"""Loops without a fault: a false alarm is as bad as a miss."""

from __future__ import annotations

import importlib.util
import math
import re
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from tests.preflight import loops, sound_loops
from tests.preflight.test_preflight_faults import WIDTH, found

import warren
from warren.preflight import shelf
from warren.zoo.digits.mlp import space as mlp_space
from warren.zoo.digits.noisy import Shifting
from warren.zoo.toy.figure2 import INITIAL
from warren.zoo.toy.tasks import HILL

ROOT = Path(__file__).parents[2]
BRANCHES = {
    "kind": warren.Choice(["slow", "fast"]),
    "slow": warren.Float(0.01, 0.02),
    "fast": warren.Float(0.1, 0.2),
}
HEIGHTS = {"h0": warren.Float(0.0, 1.0), "h1": warren.Float(0.0, 1.0)}


@pytest.mark.parametrize(
    ("train", "space"),
    [
        (sound_loops.sound, loops.SPACE),
        (sound_loops.resets, loops.NOISE),
        (sound_loops.value, loops.LR),
        (sound_loops.keeps, loops.LR),
        (sound_loops.shaped, WIDTH),
        (sound_loops.generator_tracked, loops.LR),
        (sound_loops.branches, BRANCHES),
        (sound_loops.owned, loops.LR),
        (sound_loops.TASK, loops.LR),
    ],
)
def test_a_sound_loop_has_no_finding(train: Any, space: Any) -> None:
    findings = found(train, space)
    assert findings.all == () and findings.ok
    assert findings.trained == 6 + len(space) - (space is BRANCHES)


@pytest.mark.parametrize("population", [1, 2])
def test_a_small_population_can_be_checked(population: int) -> None:
    findings = found(sound_loops.sound, loops.SPACE, population=population)
    assert findings.all == () and findings.estimates is not None and findings.estimates.population == population


def test_the_zoo_has_no_finding() -> None:
    assert found(HILL, HEIGHTS, population=2, initial=INITIAL).all == ()
    assert found(Shifting(seed=0).task(), mlp_space(), goal="min").all == ()


def test_nothing_is_left_behind_and_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(shelf, "SMALL", 0)
    monkeypatch.setattr("warren.preflight.check._LONG", math.inf)  # how long it takes is told on a busy machine
    folders: set[str] = set()
    files = [0]

    def train(slot: warren.Slot) -> None:
        folders.update(path.name for path in tmp_path.iterdir())
        files.append(len(list(tmp_path.glob("*/*"))))
        loops.average_local(slot)

    assert not warren.check(train, space=loops.LR, goal="max").ok
    assert 0 < max(files) < 8, "states of a search are forgotten with each of its trials"
    assert len(folders) == 1 and list(tmp_path.iterdir()) == [] and capfd.readouterr() == ("", "")


def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    calls = [0]

    def train(slot: warren.Slot) -> None:
        for member in slot:
            calls[0] += 1
            if calls[0] == 3:  # while evaluation is watched
                raise KeyboardInterrupt
            member.state = {"x": 1.0}
            member.report(1.0)

    with pytest.raises(KeyboardInterrupt):
        warren.check(train, space=loops.LR, goal="max")
    assert list(tmp_path.iterdir()) == [] and sys.getprofile() is None


def test_a_profiler_of_the_users_is_left_alone() -> None:
    calls: list[str] = []

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        calls.append(event)

    sys.setprofile(profile)
    try:
        findings = found(sound_loops.sound, loops.SPACE)
        assert sys.getprofile() is profile and len(calls) > 100
    finally:
        sys.setprofile(None)
    assert findings.all == ()


def test_it_trains_what_a_run_trains() -> None:
    seen: dict[str, set[tuple[Any, ...]]] = {"run": set(), "check": set()}
    which = ["run"]

    def train(slot: warren.Slot) -> None:
        for member in slot:
            member.state = {"x": member.rng.normal() + member["lr"], "seed": member.seed}
            seen[which[0]].add((member.id, member.budget, member["lr"], member.seed, float(member.state["x"])))
            member.report(member.state["x"])

    warren.run(
        train, space=loops.LR, goal="max", population=3, intervals=2, seed=5, strategy=warren.RandomSearch(),
        initial=[{"lr": 0.2}], watch=lambda result: None,
    )  # fmt: skip
    which[0] = "check"
    found(train, population=3, seed=5, initial=[{"lr": 0.2}])
    first = {one for one in seen["check"] if (one[0], one[1]) in ((0, 0), (1, 0)) or one[:3] == (0, 1, 0.2)}
    assert len(first) == 3 and first <= seen["run"]


def test_the_digits_have_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    from warren.zoo.digits import mlp, train

    monkeypatch.setattr(train, "STEPS", 4)
    threads = torch.get_num_threads()
    try:
        assert found(train.train, train.space(), goal="min", held_out="test").all == ()
        assert found(mlp.Mlp().task(), mlp.space(), goal="min", held_out="test").all == ()
    finally:
        torch.set_num_threads(threads)


def test_the_readme_has_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(block, "README.md", "exec"), names)
    # An eleventh of the data, so that it takes no time.
    monkeypatch.setitem(names, "train_rows", names["train_rows"][:100])
    assert torch.is_tensor(names["pixels"])
    space = {"lr": warren.Float(1e-3, 1.0, scale="log"), "momentum": warren.Float(0.5, 0.99, scale="one_minus")}
    assert found(names["train"], space, held_out="test").all == ()


def test_the_example_has_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from tests.test_examples import CHANGED, TINY

    for name, value in TINY.items():
        monkeypatch.setenv(f"GPT_{name}", value)
    threads = torch.get_num_threads()
    spec = importlib.util.spec_from_file_location("gpt_checked", CHANGED)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gpt_checked", script)
    try:
        spec.loader.exec_module(script)
        assert found(script.train, script.space, held_out="test").all == ()
    finally:
        torch.set_num_threads(threads)


# -- JAX --------------------------------------------------------------------------------------------------------------

RATES = {"lr": warren.Float(0.05, 0.5, scale="log")}


def jax_task(keeps: Any, *, replaces: bool = False, scale: float = 1.0) -> warren.Task:
    """Descent in JAX; `keeps` makes what else is in the state, of the hyperparameters."""
    jnp = pytest.importorskip("jax").numpy

    def init(seed: int, hyperparameters: dict[str, Any]) -> dict[str, Any]:
        return {"x": jnp.ones(3), "kept": keeps(hyperparameters)}

    def train_interval(state: dict[str, Any], hyperparameters: dict[str, Any], rng: Any) -> dict[str, Any]:
        noise = pytest.importorskip("jax").random.normal(rng.jax(), (3,))
        x = state["x"] - hyperparameters["lr"] * (state["x"] + 0.1 * noise)
        return {"x": x, "kept": keeps(hyperparameters)}

    def evaluate(state: dict[str, Any], rng: Any) -> Any:
        if replaces:
            state["x"] = state["x"] / 2
        return scale * jnp.sum(state["x"] ** 2)

    return warren.Task(init=init, train_interval=train_interval, evaluate=evaluate)


def test_a_task_in_jax_is_sound_compiled_or_not() -> None:
    jax = pytest.importorskip("jax")
    keeps = [
        lambda h: jax.random.key(0),
        lambda h: jax.numpy.asarray(h["lr"]),
    ]
    for keep in keeps:
        for scale in (1.0, 0.0):  # where all score alike, the states tell what a hyperparameter does
            findings = found(jax_task(keep, scale=scale), RATES, goal="min")
            assert findings.all == (), str(findings)


def test_an_evaluation_in_jax_that_writes_into_the_state_is_seen() -> None:
    pytest.importorskip("jax")
    findings = found(jax_task(lambda h: None, replaces=True), RATES, goal="min")
    assert not findings.ok
    assert any("evaluate" in str(one) for one in findings.all), str(findings)


def test_a_hyperparameter_that_a_state_in_jax_only_keeps_does_nothing() -> None:
    jax = pytest.importorskip("jax")
    space = {**RATES, "idle": warren.Float(0.1, 0.9)}
    findings = found(jax_task(lambda h: jax.numpy.asarray(h["idle"])), space, goal="min")
    assert [(one.level, one.kind, one.subject) for one in findings.all] == [("fault", "no effect", "idle")], str(
        findings
    )
