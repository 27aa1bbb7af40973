"""Tasks on JAX arrays, at the top level so that worker processes find them."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

import warren

SPACE = {"lr": warren.Float(1e-2, 0.5, scale="log"), "momentum": warren.Float(0.5, 0.9, scale="one_minus")}

INPUTS = jax.random.normal(jax.random.key(0), (32, 4))
TARGETS = jnp.sin(INPUTS.sum(axis=1))


def init(seed: int, hyperparameters: dict[str, Any]) -> Any:
    first, second = jax.random.split(jax.random.key(seed))
    net = {"a": jax.random.normal(first, (4, 8)) * 0.5, "b": jax.random.normal(second, (8,)) * 0.3}
    return {"net": net, "velocity": jax.tree.map(jnp.zeros_like, net), "steps": 0, "key": jax.random.key(seed + 1)}


def predict(net: Any, inputs: Any) -> Any:
    return jnp.tanh(inputs @ net["a"]) @ net["b"]


def loss(net: Any, inputs: Any, targets: Any) -> Any:
    return jnp.mean((predict(net, inputs) - targets) ** 2)


def train_interval(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
    order = jax.random.permutation(rng.jax(), 32).reshape(4, 8)
    net, velocity = state["net"], state["velocity"]
    for batch in order:
        gradient = jax.grad(loss)(net, INPUTS[batch], TARGETS[batch])
        velocity = jax.tree.map(lambda v, g: hyperparameters["momentum"] * v + g, velocity, gradient)
        net = jax.tree.map(lambda w, v: w - hyperparameters["lr"] * v, net, velocity)
    key, _ = jax.random.split(state["key"])
    return {"net": net, "velocity": velocity, "steps": state["steps"] + 4, "key": key}


def evaluate(state: Any, rng: Any) -> Any:
    return loss(state["net"], INPUTS, TARGETS), {"norm": jnp.abs(state["net"]["a"]).mean()}


TASK = warren.Task(init=init, train_interval=train_interval, evaluate=evaluate)
"""A small regression with momentum, written out."""
