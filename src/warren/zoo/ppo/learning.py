"""What PPO minimises, and how (Schulman et al. 2017, arXiv 1707.06347).

Hyperparameters are arguments that may be traced: one program serves all members, whatever their values.
"""

from __future__ import annotations

import importlib
from typing import Any

from warren.zoo.ppo.network import Params, forward

jax: Any = importlib.import_module("jax")
jnp: Any = importlib.import_module("jax.numpy")
optax: Any = importlib.import_module("optax")

Array = Any
Learner = dict[str, Any]

VALUE_COST = 0.5
LONGEST = 0.5
"""The norm that a gradient is cut to."""

_ADAM = optax.scale_by_adam(eps=1e-5)
_CUT = optax.clip_by_global_norm(LONGEST)


def advantages(
    reward: Array, now: Array, then: Array, terminated: Array, over: Array, *, discount: Array, trace: Array
) -> Array:
    """Generalized advantage estimates (Schulman et al. 2015, arXiv 1506.02438, equation 16).

    An episode that was cut off at its limit is worth what it would have gone on to give; after one that terminated
    nothing follows. Neither hands anything back from the episode that begins after it.

    Args:
        reward: Shape (steps, environments), as all that follow.
        now: The value before each step.
        then: The value of what the step led to, before anything began anew.
        terminated: Whether nothing follows.
        over: Whether the episode ended, for whatever reason.
        discount: Of the future, in [0, 1].
        trace: lambda, in [0, 1].

    Returns:
        The advantages, shape (steps, environments).
    """
    surprise = reward + discount * jnp.where(terminated, 0.0, then) - now

    def back(later: Array, one: tuple[Array, Array]) -> tuple[Array, Array]:
        delta, ended = one
        found = delta + discount * trace * jnp.where(ended, 0.0, later)
        return found, found

    return jax.lax.scan(back, jnp.zeros_like(surprise[0]), (surprise, over), reverse=True)[1]


def clipped(log: Array, before: Array, advantage: Array, clip: Array) -> Array:
    """The clipped objective with its sign turned (equation 7 of PPO), a mean over rows.

    Args:
        log: Logarithms of the chances that the policy gives to the actions, shape (rows,).
        before: Those that it gave when it acted.
        advantage: Of the actions.
        clip: How far the ratio of the two may count.
    """
    ratio = jnp.exp(log - before)
    return -jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - clip, 1 + clip) * advantage).mean()


def entropy(logs: Array) -> Array:
    """The mean entropy of rows of chances; `logs` are their logarithms, shape (rows, actions)."""
    return -(jnp.exp(logs) * logs).sum(-1).mean()


def loss(params: Params, batch: dict[str, Array], hyperparameters: dict[str, Any]) -> Array:
    """The objective, the values' error, and a reward for staying undecided (equation 9 of PPO, its sign turned).

    Args:
        params: Of the networks.
        batch: Rows of ``observation``, ``action``, ``log``, ``advantage`` and ``target``.
        hyperparameters: ``clip`` and ``entropy``.
    """
    logs, value = forward(params, batch["observation"])
    log = jnp.take_along_axis(logs, batch["action"][:, None], -1)[:, 0]
    advantage = (batch["advantage"] - batch["advantage"].mean()) / (batch["advantage"].std() + 1e-8)
    error = ((value - batch["target"]) ** 2).mean()
    gain = clipped(log, batch["log"], advantage, hyperparameters["clip"])
    return gain + VALUE_COST * error - hyperparameters["entropy"] * entropy(logs)


def beginner(params: Params) -> Learner:
    """Networks with Adam's averages, as plain containers."""
    return {"params": params, "adam": dict(_ADAM.init(params)._asdict())}


def learned(
    learner: Learner,
    rows: dict[str, Array],
    key: Array,
    hyperparameters: dict[str, Any],
    *,
    epochs: int,
    minibatches: int,
) -> Learner:
    """Some passes over what was seen, in minibatches, with Adam.

    Args:
        learner: As `beginner` makes it.
        rows: What `loss` takes, every leaf of shape (rows, ...).
        key: Draws the orders.
        hyperparameters: ``lr``, ``clip``, ``entropy``.
        epochs: Passes.
        minibatches: In each; they divide the rows.
    """
    count = len(rows["action"])
    orders = jax.vmap(lambda one: jax.random.permutation(one, count))(jax.random.split(key, epochs))

    def step(learner: Learner, places: Array) -> tuple[Learner, None]:
        batch = {name: leaf[places] for name, leaf in rows.items()}
        gradient = jax.grad(loss)(learner["params"], batch, hyperparameters)
        gradient, _ = _CUT.update(gradient, optax.EmptyState())
        direction, averages = _ADAM.update(gradient, optax.ScaleByAdamState(**learner["adam"]))
        params = jax.tree.map(lambda w, d: w - hyperparameters["lr"] * d, learner["params"], direction)
        return {"params": params, "adam": dict(averages._asdict())}, None

    return jax.lax.scan(step, learner, orders.reshape(epochs * minibatches, -1))[0]  # type: ignore[no-any-return]
