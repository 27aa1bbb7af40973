"""Thirty-two agents learn CartPole as one program: PPO in JAX on gymnax's environments; some minutes."""
