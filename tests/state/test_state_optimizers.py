from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from warren.errors import StateError  # noqa: E402
from warren.state import adapt, decode, encode  # noqa: E402

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "amsgrad": lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, foreach=False),
    "adam_tensor_lr": lambda p: torch.optim.Adam(p, lr=torch.tensor(0.01)),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.01),
    "lbfgs": lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=3, history_size=3),
}


def build(kind: str, seed: int, dtype: Any = None) -> tuple[Any, Any]:
    torch.default_generator.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(16, 2))
    if kind != "lbfgs":  # which refuses gradients that are not contiguous
        net = net.to(memory_format=torch.channels_last)
    net = net.to(dtype=dtype)
    return net, OPTIMIZERS[kind](net.parameters())


def train(net: Any, optimizer: Any, steps: int, first: int = 0) -> None:
    for step in range(first, first + steps):
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(5, 3, 4, 4, generator=generator).to(next(net.parameters()).dtype)

        def closure(x: Any = x) -> Any:
            optimizer.zero_grad()
            loss = net(x).square().mean()
            loss.backward()
            return loss

        optimizer.step(closure)


def tensors(value: Any) -> list[Any]:
    if isinstance(value, torch.Tensor):
        return [value]
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [tensor for child in children for tensor in tensors(child)]


def places(optimizer: Any) -> list[int]:
    return [tensor.data_ptr() for tensor in tensors(dict(optimizer.state))]


def store(net: Any, optimizer: Any) -> bytearray:
    tree = {"net": adapt("net", net).capture(), "optimizer": adapt("optimizer", optimizer).capture()}
    return bytearray(encode(tree).tobytes())


def restore(content: bytearray, net: Any, optimizer: Any) -> None:
    tree = decode(content)
    adapt("net", net).restore(tree["net"])
    adapt("optimizer", optimizer).restore(tree["optimizer"])


@pytest.mark.parametrize("other", ["fresh", "trained", "itself"])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_training_goes_on_as_if_nothing_had_happened(kind: str, other: str) -> None:
    net, optimizer = build(kind, 0)
    train(net, optimizer, 3)
    content = store(net, optimizer)
    before = bytes(content)
    if other == "itself":
        second, second_optimizer = build(kind, 0)
        train(second, second_optimizer, 3)
        train(second, second_optimizer, 2, first=50)
    else:
        second, second_optimizer = build(kind, 1)
        train(second, second_optimizer, 0 if other == "fresh" else 2, first=70)
    groups, dicts, state = (
        second_optimizer.param_groups,
        list(second_optimizer.param_groups),
        second_optimizer.state,
    )
    restore(content, second, second_optimizer)
    assert second_optimizer.param_groups is groups and second_optimizer.state is state
    assert all(one is two for one, two in zip(groups, dicts, strict=True))
    assert store(second, second_optimizer) == content
    train(net, optimizer, 4, first=3)
    train(second, second_optimizer, 4, first=3)
    assert store(second, second_optimizer) == store(net, optimizer)
    assert bytes(content) == before  # nothing of the optimizer lies over the buffer


@pytest.mark.parametrize("kind", sorted(set(OPTIMIZERS) - {"sgd", "lbfgs"}))
def test_state_is_written_in_place(kind: str) -> None:
    net, optimizer = build(kind, 0)
    train(net, optimizer, 3)
    content = store(net, optimizer)
    train(net, optimizer, 2, first=40)
    before, rate = places(optimizer), optimizer.param_groups[0]["lr"]
    assert before
    restore(content, net, optimizer)
    assert places(optimizer) == before
    assert store(net, optimizer) == content
    if isinstance(rate, torch.Tensor):
        assert optimizer.param_groups[0]["lr"] is rate


def test_state_made_anew_has_the_memory_format_of_its_parameter() -> None:
    net, optimizer = build("adam", 0)
    train(net, optimizer, 1)
    second, second_optimizer = build("adam", 1)
    restore(store(net, optimizer), second, second_optimizer)
    weight = second[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert second_optimizer.state[weight]["exp_avg"].stride() == weight.stride()


def test_float32_moments_of_bfloat16_weights_keep_their_bits() -> None:
    class Precise(torch.optim.Optimizer):
        def __init__(self, params: Any) -> None:
            super().__init__(params, {"lr": 0.1})

        @torch.no_grad()
        def step(self, closure: Any) -> None:  # type: ignore[override]
            with torch.enable_grad():
                closure()
            for group in self.param_groups:
                for p in group["params"]:
                    moment = self.state[p].setdefault("moment", torch.zeros(p.shape))
                    moment.mul_(0.9).add_(p.grad.float())
                    p.sub_(group["lr"] * moment.to(p.dtype))

    net, _ = build("sgd", 0, torch.bfloat16)
    optimizer = Precise(net.parameters())
    train(net, optimizer, 3)
    content = store(net, optimizer)
    second, _ = build("sgd", 1, torch.bfloat16)
    second_optimizer = Precise(second.parameters())
    restore(content, second, second_optimizer)
    assert {tensor.dtype for tensor in tensors(dict(second_optimizer.state))} == {torch.float32}
    assert store(second, second_optimizer) == content


def test_a_checkpoint_without_state_clears_it() -> None:
    net, optimizer = build("adam", 0)
    content = store(net, optimizer)
    train(net, optimizer, 2)
    restore(content, net, optimizer)
    assert not optimizer.state
    assert store(net, optimizer) == content


def test_state_of_parameters_that_the_donor_did_not_train_goes() -> None:
    net, optimizer = build("adam", 0)
    net[2].requires_grad_(False)
    train(net, optimizer, 2)
    content = store(net, optimizer)
    net[2].requires_grad_(True)
    train(net, optimizer, 2)
    before = optimizer.state[net[0].weight]["exp_avg"]
    restore(content, net, optimizer)
    assert store(net, optimizer) == content
    assert optimizer.state[net[0].weight]["exp_avg"] is before
    assert net[2].weight not in optimizer.state


def test_state_that_shares_memory_is_made_anew() -> None:
    net, optimizer = build("adam", 0)
    train(net, optimizer, 2)
    content = store(net, optimizer)
    state = optimizer.state[net[2].bias]
    state["exp_avg_sq"] = state["exp_avg"]
    restore(content, net, optimizer)
    assert store(net, optimizer) == content


def test_state_of_another_shape_is_made_anew() -> None:
    net, optimizer = build("adam", 0)
    train(net, optimizer, 2)
    content = store(net, optimizer)
    optimizer.state[net[2].bias]["exp_avg"] = torch.zeros(7)
    restore(content, net, optimizer)
    assert store(net, optimizer) == content


def test_state_made_anew_leaves_nothing_of_the_old() -> None:
    net, optimizer = build("adam", 0)
    net[2].requires_grad_(False)
    train(net, optimizer, 2)
    content = store(net, optimizer)
    second, second_optimizer = build("amsgrad", 1)
    train(second, second_optimizer, 1)
    restore(content, second, second_optimizer)
    assert set(second_optimizer.state) == {second[0].weight, second[0].bias}
    assert store(second, second_optimizer) == content


def test_state_of_another_type_is_made_anew() -> None:
    net, optimizer = build("adam", 0)
    train(net, optimizer, 2)
    content = store(net, optimizer)
    state = optimizer.state[net[2].bias]
    state["exp_avg"] = state["exp_avg"].half()
    restore(content, net, optimizer)
    assert store(net, optimizer) == content


def test_settings_of_groups_are_those_of_the_donor() -> None:
    net, optimizer = build("adam", 0)
    train(net, optimizer, 1)
    optimizer.param_groups[0].update(lr=0.5, betas=(0.1, 0.2), initial_lr=3.0)
    content = store(net, optimizer)
    for steps in (0, 1):
        second, second_optimizer = build("adam", 1)
        train(second, second_optimizer, steps)
        (group,) = second_optimizer.param_groups
        group["extra"] = 1
        params = group["params"]
        restore(content, second, second_optimizer)
        assert (group["lr"], group["betas"], group["initial_lr"]) == (0.5, (0.1, 0.2), 3.0)
        assert "extra" not in group and group["params"] is params


def test_names_of_parameters_stay() -> None:
    net, _ = build("adam", 0)
    try:
        optimizer = torch.optim.Adam(net.named_parameters())
    except TypeError:
        pytest.skip("this torch has no named parameters in optimizers")
    content = store(net, optimizer)
    restore(content, net, optimizer)
    assert optimizer.param_groups[0]["param_names"] == [name for name, _ in net.named_parameters()]


def test_state_that_belongs_to_no_parameter() -> None:
    net, optimizer = build("momentum", 0)
    train(net, optimizer, 1)
    optimizer.state["steps"] = {"count": 5, "seen": torch.ones(2)}
    content = store(net, optimizer)
    second, second_optimizer = build("momentum", 1)
    restore(content, second, second_optimizer)
    assert store(second, second_optimizer) == content
    seen = second_optimizer.state["steps"]["seen"]
    restore(content, second, second_optimizer)
    assert second_optimizer.state["steps"]["seen"] is seen


@pytest.mark.parametrize(
    ("params", "says"),
    [
        (lambda net: [{"params": [p]} for p in net.parameters()], "has 4 parameter groups.* stored state 1"),
        (lambda net: list(net.parameters())[:2], "group 0 has 2 parameters, and the stored state 4"),
    ],
)
def test_other_groups_are_refused_before_anything_changes(params: Any, says: str) -> None:
    net, optimizer = build("adam", 0)
    train(net, optimizer, 1)
    content = store(net, optimizer)
    other = torch.optim.Adam(params(net))
    train(net, other, 1)
    before = encode(other.state_dict()).tobytes()
    with pytest.raises(StateError, match=f"^optimizer: .*{says}"):
        adapt("optimizer", other).restore(decode(content)["optimizer"])
    assert encode(other.state_dict()).tobytes() == before


@pytest.mark.parametrize("tree", [None, {}, {"state": {}}, [1]])
def test_what_is_no_state_of_an_optimizer_is_refused(tree: Any) -> None:
    with pytest.raises(StateError, match=r"^optimizer: the stored state is not one of an optimizer"):
        adapt("optimizer", build("adam", 0)[1]).restore(tree)


def test_an_optimizer_with_a_load_state_dict_of_its_own_gets_copies() -> None:
    class Own(torch.optim.Adam):
        def load_state_dict(self, state_dict: Any) -> None:
            if "broken" in state_dict:
                raise ValueError("broken state")
            self.given = state_dict
            super().load_state_dict(state_dict)

    net, _ = build("adam", 0)
    optimizer = Own(net.parameters())
    train(net, optimizer, 2)
    content = store(net, optimizer)
    tree = decode(content)
    train(net, optimizer, 2)
    adapt("net", net).restore(tree["net"])
    adapt("optimizer", optimizer).restore(tree["optimizer"])
    assert store(net, optimizer) == content
    stored = {tensor.data_ptr() for tensor in tensors(tree["optimizer"])}
    assert not stored & {tensor.data_ptr() for tensor in tensors(optimizer.given)}
    with pytest.raises(StateError, match=r"^optimizer: load_state_dict\(\) of Own refused .*broken state"):
        adapt("optimizer", optimizer).restore({**tree["optimizer"], "broken": 1})


def test_hooks_are_run() -> None:
    net, optimizer = build("adam", 0)
    train(net, optimizer, 2)
    content = store(net, optimizer)
    seen = []
    optimizer.register_load_state_dict_post_hook(seen.append)
    restore(content, net, optimizer)
    assert seen == [optimizer]
    assert store(net, optimizer) == content


def test_loading_makes_no_second_copy_of_the_state() -> None:
    """Peak memory on a GPU; on the CPU the same code runs, and torch counts nothing there."""
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    net = torch.nn.Linear(2000, 2000, device="cuda")
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 2000, device="cuda")).sum().backward()
    optimizer.step()
    content = store(net, optimizer)
    torch.cuda.synchronize()
    start = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    restore(content, net, optimizer)
    assert torch.cuda.max_memory_allocated() - start < 2**20
