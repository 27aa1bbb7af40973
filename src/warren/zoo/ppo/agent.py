"""The task: PPO on an environment of gymnax's, a member's episodes and averages included in its state."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from warren.errors import InvalidValue
from warren.training import Task
from warren.zoo.ppo.environments import Game, game
from warren.zoo.ppo.learning import advantages, beginner, learned
from warren.zoo.ppo.network import build, forward

# By name, because type checkers find JAX on few machines.
jax: Any = importlib.import_module("jax")
jnp: Any = importlib.import_module("jax.numpy")

Array = Any
State = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Ppo:
    """Proximal policy optimization (Schulman et al. 2017) as functions on one member's state.

    A value whose methods are the task's functions, so that it travels to worker processes. Hyperparameters are
    ``lr``, ``entropy``, ``clip`` and ``discount``; all are arguments of the program, so that a mutation compiles
    nothing.

    The environments stand in the state, in the middle of their episodes: an interval goes on where the one before
    ended, and a copy takes them over with the policy, whose situations they are. The score is the mean return of the
    episodes that ended in the interval, as they were played to learn from. ``test`` is the mean return of fresh
    episodes that nothing is learned from, drawn from a key of their own. Both are played by drawing actions from the
    policy. A member whose weights are not finite scores NaN.

    Args:
        env: As gymnax knows it; its actions have to be discrete.
        sticky: The chance that an environment repeats the action before, in [0, 1); MinAtar's own is 0.1.
        envs: Environments of each member.
        steps: Steps in each of them between two updates.
        updates: Updates in an interval. Steps x updates are at least the steps of the longest episode, so that in every
            interval an episode ends in each environment, and the score does not favour short ones.
        epochs: Passes over what was seen, in each update.
        minibatches: In each pass; they divide envs x steps.
        hidden: Width of the hidden layers.
        trace: lambda of the advantage estimates, in [0, 1].
        episodes: Fresh episodes behind ``test``.
    """

    env: str = "CartPole-v1"
    sticky: float = 0.0
    envs: int = 8
    steps: int = 128
    updates: int = 4
    epochs: int = 4
    minibatches: int = 4
    hidden: int = 64
    trace: float = 0.95
    episodes: int = 16

    def __post_init__(self) -> None:
        for name in ("envs", "steps", "updates", "epochs", "minibatches", "hidden", "episodes"):
            if getattr(self, name) < 1:
                raise InvalidValue(f"{name}={getattr(self, name)!r} must be at least 1")
        if not 0 <= self.sticky < 1:
            raise InvalidValue(f"sticky={self.sticky!r} must lie in [0, 1)")
        if not 0 <= self.trace <= 1:
            raise InvalidValue(f"trace={self.trace!r} must lie in [0, 1]")
        if self.envs * self.steps % self.minibatches:
            raise InvalidValue(
                f"minibatches={self.minibatches} must divide envs x steps = {self.envs * self.steps}; choose another"
            )

    def task(self) -> Task:
        """The task, for `warren.run`.

        Raises:
            MissingExtra: JAX or gymnax is not installed.
            InvalidValue: There is no such environment, or its episodes are longer than an interval.
        """
        limit = self._game().limit
        if self.steps * self.updates < limit:
            raise InvalidValue(
                f"steps x updates = {self.steps * self.updates} must be at least {limit}, the longest episode of "
                f"{self.env}, so that every interval has episodes to score; give updates={-(-limit // self.steps)}"
            )
        return Task(init=self.init, train_interval=self.train_interval, evaluate=self.evaluate)

    def init(self, seed: int, hyperparameters: dict[str, Any]) -> State:
        """Fresh networks, and environments at the start of an episode."""
        one = self._game()
        nets, starts = jax.random.split(jax.random.key(seed))
        seen, states = one.begin(starts, self.envs)
        return {
            **beginner(build(nets, one.shape, one.actions, self.hidden)),
            "seen": seen,
            "envs": _packed(states),
            "running": jnp.zeros(self.envs),
            "score": jnp.zeros(()),
        }

    def train_interval(self, state: State, hyperparameters: dict[str, Any], rng: Any) -> State:
        """Act and learn, by turns."""

        def update(state: State, key: Array) -> tuple[State, tuple[Array, Array]]:
            acting, learning = jax.random.split(key)
            state, seen = self.played(state, acting)
            ended = seen.pop("ended")
            return {**state, **self.improved(state, seen, learning, hyperparameters)}, (
                jnp.where(seen["over"], ended, 0.0).sum(),
                seen["over"].sum(),
            )

        state, (returns, count) = jax.lax.scan(update, state, jax.random.split(rng.jax(), self.updates))
        # Episodes that were begun in the interval before count with all their return, where they end.
        return {**state, "score": returns.sum() / count.sum()}

    def evaluate(self, state: State, rng: Any) -> tuple[Array, dict[str, Array]]:
        """The score, and what fresh episodes return."""
        finite = jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(state["params"])]).all()
        test = self.returns(state["params"], rng.jax(), self.episodes).mean()
        return jnp.where(finite, state["score"], jnp.nan), {"test": test}

    def played(self, state: State, key: Array) -> tuple[State, dict[str, Array]]:
        """Some steps in all environments.

        Returns:
            The state with the environments as they stand then, and what was seen, every leaf of shape
            (steps, envs, ...).
        """
        one = self._game()

        def step(before: tuple[Array, Any, Array], drawn: tuple[Array, Array]) -> tuple[Any, dict[str, Array]]:
            (seen, states, running), (gumbel, keys) = before, drawn
            logs, _ = forward(state["params"], seen)
            action = jnp.argmax(logs + gumbel, -1)
            log = jnp.take_along_axis(logs, action[:, None], -1)[:, 0]
            after, states, found = one.step(keys, states, action)
            ended = running + found["reward"]
            what = {**found, "observation": seen, "action": action, "log": log, "ended": ended}
            return (after, states, jnp.where(found["over"], 0.0, ended)), what

        begin = (state["seen"], self._states(state["envs"]), state["running"])
        (seen, states, running), what = jax.lax.scan(step, begin, _draws(key, self.steps, self.envs, one))
        return {**state, "seen": seen, "envs": _packed(states), "running": running}, what

    def improved(self, state: State, seen: dict[str, Array], key: Array, hyperparameters: dict[str, Any]) -> State:
        """Networks and averages after they learned from what was seen."""
        now, then = (forward(state["params"], seen[name])[1] for name in ("observation", "next"))
        gain = advantages(
            seen["reward"], now, then, seen["terminated"], seen["over"],
            discount=hyperparameters["discount"], trace=self.trace,
        )  # fmt: skip
        rows = {
            **{name: seen[name] for name in ("observation", "action", "log")},
            "advantage": gain,
            "target": gain + now,
        }
        rows = {name: leaf.reshape(self.envs * self.steps, *leaf.shape[2:]) for name, leaf in rows.items()}
        learner = {name: state[name] for name in ("params", "adam")}
        found: State = learned(learner, rows, key, hyperparameters, epochs=self.epochs, minibatches=self.minibatches)
        return found

    def returns(self, params: Any, key: Array, episodes: int) -> Array:
        """What fresh episodes return, actions drawn from the policy.

        Args:
            params: Of the networks.
            key: Draws beginnings, actions, and what is random in the environment.
            episodes: How many.

        Returns:
            Their returns, shape (episodes,).
        """
        one = self._game()
        starts, going = jax.random.split(key)

        def step(before: tuple[Array, Any, Array, Array], drawn: tuple[Array, Array]) -> tuple[Any, None]:
            (seen, states, alive, total), (gumbel, keys) = before, drawn
            action = jnp.argmax(forward(params, seen)[0] + gumbel, -1)
            seen, states, found = one.step(keys, states, action)
            return (seen, states, alive & ~found["over"], total + jnp.where(alive, found["reward"], 0.0)), None

        begin = (*one.begin(starts, episodes), jnp.ones(episodes, bool), jnp.zeros(episodes))
        (_, _, _, total), _ = jax.lax.scan(step, begin, _draws(going, one.limit, episodes, one))
        return total

    def _game(self) -> Game:
        return game(self.env, self.sticky)

    def _states(self, packed: dict[str, Array]) -> Any:
        """The environments' states, from the plain containers that they are kept in."""
        one = self._game()
        _, form = jax.eval_shape(lambda key: one.begin(key, self.envs), jax.random.key(0))
        return jax.tree.unflatten(jax.tree.structure(form), [packed[name] for name in _names(form)])


def _draws(key: Array, steps: int, n: int, one: Game) -> tuple[Array, Array]:
    """What chooses the actions (the largest of logarithm plus Gumbel noise), and the environments' keys.

    Drawn for all steps at once, since a generator inside a loop takes long to compile.
    """
    acting, moving = jax.random.split(key)
    return jax.random.gumbel(acting, (steps, n, one.actions)), jax.random.split(moving, (steps, n))


def _packed(states: Any) -> dict[str, Array]:
    """Environments' states by their names: a stored state needs no class of gymnax's to be read."""
    return dict(zip(_names(states), jax.tree.leaves(states), strict=True))


def _names(states: Any) -> list[str]:
    return [
        jax.tree_util.keystr(path, simple=True, separator=".")
        for path, _ in jax.tree_util.tree_leaves_with_path(states)
    ]
