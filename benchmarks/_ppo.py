"""A small PPO on CartPole for warren, all of it in JAX: environments, advantages, updates.

Proximal policy optimization (Schulman et al. 2017): 16 environments for 128 steps an interval, generalized advantage
estimates, then 4 epochs of 8 minibatches with the clipped objective and Adam. The score is the mean return of 16
episodes of their own, drawn from the evaluation's key, with the most likely action at each step.

The environments are part of the state, and go with the copy. An exploit takes over a policy, and the next advantages
have to be those of the situations that this policy meets: the recipient's own poles stand where another policy brought
them. It also makes a state all that there is to go on from, so that an interval can be trained again to the same end.
Copies part at once, since each member draws its actions from a key of its own.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

import warren

ENVIRONMENTS = 16
STEPS = 128
EPOCHS = 4
MINIBATCHES = 8
EPISODES = 16
LIMIT = 500
HIDDEN = 64
TRACE = 0.95  # lambda of the advantage estimates

SPACE = {
    "lr": warren.Float(3e-4, 1e-2, scale="log"),
    "entropy": warren.Float(1e-4, 3e-2, scale="log"),
    "clip": warren.Float(0.1, 0.4),
    "discount": warren.Float(0.95, 0.999, scale="one_minus"),
}


# -- CartPole: Barto, Sutton and Anderson (1983), with the constants and the Euler steps of the usual task ------------

GRAVITY, CART, POLE, HALF_LENGTH, FORCE, SECONDS = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
FARTHEST, STEEPEST = 2.4, 12 * 2 * jnp.pi / 360


def fresh(key: Any, shape: tuple[int, ...]) -> Any:
    """Carts at the start of an episode: position, velocity, angle, angular velocity."""
    return jax.random.uniform(key, (*shape, 4), minval=-0.05, maxval=0.05)


def moved(cart: Any, action: Any) -> Any:
    """The cart one step later, pushed to the left (0) or to the right (1)."""
    x, speed, angle, turning = jnp.moveaxis(cart, -1, 0)
    force = jnp.where(action == 1, FORCE, -FORCE)
    sine, cosine = jnp.sin(angle), jnp.cos(angle)
    push = (force + POLE * HALF_LENGTH * turning**2 * sine) / (CART + POLE)
    swing = (GRAVITY * sine - cosine * push) / (HALF_LENGTH * (4 / 3 - POLE * cosine**2 / (CART + POLE)))
    pace = push - POLE * HALF_LENGTH * swing * cosine / (CART + POLE)
    return jnp.stack(
        [x + SECONDS * speed, speed + SECONDS * pace, angle + SECONDS * turning, turning + SECONDS * swing], axis=-1
    )


def fallen(cart: Any) -> Any:
    """Whether the episode is lost."""
    return (jnp.abs(cart[..., 0]) > FARTHEST) | (jnp.abs(cart[..., 2]) > STEEPEST)


# -- the nets: one for the policy, one for the value ------------------------------------------------------------------


def build(key: Any, outputs: int, scale: float) -> list[dict[str, Any]]:
    """A net of two hidden layers; orthogonal weights, those of the last layer small."""
    sizes, gains = (4, HIDDEN, HIDDEN, outputs), (2**0.5, 2**0.5, scale)
    return [
        {"w": jax.nn.initializers.orthogonal(gain)(one, (into, out)), "b": jnp.zeros(out)}
        for one, into, out, gain in zip(jax.random.split(key, 3), sizes, sizes[1:], gains, strict=False)
    ]


def forward(net: list[dict[str, Any]], cart: Any) -> Any:
    """The net's outputs."""
    for layer in net[:-1]:
        cart = jnp.tanh(cart @ layer["w"] + layer["b"])
    return cart @ net[-1]["w"] + net[-1]["b"]


def value(params: Any, cart: Any) -> Any:
    """What the rest of the episode is expected to give."""
    return forward(params["value"], cart)[..., 0]


def chances(params: Any, cart: Any) -> Any:
    """Logarithms of the chances of both actions."""
    return jax.nn.log_softmax(forward(params["policy"], cart))


def of(logs: Any, action: Any) -> Any:
    """The logarithm of the chance of the action that was taken."""
    return jnp.take_along_axis(logs, action[..., None], -1)[..., 0]


# -- the task ---------------------------------------------------------------------------------------------------------


def init(seed: int, hyperparameters: dict[str, Any]) -> Any:
    """Nets, Adam's averages, and environments at the start of an episode."""
    policy, critic, carts = jax.random.split(jax.random.key(seed), 3)
    params = {"policy": build(policy, 2, 0.01), "value": build(critic, 1, 1.0)}
    return {
        "params": params,
        "mean": jax.tree.map(jnp.zeros_like, params),
        "square": jax.tree.map(jnp.zeros_like, params),
        "updates": jnp.zeros((), jnp.int32),
        "carts": fresh(carts, (ENVIRONMENTS,)),
        "ages": jnp.zeros(ENVIRONMENTS, jnp.int32),
    }


def play(state: Any, key: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Act for an interval's steps; gives the environments afterwards and what happened."""
    acting, resetting = jax.random.split(key)
    noise = jax.random.gumbel(acting, (STEPS, ENVIRONMENTS, 2))
    starts = fresh(resetting, (STEPS, ENVIRONMENTS))

    def step(before: Any, drawn: Any) -> Any:
        (carts, ages), (gumbel, start) = before, drawn
        logs = chances(state["params"], carts)
        action = jnp.argmax(logs + gumbel, -1)
        after, ages = moved(carts, action), ages + 1
        lost = fallen(after)
        over = lost | (ages >= LIMIT)
        seen = {"cart": carts, "action": action, "log": of(logs, action), "next": after, "lost": lost, "over": over}
        return (jnp.where(over[:, None], start, after), jnp.where(over, 0, ages)), seen

    (carts, ages), seen = jax.lax.scan(step, (state["carts"], state["ages"]), (noise, starts))
    return carts, ages, seen


def advantages(params: Any, seen: dict[str, Any], discount: Any) -> tuple[Any, Any]:
    """Generalized advantage estimates, and what the values should have been.

    An episode that only ran out of time is worth what it would have gone on to give; one that was lost nothing.
    """
    now, then = value(params, seen["cart"]), value(params, seen["next"])
    surprise = 1.0 + discount * jnp.where(seen["lost"], 0.0, then) - now

    def back(later: Any, one: Any) -> Any:
        delta, over = one
        found = delta + discount * TRACE * jnp.where(over, 0.0, later)
        return found, found

    _, found = jax.lax.scan(back, jnp.zeros(ENVIRONMENTS), (surprise, seen["over"]), reverse=True)
    return found, found + now


def loss(params: Any, batch: dict[str, Any], hyperparameters: dict[str, Any]) -> Any:
    """The clipped objective, the error of the values, and the reward for staying undecided."""
    logs = chances(params, batch["cart"])
    gain = (batch["gain"] - batch["gain"].mean()) / (batch["gain"].std() + 1e-8)
    ratio = jnp.exp(of(logs, batch["action"]) - batch["log"])
    clipped = jnp.clip(ratio, 1 - hyperparameters["clip"], 1 + hyperparameters["clip"])
    policy = -jnp.minimum(ratio * gain, clipped * gain).mean()
    error = ((value(params, batch["cart"]) - batch["target"]) ** 2).mean()
    entropy = -(jnp.exp(logs) * logs).sum(-1).mean()
    return policy + 0.25 * error - hyperparameters["entropy"] * entropy


def adam(state: Any, gradient: Any, lr: Any) -> Any:
    """One step of Adam on a gradient whose norm is at most a half."""
    norm = jnp.sqrt(sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(gradient)))
    gradient = jax.tree.map(lambda g: g * jnp.minimum(1.0, 0.5 / (norm + 1e-6)), gradient)
    mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state["mean"], gradient)
    square = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g**2, state["square"], gradient)
    updates = state["updates"] + 1
    rate = lr * jnp.sqrt(1 - 0.999**updates) / (1 - 0.9**updates)
    params = jax.tree.map(lambda p, m, s: p - rate * m / (jnp.sqrt(s) + 1e-8), state["params"], mean, square)
    return {"params": params, "mean": mean, "square": square, "updates": updates}


def train_interval(state: Any, hyperparameters: dict[str, Any], rng: Any) -> Any:
    """Act, then learn from it."""
    playing, shuffling = jax.random.split(rng.jax())
    carts, ages, seen = play(state, playing)
    gain, target = advantages(state["params"], seen, hyperparameters["discount"])
    kept = {"cart": seen["cart"], "action": seen["action"], "log": seen["log"], "gain": gain, "target": target}
    rows = STEPS * ENVIRONMENTS
    flat = jax.tree.map(lambda leaf: leaf.reshape(rows, *leaf.shape[2:]), kept)
    orders = jax.vmap(lambda key: jax.random.permutation(key, rows))(jax.random.split(shuffling, EPOCHS))

    def step(learner: Any, places: Any) -> Any:
        batch = jax.tree.map(lambda leaf: leaf[places], flat)
        gradient = jax.grad(loss)(learner["params"], batch, hyperparameters)
        return adam(learner, gradient, hyperparameters["lr"]), None

    learner = {name: state[name] for name in ("params", "mean", "square", "updates")}
    learner, _ = jax.lax.scan(step, learner, orders.reshape(EPOCHS * MINIBATCHES, -1))
    return {**learner, "carts": carts, "ages": ages}


def evaluate(state: Any, rng: Any) -> Any:
    """The mean return of fresh episodes: the steps until each is lost or out of time."""

    def step(before: Any, _: Any) -> Any:
        carts, alive, total = before
        carts = moved(carts, jnp.argmax(forward(state["params"]["policy"], carts), -1))
        return (carts, alive & ~fallen(carts), total + alive), None

    begin = (fresh(rng.jax(), (EPISODES,)), jnp.ones(EPISODES, bool), jnp.zeros(EPISODES))
    (_, _, total), _ = jax.lax.scan(step, begin, None, length=LIMIT)
    return total.mean()


def ppo_task() -> warren.Task:
    """Functions on one member."""
    return warren.Task(init=init, train_interval=train_interval, evaluate=evaluate)


def main() -> None:
    """Let a population learn, and say how it got on."""
    result = warren.run(ppo_task(), space=SPACE, goal="max", population=8, intervals=30, engine="vectorised")
    best: dict[int, float] = {}
    for row in result.intervals:
        best[row.interval] = max(best.get(row.interval, 0.0), row.score or 0.0)
    print("highest return after each interval:", *(f"{score:.0f}" for _, score in sorted(best.items())))
    print(result.best.hyperparameters, result.cost)


if __name__ == "__main__":
    main()
