"""The digits MLP (64-128-10, minibatches of 64, SGD with momentum) for warren, as `bare.py` has it for loops.

One pass over the training part an interval, each member in an order of its own, and the validation loss after it.
"""

from __future__ import annotations

from typing import Any

from bare import BATCH, HIDDEN, parts

import warren

SPACE = {
    "lr": warren.Float(1e-3, 0.3, scale="log"),
    "momentum": warren.Float(0.5, 0.97, scale="one_minus"),
}


def jax_task() -> warren.Task:
    """Functions on one member in JAX."""
    import jax
    import jax.numpy as jnp

    images, labels, held_images, held_labels = (jnp.asarray(part) for part in parts())
    rows = len(images)
    full = rows // BATCH * BATCH

    def init(seed: int, hyperparameters: dict[str, Any]) -> Any:
        keys = jax.random.split(jax.random.key(seed), 4)
        shapes = {"w1": (64, HIDDEN), "b1": (HIDDEN,), "w2": (HIDDEN, 10), "b2": (10,)}
        bounds = {"w1": 64**-0.5, "b1": 64**-0.5, "w2": HIDDEN**-0.5, "b2": HIDDEN**-0.5}
        params = {
            name: jax.random.uniform(one, shape, minval=-bounds[name], maxval=bounds[name])
            for one, (name, shape) in zip(keys, shapes.items(), strict=True)
        }
        return {"params": params, "velocity": jax.tree.map(jnp.zeros_like, params)}

    def loss(params: Any, x: Any, y: Any) -> Any:
        hidden = jax.nn.relu(x @ params["w1"] + params["b1"])
        logits = jax.nn.log_softmax(hidden @ params["w2"] + params["b2"])
        return -jnp.take_along_axis(logits, y[:, None], 1).mean()

    def train_interval(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
        order = jax.random.permutation(rng.jax(), rows)

        def step(state: Any, batch: Any) -> Any:
            gradients = jax.grad(loss)(state["params"], images[batch], labels[batch])
            velocity = jax.tree.map(lambda v, g: hyperparameters["momentum"] * v + g, state["velocity"], gradients)
            params = jax.tree.map(lambda p, v: p - hyperparameters["lr"] * v, state["params"], velocity)
            return {"params": params, "velocity": velocity}, None

        state, _ = jax.lax.scan(step, state, order[:full].reshape(-1, BATCH))
        return step(state, order[full:])[0] if full < rows else state

    def evaluate(state: Any, rng: Any) -> Any:
        return loss(state["params"], held_images, held_labels)

    return warren.Task(init=init, train_interval=train_interval, evaluate=evaluate)


def torch_task(mode: Any = "traced") -> warren.StackedTask:
    """A module, a loss and an optimizer in torch."""
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy

    import warren.torch

    images, labels, held_images, held_labels = (torch.from_numpy(part) for part in parts())
    return warren.torch.population(
        lambda: nn.Sequential(nn.Linear(64, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10)),
        lambda net, batch: cross_entropy(net(batch[0]), batch[1]),
        optimizer=warren.torch.SGD(lr="lr", momentum="momentum"),
        batches=warren.torch.Batches(images, labels, size=BATCH),
        evaluate=lambda net: cross_entropy(net(held_images), held_labels),
        mode=mode,
    )
