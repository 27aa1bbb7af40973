from __future__ import annotations

import sys
from contextlib import contextmanager

import numpy as np
import pytest

pytest.importorskip("sklearn")

import warren
from warren.errors import InvalidValue, MissingExtra, RunMismatch
from warren.population import Keys
from warren.strategies import PBT, RandomSearch
from warren.training import Rng
from warren.zoo.digits import command, data
from warren.zoo.digits.mlp import Mlp, run_mlp, space


class Live:
    """Counts what a live view would show."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.closed = False

    @contextmanager
    def __call__(self):
        yield lambda result: self.seen.append(result.run.total)
        self.closed = True


def test_the_parts_are_apart_and_alike():
    parts = data.digits()
    sizes = [len(part.labels) for part in (parts.train, parts.validation, parts.test)]
    assert sizes == [1077, 360, 360]
    images = np.concatenate([part.images for part in (parts.train, parts.validation, parts.test)])
    assert images.dtype == np.float32 and images.shape == (1797, 8, 8)
    assert images.min() == 0 and images.max() == 1
    for part in (parts.train, parts.validation, parts.test):
        shares = np.bincount(part.labels, minlength=10) / len(part.labels)
        assert np.all(np.abs(shares - 0.1) < 0.01)
    everything = sorted(image.tobytes() for image in images)
    raw = pytest.importorskip("sklearn.datasets").load_digits().images / 16
    assert everything == sorted(image.astype(np.float32).tobytes() for image in raw)  # each image once


def test_the_split_is_fixed_and_can_be_another():
    assert np.array_equal(data.digits(0).test.images, data.digits.__wrapped__(0).test.images)
    assert not np.array_equal(data.digits(0).test.images, data.digits(1).test.images)


def test_mnist_is_used_only_where_it_is_on_disk(tmp_path, monkeypatch):
    monkeypatch.setenv(data.MNIST_ROOT, str(tmp_path))
    try:
        import torchvision  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtra, match="pip install torchvision"):
            data.mnist()
    else:
        with pytest.raises(InvalidValue, match="MNIST is not on disk"):
            data.mnist()
    assert not list(tmp_path.iterdir())


def test_mnist_that_is_missing_is_one_line(tmp_path, monkeypatch):
    class Absent:
        def __init__(self, root: str, *, train: bool, download: bool) -> None:
            assert not download
            raise RuntimeError("Dataset not found. You can use download=True to download it")

    monkeypatch.setenv(data.MNIST_ROOT, str(tmp_path))
    monkeypatch.setitem(sys.modules, "torchvision", type(sys)("torchvision"))
    stand_in = type(sys)("torchvision.datasets")
    stand_in.MNIST = Absent
    monkeypatch.setitem(sys.modules, "torchvision.datasets", stand_in)
    with pytest.raises(InvalidValue, match=f"not on disk in {tmp_path}.*--root") as caught:
        data.mnist()
    assert "\n" not in str(caught.value)


# -- the MLP of the studies ---------------------------------------------------------------------------------------


def test_the_gradient_of_the_mlp_is_that_of_its_loss():
    mlp, part = Mlp(), data.digits().train
    hyperparameters = {"lr": 1e-3, "momentum": 0.0, "weight_decay": 0.0}
    from warren.zoo.digits.mlp import _gradient, measured

    weights = {name: value.astype(np.float64) for name, value in mlp.init(0, hyperparameters)["weights"].items()}
    some = data.Part(images=part.images[:20].astype(np.float64), labels=part.labels[:20])
    gradient = _gradient(weights, some.images.reshape(-1, 64), some.labels)
    generator = np.random.default_rng(0)
    for name, weight in weights.items():
        place = tuple(int(generator.integers(n)) for n in weight.shape)
        ends = []
        for step in (1e-6, -1e-6):
            moved = {key: value.copy() for key, value in weights.items()}
            moved[name][place] += step
            ends.append(measured(moved, some)[0])
        assert gradient[name][place] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-3, abs=1e-7)


def test_the_mlp_steps_as_torch_does():
    torch = pytest.importorskip("torch")
    mlp, part = Mlp(batch=1077), data.digits().train  # a pass is one step
    hyperparameters = {"lr": 0.3, "momentum": 0.9, "weight_decay": 0.01}
    state = mlp.init(0, hyperparameters)
    tensors = {name: torch.tensor(value, requires_grad=True) for name, value in state["weights"].items()}
    optimizer = torch.optim.SGD(tensors.values(), lr=0.3, momentum=0.9, weight_decay=0.01)
    x, y = torch.from_numpy(part.images.reshape(-1, 64)), torch.from_numpy(part.labels)
    for interval in range(3):
        state = mlp.train_interval(state, hyperparameters, Rng(Keys(seed=0, member=0, interval=interval), "test"))
        optimizer.zero_grad()
        logits = torch.relu(x @ tensors["w1"] + tensors["b1"]) @ tensors["w2"] + tensors["b2"]
        torch.nn.functional.cross_entropy(logits, y).backward()
        optimizer.step()
    for name, tensor in tensors.items():
        assert np.allclose(state["weights"][name], tensor.detach().numpy(), atol=1e-5)


def test_a_pair_begins_alike():
    def first(strategy):
        result = warren.run(
            Mlp(split=2).task(), space=space(), goal="min", population=3, intervals=1, seed=2, strategy=strategy
        )
        return result.digest, [row.hyperparameters for row in result.intervals]

    assert first(PBT()) == first(RandomSearch())


def test_the_mlp_learns():
    best = run_mlp(0, PBT(), population=4, intervals=8)
    assert best.metrics["accuracy"] > 0.9
    assert best.held_out == best.metrics["test"] > 0.9


def test_an_mlp_that_diverges_is_no_fault():
    result = warren.run(
        Mlp().task(),
        space={**space(), "lr": warren.Float(1e-3, 1e12, scale="log")},
        goal="min",
        population=3,
        intervals=4,
        initial=[{"lr": 1e12}, {"lr": 0.05}, {"lr": 0.03}],
    )
    assert next(row.status for row in result.intervals if row.member == 0) == "diverged"
    assert result.best.metrics["accuracy"] > 0.5


# -- the demo -----------------------------------------------------------------------------------------------------


def demo(folder, *more: str, live: Live | None = None) -> int:
    arguments = ["--store", str(folder / "d" / "digits.db"), "--report", str(folder / "digits.html"), *more]
    return command.main(arguments, live=live or Live())


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A small run of the demo with two workers, whose pace decides nothing."""
    pytest.importorskip("torch")
    pytest.importorskip("plotly")
    folder, live = tmp_path_factory.mktemp("demo"), Live()
    assert demo(folder, "--population", "4", "--intervals", "4", "--synchronous", live=live) == 0
    return folder, live


def test_the_demo_trains_real_nets(ended):
    folder, live = ended
    result = warren.open_result(folder / "d" / "digits.db")
    assert result.run.status == "done" and result.run.total == 16
    # Selection never saw it, and it is far above the 10 % of chance.
    assert result.held_out == "test"
    assert result.final[0].held_out > 0.6
    assert result.cost.copies >= 1
    assert not result.warnings
    assert live.closed and live.seen[-1] == 16
    page = (folder / "digits.html").read_text(encoding="utf-8")
    assert "weight_decay" in page and 'src="http' not in page


def test_the_demo_goes_on_with_its_store(ended, capsys):
    folder, _ = ended
    assert demo(folder, "--population", "4", "--intervals", "5", "--workers", "1") == 0
    printed = capsys.readouterr().out
    assert "going on with the run in it; --fresh begins another" in printed
    assert "best of the whole run" in printed and "test, never selected on" in printed
    assert "PBT " in printed and "of workers' time" in printed and "digits.html" in printed
    result = warren.open_result(folder / "d" / "digits.db")
    assert result.run.total == 20
    for name in ("lr", "momentum", "weight_decay", "dropout"):
        assert name in printed
    for line in printed.splitlines():
        assert len(line) <= 120 or str(folder) in line


def test_other_settings_are_refused_with_the_way_out(ended):
    folder, _ = ended
    with pytest.raises(RunMismatch, match=r"seed was 0 and is 1 now.*--fresh"):
        demo(folder, "--population", "4", "--seed", "1")


def test_fresh_takes_another_file(ended):
    folder, _ = ended
    for number in (2, 3):
        assert demo(folder, "--population", "1", "--intervals", "1", "--workers", "1", "--fresh") == 0
        assert warren.open_result(folder / "d" / f"digits-{number}.db").run.total == 1
    assert len(warren.open_result(folder / "d" / "digits.db").members) == 4


def test_a_wrong_option_of_the_demo_is_said_in_one_line(tmp_path):
    with pytest.raises(InvalidValue, match="--population: '0' must be"):
        demo(tmp_path, "--population", "0")
    with pytest.raises(InvalidValue, match="--data"):
        demo(tmp_path, "--data", "imagenet")


def test_without_torch_the_demo_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "warren.zoo.digits.train", raising=False)
    with pytest.raises(MissingExtra, match=r'pip install "warren\[digits\]"'):
        demo(tmp_path)
    assert not list(tmp_path.iterdir())
