"""A task of torch's on one member, mapped over all, against the same functions called for each."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import pytest

from warren.errors import InvalidType, InvalidValue
from warren.population import Keys
from warren.stacked import Untraceable
from warren.state import decode
from warren.training import Rng, Task

torch = pytest.importorskip("torch")

from warren.stacked.torch import KIND, Draws, TorchLift  # noqa: E402 (it imports torch)

F = torch.nn.functional

N = 3
DATA = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
TARGET = DATA.sum(1).sin()
VALUES = {"opt.lr": np.array([0.1, 0.01, 0.05]), "steps": np.array([1, 2, 3])}

Moments = namedtuple("Moments", "mean count")


def predict(weights: Any, x: Any) -> Any:
    return (x @ weights["w"] + weights["b"]).squeeze(-1)


def init(seed: int, hyperparameters: Any) -> Any:
    generator = torch.Generator().manual_seed(seed)
    return {
        "weights": {"w": torch.randn(4, 1, generator=generator), "b": torch.zeros(1)},
        "moments": Moments(torch.zeros(4, 1), 0),
        "history": [0.1, (True, None)],
        "name": "net",
        "numpy": np.zeros(2, np.float32),
    }


def train_interval(state: Any, hyperparameters: Any, rng: Any) -> Any:
    draws = Draws(rng)
    weights, moments = state["weights"], state["moments"]
    for rows in draws.permutation(40).split(20):
        gradient = torch.func.grad(lambda w, rows=rows: ((predict(w, DATA[rows]) - TARGET[rows]) ** 2).mean())(weights)
        noise = draws.normal(4, 1) * 0.01
        mean = 0.9 * moments.mean + gradient["w"] + noise
        moments = Moments(mean, moments.count + 1)
        lr = hyperparameters["opt"]["lr"]
        weights = {"w": weights["w"] - lr * mean, "b": weights["b"] - lr * gradient["b"]}
    last, (flag, nothing) = state["history"]
    return {
        **state,
        "weights": weights,
        "moments": moments,
        "history": [last * 0.5 + 0.25, (flag, nothing)],
        "numpy": state["numpy"] + hyperparameters["steps"],
    }


def evaluate(state: Any, rng: Any) -> Any:
    noise = Draws(rng).uniform()
    loss = ((predict(state["weights"], DATA) - TARGET) ** 2).mean()
    return loss, {"noise": noise, "count": state["moments"].count}


TASK = Task(init=init, train_interval=train_interval, evaluate=evaluate)


def keys(intervals: int, first: int = 1) -> Any:
    return [
        [
            tuple(Rng(Keys(seed=3, member=place, interval=interval), what) for what in ("train", "evaluate"))
            for place in range(N)
        ]
        for interval in range(first, first + intervals)
    ]


def lifted(task: Any = TASK) -> TorchLift:
    return TorchLift(task, task.init(0, {"opt": {"lr": 0.1}, "steps": 1}))


def rows() -> list[dict[str, Any]]:
    return [{name: column[place].item() for name, column in VALUES.items()} for place in range(N)]


def alone(intervals: int) -> tuple[list[Any], Any]:
    states, scores = [], np.zeros((intervals, N, 3))
    for place, row in enumerate(rows()):
        nested = {"opt": {"lr": row["opt.lr"]}, "steps": row["steps"]}
        state = init(place, nested)
        for k, interval in enumerate(keys(intervals)):
            state = train_interval(state, nested, interval[place][0])
            score, metrics = evaluate(state, interval[place][1])
            scores[k, place] = float(score), float(metrics["noise"]), float(metrics["count"])
        states.append(state)
    return states, scores


def trees(lift: Any, state: Any, n: int = N) -> list[Any]:
    """Each member's state as it is stored and loaded again."""
    encoded = lift.picture(state)().encoded(range(n), [{}] * n)
    return [decode(bytearray(one.tobytes()))["state"] for one in encoded]


def test_all_members_at_once_are_trained_as_each_alone() -> None:
    lift = lifted()
    state, pending = lift.train(lift.init(range(N), rows()), VALUES, keys(3))
    outcome = pending()
    states, scores = alone(3)
    assert outcome.scores.dtype == np.float64
    np.testing.assert_allclose(outcome.scores, scores[..., 0], rtol=1e-5)
    np.testing.assert_allclose(outcome.metrics["noise"], scores[..., 1], rtol=0)
    np.testing.assert_array_equal(outcome.metrics["count"], scores[..., 2])
    for tree, wanted in zip(trees(lift, state), states, strict=True):
        torch.testing.assert_close(tree["weights"], wanted["weights"], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(tree["moments"].mean, wanted["moments"].mean, rtol=1e-5, atol=1e-6)
        assert isinstance(tree["numpy"], np.ndarray)
        np.testing.assert_allclose(tree["numpy"], wanted["numpy"])


def test_numbers_and_containers_come_back_as_what_they_were() -> None:
    lift = lifted()
    state, _ = lift.train(lift.init(range(N), rows()), VALUES, keys(2))
    wanted, _ = alone(2)
    for tree in [trees(lift, state)[1], lift.member(state, 1)]:
        assert type(tree["moments"]) is Moments
        assert type(tree["moments"].count) is int and tree["moments"].count == 4
        assert tree["history"] == wanted[1]["history"]  # to the last digit: Python's floats are not narrowed
        assert type(tree["history"][0]) is float and tree["history"][1] == (True, None)
        assert tree["name"] == "net"


def test_a_stretch_is_its_intervals_and_a_state_survives_its_trees() -> None:
    lift = lifted()
    whole, _ = lift.train(lift.init(range(N), rows()), VALUES, keys(4))
    part, _ = lift.train(lift.init(range(N), rows()), VALUES, keys(2))
    stored = lift.stack(trees(lift, part))
    part, _ = lift.train(stored, VALUES, keys(2, first=3))
    for a, b in zip(trees(lift, whole), trees(lift, part), strict=True):
        assert torch.equal(a["weights"]["w"], b["weights"]["w"])


def test_take_and_put_move_members_and_leave_the_source() -> None:
    lift = lifted()
    state = lift.init(range(N), rows())
    before = trees(lift, state)
    taken = lift.take(state, np.array([2, 2, 0]))
    for tree, donor in zip(trees(lift, taken, 3), [2, 2, 0], strict=True):
        assert torch.equal(tree["weights"]["w"], before[donor]["weights"]["w"])
    put = lift.put(taken, np.array([1]), lift.take(state, np.array([1])))
    assert torch.equal(lift.member(put, 1)["weights"]["w"], before[1]["weights"]["w"])
    assert torch.equal(trees(lift, state)[2]["weights"]["w"], before[2]["weights"]["w"])


def test_a_picture_stays_as_it_was_when_the_tensor_is_written() -> None:
    leaf = torch.zeros(N, 2)
    picture = KIND.picture(leaf)
    leaf += 1
    assert (picture().array == 0).all()
    member = KIND.member(leaf, 0)
    leaf += 1
    assert (member == 1).all()


def test_draws_are_those_of_the_members_generator_alone_and_mapped() -> None:
    def drawn(rng: Any) -> Any:
        draws = Draws(rng)
        return draws.permutation(5), draws.normal(2, 3), draws.uniform(2), draws.integers(3, 9, 4)

    rngs = [Rng(Keys(seed=0, member=place, interval=1), "train") for place in range(N)]
    singles = [drawn(one) for one in rngs]
    for one, rng in zip(singles, rngs, strict=True):
        generator = rng.torch()
        wanted = (
            torch.randperm(5, generator=generator),
            torch.randn(2, 3, generator=generator),
            torch.rand(2, generator=generator),
            torch.randint(3, 9, (4,), generator=generator),
        )
        assert all(torch.equal(a, b) for a, b in zip(one, wanted, strict=True))

    class Mapped:
        def __init__(self, seed: Any) -> None:
            self.seed = seed

    seeds = torch.tensor([one.seed for one in rngs])
    together = torch.func.vmap(lambda seed: drawn(Mapped(seed)))(seeds)
    for place, one in enumerate(singles):
        assert all(torch.equal(column[place], alone) for column, alone in zip(together, one, strict=True))


def test_draws_can_stand_inside_a_gradient() -> None:
    def gradient(x: Any, rng: Any) -> Any:
        return torch.func.grad(lambda y: (y * Draws(rng).normal(3)).sum())(x)

    rng = Rng(Keys(seed=0, member=0, interval=1), "train")
    assert torch.equal(gradient(torch.ones(3), rng), torch.randn(3, generator=rng.torch()))


def test_torchs_own_dropout_differs_per_member_and_repeats() -> None:
    def dropped(state: Any, hyperparameters: Any, rng: Any) -> Any:
        return {"w": F.dropout(torch.ones(64))}

    task = Task(init=lambda seed, h: {"w": torch.zeros(64)}, train_interval=dropped, evaluate=lambda s, r: s["w"].sum())
    lift = TorchLift(task, task.init(0, {}))
    found = []
    for seed in (1, 2):
        state = lift.init(range(N), rows())
        torch.manual_seed(seed)  # whatever was drawn before
        found.append(trees(lift, lift.train(state, {}, keys(2))[0]))
    assert len({tuple(tree["w"].tolist()) for tree in found[0]}) == N
    assert all(torch.equal(a["w"], b["w"]) for a, b in zip(*found, strict=True))


def step(function: Any) -> Any:
    return Task(
        init=lambda seed, h: {"w": torch.ones(2)}, train_interval=function, evaluate=lambda s, rng: s["w"].sum()
    )


@pytest.mark.parametrize(
    "task, error, told",
    [
        (step(lambda s, h, rng: {"w": s["w"] * s["w"].sum().item()}), Untraceable, ".item()"),
        (
            step(lambda s, h, rng: s if s["w"].sum() > 0 else {"w": s["w"] + 1}),
            Untraceable,
            "an if or while depends on a tensor's value",
        ),
        (step(lambda s, h, rng: {"w": s["w"][s["w"] > 0]}), Untraceable, "the shape of a result depends"),
        (step(lambda s, h, rng: {"w": torch.zeros(2).add_(s["w"])}), Untraceable, "x = x + y"),
        (step(lambda s, h, rng: s["w"].requires_grad_() and s), Untraceable, "torch.func.grad"),
        (step(lambda s, h, rng: rng.torch() and s), Untraceable, "warren.torch.Draws(rng)"),
        (step(lambda s, h, rng: rng.numpy() and s), Untraceable, "warren.torch.Draws(rng)"),
        (step(lambda s, h, rng: {"w": torch.ones(3)}), InvalidValue, "changed its shape from (2,) to (3,)"),
        (step(lambda s, h, rng: {"w": s["w"] > 0}), InvalidValue, "changed its type from torch.float32 to torch.bool"),
        (step(lambda s, h, rng: {"v": s["w"]}), InvalidValue, "changed its containers or their keys"),
        (step(lambda s, h, rng: {"w": "no"}), InvalidValue, "holds 'no'"),
        (
            Task(init=init, train_interval=lambda s, h, r: s, evaluate=lambda s, r: s["weights"]["w"]),
            InvalidType,
            "(4, 1)",
        ),
        (Task(init=init, train_interval=lambda s, h, r: s, evaluate=lambda s, r: "good"), InvalidType, "one number"),
    ],
)
def test_what_cannot_be_mapped_is_told_in_one_line(task: Any, error: Any, told: str) -> None:
    lift = lifted(task)
    with pytest.raises(error) as caught:
        lift.train(lift.init(range(N), rows()), VALUES, keys(1))
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_a_tensor_that_a_number_would_not_have_widened_keeps_its_type() -> None:
    lift = lifted(step(lambda s, h, rng: {"w": s["w"] * torch.ones((), dtype=torch.float64).expand(2)}))
    state, _ = lift.train(lift.init(range(N), rows()), VALUES, keys(1))
    assert lift.member(state, 0)["w"].dtype == torch.float32


def test_the_users_own_line_is_named() -> None:
    lift = lifted(step(lambda s, h, rng: {"w": s["w"] * s["w"].sum().item()}))
    with pytest.raises(Untraceable, match=r"test_stacked_torch\.py:\d+ in <lambda>: .*engine='processes'"):
        lift.train(lift.init(range(N), rows()), VALUES, keys(1))


def test_an_error_of_the_users_own_stays_as_it_is() -> None:
    lift = lifted(step(lambda s, h, rng: {"w": s["w"] @ torch.ones(5)}))
    with pytest.raises(RuntimeError) as caught:
        lift.train(lift.init(range(N), rows()), VALUES, keys(1))
    assert not isinstance(caught.value, InvalidValue)


def test_a_state_without_tensors_and_a_device_that_is_not_there_are_told() -> None:
    with pytest.raises(InvalidValue, match="holds no tensors"):
        TorchLift(TASK, {"name": "net"})
    with pytest.raises(InvalidValue, match="device 'cuda:77' is not there; torch has cpu"):
        TorchLift(TASK, init(0, {}), "cuda:77")
