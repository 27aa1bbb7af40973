"""The parts of PPO against arithmetic done by hand or in NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest

jax = pytest.importorskip("jax")
pytest.importorskip("optax")

import jax.numpy as jnp  # noqa: E402

from warren.zoo.ppo.learning import advantages, beginner, clipped, entropy, learned, loss  # noqa: E402
from warren.zoo.ppo.network import build, forward  # noqa: E402


def test_advantages_stop_at_the_end_of_an_episode():
    """Five steps, discount and lambda a half; the third ends in a loss, the fourth is cut off at the limit.

    By hand, from the last to the first (surprise = reward + 0.5 x value after - value before):
    5: 5 + 0.5 x 2 - 3 = 3. 4: 4 + 0.5 x 6 - 2 = 5, and nothing from 5. 3: 3 + 0 - 1 = 2, for nothing follows.
    2: 2 + 0.5 x 1 - 0.5 = 2, and 0.25 x 2 from 3: 2.5. 1: 1 + 0.5 x 0.5 - 1 = 0.25, and 0.25 x 2.5: 0.875.
    """
    reward, now, then = [1, 2, 3, 4, 5], [1, 0.5, 1, 2, 3], [0.5, 1, 8, 6, 2]
    terminated, over = [0, 0, 1, 0, 0], [0, 0, 1, 1, 0]

    def column(values, kind=np.float32):
        return jnp.asarray(np.array(values, kind)[:, None])

    found = advantages(
        column(reward), column(now), column(then), column(terminated, bool), column(over, bool),
        discount=0.5, trace=0.5,
    )  # fmt: skip
    np.testing.assert_allclose(found[:, 0], [0.875, 2.5, 2, 5, 3])


def test_the_objective_is_clipped_on_the_bad_side_only():
    """Ratios 2, 1/2, 1/2, 2 and advantages 1, 1, -1, -1: the minima are 1.2, 0.5, -0.8, -2, their mean -0.275."""
    ratio, advantage = jnp.array([2.0, 0.5, 0.5, 2.0]), jnp.array([1.0, 1.0, -1.0, -1.0])
    assert float(clipped(jnp.log(ratio), jnp.zeros(4), advantage, 0.2)) == pytest.approx(0.275)
    slopes = jax.grad(lambda log: clipped(log, jnp.zeros(4), advantage, 0.2))(jnp.log(ratio))
    # Where it is clipped nothing is learned; elsewhere the slope is -ratio x advantage / 4.
    np.testing.assert_allclose(slopes, [0, -0.125, 0, 0.5], atol=1e-7)


def test_entropy_is_that_of_the_chances():
    chances = np.array([[0.5, 0.5], [0.25, 0.75]])
    by_hand = (math.log(2) + 0.25 * math.log(4) + 0.75 * math.log(4 / 3)) / 2
    assert float(entropy(jnp.log(chances))) == pytest.approx(by_hand)


SET = {"clip": 0.1, "entropy": 0.3}


def rows(n=6, seed=0):
    rng = np.random.default_rng(seed)
    drawn = {
        "observation": rng.normal(size=(n, 3)).astype(np.float32),
        "action": rng.integers(0, 2, n),
        "log": rng.normal(-0.7, 0.3, n).astype(np.float32),
        "advantage": rng.normal(2, 3, n).astype(np.float32),
        "target": rng.normal(size=n).astype(np.float32),
    }
    return {name: jnp.asarray(values) for name, values in drawn.items()}


def through(layers, x):
    for layer in layers[:-1]:
        x = np.tanh(x @ layer["w"] + layer["b"])
    return x @ layers[-1]["w"] + layers[-1]["b"]


def test_the_loss_is_what_numpy_makes_of_it():
    params, batch = build(jax.random.key(1), (3,), 2, 5), rows()
    params["policy"][-1]["w"] = params["policy"][-1]["w"] * 100  # fresh policies are all but even
    plain, found = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params), jax.jit(loss)(params, batch, SET)
    batch = {name: np.asarray(values) for name, values in batch.items()}
    logits, value = through(plain["policy"], batch["observation"]), through(plain["value"], batch["observation"])[:, 0]
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    taken = chances[np.arange(6), batch["action"]]
    gain = (batch["advantage"] - batch["advantage"].mean()) / batch["advantage"].std()
    ratio = taken / np.exp(batch["log"])
    policy = np.minimum(ratio * gain, np.clip(ratio, 0.9, 1.1) * gain).mean()
    spread = -(chances * np.log(chances)).sum(1).mean()
    expected = -policy + 0.5 * ((value - batch["target"]) ** 2).mean() - 0.3 * spread
    assert float(found) == pytest.approx(expected, rel=1e-4)


def test_one_step_is_adams_on_a_gradient_that_was_cut():
    """Adam's first step is lr x g / (|g| + eps), with g cut to a norm of a half."""
    params, batch = build(jax.random.key(2), (3,), 2, 4), rows(seed=3)
    hyperparameters = {"lr": 0.01, "clip": 0.2, "entropy": 0.01}
    gradient = jax.jit(jax.grad(loss))(params, batch, hyperparameters)
    norm = math.sqrt(sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(gradient)))
    assert norm > 0.5
    after = learned(beginner(params), batch, jax.random.key(0), hyperparameters, epochs=1, minibatches=1)
    assert int(after["adam"]["count"]) == 1
    for before, slope, now in zip(*map(jax.tree.leaves, (params, gradient, after["params"])), strict=True):
        cut = np.asarray(slope) * 0.5 / norm
        np.testing.assert_allclose(now, before - 0.01 * cut / (np.abs(cut) + 1e-5), atol=2e-5)


def test_minibatches_are_each_row_once_in_each_pass(monkeypatch):
    """A loss whose slope is 1 at the rows of a minibatch, cut to a norm of a half: 1 / sqrt(8) at each of two rows.

    Adam's mean of squares then has 0.001 / 8 for the rows of the last of four minibatches, and 0.999 times that for
    each step that came after.
    """
    monkeypatch.setattr("warren.zoo.ppo.learning.loss", lambda params, batch, _: params["w"][batch["action"]].sum())
    learner = beginner({"w": jnp.zeros(8)})
    batch = {"action": jnp.arange(8)}
    after = learned(learner, batch, jax.random.key(0), {"lr": 0.0}, epochs=1, minibatches=4)
    expected = [0.001 / 8 * 0.999**steps for steps in (3, 3, 2, 2, 1, 1, 0, 0)]
    np.testing.assert_allclose(np.sort(after["adam"]["nu"]["w"]), expected, rtol=1e-5)
    assert int(learned(learner, batch, jax.random.key(0), {"lr": 0.0}, epochs=3, minibatches=4)["adam"]["count"]) == 12


def test_images_go_through_a_convolution():
    """The product of patches is what JAX's own convolution gives."""
    params = build(jax.random.key(0), (10, 10, 4), 3, 16)
    assert params["trunk"][0]["w"].shape == (36, 16) and params["trunk"][1]["w"].shape == (8 * 8 * 16, 16)
    images = jax.random.normal(jax.random.key(1), (2, 10, 10, 4))
    filters, dense = params["trunk"]
    maps = jax.lax.conv_general_dilated(
        images, filters["w"].reshape(3, 3, 4, 16), (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    hidden = jnp.maximum(jnp.maximum(maps, 0).reshape(2, -1) @ dense["w"], 0)
    logs, value = forward(params, images)
    np.testing.assert_allclose(value, (hidden @ params["value"][0]["w"])[:, 0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.exp(logs).sum(1), 1, rtol=1e-5)
