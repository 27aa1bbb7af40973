"""Each batched optimizer against torch's own, on each member alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from warren.errors import InvalidType, InvalidValue, UnknownName

torch = pytest.importorskip("torch")

from warren.torch import SGD, Adam, AdamW  # noqa: E402 (they import torch)

N, STEPS = 4, 5
LR = np.array([0.1, 0.01, 0.03, 0.2])
SHAPES = {"w": (3, 2), "b": (3,), "scale": ()}


def gradients(interval: int, step: int) -> list[Any]:
    generator = torch.Generator().manual_seed(100 * interval + step)
    return [torch.randn(N, *shape, generator=generator, dtype=torch.float64) for shape in SHAPES.values()]


def fresh() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(7)
    return {name: torch.randn(N, *s, generator=generator, dtype=torch.float64) for name, s in SHAPES.items()}


def together(optimizer: Any, intervals: list[dict[str, Any]], donors: list[int] | None = None) -> dict[str, Any]:
    """Parameters after some intervals; before the last, members take over donors' states."""
    parameters = fresh()
    state = optimizer.init(parameters, N)
    for number, hyperparameters in enumerate(intervals):
        if donors is not None and number == len(intervals) - 1:
            parameters = {name: one[donors] for name, one in parameters.items()}
            state = {
                key: {name: one[donors] for name, one in value.items()} if isinstance(value, dict) else value[donors]
                for key, value in state.items()
            }
        update = optimizer.begin(state, hyperparameters, N)
        for step in range(STEPS):
            update(step, list(parameters.values()), gradients(number, step))
    return parameters


def alone(kind: Any, options: list[list[dict[str, Any]]], donors: list[int] | None = None) -> dict[str, Any]:
    """The same with torch's optimizer; `options` for each interval and member."""
    import copy

    members = []
    for place in range(N):
        parameters = [one[place].clone().requires_grad_() for one in fresh().values()]
        members.append((parameters, kind(parameters, **options[0][place])))
    for number, interval in enumerate(options):
        if donors is not None and number == len(options) - 1:
            members = [copy.deepcopy(members[donor]) for donor in donors]
        for place, (parameters, optimizer) in enumerate(members):
            optimizer.param_groups[0].update(interval[place])
            for step in range(STEPS):
                for parameter, gradient in zip(parameters, gradients(number, step), strict=True):
                    parameter.grad = gradient[place].clone()
                optimizer.step()
    columns = zip(*[parameters for parameters, _ in members], strict=True)
    return {name: torch.stack([one.detach() for one in column]) for name, column in zip(SHAPES, columns, strict=True)}


MOMENTA = (np.array([0.9, 0.5, 0.0, 0.0]), np.array([0.7, 0.0, 0.8, 0.0]), np.array([0.0, 0.9, 0.8, 0.3]))


@pytest.mark.parametrize("donors", [None, [0, 0, 3, 1]])
@pytest.mark.parametrize(
    "fixed",
    [
        {},
        {"nesterov": True},
        {"dampening": 0.3},
        {"weight_decay": 0.1},
        {"nesterov": True, "weight_decay": 0.02},
    ],
)
def test_sgd_does_to_each_member_what_torchs_does(fixed: dict[str, Any], donors: list[int] | None) -> None:
    least = 0.6 if fixed.get("nesterov") else 0.0  # torch refuses Nesterov's without momentum
    columns = [{"lr": LR * (k + 1), "m": np.where(one == 0.0, least, one)} for k, one in enumerate(MOMENTA)]
    ours = together(SGD(lr="lr", momentum="m", **fixed), columns, donors)
    options = [[{"lr": c["lr"][i], "momentum": c["m"][i], **fixed} for i in range(N)] for c in columns]
    theirs = alone(torch.optim.SGD, options, donors)
    for name in SHAPES:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-12, atol=1e-12)


def test_sgd_takes_every_option_by_name_and_without_momentum_keeps_no_velocity() -> None:
    columns = {
        "lr": LR, "m": np.array([0.9, 0.5, 0.2, 0.1]), "d": np.array([0.0, 0.1, 0.2, 0.0]),
        "wd": np.array([0.0, 0.1, 0.0, 0.2]), "n": np.array([True, False, False, True]),
    }  # fmt: skip
    mixed = together(SGD(lr="lr", momentum="m", weight_decay="wd", nesterov="n"), [columns])
    options = [
        {"lr": LR[i], "momentum": columns["m"][i], "weight_decay": columns["wd"][i], "nesterov": bool(columns["n"][i])}
        for i in range(N)
    ]
    theirs = alone(torch.optim.SGD, [options])
    for name in SHAPES:
        torch.testing.assert_close(mixed[name], theirs[name], rtol=1e-12, atol=1e-12)
    damped = together(SGD(lr="lr", momentum="m", dampening="d"), [columns, columns])
    options = [{"lr": LR[i], "momentum": columns["m"][i], "dampening": columns["d"][i]} for i in range(N)]
    theirs = alone(torch.optim.SGD, [options, options])
    torch.testing.assert_close(damped["w"], theirs["w"], rtol=1e-12, atol=1e-12)
    assert SGD(lr=0.1).init(fresh(), N) == {}


@pytest.mark.parametrize("donors", [None, [0, 0, 3, 1]])
@pytest.mark.parametrize("amsgrad", [False, True])
@pytest.mark.parametrize("ours, theirs", [(Adam, "Adam"), (AdamW, "AdamW")])
def test_adam_does_to_each_member_what_torchs_does(ours: Any, theirs: str, amsgrad: bool, donors: Any) -> None:
    first, second = np.array([0.9, 0.8, 0.95, 0.5]), np.array([0.999, 0.9, 0.99, 0.95])
    columns = [
        {"lr": LR * k, "b1": first * k**0.01 * 0.97, "b2": second, "eps": np.array([1e-8, 1e-3, 1e-6, 1e-2]),
         "wd": np.array([0.0, 0.1, 0.2, 0.01])}
        for k in (1, 2, 0.5)
    ]  # fmt: skip
    made = ours(lr="lr", betas=("b1", "b2"), eps="eps", weight_decay="wd", amsgrad=amsgrad)
    options = [
        [
            {
                "lr": c["lr"][i], "betas": (c["b1"][i], c["b2"][i]), "eps": c["eps"][i],
                "weight_decay": c["wd"][i], "amsgrad": amsgrad,
            }
            for i in range(N)
        ]
        for c in columns
    ]  # fmt: skip
    found, wanted = together(made, columns, donors), alone(getattr(torch.optim, theirs), options, donors)
    for name in SHAPES:
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-10, atol=1e-10)


def test_defaults_are_torchs() -> None:
    columns = [{"lr": LR}]
    for ours, theirs in ((Adam, torch.optim.Adam), (AdamW, torch.optim.AdamW)):
        found, wanted = together(ours(lr="lr"), columns), alone(theirs, [[{"lr": lr} for lr in LR]])
        torch.testing.assert_close(found["w"], wanted["w"], rtol=1e-10, atol=1e-10)


def test_a_step_beyond_a_block_of_corrections_is_torchs() -> None:
    parameters = {"w": torch.ones(1, 2, dtype=torch.float64)}
    one = torch.ones(2, dtype=torch.float64, requires_grad=True)
    theirs = torch.optim.Adam([one], lr=0.1)
    state = Adam(lr=0.1).init(parameters, 1)
    update = Adam(lr=0.1).begin(state, {}, 1)
    for step in range(150):
        gradient = torch.randn(2, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
        update(step, [parameters["w"]], [gradient[None]])
        one.grad = gradient
        theirs.step()
    torch.testing.assert_close(parameters["w"][0], one.detach(), rtol=1e-10, atol=1e-10)
    assert state["step"].tolist() == [150]


def test_a_parameter_without_a_gradient_stays() -> None:
    for optimizer in (SGD(lr=0.1, momentum=0.9, weight_decay=0.1), AdamW(lr=0.1)):
        parameters = {"used": torch.ones(2, 3), "idle": torch.ones(2, 3)}
        update = optimizer.begin(optimizer.init(parameters, 2), {}, 2)
        update(0, list(parameters.values()), [torch.ones(2, 3), None])
        assert (parameters["idle"] == 1).all()
        assert (parameters["used"] != 1).all()


def test_gradients_are_not_written_into() -> None:
    for optimizer in (SGD(lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.1), Adam(weight_decay=0.1)):
        parameters = {"w": torch.ones(2, 3)}
        gradient = torch.full((2, 3), 0.5)
        optimizer.begin(optimizer.init(parameters, 2), {}, 2)(0, [parameters["w"]], [gradient])
        assert (gradient == 0.5).all()


def test_half_precision_parameters_are_updated() -> None:
    for optimizer in (SGD(lr=0.1, momentum=0.9, dampening=0.5, weight_decay=0.1), AdamW(lr=0.1)):
        parameters = {"w": torch.ones(2, 3, dtype=torch.bfloat16)}
        update = optimizer.begin(optimizer.init(parameters, 2), {}, 2)
        update(0, [parameters["w"]], [torch.ones(2, 3, dtype=torch.bfloat16)])
        assert parameters["w"].dtype == torch.bfloat16 and (parameters["w"] < 0.95).all()


@pytest.mark.parametrize(
    "make, error, told",
    [
        (lambda: SGD(lr=-1.0), InvalidValue, "SGD(lr=-1.0)"),
        (lambda: SGD(lr=None), InvalidType, "SGD(lr=None)"),
        (lambda: SGD(lr=0.1, dampening=0.1, nesterov=True), InvalidValue, "it must be 0 where nesterov is set"),
        (lambda: Adam(betas=(0.9, 1.0)), InvalidValue, "Adam(betas[1]=1.0)"),
        (lambda: Adam(betas=0.9), InvalidType, "must be a pair"),
        (lambda: AdamW(eps=float("nan")), InvalidValue, "AdamW(eps=nan)"),
    ],
)
def test_a_bad_option_is_told_in_one_line(make: Any, error: Any, told: str) -> None:
    with pytest.raises(error) as caught:
        make()
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_an_option_that_names_no_hyperparameter_is_told() -> None:
    optimizer = SGD(lr="rate")
    with pytest.raises(UnknownName, match=r"SGD\(lr='rate'\): there is no hyperparameter 'rate'; the space has lr"):
        optimizer.begin({}, {"lr": LR}, N)
