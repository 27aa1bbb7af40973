"""Policy and value as plain functions on a tree of arrays, so that a population of them is one batched program.

Vectors go through two layers of tanh units, the policy's and the value's apart. Images go through the network of the
MinAtar paper (Young and Tian 2019, arXiv 1903.03176), which both share: 16 filters of 3 x 3, then one hidden layer of
128. The convolution is written as a product of patches with a matrix: where each member has filters of its own,
`lax.conv` becomes a grouped convolution, which takes longer on a CPU (docs/ppo.md).
"""

from __future__ import annotations

import importlib
from typing import Any

jax: Any = importlib.import_module("jax")
jnp: Any = importlib.import_module("jax.numpy")

Array = Any
Layer = dict[str, Array]
Params = dict[str, list[Layer]]

FILTERS = 16
SIDE = 3


def build(key: Array, shape: tuple[int, ...], actions: int, hidden: int) -> Params:
    """Fresh weights: normal, with the deviation gain / sqrt(inputs); gain sqrt(2), but policy's last 0.01, value's 1.

    Args:
        key: Draws them.
        shape: Of an observation: (n,) or (height, width, channels).
        actions: Of the environment.
        hidden: Width of each hidden layer.
    """
    gain = 2**0.5
    if len(shape) == 1:
        hidden_layers = [(shape[0], hidden, gain), (hidden, hidden, gain)]
        plan = {
            "trunk": [],
            "policy": [*hidden_layers, (hidden, actions, 0.01)],
            "value": [*hidden_layers, (hidden, 1, 1.0)],
        }
    else:
        height, width, channels = shape
        flat = (height - SIDE + 1) * (width - SIDE + 1) * FILTERS
        plan = {
            "trunk": [(SIDE * SIDE * channels, FILTERS, gain), (flat, hidden, gain)],
            "policy": [(hidden, actions, 0.01)],
            "value": [(hidden, 1, 1.0)],
        }
    # One draw for all, since each generator in a program takes long to compile.
    drawn = jax.random.normal(key, (sum(into * out for part in plan.values() for into, out, _ in part),))
    params: Params = {}
    for name, part in plan.items():
        params[name] = []
        for into, out, gain in part:
            weights, drawn = drawn[: into * out], drawn[into * out :]
            params[name].append({"w": weights.reshape(into, out) * (gain / into**0.5), "b": jnp.zeros(out)})
    return params


def forward(params: Params, observations: Array) -> tuple[Array, Array]:
    """Logarithms of the chances of the actions, shape (..., actions), and values, shape (...).

    Args:
        params: As `build` makes them.
        observations: Shape (..., *shape).
    """
    features = observations
    if params["trunk"]:
        filters, dense = params["trunk"]
        maps = jax.nn.relu(_patches(observations) @ filters["w"] + filters["b"])
        features = jax.nn.relu(maps.reshape(*maps.shape[:-3], -1) @ dense["w"] + dense["b"])
    logits, value = _through(params["policy"], features), _through(params["value"], features)
    return jax.nn.log_softmax(logits), value[..., 0]


def _patches(images: Array) -> Array:
    """Every place's surroundings in a row: (..., height, width, c) to (..., height - 2, width - 2, 9 c)."""
    height, width = images.shape[-3] - SIDE + 1, images.shape[-2] - SIDE + 1
    moved = [images[..., y : y + height, x : x + width, :] for y in range(SIDE) for x in range(SIDE)]
    return jnp.concatenate(moved, axis=-1)


def _through(layers: list[Layer], x: Array) -> Array:
    for layer in layers[:-1]:
        x = jnp.tanh(x @ layer["w"] + layer["b"])
    return x @ layers[-1]["w"] + layers[-1]["b"]
