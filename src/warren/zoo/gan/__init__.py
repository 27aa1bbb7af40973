"""Eight small GANs learn to draw handwritten digits, the learning rates of both networks tuned while they train."""
