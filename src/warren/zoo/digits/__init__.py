"""Twelve small convolutional nets learn handwritten digits, tuned while they train; about a minute and a half."""
