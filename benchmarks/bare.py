"""Hand-written vectorised loops, as one writes them without warren: what the engine is measured against.

Each trains a population of the digits MLP (64-128-10) with SGD and momentum: one pass over the training part an
interval, every member in an order of its own, and the loss on the validation part after it. There is no selection, no
checkpoint and no record. Each function sets its loop up and gives what trains some intervals more and gives back
their scores, shape (intervals, members); the first interval compiles.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from _common import show
from numpy.typing import NDArray

HIDDEN = 128
BATCH = 64
INTERVALS = 30

Loop = Callable[[int], "NDArray[Any]"]


def hyperparameters(members: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A learning rate and a momentum for each member."""
    rng = np.random.default_rng(seed)
    return (
        np.exp(rng.uniform(np.log(1e-3), np.log(0.3), members)).astype(np.float32),
        rng.uniform(0.5, 0.97, members).astype(np.float32),
    )


def parts() -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Images and labels to train on, and to evaluate with."""
    from warren.zoo.digits.data import digits

    data = digits()
    return (
        data.train.images.reshape(-1, 64),
        data.train.labels,
        data.validation.images.reshape(-1, 64),
        data.validation.labels,
    )


def torch_vmap(lr: NDArray[Any], momentum: NDArray[Any], seed: int = 0) -> Loop:
    """PyTorch: `stack_module_state`, `functional_call`, `vmap` of `grad`, and a plain update."""
    import torch
    from torch import nn
    from torch.func import functional_call, grad, stack_module_state, vmap
    from torch.nn.functional import cross_entropy

    images, labels, held_images, held_labels = (torch.from_numpy(part) for part in parts())
    members = len(lr)
    torch.manual_seed(seed)

    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(64, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))

    template = build().to("meta")
    params, _ = stack_module_state([build() for _ in range(members)])
    params = {name: value.detach() for name, value in params.items()}
    velocity = {name: torch.zeros_like(value) for name, value in params.items()}
    rates = {name: torch.from_numpy(lr).view(-1, *[1] * (value.dim() - 1)) for name, value in params.items()}
    momenta = {name: torch.from_numpy(momentum).view(-1, *[1] * (value.dim() - 1)) for name, value in params.items()}

    def loss(one: dict[str, Any], x: Any, y: Any) -> Any:
        return cross_entropy(functional_call(template, one, (x,)), y)

    gradient = vmap(grad(loss))
    measure = vmap(loss, in_dims=(0, None, None))
    generators = [torch.Generator().manual_seed(seed + member) for member in range(members)]

    def run(intervals: int) -> NDArray[Any]:
        nonlocal params, velocity
        scores = []
        for _ in range(intervals):
            orders = torch.stack([torch.randperm(len(images), generator=generator) for generator in generators])
            for begin in range(0, len(images), BATCH):
                batch = orders[:, begin : begin + BATCH]
                gradients = gradient(params, images[batch], labels[batch])
                velocity = {name: momenta[name] * velocity[name] + gradients[name] for name in params}
                params = {name: params[name] - rates[name] * velocity[name] for name in params}
            with torch.no_grad():
                scores.append(measure(params, held_images, held_labels).numpy())
        return np.stack(scores)

    return run


def jax_scan(lr: NDArray[Any], momentum: NDArray[Any], seed: int = 0) -> Loop:
    """JAX: `vmap` of an interval that is a `scan` over minibatches, compiled once."""
    import jax
    import jax.numpy as jnp

    images, labels, held_images, held_labels = (jnp.asarray(part) for part in parts())
    members, rows = len(lr), len(images)
    full = rows // BATCH * BATCH

    def init(key: Any) -> Any:
        keys = jax.random.split(key, 4)
        shapes = {"w1": (64, HIDDEN), "b1": (HIDDEN,), "w2": (HIDDEN, 10), "b2": (10,)}
        bounds = {"w1": 64**-0.5, "b1": 64**-0.5, "w2": HIDDEN**-0.5, "b2": HIDDEN**-0.5}
        params = {
            name: jax.random.uniform(one, shape, minval=-bounds[name], maxval=bounds[name])
            for one, (name, shape) in zip(keys, shapes.items(), strict=True)
        }
        return params, jax.tree.map(jnp.zeros_like, params)

    def loss(params: Any, x: Any, y: Any) -> Any:
        hidden = jax.nn.relu(x @ params["w1"] + params["b1"])
        logits = jax.nn.log_softmax(hidden @ params["w2"] + params["b2"])
        return -jnp.take_along_axis(logits, y[:, None], 1).mean()

    def interval(state: Any, rate: Any, beta: Any, key: Any) -> Any:
        order = jax.random.permutation(key, rows)

        def step(state: Any, batch: Any) -> Any:
            params, velocity = state
            gradients = jax.grad(loss)(params, images[batch], labels[batch])
            velocity = jax.tree.map(lambda v, g: beta * v + g, velocity, gradients)
            return (jax.tree.map(lambda p, v: p - rate * v, params, velocity), velocity), None

        state, _ = jax.lax.scan(step, state, order[:full].reshape(-1, BATCH))
        if full < rows:
            state, _ = step(state, order[full:])
        return state, loss(state[0], held_images, held_labels)

    program = jax.jit(jax.vmap(interval))
    key = jax.random.key(seed)
    state = jax.jit(jax.vmap(init))(jax.random.split(key, members))
    rates, momenta = jnp.asarray(lr), jnp.asarray(momentum)

    def run(intervals: int) -> NDArray[Any]:
        nonlocal state, key
        scores = []
        for _ in range(intervals):
            key, one = jax.random.split(key)
            state, score = program(state, rates, momenta, jax.random.split(one, members))
            scores.append(score)
        return np.stack(scores)

    return run


LOOPS: dict[str, Callable[..., Loop]] = {"torch vmap": torch_vmap, "jax vmap + scan": jax_scan}


def main() -> None:
    """Time each loop by itself, after an interval that is not timed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, nargs="+", default=[8, 32, 128])
    parser.add_argument("--intervals", type=int, default=INTERVALS)
    options = parser.parse_args()
    rows = []
    for members in options.members:
        lr, momentum = hyperparameters(members)
        for name, loop in LOOPS.items():
            run = loop(lr, momentum)
            run(1)
            begin = time.perf_counter()
            scores = run(options.intervals)
            rows.append((members, name, f"{time.perf_counter() - begin:.2f} s", f"{np.nanmin(scores[-1]):.4f}"))
    show(f"{options.intervals} intervals of one pass", ("members", "loop", "took", "lowest loss"), rows)


if __name__ == "__main__":
    main()
