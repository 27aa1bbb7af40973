"""Actor-critics learn to balance a pole, or an Atari game, while they are tuned; a minute or two."""
