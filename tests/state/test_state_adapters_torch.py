from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from warren.errors import StateError  # noqa: E402
from warren.state import adapt, decode, encode  # noqa: E402


def through_bytes(tree: Any) -> Any:
    return decode(bytearray(encode(tree).tobytes()))


class Net(torch.nn.Module):
    def __init__(self, seed: int = 0, width: int = 4) -> None:
        super().__init__()
        torch.default_generator.manual_seed(seed)
        self.conv = torch.nn.Conv2d(3, width, 3)
        self.norm = torch.nn.BatchNorm2d(width)
        self.head = torch.nn.Linear(width, width, bias=False)
        self.tied = torch.nn.Linear(width, width, bias=False)
        self.tied.weight = self.head.weight
        self.calls: list[int] = []

    def forward(self, x: Any) -> Any:
        return self.tied(self.head(torch.relu(self.norm(self.conv(x))).mean((2, 3))))

    def get_extra_state(self) -> Any:
        return {"calls": self.calls, "table": torch.ones(2)}

    def set_extra_state(self, state: Any) -> None:
        self.calls, self.table = state["calls"], state["table"]


def states_equal(one: Any, two: Any) -> bool:
    return encode(one).tobytes() == encode(two).tobytes()


@pytest.mark.parametrize("channels_last", [False, True])
def test_modules_are_loaded_in_place(channels_last: bool) -> None:
    donor, net = Net(1), Net(2)
    if channels_last:
        donor, net = donor.to(memory_format=torch.channels_last), net.to(memory_format=torch.channels_last)
    donor(torch.randn(2, 3, 8, 8)).sum()
    donor.calls.append(5)
    adapter = adapt("net", net)
    tree = through_bytes(adapt("net", donor).capture())
    before = {key: value.data_ptr() for key, value in net.state_dict().items() if key != "_extra_state"}
    strides = {key: value.stride() for key, value in net.named_parameters()}
    adapter.restore(tree)
    assert before == {key: v.data_ptr() for key, v in net.state_dict().items() if key != "_extra_state"}
    assert strides == {key: value.stride() for key, value in net.named_parameters()}
    assert net.tied.weight is net.head.weight
    assert net.conv.weight.requires_grad
    assert states_equal(adapter.capture(), adapt("net", donor).capture())
    net.calls.append(6)
    net.table.zero_()
    assert tree["_extra_state"]["calls"] == [5] and tree["_extra_state"]["table"].sum() == 2


def test_names_in_the_file_are_those_of_the_module_and_tied_weights_are_one() -> None:
    library = pytest.importorskip("safetensors.torch")
    loaded = library.load(encode({"net": adapt("net", Net()).capture()}).tobytes())
    assert "net.conv.weight" in loaded and "net.norm.running_mean" in loaded and "net.head.weight" in loaded
    assert "net.tied.weight" not in loaded


def test_versions_of_modules_are_kept() -> None:
    tree = through_bytes(adapt("net", Net()).capture())
    assert tree["_metadata"] == {"norm": {"version": 2}}
    seen = []

    class Watching(torch.nn.BatchNorm2d):
        def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: Any, *rest: Any) -> None:
            seen.append(local_metadata["version"])
            super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    net = Net()
    net.norm = Watching(4)
    adapt("net", net).restore(tree)
    assert seen == [2]


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (
            lambda: Net(width=5),
            r"^net: the stored state does not fit this Net: size mismatch for conv.weight.*rebuild",
        ),
        (lambda: torch.nn.Linear(2, 2), r"^net: .*Missing key.*conv.weight"),
    ],
)
def test_a_module_of_another_shape_is_refused(other: Any, says: str) -> None:
    tree = through_bytes(adapt("net", other()).capture())
    tree.setdefault("_extra_state", {"calls": [], "table": None})
    with pytest.raises(StateError, match=says) as caught:
        adapt("net", Net()).restore(tree)
    assert "\n" not in str(caught.value)


def test_a_module_refuses_what_is_not_a_dict() -> None:
    with pytest.raises(StateError, match=r"^net: the stored state is a list"):
        adapt("net", Net()).restore([1])


def test_a_module_with_a_load_state_dict_of_its_own_gets_copies() -> None:
    class Keeping(torch.nn.Linear):
        def load_state_dict(self, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
            self.kept = state_dict["weight"]
            return super().load_state_dict(state_dict, *args, **kwargs)

    net = Keeping(2, 2)
    tree = through_bytes(adapt("net", net).capture())
    adapt("net", net).restore(tree)
    assert net.kept.data_ptr() != tree["weight"].data_ptr()


def test_lazy_modules_are_named() -> None:
    with pytest.raises(StateError, match=r"state at 'net\.weight': a lazy parameter has no shape yet"):
        encode({"net": adapt("net", torch.nn.LazyLinear(3)).capture()})


@pytest.mark.parametrize("parameter", [False, True])
def test_tensors_are_written_in_place(parameter: bool) -> None:
    tensor = torch.nn.Parameter(torch.arange(3.0)) if parameter else torch.arange(3.0)
    adapter = adapt("log_alpha", tensor)
    tree = through_bytes(adapter.capture())
    place = tensor.data_ptr()
    with torch.no_grad():
        tensor.fill_(7.0)
    adapter.restore(tree)
    assert tensor.data_ptr() == place and tensor.tolist() == [0.0, 1.0, 2.0]
    assert tensor.requires_grad == parameter and tensor.grad_fn is None
    for other in (torch.zeros(1), torch.zeros(()), np.zeros(3)):
        with pytest.raises(StateError, match=r"^log_alpha: the tensor has shape \[3\]"):
            adapter.restore(other)


def test_generators() -> None:
    generator = torch.Generator().manual_seed(3)
    adapter = adapt("rng", generator)
    tree = through_bytes(adapter.capture())
    expected = torch.rand(5, generator=generator)
    adapter.restore(tree)
    assert torch.equal(torch.rand(5, generator=generator), expected)
    with pytest.raises(StateError, match=r"^rng: the stored state is not one of a torch.Generator on cpu"):
        adapter.restore(torch.zeros(3, dtype=torch.uint8))


def build(seed: int, kind: str) -> tuple[Any, Any]:
    torch.default_generator.manual_seed(seed)
    net = torch.nn.Sequential(OrderedDict(a=torch.nn.Linear(3, 4), b=torch.nn.Linear(4, 1)))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1 * (seed + 1), momentum=0.9)
    return net, (optimizer, SCHEDULERS[kind](optimizer))


def warm_then_step(optimizer: Any) -> Any:
    schedulers = torch.optim.lr_scheduler
    return schedulers.SequentialLR(
        optimizer, [schedulers.LinearLR(optimizer, 0.1, total_iters=3), schedulers.StepLR(optimizer, 2)], [3]
    )


SCHEDULERS = {
    "step": lambda o: torch.optim.lr_scheduler.StepLR(o, 2),
    "multi_step": lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [2, 4, 4]),
    "lambda": lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda epoch: 0.9**epoch),
    "one_cycle": lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 1.0, total_steps=20),
    "sequential": warm_then_step,
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 3),
    "plateau": lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, patience=0),
}


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_schedulers(kind: str) -> None:
    def train(net: Any, optimizer: Any, scheduler: Any, steps: int) -> list[float]:
        rates = []
        for step in range(steps):
            optimizer.zero_grad()
            net(torch.full((2, 3), float(step))).sum().backward()
            optimizer.step()
            scheduler.step(*([float(step % 2)] if kind == "plateau" else []))
            rates.append(optimizer.param_groups[0]["lr"])
        return rates

    net, (optimizer, scheduler) = build(0, kind)
    train(net, optimizer, scheduler, 3)
    objects = {"net": net, "optimizer": optimizer, "scheduler": scheduler}
    content = bytearray(encode({name: adapt(name, obj).capture() for name, obj in objects.items()}).tobytes())
    other, (other_optimizer, other_scheduler) = build(1, kind)
    tree = decode(content)
    for name, obj in {"net": other, "optimizer": other_optimizer, "scheduler": other_scheduler}.items():
        adapt(name, obj).restore(tree[name])
    assert train(net, optimizer, scheduler, 6) == train(other, other_optimizer, other_scheduler, 6)
    assert states_equal(scheduler.state_dict(), other_scheduler.state_dict())
    assert states_equal(net.state_dict(), other.state_dict())
    assert encode(decode(content)).tobytes() == content


def test_averages() -> None:
    net = torch.nn.Linear(2, 2)
    average = torch.optim.swa_utils.AveragedModel(net)
    average.update_parameters(net)
    tree = through_bytes(adapt("ema", average).capture())
    other = torch.optim.swa_utils.AveragedModel(torch.nn.Linear(2, 2))
    adapt("ema", other).restore(tree)
    assert states_equal(other.state_dict(), average.state_dict())


def test_scalers() -> None:
    if not hasattr(torch.amp, "GradScaler"):
        pytest.skip("this torch has no scaler for the CPU")
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    tree = through_bytes(adapt("scaler", scaler).capture())
    fresh = torch.amp.GradScaler("cpu")
    adapt("scaler", fresh).restore(tree)
    assert fresh.state_dict() == scaler.state_dict()
