"""Populations of modules against plain loops over each member alone."""

from __future__ import annotations

import pickle
import random
from typing import Any

import numpy as np
import pytest

from warren.errors import InvalidType, InvalidValue, MissingExtra, UnknownName
from warren.population import Keys
from warren.stacked import Keyring
from warren.training import Rng

torch = pytest.importorskip("torch")

import warren.torch as wt  # noqa: E402 (it imports torch)

nn, F = torch.nn, torch.nn.functional

N = 3
DATA = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(0, 3, (50,), generator=torch.Generator().manual_seed(1))
HYPERPARAMETERS = {"lr": np.array([0.1, 0.02, 0.3]), "momentum": np.array([0.9, 0.5, 0.0])}


def mlp() -> Any:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def loss(net: Any, batch: Any) -> Any:
    return F.cross_entropy(net(batch[0]), batch[1])


def evaluate(net: Any) -> Any:
    logits = net(DATA)
    return F.cross_entropy(logits, LABELS), {"accuracy": (logits.argmax(1) == LABELS).float().mean()}


def task(build: Any = mlp, **changed: Any) -> Any:
    parts: dict[str, Any] = {
        "loss": loss,
        "optimizer": wt.SGD(lr="lr", momentum="momentum"),
        "batches": wt.Batches(DATA, LABELS, size=16),
        "evaluate": evaluate,
        **changed,
    }
    return wt.population(build, parts.pop("loss"), **parts)


def rng(interval: int, n: int = N, first: int = 0) -> Keyring:
    return Keyring([Rng(Keys(seed=0, member=first + place, interval=interval), "train") for place in range(n)])


def trained(made: Any, intervals: int = 2, hyperparameters: Any = HYPERPARAMETERS, n: int = N) -> tuple[Any, Any]:
    state = made.init(np.arange(n), hyperparameters)
    for interval in range(1, intervals + 1):
        state = made.train_interval(state, hyperparameters, rng(interval, n))
    return state, made.evaluate(state, rng(intervals, n))


def alone(build: Any, place: int, intervals: int = 2) -> tuple[Any, float]:
    """The loop as one writes it for one member."""
    torch.manual_seed(place)
    net = build()
    lr, momentum = (float(HYPERPARAMETERS[name][place]) for name in ("lr", "momentum"))
    optimizer = torch.optim.SGD([one for one in net.parameters() if one.requires_grad], lr=lr, momentum=momentum)
    for interval in range(1, intervals + 1):
        net.train()
        order = torch.randperm(50, generator=Rng(Keys(seed=0, member=place, interval=interval), "train").torch())
        for rows in order.split(16):
            optimizer.zero_grad()
            F.cross_entropy(net(DATA[rows]), LABELS[rows]).backward()
            optimizer.step()
    net.eval()
    with torch.no_grad():
        return net, float(F.cross_entropy(net(DATA), LABELS))


class Normed(nn.Module):
    """Convolution, both kinds of norms, a frozen layer, tied weights, and a buffer that is bound anew."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 4, 3)
        self.batch = nn.BatchNorm1d(4)
        self.group = nn.GroupNorm(2, 4)
        self.frozen = nn.Linear(16, 6)
        for parameter in self.frozen.parameters():
            parameter.requires_grad_(False)
        self.first = nn.Linear(6, 6)
        self.second = nn.Linear(6, 6)
        self.second.weight = self.first.weight
        self.out = nn.Linear(6, 3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Any) -> Any:
        if self.training:
            self.calls = self.calls + 1
        x = self.group(self.batch(self.conv(x[:, None]))).flatten(1)
        x = self.frozen(x)
        return self.out(self.second(F.gelu(self.first(x))))


@pytest.mark.parametrize("mode", ["traced", "eager"])
@pytest.mark.parametrize("build", [mlp, Normed])
def test_each_member_is_trained_as_if_alone(build: Any, mode: Any) -> None:
    state, (scores, metrics) = trained(task(build, mode=mode))
    for place in range(N):
        net, score = alone(build, place)
        for name, value in {**dict(net.named_parameters()), **dict(net.named_buffers())}.items():
            held = {**state["parameters"], **state["buffers"]}[name][place]
            torch.testing.assert_close(held, value.detach(), rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
        assert float(scores[place]) == pytest.approx(score, rel=1e-4)
        assert 0.0 <= float(metrics["accuracy"][place]) <= 1.0


def test_compiled_gives_what_eager_gives() -> None:
    whole = wt.Batches(DATA, LABELS, size=50)  # one shape, since a program takes some seconds to compile
    try:
        _, (compiled, _) = trained(task(mode="compiled", batches=whole))
    except MissingExtra as error:
        pytest.skip(str(error))
    _, (eager, _) = trained(task(mode="eager", batches=whole))
    torch.testing.assert_close(compiled, eager, rtol=1e-4, atol=1e-5)


def test_one_member_is_trained_as_among_others() -> None:
    whole, _ = trained(task())
    part = task()
    one = {name: column[2:] for name, column in HYPERPARAMETERS.items()}
    state = part.init(np.array([2]), one)
    for interval in (1, 2):
        state = part.train_interval(state, one, rng(interval, 1, first=2))
    for name, value in state["parameters"].items():
        torch.testing.assert_close(value[0], whole["parameters"][name][2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", ["traced", "eager"])
def test_dropout_differs_per_member_and_step_and_repeats(mode: Any) -> None:
    class Masks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(200))
            self.dropout = nn.Dropout(0.5)

        def forward(self, x: Any) -> Any:
            return self.dropout(torch.ones(200)) * self.weight

    same = {"lr": np.full(N, 1.0)}
    made = [
        task(
            Masks,
            mode=mode,
            loss=lambda net, batch: net(batch[0]).sum(),
            optimizer=wt.SGD(lr="lr"),
            evaluate=lambda net: net(DATA).sum(),
        )
        for _ in range(2)
    ]
    state, (scores, _) = trained(made[0], 1, same)
    weights = state["parameters"]["weight"]
    assert len({tuple(one.tolist()) for one in weights}) == N
    assert len(weights[0].unique()) > 2  # four steps of one mask would give 0 and -8
    torch.testing.assert_close(scores, weights.sum(1))  # in eval mode nothing is dropped
    again, _ = trained(made[1], 1, same)
    assert torch.equal(again["parameters"]["weight"], weights)
    warm, _ = trained(made[0], 1, same)  # its program is there already, and draws no more than the first did
    assert torch.equal(warm["parameters"]["weight"], weights)


def test_a_hyperparameter_can_be_read_in_the_loss() -> None:
    def smoothed(net: Any, batch: Any) -> Any:
        return net["loss.scale"] * net(batch[0]).mean()

    made = task(loss=smoothed, optimizer=wt.SGD(lr=0.1))
    still = {"loss": {"scale": np.array([0.0, 1.0, 2.0])}}
    before = made.init(np.arange(N), still)
    bias = before["parameters"]["2.bias"].clone()
    after = made.train_interval(before, still, rng(1))["parameters"]["2.bias"]
    steps = (bias - after)[:, 0]
    torch.testing.assert_close(steps, steps[1] * torch.tensor([0.0, 1.0, 2.0]), rtol=1e-4, atol=1e-7)


def test_a_mutation_makes_no_new_program(monkeypatch: pytest.MonkeyPatch) -> None:
    import warren.torch.program as program

    calls: list[int] = []
    original = program.traced
    monkeypatch.setattr(program, "traced", lambda *args: calls.append(1) or original(*args))
    made = task()
    state = made.init(np.arange(N), HYPERPARAMETERS)
    for interval in (1, 2, 3):
        values = {name: column * 0.9**interval for name, column in HYPERPARAMETERS.items()}
        state = made.train_interval(state, values, rng(interval))
    assert len(calls) == 2  # batches of 16, and the last one of 2


def test_shared_batches_are_the_same_for_all_and_differ_by_interval() -> None:
    feed = wt.SharedBatches(DATA, LABELS, size=16)
    first, again, second = (list(feed.batches(rng(1), interval)) for interval in (0, 0, 1))
    assert [tuple(batch[0].shape) for batch in first] == [(16, 6)] * 3 + [(2, 6)]
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0][0], second[0][0])
    _, (scores, _) = trained(task(batches=feed))
    assert scores.shape == (N,) and len(set(scores.tolist())) == N


def test_batches_are_each_members_own_order() -> None:
    batches = list(wt.Batches(np.arange(10), size=4).batches(rng(1), 0))
    rows = torch.cat([batch[0] for batch in batches], dim=1)
    assert rows.shape == (N, 10)
    for place in range(N):
        order = torch.randperm(10, generator=Rng(Keys(seed=0, member=place, interval=1), "train").torch())
        assert torch.equal(rows[place], order)
    many = list(wt.Batches(np.arange(10), size=4, steps=6).batches(rng(1), 0))
    assert [batch[0].shape for batch in many] == [(N, 4)] * 6
    assert sorted(torch.cat([b[0][0] for b in many])[:20].tolist()) == sorted([*range(10), *range(10)])


def test_the_task_travels_to_other_processes_after_training() -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    made = task()
    fresh = len(cloudpickle.dumps(made))
    _, (scores, _) = trained(made)
    sent = cloudpickle.dumps(made)
    assert len(sent) == fresh  # its parts, without programs and copies of the data
    _, (elsewhere, _) = trained(pickle.loads(sent))
    assert torch.equal(scores, elsewhere)


def test_the_users_generator_is_left_alone_by_building() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    task().init(np.arange(N), HYPERPARAMETERS)
    assert torch.equal(torch.rand(3), expected)


class Reads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 3)
        self.gate = Gate()

    def forward(self, x: Any) -> Any:
        return self.gate(self.inner(x))


class Gate(nn.Module):
    def forward(self, x: Any) -> Any:
        return x if x.sum() > 0 else -x


def cumulative() -> Any:
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8, momentum=None), nn.Linear(8, 3))


class Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 3)
        self.inner.seen = 0

    def forward(self, x: Any) -> Any:
        self.inner.seen += 1
        return self.inner(x)


class Chance(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        return self.inner(x) * random.random()


@pytest.mark.parametrize(
    "build, told",
    [
        (Reads, r"the module 'gate' \(Gate\) cannot be run for all members at once: an if or while depends"),
        (cumulative, r"the module '1' \(BatchNorm1d\) cannot be run for all members at once: \.item\(\)"),
        (Counts, "changes 'inner.seen' of the module"),
        (Chance, "draws from Python's or NumPy's generator"),
    ],
)
def test_what_cannot_be_run_for_all_names_its_place_and_the_way_out(build: Any, told: str) -> None:
    with pytest.raises(InvalidValue, match=told) as caught:
        trained(task(build))
    assert "engine='processes'" in str(caught.value) or "mode='eager'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_only_tracing_refuses_runs_eagerly() -> None:
    for build in (Counts, Chance):
        _, (scores, _) = trained(task(build, mode="eager"))
        assert torch.isfinite(scores).all()


@pytest.mark.parametrize(
    "changed, error, told",
    [
        ({"optimizer": torch.optim.SGD}, InvalidType, "optimizer must be one of warren.torch's"),
        ({"batches": [DATA]}, InvalidType, "batches must be warren.torch.Batches"),
        ({"loss": None}, InvalidType, "loss must be a function"),
        ({"mode": "fast"}, InvalidValue, "must be one of 'traced', 'eager', 'compiled'"),
        ({"device": "cuda:77"}, InvalidValue, "device 'cuda:77' is not there; torch has cpu"),
        ({"device": "nowhere"}, InvalidValue, "device 'nowhere' is not there"),
    ],
)
def test_a_bad_part_is_told_in_one_line(changed: Any, error: Any, told: str) -> None:
    with pytest.raises(error) as caught:
        task(**changed)
    assert told in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changed, error, told",
    [
        ({"build": lambda: nn.LazyLinear(3)}, InvalidType, "'weight' has no shape yet"),
        ({"build": lambda: nn.ReLU()}, InvalidValue, "has no parameters to train"),
        ({"build": lambda: 3}, InvalidType, "build must return a torch.nn.Module"),
        (
            {"loss": lambda net, batch: net(batch[0])},
            InvalidType,
            "a tensor without axes, but got a tensor of shape (16",
        ),
        ({"loss": lambda net, batch: net["rate"] * 1.0}, UnknownName, "no hyperparameter 'rate'; the space has lr"),
        ({"evaluate": lambda net: net["lr"]}, UnknownName, "evaluate judges the net alone"),
        ({"evaluate": lambda net: net(DATA).sum().item()}, InvalidValue, ".item()"),
    ],
)
def test_a_part_that_fails_is_told_in_one_line(changed: Any, error: Any, told: str) -> None:
    with pytest.raises(error) as caught:
        trained(task(**changed))
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_members_of_different_shapes_are_told() -> None:
    widths = iter([4, 5, 6])
    with pytest.raises(InvalidValue, match="'weight' in another shape or type for another member"):
        task(lambda: nn.Linear(6, next(widths))).init(np.arange(N), HYPERPARAMETERS)


def test_an_error_of_the_users_own_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError, match="size"):
        trained(task(lambda: nn.Linear(7, 3)))


def test_the_data_are_told_where_they_do_not_fit() -> None:
    with pytest.raises(InvalidValue, match="as many rows, but they have 50, 49"):
        wt.Batches(DATA, LABELS[:49], size=4)
    with pytest.raises(InvalidValue, match=r"Batches\(size=0\)"):
        wt.Batches(DATA, size=0)
    with pytest.raises(InvalidType, match="first axis of examples"):
        wt.SharedBatches(size=4)


def test_a_module_of_the_population_can_be_taken_out() -> None:
    state, (scores, _) = trained(task())
    net = mlp()
    net.load_state_dict({name: value[1] for name, value in {**state["parameters"], **state["buffers"]}.items()})
    with torch.no_grad():
        assert float(F.cross_entropy(net(DATA), LABELS)) == pytest.approx(float(scores[1]), rel=1e-5)
