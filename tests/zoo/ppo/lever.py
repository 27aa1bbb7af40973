"""Two environments in gymnax's form whose returns are known beforehand."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces


@struct.dataclass
class State(environment.EnvState):
    light: jax.Array
    time: int


@struct.dataclass
class Params(environment.EnvParams):
    max_steps_in_episode: int = 5


class Lever(environment.Environment[State, Params]):
    """One of two lights is on; who pulls the lever of that light is paid 1. Five pulls, cut off by the limit."""

    @property
    def default_params(self) -> Params:
        return Params()

    def paid(self, state: State, action: Any) -> Any:
        return jnp.float32(state.light == action)

    def step_env(self, key: Any, state: State, action: Any, params: Params) -> Any:
        reward = self.paid(state, action)
        state = State(light=jax.random.bernoulli(key).astype(jnp.int32), time=state.time + 1)
        return self.seen(state), state, reward, jnp.bool_(False), {}

    def reset_env(self, key: Any, params: Params) -> Any:
        state = State(light=jax.random.bernoulli(key).astype(jnp.int32), time=0)
        return self.seen(state), state

    def seen(self, state: State) -> Any:
        return jax.nn.one_hot(state.light, 2)

    def action_space(self, params: Any = None) -> Any:
        return spaces.Discrete(2)


class Wage(Lever):
    """Pays 1 a step, whatever is done: every episode returns 5."""

    def paid(self, state: State, action: Any) -> Any:
        return jnp.float32(1)
